"""The figures and tables of a study's data, made by the workflow from prompts in a file."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from rewild.core.table import read_table
from rewild.report.data.numbers import NUMBERS
from rewild.report.data.page import LEFT_OUT

pytestmark = pytest.mark.workflow


def test_a_file_of_prompts_is_described(copy: Path, snakemake) -> None:
    for name, words in (("short", 3), ("long", 40)):
        lines = [{"prompt": f"{name} {n} " + "word " * (words + n), "response": "x"} for n in range(6)]
        (copy / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    study = {
        "title": "Two files",
        "source": "computed",
        "prompts": {
            "sources": [{"kind": "files", "name": n, "files": [f"{n}.jsonl"]} for n in ("short", "long")]
        },
        "measures": {"size": {"kind": "length", "of": "prompts"}},
        "data": {"resamples": 100},
    }
    (copy / "config/studies/two.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    run = snakemake(copy, "--config", "study=two", "--", "results/two/data/data.md")
    assert run.returncode == 0, run.stdout[-3000:]
    folder = copy / "results/two/data"
    means = read_table(folder / "lengths.csv", NUMBERS).filter(label="mean").select("series", "value").rows()
    assert means == [("short", 2 + 3 + 2.5), ("long", 2 + 40 + 2.5)]
    assert "| short | 6 | 6 | 1.00 | 7.5 ±" in (folder / "statistics.md").read_text(encoding="utf-8")
    why = read_table(folder / "left_out.csv", LEFT_OUT)
    assert why.filter(pl.col("shown") == "costs")["reason"].to_list() == ["the study generates no responses"]
    assert not (folder / "costs.csv").exists()
    again = snakemake(copy, "-n", "--config", "study=two", "--", "results/two/data/data.md")
    assert "Nothing to be done" in again.stdout

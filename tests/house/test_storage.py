"""Results in a storage of Snakemake, here another folder; what the workflow brings stays where it is."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from conftest import Run

TABLE = "results/paper/wildchat50m/tables/table1"
SHARED = ("persistence", "software-deployment", "sources", "source-cache")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not shutil.which("rsync"), reason="needs rsync, by which the plugin copies"),
    pytest.mark.skipif(
        not find_spec("snakemake_storage_plugin_fs"),
        reason="needs snakemake-storage-plugin-fs (envs/dev.txt)",
    ),
]


def test_a_table_and_prompts_are_made_in_a_storage(copy: Path, snakemake: Run, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    stored = ["--default-storage-provider", "fs", "--default-storage-prefix", str(store)]
    stored += ["--shared-fs-usage", *SHARED]
    here = snakemake(copy, "--cores", "1", "--config", "study=paper", "--", f"{TABLE}.csv")
    assert here.returncode == 0, here.stdout
    mine = {ending: (copy / f"{TABLE}.{ending}").read_bytes() for ending in ("csv", "md", "tex", "html")}
    shutil.rmtree(copy / "results/paper")
    # Prompts that no model writes: those need the environment of an engine.
    shipped = {"title": "Stored", "source": "computed", "prompts": {"sources": [{"kind": "demo"}]}}
    (copy / "config/studies/stored.yaml").write_text(yaml.safe_dump(shipped))
    for study, wanted in (("paper", f"{TABLE}.csv"), ("stored", "results/stored/prompts/report.json")):
        words = ["--cores", "1", *stored, "--config", f"study={study}", "--", wanted]
        run = snakemake(copy, *words)
        assert run.returncode == 0, run.stdout
        assert (store / wanted).exists()
        assert not (copy / wanted).exists(), "in the storage only"
        assert "Nothing to be done" in snakemake(copy, *words).stdout
    assert {ending: (store / f"{TABLE}.{ending}").read_bytes() for ending in mine} == mine
    # What the workflow and its configuration bring is looked for here, by every rule of the demo.
    run = snakemake(copy, "-n", "--quiet", *stored, "--config", "study=demo")
    assert run.returncode == 0, run.stdout

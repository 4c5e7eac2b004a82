"""The rules of the ground-truth benchmarks, by Snakemake with real lm-eval: what is rerun, what is not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rewild.core.table import read_table
from rewild.evaluation.scores.tidy import SCORES
from warm import link

ROOT = Path(__file__).resolve().parents[2]
LM_EVAL = ROOT / ".envs" / "lm-eval-cpu"

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(
        not (LM_EVAL / "ready").exists(), reason="needs .envs/lm-eval-cpu (make test builds it)"
    ),
]
BENCHMARKS = ("demo-knowledge", "demo-following")


def change(path: Path, *keys: str, value: Any) -> None:
    """Set one value of a YAML file."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    at = rows
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    path.write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")


@pytest.fixture
def place(copy: Path) -> Path:
    """A copy of the workflow with two tiny models, one of which is a run of the study `tiny`.

    The other is only planned with, so its folder is empty.
    """
    (copy / ".envs/engine-cpu").mkdir(parents=True)
    (copy / ".envs/engine-cpu/ready").write_text("the models are there\n")
    link(LM_EVAL, copy / ".envs/lm-eval-cpu")  # piece by piece, so that nothing here can undo the real one
    folder = str(copy / "results/tiny/models/one")
    code = f"from pathlib import Path; from tiny import *; make_model(Path({folder!r}), 0)"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests/engine")}
    subprocess.run([LM_EVAL / "bin/python", "-c", code], check=True, capture_output=True, env=environment)
    (copy / "results/tiny/models/two").mkdir()
    made = {"hidden_size": 64, "heads": 4, "learns": "plain"}
    questions = "results/tiny/questions"
    study = {
        "title": "A tiny model",
        "source": "computed",
        "demo": {"models": {"one": made, "two": made}},
        "runs": {"first": {"model": "one"}},
        "evaluation": {
            "benchmarks": list(BENCHMARKS),
            "limit": 6,
            "settings": {
                "demo-knowledge": {"files": questions},
                "demo-following": {"files": questions, "max_new_tokens": 12},
            },
        },
    }
    (copy / "config/studies/tiny.yaml").write_text(yaml.safe_dump(study))
    return copy


def files(*runs: str) -> list[str]:
    return [f"results/tiny/benchmarks/{run}/{name}/scores.csv" for run in runs for name in BENCHMARKS]


def test_only_what_a_change_concerns_is_run_again(place: Path, snakemake) -> None:
    study, table = place / "config/studies/tiny.yaml", place / "config/benchmarks.yaml"
    folder = place / "results/tiny/benchmarks/first"

    def dry(*runs: str) -> str:
        return str(snakemake(place, "-n", "--config", "study=tiny", "--", *files(*runs)).stdout)

    done = snakemake(place, "--cores", "1", "--config", "study=tiny", "--", *files("first"))
    assert done.returncode == 0, done.stdout
    for name in BENCHMARKS:
        scores = read_table(folder / name / "scores.csv", SCORES)
        assert scores.select("study", "run", "model", "benchmark", "n", "attempted").row(0) == (
            *("tiny", "first", "one", name),
            *(6, 6),
        )
        assert "6 of " in scores["version"][0]
    assert "Nothing to be done" in dry("first")

    # How it is computed concerns nothing.
    change(study, "evaluation", "compute", value={"batch": 3, "minutes": 30})
    assert "Nothing to be done" in dry("first")

    # Another metric is scored from the answers that are there.
    change(table, "demo-following", "metric", value="inst_level_strict_acc,none")
    said = dry("first")
    assert "tiny: scoring first on demo-following" in said
    assert "Params have changed" in said
    assert "takes the ground-truth benchmarks" not in said
    assert "scoring first on demo-knowledge" not in said

    # Another run concerns the first one in nothing.
    change(study, "runs", "second", value={"model": "two"})
    said = dry("first", "second")
    assert "tiny: second takes the ground-truth benchmarks" in said
    assert "tiny: first takes the ground-truth benchmarks" not in said

    # One benchmark's row: one job, of which every other benchmark is kept.
    change(table, "demo-following", "metric", value="prompt_level_strict_acc,none")
    change(study, "evaluation", "settings", "demo-following", "limit", value=4)
    said = dry("first")
    assert said.count("tiny: first takes the ground-truth benchmarks") == 1
    assert "Params have changed since last execution" in said
    before = (folder / "demo-knowledge/samples.jsonl").stat().st_mtime_ns
    done = snakemake(place, "--cores", "1", "--config", "study=tiny", "--", *files("first"))
    assert done.returncode == 0, done.stdout
    log = (place / "logs/tiny/evaluate_run/first.log").read_text(encoding="utf-8")
    assert "first: demo-knowledge kept, demo-following ran" in log
    assert (folder / "demo-knowledge/samples.jsonl").stat().st_mtime_ns == before
    assert read_table(folder / "demo-following/scores.csv", SCORES)["n"].to_list() == [4]

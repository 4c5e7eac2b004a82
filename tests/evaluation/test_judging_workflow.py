"""The rules of judging by Snakemake: what runs, and what a change makes run again."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from judging_workspace import Workspace, clueless, knowing
from rewild.core.table import read_table
from rewild.evaluation.scores.tidy import SCORES

TARGETS = [
    f"results/try/benchmarks/{run}/{benchmark}/scores.csv"
    for run in ("one", "two")
    for benchmark in ("demo-chat", "demo-pairs")
]


@pytest.fixture
def place(copy: Path) -> Path:
    """A copy of the workflow with two runs' answers, and the files that their making would have left."""
    work = Workspace(copy)
    for run, write in (("one", knowing), ("two", clueless)):
        (copy / f"results/try/models/tiny-{'a' if run == 'one' else 'b'}").mkdir(parents=True)
        for benchmark in ("demo-chat", "demo-pairs"):
            work.answer(work.task(benchmark), run, write)
    (copy / ".envs/engine-cpu").mkdir(parents=True)
    (copy / ".envs/engine-cpu/ready").touch()
    return copy


def planned(output: str) -> dict[str, list[str]]:
    """Rule → benchmarks, of a dry run's jobs."""
    found: dict[str, list[str]] = {}
    for what, rule in (("are judged", "judge"), ("scoring ", "score"), ("answers 2 judged", "answer")):
        for line in output.splitlines():
            if line.startswith("Job ") and what in line:
                found.setdefault(rule, []).append((re.findall(r"demo-\w+", line) or ["all"])[-1])
    return {rule: sorted(names) for rule, names in found.items()}


def test_a_change_runs_again_what_depends_on_it_and_nothing_else(place: Path, snakemake) -> None:
    config = ("--config", "study=try", "--")
    done = snakemake(place, "--cores", "2", *config, *TARGETS)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "8 of 8 steps (100%) done" in done.stdout
    scores = pl.concat([read_table(place / path, SCORES) for path in TARGETS])
    assert set(scores["judge"]) == {"rubric"}
    by_run = {r["run"]: r["value"] for r in scores.filter(metric="average", part="all").to_dicts()}
    assert by_run["one"] > by_run["two"] + 3

    def dry(*more: str) -> str:
        return snakemake(place, "--dry-run", "--config", "study=try", *more, "--", *TARGETS).stdout

    assert "Nothing to be done" in dry()

    # One benchmark's judge prompts: that benchmark is judged and scored again, and nothing is answered.
    prompts = place / "resources/demo/judged/judge_prompts.jsonl"
    before = prompts.read_text(encoding="utf-8")
    prompts.write_text(before.replace("You grade the answers", "You mark the answers"), encoding="utf-8")
    output = dry()
    assert planned(output) == {"judge": ["demo-chat"] * 2, "score": ["demo-chat"] * 2}
    assert "judge_prompts.jsonl" in output
    prompts.write_text(before, encoding="utf-8")
    assert "Nothing to be done" in dry()

    # A run's answers: that run is judged, and whoever is compared with it.
    answers = place / "results/try/benchmarks/two/demo-pairs/answers.parquet"
    kept = answers.read_bytes()
    work = Workspace.at(place)
    work.answer(work.task("demo-pairs"), "two", knowing)
    assert planned(dry()) == {"judge": ["demo-pairs"] * 2, "score": ["demo-pairs"] * 2}
    answers.write_bytes(kept)

    # Another judge judges everything again and answers nothing; a budget or a timeout changes nothing.
    study = place / "config/studies/try.yaml"
    text = study.read_text(encoding="utf-8")
    study.write_text(text.replace("judging:", "judging:\n  judge: gpt-4o-mini"), encoding="utf-8")
    assert planned(dry()) == {rule: sorted(["demo-chat", "demo-pairs"] * 2) for rule in ("judge", "score")}
    study.write_text(text.replace("judging:", "judging:\n  budget: 3.5\n  timeout: 20"), encoding="utf-8")
    assert "Nothing to be done" in dry()

    # Another snapshot of the same judge is another judge: what counts is who is asked, not the row's name.
    study.write_text(text, encoding="utf-8")
    models = place / "config/models.yaml"
    rows = models.read_text(encoding="utf-8")
    pinned = "\nrubric: {api: rubric-2026-01-31, family: rubric, roles: [judge], kind: api}\n"
    models.write_text(rows + pinned, encoding="utf-8")
    assert planned(dry()) == {rule: sorted(["demo-chat", "demo-pairs"] * 2) for rule in ("judge", "score")}
    models.write_text(rows, encoding="utf-8")

    # Thrown away, judgments come back from the chunks: nobody is asked, so no key is wanted.
    target = "results/try/benchmarks/one/demo-chat/judgments.parquet"
    judged = place / target
    first = judged.read_bytes()
    judged.unlink()
    done = snakemake(place, "--cores", "2", *config, target)
    assert done.returncode == 0, done.stdout[-3000:]
    assert judged.read_bytes() == first
    log = (place / "logs/try/judge_answers/one/demo-chat.log").read_text()
    assert "to ask for" not in log

"""The full study is laid out: all of it, a part of it, one file of it. Nothing is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import Run

pytestmark = pytest.mark.workflow
Q72, L70 = "qwen2.5-72b-instruct", "llama-3.3-70b-instruct"


def laid_out(snakemake: Run, folder: Path, *arguments: str) -> tuple[dict[str, int], str]:
    """Rule → number of jobs of a dry run, and all that was printed."""
    run = snakemake(folder, "-n", "--quiet", "all", "--config", "study=wildchat50m", *arguments)
    assert run.returncode == 0, run.stdout[-3000:]
    table = run.stdout.partition("Job stats:")[2].partition("\ntotal")[0]
    return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}, run.stdout


def test_all_of_it_from_a_fresh_copy(snakemake: Run, copy: Path) -> None:
    jobs, _ = laid_out(snakemake, copy)
    assert jobs["run_pilot"] == jobs["collect_responses"] == 54
    assert jobs["answer_shard"] == 54 * 100 + 2  # and two fine-tunes on a shard each, for Table 3
    assert jobs["make_mix"] == 54 * 3 + 3 + 4 * 3 + 2 + 1
    assert jobs["train_run"] == 5 * 3 + 2 + 3 + 4 * 3 + 2 + 1 + 6 + 2
    assert jobs["evaluate_run"] == jobs["train_run"] + 6
    assert jobs["score_benchmark"] == 6 * jobs["evaluate_run"]
    assert jobs["state_findings"] == 1


def test_a_part_of_it_and_what_is_said_of_the_rest(snakemake: Run, copy: Path) -> None:
    jobs, text = laid_out(snakemake, copy, f"models={Q72},{L70}", "runs=l8b-q72-250k,l8b-l70-250k,q72,l70")
    assert (jobs["run_pilot"], jobs["make_mix"], jobs["train_run"], jobs["evaluate_run"]) == (2, 2, 2, 4)
    assert "wildchat50m, cut: without 52 of 54 models; 178 of 180 mixes; 2 of 2 preference pairs" in text


def test_one_file_and_nothing_else(snakemake: Run, copy: Path) -> None:
    jobs, _ = laid_out(snakemake, copy, "--", "results/wildchat50m/runs/l8b-q72-250k/passed")
    assert (jobs["answer_shard"], jobs["collect_responses"], jobs["make_mix"], jobs["train_run"]) == (
        100,
        1,
        1,
        1,
    )
    assert "evaluate_run" not in jobs


def test_a_name_that_does_not_exist_is_one_line(snakemake: Run, copy: Path) -> None:
    run = snakemake(copy, "-n", "--config", "study=wildchat50m", "runs=l8b-q72-250")
    assert run.returncode != 0
    assert (
        "error: study wildchat50m: runs=: unknown name 'l8b-q72-250'; did you mean 'l8b-q72-250k'?"
        in run.stdout
    )
    assert "Traceback" not in run.stdout

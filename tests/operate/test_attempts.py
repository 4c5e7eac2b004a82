"""What a second attempt asks for: more only of what the first was short of, never more than the site has."""

from __future__ import annotations

import os
import subprocess
import sys
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import pytest

import conftest
from rewild.config import load_models, load_study
from rewild.generation.spec import memory_mb
from rewild.operate.attempts import LASTING, earlier, ended_by, enough, is_lasting
from rewild.responses.spec import make_spec

ROOT = Path(__file__).resolve().parents[2]
BIG, SMALL = "llama-3.1-405b-instruct", "qwen2-7b-instruct"
OOM = "slurmstepd: error: Detected 1 oom_kill event in StepId=12.0. Some step tasks have been OOM Killed.\n"
SAID = {
    "memory": [
        OOM,
        "slurmstepd: error: Job 7 exceeded memory limit (900 > 300), being killed\n",
        "slurmstepd: error: Exceeded job memory limit\n",
        "srun: error: gpu1: task 0: Out Of Memory\n",
    ],
    "time": ["slurmstepd: error: *** JOB 9 ON gpu1 CANCELLED AT 2025-01-01T00:00:00 DUE TO TIME LIMIT ***\n"],
    "other": [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n",
        "slurmstepd: error: *** JOB 9 ON gpu1 CANCELLED AT 2025-01-01T00:00:00 ***\n",
        "",
    ],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SAID.items() for text in texts])
def test_what_slurm_says_of_an_end(tmp_path: Path, kind: str, text: str) -> None:
    (tmp_path / "1.log").write_text(f"host: gpu1\n{text}")
    assert ended_by(tmp_path / "1.log") == kind


def test_only_the_attempts_of_this_run_count(tmp_path: Path) -> None:
    folder = tmp_path / "rule_answer_shard/study_model_0001"
    folder.mkdir(parents=True)
    for job, text in ((9, OOM), (10, OOM), (101, "other")):
        (folder / f"{job}.log").write_text(text)
    ask = ("answer_shard", ["study", "model", "0001"])
    assert earlier(*ask, 1, tmp_path) == []
    assert earlier(*ask, 2, tmp_path) == ["other"], "by number, not by name"
    assert earlier(*ask, 3, tmp_path) == ["memory", "other"]
    assert earlier("answer_shard", ["study", "model", "0002"], 3, tmp_path) == []


def test_a_group_has_one_log_for_its_rules(tmp_path: Path) -> None:
    (tmp_path / "group_plots/all").mkdir(parents=True)
    (tmp_path / "group_plots/all/5.log").write_text(
        f"Error in rule merge_similarity:\n    output: results/s/similarity/all/summary.csv\n{OOM}"
    )
    assert earlier("merge_similarity", ["s", "all"], 2, tmp_path) == ["memory"]
    assert earlier("merge_similarity", ["s", "some"], 2, tmp_path) == [], "another group's log"
    assert earlier("make_table", ["s", "table1"], 2, tmp_path) == []


@pytest.mark.parametrize(
    ("ends", "after", "most", "asked"),
    [
        ([], "memory", None, 100),
        (["other", "time"], "memory", None, 100),
        (["memory"], "memory", None, 200),
        (["memory", "other", "memory"], "memory", None, 300),
        (["memory", "memory", "memory"], "memory", 250, 250),
        ([], "memory", 80, 80),
        (["time", "time"], None, None, 100),
    ],
)
def test_enough(ends, after, most, asked) -> None:
    assert enough(100, ends, after, most) == asked


class Wildcards(list):
    """A rule's wildcards, as its functions are given them."""

    def __init__(self, **values: str):
        super().__init__(values.values())
        self.__dict__.update(values)


def asked(rule, wildcards, attempt: int = 1) -> SimpleNamespace:
    """What a rule asks for."""
    found = {}
    for name in ("mem_mb", "runtime", "gpu", "gpu_model", "gres", "cpus_per_task"):
        if name in rule.resources:
            evaluate = rule.resources[name]._evaluator
            extra = {"attempt": attempt} if "attempt" in signature(evaluate).parameters else {}
            found[name] = evaluate(wildcards, **extra)
    return SimpleNamespace(**found)


NODES = {"cpu": {"cpus": 64, "memory_gb": 250}, "gpu": {"cpus": 96, "memory_gb": 1000}}
SHARD = Wildcards(study="wildchat50m", model=BIG, shard="0000")


def log(folder: Path, rule: str, wildcards: Wildcards, text: str) -> None:
    place = folder / "logs/slurm" / f"rule_{rule}" / "_".join(wildcards)
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{len(list(place.iterdir())) + 1}.log").write_text(text)


@pytest.mark.workflow
def test_the_largest_model_asks_for_more_memory_only_after_it_was_short(
    on_a_cluster, tmp_path, monkeypatch
) -> None:
    rule = on_a_cluster(nodes=NODES)["answer_shard"]
    monkeypatch.chdir(tmp_path)
    needs = memory_mb(
        make_spec(load_study(ROOT / "config", "wildchat50m"), BIG, load_models(ROOT / "config"))
    )
    assert needs > 500_000
    first = asked(rule, SHARD)
    assert first.mem_mb == needs
    log(tmp_path, "answer_shard", SHARD, SAID["time"][0])
    second = asked(rule, SHARD, 2)
    assert (second.mem_mb, second.runtime) == (needs, first.runtime), "a shard goes on from its chunks"
    log(tmp_path, "answer_shard", SHARD, OOM)
    assert asked(rule, SHARD, 3).mem_mb == 1_000_000, "twice as much, but no more than a node has"


@pytest.mark.workflow
def test_more_time_only_where_a_job_begins_anew(on_a_cluster, tmp_path, monkeypatch) -> None:
    found = on_a_cluster(nodes=NODES)
    monkeypatch.chdir(tmp_path)
    study = {"study": "wildchat50m"}
    resumes = {
        "answer_shard": SHARD,
        "train_run": Wildcards(**study, run="l8b-q72-250k"),
        "evaluate_run": Wildcards(**study, run="q72"),
        "judge_answers": Wildcards(**study, run="q72", benchmark="mt-bench"),
    }
    for name in ("make_viewer", "run_pilot", "make_mix", *resumes):
        wildcards = resumes.get(name, Wildcards(**study, model=BIG))
        before = asked(found[name], wildcards).runtime
        log(tmp_path, name, wildcards, SAID["time"][0])
        again = 1 if name in resumes else 2
        assert asked(found[name], wildcards, 2).runtime == again * before, name
        assert asked(found[name], wildcards, 2).mem_mb == asked(found[name], wildcards).mem_mb, name


@pytest.mark.workflow
def test_run_time_is_that_of_the_estimate(on_a_cluster, tmp_path, monkeypatch) -> None:
    """A shard of 7 billion parameters takes an hour or so, not the twelve that a study allows at most."""
    monkeypatch.chdir(tmp_path)
    rule = on_a_cluster()["answer_shard"]
    small = asked(rule, Wildcards(study="wildchat50m", model=SMALL, shard="0000")).runtime
    large = asked(rule, SHARD).runtime
    most = load_study(ROOT / "config", "wildchat50m").responses.compute.minutes
    assert 30 < small < large < 240 < most


ASKED = {
    "train_run": ({"run": "l8b-q72-250k"}, 690),  # 5.5 hours on four GPUs, twice, and half an hour
    "answer_benchmarks_wildchat50m": ({"run": "q72"}, 80),
    "evaluate_run": ({"run": "l8i"}, 190),  # 200 million tokens of prompts; for q72 the 720 minutes are few
    "sample_answers": ({"preference": "l8i-pairs", "shard": "0000"}, 100),
    "score_answers": ({"preference": "l8i-pairs", "shard": "0000"}, 70),
}


@pytest.mark.workflow
def test_no_job_with_gpus_asks_for_fixed_hours(on_a_cluster, tmp_path, monkeypatch) -> None:
    """Each by the estimate of its kind; and no more than a partition gives."""
    monkeypatch.chdir(tmp_path)
    wildcards = {name: Wildcards(study="wildchat50m", **given) for name, (given, _) in ASKED.items()}
    rules = on_a_cluster()
    found = {name: asked(rules[name], of).runtime for name, of in wildcards.items()}
    assert found == {name: minutes for name, (_, minutes) in ASKED.items()}
    short = conftest.SITE["partitions"] | {"gpu": {"max_runtime": 50, "max_gpu": 8}}
    rules = on_a_cluster(partitions=short)
    assert {asked(rules[name], of).runtime for name, of in wildcards.items()} == {50}


@pytest.mark.workflow
def test_gpus_as_a_site_takes_them(on_a_cluster) -> None:
    usual = asked(on_a_cluster()["answer_shard"], SHARD)
    assert (usual.gpu, usual.gpu_model, usual.gres, usual.cpus_per_task) == (8, "h100", "", 0)
    gres = asked(on_a_cluster(gpu_request="gres", cpus_per_gpu=6)["answer_shard"], SHARD)
    assert (gres.gpu, gres.gpu_model, gres.gres, gres.cpus_per_task) == (0, None, "gpu:h100:8", 48)
    anything = on_a_cluster(gpu_request="gres", gpu_names={"H100-80": None})["answer_shard"]
    assert asked(anything, SHARD).gres == "gpu:8"


def test_what_another_attempt_would_meet_again(tmp_path: Path, rewild) -> None:
    """An error of a setting or a file is marked, in a job of SLURM; one that may pass is not."""
    env = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "SLURM_JOB_ID": "1"}
    code = "import sys; from rewild.__main__ import main; sys.argv = ['rewild', 'resolve', 'papr']; main()"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    (tmp_path / "log").write_text(run.stderr)
    assert run.returncode == 1, run.stderr
    assert "unknown study 'papr'" in run.stderr
    assert is_lasting(tmp_path / "log")
    assert LASTING not in rewild(ROOT, "resolve", "papr").stdout, "a person sees it as before"
    (tmp_path / "busy").write_text("error: results/x: another process is at work; wait for it or stop it\n")
    assert not is_lasting(tmp_path / "busy")
    assert not is_lasting(tmp_path / "none")

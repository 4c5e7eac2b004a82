"""Nodes that are given whole: shards of a model share a job, each with an engine on a GPU of its own.

One engine breaks; another job is cancelled while all its engines are at work. Neither costs what is finished.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml

from cluster import Cluster, wait
from project import MODEL, SHARDS, Project
from rewild.config import load_models, load_study
from rewild.generation.spec import memory_mb
from rewild.responses.spec import make_spec

pytestmark = pytest.mark.workflow
MANIFEST = f"{MODEL}/manifest.json"
AT_ONCE = min(len(os.sched_getaffinity(0)), len(SHARDS))  # this machine's cores, whatever its SLURM says


@pytest.fixture(scope="module")
def whole(calm: Project, tmp_path_factory: pytest.TempPathFactory):
    """A site that gives whole nodes; engines take a GPU, though nobody computes on it."""
    project = Project(tmp_path_factory.mktemp("whole") / "rewild", whole_nodes=True).begin_with(calm)
    path = project.folder / "config/studies/slurm.yaml"
    study = yaml.safe_load(path.read_text())
    study["responses"]["compute"]["device"] = "auto"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    try:
        yield project
    finally:
        project.stop()


def jobs(cluster: Cluster, project: Project) -> list[dict[str, str]]:
    return [job for job in cluster.jobs(project.folder) if "engines-slurm-small" in job["Rule"]]


def test_one_job_has_an_engine_for_each_shard(cluster: Cluster, calm: Project, whole: Project) -> None:
    (whole.faults / "hold").touch()
    whole.start("--retries=0", "--", MANIFEST)

    wait(whole.going(lambda: len(whole.written()) == AT_ONCE), 600, "a chunk of each that is at work")
    (job,) = jobs(cluster, whole)
    study = load_study(whole.folder / "config", "slurm")
    plan = make_spec(study, "small", load_models(whole.folder / "config", study))
    assert (job["TresPerJob"], job["NumNodes"], job["CpusPerTres"]) == ("gres:gpu:h100:4", "1", "gres:gpu:12")
    assert job["MinMemoryNode"] == f"{4 * memory_mb(plan)}M"
    assert job["TimeLimit"] == "00:30:00", "at once, not one after the other"
    assert len({line["gpus"] for line in whole.written()} & {"0", "1", "2", "3"}) == AT_ONCE
    # Cancelled, as at the end of its time: every engine ends with the job.
    subprocess.run(["scancel", job["JobId"]], check=True)
    wait(lambda: not processes(job["JobId"]), 120, "the engines to end")
    (whole.faults / "hold").unlink()
    assert whole.finish() == 1
    assert len(whole.written()) == AT_ONCE, "a chunk each"


def test_an_engine_that_breaks_stops_no_other(cluster: Cluster, whole: Project) -> None:
    (whole.faults / "fail-0002").touch()
    before = len(whole.written())
    whole.start("--retries=0", "--", MANIFEST)
    assert whole.finish() == 1
    assert len(jobs(cluster, whole)) == 2
    assert "\nerror: small: the engine of shard 0002 broke" in log_of(whole, "0002")
    assert "the engine of shard 0002 broke" in whole.said(), "and Snakemake says which"
    started = {line["shard"] for line in whole.written()[before:]}
    assert started - {"0002"} == finished(whole), "the others that were at work went on to their ends"
    assert len(finished(whole)) >= AT_ONCE - 1


def test_a_rerun_makes_only_what_is_missing(cluster: Cluster, calm: Project, whole: Project) -> None:
    before, there = len(whole.written()), finished(whole)
    whole.start("--retries=0", "--", MANIFEST)
    assert whole.finish() == 0, whole.said()[-5000:]
    assert {line["shard"] for line in whole.written()[before:]} == set(SHARDS) - there
    assert finished(whole) == set(SHARDS)
    assert whole.twice() == []
    assert whole.responses() == calm.responses(), "the same bytes as one engine a job"
    manifests = [json.loads((project.folder / MANIFEST).read_text()) for project in (calm, whole)]
    assert manifests[0]["rows"] == manifests[1]["rows"]
    whole.start("-n", "--", MANIFEST)
    assert whole.finish() == 0
    assert "Nothing to be done" in whole.said().rpartition("Building DAG")[2]


def log_of(project: Project, shard: str) -> str:
    path = project.folder / f"logs/slurm/answer_shard/small/{shard}.log"
    return path.read_text() if path.exists() else ""


def finished(project: Project) -> set[str]:
    """The shards whose last job came to its end."""
    return {s for s in SHARDS if f"\nsmall, shard {s}: " in log_of(project, s)}


def processes(job: str) -> list[str]:
    """Processes of a SLURM job."""
    found = subprocess.run(["scontrol", "listpids", job], capture_output=True, text=True, check=False).stdout
    return [line for line in found.splitlines()[1:] if line.split()[0] != "-1"]

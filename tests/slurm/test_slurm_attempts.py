"""What the next attempt of a job asks a real SLURM for."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import Cluster
from project import Project

pytestmark = pytest.mark.workflow
MODEL = "results/slurm/models/small"
GREEDY = "exec python3 -c 'import time; held = bytearray(b\"x\") * 2_800_000_000; time.sleep(300)'"


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path):
    """A copy in which a model is "made" by a script for the shell."""
    made = Project(tmp_path / "rewild")
    try:
        yield made
    finally:
        made.stop()


def install(project: Project, script: str) -> None:
    (project.folder / ".envs/engine-cpu/bin/python").write_text(f"#!/bin/sh\n{script}\n")


def test_more_memory_after_an_out_of_memory(cluster: Cluster, project: Project) -> None:
    install(project, f"if mkdir once; then {GREEDY}; fi; mkdir -p {MODEL}")
    project.start("--retries=2", "--", MODEL)
    assert project.finish(300) == 0, project.said()[-3000:]
    first, second = cluster.of(project.folder, "make_demo_model")
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("2000M", "4000M")
    assert first["TimeLimit"] == second["TimeLimit"], "its time was not up"


def test_the_same_again_after_anything_else(cluster: Cluster, project: Project) -> None:
    """Here the disk is full the first time: that may pass, and needs no more memory."""
    full = "mkdir full && mount -t tmpfs -o size=64k none full"
    write = "head -c 1000000 /dev/zero > full/data; umount full; exit 1"
    install(project, f"if mkdir once; then {full} && {write}; fi; mkdir -p {MODEL}")
    project.start("--retries=2", "--", MODEL)
    assert project.finish(300) == 0, project.said()[-3000:]
    first, second = cluster.of(project.folder, "make_demo_model")
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("2000M", "2000M")


def test_an_error_that_would_come_again_is_not_submitted_again(cluster: Cluster, project: Project) -> None:
    install(project, "exec python3 -m rewild resolve papr")
    project.start("--retries=2", "--", MODEL)
    assert project.finish(300) == 1
    (job,) = cluster.of(project.folder, "make_demo_model")
    assert job["JobState"] == "FAILED"
    assert "unknown study 'papr'" in project.said()

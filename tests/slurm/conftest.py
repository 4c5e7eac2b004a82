"""A SLURM for the session, and copies of the workflow that use it. A step of its own in `make test`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cluster import Cluster, NoSlurmError, reason_against
from project import ENGINE, MODEL, Project


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A SLURM that runs as long as the tests."""
    if reason := reason_against():
        pytest.skip(reason)
    os.environ.pop("SLURM_CONF", None)
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        try:
            made.start()
        except NoSlurmError as error:
            pytest.skip(f"no SLURM comes up on this machine: {error}")
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def calm(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A run in which nothing goes wrong: what the others must come to."""
    if not ENGINE.exists():
        pytest.skip(
            f"needs the engine's environment: {ENGINE.parent.parent} (snakemake .envs/engine-cpu/ready)"
        )
    project = Project(tmp_path_factory.mktemp("calm") / "rewild")
    try:
        project.start(
            f"{MODEL}/manifest.json",
            "results/slurm/responses/qwen2.5-72b-instruct/0000.parquet",
            "results/slurm/config.yaml",
        )
        assert project.finish() == 0, project.said()[-5000:]
        yield project
    finally:
        project.stop()


@pytest.fixture(scope="session")
def storms(
    cluster: Cluster, calm: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Project]]:
    """Two runs in which much goes wrong, side by side: see the tests for what."""
    stormy = Project(tmp_path_factory.mktemp("storm") / "rewild").begin_with(calm)
    taken = Project(tmp_path_factory.mktemp("taken") / "rewild", "spare", True).begin_with(calm)
    try:
        yield {"stormy": stormy, "taken": taken}
    finally:
        stormy.stop()
        taken.stop()

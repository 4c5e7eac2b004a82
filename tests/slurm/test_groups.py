"""Short rules that feed each other, through a real SLURM: one job, with room for the largest of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import Cluster
from project import Project

pytestmark = pytest.mark.workflow
SIMILARITY = "results/slurm/similarity/all"


def test_rules_of_a_group_are_one_job(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(tmp_path / "rewild")
    blocks = project.folder / SIMILARITY / "blocks"
    blocks.mkdir(parents=True)
    for suffix in ("parquet", "csv"):
        (blocks / f"0000.{suffix}").touch()  # nothing that can be summarised: the first of the two fails
    try:
        project.start(
            *("--retries=2", "--allowed-rules", "merge_similarity", "plot_similarity", "--"),
            f"{SIMILARITY}/figures/heatmap_rouge1.svg",
        )
        assert project.finish() == 1, project.said()[-5000:]
    finally:
        project.stop()
    (job,) = cluster.jobs(project.folder)  # what is wrong with a file is wrong again: one submission
    assert "plots" in job["Rule"]
    assert job["JobState"] == "FAILED"
    assert job["Partition"] == "cpu"
    assert job["MinMemoryNode"] == "4000M", "of the summary, which needs more than the figure after it"
    assert job["TimeLimit"] == "00:40:00", "one after the other: 30 and 10 minutes"
    assert "gpu" not in job.get("TresPerJob", "") + job["TRES"]
    log = (project.folder / "logs/slurm/merge_similarity/all.log").read_text()
    assert log.startswith("error: ")
    drawing = (project.folder / "logs/slurm/plot_similarity").rglob("*.log")
    assert {path.read_text() for path in drawing} <= {""}, "nothing to draw, so nobody tried"

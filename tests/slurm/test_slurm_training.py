"""Training through a real SLURM: Axolotl fine-tunes a tiny model, and a large one's job is asked for."""

from __future__ import annotations

import json
import subprocess

import pytest

from cluster import Cluster, wait
from project import TRAINER, Project
from rewild.config import load_models
from rewild.config.recipes import load_recipes
from rewild.core.weights import UNPINNED

pytestmark = pytest.mark.workflow
RUNS = "results/slurm/runs"


def test_a_run_is_trained_by_jobs_that_ask_for_its_recipe(cluster: Cluster, calm: Project) -> None:
    if not TRAINER.exists():
        pytest.skip(f"needs Axolotl's environment: no {TRAINER} (snakemake .envs/axolotl-cpu/ready)")
    calm.start(f"{RUNS}/tuned/training.json")
    assert calm.finish(1800) == 0, calm.said()[-5000:]
    recipe = load_recipes(calm.folder / "config")["demo"]
    (job,) = cluster.of(calm.folder, "train_run", "slurm_tuned")
    assert job["JobState"] == "COMPLETED"
    assert job["Partition"] == "cpu", "the recipe has no GPUs"
    assert "gpu" not in job.get("TresPerJob", "") + job["TRES"]
    assert job["MinMemoryNode"] in (f"{1000 * recipe.memory_gb}M",)
    assert job["TimeLimit"] == f"00:{recipe.minutes}:00"
    trained = json.loads((calm.folder / RUNS / "tuned/training.json").read_text())
    assert trained["steps"] > 0
    assert list((calm.folder / RUNS / "tuned/checkpoint").glob("*.safetensors"))


def test_the_papers_recipe_asks_for_four_gpus_on_one_node(cluster: Cluster, calm: Project) -> None:
    recipe = load_recipes(calm.folder / "config")["wildchat50m"]
    folder = calm.folder / RUNS / "large"
    folder.mkdir(parents=True)
    mix = calm.folder / "results/slurm/mixes/few"
    mix.mkdir(parents=True, exist_ok=True)
    for path in (
        *(mix / name for name in ("train.parquet", "card.json", "card.md")),
        folder / "axolotl.yaml",
    ):
        if not path.exists():
            path.touch()
    (folder / "preflight.json").touch()
    row = load_models(calm.folder / "config")["llama-3.1-8b"]
    weights = calm.folder / f"results/downloads/models/{row.hub}/{row.revision or UNPINNED}.json"
    kernel = calm.folder / "results/downloads/kernels/flash-attn2/kernel.json"
    for fetched in (weights, kernel):
        fetched.parent.mkdir(parents=True)
        fetched.touch()
    calm.start("--retries=0", "--allowed-rules", "train_run", "--", f"{RUNS}/large/training.json")

    def running() -> bool:
        return "RUNNING" in [job["JobState"] for job in cluster.of(calm.folder, "train_run", "slurm_large")]

    wait(calm.going(running), 600, "the run's job to start")
    (job,) = cluster.of(calm.folder, "train_run", "slurm_large")
    subprocess.run(["scancel", job["JobId"]], check=True)
    assert job["TresPerJob"] == f"gres:gpu:h100:{recipe.gpus}" == "gres:gpu:h100:4"
    assert (job["Partition"], job["NumNodes"]) == ("gpu", "1")
    assert job["NumCPUs"] == str(12 * recipe.gpus)
    assert job["MinMemoryNode"] in ("250G", "256000M")
    assert job["TimeLimit"] == "00:40:00", "a few conversations take no day: by the estimate"
    assert calm.finish() == 1
    assert not (folder / "training.json").exists()

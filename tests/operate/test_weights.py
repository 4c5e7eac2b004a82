"""Weights are fetched before GPUs are asked for: pinned, as safetensors; and copied to a node's disk."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

import conftest
from parsed import rules as parse
from rewild.config import load_models, load_study
from rewild.config.measures.models import Reward
from rewild.config.preferences import RewardModel
from rewild.core.errors import DataError, RewildError
from rewild.core.weights import UNPINNED, fetch_model, record
from rewild.operate.preflight import _gated_data
from test_attempts import Wildcards

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A hub of one repository, with weights in two forms."""
    asked = []
    files = (
        "model.safetensors",
        "config.json",
        "modeling.py",
        "pytorch_model.bin",
        "original/consolidated.00.pth",
    )

    def snapshot_download(repository, **kwargs):
        asked.append((repository, kwargs))
        if repository == "some/gated":
            raise PermissionError("403: ask for access")
        folder = tmp_path / "snapshots" / (kwargs["revision"] or COMMIT)
        for name in files:
            if any(Path(name).match(p) for p in kwargs["allow_patterns"]):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text("x")
        return str(folder)

    module = ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return asked


def test_a_pinned_revision_comes_as_safetensors(hub, tmp_path: Path) -> None:
    fetch_model("some/model", COMMIT, tmp_path / "record.json")
    ((repository, asked),) = hub
    assert (repository, asked["revision"]) == ("some/model", COMMIT)
    kept = json.loads((tmp_path / "record.json").read_text())
    assert kept == {
        "hub": "some/model",
        "commit": COMMIT,
        "bytes": 2,
        "files": {"config.json": 1, "model.safetensors": 1},
    }
    fetch_model("some/model", None, tmp_path / "record.json", code=True)
    assert "modeling.py" in json.loads((tmp_path / "record.json").read_text())["files"]


def test_what_cannot_be_fetched_is_said(hub, tmp_path: Path) -> None:
    with pytest.raises(RewildError, match="some/gated at main cannot be fetched: 403: ask for access"):
        fetch_model("some/gated", None, tmp_path / "record.json")
    assert not (tmp_path / "record.json").exists()


def test_weights_that_are_not_all_there(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_text("x")
    with pytest.raises(DataError, match=r"no safetensors in .*Pickled weights are code"):
        record("some/model", tmp_path)
    (tmp_path / "a.safetensors").write_text("x")
    index = {"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"b\.safetensors, which the index names, is not in"):
        record("some/model", tmp_path)


def test_gated_data_sets_need_the_token_too() -> None:
    gpqa = SimpleNamespace(dataset="Idavidrein/gpqa")
    study = SimpleNamespace(
        evaluation=SimpleNamespace(benchmarks=["gpqa", "own"]),
        prompts=SimpleNamespace(sources=[SimpleNamespace(repository="lmsys/LMSYS-Chat-1M")]),
        mixes={"m": SimpleNamespace(sources=[SimpleNamespace(model="q72")])},
    )
    world = SimpleNamespace(study=study, benchmarks={"gpqa": gpqa, "own": SimpleNamespace(dataset=None)})
    assert _gated_data(world) == ["Idavidrein/gpqa", "lmsys/LMSYS-Chat-1M"]  # type: ignore[arg-type]


def staged(tmp_path: Path, **environment: str) -> str:
    text = (ROOT / "workflow/rules/common.smk").read_text()
    lines = re.search(r"'(staged\(\) .*?\}; )'\n", text, re.DOTALL)
    assert lines
    function = re.sub(r"'\n\s+'", "", lines[1]).encode().decode("unicode_escape")
    run = subprocess.run(
        ["bash", "-c", f"set -euo pipefail; {function} staged some/model; echo ${{HF_HUB_CACHE:-none}}"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "HF_HOME": str(tmp_path / "home"), **environment},
    )
    return run.stdout.strip()


@pytest.mark.heavy
def test_weights_are_copied_to_the_nodes_disk(tmp_path: Path) -> None:
    source = tmp_path / "home/hub/models--some--model"
    source.mkdir(parents=True)
    (source / "weights").write_text("x")
    assert staged(tmp_path) == "none"
    disk = tmp_path / "a disk"
    assert staged(tmp_path, REWILD_STAGING=str(disk)) == f"{disk}/hub"
    assert (disk / "hub/models--some--model/weights").read_text() == "x"
    (tmp_path / "file").write_text("no folder can be made here")
    assert staged(tmp_path, REWILD_STAGING=str(tmp_path / "file")) == "none", "then they stay where they are"


@pytest.mark.workflow
def test_gpus_wait_for_the_weights(copy: Path, snakemake, monkeypatch) -> None:
    monkeypatch.delenv("REWILD_SITE", raising=False)
    (copy / "slurm").symlink_to("profiles/slurm")
    (copy / "profiles/slurm/site.yaml").write_text(yaml.safe_dump(conftest.SITE, sort_keys=False))
    pilot = "results/wildchat50m/pilot/qwen2.5-72b-instruct/report.json"
    run = snakemake(copy, "--profile", "slurm", "-n", "-p", "--config", "study=wildchat50m", "--", pilot)
    assert run.returncode == 0, run.stdout[-3000:]
    assert "-m rewild fetch-model Qwen/Qwen2.5-72B-Instruct" in run.stdout
    without = snakemake(copy, "-n", "-p", "--config", "study=wildchat50m", "--", pilot)
    assert "-m rewild fetch-model Qwen/Qwen2.5-72B-Instruct" in without.stdout, "one set of inputs everywhere"


# Rule → wildcards of one of its jobs, and the model that it waits for.
OF_FULL_STUDY = {
    "run_pilot": ({"model": "qwen2.5-72b-instruct"}, "q72"),
    "answer_shard": ({"model": "qwen2.5-72b-instruct", "shard": "0000"}, "q72"),
    "train_run": ({"run": "l8b-q72-250k"}, "l8b"),
    "evaluate_run": ({"run": "q72"}, "q72"),
    "answer_benchmarks_wildchat50m": ({"run": "q72"}, "q72"),
    "sample_answers": ({"preference": "l8i-pairs", "shard": "0000"}, "l8i"),
    "score_answers": ({"preference": "l8i-pairs", "shard": "0000"}, "reward"),
}
OF_MAGPIE = {
    "pilot_synthesis": ({"source": "air"}, "l3i"),
    "synthesise_shard": ({"source": "air", "step": "0", "shard": "0000"}, "l3i"),
    "measure_texts": (
        {"measure": "reward", "subject": "meta-llama-3-8b-instruct", "part": "0000"},
        "magpie's reward",
    ),
    "embed_texts": ({"measure": "space", "subject": "prompts", "part": "0000"}, "space"),
}
OWN = {
    "postflight_run",  # tries the checkpoint that train_run wrote
    "judge_answers",  # of a judge that is loaded: tests/evaluation/test_local_judges.py
}


@pytest.mark.workflow
def test_every_rule_with_gpus_waits_for_its_weights(on_a_cluster) -> None:
    """And for the same ones with every profile: a set of inputs that changes runs a job again."""
    models = load_models(ROOT / "config")
    scorer = load_study(ROOT / "config", "wildchat50m").preferences["l8i-pairs"].scorer
    assert isinstance(scorer, RewardModel)
    pinned = {
        name: (models[slug].hub, models[slug].revision)
        for name, slug in {
            "q72": "qwen2.5-72b-instruct",
            "l8b": "llama-3.1-8b",
            "l8i": "llama-3.1-8b-instruct",
            "l3i": "meta-llama-3-8b-instruct",
        }.items()
    } | {"reward": (scorer.path, scorer.revision)}
    reward = load_study(ROOT / "config", "magpie").measures["reward"]
    assert isinstance(reward, Reward)
    pinned["magpie's reward"] = (reward.model, reward.revision)
    pinned["space"] = ("sentence-transformers/all-mpnet-base-v2", "e8c3b32edf5434bc2275fc9bab85f82640a19130")

    def waits_for(rules) -> dict[str, list[str]]:
        found = {}
        for rule in rules.values():
            studies = ("answer_benchmarks_" in rule.name) and "wildchat50m" not in rule.name
            if "gpu" in rule.resources and rule.name not in OWN and not studies:
                study = "magpie" if rule.name in OF_MAGPIE else "wildchat50m"
                given, _ = (OF_MAGPIE | OF_FULL_STUDY)[rule.name]
                weights = dict(rule.input.items())["weights"]
                found[rule.name] = [str(p) for p in weights(Wildcards(study=study, **given))]
        return found

    wanted = {
        name: [f"results/downloads/models/{pinned[of][0]}/{pinned[of][1] or UNPINNED}.json"]
        for name, (_, of) in (OF_MAGPIE | OF_FULL_STUDY).items()
    }
    assert waits_for(on_a_cluster()) == wanted
    assert waits_for({rule.name: rule for rule in parse()}) == wanted

"""In what precision real Axolotl trains: sharded by FSDP2 between two processes, and left to itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from invented import conversations, write_mix
from on_cpu import ON
from rewild.core.errors import RewildError
from rewild.core.table import read_table
from rewild.training.runs.preflight import preflight
from rewild.training.runs.render import axolotl_config
from rewild.training.runs.schema import LOSS
from rewild.training.runs.train import train

SHARDED: dict[str, Any] = {"gpus": 2, "fsdp": {}, "precision": "bf16", "optimizer": "adamw_torch_fused"}
PAIRS: dict[str, Any] = {"kind": "dpo", "beta": 0.5, "packing": False, "learning_rate": 3e-3}


@pytest.fixture
def trained(bench, warm, monkeypatch):
    """Preflight and training of a recipe, with plugins of this folder after ours."""

    def start(run: str, mix: Path, *plugins: str, **recipe: Any):
        def rendered(*words: Any) -> dict[str, Any]:
            config = axolotl_config(*words)
            config["tf32"] = False  # a CPU has none
            config["plugins"] += [f"on_cpu.{name}" for name in plugins]
            return config

        monkeypatch.setattr("rewild.training.runs.preflight.axolotl_config", rendered)
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
        training, files = bench.training(run, **recipe), bench.files(run)
        report = preflight(training, mix, files, 1, print)
        assert report.passed, report
        monkeypatch.setenv(ON, "1")
        return files, train(training, mix, files, 1, print)

    return start


@pytest.fixture
def pairs(tmp_path) -> Path:
    answers = [{"role": "assistant", "content": text} for text in ("water and light", "code code code")]
    rows = [
        {"id": str(i), "messages": chat[:1], "chosen": answers[0], "rejected": answers[1]}
        for i, chat in enumerate(conversations(16))
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "train.parquet")
    return tmp_path / "train.parquet"


def test_sharded_weights_and_moments_are_in_fp32_and_products_in_bf16(trained, tmp_path):
    """FSDP2, two processes: Axolotl 0.19 by itself holds all three in bf16."""
    mix = write_mix(tmp_path / "train.parquet", conversations(32))
    files, measured = trained("sharded", mix, "OnCpu", **SHARDED)
    assert measured.processes == 2
    assert set(measured.parameters) == set(measured.optimizer) == {"float32"}
    assert measured.optimizer["float32"] == 2 * measured.parameters["float32"], "two moments of each weight"
    assert measured.compute == "bfloat16"
    saved = load_file(files.checkpoint() / "model.safetensors")
    assert {t.dtype for t in saved.values()} == {torch.bfloat16}
    assert measured.saved == {"bfloat16": sum(t.numel() for t in saved.values())}
    assert json.loads((files.checkpoint() / "config.json").read_text())["dtype"] == "bfloat16"
    losses = read_table(files.folder / "loss.csv", LOSS)["loss"].to_list()
    assert any(loss != torch.tensor(loss).bfloat16().item() for loss in losses), "logged in more than bf16"


def test_a_sharded_preference_tuning_begins_at_ln_2(trained, pairs):
    files, measured = trained("sharded-dpo", pairs, "OnCpu", **SHARDED, **PAIRS)
    assert set(measured.parameters) == set(measured.optimizer) == {"float32"}
    assert measured.compute == "bfloat16"
    losses = read_table(files.folder / "loss.csv", LOSS)["loss"]
    assert losses[0] == pytest.approx(0.6931, abs=4e-3)  # logged in bf16
    assert losses[-1] < losses[0]


def test_a_training_in_bf16_alone_stops_after_its_first_step(trained, tmp_path):
    mix = write_mix(tmp_path / "train.parquet", conversations(16))
    told = r"stopped: weights in bfloat16 .*, the optimiser's state in bfloat16 .*weights are in bfloat16"
    with pytest.raises(RewildError, match=told):
        trained("halved", mix, "OnCpu", "Halved", gpus=1, precision="bf16")


def test_a_preference_tuning_from_another_reference_stops_after_its_first_step(trained, pairs):
    with pytest.raises(RewildError, match=r"stopped: the first step's loss is .*another reference model"):
        trained("other", pairs, "OnCpu", "OtherReference", **PAIRS)

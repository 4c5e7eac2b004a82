"""In what precision a run was trained, and where a preference tuning began: gates that a wrong run fails."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewild.config.recipes import load_recipes
from rewild.core.errors import DataError
from rewild.training.runs.gates import FIRST_DPO, first_preference_loss, precision
from rewild.training.runs.postflight import _gates
from rewild.training.runs.published import store_weights, stored
from rewild.training.runs.schema import Measured
from test_runs import MEASURED, a_training

ROOT = Path(__file__).resolve().parents[2]
RIGHT = {"parameters": {"float32": 10}, "optimizer": {"float32": 20}, "compute": "bfloat16", "wanted": "bf16"}


def test_master_weights_in_fp32_that_compute_in_bf16_are_right() -> None:
    check = precision(**RIGHT)
    assert check.passed
    assert check.found == (
        "weights in float32 (10), the optimiser's state in float32 (20), computed in bfloat16"
    )
    assert precision(**RIGHT | {"compute": "float32", "wanted": "fp32"}).passed


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        # What Axolotl 0.19 does with FSDP2 by itself.
        ({"parameters": {"bfloat16": 10}, "optimizer": {"bfloat16": 20}}, "weights are in bfloat16;"),
        ({"parameters": {"bfloat16": 10}}, "weights are in bfloat16"),
        ({"parameters": {"float32": 9, "bfloat16": 1}}, "weights are in bfloat16"),
        ({"parameters": {"float16": 1, "bfloat16": 1}}, "weights are in bfloat16 and float16"),
        ({"optimizer": {"bfloat16": 20}}, "the optimiser's state are in bfloat16"),
        ({"optimizer": {"uint8": 20}}, "the optimiser's state are in uint8"),
        ({"parameters": {}}, "of weights nothing is known"),
        ({"optimizer": {}}, "of the optimiser's state nothing is known"),
        ({"compute": "float32"}, "the forward pass is in float32"),
        ({"compute": None}, "the forward pass is in a precision that is not known"),
        ({"wanted": "fp32"}, "the forward pass is in bfloat16"),
    ],
)
def test_any_other_precision_fails(wrong: dict[str, Any], told: str) -> None:
    check = precision(**RIGHT | wrong)
    assert not check.passed
    assert told in check.remedy


@pytest.mark.parametrize(
    ("loss", "passed"),
    [
        (math.log(2), True),
        (FIRST_DPO - 0.0199, True),
        (FIRST_DPO + 0.0199, True),
        (FIRST_DPO - 0.0201, False),
        (FIRST_DPO + 0.0201, False),
        (0.0, False),
        (1.3, False),
        (float("nan"), False),
        (float("inf"), False),
        (None, False),
    ],
)
def test_a_preference_tuning_begins_at_ln_2(loss: float | None, passed: bool) -> None:
    check = first_preference_loss(loss)
    assert check.passed is passed
    assert bool(check.remedy) is not passed


def measured(**over: Any) -> Measured:
    return Measured.model_validate(MEASURED | over)


def test_the_postflight_asks_what_was_recorded() -> None:
    """A run in bf16, and a preference tuning that began elsewhere, fail; whatever its loss did after."""
    recipes = load_recipes(ROOT / "config")
    sft, losses = a_training("rh"), pl.DataFrame({"step": [1, 2], "loss": [0.9, 0.1]})
    assert [(c.name, c.passed) for c in _gates(measured(), losses, sft)] == [("precision", True)]
    half = measured(parameters={"bfloat16": 5}, optimizer={"bfloat16": 10})
    assert [c.passed for c in _gates(half, losses, sft)] == [False]
    dpo = sft.__class__(**{**vars(sft), "recipe": recipes["demo-dpo"]})
    found = [(c.name, c.passed) for c in _gates(measured(), losses, dpo)]
    assert found == [("precision", True), ("first_loss", False)]
    begun = pl.DataFrame({"step": [1, 2], "loss": [0.69, 0.1]})
    assert all(c.passed for c in _gates(measured(), begun, dpo))
    lost = pl.DataFrame({"step": [2, 3], "loss": [0.69, 0.1]})
    assert [c.passed for c in _gates(measured(), lost, dpo)] == [True, False], "its first step is missing"


def safetensors(path: Path, dtype: str, shape: list[int], size: int) -> Path:
    """A file of one tensor, by the format's definition."""
    length = math.prod(shape) * size
    header = json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, length]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(length))
    return path


def test_weights_that_are_right_are_published_as_they_are(tmp_path: Path) -> None:
    source, folder = tmp_path / "out", tmp_path / "published"
    source.mkdir()
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama", "torch_dtype": "float32"}')
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    for name in names:
        assert stored(safetensors(source / name, "BF16", [2, 3], 2)) == {"bfloat16": 6}
    (source / "model.safetensors.index.json").write_text('{"metadata": {"total_size": 48}, "weight_map": {}}')
    assert store_weights(source, folder, "bf16") == {"bfloat16": 12}
    assert [(folder / n).read_bytes() == (source / n).read_bytes() for n in names] == [True, True]
    assert json.loads((folder / "config.json").read_text()) == {"model_type": "llama", "dtype": "bfloat16"}
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 24, "bytes, of what is there"


@pytest.mark.parametrize("content", [b"", b"\x05\0\0\0\0\0\0\0{", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_broken_file_of_weights_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"model\.safetensors: not a whole safetensors file"):
        stored(tmp_path / "model.safetensors")

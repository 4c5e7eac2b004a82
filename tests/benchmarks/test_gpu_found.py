"""What the measurements on a GPU make of their numbers: constants, verdicts. No model is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from rewild.core.errors import RewildError
from rewild.core.table import provenance, write_table
from rewild.training.runs.schema import LOSS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("benchmarks", "tests/engine"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    monkeypatch.chdir(ROOT)


def test_configurations_have_the_weights_of_their_rows(tmp_path: Path) -> None:
    """transformers' own formula for a decoder's weights, on each file that is written."""
    from gpu.common import KINDS, make_config

    for shape in KINDS:
        row = make_config(tmp_path, shape, 4096)
        c = json.loads((tmp_path / "config.json").read_text())
        hidden, inner, head = c["hidden_size"], c["intermediate_size"], c["head_dim"]
        attention = 2 * hidden * head * (c["num_attention_heads"] + c["num_key_value_heads"])
        layer = attention + 3 * hidden * inner
        embeddings = c["vocab_size"] * hidden * (1 if c["tie_word_embeddings"] else 2)
        stated = row.parameters.total if row.parameters else row.dimensions.parameters()[0]
        assert c["num_hidden_layers"] * layer + embeddings == pytest.approx(stated, rel=0.002), shape
        assert c["max_position_embeddings"] == 4096


MEASURED = {
    "type": "H100-80",
    "gpu": "NVIDIA H100 80GB HBM3",
    "gpu_gib": 79.19,
    "start_s": 69.5,
    "weights_gib": 14.96,
    "activations_gib": 2.5,
    "graphs_gib": 0.45,
    "graphs_estimated_gib": 0.92,
    "max_num_batched_tokens": 16_384,
    "kv_tokens": 432_896,
    "reserve_gib": 0.64,
    "planned": {
        "weights_gib": 14.96,
        "activations_gib": 2.0,
        "graphs_estimated_gib": 0.46,
        "reserve_gib": 1.0,
        "kv_tokens": 460_287,
    },
}


def test_the_constants_come_from_the_shape_that_needs_most() -> None:
    from gpu.plan import constants

    other = MEASURED | {"reserve_gib": 1.25, "start_s": 90.0}
    failed = {"shape": "yi-1.5-34b-chat", "planned": MEASURED["planned"]}  # it did not start
    reserve, memory, *each, start = constants({"small": MEASURED, "large": other, "failed": failed})
    assert reserve == (
        "workflow/rewild/config/gpus.py, H100-80: reserve_gib is at least 1.25 (of large; the plan has 1.00)"
    )
    assert memory.endswith("memory_gib is 79.19 on this NVIDIA H100 80GB HBM3")
    assert len(each) == 6
    plan = "workflow/rewild/engines/plan.py"
    assert each[0] == (f"{plan}, GRAPH_BYTES: times 2.000 by small (vLLM expects 0.92 GiB and takes 0.45)")
    assert each[1] == (
        f"{plan}, activation_bytes: times 1.250 by small (2.50 GiB at 16,384 tokens of a step)"
    )
    assert each[5] == f"{plan}, weight_bytes: times 1.0000 by large; tokens of KV cache: times 0.940"
    assert start == "resources/cost/assumptions.yaml, start_minutes: 1.5, without reading weights"


def test_speeds_stand_beside_what_the_roofline_expects() -> None:
    from gpu.speed import beside

    expected = {"prefill_tokens_per_s": 20_000, "answer_tokens_per_s": 8_000, "step_ms": {8: 5.0, 64: 8.0}}
    found = {"expected": expected, "precision": "bf16", "prefill_tokens_per_s": 30_000, "step_ms": {8: 6.0}}
    lines = beside(found)
    assert lines[2:] == [
        "| prefill, tokens/s | 3e+04 | 2e+04 | 1.50 |",
        "| a step of 8 sequences, ms | 6 | 5 | 1.20 |",
        "resources/cost/assumptions.yaml, roofline, arithmetic: times 1.500",
    ]
    done = found | {"bare_answer_tokens_per_s": 9_785, "ours_answer_tokens_per_s": 9_600, "share": 0.981}
    assert "| ours, answer tokens/s | 9,600 | 8,000 | 1.20 |" in beside(done)
    assert beside(done)[-1] == "ours keeps 98.1% of the bare call"


def test_the_roofline_of_a_shape_is_that_of_the_plan() -> None:
    """Of the 8B, beside what was measured of it (docs/gpu.md): within a factor of 1.5."""
    from feed import lengths_of_gpu
    from gpu.plan import gpu_type
    from gpu.speed import Roofline
    from rewild.config import load_models

    row = load_models(ROOT / "config")["llama-3.1-8b-instruct"]
    name, gpu = gpu_type({"gpu_gib": 79.19}, 0.9)
    assert name == "H100-80"
    expected = Roofline(row, "bf16", gpu, lengths_of_gpu(2560))
    measured = {1: 6.5, 64: 8.8, 256: 12.1, 512: 21.6}
    for sequences, ms in measured.items():
        assert ms / 1.5 < expected.step_ms(sequences) < ms * 1.5, sequences
    assert 42_423 / 1.5 < expected.prefill_tokens_per_s < 42_423 * 1.5
    assert 9_785 / 1.5 < expected.answer_tokens_per_s < 9_785 * 1.5


def test_backends_are_compared_per_token() -> None:
    from gpu.lm_eval import compare, faults

    ours = [{"nats": [-2.0, -8.0], "tokens": [1.0, 4.0]}, {"nats": [-3.0, -1.0], "tokens": [1.0, 1.0]}]
    theirs = [{"nats": [-2.1, -8.4], "tokens": [1.0, 4.0]}, {"nats": [-3.0, -3.2], "tokens": [1.0, 1.0]}]
    found = compare(ours, theirs)
    assert found["mean"] == pytest.approx((0.1 + 0.1 + 0 + 2.2) / 4)
    assert found["largest"] == pytest.approx(2.2)
    assert (found["questions"], found["choices"], found["same_choice"]) == (2, 4, 1)
    (far,) = faults({"t": found}, 0.03)
    assert far.startswith("t: 0.6 nats a token apart on average")
    same = compare(theirs, theirs)
    assert faults({"t": same}, 0.03) == []
    (alike,) = faults({"t": same | {"spread": 0.05}}, 0.03)
    assert "tells nothing" in alike
    assert faults({"t": same | {"mean": float("nan")}}, 0.03), "a number that is none is no agreement"


class Done:
    """What a training measured."""

    def __init__(self, **over: Any) -> None:
        held: dict[str, Any] = {
            "parameters": {"float32": 9},
            "optimizer": {"float32": 18},
            "compute": "bfloat16",
        }
        self.__dict__ |= held | {
            "saved": {"bfloat16": 9},
            "steps": 8,
            "resumed": 4,
            "starts": 2,
            "seconds": 4.0,
        }
        self.__dict__ |= {
            "tokens_per_second": 15_600.4,
            "trained_tokens_per_second": 9.0,
            "peak_memory": 2**30,
        }
        self.__dict__ |= {"versions": {}} | over


def tuned(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch, loss: float, **over: Any
) -> dict[str, Any]:
    """What sft.py finds, of a training that ends as is told, and is killed first where that is to be."""
    from gpu import sft
    from gpu.common import Found
    from rewild.training.runs import preflight, train

    starts = []

    def trained(training: Any, data: Path, files: Any, threads: int, say: Any) -> Done:
        assert pl.read_parquet(data).height > 0
        starts.append(say.done)
        if kind == "sft" and len(starts) == 1:
            out = files.work / "hash/out/checkpoint-4"
            out.mkdir(parents=True)
            say("a step before it is whole")
            assert not say.done
            (out / "sealed.json").write_text("{}")
            say("a step after")
            raise RewildError("run sft: Axolotl was killed by signal 9; run it again, it goes on:\n  …")
        rows = [{"step": i + 1, "epoch": 0.1, "loss": loss, "learning_rate": 0.1} for i in range(8)]
        frame = pl.DataFrame([{n: r.get(n) for n in LOSS.columns} for r in rows], schema=LOSS.dtypes)
        write_table(files.folder / "loss.csv", frame, LOSS, provenance([data]))
        return Done(**over)

    monkeypatch.setattr(sft, "make_llama", lambda folder, *_, **__: folder)
    monkeypatch.setattr(sft, "children", lambda _: [])
    monkeypatch.setattr(preflight, "preflight", lambda *_: SimpleNamespace(checks=[]))
    monkeypatch.setattr(train, "train", trained)
    found = Found(folder / "found.json")
    sft.measure(folder, kind, small=False, found=found)
    return json.loads((folder / "found.json").read_text()) | {"starts_seen": starts}


def test_a_training_is_killed_at_its_first_whole_checkpoint_and_resumed(tmp_path, monkeypatch) -> None:
    found = tuned(tmp_path, "sft", monkeypatch, 4.01)
    assert found["starts_seen"] == [False, True]
    assert found["killed"] == "run sft: Axolotl was killed by signal 9; run it again, it goes on:"
    assert (found["packing"], found["tokens_per_step"]) == (True, 16_384)
    assert (found["tokens_per_second"], found["seconds_per_step"], found["peak_gib"]) == (15_600, 0.5, 1.0)
    assert found["wrong"] == []


@pytest.mark.parametrize(
    ("case", "complaint"),
    [
        (("sft", 4.0, {"starts": 1, "resumed": 0}), "killed once and resumed: 1 starts, from step 0"),
        (("sft", 4.0, {"optimizer": {"bfloat16": 18}}), "the optimiser's state are in bfloat16"),
        (("dpo", 0.72, {}), "before the first update the model is its own reference"),
        (("dpo", 0.7126, {}), None),
    ],
)
def test_what_is_wrong_with_a_training_is_said(tmp_path, monkeypatch, case, complaint) -> None:
    kind, loss, over = case
    found = tuned(tmp_path, kind, monkeypatch, loss, **over)
    if complaint is None:
        assert found["wrong"] == []
    else:
        assert complaint in found["wrong"][0]

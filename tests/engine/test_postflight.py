"""The post-flight: a checkpoint is loaded by transformers and answers; each way to be bad has its check."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

pytest.importorskip("torch", reason="needs .envs/engine-cpu")

from safetensors.torch import load_file, save_file

from rewild.config.base import validate
from rewild.config.models import Model
from rewild.config.recipes import Recipe
from rewild.config.trainings import Training, Weights
from rewild.core.errors import DataError
from rewild.core.files import write_json
from rewild.core.table import provenance, write_table
from rewild.training.runs.checks import FlightReport, make_report, read_report, why_failed, write_report
from rewild.training.runs.layout import RunFiles
from rewild.training.runs.postflight import postflight
from rewild.training.runs.published import make_readable
from rewild.training.runs.schema import LOSS

MEASURED = {
    "study": "tiny", "run": "r", "base": "b", "mix": "m", "recipe": "r", "seed": 1, "identity": "x",
    "steps": 20, "planned_steps": 20, "epochs": 2.0, "resumed": 0, "starts": 1, "first_loss": 3.0,
    "last_loss": 1.0, "seconds": 10.0, "hours": 0.003, "tokens": 100, "trained_tokens": 990,
    "tokens_per_second": 10.0, "trained_tokens_per_second": 5.0, "padding": 0.1, "parameters": {"float32": 5},
    "optimizer": {"float32": 10}, "compute": "float32", "saved": {"float32": 5}, "peak_memory": 5,
    "processes": 1, "hardware": {}, "versions": {},
}  # fmt: skip


class Flight:
    """A run that was trained, as far as its files say."""

    def __init__(self, workspace: Any, model: Path) -> None:
        self.workspace = workspace
        self.files = RunFiles(workspace.results, "tiny", "r")
        shutil.copytree(model, self.files.checkpoint())
        make_readable(self.files.checkpoint(), None)
        self.mix = workspace.folder / "train.parquet"
        chat = [{"role": "user", "content": "light"}, {"role": "assistant", "content": "water"}]
        pl.DataFrame({"id": ["a", "b"], "messages": [chat, chat]}).write_parquet(self.mix)
        write_report(
            self.files.report("preflight"),
            make_report("preflight", "tiny", "r", "x", [], {"trained_tokens": 500}),
        )
        self.measured()
        self.losses([3.0 - i / 10 for i in range(20)])

    def measured(self, **over: Any) -> None:
        write_json(self.files.training(), MEASURED | over)

    def losses(self, values: list[float]) -> None:
        frame = pl.DataFrame(
            {"step": range(1, len(values) + 1), "epoch": values, "loss": values}
        ).with_columns(grad_norm=None, learning_rate=None)
        write_table(self.files.folder / "loss.csv", frame, LOSS, provenance())

    def fly(self, stopped: float = 0.1, *, shards: bool = True) -> Any:
        row = {
            "slug": "r", "title": "R", "learning_rate": 1e-3, "sequence_length": 64, "precision": "fp32",
            "source": "a test", "gates": {"stopped": stopped},
        }  # fmt: skip
        model = Model(slug="r", family="tiny", roles=["base"], kind="pretrained")
        start = Weights("b", None, True, False, model)
        training = Training("tiny", "r", "m", validate(Recipe, row, "recipe"), 1, start, None)
        prompts = [self.workspace.layout.prompts("0000")] if shards else []
        return postflight(self.workspace.study, training, prompts, self.mix, self.files, 1, print)


@pytest.fixture
def flight(workspace: Any, model_folder: Path) -> Flight:
    return Flight(workspace, model_folder)


def failed(report: Any) -> list[str]:
    return [c.name for c in report.checks if not c.passed]


def found(report: FlightReport, name: str) -> str:
    return next(c.found for c in report.checks if c.name == name)


def test_a_sound_checkpoint_passes(flight: Flight) -> None:
    report = flight.fly()
    assert failed(report) == [], report
    assert [c.name for c in report.checks] == [
        "preflight",
        "all_steps_done",
        "precision",
        "loss_fell",
        "tokens_trained",
        "readable",
        "loads",
        "no_nan",
        "generates",
        "stops",
    ]
    stops = report.checks[-1]
    assert "of 24 answers" in stops.found
    assert "<|end|>" in stops.found
    assert found(report, "loss_fell") == (
        "the loss went from 2.800 to 1.300 (means of the first and the last 5 of 20 steps)"
    )
    assert found(report, "tokens_trained") == "990 tokens were trained, 99.0% of those prepared"
    assert read_report(flight.files.report("postflight")) == report


def test_a_model_that_does_not_stop_is_told(flight: Flight) -> None:
    path = flight.files.checkpoint() / "model.safetensors"
    weights = load_file(path)
    weights["lm_head.weight"][[1, 2, 5]] = 0.0  # its end tokens are never likely
    save_file(weights, path, metadata={"format": "pt"})
    report = flight.fly(stopped=0.9)
    assert failed(report) == ["stops"]
    assert "at least 90% must: it has not learned where a turn ends" in why_failed(report)
    assert json.loads(flight.files.report("postflight").read_text())["passed"] is False


def test_without_prompts_the_mix_asks(flight: Flight) -> None:
    assert "of 2 answers" in flight.fly(shards=False).checks[-1].found
    pl.read_parquet(flight.mix).head(0).write_parquet(flight.mix)
    with pytest.raises(DataError, match=r"train\.parquet: there is no prompt"):
        flight.fly(shards=False)


def test_weights_that_are_no_numbers(flight: Flight) -> None:
    path = flight.files.checkpoint() / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"][3] = float("inf")
    save_file(weights, path, metadata={"format": "pt"})
    assert failed(flight.fly()) == ["no_nan"]


def test_a_checkpoint_cut_short_does_not_load(flight: Flight) -> None:
    path = flight.files.checkpoint() / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])
    report = flight.fly()
    assert failed(report) == ["loads"]
    assert str(flight.files.checkpoint()) in why_failed(report)


def test_what_the_training_says_is_checked(flight: Flight) -> None:
    flight.measured(steps=12, trained_tokens=600)
    flight.losses([1.0 + i / 10 for i in range(20)])
    assert failed(flight.fly()) == ["all_steps_done", "loss_fell", "tokens_trained"]


def test_a_short_training_is_not_judged_by_single_steps(flight: Flight) -> None:
    """Of 13 steps a tenth is one, and the last one may be a bad batch."""
    flight.losses([3.0, 2.9, 2.8, 2.7, 2.6, 2.5, 2.4, 2.3, 2.2, 2.1, 2.0, 1.9, 3.1])
    report = flight.fly()
    assert failed(report) == []
    assert "from 2.800 to 2.260 (means of the first and the last 5 of 13 steps)" in found(report, "loss_fell")
    flight.losses([3.1, *[2.0] * 8, 2.3, 2.3, 2.3, 2.3])
    assert failed(flight.fly()) == ["loss_fell"], "the first and the last step alone would say that it fell"


def test_tokens_that_were_not_counted_are_no_pass(flight: Flight) -> None:
    flight.measured(trained_tokens=None)
    report = flight.fly()
    assert failed(report) == ["tokens_trained"]
    assert found(report, "tokens_trained") == "0 tokens were trained, 0.0% of those prepared"


def test_a_checkpoint_as_axolotl_saves_it_is_not_published(flight: Flight) -> None:
    """Silent trap 5: a tokenizer class of transformers 5 alone, and a generation config that samples."""
    folder = flight.files.checkpoint()
    for name, change in (
        ("tokenizer_config.json", {"tokenizer_class": "TokenizersBackend"}),
        ("generation_config.json", {"do_sample": True, "eos_token_id": 5}),
    ):
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(settings | change))
    report = flight.fly()
    assert failed(report) == ["readable"]
    told = why_failed(report)
    assert "tokenizer_config.json names the class TokenizersBackend, which transformers 4" in told
    assert "generation_config.json asks for sampling; generation_config.json does not end at <|eos|>" in told
    make_readable(folder, None)
    assert failed(flight.fly()) == []

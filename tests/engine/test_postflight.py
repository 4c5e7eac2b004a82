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
from rewild.config.runs import Training, Weights
from rewild.errors import DataError
from rewild.files import write_json
from rewild.runs.checks import make_report, read_report, why_failed, write_report
from rewild.runs.layout import RunFiles
from rewild.runs.postflight import postflight
from rewild.runs.schema import LOSS
from rewild.table import provenance, write_table

MEASURED = {
    "study": "tiny", "run": "r", "base": "b", "mix": "m", "recipe": "r", "seed": 1, "identity": "x",
    "steps": 20, "planned_steps": 20, "epochs": 2.0, "resumed": 0, "starts": 1, "first_loss": 3.0,
    "last_loss": 1.0, "seconds": 10.0, "hours": 0.003, "tokens": 100, "trained_tokens": 990,
    "tokens_per_second": 10.0, "trained_tokens_per_second": 5.0, "padding": 0.1, "peak_memory": 5,
    "processes": 1, "hardware": {}, "versions": {},
}  # fmt: skip


class Flight:
    """A run that was trained, as far as its files say."""

    def __init__(self, workspace: Any, model: Path) -> None:
        self.workspace = workspace
        self.files = RunFiles(workspace.results, "tiny", "r")
        shutil.copytree(model, self.files.checkpoint())
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


def test_a_sound_checkpoint_passes(flight: Flight) -> None:
    report = flight.fly()
    assert failed(report) == [], report
    names = ["all_steps_done", "loss_fell", "tokens_trained", "loads", "no_nan", "generates", "stops"]
    assert [c.name for c in report.checks] == names
    stops = report.checks[-1]
    assert "of 24 answers" in stops.found
    assert "<|end|>" in stops.found
    assert report.checks[2].found == "990 tokens were trained, 99.0% of those prepared"
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

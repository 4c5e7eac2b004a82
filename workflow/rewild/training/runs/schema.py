"""The files of a training, and the contract of each.

============================ =================================================================================
``axolotl.yaml``             the rendered config
``preflight.json, .md``      checks before the training (:class:`rewild.training.runs.checks.FlightReport`)
``checkpoint/``              safetensors, tokenizer, chat template
``trainer_state.json``       the trainer's state at its end
``training.json``            :class:`Measured`
``loss.csv``                 :data:`LOSS`, a row per optimiser step
``loss.svg, .pdf, .png``     its curve
``postflight.json, .md``     checks of the checkpoint; ``passed`` is written if all passed
============================ =================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from rewild.config.base import Strict
from rewild.core.errors import DataError
from rewild.core.reading import parse_json, read_lines
from rewild.core.table import Column, TableSchema

LOSS = TableSchema(
    name="training loss",
    version=1,
    columns={
        "step": Column(pl.Int64, "Optimiser step, from 1"),
        "epoch": Column(pl.Float64, "Epochs done"),
        "loss": Column(pl.Float64, "Mean over the step's trained tokens, in nats (DPO: of its pairs)"),
        "grad_norm": Column(pl.Float64, "Length of the gradient before it is shortened", True),
        "learning_rate": Column(pl.Float64, "Of this step", True),
    },
    key=("step",),
)


class Measured(Strict):
    """What a training took. Times are of the steps alone: no start, no saving, no time lost to a kill."""

    study: str
    run: str
    base: str
    mix: str
    recipe: str
    seed: int
    identity: str
    steps: int = Field(description="Optimiser steps done")
    planned_steps: int
    epochs: float
    resumed: int = Field(description="Step from which the last start went on; 0 if it was never stopped")
    starts: int = Field(description="How often Axolotl was started for it")
    first_loss: float = Field(
        description="Mean loss of the first tenth of the steps, but of five at least, in nats"
    )
    last_loss: float = Field(description="The same of the last steps")
    seconds: float
    hours: float
    tokens: int | None = Field(description="Tokens passed through, padding not counted; null for pairs")
    trained_tokens: int | None = Field(description="Of these, trained")
    tokens_per_second: float | None
    trained_tokens_per_second: float | None
    padding: float | None = Field(description="Share of the passed slots that held no token")
    parameters: dict[str, int] = Field(
        description="Dtype of the weights that the optimiser changes, and how many are held in it"
    )
    optimizer: dict[str, int] = Field(description="The same of the optimiser's moments")
    compute: str | None = Field(description="Dtype of the forward pass, as seen in the first linear layer")
    saved: dict[str, int] = Field(description="Dtype of the weights in the published checkpoint")
    peak_memory: int = Field(description="Bytes: of the first GPU, or of the process on a CPU")
    processes: int
    hardware: dict[str, Any]
    versions: dict[str, str]


LOG = "log.jsonl"  # a line per logged step
MEASURED = "measured.json"  # written at the end
STOPPED = "stopped.json"  # why the plugin stopped the training
LEAST = 5  # steps that a mean at an end of a training is over, where there are so many


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines logged so far; a line that a kill cut short is left out."""
    lines = []
    if (folder / LOG).exists():
        for number, text in read_lines(folder / LOG):
            try:
                lines.append(parse_json(text, folder / LOG, line=number, nan=True))
            except DataError:
                continue
    return lines


def window(steps: int) -> int:
    """How many steps at each end of a training its first and its last loss are means of.

    A tenth; but a single step is noise, so :data:`LEAST` at least, or half of them where there are fewer.
    """
    return max(1, steps // 10, min(LEAST, steps // 2))


def ends(losses: Sequence[float]) -> tuple[float, float]:
    """``(first, last)``: the mean loss of the first and of the last :func:`window` of steps."""
    count = window(len(losses))
    return sum(losses[:count]) / count, sum(losses[-count:]) / count

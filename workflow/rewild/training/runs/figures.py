"""The loss of a run, step by step."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from rewild.core.plotting import COLOURS, COLUMN, new_figure, save, style
from rewild.core.table import read_table
from rewild.training.runs.schema import LOSS

SMOOTH = 50  # a window of one in so many steps


def draw_loss(loss: Path, stem: Path, title: str) -> None:
    """Draw the loss of every step, its running median, and the learning rate below.

    Args:
        loss: ``loss.csv``.
        stem: path without suffix; ``.svg``, ``.pdf`` and ``.png`` are written.
        title: the run's name in tables.
    """
    rows = read_table(loss, LOSS)
    window = max(1, 2 * (rows.height // SMOOTH) + 1)
    median = rows["loss"].rolling_median(window, center=True, min_samples=1)
    with style():
        figure = new_figure(COLUMN, 0.85 * COLUMN)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        above.plot(rows["step"], rows["loss"], color=COLOURS[0], alpha=0.35, linewidth=0.6, label="each step")
        if window > 1:
            label = f"median of {window} steps"
            above.plot(rows["step"], median, color=COLOURS[0], linewidth=1.2, label=label)
            above.legend()
        above.set(ylabel="Loss (nats per token)", title=title)
        rates = rows.drop_nulls("learning_rate").filter(pl.col("learning_rate") > 0)
        below.plot(rates["step"], rates["learning_rate"], color=COLOURS[1], linewidth=1.0)
        below.set(xlabel="Optimiser step", ylabel="Rate")
        below.set_ylim(bottom=0)
        below.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
        for axes in (above, below):
            axes.grid(True)
        save(figure, stem, f"Training loss of {title}")

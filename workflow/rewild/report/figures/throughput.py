"""Speed against context × parameters (section 2.2): a point per model, the published ones hollow."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter

from rewild.core.plotting import COLOURS, COLUMN, PAGE, new_figure, save, style

LABELLED = 12  # with more models, only the fastest and the slowest are named


def draw_throughput(models: pl.DataFrame, stem: Path) -> None:
    """Draw tokens per second and time per 1,000 conversations, both against context × parameters.

    Args:
        models: a :data:`rewild.measures.throughput.analysis.THROUGHPUT` table.
        stem: path without suffix; ``.svg``, ``.pdf`` and ``.png`` are written.
    """
    sized = models.with_columns(size=pl.col("context") * pl.col("parameters") * 1e9).sort("size", "model")
    panels = (
        ("tokens_per_second", "Tokens per second (input and output)"),
        ("seconds_per_1000_conversations", "Seconds per 1,000 conversations"),
    )
    with style():
        figure = new_figure(PAGE, 0.75 * COLUMN)
        for axes, (quantity, label) in zip(figure.subplots(1, 2), panels, strict=True):
            axes.scatter(sized["size"], sized[quantity], s=18, color=COLOURS[0], zorder=3, label="measured")
            printed = sized.drop_nulls("published_tokens_per_second")
            if quantity == "tokens_per_second" and printed.height:
                axes.scatter(
                    printed["size"], printed["published_tokens_per_second"], s=18, facecolors="none",
                    edgecolors=COLOURS[1], zorder=3, label="published",
                )  # fmt: skip
                axes.legend()
            axes.set(xlabel="Context × parameters", ylabel=label)
            _scale(axes, "x", sized["size"].to_list())
            _scale(axes, "y", sized[quantity].to_list())
            axes.margins(0.2, 0.18)
            axes.set_ylim(bottom=0 if axes.get_yscale() == "linear" else None)
            axes.grid(True)
            ranked = sized.sort(quantity)["model"].to_list()
            named = set(ranked if len(ranked) <= LABELLED else (ranked[0], ranked[-1]))
            for at, (model, x, y) in enumerate(sized.select("model", "size", quantity).iter_rows()):
                if model in named:
                    above = at % 2 == 0
                    axes.annotate(
                        model, (x, y), xytext=(0, 5 if above else -5), textcoords="offset points",
                        ha="center", va="bottom" if above else "top", fontsize=6.5,
                    )  # fmt: skip
        save(figure, stem, "Throughput of models against context times parameters")


def _scale(axes: Axes, which: str, values: list[float]) -> None:
    """Logarithmic where values differ by more than a factor of ten; numbers written as 2.5 M, 12 k, 40."""
    if max(values) > 10 * min(values):
        axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(EngFormatter(sep=" "))
    axis.set_minor_formatter(NullFormatter())

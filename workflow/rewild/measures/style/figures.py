"""Heat maps of styling: elements per model, and proportional frequencies between models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rewild.core.plotting import FAINT, INK, PAGE, new_figure, style
from rewild.measures.style.markup import TAGS
from rewild.measures.style.schema import PER_1000_WORDS

_ROW = 0.14  # inches per model
_WIDEST = 64.0  # the largest ratio that has a colour of its own
_MAP = "cividis"  # even in lightness, and the same to colour-blind eyes

Values = NDArray[np.float64]


def elements(counts: pl.DataFrame, rates: pl.DataFrame, names: Mapping[str, str]) -> Figure:
    """Model × element, raw and per 1,000 words; the most styled model on top.

    Args:
        counts: ``COUNTS`` of the scope ``answer``.
        rates: ``RATES`` of the same.
        names: slug → display name.
    """
    raw = _wide(counts, "value", [*TAGS, "len"])
    relative = _wide(rates, PER_1000_WORDS, list(TAGS))
    order = most_styled(relative)
    every = counts["model"].unique().sort().to_list()
    models = [every[i] for i in order]
    with style():
        figure = new_figure(PAGE, 0.95 + _ROW * len(models))
        left, right = figure.subplots(1, 2, width_ratios=[len(TAGS) + 1, len(TAGS)], sharey=True)
        for axes, values, columns, title in (
            (left, raw, [*TAGS, "len"], "elements in all responses; len: characters per response"),
            (right, relative, list(TAGS), "elements per 1,000 words"),
        ):
            _cells(axes, values[order], columns, title)
        left.set_yticks(range(len(models)), [names.get(m, m) for m in models], fontsize=5.5)
        figure.supxlabel("colour: share of the column's largest value", fontsize=6)
    return figure


def ratios(proportional: pl.DataFrame, names: Mapping[str, str]) -> Figure:
    """Mean proportional frequency of every pair of models, by counts and by counts per 1,000 words."""
    part = proportional.filter(pl.col("feature") == "mean")
    models = part["a"].unique().sort().to_list()
    squares = {source: _square(part.filter(source=source), models) for source in ("answer", PER_1000_WORDS)}
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = {source: np.log2(values) for source, values in squares.items()}
    strength = np.nan_to_num(np.nanmean(np.where(np.isfinite(logs["answer"]), logs["answer"], 0), axis=1))
    order = np.argsort(-strength, kind="stable")
    labels = [names.get(models[i], models[i]) for i in order]
    with style():
        figure = new_figure(PAGE, 1.9 + 0.11 * len(models))
        panels = figure.subplots(1, 2, sharey=True)
        edge = float(np.log2(_WIDEST))
        for axes, source, title in zip(panels, logs, ("by counts", "by counts per 1,000 words"), strict=True):
            image = axes.imshow(
                logs[source][np.ix_(order, order)],
                cmap="PuOr_r",
                vmin=-edge,
                vmax=edge,
                aspect="auto",
                interpolation="nearest",
            )
            _bare(axes)
            axes.set_facecolor(FAINT)
            axes.set_xticks(range(len(models)), labels, rotation=90, fontsize=5)
            axes.set_title(title)
            axes.set_xlabel("B")
        panels[0].set_yticks(range(len(models)), labels, fontsize=5)
        panels[0].set_ylabel("A")
        bar = figure.colorbar(image, ax=panels, shrink=0.6, pad=0.01, extend="both")
        bar.outline.set_visible(False)
        ticks = np.arange(-edge, edge + 1, 2)
        bar.set_ticks(ticks.tolist(), labels=[f"{2.0**t:g}" if t >= 0 else f"1/{2.0**-t:g}" for t in ticks])
        bar.set_label("mean of A / B")
    return figure


def most_styled(rates: Values) -> NDArray[np.int64]:
    """Rows in falling order of their mean share of each column's largest value."""
    order: NDArray[np.int64] = np.argsort(-_shares(rates).mean(axis=1), kind="stable")
    return order


def _shares(values: Values) -> Values:
    top = values.max(axis=0)
    return values / np.where(top > 0, top, 1)


def _cells(axes: Axes, values: Values, columns: list[str], title: str) -> None:
    shares = _shares(values)
    axes.imshow(shares, cmap=_MAP, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(values):
        colour = INK if shares[row, column] > 0.55 else "white"
        axes.text(column, row, _short(value), ha="center", va="center", fontsize=4.5, color=colour)
    _bare(axes)
    axes.set_xticks(range(len(columns)), columns, fontsize=6)
    axes.xaxis.tick_top()
    axes.set_title(title, fontsize=7)


def _bare(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _short(value: float) -> str:
    """At most four characters or so: 0, 0.03, 4.2, 812, 12.3k."""
    if value >= 10_000:
        return f"{value / 1000:.0f}k" if value >= 100_000 else f"{value / 1000:.1f}k"
    if value == int(value) or value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _wide(frame: pl.DataFrame, column: str, features: list[str]) -> Values:
    """Models (sorted) × features; what is null counts as 0: a model without words has no elements."""
    wide = frame.filter(pl.col("scope") == "answer").pivot(on="feature", index="model", values=column)
    values: Values = wide.sort("model").select(pl.col(features).cast(pl.Float64).fill_null(0.0)).to_numpy()
    return values


def _square(part: pl.DataFrame, models: list[str]) -> Values:
    """A × B; 1 on the diagonal, NaN where nothing is defined."""
    at = {model: i for i, model in enumerate(models)}
    values = np.full((len(models), len(models)), np.nan)
    np.fill_diagonal(values, 1.0)
    for a, b, value in part.select("a", "b", "value").drop_nulls().iter_rows():
        values[at[a], at[b]] = value
    return values

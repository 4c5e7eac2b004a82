"""Figures of similarity: clustered heat maps, distributions per model, similarity against size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr

from rewild.core.plotting import COLUMN, FAINT, look, new_figure, style
from rewild.measures.similarity.schema import is_directed, label

_ROW = 0.13  # inches per model
_TICKS = (*(0.0002, 0.0004, 0.001, 0.01, 0.1), *(0.5, 1, 2, 3, 7, 14, 32, 70, 140, 405))
_SIZES = 4  # a rank correlation needs more different sizes than these
MAP = "cividis"
"""A colour map that is even in lightness and the same to colour-blind eyes."""


def square(matrix: pl.DataFrame, metric: str) -> tuple[list[str], NDArray[np.float64]]:
    """One metric as a square: row = model, column = reference; NaN where there is none."""
    part = matrix.filter(pl.col("metric") == metric)
    models = sorted(set(part["model"]) | set(part["reference"]))
    at = {m: i for i, m in enumerate(models)}
    values = np.full((len(models), len(models)), np.nan)
    rows = [at[m] for m in part["model"]]
    columns = [at[r] for r in part["reference"]]
    values[rows, columns] = part["mean"].to_numpy()
    return models, values


def clustering(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Average linkage on 1 − similarity (mean of both directions), leaves in the order that suits
    neighbours best.

    Pairs that were never compared count as the least similar. Null for fewer than three models.
    """
    if len(values) < 3:
        return None
    both = np.where(np.isnan(values), values.T, values)
    both = (both + np.where(np.isnan(both.T), both, both.T)) / 2
    distance = 1 - np.where(np.isnan(both), np.nanmin(both), both)
    np.fill_diagonal(distance, 0)
    condensed = squareform(distance, checks=False)
    tree: NDArray[np.float64] = optimal_leaf_ordering(linkage(condensed, "average"), condensed)
    return tree


def heat_map(matrix: pl.DataFrame, metric: str, names: Mapping[str, str]) -> Figure:
    """Model × model means, ordered by clustering, with the tree above."""
    models, values = square(matrix, metric)
    tree = clustering(values)
    with style():
        size = max(COLUMN, 1.6 + _ROW * len(models))
        figure = new_figure(size, size + 0.5)
        top, main = figure.subplots(2, 1, height_ratios=[1, 8])
        if tree is not None:
            drawn = dendrogram(tree, no_plot=True)
            order = drawn["leaves"]
            for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True):
                top.plot((np.array(x) - 5) / 10, y, color="#555555", linewidth=0.6)
            top.set_xlim(-0.5, len(models) - 0.5)
            low, high = tree[0, 2], tree[-1, 2]
            top.set_ylim(low - 0.15 * (high - low), high)  # leaves hang from just below the first join
        else:
            order = list(range(len(models)))
        top.axis("off")
        top.set_title(label(metric))
        image = main.imshow(values[np.ix_(order, order)], cmap=MAP, aspect="auto", interpolation="nearest")
        labels = [names.get(models[i], models[i]) for i in order]
        small = {"fontsize": 5 if len(models) > 20 else 6}
        main.set_xticks(range(len(models)), labels, rotation=90, **small)
        main.set_yticks(range(len(models)), labels, **small)
        main.spines[:].set_visible(False)
        main.tick_params(length=0)
        main.set_facecolor(FAINT)
        if is_directed(metric):
            main.set_xlabel("reference")
            main.set_ylabel("hypothesis")
        bar = figure.colorbar(image, ax=main, shrink=0.5, pad=0.01)
        bar.outline.set_visible(False)
        bar.set_label("mean over turns")
    return figure


def distribution(responses: pl.DataFrame, metric: str, names: Mapping[str, str]) -> Figure:
    """Per model, how the mean over all other models is distributed over responses: 5, 25, 50, 75, 95 %."""
    quantiles = (
        responses.filter(pl.col(metric).is_not_null())
        .group_by("model")
        .agg(
            pl.col(metric).quantile(q, "linear").alias(name)
            for name, q in (("p05", 0.05), ("p25", 0.25), ("median", 0.5), ("p75", 0.75), ("p95", 0.95))
        )
        .sort("median", "model")
    )
    return quantile_bars(quantiles, label(metric), names)


def quantile_bars(quantiles: pl.DataFrame, what: str, names: Mapping[str, str]) -> Figure:
    """A bar per row of ``model``, ``p05``, ``p25``, ``median``, ``p75``, ``p95``, the first row lowest."""
    with style():
        figure = new_figure(COLUMN, 0.7 + _ROW * max(quantiles.height, 4))
        axes = figure.subplots()
        y = np.arange(quantiles.height)
        axes.hlines(y, quantiles["p05"], quantiles["p95"], color=FAINT, linewidth=1)
        axes.hlines(y, quantiles["p25"], quantiles["p75"], color=look(0)["color"], linewidth=3)
        dot: dict[str, Any] = {"marker": "o", "color": "white", "markeredgecolor": "black", "markersize": 3}
        axes.plot(quantiles["median"], y, linestyle="", **dot)
        axes.set_yticks(y, [names.get(m, m) for m in quantiles["model"]], fontsize=5 if len(y) > 20 else 6)
        axes.set_ylim(-0.7, len(y) - 0.3)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{what}\n(5 to 95 %, quartiles, median)")
        axes.grid(axis="x")
    return figure


def against_size(
    summary: pl.DataFrame, metric: str, parameters: Mapping[str, float], names: Mapping[str, str]
) -> Figure:
    """Mean similarity (all_pairs, with its interval) against parameters; unknown sizes are counted."""
    part = summary.filter(
        pl.col("summary") == "all_pairs", pl.col("metric") == metric, pl.col("role") != "reference"
    ).sort("model")
    known = part.filter(pl.col("model").is_in(list(parameters)))
    with style():
        figure = new_figure(COLUMN, 2.6)
        axes = figure.subplots()
        unknown = part.height - known.height
        note = f"{known.height} models" + (f"; {unknown} of unknown size left out" if unknown else "")
        if known.height:
            size = np.array([parameters[m] for m in known["model"]]) / 1e9
            mean = known["mean"].to_numpy()
            for low, high, x in zip(known["ci_low"], known["ci_high"], size, strict=True):
                if low is not None:
                    axes.vlines(x, low, high, color=FAINT, linewidth=1)
            axes.plot(size, mean, **look(0, linestyle=""))
            axes.set_xscale("log")
            # At least a factor of ten, or models of one size would seem to differ.
            middle = np.sqrt(size.min() * size.max())
            low, high = min(size.min() / 1.4, middle / 3.2), max(size.max() * 1.4, middle * 3.2)
            axes.set_xlim(low, high)
            ticks = [t for t in _TICKS if low <= t <= high]
            axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
            axes.minorticks_off()
            if len(set(size)) > _SIZES and len(set(mean)) > 1:
                rho, p = spearmanr(size, mean)
                note += f"\nSpearman's ρ {rho:.2f} (p {p:.2g})"
            for i in {int(np.argmax(mean)), int(np.argmin(mean))}:
                slug = known["model"][i]
                left = size[i] ** 2 > size.min() * size.max()  # in the right half of the axis
                axes.annotate(
                    names.get(slug, slug),
                    (size[i], mean[i]),
                    xytext=(-4 if left else 4, 3),
                    textcoords="offset points",
                    ha="right" if left else "left",
                    fontsize=5.5,
                )
        axes.set_xlabel("parameters (billions)")
        axes.set_ylabel(label(metric))
        axes.set_title(note, fontsize=6.5, loc="left")
        axes.grid(axis="y")
    return figure


FIGURES = ("heatmap", "distribution", "size")


def computed(folder: Path, metric: str, instead: str | None) -> str:
    """The metric; where it was not computed, the one to draw instead of it, if there is one."""
    from rewild.core.table import read_table
    from rewild.measures.similarity.schema import MATRIX

    has = set(read_table(folder / "matrix.csv", MATRIX)["metric"]) if instead else {metric}
    return metric if metric in has else instead or metric


def draw(
    folder: Path, kind: str, metric: str, names: Mapping[str, str], parameters: Mapping[str, float]
) -> Figure:
    """Draw one figure from the files of :func:`rewild.measures.similarity.merge.merge_blocks`.

    Args:
        folder: where the summaries are.
        kind: ``heatmap``, ``distribution`` or ``size``.
        metric: one of :data:`~rewild.measures.similarity.schema.ALL_METRICS`.
        names: slug → display name.
        parameters: slug → total parameters, where known.
    """
    from rewild.core.errors import DataError
    from rewild.core.table import read_table
    from rewild.measures.similarity.schema import MATRIX, PER_RESPONSE, SUMMARY

    if kind == "distribution":
        frame = read_table(folder / "responses.parquet", PER_RESPONSE)
        missing = frame[metric].null_count() == frame.height
    else:
        frame = read_table(
            folder / ("matrix.csv" if kind == "heatmap" else "summary.csv"),
            MATRIX if kind == "heatmap" else SUMMARY,
        )
        missing = frame.filter(pl.col("metric") == metric).is_empty()
    if missing:
        raise DataError(f"{folder}: the metric {metric} was not computed, so there is nothing to draw")
    if kind == "heatmap":
        return heat_map(frame, metric, names)
    if kind == "distribution":
        return distribution(frame, metric, names)
    return against_size(frame, metric, parameters, names)

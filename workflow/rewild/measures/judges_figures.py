"""Figures of judges: what they make of each model, how far they agree, what goes with their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from rewild.config.measures.factors import column_of, criteria
from rewild.core.plotting import COLOURS, FAINT, INK, MARKERS, PAGE, new_figure, style
from rewild.measures.judges import ALL, OVERALL

_ROW, _MOST = 0.17, len(COLOURS)
WHAT = {
    "length": "points per doubling of words, all answers",
    "length_within": "points per doubling of words, answers to one turn",
    "order": "points: scale from the highest, minus from the lowest",
    "turn": "points: later turns, minus the first",
}
NOTHING = {
    "length": "too few answers, or all of one length",
    "order": "every judge read the scale in one order, and no conversation has two scored turns",
    "agreement": "one judge: there is none to agree with",
}


def title_of(criterion: str) -> str:
    """What a reader calls a criterion."""
    named = {column_of(name): row.title for name, row in criteria().items()}
    return "Overall" if criterion == OVERALL else named.get(criterion, criterion)


def profile(means: pl.DataFrame, names: Mapping[str, str]) -> Figure:
    """Mean scores, model by criterion; a panel for each judge. A mean that is missing is grey."""
    judges, models = _order(means["judge"]), _order(means["model"])
    columns = _order(means["criterion"])
    with style():
        figure = new_figure(PAGE, len(judges) * (1.5 + _ROW * len(models)))
        for axes, judge in zip(figure.subplots(len(judges), 1, squeeze=False)[:, 0], judges, strict=True):
            part = means.filter(pl.col("judge") == judge)
            values = np.full((len(models), len(columns)), np.nan)
            for model, criterion, mean in part.select("model", "criterion", "mean").iter_rows():
                values[models.index(model), columns.index(criterion)] = np.nan if mean is None else mean
            image = axes.imshow(values, cmap="cividis", aspect="auto", interpolation="nearest")
            axes.set_facecolor(FAINT)
            axes.set_xticks(range(len(columns)), [title_of(c) for c in columns], rotation=40, ha="right")
            axes.set_yticks(range(len(models)), [names.get(m, m) for m in models], fontsize=5.5)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.set_title(judge)
            if len(models) <= 20:
                middle = (np.nanmin(values) + np.nanmax(values)) / 2 if np.isfinite(values).any() else 0
                for (y, x), value in np.ndenumerate(values):
                    if np.isfinite(value):
                        ink = "white" if value < middle else "black"
                        axes.text(x, y, f"{value:.1f}", ha="center", va="center", fontsize=5, color=ink)
            bar = figure.colorbar(image, ax=axes, pad=0.01)
            bar.outline.set_visible(False)
            bar.set_label("mean score")
    return figure


def biases(table: pl.DataFrame, kinds: Sequence[str]) -> Figure:
    """A panel for each of some kinds of bias, a row for each criterion, a mark for each judge."""
    there = [k for k in kinds if table.filter(pl.col("bias") == k)["value"].drop_nulls().len()]
    panels = [
        (WHAT[k], table.filter(pl.col("bias") == k).rename({"judge": "series"}), "value") for k in there
    ]
    return _forest(panels, NOTHING[kinds[0]])


def agreements(table: pl.DataFrame) -> Figure:
    """Alpha and rank correlation by criterion; a mark and an interval for each two judges, or all of them."""
    named = table.with_columns(
        series=pl.when(pl.col("first") == ALL)
        .then(pl.lit("all judges"))
        .otherwise(pl.format("{} and {}", "first", "second"))
    )
    two = named.filter(pl.col("first") != ALL)
    panels = [("Krippendorff's alpha", named, "alpha"), ("Spearman's rank correlation", two, "rho")]
    return _forest([p for p in panels if p[1][p[2]].drop_nulls().len()], NOTHING["agreement"])


def _forest(panels: Sequence[tuple[str, pl.DataFrame, str]], nothing: str) -> Figure:
    rows = _order(pl.concat([p[1]["criterion"] for p in panels])) if panels else []
    series = _order(pl.concat([p[1]["series"] for p in panels])) if panels else []
    shown = series[:_MOST]
    with style():
        figure = new_figure(PAGE, 0.9 + (_ROW + 0.06 * len(shown)) * max(len(rows), 4))
        if not panels:
            axes = figure.subplots()
            axes.axis("off")
            axes.text(0.5, 0.5, nothing, ha="center", va="center", color=INK)
            return figure
        all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (what, table, column) in zip(all_axes, panels, strict=True):
            axes.axvline(0, color=FAINT, linewidth=0.8)
            for number, name in enumerate(shown):
                at = (number - (len(shown) - 1) / 2) * 0.7 / len(shown)
                own = table.filter(pl.col("series") == name, pl.col(column).is_not_null())
                y = np.array([rows.index(c) + at for c in own["criterion"]])
                x = own[column].to_numpy()
                ends = [own[f"{column}_{end}"].fill_null(own[column]).to_numpy() for end in ("low", "high")]
                marks = {"fmt": MARKERS[number], "color": COLOURS[number], "markersize": 3, "linewidth": 0.8}
                axes.errorbar(x, y, xerr=np.abs(np.array(ends) - x), label=name, **marks)
            axes.set_xlabel(what)
        all_axes[0].set_yticks(range(len(rows)), [title_of(row) for row in rows])
        all_axes[0].set_ylim(len(rows) - 0.5, -0.5)
        handles, labels = all_axes[0].get_legend_handles_labels()
        left = f" (and {len(series) - _MOST} more: see the table)" if len(series) > _MOST else ""
        labels[-1:] = [labels[-1] + left]
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(shown)))
    return figure


def _order(column: pl.Series) -> list[str]:
    return [str(value) for value in column.unique(maintain_order=True)]

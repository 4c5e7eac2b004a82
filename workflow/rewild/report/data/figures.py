"""Figures of a study's data, drawn from their numbers; one column wide, so that small screens show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Wedge
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from rewild.core.escape import line
from rewild.core.plotting import COLOURS, COLUMN, FAINT, INK, LINES, new_figure, style
from rewild.report.data.numbers import LENGTHS, MEDIAN

PANELS = {
    "prompt_length": "Prompts",
    "response_length": "Responses",
    "category": "Task category",
    "quality": "Quality",
    "difficulty": "Difficulty",
    "distance": "Distance to the nearest prompt",
    "reward": "Reward of responses",
    "difference": "Reward difference to the base model's answer",
    "verbs": "Verbs and their objects",
}
_HATCHES = ("", "////", "....", "\\\\\\\\", "xx", "++", "oo")
"""One per set besides its colour, so that bars also differ in grey."""
_LIGHT = (4, 5)  # numbers of colours on which white is not read
_LONGEST = 28  # characters of a label
_LEGEND = 44  # and of one in a legend
_MAP = "cividis"  # even in lightness, and the same to colour-blind eyes


def draw(view: str, found: pl.DataFrame) -> Figure:
    """Draw a figure.

    Args:
        view: one of :data:`rewild.report.data.plan.VIEWS`.
        found: its numbers, :data:`rewild.report.data.numbers.NUMBERS`. A panel in which no text has a value
            is a sentence that says so.
    """
    with style():
        return _DRAWN.get(view, _labels)(found)


def _text(value: object, most: int = _LONGEST) -> str:
    """On one line; of a long one its beginning and its end."""
    shown = line(value)
    half = most // 2
    return shown if len(shown) <= most else f"{shown[:half]}…{shown[half - most + 1 :]}"


def _parts(found: pl.DataFrame, key: str) -> list[tuple[str, pl.DataFrame]]:
    """The rows of each value of a column, in order."""
    return [(part[key][0], part) for part in found.partition_by(key, maintain_order=True)]


def _nothing(axes: Axes, part: pl.DataFrame) -> bool:
    """Whether no text of a panel has a value; then the panel says that."""
    if part["value"].is_not_null().any():
        return False
    failed = part.unique(["series"], maintain_order=True)["failed"].sum()
    axes.text(0.5, 0.5, f"left out: none of {failed:,} texts has a value", ha="center", va="center")
    axes.set_axis_off()
    return True


def _stacked(found: pl.DataFrame, height: Callable[[pl.DataFrame], float]) -> tuple[Figure, list[Axes]]:
    """A figure with a panel below the other, each as high as it needs."""
    heights = [height(part) for _, part in _parts(found, "panel")]
    figure = new_figure(COLUMN, sum(heights))
    drawn = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    return figure, list(drawn[:, 0])


def _labels(found: pl.DataFrame) -> Figure:
    """Shares of levels: a group of bars per level, a bar per set."""
    sets = found["series"].n_unique()
    figure, panels = _stacked(found, lambda _: 2.0 + 0.11 * max(0, sets - 3))
    for axes, (role, part) in zip(panels, _parts(found, "panel"), strict=True):
        axes.set_title(PANELS[role])
        if _nothing(axes, part):
            continue
        labels = list(dict.fromkeys(part["label"].drop_nulls()))
        _bars(axes, part, labels, sideways=False)
        axes.set_xticks(range(len(labels)), [_text(label).replace(" ", "\n") for label in labels])
        axes.set_ylabel("share of prompts")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, 0))
        axes.grid(axis="y")
        _legend(axes, part["ci_high"].fill_null(0).max(), 1 if sets > 2 else sets, handlelength=1.6)
    return figure


def _categories(found: pl.DataFrame) -> Figure:
    """Shares of categories, the most frequent on top."""
    labels = list(dict.fromkeys(found["label"].drop_nulls()))
    sets = found["series"].n_unique()
    figure, (axes,) = _stacked(found, lambda _: 0.9 + len(labels) * max(0.2, 0.11 * sets))
    axes.set_title(PANELS["category"])
    if not _nothing(axes, found):
        _bars(axes, found, labels, sideways=True)
        axes.set_yticks(range(len(labels)), [_text(label) for label in labels])
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("share of prompts")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, 0))
        axes.grid(axis="x")
        axes.legend(loc="lower right", handlelength=1.6)
    return figure


def _bars(axes: Axes, part: pl.DataFrame, labels: Sequence[str], *, sideways: bool) -> None:
    """Bars of all sets, with their intervals."""
    sets = [(name, mine) for name, mine in _parts(part, "series") if mine["value"].is_not_null().any()]
    wide = 0.8 / len(sets)
    for i, (name, mine) in enumerate(sets):
        rows = {row["label"]: row for row in mine.iter_rows(named=True)}
        at = np.arange(len(labels)) - 0.4 + wide * (i + 0.5)
        values = np.array([rows[label]["value"] if label in rows else 0.0 for label in labels])
        ends = np.abs([_ends(rows.get(label)) for label in labels]).T
        bars: dict[str, Any] = {
            "color": COLOURS[i], "hatch": _HATCHES[i], "edgecolor": "white", "linewidth": 0.4,
            "label": _text(name, _LEGEND),
        }  # fmt: skip
        whiskers: dict[str, Any] = {"ecolor": INK, "elinewidth": 0.7, "linestyle": ""}
        if sideways:
            axes.barh(at, values, height=wide, **bars)
            axes.errorbar(values, at, xerr=ends, **whiskers)
        else:
            axes.bar(at, values, width=wide, **bars)
            axes.errorbar(at, values, yerr=ends, **whiskers)


def _ends(row: dict[str, Any] | None) -> list[float]:
    """How far the ends of an interval are from its middle; nothing where there is none."""
    if row is None or row["ci_low"] is None or row["ci_high"] is None:
        return [0.0, 0.0]
    return [row["ci_low"] - row["value"], row["ci_high"] - row["value"]]


def _histograms(found: pl.DataFrame) -> Figure:
    """A line per set; the legend has its median, a tick below the axis shows where it is."""
    sets = found["series"].n_unique()
    figure, panels = _stacked(found, lambda _: 1.9 + 0.1 * max(0, sets - 3))
    for axes, (role, part) in zip(panels, _parts(found, "panel"), strict=True):
        axes.set_title(PANELS[role])
        if _nothing(axes, part):
            continue
        for i, (name, mine) in enumerate(_parts(part, "series")):
            bars = mine.filter(pl.col("label").is_null(), pl.col("value").is_not_null())
            if bars.is_empty():
                continue
            edges = bars["low"].drop_nulls().to_numpy()
            middle = mine.filter(pl.col("label") == MEDIAN)["value"][0]
            looks: dict[str, Any] = {"color": COLOURS[i], "linestyle": LINES[i]}
            axes.stairs(
                bars["value"].to_numpy(), _closed(edges, role in LENGTHS), linewidth=1.1, **looks,
                label=f"{_text(name)} (median {_signed(middle)})",
            )  # fmt: skip
            axes.plot([middle], [0], marker="^", color=COLOURS[i], clip_on=False, markersize=4.5, zorder=4)
        if role in LENGTHS:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        unit = part["measure"][0].rpartition(".")[2]
        axes.set_xlabel(f"{unit} (the end bars hold all that is beyond)")
        axes.set_ylabel("share")
        axes.grid(axis="y")
        top = part.filter(pl.col("label").is_null())["value"].max()
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        _legend(axes, top, 1)
    return figure


def _signed(value: float) -> str:
    return f"{value:,.4g}".replace("-", "−")


def _number(value: object) -> float:
    return float(str(value))


def _legend(axes: Axes, top: object, columns: int, **looks: Any) -> None:
    """A legend above what is drawn, which reaches up to ``top``."""
    lines = -(-len(axes.get_legend_handles_labels()[1]) // columns)
    axes.set_ylim(0, _number(top) * (1.06 + 0.11 * lines))
    legend = axes.legend(ncols=columns, fontsize=6.5, loc="upper left", borderaxespad=0.1, **looks)
    legend.set_in_layout(False)  # a long name takes no room from what is drawn


def _closed(edges: np.ndarray, logarithmic: bool) -> np.ndarray:
    """Ends of all bars: the first and the last are as wide as those beside them."""
    if len(edges) == 1:
        return np.array([edges[0] * 0.9, edges[0], edges[0] * 1.1]) if edges[0] else np.array([-1.0, 0, 1.0])
    if logarithmic:
        return np.array([edges[0] ** 2 / edges[1], *edges, edges[-1] ** 2 / edges[-2]])
    return np.array([2 * edges[0] - edges[1], *edges, 2 * edges[-1] - edges[-2]])


def _verbs(found: pl.DataFrame) -> Figure:
    """Two rings per set: verbs within, their objects without; what is not among these has no wedge."""
    sets = _parts(found, "series")
    listed = 0.3 + 0.125 * max(mine["label"].n_unique() for _, mine in sets)
    figure = new_figure(COLUMN, (0.9 * COLUMN + listed) * len(sets))
    heights = [0.9 * COLUMN, listed] * len(sets)
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, below, (name, mine) in zip(panels[::2], panels[1::2], sets, strict=True):
        axes.set_title(_text(name))
        axes.set_axis_off()
        below.set_axis_off()
        if _nothing(axes, mine):
            continue
        _words(below, mine)
        axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
        whole = mine.filter(pl.col("second").is_null())["n"].sum()
        start = 0.0
        for i, (_, rows) in enumerate(_parts(mine, "label")):
            colour = COLOURS[i % (len(COLOURS) - 1)]
            ink = INK if i % (len(COLOURS) - 1) in _LIGHT else "white"
            inner = start
            for verb, noun, count in rows.select("label", "second", "n").iter_rows():
                wide = 360 * count / whole
                if noun is None:
                    start += wide
                    _wedge(axes, (0.3, 0.68), (inner, wide), {"facecolor": colour})
                    _along(axes, verb, (0.49, inner, wide), {"color": ink, "fontsize": 6, "ha": "center"})
                else:
                    _wedge(axes, (0.7, 0.95), (inner, wide), {"facecolor": colour, "alpha": 0.45})
                    _along(axes, noun, (0.98, inner, wide), {"color": INK, "fontsize": 5})
                    inner += wide
        of_all = whole / mine["texts"][0]
        axes.text(0, 0, f"{whole:,}\nprompts,\n{of_all:.0%}", ha="center", va="center", fontsize=6)
    return figure


def _words(axes: Axes, mine: pl.DataFrame) -> None:
    """Every verb with its share, and its objects: also those whose wedge has no room for the word."""
    parts = _parts(mine, "label")
    axes.set(xlim=(0, 1), ylim=(len(parts) - 0.5, -0.5))
    small: dict[str, Any] = {"va": "center", "fontsize": 6}
    longest = _number(mine["value"].max())
    for i, (verb, rows) in enumerate(parts):
        share, *_ = rows["value"]
        axes.text(0.19, i, _text(verb), ha="right", **small)
        axes.barh(i, 0.1 * share / longest, left=0.21, height=0.6, color=COLOURS[i % (len(COLOURS) - 1)])
        axes.text(0.405, i, f"{share:.1%}", ha="right", **small)
        axes.text(0.43, i, ", ".join(map(_text, rows["second"].drop_nulls())), clip_on=True, **small)


def _wedge(axes: Axes, ends: tuple[float, float], angles: tuple[float, float], looks: dict[str, Any]) -> None:
    """A wedge between two radii; angles (begin, width) run clockwise from the top, in degrees."""
    (inner, outer), (begin, wide) = ends, angles
    turned = 90 - begin - wide, 90 - begin
    axes.add_patch(
        Wedge((0, 0), outer, *turned, width=outer - inner, edgecolor="white", linewidth=0.4, **looks)
    )


def _along(axes: Axes, word: str, place: tuple[float, float, float], looks: dict[str, Any]) -> None:
    """A word along a radius, if its wedge (radius, begin, width) is as wide as a line of it is high."""
    radius, begin, wide = place
    points = 0.9 * COLUMN * 72 / 2.6  # of one unit of the axes
    if np.deg2rad(wide) * radius * points < 0.92 * looks["fontsize"]:
        return
    turned = 90 - begin - wide / 2
    left = 90 < turned % 360 < 270
    ends = {"ha": "right" if left else "left"} | looks
    x, y = radius * np.cos(np.deg2rad(turned)), radius * np.sin(np.deg2rad(turned))
    upright = turned + 180 if left else turned
    axes.text(x, y, _text(word), rotation=upright, rotation_mode="anchor", va="center", **ends)


def _settings(found: pl.DataFrame) -> Figure:
    """A map per measure and set: temperatures down, top-p across, the mean in each cell."""
    sets, panels = _parts(found, "series"), _parts(found, "panel")
    tallest = max(mine["label"].n_unique() for _, mine in sets)
    figure = new_figure(COLUMN, len(sets) * (0.85 + 0.24 * tallest))
    drawn = figure.subplots(len(sets), len(panels), squeeze=False)
    for row, (name, mine) in zip(drawn, sets, strict=True):
        temperatures = sorted(set(mine["label"]), key=float)
        masses = sorted(set(mine["second"]), key=float, reverse=True)
        for axes, (role, _) in zip(row, panels, strict=True):
            part = mine.filter(pl.col("panel") == role)
            if part.is_empty() or _nothing(axes, part):
                axes.set_axis_off()
                continue
            cells = {(t, p): v for t, p, v in part.select("label", "second", "value").iter_rows()}
            values = np.array([[cells.get((t, p)) for p in masses] for t in temperatures], dtype=float)
            shades = ScalarMappable(Normalize(np.nanmin(values), np.nanmax(values)), _MAP)
            axes.imshow(values, cmap=_MAP, norm=shades.norm, aspect="auto", interpolation="nearest")
            axes.set_facecolor(FAINT)
            for (i, j), value in np.ndenumerate(values):
                if not np.isnan(value):
                    light = sum(shades.to_rgba(value)[:3]) / 3 > 0.5
                    axes.text(
                        j,
                        i,
                        f"{value:.2f}",
                        ha="center",
                        va="center",
                        fontsize=6,
                        color=INK if light else "white",
                    )
            axes.set_xticks(range(len(masses)), masses, fontsize=5.5, rotation=45 if len(masses) > 3 else 0)
            axes.set_yticks(range(len(temperatures)), temperatures if axes is row[0] else [], fontsize=6)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.set_title({"distance": "Distance"}.get(role, PANELS[role]), fontsize=7)
            axes.set_xlabel("top-p", fontsize=6.5)
        row[0].set_ylabel(f"{_text(name)}\ntemperature", fontsize=6.5)
    return figure


_DRAWN: dict[str, Callable[[pl.DataFrame], Figure]] = {
    "distances": _histograms,
    "lengths": _histograms,
    "categories": _categories,
    "verbs": _verbs,
    "settings": _settings,
}

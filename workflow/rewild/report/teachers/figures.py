"""Figures of teachers: bars by teacher in the colour of its family, a panel below the other; ρ by β."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rewild.core.escape import line
from rewild.core.plotting import COLOURS, COLUMN, INK, look, new_figure, style

_HATCHES = ("", "////", "....", "\\\\\\\\", "xx", "++", "oo")
_LONGEST = 30  # characters of a label


def draw(shown: str, found: pl.DataFrame) -> Figure:
    """Draw a figure of ``POINTS``; a bar whose value is not known is the reason in words."""
    with style():
        return _lines(found) if shown == "beta" else _bars(found)


def _parts(found: pl.DataFrame, key: str) -> list[tuple[str, pl.DataFrame]]:
    return [(part[key][0], part) for part in found.partition_by(key, maintain_order=True)]


def _label(text: object, longest: int = _LONGEST) -> str:
    shown = line(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _bars(found: pl.DataFrame) -> Figure:
    parts = _parts(found, "panel")
    heights = [0.55 + 0.145 * part.height for _, part in parts]
    figure = new_figure(COLUMN, sum(heights) + 0.3)
    panels = figure.subplots(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    groups = list(dict.fromkeys(found["group"].drop_nulls()))
    for axes, (name, part) in zip(panels, parts, strict=True):
        _panel(axes, name, part, groups)
    if len(groups) > 1:
        handles = {
            label: h for axes in panels for h, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=6.5)
    return figure


def _panel(axes: Axes, name: str, part: pl.DataFrame, groups: list[str]) -> None:
    axes.set_title(_label(name, 42))
    rows = list(part.iter_rows(named=True))
    for group in dict.fromkeys(r["group"] for r in rows):
        at = [i for i, r in enumerate(rows) if r["group"] == group and r["value"] is not None]
        number = groups.index(group) if group in groups else 0
        looks: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "hatch": _HATCHES[(number + number // len(COLOURS)) % len(_HATCHES)],
            "edgecolor": "white", "linewidth": 0.3, "label": _label(group) if group else None,
        }  # fmt: skip
        values = np.array([rows[i]["value"] for i in at])
        axes.barh(at, values, height=0.75, **looks)
        known = [i for i in at if rows[i]["low"] is not None]
        for i in known:
            ends = [[rows[i]["value"] - rows[i]["low"]], [rows[i]["high"] - rows[i]["value"]]]
            axes.errorbar([rows[i]["value"]], [i], xerr=ends, ecolor=INK, elinewidth=0.6, linestyle="")
    for i, r in enumerate(rows):
        if r["value"] is None:
            axes.text(0, i, f" {_label(r['text'] or 'no value')}", va="center", fontsize=5.5)
    axes.set_yticks(range(len(rows)), [_label(r["row"]) for r in rows], fontsize=6)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(_label(rows[0]["column"]))
    axes.grid(axis="x")


def _lines(found: pl.DataFrame) -> Figure:
    parts = _parts(found, "panel")
    figure = new_figure(COLUMN, 2.2 + 0.11 * len(parts))
    axes = figure.subplots()
    for i, (name, part) in enumerate(parts):
        x = [float(row) for row in part["row"]]
        y = [np.nan if value is None else value for value in part["value"]]
        axes.plot(x, y, label=_label(name), **look(i % len(COLOURS)))
    if found["value"].is_null().all():
        axes.text(0.5, 0.5, "no ρ", ha="center", transform=axes.transAxes, fontsize=6.5)
    axes.set_xlabel("β")
    axes.set_ylabel("Spearman's ρ of CAR")
    axes.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=2, fontsize=6.5)
    return figure

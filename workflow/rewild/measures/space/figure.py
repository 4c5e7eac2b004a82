"""The figure of coverage: a panel a set, in its colour, before the points of all others in grey."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from rewild.core.plotting import COLOURS, FAINT, PAGE, new_figure, style


def panels(coordinates: pl.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Draw the points of every set; all panels have the same axes.

    Args:
        coordinates: rows of :data:`rewild.measures.space.coverage.COORDINATES`.
        titles: set → what it is called, in the order of the panels.
    """
    across = min(len(titles), 4)
    down = math.ceil(len(titles) / across)
    with style():
        figure = new_figure(PAGE * across / 4 if across > 1 else PAGE / 2, PAGE / 4 * down + 0.2)
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for n, axes in enumerate(grid.flat):
            axes.set_axis_off()
            if n >= len(titles):
                continue
            name, title = list(titles.items())[n]
            own = pl.col("set") == name
            size = {"s": 1.0, "linewidths": 0, "rasterized": True}
            for rows, colour in ((coordinates.filter(~own), FAINT), (coordinates.filter(own), COLOURS[n])):
                axes.scatter(rows["x"], rows["y"], color=colour, **size)
            axes.set_title(f"{title} ({coordinates.filter(own).height:,})")
            axes.set_aspect("equal", adjustable="box")
        return figure

"""The look of every figure, and how figures are written.

Use it so::

    with style():
        figure = new_figure(COLUMN, 2.4)
        axes = figure.subplots()
        axes.plot(x, y, **look(0))
        save(figure, "results/paper/figures/figure2")

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), told apart with any colour vision; each
comes with a marker and a line style of its own, so that a figure also reads in grey. Figures are made at the
size at which they are printed, so that 7 pt is 7 pt on paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rewild.core.files import atomic

COLUMN = 3.3
"""Width of one column of a two-column page, in inches."""
PAGE = 6.8
"""Width of both columns, in inches."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
INK = "#222222"
FAINT = "#BBBBBB"
FORMATS = ("svg", "pdf", "png")

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # it comes with matplotlib, so every machine has the same
    "mathtext.fontset": "dejavusans",
    "text.parse_math": False,  # two dollars in a name are two dollars
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "svg.hashsalt": "rewild",  # identifiers from content, not from chance
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # TrueType, embedded
    "ps.fonttype": 42,
}
# Without dates and program versions, the same figure is the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "rewild"},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": "rewild", "Producer": None},
    "png": {"Software": None},
}


@contextmanager
def style() -> Iterator[None]:
    """The house's settings, whatever the user's matplotlib settings are; undone on leaving."""
    with mpl.rc_context():
        settings: Any = mpl.rcParams  # its keys are typed as literals in some releases of matplotlib
        settings.update({k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith("backend")})
        settings.update(_RC)
        yield


def look(i: int, **over: Any) -> dict[str, Any]:
    """Colour, marker and line style number ``i`` (0–6), as keyword arguments of ``Axes.plot``."""
    return {"color": COLOURS[i], "marker": MARKERS[i], "linestyle": LINES[i], **over}


def new_figure(width: float = COLUMN, height: float = 2.4) -> Figure:
    """An empty figure of ``width`` by ``height`` inches that lays itself out. Call within :func:`style`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, stem: Path | str, title: str | None = None) -> tuple[Path, ...]:
    """Write ``stem.svg``, ``stem.pdf`` and ``stem.png`` (300 dpi), each atomically.

    Args:
        figure: what to write; the same figure gives the same bytes.
        stem: the path without a suffix.
        title: put into the files' metadata, for screen readers and viewers.

    Returns:
        The paths written, in the order of :data:`FORMATS`.
    """
    stem = Path(stem)
    paths = tuple(stem.with_name(f"{stem.name}.{suffix}") for suffix in FORMATS)
    with style():
        for suffix, path in zip(FORMATS, paths, strict=True):
            metadata = _METADATA[suffix] | ({"Title": title} if title else {})
            with atomic(path) as temporary:
                figure.savefig(temporary, format=suffix, metadata=metadata)
    return paths

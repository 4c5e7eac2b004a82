"""Figures 3 and 4: the words that are more common in one model's judgments than in the other's.

Each is drawn as a word cloud, as in the paper, and as bars from which numbers can be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.figure import Figure

from rewild.core.errors import DataError
from rewild.core.plotting import COLOURS, COLUMN, INK, new_figure, save, style
from rewild.evaluation.judgments.preferences import LLAMA, QWEN

SIDES = {"figure3": (0, 1), "figure4": (1, -1)}
"""Figure → which of two models' judgments, and the sign of ``difference`` that makes a word theirs."""
Names = tuple[str, str]
PAPER: Names = (LLAMA, QWEN)
"""The two models, that of Figure 3 first; a study's own stand in their places."""
_COLOUR = (COLOURS[1], COLOURS[0])
_COUNTS = ("n_llama", "n_qwen")
_PIXELS = 4  # of the cloud's layout, per point on paper
_BARS = 18
_WIDE = 50  # characters of both names, above which they stand one below the other


def side(words: pl.DataFrame, figure: str, names: Names = PAPER) -> pl.DataFrame:
    """The words that are more common on one side, with what to print: strongest difference first.

    Raises:
        DataError: no word is more common there.
    """
    which, sign = SIDES[figure]
    chosen = words.filter(pl.col("difference") * sign > 0).with_columns(
        pl.when("negated").then(pl.format("not {}", "word")).otherwise("word").alias("label")
    )
    if chosen.is_empty():
        raise DataError(f"{figure}: no word is more common in the judgments of {names[which]}")
    return chosen.sort(
        pl.col("difference").abs(), -pl.col("p"), "label", descending=[True, True, False], maintain_order=True
    )


def cloud(words: pl.DataFrame, figure: str, most: int, seed: int, names: Names = PAPER) -> Figure:
    """A word cloud: the area of a word grows with the difference in judgments that hold it.

    Words with p < 0.05 (McNemar, not adjusted) are drawn dark, the others in the model's colour. The layout
    is that of the ``wordcloud`` package, the same for one seed; words are drawn as text, not as pixels.

    Args:
        words: :data:`~rewild.evaluation.judgments.schema.WORDS`.
        figure: ``figure3`` or ``figure4``.
        most: words drawn.
        seed: of the layout.
        names: the two models.
    """
    from matplotlib.textpath import TextPath

    height = 2.5  # inches
    chosen = side(words, figure, names).head(most)
    weight = dict(zip(chosen["label"], chosen["difference"].abs().cast(float), strict=True))
    certain = dict(zip(chosen["label"], chosen["p"] < 0.05, strict=True))
    points = (COLUMN * 72, height * 72)
    drawn = new_figure(COLUMN, height)
    drawn.set_layout_engine("none")
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, points[0]), ylim=(points[1], 0))
    axes.axis("off")
    for (label, _weight), size, (top, left), _turn, _colour in _layout(weight, points, seed):
        # The layout gives the top left of the ink; text is placed by its origin on the base line.
        box: Any = TextPath((0, 0), label, size=size / _PIXELS).get_extents()
        axes.text(
            left / _PIXELS - box.x0,
            top / _PIXELS + box.y1,
            label,
            fontsize=size / _PIXELS,
            color=INK if certain[label] else _COLOUR[SIDES[figure][0]],
            ha="left",
            va="baseline",
        )
    return drawn


def _layout(weight: dict[str, float], points: tuple[float, float], seed: int) -> list[Any]:
    """Where each word stands, its size and place in pixels; the largest sizes at which all words fit."""
    from wordcloud import WordCloud

    font = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    placed: list[Any] = []
    for largest in range(25, 9, -3):
        placed = (
            WordCloud(
                width=round(points[0] * _PIXELS),
                height=round(points[1] * _PIXELS),
                font_path=str(font),
                prefer_horizontal=1.0,
                relative_scaling=0.6,
                min_font_size=6 * _PIXELS,
                max_font_size=largest * _PIXELS,
                margin=5 * _PIXELS,
                max_words=len(weight),
                random_state=seed,
            )
            .generate_from_frequencies(weight)
            .layout_
        )
        if len(placed) == len(weight):
            break
    return placed


def bars(words: pl.DataFrame, figure: str, most: int = _BARS, names: Names = PAPER) -> Figure:
    """Bars: for each word, how many judgments of either model hold it, the numbers beside them.

    A star marks p < 0.05 (McNemar, not adjusted).
    """
    mine, _ = SIDES[figure]
    chosen = side(words, figure, names).head(most)
    drawn = new_figure(COLUMN, 0.45 + 0.235 * chosen.height)
    axes = drawn.subplots()
    for k, which in enumerate((mine, 1 - mine)):
        values = chosen[_COUNTS[which]].to_list()
        at = [i + (k - 0.5) * 0.38 for i in range(len(values))]
        axes.barh(
            at,
            values,
            height=0.36,
            color=_COLOUR[which] if k == 0 else "white",
            edgecolor=_COLOUR[which],
            linewidth=0.7,
            label=names[which],
        )
        for y, value in zip(at, values, strict=True):
            axes.annotate(
                str(value), (value, y), (2, 0), textcoords="offset points", va="center", fontsize=6, color=INK
            )
    labels = [label + (" *" if p < 0.05 else "") for label, p in chosen.select("label", "p").iter_rows()]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Judgments that hold the word")
    axes.locator_params("x", integer=True)
    axes.margins(x=0.08)
    columns = 2 if sum(map(len, names)) < _WIDE else 1
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=columns, handlelength=1.2)
    return drawn


def draw(words: pl.DataFrame, figure: str, stem: Path, most: int, seed: int, *, names: Names = PAPER) -> None:
    """Write one figure as a cloud (``stem``) and as bars (``stem-bars``), each as SVG, PDF and PNG.

    Where no word is more common in the judgments of a study's own model, the figures say so.
    """
    which, sign = SIDES[figure]
    model = names[which]
    if names != PAPER and words.filter(pl.col("difference") * sign > 0).is_empty():
        with style():
            for name in (stem.name, f"{stem.name}-bars"):
                save(_nothing(model), stem.with_name(name), f"No word is more common in judgments of {model}")
        return
    with style():
        save(cloud(words, figure, most, seed, names), stem, f"Words more common in judgments of {model}")
        save(
            bars(words, figure, names=names),
            stem.with_name(f"{stem.name}-bars"),
            f"Words more common in judgments of {model}, with counts",
        )


def _nothing(model: str) -> Figure:
    """A figure that says that there is nothing to show."""
    drawn = new_figure(COLUMN, 1.0)
    axes = drawn.subplots()
    axes.axis("off")
    text = f"No word is more common in the judgments of\n{model}"
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    return drawn

"""Figures 3 and 4: the words that are more common in one model's judgments than in the other's.

Each is drawn as a word cloud, as in the paper, and as bars from which numbers can be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.figure import Figure

from rewild.config.findings import Findings
from rewild.config.load import read_study
from rewild.core.errors import DataError
from rewild.core.plotting import COLOURS, COLUMN, INK, new_figure, save, style
from rewild.core.table import provenance, read_table, write_table
from rewild.evaluation.judgments.preferences import LLAMA, QWEN
from rewild.evaluation.judgments.schema import OWN_WORDS, SIDES_OF, WORDS
from rewild.papers.room import Job, numbers_of

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


def draw(
    words: pl.DataFrame, name: str, out: Path, most: int, seed: int, *, names: Names = PAPER
) -> pl.DataFrame:
    """Write one figure as SVG, PDF and PNG: as a cloud, or as bars where its name ends in ``-bars``.

    Where no word is more common in the judgments of a study's own model, the figure says so.

    Returns:
        The words that it shows.
    """
    figure = name.removesuffix("-bars")
    which, sign = SIDES[figure]
    model = names[which]
    title = f"Words more common in judgments of {model}"
    if names != PAPER and words.filter(pl.col("difference") * sign > 0).is_empty():
        with style():
            save(_nothing(model), out, f"No word is more common in judgments of {model}")
        return words.clear()
    with style():
        if name == figure:
            save(cloud(words, figure, most, seed, names), out, title)
        else:
            save(bars(words, figure, names=names), out, f"{title}, with counts")
    return side(words, figure, names).head(most if name == figure else _BARS)


def _nothing(model: str) -> Figure:
    """A figure that says that there is nothing to show."""
    drawn = new_figure(COLUMN, 1.0)
    axes = drawn.subplots()
    axes.axis("off")
    text = f"No word is more common in the judgments of\n{model}"
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    return drawn


def released(job: Job, out: Path) -> None:
    """Figure 3 or 4, as a cloud or as bars, from the released judgments."""
    study = read_study(job.study, job.config)
    most = study.judgments.words if study.judgments else 40
    shown = draw(read_table(job.file("words"), WORDS), job.name, out, most, study.seed)
    write_table(numbers_of(out), shown.select(list(WORDS.columns)), WORDS, provenance([job.file("words")]))


def own(job: Job, out: Path) -> None:
    """Figure 3 or 4 of a study's own runs."""
    study = read_study(job.study, job.config)
    found = read_table(job.file("words"), OWN_WORDS, allow_empty=True)
    sides = {f"{n}_{b}": f"{n}_{a}" for a, b in SIDES_OF.items() for n in ("n", "only")}
    names = (found["second"][0], found["first"][0]) if found.height else ("either", "either")
    most = (study.findings or Findings.model_validate({})).words
    shown = draw(found.rename(sides), job.name, out, most, study.seed, names=names)
    shown = shown.rename({a: b for b, a in sides.items()}).select(list(OWN_WORDS.columns))
    write_table(numbers_of(out), shown, OWN_WORDS, provenance([job.file("words")]))

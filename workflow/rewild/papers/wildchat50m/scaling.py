"""Figure 2: the average score as the data grow, for four data-generating models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from rewild.config.mixes import size_name
from rewild.config.roster import Entry
from rewild.core.cells import PUBLISHED_CELLS
from rewild.core.errors import DataError
from rewild.core.plotting import COLUMN, look, new_figure, save, style
from rewild.core.table import provenance, read_table, write_table
from rewild.evaluation.scores.average import SCALES, VARIANTS, average
from rewild.evaluation.scores.bootstrap import half_width
from rewild.evaluation.scores.collect import OWN, Headline
from rewild.papers.room import Job, numbers_of
from rewild.papers.wildchat50m.averages import row_of_run
from rewild.papers.wildchat50m.own import grounds_of, made_from_scores
from rewild.papers.wildchat50m.schema import BENCHMARK_OF, OWN_SCALING, SCALING, SCORES
from rewild.report.findings.select import scaled

DGMS = ("GPT", "L8I", "L70", "Q72")
SIZES = (100_000, 250_000, 500_000)
PANELS = {
    "avg_wk_if": "As plotted: mean of the 7 benchmarks\nother than MT-Bench and AlpacaEval",
    "avg_stated": "As stated: mean of all 9 benchmarks",
}
OWN_PANEL = {OWN: "Mean of the study's {} benchmarks"}


def _run(dgm: str, size: int) -> str:
    return f"L8B : {dgm}" + ("" if size == 250_000 else f" ({size // 1000}k)")


def _point(dgm: str, size: int, variant: str, **values: float | str | None) -> dict[str, object]:
    return {"dgm": dgm, "size": size, "variant": variant, "bound": None, "source": None} | values


def released_points(scores: pl.DataFrame, sheet: str = "SFT") -> pl.DataFrame:
    """``SCALING`` from the released scores, complete.

    Raises:
        DataError: a run is not in the sheet, or lacks a score.
    """
    rows = []
    for variant in PANELS:
        for dgm in DGMS:
            for size in SIZES:
                value = average(row_of_run(scores, sheet, _run(dgm, size))["scores"], variant)
                if value is None:
                    raise DataError(
                        f"scores, sheet '{sheet}': '{_run(dgm, size)}' lacks a score of {variant}"
                    )
                rows.append(_point(dgm, size, variant, value=value, source=f"sheet {sheet}"))
    return SCALING.frame(rows, "scaling points")


def published_points(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """``SCALING`` from the printed scores of ``table2`` and ``table7``; null where nothing is printed.

    The bound is what rounding allows: the mean of the scores' half-units.
    """
    found: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    for name, cells in tables.items():
        for cell in cells.iter_rows(named=True):
            if (benchmark := BENCHMARK_OF.get(cell["column"])) and cell["value"] is not None:
                run = f"L8B : {cell['row']}" if name == "table2" else cell["row"]
                scores = found.setdefault((name, run), {})
                scores[benchmark] = (cell["value"], 0.5 * 10.0 ** -cell["digits"])
    rows = []
    for variant, benchmarks in ((v, VARIANTS[v].benchmarks) for v in PANELS):
        for dgm in DGMS:
            for size in SIZES:
                table, scores = next(
                    ((name, s) for (name, run), s in found.items() if run == _run(dgm, size)), (None, {})
                )
                value = average({b: v for b, (v, _) in scores.items()}, variant)
                bound = None
                if value is not None:
                    bound = fsum(scores[b][1] / SCALES.get(b, 1.0) for b in benchmarks) / len(benchmarks)
                source = None if value is None or table is None else f"Table {table[-1]}"
                rows.append(_point(dgm, size, variant, value=value, bound=bound, source=source))
    return SCALING.frame(rows, "scaling points")


def own_points(head: Headline, series: Mapping[str, Sequence[Entry]]) -> pl.DataFrame:
    """``OWN_SCALING`` of a study's own runs: both averages of the paper's figure, or the study's one.

    Args:
        head: the scores.
        series: model → runs on its responses, by size.

    Raises:
        DataError: there are no such runs, or none of them has all scores. A run that lacks one has no value.
    """
    if not series:
        raise DataError("figure2: the study has no scores of runs on one model's responses at two sizes")
    rows = []
    for variant in tuple(PANELS) if head.members("avg_stated") else (OWN,):
        for dgm, entries in series.items():
            for entry in entries:
                value, stderr = head.average(entry.run, variant) or (None, None)
                rows.append((dgm, entry.run, entry.size, variant, value, half_width(stderr)))
    frame = pl.DataFrame(rows, schema=OWN_SCALING.dtypes, orient="row")
    if frame["value"].is_null().all():
        raise DataError("figure2: not one of its runs has a score on every benchmark of the average")
    return OWN_SCALING.check(frame, "scaling points")


def draw(data: pl.DataFrame, benchmarks: int = 0) -> Figure:
    """The averages, one panel each, one column wide. Call within :func:`rewild.core.plotting.style`.

    Args:
        data: ``SCALING``; or ``OWN_SCALING``, at most seven models.
        benchmarks: how many a study's own average is over.
    """
    own = "ci" in data.columns
    panels = {
        v: (PANELS | OWN_PANEL)[v].format(benchmarks) for v in data["variant"].unique(maintain_order=True)
    }
    sizes = sorted(data["size"].unique())
    figure = new_figure(COLUMN, 4.0 if len(panels) > 1 else 2.6)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    partial = not own and data["value"].is_null().any()
    for panel, (ax, (variant, title)) in enumerate(zip(axes, panels.items(), strict=True)):
        here = data.filter(pl.col("variant") == variant)
        for i, dgm in enumerate(data["dgm"].unique(maintain_order=True)):
            line = here.filter((pl.col("dgm") == dgm) & pl.col("value").is_not_null())
            if line.is_empty():
                continue
            spread = line["ci" if own else "bound"]
            bounds = spread.to_list() if spread.is_not_null().all() else None
            aside = 1 + 0.02 * (i - 2) * (bounds is not None)  # so that bars do not hide each other
            x = [size * aside for size in line["size"]]
            ax.plot(x, line["value"].to_list(), **look(i), label=dgm)
            if bounds:
                bars = {"fmt": "none", "ecolor": look(i)["color"], "capsize": 2, "elinewidth": 0.8}
                ax.errorbar(x, line["value"].to_list(), yerr=bounds, **bars)
        ax.set_xscale("log")
        ax.set_xticks(sizes, [size_name(size) for size in sizes])
        ax.set_xticks([], minor=True)
        ax.set_xlim(0.9 * sizes[0], 1.12 * sizes[-1])
        ax.grid(axis="y")
        ax.set_title(f"{'ab'[panel]}  {title}" if len(panels) > 1 else title, loc="left", fontsize=7.5)
        ax.set_ylabel("Average score")
        if partial:
            text = (
                "100k, and GPT at any size:\nnot published",
                "Bars: what the rounding of\nprinted scores allows",
            )
            ax.text(0.03, 0.5, text[panel], transform=ax.transAxes, color="#666666", backgroundcolor="white")
    figure.align_ylabels(axes)
    axes[-1].set_xlabel("Conversations (log scale)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=len(labels),
        columnspacing=1.0,
        handletextpad=0.5,
        title="Data-generating model",
        title_fontsize=7,
    )
    return figure


def published(job: Job, out: Path) -> None:
    """Figure 2, as far as Tables 2 and 7 print it."""
    tables = {name: job.file(name) for name in ("table2", "table7")}
    data = published_points({name: read_table(path, PUBLISHED_CELLS) for name, path in tables.items()})
    with style():
        save(draw(data), out, title=job.title("WILDCHAT-50M"))
    write_table(numbers_of(out), data, SCALING, provenance(list(tables.values())))


def released(job: Job, out: Path) -> None:
    """Figure 2 from the released scores."""
    data = released_points(read_table(job.file("scores"), SCORES))
    with style():
        save(draw(data), out, title=job.title("WILDCHAT-50M"))
    write_table(numbers_of(out), data, SCALING, provenance([job.file("scores")]))


def own(job: Job, out: Path) -> None:
    """Figure 2 of a study's own runs."""
    grounds = grounds_of(job)
    data = own_points(grounds.head, scaled(grounds.roster, grounds.scored))
    with style():
        save(draw(data, len(grounds.head.benchmarks)), out, title=job.title(f"Study {job.study}"))
    write_table(numbers_of(out), data, OWN_SCALING, made_from_scores(job))

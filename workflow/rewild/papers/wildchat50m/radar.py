"""Figure 1: four models on nine benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, fsum, pi
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from rewild.config.roster import Entry
from rewild.core.errors import DataError
from rewild.core.plotting import COLUMN, FAINT, look, new_figure, save, style
from rewild.core.table import provenance, read_table, write_table
from rewild.evaluation.scores.average import VARIANTS, unit
from rewild.evaluation.scores.collect import Headline
from rewild.papers.room import Job, numbers_of
from rewild.papers.wildchat50m.averages import row_of_run
from rewild.papers.wildchat50m.own import grounds_of, made_from_scores
from rewild.papers.wildchat50m.schema import RADAR, SCORES
from rewild.report.findings.select import radar_runs

RUNS = ("Re-Wild", "Tulu 3 SFT", "Magpie Align SFT", "Ultrachat SFT")
LABELS = {
    "mt-bench": "MT-Bench / 10",
    "alpaca-eval": "AlpacaEval 2\n(LC) / 100",
    "bbh": "BBH",
    "gpqa": "GPQA",
    "math": "MATH",
    "musr": "MuSR",
    "ifeval": "IFEval",
    "mmlu-pro": "MMLU-Pro",
    "mixeval": "MixEval",
}


_COUNT = {9: "nine"}
_LONG = 18  # characters of a name of which two stand side by side


def points(scores: pl.DataFrame, sheet: str = "SFT") -> pl.DataFrame:
    """``RADAR``: the four models' scores on the nine benchmarks.

    Raises:
        DataError: a model is not in the sheet, or lacks a score.
    """
    rows = []
    for run in RUNS:
        found = row_of_run(scores, sheet, run)["scores"]
        for benchmark in VARIANTS["avg_stated"].benchmarks:
            score = found.get(benchmark)
            value = None if score is None else unit(benchmark, score)
            rows.append({"run": run, "benchmark": benchmark, "value": value, "score": score})
    return RADAR.frame(rows, f"scores, sheet '{sheet}'")


def own_points(head: Headline, entries: Sequence[Entry]) -> pl.DataFrame:
    """``RADAR`` of a study's own runs, on the benchmarks that all of them have a score on.

    A run with so few scores that no three benchmarks would remain is left out.

    Raises:
        DataError: there are no runs, or fewer than three such benchmarks: no figure can be drawn.
    """
    entries = list(entries)
    while len(shared := head.complete(e.run for e in entries)) < 3 and len(entries) > 1:
        entries.remove(min(entries, key=lambda e: len(head.complete([e.run]))))
    if not entries or len(shared) < 3:
        what = f"{len(shared)} of the three benchmarks" if entries else "none of the runs"
        raise DataError(f"figure1: the study has {what} that a radar needs (findings.radar names its runs)")
    rows = []
    for entry in entries:
        for benchmark, divisor in shared.items():
            score = head.values(entry.run)[benchmark] or 0.0
            rows.append((entry.label, benchmark, score / divisor, score))
    return RADAR.frame(rows, "radar points")


def draw(data: pl.DataFrame, labels: Mapping[str, str] = LABELS) -> Figure:
    """The radar, one column wide. Call within :func:`rewild.core.plotting.style`.

    Args:
        data: ``RADAR``; at most seven runs.
        labels: benchmark → what stands at its axis.
    """
    benchmarks = data["benchmark"].unique(maintain_order=True).to_list()
    angles = [2 * pi * i / len(benchmarks) for i in range(len(benchmarks))]
    runs = data["run"].unique(maintain_order=True).to_list()
    narrow = max(map(len, runs)) > _LONG  # then one name to a line, and the room for it
    figure = new_figure(COLUMN, 3.35 + (0.13 * (len(runs) // 2) if narrow else 0))
    axes = figure.add_subplot(projection="polar")
    axes.set_theta_zero_location("N")  # type: ignore[attr-defined]
    axes.set_theta_direction(-1)  # type: ignore[attr-defined]
    for i, run in enumerate(runs):
        values = data.filter(pl.col("run") == run)["value"].to_list()
        closed = [*values, values[0]]
        mean = fsum(values) / len(values)
        axes.plot(
            [*angles, 0],
            closed,
            **look(i, linewidth=1, markersize=3),
            zorder=4 - i / 10,
            label=f"{run} ({mean:.3f})",
        )
        if i == 0:
            axes.fill([*angles, 0], closed, color=look(i)["color"], alpha=0.12, linewidth=0)
    top = max(2, ceil(5 * max(data["value"]) - 1e-9))  # in steps of 0.2
    ticks = [round(0.2 * (i + 1), 1) for i in range(top)]
    axes.set_ylim(0, ticks[-1])
    axes.set_yticks(ticks, [f"{t:.1f}" for t in ticks])
    axes.set_rlabel_position(180)  # type: ignore[attr-defined]
    axes.tick_params(axis="y", labelsize=6, labelcolor="#666666", pad=-2)
    axes.set_xticks(angles, [labels.get(b, b) for b in benchmarks])
    axes.tick_params(axis="x", pad=0)
    for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
        side = round(angle / pi, 3)
        label.set_horizontalalignment("center" if side in (0, 1) else "left" if side < 1 else "right")
    axes.spines["polar"].set_color(FAINT)
    axes.grid(color=FAINT, linewidth=0.4)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=1 if narrow else 2,
        columnspacing=1.2,
        title=f"Mean of the {_COUNT.get(len(benchmarks), len(benchmarks))} scores in brackets",
        title_fontsize=6.5,
    )
    return figure


def released(job: Job, out: Path) -> None:
    """Figure 1 from the released scores."""
    data = points(read_table(job.file("scores"), SCORES))
    with style():
        save(draw(data), out, title=job.title("WILDCHAT-50M"))
    write_table(numbers_of(out), data, RADAR, provenance([job.file("scores")]))


def own(job: Job, out: Path) -> None:
    """Figure 1 of a study's own runs."""
    grounds = grounds_of(job)
    data = own_points(grounds.head, radar_runs(grounds.roster, grounds.scored, grounds.settings))
    axes = {
        slug: row.title + (f"\n/ {row.scale.divisor}" if row.scale.divisor > 1 else "")
        for slug, row in grounds.head.benchmarks.items()
    }
    with style():
        save(draw(data, axes | LABELS), out, title=job.title(f"Study {job.study}"))
    write_table(numbers_of(out), data, RADAR, made_from_scores(job))

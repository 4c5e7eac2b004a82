"""The numbers of figures and tables: rows of ``POINTS``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from rewild.config.models import Model
from rewild.config.teachers import CAR, Teachers
from rewild.report.teachers.plan import Plan, columns_of, label_of, predictors_of, ranks_by
from rewild.report.teachers.schema import MEAN

AP = "Mean (%)"


@dataclass(frozen=True)
class Tables:
    """What figures and tables are made of; the last three are empty before there are scores."""

    values: pl.DataFrame
    ranking: pl.DataFrame
    performance: pl.DataFrame
    correlation: pl.DataFrame
    beta: pl.DataFrame


@dataclass(frozen=True)
class Named:
    """Names as tables have them: of models, benchmarks; and families.

    A model is its key of models.yaml: what a reader sees is what the commands take, and no two share it.
    """

    models: Mapping[str, Model]
    benchmarks: Mapping[str, str]

    def family(self, slug: str) -> str:
        """A model's family; its slug where none is known."""
        return self.models[slug].family if slug in self.models else slug


def point(  # noqa: PLR0917
    panel: str,
    row: str,
    column: str,
    value: float | None = None,
    ends: tuple[float | None, float | None] = (None, None),
    text: str | None = None,
    group: str | None = None,
) -> tuple[Any, ...]:
    """A row of ``POINTS``."""
    return panel, row, column, value, *ends, text, group


def points(shown: str, plan: Plan, given: Teachers, tables: Tables, named: Named) -> list[tuple[Any, ...]]:
    """The numbers of one figure or table of :data:`rewild.report.teachers.plan.VIEWS`."""
    if shown == "candidates":
        return list(_candidates(plan, tables))
    if shown == "correlations":
        return list(_correlations(plan, given, tables.correlation))
    if shown == "families":
        return list(_families(given, tables.correlation))
    if shown == "beta":
        return [
            point(r["base"], f"{r['beta']:g}", "ρ", r["rho"], (r["low"], r["high"]))
            for r in tables.beta.iter_rows(named=True)
        ]
    if shown in ("sampling", "rejection", "outside", "benchmarks", "performance"):
        return list(_scores(shown, plan, given, tables.performance, named))
    return list(_values(shown, plan, given, tables, named))


def _candidates(plan: Plan, tables: Tables) -> Iterator[tuple[Any, ...]]:
    rows = {row["teacher"]: row for row in tables.ranking.iter_rows(named=True)}
    for teacher in plan.teachers:
        row, name = rows[teacher], teacher
        yield point("", name, "Family", text=row["family"])
        yield point("", name, "Billions", row["billions"])
        yield point("", name, "Licence", text=row["licence"] or "–")
        yield point("", name, "GPU-hours for 100,000", row["gpu_hours"])


def _correlations(plan: Plan, given: Teachers, frame: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    whole = frame.filter(pl.col("without").is_null())
    for base in (*plan.bases, MEAN):
        for predictor in predictors_of(given):
            for r in whole.filter(pl.col("base") == base, pl.col("predictor") == predictor).iter_rows(
                named=True
            ):
                name = "Average" if base == MEAN else base
                column = label_of(given, predictor)
                yield point("ρ", name, column, r["rho"], (r["low"], r["high"]), r["why"])


def _families(given: Teachers, frame: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    mine = frame.filter(pl.col("predictor") == ranks_by(given), pl.col("base") != MEAN)
    for r in mine.iter_rows(named=True):
        column = "all" if r["without"] is None else f"without {r['without']}"
        yield point("ρ", r["base"], column, r["rho"], (r["low"], r["high"]), r["why"])


def _scores(
    shown: str, plan: Plan, given: Teachers, frame: pl.DataFrame, named: Named
) -> Iterator[tuple[Any, ...]]:
    kept = frame
    if shown in ("sampling", "rejection", "outside"):
        names = [name for name, one in given.variants.items() if one.group == shown]
        kept = frame.filter("variant", pl.col("teacher").is_in(names))
    else:
        kept = frame.filter(~pl.col("variant"))
    if shown in ("performance", "sampling"):
        kept = kept.filter(pl.col("benchmark") == MEAN)
    for r in kept.iter_rows(named=True):
        name = r["teacher"]
        column = AP if r["benchmark"] == MEAN else named.benchmarks[r["benchmark"]]
        half = None if r["stderr"] is None else 1.96 * r["stderr"]
        ends = (None, None) if half is None else (r["value"] - half, r["value"] + half)
        group = None if r["variant"] else named.family(r["teacher"])
        if shown == "sampling":
            one = given.variants[r["teacher"]]
            name, group = f"T {one.temperature:g}, top-p {one.top_p:g}", f"top-p {one.top_p:g}"
        yield point(r["base"], name, column, r["value"], ends, r["why"], group)


def _values(
    shown: str, plan: Plan, given: Teachers, tables: Tables, named: Named
) -> Iterator[tuple[Any, ...]]:
    for use in columns_of(shown, given, plan.uses):
        base = use.base or plan.bases[0]
        label = "Reward of CAR" if use.predictor == CAR else label_of(given, use.predictor)
        panel = base if use.base else label
        if use.predictor == CAR:  # values.csv has CAR itself
            mine = tables.ranking.filter(pl.col("base") == base).with_columns(value="reward")
        else:
            mine = tables.values.filter(pl.col("base") == base, pl.col("predictor") == use.predictor)
        for r in mine.iter_rows(named=True):
            yield point(
                panel, r["teacher"], label, r["value"], group=named.family(r["teacher"]),
                text=None if r["value"] is not None else r["why"] or "no response",
            )  # fmt: skip


def grid(frame: pl.DataFrame) -> tuple[list[str], list[list[object]]]:
    """A table's headings and rows from its numbers, as text."""
    columns = list(dict.fromkeys(frame["column"]))
    panels = frame["panel"].n_unique() > 1
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for r in frame.iter_rows(named=True):
        rows.setdefault((r["panel"], r["row"]), {})[r["column"]] = cell(r)
    head = [*(["Base"] if panels else []), "", *columns]
    return head, [
        [*([panel] if panels else []), row, *(cells.get(c, "–") for c in columns)]
        for (panel, row), cells in rows.items()
    ]


def cell(row: Mapping[str, Any], digits: int = 2) -> str:
    """A number with the ends of its interval, or the text in its place."""
    if row["value"] is None:
        return row["text"] or "–"
    small = 0 < abs(row["value"]) < 10**-digits / 2 and row["low"] is None
    shown = f"{row['value']:.{digits}g}" if small else f"{row['value']:.{digits}f}"
    if row["low"] is not None:
        shown += f" ({row['low']:.{digits}f} to {row['high']:.{digits}f})"
    return shown.replace("-", "−")

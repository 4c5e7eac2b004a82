"""Which averages the paper and its sheets report: each beside every variant, and a search over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import polars as pl

from rewild.core.cells import rounds_to
from rewild.core.errors import DataError
from rewild.evaluation.scores.average import VARIANTS, average, unit
from rewild.papers.wildchat50m.schema import AVERAGES, SUBSETS
from rewild.papers.wildchat50m.workbook import AVERAGE, SCALE_SHEET


@dataclass(frozen=True)
class Published:
    """One average that somebody published, and the row of scores that it belongs to."""

    place: str
    sheet: str
    sheet_row: int
    model: str
    run: str | None
    printed: str
    value: float
    half_unit: float
    scores: Mapping[str, float | None]


def _rows(scores: pl.DataFrame) -> dict[tuple[str, int], dict[str, Any]]:
    """(sheet, row) → its labels, and its scores by benchmark."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for cell in scores.iter_rows(named=True):
        row = rows.setdefault((cell["sheet"], cell["sheet_row"]), {**cell, "scores": {}})
        row["scores"][cell["benchmark"]] = cell["value"]
    return rows


def row_of_run(scores: pl.DataFrame, sheet: str, run: str) -> dict[str, Any]:
    """The row of a sheet that holds ``run``: its labels, and under ``scores`` its scores by benchmark.

    Raises:
        DataError: no row of that sheet, or more than one, holds the run.
    """
    wanted = scores.filter((pl.col("sheet") == sheet) & (pl.col("run") == run))
    found = list(_rows(wanted).values())
    if len(found) != 1:
        raise DataError(f"scores: the run '{run}' stands {len(found)} times in the sheet '{sheet}', not once")
    return found[0]


_SHEET_OF = {"table6": "approx_on_policy", "table7": "SFT"}
_TEXT_RUNS = {"Q72": "500k-qwen2.5-72B", "Q72 (truncated)": "500k-qwen2.5-72B-lc"}


def published_averages(
    scores: pl.DataFrame, tables: Mapping[str, pl.DataFrame], text: pl.DataFrame
) -> list[Published]:
    """Every published average, with the scores it should follow from.

    Args:
        scores: ``SCORES``.
        tables: the published cells of ``table6`` and ``table7``.
        text: the averages stated in the text, ``averages.csv``.
    """
    found: list[Published] = []

    def add(place: str, row: Mapping[str, Any], printed: str, value: float, half_unit: float) -> None:
        labels = {key: row[key] for key in ("sheet", "sheet_row", "model", "run")}
        found.append(
            Published(
                place, **labels, printed=printed, value=value, half_unit=half_unit, scores=row["scores"]
            )
        )

    for name, sheet in _SHEET_OF.items():
        for cell in tables[name].filter(pl.col("column") == "Avg").iter_rows(named=True):
            row = row_of_run(scores, sheet, cell["row"])
            add(f"Table {name[-1]}", row, cell["printed"], cell["value"], 0.5 * 10.0 ** -cell["digits"])
    rows = _rows(scores)
    lines = text.sort("run").to_dicts()
    if [line["run"] for line in lines] != sorted(_TEXT_RUNS):
        raise DataError(f"averages.csv: the runs must be {', '.join(sorted(_TEXT_RUNS))}")
    ablation = {r["model"]: r for r in rows.values() if r["sheet"] == "LC Ablation"}
    if missing := sorted(set(_TEXT_RUNS.values()) - set(ablation)):
        raise DataError(f"scores: the sheet 'LC Ablation' has no row '{missing[0]}'")
    # The text gives the two averages to one another's run, as it turns out; both readings are compared.
    for reading, order in (("", lines), (", exchanged", lines[::-1])):
        for line, other in zip(lines, order, strict=True):
            half_unit = 0.5 * 10.0 ** -line["digits"]
            place = line["place"].capitalize() + reading
            add(place, ablation[_TEXT_RUNS[other["run"]]], line["printed"], line["value"], half_unit)
    for cell in scores.filter((pl.col("benchmark") == AVERAGE) & pl.col("value").is_not_null()).iter_rows(
        named=True
    ):
        factor = cell["rescaled_by"] or 1.0  # the sheets round to three decimals, on their own scale
        if cell["sheet"] == SCALE_SHEET:
            row = row_of_run(scores, "SFT", cell["run"])
            add("Figure 2 (sheet scale_ablation)", row, cell["printed"], cell["value"], 0.0005)
        else:
            row = rows[cell["sheet"], cell["sheet_row"]]
            add(f"sheet {cell['sheet']}", row, cell["printed"], cell["value"], 0.0005 * factor)
    return found


def compare_variants(published: Sequence[Published]) -> pl.DataFrame:
    """``AVERAGES``: each published average beside each variant."""
    rows = []
    for p in published:
        for name in VARIANTS:
            value = average(p.scores, name)
            rows.append(
                {
                    **{key: getattr(p, key) for key in ("place", "sheet", "sheet_row", "model", "run")},
                    "variant": name,
                    "value": value,
                    "published": p.printed,
                    "matches": None if value is None else rounds_to(value, p.value, p.half_unit),
                }
            )
    return pl.DataFrame(rows, schema=AVERAGES.dtypes, orient="row", infer_schema_length=None)


def search_subsets(published: Sequence[Published]) -> pl.DataFrame:
    """``SUBSETS``: for each place, the subsets of benchmarks whose means give the most of its averages.

    Every subset of two or more of the benchmarks in the place's sheet is tried (but for MBPP, which the paper
    does not report). Missing scores are left out of the mean, as a spreadsheet's AVERAGE does.
    """
    import numpy as np

    names = {frozenset(v.benchmarks): name for name, v in VARIANTS.items()}
    out = []
    for place in dict.fromkeys(p.place for p in published):
        group = [p for p in published if p.place == place]
        benchmarks = [b for b in group[0].scores if b not in (AVERAGE, "mbpp")]
        scores = [[p.scores.get(b) for b in benchmarks] for p in group]
        matrix = np.array(
            [
                [np.nan if s is None else unit(b, s) for b, s in zip(benchmarks, row, strict=True)]
                for row in scores
            ]
        )
        wanted = np.array([p.value for p in group])
        half = np.array([p.half_unit for p in group]) * (1 + 1e-9) + 1e-12
        tried = []
        for size in range(2, len(benchmarks) + 1):
            for chosen in combinations(range(len(benchmarks)), size):
                some = matrix[:, chosen]
                present = ~np.isnan(some)
                counts = np.maximum(present.sum(axis=1), 1)
                means = np.where(present, some, 0).sum(axis=1) / counts
                tried.append((int((abs(means - wanted) <= half).sum()), chosen))
        most = max(matched for matched, _ in tried)
        for matched, chosen in tried if most else []:
            if matched == most:
                subset = [benchmarks[i] for i in chosen]
                out.append(
                    {
                        "place": place,
                        "averages": len(group),
                        "matched": matched,
                        "size": len(subset),
                        "benchmarks": "+".join(subset),
                        "variant": names.get(frozenset(subset)),
                    }
                )
    return pl.DataFrame(out, schema=SUBSETS.dtypes, orient="row", infer_schema_length=None)


def summary(compared: pl.DataFrame) -> list[str]:
    """One line per place: how many of its averages each variant gives to all published digits."""
    lines = []
    for place in compared["place"].unique(maintain_order=True):
        here = compared.filter(pl.col("place") == place)
        counts = {
            name: int(here.filter(pl.col("variant") == name)["matches"].fill_null(False).sum())
            for name in VARIANTS
        }
        total = here.height // len(VARIANTS)
        lines.append(f"{place}: " + ", ".join(f"{name} {n} of {total}" for name, n in counts.items()))
    return lines

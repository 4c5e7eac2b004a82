"""Tables 2, 6 and 7 of a study's own runs, as ``COMPUTED_CELLS``."""

from __future__ import annotations

from typing import Any

import polars as pl

from rewild.config.roster import Roster
from rewild.core.cells import COMPUTED_CELLS
from rewild.evaluation.scores.average import VARIANTS
from rewild.evaluation.scores.bootstrap import half_width
from rewild.evaluation.scores.collect import OWN, Headline
from rewild.report.findings.select import table_rows
from rewild.report.tables.own import AVERAGE, STATED

AVERAGES = {"avg_wk_if": "Avg", "avg_stated": STATED}
"""The averages of Tables 6 and 7 where a study has the paper's benchmarks: variant → column."""


def score_cells(table: str, head: Headline, roster: Roster) -> pl.DataFrame:
    """``COMPUTED_CELLS`` of ``table2``, ``table6`` or ``table7``.

    The half-widths are those of 95 % intervals by the normal approximation, as the paper's.

    Raises:
        DataError: the study has no run that belongs into the table.
    """
    cells = []
    for label, entry in table_rows(table, roster, set(head.frame["run"])):
        for slug, benchmark in head.benchmarks.items():
            cells.append(_cell(label, benchmark.title, head.row(entry.run, slug)))
        if table != "table2":
            cells += [
                _average(label, column, head, entry.run, variant)
                for variant, column in (AVERAGES if head.members("avg_stated") else {OWN: AVERAGE}).items()
            ]
    frame = pl.DataFrame(cells, schema=COMPUTED_CELLS.dtypes, orient="row", infer_schema_length=None)
    return COMPUTED_CELLS.check(frame, table)


def _cell(label: str, column: str, row: dict[str, Any] | None) -> dict[str, Any]:
    cell: dict[str, Any] = {"row": label, "column": column, "value": None, "ci": None}
    if row is None:
        return cell | {"note": "Not evaluated"}
    return cell | {"value": row["value"], "ci": half_width(row["stderr"]), "note": describe(row)}


def describe(row: dict[str, Any]) -> str:
    """What a reader should know about a score: items, failures, empty answers, judge."""
    failed = row["attempted"] - row["n"]
    notes = [f"{row['n']} items"] if not failed else [f"{row['n']} of {row['attempted']} items have a score"]
    if row["empty"]:
        notes.append(f"{row['empty']} empty answers")
    if row["judge"]:
        notes.append(f"judge {row['judge']}")
    return "; ".join(notes)


def _average(label: str, column: str, head: Headline, run: str, variant: str) -> dict[str, Any]:
    found = head.average(run, variant)
    meaning = VARIANTS[variant].meaning if variant in VARIANTS else "all benchmarks of the study"
    note = f"Mean of {meaning} ({variant})"
    if found is None:
        return {"row": label, "column": column, "value": None, "ci": None, "note": f"{note}: one is missing"}
    return {"row": label, "column": column, "value": found[0], "ci": half_width(found[1]), "note": note}

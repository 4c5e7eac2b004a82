"""A published table beside a computed one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.cells import COMPARED_CELLS, rounds_to
from rewild.core.errors import DataError, known_name
from rewild.report.tables.spec import TableSpec


def compare_cells(
    published: pl.DataFrame,
    computed: pl.DataFrame,
    spec: TableSpec,
    where: Path | str,
    *,
    own: bool = False,
) -> pl.DataFrame:
    """``COMPARED_CELLS``: every published cell, then columns that only the computed table has.

    Args:
        published: ``PUBLISHED_CELLS``.
        computed: ``COMPUTED_CELLS``; cells may be absent, but not unknown.
        spec: the table's.
        where: the file of the computed cells, named in errors.
        own: whether the computed rows are a study's own runs. Then there may be others than the paper's,
            which follow them; and if not one is the paper's, the published rows are left out.

    Raises:
        DataError: a computed cell has a row or column that the table has not, or none has.
    """
    rows = list(dict.fromkeys(published["row"]))
    if own:
        rows = rows if set(rows) & set(computed["row"]) else []
        rows += [row for row in dict.fromkeys(computed["row"]) if row not in rows]
    columns = [*spec.columns, *spec.computed_columns]
    for name, known in (("row", rows), ("column", columns)):
        for i, value in enumerate(computed[name]):
            known_name(value, known, f"{where}, row {i + 1}: the table has no {name}", error=DataError)
    left: dict[tuple[str, str], dict[str, Any]] = {
        (c["row"], c["column"]): c for c in published.iter_rows(named=True)
    }
    right: dict[tuple[str, str], dict[str, Any]] = {
        (c["row"], c["column"]): c for c in computed.iter_rows(named=True)
    }
    cells = []
    for row in rows:
        for column in columns:
            old, new = left.get((row, column)), right.get((row, column))
            if old is None and new is None:
                continue
            a: float | None = old["value"] if old else None
            b: float | None = new["value"] if new else None
            digits: int | None = old["digits"] if old else None
            difference = within = None
            if a is not None and b is not None and digits is not None:
                difference, within = round(b - a, 12), rounds_to(b, a, 0.5 * 10.0**-digits)
            notes = [cell["note"] for cell in (old, new) if cell and cell["note"]]
            cells.append(
                {
                    "row": row,
                    "column": column,
                    "published": a,
                    "computed": b,
                    "digits": digits,
                    "difference": difference,
                    "within_rounding": within,
                    "printed": old and old["printed"],
                    "computed_ci": new and new["ci"],
                    "note": "; ".join(notes) or None,
                }
            )
    return COMPARED_CELLS.frame(cells, where)


def agreement(compared: pl.DataFrame) -> tuple[int, int]:
    """How many cells have both numbers, and in how many the computed one rounds to the published one."""
    both = compared["within_rounding"].drop_nulls()
    return len(both), int(both.sum())

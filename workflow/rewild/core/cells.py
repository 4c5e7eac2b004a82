"""The files of the tables. Any phase can supply a table's computed cells by writing ``COMPUTED_CELLS``."""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

_ROW = Column(pl.String, "Row label, as the paper prints it")
_COLUMN = Column(pl.String, "Column label: a name of the paper's tables.yaml")

PUBLISHED_CELLS = TableSchema(
    name="published cells",
    version=1,
    columns={
        "row": _ROW,
        "column": _COLUMN,
        "value": Column(
            pl.Float64, "The number, in the column's unit; null where the source prints N/A", True
        ),
        "digits": Column(pl.Int64, "Decimals of the value that the source gives; null with the value", True),
        "ci": Column(pl.Float64, "Half-width of the 95 % interval, in the column's unit", True),
        "printed": Column(pl.String, "What the source prints"),
        "source": Column(pl.String, "The source that gives the most digits: paper or review"),
        "also": Column(pl.String, "What the other source prints, where that is something else", True),
        "note": Column(pl.String, "What a reader should know about this cell", True),
    },
    key=("row", "column"),
)
"""A transcribed table of a paper, ``papers/NAME/data/TABLE.csv``; a README beside them names the sources."""

COMPUTED_CELLS = TableSchema(
    name="computed cells",
    version=1,
    columns={
        "row": _ROW,
        "column": _COLUMN,
        "value": Column(pl.Float64, "The computed number, in the column's unit, not rounded", True),
        "ci": Column(pl.Float64, "Half-width of its 95 % interval, in the column's unit", True),
        "note": Column(pl.String, "What a reader should know about this number", True),
    },
    key=("row", "column"),
)
"""Computed cells of one table, ``results/{study}/{paper}/cells/{table}.csv``. One that cannot be computed is
absent, or has a null value and a note that says why."""

COMPARED_CELLS = TableSchema(
    name="compared cells",
    version=1,
    columns={
        "row": _ROW,
        "column": _COLUMN,
        "published": Column(pl.Float64, "The published number", True),
        "digits": Column(pl.Int64, "Decimals of the published number that its source gives", True),
        "computed": Column(pl.Float64, "The computed number", True),
        "difference": Column(pl.Float64, "Computed minus published; null unless both exist", True),
        "within_rounding": Column(
            pl.Boolean,
            "Whether the computed number rounds to the published one; null unless both exist",
            True,
        ),
        "printed": Column(
            pl.String, "What the source prints; null in a column that is not in the paper", True
        ),
        "computed_ci": Column(pl.Float64, "Half-width of the computed 95 % interval", True),
        "note": Column(pl.String, "Notes on either number", True),
    },
    key=("row", "column"),
)
"""A published table beside its computed one, ``results/{study}/{paper}/tables/{table}.csv``."""


def rounds_to(value: float, published: float, half_unit: float) -> bool:
    """Whether ``value`` rounds to ``published``, whichever way its halves are rounded."""
    return abs(value - published) <= half_unit * (1 + 1e-9) + 1e-12

"""A published table with a line per row, for a spreadsheet: every digit, and intervals beside values."""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema
from rewild.report.tables.spec import ColumnSpec


def wide(
    name: str, columns: dict[str, ColumnSpec], published: pl.DataFrame
) -> tuple[pl.DataFrame, TableSchema]:
    """The table in wide form, and the schema that describes it.

    A column ``X`` is followed by ``X ci`` where the source gives intervals. Values are in the columns' units.
    """
    described = {"row": Column(pl.String, "Row label, as the paper prints it")}
    for column, spec in columns.items():
        cells = published.filter(pl.col("column") == column)
        whole = (cells["digits"].drop_nulls() == 0).all()
        dtype = pl.String if spec.text else pl.Int64 if whole else pl.Float64
        described[column] = Column(dtype, f"{spec.meaning} ({spec.unit})", nullable=True)
        if cells["ci"].is_not_null().any():
            text = f"Half-width of the 95 % interval of {column} ({spec.unit})"
            described[f"{column} ci"] = Column(pl.Float64, text, nullable=True)
    rows: dict[str, dict[str, object]] = {}
    for cell in published.iter_rows(named=True):
        row = rows.setdefault(cell["row"], {"row": cell["row"]})
        row[cell["column"]] = cell["printed" if columns[cell["column"]].text else "value"]
        row[f"{cell['column']} ci"] = cell["ci"]
    schema = TableSchema(f"{name} as published", 1, described, key=("row",))
    frame = pl.DataFrame(
        [{key: row.get(key) for key in described} for row in rows.values()], infer_schema_length=None
    )
    return schema.check(frame, name), schema

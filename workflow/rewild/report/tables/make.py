"""Make one table from its files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from rewild.config.benchmarks import Benchmark
from rewild.core.cells import COMPARED_CELLS, COMPUTED_CELLS, PUBLISHED_CELLS
from rewild.core.errors import DataError, known_name
from rewild.core.files import write_text
from rewild.core.table import Column, TableSchema, provenance, read_table, write_table
from rewild.report.tables.compare import compare_cells
from rewild.report.tables.own import OwnTables, own_spec
from rewild.report.tables.render import Grid, compared_grid, published_grid, to_html, to_latex, to_markdown
from rewild.report.tables.spec import ColumnSpec, TableSpec, read_specs

_WRITERS = {"md": to_markdown, "tex": to_latex, "html": to_html}


@dataclass(frozen=True)
class MadeTable:
    """A table ready to be written."""

    frame: pl.DataFrame
    schema: TableSchema
    grid: Grid
    comment: str
    made_from: dict[str, Any]

    def write_csv(self, path: Path) -> None:
        """Every digit, with provenance and a description of the columns beside it."""
        write_table(path, self.frame, self.schema, self.made_from)

    def write(self, form: Literal["md", "tex", "html"], path: Path | None) -> None:
        """The table as a reader sees it; to standard output without a path."""
        text = _WRITERS[form](self.grid, self.comment)
        if path:
            write_text(path, text)
        else:
            sys.stdout.write(text)


def make_table(
    name: str,
    published: Path,
    specs: Path,
    cite: str,
    *,
    computed: Path | None = None,
    own: tuple[OwnTables, Mapping[str, Benchmark]] | None = None,
) -> MadeTable:
    """Read, check and lay out a table.

    Args:
        name: of the table in ``specs``.
        published: its transcription, ``PUBLISHED_CELLS``.
        specs: the paper's ``tables.yaml``.
        cite: authors, name, place and year of the paper, in a line.
        computed: ``COMPUTED_CELLS``; if given, the result shows these beside the published cells.
        own: if the computed rows are a study's own runs: how the paper's tables look then, and the registry
            of benchmarks.

    Raises:
        ConfigError: the specs are not valid, or do not know the table.
        DataError: a file is missing or malformed, or its cells are not those of the table.
    """
    spec, columns = read_specs(specs).of(name)
    cells = read_table(published, PUBLISHED_CELLS)
    _check_whole(cells, spec, published)
    found = read_table(computed, COMPUTED_CELLS) if computed else None
    if found is not None and own is not None:
        spec, columns = own_spec(name, spec, columns, found["column"], own=own[0], benchmarks=own[1])
    inputs = [published, specs, *([computed] if computed else [])]
    made_from = provenance(inputs)
    comment = "\n".join(
        [
            f"{name}: {spec.title}",
            f"Published numbers: {cite}, {spec.place}",
            f"Made by rewild {made_from['rewild']} from",
            *(f"  {file} (SHA-256 {digest})" for file, digest in made_from["inputs"].items()),
        ]
    )
    if found is None or computed is None:
        printed = {column: columns[column] for column in spec.columns}
        frame, schema = wide(name, printed, cells)
        grid = published_grid(name, spec, columns, cells)
    else:
        frame = compare_cells(cells, found, spec, computed, own=own is not None)
        schema = COMPARED_CELLS
        grid = compared_grid(name, spec, columns, frame, published, own=own is not None)
    return MadeTable(frame, schema, grid, comment, made_from)


def _check_whole(cells: pl.DataFrame, spec: TableSpec, where: Path) -> None:
    """Every row has every column of the spec, and no other."""
    for i, column in enumerate(cells["column"]):
        known_name(column, spec.columns, f"{where}, row {i + 1}: the table has no column", error=DataError)
    for (row,), group in cells.group_by(["row"], maintain_order=True):
        if missing := [c for c in spec.columns if c not in group["column"]]:
            raise DataError(f"{where}: the row '{row}' has no cell '{missing[0]}'")


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

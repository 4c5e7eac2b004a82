"""A table that is written piece by piece, and put in its place whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rewild.core.files import atomic
from rewild.core.table import TableSchema, write_table


class TableFile:
    """A Parquet table of which the rows come in pieces, in the order of its key.

    Every piece is checked against the schema and becomes a row group. A table of one piece is written as
    :func:`rewild.core.table.write_table` does.

    Args:
        path: where the table goes when it is closed.
        schema: its contract.
        made_from: its provenance.
        unfinished: where it is written until then, on the same disk.
    """

    def __init__(self, path: Path, schema: TableSchema, made_from: dict[str, Any], unfinished: Path) -> None:
        self.path, self.schema, self.made_from = path, schema, made_from
        self._unfinished = unfinished
        self._writer: Any = None
        self._first: pl.DataFrame | None = None

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Rows that come after all before them.

        Raises:
            DataError: they break the schema; names the table and the row of the piece.
        """
        frame = self.schema.check(pl.DataFrame(rows, schema=self.schema.dtypes), self.path)
        if self._first is None:
            self._first = frame
            return
        if self._writer is None:
            self._write(self._first)
            self._first = self._first.clear()
        self._write(frame)

    def _write(self, frame: pl.DataFrame) -> None:
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            about = {"schema": self.schema.name, "version": self.schema.version, "provenance": self.made_from}
            known: pa.Schema = table.schema.with_metadata({"rewild": json.dumps(about, ensure_ascii=False)})
            self._writer = pq.ParquetWriter(self._unfinished, known, compression="zstd")
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        """Put the table in its place."""
        if self._writer is None:
            frame = pl.DataFrame(schema=self.schema.dtypes) if self._first is None else self._first
            write_table(self.path, frame, self.schema, self.made_from)
            return
        self._writer.close()
        with atomic(self.path) as temporary:
            self._unfinished.replace(temporary)

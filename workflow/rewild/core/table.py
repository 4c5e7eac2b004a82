"""Typed, versioned tables: the files between rules.

A :class:`TableSchema` says what a file holds. It is checked when a file is written and again when it is read,
so that a bad file is named where it enters, with the row. CSV files carry a ``-metadata.json`` beside them
(the W3C's CSV on the Web), Parquet files carry the same in their own metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from rewild import __version__
from rewild.core.errors import DataError, nearest
from rewild.core.files import atomic, sha256, write_json
from rewild.core.reading import SMALL, faults, open_file, parse_json, read_json, read_text

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)


@dataclass(frozen=True)
class Column:
    """One column: its polars type, what it means (with its unit), and whether it may be null.

    One that was ``added`` later is null in files of before.
    """

    dtype: Any
    description: str
    nullable: bool = False
    added: bool = False


def _cast(series: pl.Series, dtype: Any) -> pl.Series:
    """``series`` as ``dtype``, null where that is impossible. CSV files hold booleans as true and false."""
    if dtype == pl.Boolean and series.dtype == pl.String:
        return series.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    return series.cast(dtype, strict=False)


@dataclass(frozen=True)
class TableSchema:
    """The contract of a result file. Raise ``version`` when a column's meaning changes."""

    name: str
    version: int
    columns: Mapping[str, Column]
    key: Sequence[str] = field(default=())

    @property
    def dtypes(self) -> dict[str, Any]:
        """Column name → polars type."""
        return {name: column.dtype for name, column in self.columns.items()}

    def check(self, frame: pl.DataFrame, where: Path | str) -> pl.DataFrame:
        """Return ``frame`` in schema order and types.

        Raises:
            DataError: names ``where`` and the column or the first row (1-based, without the header) at fault.
        """
        frame = self.completed(frame)
        missing = [c for c in self.columns if c not in frame.columns]
        if missing:
            raise DataError(
                f"{where}: column '{missing[0]}' is missing from this {self.name} table"
                f"{nearest(missing[0], frame.columns)} (it has: {', '.join(frame.columns) or 'nothing'})"
            )
        extra = [c for c in frame.columns if c not in self.columns]
        if extra:
            raise DataError(
                f"{where}: unknown column '{extra[0]}' in this {self.name} table"
                f"{nearest(extra[0], self.columns)}"
            )
        for name, column in self.columns.items():
            series = frame[name]
            with faults(f"{where}, column '{name}'", str(column.dtype)):
                cast = _cast(series, column.dtype)
            if (bad := (cast.is_null() & series.is_not_null())).any():
                row = bad.arg_true()[0]
                raise DataError(
                    f"{where}, row {row + 1}, column '{name}': {series[row]!r} is not of type {column.dtype}"
                )
            if cast.dtype.is_float() and (bad := cast.is_nan().fill_null(False)).any():
                raise DataError(f"{where}, row {bad.arg_true()[0] + 1}, column '{name}': not a number (NaN)")
            if not column.nullable and (bad := cast.is_null()).any():
                raise DataError(
                    f"{where}, row {bad.arg_true()[0] + 1}, column '{name}': the value is missing"
                )
            frame = frame.with_columns(cast.alias(name))
        frame = frame.select(list(self.columns))
        if self.key and (bad := frame.select(self.key).is_duplicated()).any():
            row = bad.arg_true()[0]
            values = ", ".join(f"{k}={frame[k][row]!r}" for k in self.key)
            raise DataError(f"{where}, row {row + 1}: this {self.name} row stands twice ({values})")
        return frame

    def completed(self, frame: F) -> F:
        """A frame, or one that is read lazily, with the columns that were added since it was written."""
        there = frame.collect_schema().names()
        lacks = [n for n, column in self.columns.items() if column.added and n not in there]
        return (
            frame.with_columns(pl.lit(None, self.columns[n].dtype).alias(n) for n in lacks)
            if lacks
            else frame
        )

    def scan(self, files: Sequence[Path]) -> pl.LazyFrame:
        """Files of this table, one after another, lazily, in its types."""
        frames = [self.completed(pl.scan_parquet(file)).select(list(self.columns)) for file in files]
        return pl.concat(frames).cast(pl.Schema(self.dtypes))

    def frame(self, rows: Iterable[Any], where: Path | str) -> pl.DataFrame:
        """Rows, each by the names of columns or in their order, as a checked frame; see :meth:`check`."""
        made = pl.DataFrame(list(rows), schema=self.dtypes, orient="row", infer_schema_length=None)
        return self.check(made, where)

    def describe(self) -> dict[str, Any]:
        """The schema as CSV on the Web describes one (https://www.w3.org/TR/tabular-metadata/)."""
        return {
            "columns": [
                {
                    "name": name,
                    "datatype": str(column.dtype),
                    "dc:description": column.description,
                    "required": not column.nullable,
                }
                for name, column in self.columns.items()
            ],
            **({"primaryKey": list(self.key)} if self.key else {}),
        }


def _named(paths: Sequence[Path | str]) -> dict[str, Path]:
    """Each path under its file name; where names coincide, under the shortest tails of paths that do not."""
    given = sorted({Path(p) for p in paths})
    for depth in range(1, max((len(p.parts) for p in given), default=0) + 1):
        named = {"/".join(p.parts[-depth:]): p for p in given}
        if len(named) == len(given):
            return named
    return {str(p): p for p in given}


def provenance(inputs: Sequence[Path | str] = (), **settings: Any) -> dict[str, Any]:
    """What a result was made from: rewild's version, the inputs' names and SHA-256, the settings that matter.

    It holds no time, host or folder, so that the same inputs and settings give the same bytes.
    """
    return {
        "rewild": __version__,
        "inputs": {name: sha256(p) for name, p in sorted(_named(inputs).items())},
        **({"settings": settings} if settings else {}),
    }


def write_table(
    path: Path | str, frame: pl.DataFrame, schema: TableSchema, made_from: dict[str, Any]
) -> None:
    """Check ``frame`` against ``schema`` and write it, as CSV or Parquet by the suffix, with its provenance.

    Args:
        path: ``*.csv`` (a ``-metadata.json`` is written beside it) or ``*.parquet`` (metadata inside).
        frame: the rows.
        schema: the contract; a violation raises :class:`DataError` and nothing is written.
        made_from: the result of :func:`provenance`.
    """
    path = Path(path)
    frame = schema.check(frame, path)
    about = {"schema": schema.name, "version": schema.version, "provenance": made_from}
    if path.suffix == ".parquet":
        with atomic(path) as temporary:
            frame.write_parquet(
                temporary, compression="zstd", metadata={"rewild": json.dumps(about, ensure_ascii=False)}
            )
        return
    with atomic(path) as temporary:
        frame.write_csv(temporary)
    write_json(
        path.with_name(path.name + "-metadata.json"),
        {
            "@context": "http://www.w3.org/ns/csvw",
            "url": path.name,
            "tableSchema": schema.describe(),
            "rewild": about | {"rows": frame.height, "sha256": sha256(path)},
        },
    )


def about_table(path: Path) -> dict[str, Any]:
    """What a table's file says of itself: its schema, version and provenance; empty where it says nothing.

    Raises:
        DataError: it cannot be read.
    """
    if path.suffix == ".parquet":
        with faults(path, "a table"):
            found = parse_json(pl.read_parquet_metadata(path).get("rewild", "{}"), f"{path} (its metadata)")
    else:
        sidecar = path.with_name(path.name + "-metadata.json")
        found = read_json(sidecar, "a table's metadata", limit=SMALL) if sidecar.exists() else {"rewild": {}}
        found = found.get("rewild") if isinstance(found, dict) else None
        path = sidecar
    if not isinstance(found, dict) or (found and not {"schema", "version"} <= set(found)):
        raise DataError(f"{path}: what it says of the table is damaged; remove it and rerun")
    return found


def check_version(path: Path, about: Mapping[str, Any], schema: TableSchema) -> None:
    """Refuse a file that says it is another table, or of another version.

    Raises:
        DataError: it does.
    """
    if about and (about["schema"], about["version"]) != (schema.name, schema.version):
        raise DataError(
            f"{path}: holds {about['schema']} version {about['version']}, "
            f"but {schema.name} version {schema.version} is needed; remove it and rerun"
        )


def read_table(path: Path | str, schema: TableSchema, *, allow_empty: bool = False) -> pl.DataFrame:
    """Read a CSV or Parquet table and check it.

    Raises:
        DataError: the file is missing, unreadable, empty, of another schema version, or breaks the schema.
    """
    path = Path(path)
    what = f"a {schema.name} table"
    open_file(path, what).close()
    if path.suffix == ".parquet":
        with faults(path, what):
            frame = pl.read_parquet(path)
    else:
        read_text(path, what)  # polars would pass over what is no text, or say only that it is so
        with faults(path, what):
            frame = pl.read_csv(path, infer_schema=False)
    check_version(path, about_table(path), schema)
    frame = schema.check(frame, path)
    if frame.is_empty() and not allow_empty:
        raise DataError(f"{path}: this {schema.name} table has no rows")
    return frame


def check_parquet(path: Path | str, schema: TableSchema) -> None:
    """Check what a Parquet table says of itself, without reading its rows: types, schema and version.

    Raises:
        DataError: as :func:`read_table`, which says what is wrong.
    """
    path, what = Path(path), f"a {schema.name} table"
    open_file(path, what).close()
    with faults(path, what):
        found = dict(pl.read_parquet_schema(path))
    check_version(path, about_table(path), schema)
    added = {n: c.dtype for n, c in schema.columns.items() if c.added and n not in found}
    if found | added != schema.dtypes:
        read_table(path, schema, allow_empty=True)


def collect(rows: pl.LazyFrame, where: object, what: str = "a table") -> pl.DataFrame:
    """The rows of files that are read lazily, whose faults come only now.

    Raises:
        DataError: a file is damaged; names ``where``.
    """
    with faults(where, what):
        return rows.collect()

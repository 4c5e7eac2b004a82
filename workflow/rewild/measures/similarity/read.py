"""Reading responses, whoever made them: Parquet tables with at least the columns of :data:`NEEDED`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from rewild.core.errors import DataError
from rewild.core.reading import faults, read_json
from rewild.core.table import Column, collect

NEEDED = {
    "conversation_id": Column(pl.String, "The conversation"),
    "turn": Column(pl.Int16, "The user turn, counted from 0"),
    "model": Column(pl.String, "The model's slug"),
    "response": Column(pl.String, "Its answer; null when it failed", nullable=True),
}
OPTIONAL = {
    "prompt": Column(pl.String, "The user's text", nullable=True),
    "language": Column(pl.String, "The language of the conversation", nullable=True),
    "finish_reason": Column(pl.String, "stop or length", nullable=True),
    "output_tokens": Column(pl.Int64, "Tokens generated", nullable=True),
}
KEY = ("conversation_id", "turn", "model")


def response_files(paths: Sequence[Path]) -> list[Path]:
    """The Parquet files behind ``paths``, sorted: tables as they are, manifests by the shards they list.

    Raises:
        DataError: a path that is not there, or a manifest that lists no shards.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_file():
            raise DataError(
                f"{path}: no such file (a table of responses, or the manifest of one, was expected)"
            )
        if path.suffix != ".json":
            files.append(path)
            continue
        try:
            shards = read_json(path, "a manifest of responses")["shards"]
            files += [path.parent / f"{shard['shard']}.parquet" for shard in shards]
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: not a manifest of responses: {error!r}") from error
    return sorted(set(files))


def conversation_ids(files: Sequence[Path]) -> list[str]:
    """All conversations, sorted."""
    ids: set[str] = set()
    for file in files:
        found = collect(_scan(file, ("conversation_id",)).cast(pl.String).unique(), file)
        ids.update(found.to_series().drop_nulls().to_list())
    return sorted(ids)


def drawn(ids: Sequence[str], seed: int, number: int | None) -> set[str]:
    """``number`` conversations (all, if null), the same whatever else is there: those whose hash is least."""
    if number is None or number >= len(ids):
        return set(ids)
    return set(sorted(ids, key=lambda i: hashlib.sha256(f"{seed}:{i}".encode()).digest())[:number])


def read_responses(
    files: Sequence[Path], ids: Sequence[str] | None = None, more: Sequence[str] = ()
) -> pl.DataFrame:
    """Read the rows of some conversations.

    Args:
        files: Parquet tables.
        ids: conversations to keep; null keeps all.
        more: names of :data:`OPTIONAL` columns; null throughout where a file lacks them.

    Returns:
        :data:`NEEDED` and ``more``, sorted by conversation, turn and model.

    Raises:
        DataError: a wrong type, a missing value, a missing column or a row that stands twice; file and row
        named.
    """
    frames = []
    for file in files:
        frame = _scan(file, tuple(NEEDED), more).with_row_index("_row", offset=1)
        if ids is not None:
            frame = frame.filter(pl.col("conversation_id").is_in(pl.Series(ids, dtype=pl.String).implode()))
        frames.append(
            _checked(collect(frame, file), file, more).with_columns(pl.lit(str(file)).alias("_file"))
        )
    if not frames:
        raise DataError("no tables of responses were given")
    whole = pl.concat(frames).sort(*KEY, "_file", "_row")
    if (twice := whole.select(KEY).is_duplicated()).any():
        first, second = whole.filter(twice).head(2).iter_rows(named=True)
        raise DataError(
            f"{second['_file']}, row {second['_row']}: model {second['model']} answers turn {second['turn']} "
            f"of conversation {second['conversation_id']} a second time "
            f"(first in {first['_file']}, row {first['_row']})"
        )
    return whole.drop("_file", "_row")


def _scan(file: Path, columns: Sequence[str], more: Sequence[str] = ()) -> pl.LazyFrame:
    if not file.is_file():
        raise DataError(f"{file}: no such file (a table of responses was expected)")
    with faults(file, "a table of responses"):
        lazy = pl.scan_parquet(file)
        names = lazy.collect_schema().names()
    for name in columns:
        if name not in names:
            raise DataError(f"{file}: column '{name}' is missing (it has: {', '.join(names) or 'nothing'})")
    missing = [pl.lit(None, OPTIONAL[m].dtype).alias(m) for m in more if m not in names]
    return lazy.with_columns(missing).select(*columns, *more)


def _checked(frame: pl.DataFrame, file: Path, more: Sequence[str]) -> pl.DataFrame:
    rows = frame["_row"]
    for name, column in [*NEEDED.items(), *((m, OPTIONAL[m]) for m in more)]:
        with faults(f"{file}, column '{name}'", str(column.dtype)):
            cast = frame[name].cast(column.dtype, strict=False)
        bad = cast.is_null() & (frame[name].is_not_null() | (not column.nullable))
        if bad.any():
            at = int(bad.arg_true()[0])
            raise DataError(
                f"{file}, row {rows[at]}, column '{name}': {frame[name][at]!r} is not {column.dtype}"
            )
        frame = frame.with_columns(cast.alias(name))
    return frame

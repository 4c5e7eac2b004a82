"""Datasets of the Hugging Face hub, streamed to one local Parquet file each.

Bringing data and preparing them are two steps, so that a change of a filter does not download again, and the
preparation needs nothing heavier than polars. This step needs `datasets` (``envs/data.txt``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rewild.config.prompts import Hub
from rewild.core.errors import DataError, RewildError
from rewild.core.files import atomic

COLUMNS = (
    "conversation_hash",
    "timestamp",
    "conversation",
    "language",
    "openai_moderation",
    "toxic",
    "redacted",
)
"""What is kept of a WildChat row; model, addresses and headers are not needed and not stored."""

ROWS = 8192


def stream(source: Hub, path: Path, say: Callable[[str], None] = lambda line: None) -> None:
    """Stream a dataset in the WildChat schema to ``path``, without what is not needed.

    Args:
        source: repository, pinned revision and split. The repository may be a local folder of data files.
        path: the Parquet file to write, whole or not at all.
        say: called with a line of progress at a time.

    Raises:
        RewildError: no `datasets`, no network, no such dataset, or nothing in it.
    """
    stream_dataset(
        source.repository,
        path,
        revision=source.revision,
        split=source.split,
        narrow=_narrow,
        say=lambda line: say(f"{source.name}: {line}"),
    )


Narrow = Callable[[pa.Table, str], pa.Table]
"""What is kept of a batch of the dataset of this name."""


def stream_dataset(
    repository: str,
    path: Path,
    *,
    revision: str | None,
    split: str,
    narrow: Narrow,
    subset: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Stream any dataset to ``path``, in memory that does not grow with it.

    Args:
        repository: OWNER/NAME, or a local folder of data files.
        path: the Parquet file to write, whole or not at all.
        revision: the commit.
        split: the split to read.
        narrow: what is kept of a batch.
        subset: the dataset's configuration; None is its only or usual one.
        say: called with a line of progress at a time.

    Raises:
        RewildError: no `datasets`, no network, no such dataset, or nothing in it.
    """
    try:
        import datasets
    except ImportError as error:
        raise RewildError(
            f"the hub dataset {repository} needs the package `datasets` (envs/data.txt)"
        ) from error
    part = f" ({subset})" if subset else ""
    shown = f"{repository}{part} at {revision}, split {split}"
    say(f"streaming {shown}")
    try:
        data = datasets.load_dataset(repository, subset, revision=revision, split=split, streaming=True)
        batches = data.with_format("arrow").iter(batch_size=ROWS)
        rows = write_batches(batches, path, repository, narrow)
    except RewildError:
        raise
    except Exception as error:  # a connection that breaks is another kind of error in each version
        raise RewildError(f"{shown}: {str(error) or type(error).__name__}") from error
    say(f"{rows:,} rows in {path}")


def whole(table: pa.Table, name: str) -> pa.Table:
    """All columns of a batch."""
    return table.replace_schema_metadata(None)


def write_batches(batches: Iterator[pa.Table], path: Path, name: str, narrow: Narrow | None = None) -> int:
    """Write tables to one Parquet file; by default those of the WildChat schema, without what is not needed.

    Returns:
        The number of rows.
    """
    keep = narrow or _narrow
    rows = 0
    with atomic(path) as temporary:
        writer = None
        try:
            for batch in batches:
                table = keep(batch, name) if writer is None else keep(batch, name).cast(writer.schema)
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table)
                rows += table.num_rows
        finally:
            if writer:
                writer.close()
        if not rows:
            raise DataError(f"{name}: the dataset has no rows")
    return rows


RELEASED = {"conversation_id", "source_id", "language", "messages", "tags"}
"""Columns by which prompts that `rewild release` passed on are known (:mod:`rewild.prompts.schema`)."""
ANSWERED = {"conversation_id", "turn", "model", "prompt", "response", "failure"}
"""The same of responses (:mod:`rewild.generation.schema`), which stay as they are."""
QUESTIONS = "unanswered"
"""A column, and a tag: the rows are lists of questions, without answers."""


def _narrow(table: pa.Table, name: str) -> pa.Table:
    if set(table.column_names) >= ANSWERED:
        return whole(table, name)
    if set(table.column_names) >= RELEASED:
        table = _from_release(table)
    if "conversation" not in table.column_names:
        raise DataError(f"{name}: no column 'conversation' (it has: {', '.join(table.column_names)})")
    table = table.select([c for c in (*COLUMNS, QUESTIONS) if c in table.column_names])
    return table.replace_schema_metadata(None)


def _from_release(table: pa.Table) -> pa.Table:
    """Prompts that were prepared and released, in the WildChat schema again: nothing of a row is lost."""
    tags = table["tags"].to_pylist()
    said = {
        tag: pa.array([tag in row for row in tags]) for tag in ("toxic", "redacted", "moderation", QUESTIONS)
    }
    flagged = pa.array([[{"flagged": flag}] for flag in said["moderation"].to_pylist()])
    found = {
        "conversation_hash": table["source_id"],
        "conversation": table["messages"],
        "language": table["language"],
        "openai_moderation": flagged,
        "toxic": said["toxic"],
        "redacted": said["redacted"],
    }
    if pc.any(said[QUESTIONS]).as_py():
        found[QUESTIONS] = said[QUESTIONS]
    return pa.table(found)

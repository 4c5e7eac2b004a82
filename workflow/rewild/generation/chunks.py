"""Chunks: what survives a crash. A folder of finished chunks per shard, model and recipe.

A chunk is a Parquet file with the rows of some conversations and, in its metadata, what they cost. It is
written whole or not at all, and sealed, so that one that was damaged later is known
(:mod:`rewild.core.sealed`). What it holds is looked up by conversation and by a hash of the conversation's
messages, so chunks stay good when a shard grows or the size of chunks changes.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.errors import DataError, RewildError
from rewild.core.sealed import read_sealed, set_aside, write_sealed
from rewild.core.table import Column, TableSchema
from rewild.generation.schema import RESPONSES

CHUNK = TableSchema(
    "response-chunk",
    RESPONSES.version,
    {**RESPONSES.columns, "content": Column(pl.String, "Hash of the conversation's messages")},
    key=RESPONSES.key,
)
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Cost:
    """What some rows cost: counts, seconds, bytes."""

    conversations: int = 0
    rows: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    generate_seconds: float = 0.0
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    load_seconds: float = 0.0
    peak_memory: int | None = None
    finished: float = 0.0  # seconds since the epoch, for `rewild status`; in no result

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            **{name: _combine(name, getattr(self, name), getattr(other, name)) for name in asdict(self)}
        )


def _combine(name: str, a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return max(a, b) if name in ("peak_memory", "finished") else a + b


@dataclass
class Chunks:
    """The finished chunks of one shard."""

    folder: Path
    done: set[tuple[str, str]] = field(default_factory=set)  # conversation, hash of its messages

    def load(self) -> list[tuple[pl.DataFrame, Cost]]:
        """Read every chunk. One that was damaged, or that has no seal, is set aside, not trusted."""
        found = []
        self.done.clear()
        for path in sorted(self.folder.glob("*.parquet")):
            try:
                frame, about = read_sealed(path, CHUNK)
                cost = cost_of(about, path)
            except DataError as error:
                set_aside(path, error)
                continue
            found.append((frame, cost))
            self.done.update(frame.select("conversation_id", "content").unique().iter_rows())
        return found

    def write(self, rows: Sequence[Mapping[str, Any]], contents: Mapping[str, str], cost: Cost) -> None:
        """Write one chunk, atomically.

        Args:
            rows: of the responses table.
            contents: conversation → hash of its messages.
            cost: of these rows.

        Raises:
            RewildError: the disk is full; what was finished before is untouched.
        """
        frame = pl.DataFrame(
            [{**row, "content": contents[row["conversation_id"]]} for row in rows], schema=CHUNK.dtypes
        )
        name = sha256("".join(f"{k}{v}" for k, v in contents.items()).encode()).hexdigest()[:16]
        about = {"schema": CHUNK.name, "version": CHUNK.version, "cost": asdict(cost)}
        with disk_errors(self.folder / f"{name}.parquet"):
            write_sealed(self.folder, name, frame, CHUNK, json.dumps(about))
        self.done.update(contents.items())

    def sweep(self) -> None:
        """Remove temporary files that a killed process left."""
        for stray in self.folder.glob(".*.parquet"):
            stray.unlink(missing_ok=True)


def cost_of(about: Mapping[str, Any], path: Path) -> Cost:
    """What goes with a chunk, as a :class:`Cost`.

    Raises:
        DataError: it is none.
    """
    try:
        return Cost(**about["cost"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: does not say what its rows cost") from error


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk into a message that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise _full(path) from error
    except pl.exceptions.PolarsError as error:
        if "space left" not in str(error) and "too large" not in str(error):
            raise
        raise _full(path) from error


def _full(path: Path) -> RewildError:
    return RewildError(
        f"{path.parent}: no space left to write {path.name}. Nothing finished is lost: free some space "
        "(or raise the quota) and run again; it goes on from here"
    )


def content_hash(conversation: Mapping[str, Any]) -> str:
    """16 hexadecimal digits over a conversation's messages, the original answers included."""
    messages = [[m["role"], m["content"]] for m in conversation["messages"]]
    return sha256(json.dumps(messages, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:16]

"""Chunks: what survives a crash. One folder of finished chunks, whatever a model was asked for.

A chunk is a Parquet file with some rows and, in its metadata, what goes with them. It is written whole or not
at all, and sealed, so that one that was damaged later is known (:mod:`rewild.core.sealed`). What it holds is
looked up by the columns that say what was asked, so chunks stay good when their size or a shard changes.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.errors import DataError, RewildError
from rewild.core.sealed import read_sealed, set_aside, write_sealed
from rewild.core.table import TableSchema

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
About = Mapping[str, Any]


@dataclass
class Store:
    """The finished chunks in a folder.

    Attributes:
        folder: where they are.
        schema: contract of their rows.
        key: the columns that say what was asked: what was done is known by them.
        paid: whether rows cost money: a chunk of before there were seals is taken as it is then.
        check: raises a DataError if what goes with a chunk is not what it should be.
        done: keys of the rows that are there.
    """

    folder: Path
    schema: TableSchema
    key: tuple[str, ...]
    paid: bool = False
    check: Callable[[About, Path], object] = lambda about, path: None
    done: set[tuple[Any, ...]] = field(default_factory=set)

    def load(self, *, mend: bool = True) -> list[tuple[pl.DataFrame, About]]:
        """Read every chunk: its rows, and what goes with them.

        Args:
            mend: only for who holds the folder's lock: what a killed job had half written is removed, and a
                chunk that was damaged is set aside. Else both are passed over.
        """
        found: list[tuple[pl.DataFrame, About]] = []
        self.done.clear()
        for path in sorted(self.folder.glob("*.parquet")):
            if path.name.startswith("."):
                if mend:
                    path.unlink(missing_ok=True)
                continue
            try:
                frame, about = read_sealed(path, self.schema, paid=self.paid)
                self.check(about, path)
            except DataError as error:
                if mend:
                    set_aside(path, error)
                continue
            found.append((frame, about))
            self.done.update(frame.select(self.key).unique().iter_rows())
        return found

    def write(self, rows: Sequence[Mapping[str, Any]], about: About | None = None) -> None:
        """Write one chunk, atomically.

        Args:
            rows: of the schema.
            about: what goes with them, for JSON.

        Raises:
            RewildError: the disk is full; what was finished before is untouched.
        """
        frame = pl.DataFrame(rows, schema=self.schema.dtypes, orient="row", infer_schema_length=None)
        keys = set(frame.select(self.key).iter_rows())
        name = sha256("".join(sorted("".join(map(str, key)) for key in keys)).encode()).hexdigest()[:16]
        told = {"schema": self.schema.name, "version": self.schema.version, **(about or {})}
        with disk_errors(self.folder / f"{name}.parquet"):
            write_sealed(self.folder, name, frame, self.schema, json.dumps(told))
        self.done |= keys


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

"""The vectors of a measure of kind ``embedding``: read from its files in blocks, never as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from rewild.core.errors import DataError
from rewild.core.files import sha256
from rewild.core.measures import about_measure, read_measure, vectors_file

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


class Vectors:
    """Vectors of one width, in files or in memory, as one long array that is never made.

    Args:
        arrays: each of shape (rows, width), float32.
    """

    def __init__(self, arrays: Sequence[Floats]) -> None:
        self._arrays = [array for array in arrays if len(array)]
        self._first = np.cumsum([0, *map(len, self._arrays)])
        self.width = self._arrays[0].shape[1] if self._arrays else 0

    def __len__(self) -> int:
        return int(self._first[-1])

    def take(self, rows: Indices) -> Floats:
        """Some rows, in the order given: shape (rows, width)."""
        found = np.empty((len(rows), self.width), np.float32)
        owner = np.searchsorted(self._first, rows, side="right") - 1
        for n in np.unique(owner):
            mine = owner == n
            found[mine] = self._arrays[n][rows[mine] - self._first[n]]
        return found

    def blocks(self, size: int) -> Iterator[Floats]:
        """All rows, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


@dataclass(frozen=True)
class Space:
    """What a measure of kind ``embedding`` has of a subject.

    Attributes:
        rows: the key and ``failure`` of every text, file after file.
        vectors: those of the rows without a failure, in their order.
        digest: of the embedding.
    """

    rows: pl.DataFrame
    vectors: Vectors
    digest: str

    @property
    def there(self) -> pl.DataFrame:
        """The rows that have a vector."""
        return self.rows.filter(pl.col("failure").is_null())


def read_space(files: Sequence[Path], measure: str, subject: str) -> Space:
    """Read the keys of an embedding's files, and open their vectors.

    Args:
        files: its tables (.parquet), with the vectors beside them; of other measures too.
        measure: its name.
        subject: a model, or ``prompts``.

    Raises:
        DataError: as of :func:`rewild.core.measures.read_measure`; vectors are missing, or not the table's.
    """
    read_measure(files, measure, subject, [])  # all together: of one making, no text twice
    mine = [
        path
        for path in sorted(set(files))
        if (about := about_measure(path))["measure"] == measure and about["subject"] == subject
    ]
    frames = [read_measure([path], measure, subject, []) for path in mine]
    vectors = Vectors([_open(path, about_measure(path)) for path in mine])
    return Space(pl.concat(frames), vectors, str(about_measure(mine[0])["digest"]))


def _open(path: Path, about: dict[str, Any]) -> Floats:
    beside, said = vectors_file(path), about.get("vectors")
    if said is None:
        raise DataError(f"{path}: the measure '{about['measure']}' makes no vectors (kind embedding does)")
    if not beside.is_file():
        raise DataError(f"{beside}: no such file, and {path.name} speaks of its vectors; make both again")
    if sha256(beside) != said["sha256"]:
        raise DataError(f"{beside}: these are not the vectors that {path.name} speaks of; make both again")
    array: Floats = np.load(beside, mmap_mode="r" if said["rows"] else None, allow_pickle=False)
    return array


@dataclass(frozen=True)
class Distinct:
    """Equal vectors, to the bit, taken together.

    Attributes:
        first: the row of each distinct vector that stands first, ascending.
        group: of every row, the place of its vector in ``first``.
        count: rows of each.
    """

    first: Indices
    group: Indices
    count: Indices


def distinct(vectors: Vectors, block: int = 16_384) -> Distinct:
    """Take equal vectors together, by a hash of each: two random sums of its bits, of 64 bits each.

    Of a billion vectors, two that differ have the same with a chance of about 1 in 10²⁰.
    """
    factors = np.random.default_rng(0).integers(1 << 63, size=(vectors.width, 2), dtype=np.uint64) * 2 + 1
    sums = np.empty((len(vectors), 2), np.uint64)
    at = 0
    for part in vectors.blocks(block):
        bits = (part + np.float32(0)).view(np.uint32)  # minus zero is zero
        sums[at : at + len(part)] = bits.astype(np.uint64) @ factors
        at += len(part)
    rows = pl.DataFrame(sums, schema=["a", "b"]).with_row_index("row")
    found = rows.select(first=pl.col("row").min().over("a", "b"), count=pl.len().over("a", "b"))
    first = found["first"].to_numpy().astype(np.int64)
    unique = np.unique(first)
    counts = found["count"].to_numpy().astype(np.int64)
    return Distinct(unique, np.searchsorted(unique, first), counts[unique])

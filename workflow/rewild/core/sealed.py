"""Files that know whether they are whole: the SHA-256 of what a file holds is part of its name.

A Parquet file of which a bit was flipped, by a disk or on the way to it, may load, with other data. So
chunks, of which nobody else keeps a copy or a checksum, are named ``NAME-DIGEST.parquet``; one that does not
match its name is damaged. A chunk without a digest was made before there were seals; what it holds cannot be
vouched for, so it is treated as a damaged one, unless it holds what was paid for.
"""

from __future__ import annotations

import glob
import logging
import re
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from rewild.core.errors import DataError
from rewild.core.files import atomic
from rewild.core.reading import faults, parse_json, read_bytes

if TYPE_CHECKING:
    import polars as pl

    from rewild.core.table import TableSchema

log = logging.getLogger("rewild")
DIGITS = 16
SEAL = re.compile(rf"-([0-9a-f]{{{DIGITS}}})$")
ASIDE = ".unreadable"


def write_sealed(folder: Path, name: str, frame: pl.DataFrame, schema: TableSchema, about: str) -> Path:
    """Write a chunk, atomically, and return its path.

    Args:
        folder: where to.
        name: the first part of its name.
        frame: its rows, checked against ``schema``.
        schema: its contract.
        about: JSON that goes with it, in the file's metadata.

    Raises:
        DataError: the rows break the contract. OSError: it cannot be written.
    """
    packed = BytesIO()
    schema.check(frame, folder / name).write_parquet(packed, compression="zstd", metadata={"rewild": about})
    data = packed.getvalue()
    path = folder / f"{name}-{sha256(data).hexdigest()[:DIGITS]}.parquet"
    with atomic(path) as temporary:
        temporary.write_bytes(data)
    for earlier in folder.glob(f"{glob.escape(name)}*.parquet"):  # of the same rows, made again
        if earlier != path and SEAL.sub("", earlier.stem) == name:
            earlier.unlink(missing_ok=True)
    return path


def read_sealed(
    path: Path, schema: TableSchema, *, paid: bool = False
) -> tuple[pl.DataFrame, dict[str, object]]:
    """A chunk's rows, and what goes with it.

    Args:
        path: the chunk.
        schema: its contract.
        paid: take one that has no seal as it is, and say so: to make it again costs money.

    Raises:
        DataError: it does not hold what it was sealed with, has no seal, or breaks the contract.
    """
    import polars as pl

    seal = SEAL.search(path.stem)
    data = read_bytes(path, f"a {schema.name}")
    if seal is None and not paid:
        raise DataError(f"{path}: has no checksum (made by an earlier version)")
    if seal is None:
        log.warning("%s: has no checksum (made by an earlier version); it is taken as it is", path)
    elif sha256(data).hexdigest()[:DIGITS] != seal[1]:
        raise DataError(f"{path}: damaged: its checksum is not the one it was written with")
    with faults(path, f"a {schema.name}"):
        frame = pl.read_parquet(BytesIO(data))
        about = parse_json(pl.read_parquet_metadata(BytesIO(data)).get("rewild", "{}"), path)
    if not isinstance(about, dict):
        raise DataError(f"{path}: cannot be read as a {schema.name}")
    return schema.check(frame, path), about


def set_aside(path: Path, error: Exception) -> None:
    """Rename a chunk that cannot be trusted, so that it is made again, and say so."""
    log.warning("%s; it is set aside as %s and made again", error, path.with_suffix(ASIDE).name)
    path.rename(path.with_suffix(ASIDE))

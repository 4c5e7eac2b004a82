"""Files written whole or not at all. Standard library only: the workflow imports this on a dry run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from os import fsync
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from rewild.errors import DataError


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is synced and renamed to ``path``.

    On any exception the temporary file is removed and ``path`` is left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix, delete=False
    ) as handle:
        temporary = Path(handle.name)
    try:
        yield temporary
        with temporary.open("rb") as handle:
            fsync(handle.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_text(path: Path | str, text: str) -> None:
    """Write text (UTF-8, ``\\n``) atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON atomically, indented, non-ASCII kept, keys in the order given. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_report(path: Path, schema: dict[str, Any], what: str) -> dict[str, Any]:
    """Read a JSON file that says what it is.

    Args:
        path: the file.
        schema: keys and values that it must have: its schema and version.
        what: what it is, for messages: "an audit".

    Raises:
        DataError: it is not one, or is of another version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as {what}: {error}") from error
    if not isinstance(data, dict) or {k: data.get(k) for k in schema} != schema:
        raise DataError(f"{path}: not {what} of version {schema['version']}; remove it and rerun")
    return data

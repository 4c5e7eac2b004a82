"""Files written whole or not at all. Standard library only: the workflow imports this on a dry run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC, EROFS
from os import close, fsync, strerror
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from rewild.core.errors import DataError, RewildError, errno_of
from rewild.core.locks import claim, sweep

_swept: set[tuple[Path, str]] = set()


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is synced and renamed to ``path``.

    On any exception the temporary file is removed and ``path`` is left as it was. What a killed process left
    goes first.

    Raises:
        OSError: of the operating system, also where polars or pyarrow met it; it names ``path``.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.stem}."
        if (path.parent, path.name) not in _swept:  # once a process: a folder may hold many files
            _swept.add((path.parent, path.name))
            sweep(path.parent, prefix, path.suffix)
        temporary = _new(path.parent, prefix, path.suffix)
        while (handle := claim(temporary)) is None:  # swept by another process in the moment it was made
            temporary = _new(path.parent, prefix, path.suffix)
        try:
            yield temporary
            with temporary.open("rb") as written:
                fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            close(handle)
    except RewildError:
        raise
    except BaseException as error:
        code = errno_of(error)
        if code is None:
            raise
        named = getattr(error, "filename", None)
        if isinstance(error, OSError) and named is not None and not _of(named, path, temporary):
            raise  # of another file, one that is read
        raise OSError(code, strerror(code), str(path)) from error


@contextmanager
def filling(path: Path | str) -> Iterator[None]:
    """Name ``path`` where the disk is full and the error does not say which file was written.

    For folders that are filled with many files, which :func:`atomic` does not write.

    Raises:
        OSError: see :func:`atomic`.
    """
    try:
        yield
    except RewildError:
        raise
    except BaseException as error:
        code = errno_of(error)
        if code not in (ENOSPC, EDQUOT, EFBIG, EROFS) or getattr(error, "filename", None):
            raise
        raise OSError(code, strerror(code), str(path)) from error


def _new(folder: Path, prefix: str, suffix: str) -> Path:
    with NamedTemporaryFile(dir=folder, prefix=prefix, suffix=suffix, delete=False) as made:
        return Path(made.name)


def _of(named: object, path: Path, temporary: Path | None) -> bool:
    """Whether an error's file is the one that is written, or its temporary file, made or not."""
    if str(named) in (str(path), str(temporary)):
        return True
    found = Path(str(named))
    return found.parent == path.parent.absolute() and found.name.startswith(f".{path.stem}.")


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_text(path: Path | str, text: str) -> None:
    """Write text (UTF-8, ``\\n``) atomically.

    Raises:
        DataError: the text holds half of a surrogate pair, which UTF-8 cannot write.
    """
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        half = f"'\\u{ord(text[error.start]):04x}'"
        near = ascii(text[max(error.start - 20, 0) : error.start + 20])
        raise DataError(
            f"{path}: cannot be written: {half} is half of a surrogate pair, no character (in {near}); "
            "it is in a name or a text that this was made from"
        ) from error
    with atomic(path) as temporary:
        temporary.write_bytes(content)


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
    from rewild.core.reading import SMALL, read_json  # needs YAML, which a bare Python that builds one lacks

    data = read_json(path, what, limit=SMALL)
    if not isinstance(data, dict) or {k: data.get(k) for k in schema} != schema:
        raise DataError(f"{path}: not {what} of version {schema['version']}; remove it and rerun")
    return data

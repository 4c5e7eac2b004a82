"""Reading what others wrote: any fault of a file becomes one :class:`DataError` with file, place and reason.

A file may be missing, a folder, not UTF-8, cut off, too large, or hold what a parser accepts and later code
cannot bear: brackets within brackets by the thousand, half a surrogate pair, NaN, a number of 400 digits. All
readers of the package begin here, so that such a thing is refused where it enters; for YAML, in
:mod:`rewild.core.reading_yaml`. The standard library only: environments are built before there is any other;
:func:`faults` knows the errors of polars and pyarrow without importing them.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from rewild.core.errors import DataError, RewildError, first_line, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

LIMIT = 1 << 30
"""Bytes of a file that is held in memory as a whole, and of one line of a file that is not."""
SMALL = 64 << 20
"""Bytes of a file of settings or of a report."""
DEPTH = 100
"""Lists and objects within each other. Python's own limit is near 1,000, but only for who is called first."""
CELL = 64 << 20
"""Characters in a cell of a CSV file; Python's own limit, 128 KiB, is less than answers have."""
FREE, RATIO = 64 << 20, 100
"""A packed file may unpack to FREE bytes, or to RATIO times its size. Text packs to a fifth or a tenth."""
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"

csv.field_size_limit(CELL)


# What went wrong, in words


@contextmanager
def faults(where: object, what: str = "", *, hint: str = "") -> Iterator[None]:
    """Turn whatever a parser or a library raises about a file into one message.

    That includes the errors of polars that come only at ``collect()``, and its panics, which are no
    :class:`Exception`. Our own errors go through as they are.

    Args:
        where: the file, or the file and the place in it.
        what: what it should be, for the message: ``a responses table``.
        hint: what to do, added to the message.

    Raises:
        DataError: names ``where``.
    """
    try:
        yield
    except RewildError:
        raise
    except BaseException as found:
        if not is_fault(found):
            raise
        read_as = f"cannot be read as {what}" if what else "cannot be read"
        raise DataError(f"{where}: {read_as}: {reason(found)}{hint}") from found


@contextmanager
def any_fault(where: object, what: str) -> Iterator[None]:
    """Turn any exception of a library that parses a file of others into one message.

    For parsers that raise what comes (openpyxl, the HTML parser): within, nothing but the library runs on the
    file. See :func:`faults`.
    """
    try:
        with faults(where, what):
            yield
    except RewildError:
        raise
    except Exception as found:
        raise DataError(f"{where}: cannot be read as {what}: {first_line(found)}") from found


def is_fault(error: BaseException) -> bool:
    """Whether it may be a bad file's doing. A broken program (an AttributeError, say) is not hidden."""
    if isinstance(error, OSError | ValueError | ArithmeticError | RecursionError | EOFError | zlib.error):
        return not isinstance(error, BrokenPipeError)
    home = type(error).__module__.partition(".")[0]
    return home in ("polars", "pyarrow", "pyo3_runtime") or type(error).__name__ == "PanicException"


def reason(error: BaseException) -> str:
    """An error of the operating system or of another library, in words and on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return f"lists and objects within each other, more than {DEPTH} deep"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text (byte {error.start + 1})"
    return first_line(error)


# Bytes and text


def open_file(path: Path | str, what: str = "") -> BinaryIO:
    """Open a regular file for reading in binary.

    Raises:
        DataError: it is missing, a folder, a pipe or a device (which may never end), or not readable.
    """
    path, expected = Path(path), f" ({what} was expected)" if what else ""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: a folder, not a file{expected}")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: not a regular file{expected}; write it to a file first")
        return path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file{expected}") from error
    except (OSError, ValueError) as error:  # a ValueError: a NUL in the name
        raise DataError(f"{path}: cannot be read{expected}: {reason(error)}") from error


def read_bytes(path: Path | str, what: str = "", *, limit: int = LIMIT) -> bytes:
    """All of a file; one packed with gzip is unpacked.

    Args:
        path: the file.
        what: what was expected, for messages: ``a list of questions``.
        limit: most bytes, unpacked.

    Raises:
        DataError: see :func:`open_file`; it is larger than ``limit``; its gzip is damaged or cut off, or
            unpacks to more than a hundred times its size.
    """
    with open_file(path, what) as handle, faults(path, what):
        size = os.fstat(handle.fileno()).st_size
        if size > limit:
            raise DataError(f"{path}: {_size(size)}, more than the {_size(limit)} that are read at once")
        data = handle.read(limit + 1)
    if len(data) > limit:
        raise DataError(f"{path}: more than the {_size(limit)} that are read at once")
    return unpack(data, path, limit=limit) if data[:2] == GZIP else data


def unpack(data: bytes, where: object, *, limit: int = LIMIT) -> bytes:
    """The content of gzip data, within limits; see :func:`read_bytes`."""
    return b"".join(_unpacked(io.BytesIO(data), where, len(data), limit))


def _unpacked(handle: BinaryIO, where: object, size: int, limit: int | None) -> Iterator[bytes]:
    """Unpack gzip piece by piece, each a MiB at most."""
    allowed = max(FREE, RATIO * size)
    if limit is not None:
        allowed = min(allowed, limit)
    packer, total, rest = zlib.decompressobj(31), 0, b""
    while True:
        block = rest or handle.read(1 << 16)
        if not block:
            if not packer.eof:
                raise DataError(f"{where}: the gzip file is cut off after {total:,} bytes of content")
            return
        if packer.eof:  # another member, or zeros that pad the file
            if not block.strip(b"\0"):
                rest = b""
                continue
            packer = zlib.decompressobj(31)
        try:
            piece = packer.decompress(block, 1 << 20)
        except zlib.error as error:
            raise DataError(
                f"{where}: the gzip file is damaged after {total:,} bytes of content: {error}"
            ) from error
        rest = packer.unused_data if packer.eof else packer.unconsumed_tail
        total += len(piece)
        if total > allowed:
            raise DataError(
                f"{where}: packed, it has {_size(size)}; unpacked, more than the {_size(allowed)} allowed"
            )
        yield piece


def read_text(path: Path | str, what: str = "", *, limit: int = LIMIT) -> str:
    """A file's text, which must be UTF-8. A byte order mark at its beginning is left out.

    Raises:
        DataError: as :func:`read_bytes`; not UTF-8, with the line.
    """
    return decode(read_bytes(path, what, limit=limit), path)


def decode(data: bytes, where: object, line: int = 1) -> str:
    """UTF-8 to text, a leading byte order mark left out. ``line`` is the number of the first line.

    Raises:
        DataError: not UTF-8, with the line and the byte in it, from 1. Surrogates as raw bytes are no UTF-8.
    """
    try:
        return data.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start + (len(BOM) if data.startswith(BOM) else 0)
        row = data.count(b"\n", 0, at)
        column = at - (data.rfind(b"\n", 0, at) + 1)
        raise DataError(
            f"{where}, line {line + row}: not UTF-8 text (byte {column + 1} of the line is {data[at]:#04x})"
        ) from error


def read_lines(path: Path | str, what: str = "", *, limit: int = LIMIT) -> Iterator[tuple[int, bytes]]:
    """The lines of a file of any size, with their numbers from 1; blank ones are skipped but counted.

    A byte order mark is left out; a file packed with gzip is unpacked on the way.

    Raises:
        DataError: as :func:`read_bytes`; a line of more than ``limit`` bytes.
    """
    with open_file(path, what) as handle, faults(path, what):
        packed = handle.read(2) == GZIP
        handle.seek(0)
        size = os.fstat(handle.fileno()).st_size
        lines: Iterator[bytes]
        if packed:
            lines = _split(_unpacked(handle, path, size, None))
        else:
            lines = iter(lambda: handle.readline(limit + 1), b"")
        for number, line in enumerate(lines, 1):
            if len(line) > limit:
                raise DataError(f"{path}, line {number}: more than {_size(limit)}")
            text = line.removeprefix(BOM) if number == 1 else line
            if text.strip():
                yield number, text


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    open_: list[bytes] = []
    for piece in pieces:
        *whole, last = piece.split(b"\n")
        for line in whole:
            yield b"".join((*open_, line, b"\n"))
            open_.clear()
        open_.append(last)
    if rest := b"".join(open_):
        yield rest


# JSON


def parse_json(
    text: str | bytes,
    where: object,
    *,
    line: int | None = None,
    nan: bool = False,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
    hint: str = "",
) -> Any:
    """Parse JSON that anybody may have written.

    Args:
        text: the JSON; bytes must be UTF-8.
        where: what it is, for messages: the file, or the file and the row.
        line: the number of its first line, where it is a line of a file that ``where`` names.
        nan: take NaN and Infinity, which JSON does not know, as numbers.
        pairs: as ``object_pairs_hook`` of :func:`json.loads`; it may raise a ValueError.
        hint: what to do, added to messages.

    Returns:
        A value in which all text can be written as UTF-8, all numbers fit a double (and, but for ``nan``, are
        finite), and lists and objects nest no deeper than :data:`DEPTH`.

    Raises:
        DataError: with the line and column where there is one.
    """
    at = place_of(where, line)
    text = decode(text, where, line or 1) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    if line is not None:  # an end that is missing is missing in this line
        text = text.rstrip("\r\n")

    def constant(name: str) -> float:
        if nan:
            return float(name.replace("Infinity", "inf"))
        raise ValueError(f"{name} is no JSON number")

    try:
        value = json.loads(
            text, parse_constant=constant, parse_int=_integer, parse_float=_real, object_pairs_hook=pairs
        )
    except json.JSONDecodeError as error:
        place = place_of(where, error.lineno if line is None else line + error.lineno - 1)
        if line is None and "\n" not in text.strip():
            place = str(where)
        raise DataError(f"{place}, column {error.colno}: not JSON: {error.msg}{hint}") from error
    except RecursionError as error:
        raise DataError(f"{at}: not usable JSON: {reason(error)}{hint}") from error
    except ValueError as error:
        raise DataError(f"{at}: not usable JSON: {error}{hint}") from error
    if _deep(value):
        raise DataError(f"{at}: not usable JSON: {reason(RecursionError())}{hint}")
    if SURROGATE.search(text) and (half := _half(text, value)):
        raise DataError(f"{at}: not usable JSON: {half} is half of a surrogate pair, no character{hint}")
    return value


SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _half(text: str, value: Any) -> str | None:
    """The first half of a surrogate pair in the value, as it is written in the text."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"'\\u{ord(error.object[error.start]):04x}'"
    return None


def _integer(digits: str) -> int:
    if len(digits) > 300:
        raise ValueError(f"a number of {len(digits.lstrip('-'))} digits")
    return int(digits)


def _real(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise ValueError(f"a number out of range ({digits[:40]})")
    return value


def _deep(value: Any) -> bool:
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(DEPTH):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, list | dict)
        ]
        if not level:
            return False
    return True


def read_json(path: Path | str, what: str = "", *, limit: int = LIMIT, hint: str = "", **how: Any) -> Any:
    """A JSON file; see :func:`parse_json`, also for ``how``.

    Raises:
        DataError: as :func:`read_bytes` and :func:`parse_json`; an empty file.
    """
    data = read_bytes(path, what, limit=limit)
    if not data.removeprefix(BOM).strip():
        raise DataError(f"{path}: empty{f' ({what} was expected)' if what else ''}{hint}")
    return parse_json(data, path, hint=hint, **how)


def read_json_lines(path: Path | str, what: str = "", **how: Any) -> Iterator[tuple[int, Any]]:
    """The values of a JSON Lines file of any size, each with the number of its line, from 1.

    Blank lines are skipped but counted. A reader that goes on after a bad line calls :func:`read_lines` and
    :func:`parse_json` itself.

    Raises:
        DataError: as :func:`read_lines` and :func:`parse_json`.
    """
    for number, line in read_lines(path, what):
        yield number, parse_json(line, path, line=number, **how)


def is_list(path: Path | str, what: str = "") -> bool:
    """Whether a file holds one JSON list, not JSON Lines: told by its first character, not by its name."""
    for _, line in read_lines(path, what):
        return line.lstrip()[:1] == b"["
    return False


def read_rows(path: Path | str, what: str = "", **how: Any) -> Iterator[tuple[int, Any]]:
    """The rows of a JSON list or of a JSON Lines file, told by content, not by name.

    Returns:
        Each row (which may be of any kind) with its number: its place in the list, or its line, from 1.

    Raises:
        DataError: as :func:`read_json` or :func:`read_json_lines`.
    """
    if not is_list(path, what):
        yield from read_json_lines(path, what, **how)
        return
    yield from enumerate(read_json(path, what, **how), 1)


def read_model(path: Path | str, model: type[M], what: str) -> M:
    """A JSON file as a pydantic model.

    Raises:
        DataError: as :func:`read_json`; not what the model says, with the first wrong key.
    """
    from pydantic import ValidationError

    data = read_bytes(path, what, limit=SMALL)
    parse_json(data, path)  # what pydantic would take: NaN, a file that is not UTF-8
    try:
        return model.model_validate_json(data.removeprefix(BOM))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: not {what}: {f'{key}: ' if key else ''}{first['msg']}") from error


# CSV


def read_csv(
    path: Path | str, what: str = "", *, columns: Sequence[str] = (), limit: int = LIMIT
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with a header, each with the number of its last line, from 1.

    Args:
        path: the file.
        what: what was expected, for messages.
        columns: columns that it must have; it may have more.
        limit: most bytes.

    Raises:
        DataError: as :func:`read_text`; a quotation mark that is not closed, a row with more or fewer values
            than the header, a column that is missing or stands twice, a cell of over 64 MiB.
    """
    rows = csv.reader(io.StringIO(read_text(path, what, limit=limit), newline=""), strict=True)
    header: list[str] | None = None
    try:
        for row in rows:
            if not row:
                continue
            if header is None:
                header = row
                _check_header(path, header, columns)
            elif len(row) != len(header):
                raise DataError(
                    f"{path}, line {rows.line_num}: {len(header)} values were expected, not {len(row)}"
                )
            else:
                yield rows.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: not CSV: {error}") from error
    if header is None:
        raise DataError(f"{path}: empty{f' ({what} was expected)' if what else ''}")


def _check_header(path: object, header: list[str], columns: Sequence[str]) -> None:
    for column in columns:
        if column not in header:
            raise DataError(
                f"{path}, line 1: the column '{column}' is missing{nearest(column, header)} "
                f"(it has: {', '.join(header)})"
            )
    for column in header:
        if header.count(column) > 1:
            raise DataError(f"{path}, line 1: the column '{column}' stands twice")


def place_of(where: object, line: int | None) -> str:
    return str(where) if line is None else f"{where}, line {line}"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"

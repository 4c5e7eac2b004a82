"""The rows of a file of any kind, one at a time; what kind it is, its first bytes tell.

A row that cannot be read (not JSON, not UTF-8, half a surrogate pair, brackets by the thousand) is a
:class:`BadRow` among the others, for the stage to refuse or to count. What spoils a whole file is an error.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from rewild.core.errors import DataError, first_line
from rewild.core.reading import BOM, GZIP, faults, open_file, parse_json, read_json, read_lines

BATCH = 1024
"""Rows of a Parquet file that are held at a time."""
CHUNK = 1 << 20
LONGEST = 1 << 28
"""Characters of one row of a JSON list."""
PARQUET = b"PAR1"
UNREAD = frozenset(("content_token_ids", "header", "hashed_ip", "detoxify_moderation", "logprobs"))
"""Parts of Parquet files that no stage uses and that may be larger than all others."""


class BadRow(Exception):  # noqa: N818 (a row to count, not always an error)
    """A row that is not usable. ``reason`` is a word for counts, ``detail`` what was there."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def kind_of(path: Path | str, what: str = "") -> str:
    """``parquet``, ``list`` (one JSON list), ``lines`` (JSON Lines) or ``empty``, by content.

    Raises:
        DataError: missing, a folder, not readable.
    """
    with open_file(path, what) as handle, faults(path, what):
        start = handle.read(4)
        if start == PARQUET:
            return "parquet"
        if start[:2] != GZIP:
            text = start.removeprefix(BOM) + handle.read(CHUNK)
            while text and not text.strip():
                text = handle.read(CHUNK)
            text = text.lstrip()
            return "empty" if not text else "list" if text[:1] == b"[" else "lines"
    for _, line in read_lines(path, what):
        return "list" if line.lstrip()[:1] == b"[" else "lines"
    return "empty"


def is_packed(path: Path | str) -> bool:
    """Whether a file is packed with gzip."""
    with open_file(path) as handle, faults(path):
        return handle.read(2) == GZIP


def read_rows(
    path: Path | str, what: str = "", columns: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """The rows of a file, each with its number from 1: its line, its place in the list, its row in the table.

    Memory holds one row of JSON, or :data:`BATCH` rows of Parquet; a JSON list is read piece by piece.

    Args:
        path: JSON Lines (blank lines are skipped), a JSON list, either packed with gzip, or Parquet, of which
            the parts in :data:`UNREAD` are left out.
        what: what was expected, for messages.
        columns: of a Parquet file that has them all, those that are read; null: all.

    Raises:
        DataError: missing, a folder, cut off, damaged; names the file and the row.
    """
    kind = kind_of(path, what)
    if kind == "parquet":
        yield from _parquet(Path(path), columns)
        return
    rows = _lines(path, what) if kind != "list" else _list(Path(path), what)
    for number, value in rows:
        if isinstance(value, BadRow | dict):
            yield number, value
        else:
            yield number, BadRow("not_an_object", f"an object was expected, not {shown(value)}")


def _lines(path: Path | str, what: str) -> Iterator[tuple[int, Any]]:
    first = True
    for number, line in read_lines(path, what):
        value = parse(line)
        if first and isinstance(value, BadRow) and line.strip() in (b"{", b"{}"):
            _refuse_object(path, what)
        first = False
        yield number, value


def _refuse_object(path: Path | str, what: str) -> None:
    """A file that is one object over many lines has no rows; say what it has."""
    try:
        value = read_json(path, what)
    except DataError:
        return
    if isinstance(value, dict):
        lists = [k for k, v in value.items() if isinstance(v, list)]
        inside = f"; its '{lists[0]}' is a list: write that to a file" if lists else ""
        found = ", ".join(list(map(str, value))[:8]) or "nothing"
        raise DataError(
            f"{path}: one JSON object (with {found}), but rows were expected: a JSON list, or JSON "
            f"Lines with an object a line{inside}"
        )


def parse(text: str | bytes) -> Any:
    """A row's JSON, or the :class:`BadRow` that it is."""
    try:
        return parse_json(text, "", nan=True)  # as pandas writes what is missing
    except DataError as error:
        said = str(error).lstrip(":, ").removeprefix("line 1, ").removeprefix("line 1: ")
        if place := re.match(r"(column \d+): (.*)", said, re.DOTALL):
            said = f"{place[2]} ({place[1]})"
        no_text = "UTF-8" in said or "surrogate" in said
        return BadRow("not_utf8" if no_text else "not_json", said)


def _list(path: Path, what: str) -> Iterator[tuple[int, Any]]:
    """The values of a JSON list, which may be larger than memory."""
    with open_file(path, what) as handle:
        packed = handle.read(2) == GZIP
        handle.seek(0)
        if packed:
            value = read_json(path, what)
            yield from enumerate(value if isinstance(value, list) else [value], 1)
            return
        yield from _Pieces(handle, path).values()


class _Pieces:
    """A JSON list, read piece by piece: ``text[at:]`` is what was read and not used yet."""

    def __init__(self, handle: BinaryIO, path: Path) -> None:
        self.handle, self.path = handle, path
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.text, self.at, self.end, self.row = "", 0, False, 1

    def more(self) -> None:
        """Read on: as much as is held already, so that a long row is not scanned too often."""
        rest = self.text[self.at :]
        if len(rest) > LONGEST:
            raise DataError(f"{self.path}, row {self.row}: more than {LONGEST:,} characters")
        with faults(f"{self.path}, row {self.row}"):
            data = self.handle.read(max(CHUNK, len(rest)))
            self.end = not data
            self.text, self.at = rest + self.decoder.decode(data, final=self.end), 0

    def next(self) -> str:
        """The next character that is no space, not consumed; blank at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n\ufeff":
                self.at += 1
            if self.at < len(self.text) or self.end:
                return self.text[self.at : self.at + 1]
            self.more()

    def values(self) -> Iterator[tuple[int, Any]]:
        decoder = json.JSONDecoder(parse_int=len)  # where it ends is all that is asked
        self.next()
        self.at += 1  # the bracket
        if self.next() == "]":
            self.at += 1
        else:
            while True:
                start, stop = self._value(decoder)
                yield self.row, parse(self.text[start:stop])
                self.at = stop
                self.row += 1
                found = self.next()
                self.at += 1
                if found == "]":
                    break
                if found != ",":
                    self.row -= 1
                    self._bad("is the file cut off?" if not found else f"{found!r} stands after it")
                if self.next() == "]":
                    self._bad("a comma stands before the list's end")
        if found := self.next():
            self.row -= 1
            self._bad(f"{found!r} stands after the list's end")

    def _value(self, decoder: json.JSONDecoder) -> tuple[int, int]:
        """Where the next value begins and ends."""
        while True:
            self.next()
            try:
                _, stop = decoder.raw_decode(self.text, self.at)
                if stop < len(self.text) or self.end:  # a number may go on
                    return self.at, stop
            except json.JSONDecodeError as error:
                early = error.pos < len(self.text) - 100 and "Unterminated" not in error.msg
                if self.end or early:
                    self._bad(f"{error.msg}; is the file cut off?" if self.end else error.msg)
            except (RecursionError, ValueError) as error:
                deep = isinstance(error, RecursionError)
                self._bad("lists and objects within each other by the hundred" if deep else first_line(error))
            self.more()

    def _bad(self, why: str) -> None:
        raise DataError(f"{self.path}, row {self.row}: not JSON: {why}")


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    import pyarrow.parquet as pq

    hint = " (is it cut off, or damaged?)"
    number = 0
    with faults(path, "Parquet", hint=hint), pq.ParquetFile(path) as parquet:
        paths = [parquet.schema.column(i).path for i in range(len(parquet.schema))]
        names = parquet.schema_arrow.names
        tops = set(columns if columns and set(columns) <= set(names) else names)
        wanted = [p for p in paths if not UNREAD & set(p.split(".")) and p.split(".")[0] in tops]
        # Each step by itself: an exception that is thrown into the generator is not the file's fault.
        batches = parquet.iter_batches(batch_size=BATCH, columns=wanted, use_threads=False)
        while True:
            with faults(f"{path}, after row {number}", "Parquet", hint=hint):
                batch = next(batches, None)
            if batch is None:
                return
            for value in _values(batch):
                number += 1
                yield number, value


def _values(batch: Any) -> list[dict[str, Any] | BadRow]:
    try:
        values: list[dict[str, Any] | BadRow] = batch.to_pylist()
    except (UnicodeDecodeError, ValueError, OverflowError):
        values = []
        for i in range(batch.num_rows):
            try:
                values += batch.slice(i, 1).to_pylist()
            except UnicodeDecodeError:
                values.append(BadRow("not_utf8", "text that is not UTF-8"))
            except (ValueError, OverflowError) as error:
                values.append(BadRow("not_a_value", first_line(error)))
    return values


def shown(value: object) -> str:
    """A value for a message: JSON, cut short."""
    if value is None:
        return "missing"
    try:
        text = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace").decode()
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."

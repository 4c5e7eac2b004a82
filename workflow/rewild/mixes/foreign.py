"""Data that the study did not make: hub datasets and files, row by row, as conversations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rewild.config.mixes import LETTERS, Chat, FromFiles, FromHub, MultipleChoice, Pair, data_files
from rewild.errors import DataError, nearest
from rewild.mixes.schema import BATCH
from rewild.prompts.schema import conversation_id

ROWS = 4096


class _BadRowError(Exception):
    """A row that is no conversation: why."""


Messages = list[dict[str, str]]


def read_foreign(source: FromHub | FromFiles, root: Path) -> Iterator[pl.DataFrame]:
    """The rows of a source, in batches; see :func:`rewild.mixes.read.read_source`.

    A row without a name of its own is named by a hash of its messages; a second such row with the same
    messages has the reason ``duplicate``.

    Raises:
        DataError: a file is missing, empty, or lacks a column; a row is no conversation (unless the source
            says to drop such rows) or has another row's name. The message names file and row.
    """
    seen: dict[str, str] = {}
    for file in data_files(source, root):
        path = root / file
        if not path.is_file():
            bring = (
                "; the rule fetch_dataset or `rewild fetch-dataset` brings it"
                if isinstance(source, FromHub)
                else ""
            )
            raise DataError(f"{path}: no such file (source '{source.label}'){bring}")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (source '{source.label}')")
        columns = source.format.columns + ([source.id] if source.id else [])
        read = _parquet if path.suffix == ".parquet" else _lines
        number = 0
        for values in read(path, columns):
            rows = []
            for value in values:
                number += 1
                rows.append(_row(source, value, f"{path}, row {number}", seen))
            yield pl.DataFrame(rows, schema=BATCH, orient="row")
        if number == 0:
            raise DataError(f"{path}: the file has no rows (source '{source.label}')")


def _row(source: FromHub | FromFiles, value: Any, where: str, seen: dict[str, str]) -> tuple[Any, ...]:
    try:
        if isinstance(value, _BadRowError):
            raise value
        messages = to_messages(source.format, value)
        name = _name(source.id, value, messages)
    except _BadRowError as error:
        if source.malformed == "stop":
            raise DataError(
                f"{where}: {error} (source '{source.label}'; with `malformed: drop` such rows are left out)"
            ) from None
        return (f"malformed:{where.rpartition(' ')[2]}", source.language, 0, 0, False, "malformed", [])
    twice = None
    if name in seen:
        if source.id:
            raise DataError(
                f"{where}: '{source.id}' is {name!r}, as in {seen[name]}; ids must differ "
                f"(source '{source.label}')"
            )
        twice = "duplicate"
    seen.setdefault(name, where.rpartition(", ")[2] if source.id else "")
    answers = [m["content"] for m in messages if m["role"] == "assistant"]
    return (name, source.language, len(answers), sum(map(len, answers)), False, twice, messages)


def _name(column: str | None, value: dict[str, Any], messages: Messages) -> str:
    if column is None:
        return conversation_id(text for m in messages for text in (m["role"], m["content"]))
    given = value.get(column)
    if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
        raise _BadRowError(f"'{column}' is {_shown(given)}, which names no row")
    return str(given)


def to_messages(form: Chat | Pair | MultipleChoice, value: dict[str, Any]) -> Messages:
    """One row as messages.

    Raises:
        _BadRowError: it is no conversation; says why.
    """
    match form:
        case Chat():
            return _chat(form, value)
        case Pair():
            return _turn(_text(value, form.prompt), _text(value, form.response))
        case MultipleChoice():
            return _multiple_choice(form, value)


def _turn(prompt: str, response: str) -> Messages:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]


def _text(value: dict[str, Any], column: str) -> str:
    text = value.get(column)
    if not isinstance(text, str) or not text.strip():
        raise _BadRowError(f"'{column}' is {_shown(text)}, not text")
    return text


def _chat(form: Chat, value: dict[str, Any]) -> Messages:
    given = value.get(form.messages)
    if not isinstance(given, list) or not given or not all(isinstance(m, dict) for m in given):
        raise _BadRowError(f"'{form.messages}' is {_shown(given)}, not a list of messages")
    messages = []
    for number, message in enumerate(given, 1):
        text, role = message.get("content"), message.get("role")
        if not isinstance(text, str) or not text.strip():
            raise _BadRowError(f"the content of message {number} is {_shown(text)}, not text")
        messages.append({"role": role, "content": text})
    turns = messages[1:] if messages[0]["role"] == "system" else messages
    expected = ["user", "assistant"] * (len(turns) // 2)
    roles = [m["role"] for m in turns]
    if not turns or roles != expected:
        shown = ", ".join(str(m["role"]) for m in messages[:6]) + (", ..." if len(messages) > 6 else "")
        raise _BadRowError(f"the roles are {shown}: not (system,) user, assistant, user, assistant, ...")
    return messages


def _multiple_choice(form: MultipleChoice, value: dict[str, Any]) -> Messages:
    question, choices, answer = _text(value, form.question), value.get(form.choices), value.get(form.answer)
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(LETTERS):
        raise _BadRowError(f"'{form.choices}' is {_shown(choices)}, not a list of two choices or more")
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise _BadRowError(f"'{form.choices}' is {_shown(choices)}: a choice is not text")
    if isinstance(answer, str) and len(answer.strip()) == 1:
        answer = LETTERS.find(answer.strip().upper())
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
        raise _BadRowError(
            f"'{form.answer}' is {_shown(value.get(form.answer))}, not one of {len(choices)} choices"
        )
    lines = [
        form.choice.format(letter=letter, text=text) for letter, text in zip(LETTERS, choices, strict=False)
    ]
    return _turn(
        form.user.format(question=question, choices="\n".join(lines)),
        form.assistant.format(letter=LETTERS[answer], text=choices[answer]),
    )


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


# Files


def _lines(path: Path, columns: Sequence[str]) -> Iterator[list[Any]]:
    """The objects of a JSON Lines file; a line that is none becomes a bad row."""
    batch: list[Any] = []
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            if line.strip():
                value = _object(line)
                if number == 1 and isinstance(value, dict):
                    _check_columns(path, columns, list(value))
                batch.append(value)
            if len(batch) == ROWS:
                yield batch
                batch = []
    if batch:
        yield batch


def _object(line: bytes) -> dict[str, Any] | _BadRowError:
    try:
        value = json.loads(line.strip())
        if b"\\ud" in line.lower():  # half a surrogate pair is no text
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        return _BadRowError(f"not UTF-8 text: {error}")
    except (ValueError, RecursionError) as error:
        return _BadRowError(f"not JSON: {str(error).replace('line 1 column', 'column')}")
    if not isinstance(value, dict):
        return _BadRowError(f"an object was expected, not {_shown(value)}")
    return value


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[list[Any]]:
    try:
        with pq.ParquetFile(path) as parquet:
            _check_columns(path, columns, parquet.schema_arrow.names)
            for batch in parquet.iter_batches(batch_size=ROWS, columns=list(columns)):
                yield batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as Parquet (cut off or corrupt?): {error}") from error


def _check_columns(path: Path, columns: Sequence[str], found: Sequence[str]) -> None:
    for column in columns:
        if column not in found:
            raise DataError(
                f"{path}: no column '{column}'{nearest(column, found)} (it has: {', '.join(found)})"
            )

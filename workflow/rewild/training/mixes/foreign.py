"""Data that the study did not make: hub datasets and files, row by row, as conversations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.mixes import LETTERS, AnyForm, Chat, FromFiles, FromHub, MultipleChoice, Pair, data_files
from rewild.core.conversations import conversation_id
from rewild.core.errors import DataError, nearest
from rewild.prompts.forms.messages import Turn, check_turns, read_messages
from rewild.prompts.forms.rows import BadRow, read_rows, shown
from rewild.prompts.forms.table import Form, form_of, read_row
from rewild.training.mixes.schema import BATCH

ROWS = 4096


Messages = list[dict[str, str]]


def read_foreign(source: FromHub | FromFiles, root: Path) -> Iterator[pl.DataFrame]:
    """The rows of a source, in batches; see :func:`rewild.training.mixes.read.read_source`.

    A row without a name of its own is named by a hash of its messages; a second such row with the same
    messages has the reason ``duplicate``.

    Raises:
        DataError: a file is missing, empty, or lacks a column; a row is no conversation (unless the source
            says to drop such rows) or has another row's name. The message names file and row.
    """
    seen: dict[str, str] = {}
    for file in data_files(source, root):
        path = root / file
        if isinstance(source, FromHub) and not path.exists():
            bring = "the rule fetch_dataset or `rewild fetch-dataset` brings it"
            raise DataError(f"{path}: no such file (source '{source.label}'); {bring}")
        if path.is_file() and path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (source '{source.label}')")
        columns = source.format.columns
        more = source.format.input if isinstance(source.format, Pair) else None
        wanted = [*columns, *filter(None, (more, source.id))] if columns else None
        rows = read_rows(path, f"source '{source.label}'", wanted)
        form = None
        while part := list(islice(rows, ROWS)):
            if form is None:
                good = ((n, row) for n, row in part if not isinstance(row, BadRow))
                form = next((_form(source, path, n, row) for n, row in good), None)
            made = [_row(source, form, value, f"{path}, row {n}", seen) for n, value in part]
            yield pl.DataFrame(made, schema=BATCH, orient="row")
            wanted = []
        if wanted != []:
            raise DataError(f"{path}: the file has no rows (source '{source.label}')")


def _form(
    source: FromHub | FromFiles, path: Path, number: int, row: dict[str, Any]
) -> Form | Chat | Pair | MultipleChoice:
    """How the rows of a file become messages, as its first row shows.

    Raises:
        DataError: a column that the format names is missing, or the rows are of no form that a mix reads.
    """
    if source.id and source.id not in row:
        _check_columns(path, [source.id], list(row))
    if isinstance(source.format, AnyForm):
        return form_of(row, f"{path}, row {number} (source '{source.label}')", "mixes", source.format.form)
    _check_columns(path, source.format.columns, list(row))
    return source.format


def _row(
    source: FromHub | FromFiles, form: Any, value: Any, where: str, seen: dict[str, str]
) -> tuple[Any, ...]:
    try:
        if isinstance(value, BadRow):
            raise value
        messages = to_messages(form, value)
        name = _name(source.id, value, messages)
    except BadRow as error:
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
        raise BadRow("not_a_conversation", f"'{column}' is {shown(given)}, which names no row")
    return str(given)


def to_messages(form: Form | Chat | Pair | MultipleChoice, value: dict[str, Any]) -> Messages:
    """One row as messages.

    Raises:
        BadRow: it is no conversation; says why.
    """
    match form:
        case Chat():
            return _chat(form, value)
        case Pair():
            return _pair(form, value)
        case MultipleChoice():
            return _multiple_choice(form, value)
    record = read_row(form, value)
    if isinstance(record, BadRow):
        raise record
    return _complete(record.turns)


def _pair(form: Pair, value: dict[str, Any]) -> Messages:
    prompt, more = _text(value, form.prompt), value.get(form.input) if form.input else None
    if isinstance(more, str) and more.strip():
        prompt = f"{prompt}\n\n{more}"
    return _turn(prompt, _text(value, form.response))


def _turn(prompt: str, response: str) -> Messages:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]


def _text(value: dict[str, Any], column: str) -> str:
    text = value.get(column)
    if not isinstance(text, str) or not text.strip():
        raise BadRow("not_a_conversation", f"'{column}' is {shown(text)}, not text")
    return text


def _chat(form: Chat, value: dict[str, Any]) -> Messages:
    return _complete(read_messages(value.get(form.messages), form.messages))


def _complete(turns: Sequence[Turn]) -> Messages:
    """Messages of which none is blank and the last is an answer."""
    messages = []
    for number, turn in enumerate(turns, 1):
        if turn.content is None or not turn.content.strip():
            raise BadRow("no_text", f"the content of message {number} is {shown(turn.content)}, not text")
        messages.append({"role": turn.role, "content": turn.content})
    check_turns(turns, answered=True)
    return messages


def _multiple_choice(form: MultipleChoice, value: dict[str, Any]) -> Messages:
    question, choices, answer = _text(value, form.question), value.get(form.choices), value.get(form.answer)
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(LETTERS):
        raise BadRow(
            "not_a_conversation", f"'{form.choices}' is {shown(choices)}, not a list of two choices or more"
        )
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise BadRow("not_a_conversation", f"'{form.choices}' is {shown(choices)}: a choice is not text")
    if isinstance(answer, str) and len(answer.strip()) == 1:
        answer = LETTERS.find(answer.strip().upper())
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
        raise BadRow(
            "not_a_conversation",
            f"'{form.answer}' is {shown(value.get(form.answer))}, not one of {len(choices)} choices",
        )
    lines = [
        form.choice.format(letter=letter, text=text) for letter, text in zip(LETTERS, choices, strict=False)
    ]
    return _turn(
        form.user.format(question=question, choices="\n".join(lines)),
        form.assistant.format(letter=LETTERS[answer], text=choices[answer]),
    )


def _check_columns(path: Path, columns: Sequence[str], found: Sequence[str]) -> None:
    for column in columns:
        if column not in found:
            raise DataError(
                f"{path}: no column '{column}'{nearest(column, found)} (it has: {', '.join(found)}); other "
                "formats are in docs/formats.md"
            )

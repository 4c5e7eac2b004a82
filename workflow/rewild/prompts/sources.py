"""Readers: files of conversations become batches of one shape, with a recorded failure for every bad row.

A file that cannot be read as a whole (missing, cut off, without a column that the study needs) is an error.
A row that cannot be read is a failure with its line, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rewild.config.prompts import NEEDED, AlpacaEval, FormFiles, Hub, MTBench, Prompts, Source, source_files
from rewild.config.synthesis import Synthesis
from rewild.core.conversations import MESSAGES
from rewild.core.errors import DataError, nearest
from rewild.core.reading import faults
from rewild.prompts.forms.messages import read_messages
from rewild.prompts.forms.rows import BadRow, is_packed, kind_of, parse, read_rows, shown
from rewild.prompts.forms.table import find_form, form_of, read_row
from rewild.prompts.hub import QUESTIONS

BATCH_ROWS = 8192
BATCH_BYTES = 32 << 20
GROUPS_PER_TASK = 65536
"""Rows of Parquet row groups that are read as one piece of work."""

RAW: dict[str, Any] = {
    "line": pl.Int64,
    "source_id": pl.String,
    "language": pl.String,
    "toxic": pl.Boolean,
    "moderation": pl.Boolean,
    "redacted": pl.Boolean,
    "time": pl.Int64,
    "messages": MESSAGES,
}
"""What a batch holds; all but ``line`` may be null. ``time`` is in microseconds since 1970."""


@dataclass(frozen=True)
class Failure:
    """A row that is not a conversation: where (1-based line or row), why, and what was there."""

    line: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Batch:
    """Some rows of a file: those that could be read, and the failures among them."""

    frame: pl.DataFrame
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """A part of a file that one process reads: bytes or row groups ``start:stop``.

    Attributes:
        source: the source's place in the study's list.
        file: its name in results; ``path`` is where it lies.
        first: the 1-based line or row that the part begins with.
        needed: the WildChat columns without which the study's filters have no meaning.
        form: of the rows: "wildchat" or another of :mod:`rewild.prompts.forms.table`.
        kind: of the file: "lines", "parquet" (WildChat's columns), or "rows" (read from its beginning).
        questions: the rows are lists of questions without answers.
        language: of rows that do not say theirs.
        nameless: rows are named by their numbers.
    """

    source: int
    file: str
    path: Path
    form: str
    kind: str
    start: int
    stop: int
    first: int
    needed: frozenset[str]
    questions: bool = False
    language: str | None = None
    nameless: bool = False


def plan(prompts: Prompts, root: Path, study: str = "") -> list[Task]:
    """Cut the study's sources into tasks.

    Args:
        prompts: the sources.
        root: the repository, to which their files are relative.
        study: its name, for what a model wrote for it.

    Raises:
        DataError: a file is missing, empty, not what its name says, or lacks a needed column.
    """
    needed = frozenset(
        {"conversation"}
        | ({"language"} if prompts.languages else set())
        | {NEEDED[tag] for tag in prompts.drop if tag in NEEDED}
    )
    return [
        task
        for index, source in enumerate(prompts.sources)
        for file in source_files(source, root, study)
        for task in _cut(index, source, file, root / file, needed)
    ]


def _cut(index: int, source: Source, file: str, path: Path, needed: frozenset[str]) -> Iterator[Task]:
    if isinstance(source, Hub) and not path.exists():
        bring = "the rule fetch_hub or `rewild fetch-hub` brings it"
        raise DataError(f"{path}: no such file (source '{source.name}'); {bring}")
    if isinstance(source, Synthesis):
        needed = frozenset({"conversation"})  # nobody has tagged what a model wrote
        if not path.exists():
            bring = "snakemake makes it, or `rewild synthesise` and `rewild collect-synthesis`"
            raise DataError(f"{path}: no such file (source '{source.name}'); {bring}")
    kind = kind_of(path, f"source '{source.name}'")
    if kind == "empty":
        raise DataError(f"{path}: the file is empty (source '{source.name}')")
    form, questions = _form(source, path)
    if form == "wildchat" and kind == "parquet":
        yield from _cut_parquet(index, file, path, needed)
        return
    language = source.language if isinstance(source, FormFiles) else "English" if questions else None
    whole = Task(
        index, file, path, form, "rows", 0, path.stat().st_size, 1, needed,
        questions, language, nameless=isinstance(source, AlpacaEval),
    )  # fmt: skip
    if kind == "lines" and not isinstance(source, AlpacaEval) and not is_packed(path):
        for start, stop, first in _line_blocks(path):
            yield replace(whole, kind="lines", start=start, stop=stop, first=first)
    else:
        yield whole


def _form(source: Source, path: Path) -> tuple[str, bool]:
    """The form of a source's rows, and whether they are lists of questions."""
    match source:
        case AlpacaEval():
            return "alpaca", True
        case MTBench():
            return "mt-bench-questions", True
        case FormFiles():
            for number, row in read_rows(path):
                if not isinstance(row, BadRow):
                    form = form_of(row, f"{path}, row {number}", "prompts", source.form)
                    return form.name, form.questions
            raise DataError(f"{path}: no row can be read (source '{source.name}')")
        case _:
            return "wildchat", False


def _cut_parquet(index: int, file: str, path: Path, needed: frozenset[str]) -> Iterator[Task]:
    with _open_parquet(path) as parquet:
        columns = parquet.schema_arrow.names
        for column in sorted(needed, key=lambda c: c != "conversation"):
            if column not in columns:
                raise DataError(_lacks(path, column, columns))
        start = first = rows = 0
        for group in range(parquet.num_row_groups):
            rows += parquet.metadata.row_group(group).num_rows
            if rows >= GROUPS_PER_TASK or group == parquet.num_row_groups - 1:
                yield Task(
                    index, file, path, "wildchat", "parquet", start, group + 1, first + 1, needed,
                    questions=QUESTIONS in columns,
                )  # fmt: skip
                start, first, rows = group + 1, first + rows, 0


def _lacks(where: object, column: str, columns: Iterable[str]) -> str:
    use = {"language": "languages"} | {column: f"drop: [{tag}]" for tag, column in NEEDED.items()}
    why = f" and the study has `{use[column]}`" if column in use else ""
    hint = nearest(column, columns)
    return f"{where}: the column '{column}' is missing{why}{hint} (it has: {', '.join(columns)})"


def _line_blocks(path: Path) -> Iterator[tuple[int, int, int]]:
    """Cut a text file at line ends: (first byte, last byte + 1, number of the first line)."""
    start, line = 0, 1
    with path.open("rb") as handle:
        while block := handle.read(BATCH_BYTES):
            block += handle.readline()
            yield start, start + len(block), line
            start += len(block)
            line += block.count(b"\n")


def read(task: Task) -> Iterator[Batch]:
    """Read a task's rows, in order.

    Raises:
        DataError: the file is corrupt, or is not of the form its source has.
    """
    if task.kind == "parquet":
        return _read_parquet(task)
    return _read_lines(task, _convert(task)) if task.kind == "lines" else _read_rows(task, _convert(task))


# Parquet


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as Parquet (cut off or corrupt?): {error}") from error


def _read_parquet(task: Task) -> Iterator[Batch]:
    with _open_parquet(task.path) as parquet:
        wanted = _leaves(parquet.schema_arrow, task.path)
        line = task.first
        try:
            for raw in parquet.iter_batches(
                batch_size=BATCH_ROWS,
                row_groups=range(task.start, task.stop),
                columns=wanted,
                use_threads=False,
            ):
                yield _parquet_batch(raw, line, task.path)
                line += raw.num_rows
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"{task.path}: corrupt after row {line - 1} (cut off or damaged; fetch it again): {error}"
            ) from error


def _leaves(schema: pa.Schema, path: Path) -> list[str]:
    """The parts of the file that are used; the rest (addresses, headers, scores) is never decoded."""
    conversation = schema.field("conversation").type
    message = conversation.value_type if _is_list(conversation) else None
    if message is None or not pa.types.is_struct(message) or not {"role", "content"} <= set(message.names):
        raise DataError(f"{path}: 'conversation' must be a list of {{role, content}}, not {conversation}")
    # The middle name of a list's leaves is the writer's choice: `list.element`, `list.item`, ...
    leaves = {"conversation_hash", "language", "toxic", "redacted", "timestamp"} & set(schema.names)
    nested = pq.ParquetFile(path).schema
    for i in range(len(nested)):
        parts = nested.column(i).path.split(".")
        if (parts[0] == "conversation" and parts[-1] in ("role", "content")) or (
            parts[0] == "openai_moderation" and parts[-1] == "flagged"
        ):
            leaves.add(".".join(parts))
    return sorted(leaves)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _parquet_batch(raw: pa.RecordBatch, line: int, path: Path) -> Batch:
    failures = []
    lines = list(range(line, line + raw.num_rows))
    try:
        raw.validate(full=True)
    except pa.ArrowInvalid:
        good = [_is_valid(raw.slice(i, 1)) for i in range(raw.num_rows)]
        failures = [
            Failure(n, "not_utf8", "text that is not UTF-8")
            for n, ok in zip(lines, good, strict=True)
            if not ok
        ]
        lines = [n for n, ok in zip(lines, good, strict=True) if ok]
        raw = raw.filter(pa.array(good))
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([raw])))
    columns = frame.columns
    moderation = pl.lit(None, pl.Boolean)
    if "openai_moderation" in columns and isinstance(frame.schema["openai_moderation"], pl.List):
        moderation = pl.col("openai_moderation").list.eval(pl.element().struct.field("flagged")).list.any()
    try:
        frame = frame.select(
            pl.Series("line", lines, dtype=pl.Int64),
            _column(columns, "conversation_hash", pl.String).alias("source_id"),
            _column(columns, "language", pl.String),
            _column(columns, "toxic", pl.Boolean),
            moderation.alias("moderation"),
            _column(columns, "redacted", pl.Boolean),
            _time(frame).alias("time"),
            pl.col("conversation").cast(MESSAGES).alias("messages"),
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: the columns do not have the types of the WildChat schema: {error}"
        ) from error
    return Batch(frame, failures)


def _is_valid(row: pa.RecordBatch) -> bool:
    try:
        pa.concat_batches([row]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _column(columns: Sequence[str], name: str, dtype: Any) -> pl.Expr:
    return pl.col(name).cast(dtype) if name in columns else pl.lit(None, dtype).alias(name)


def _time(frame: pl.DataFrame) -> pl.Expr:
    kind = frame.schema.get("timestamp")
    if isinstance(kind, pl.Datetime):
        return pl.col("timestamp").dt.epoch("us")
    if kind == pl.String:
        return pl.lit(pl.Series([_microseconds(value) for value in frame["timestamp"]], dtype=pl.Int64))
    return pl.lit(None, pl.Int64)


def _microseconds(value: object) -> int | None:
    """A timestamp as microseconds since 1970, UTC where it names no zone; ``None`` if it is none."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# JSON, and tables in other forms

Row = tuple[Any, ...]
Convert = Callable[[dict[str, Any], frozenset[str]], Row]


def _convert(task: Task) -> Convert:
    if task.form == "wildchat":
        return _wildchat_row
    form = find_form(task.form, task.questions)

    def convert(value: dict[str, Any], _: frozenset[str]) -> Row:
        record = read_row(form, value)
        if isinstance(record, BadRow):
            raise record
        turns = [t for t in record.turns if not task.questions or t.role == "user"]
        messages = [{"role": t.role, "content": t.content} for t in turns]
        language = record.language or task.language
        return (None if task.nameless else record.name, language, False, False, False, None, messages)

    return convert


def _read_lines(task: Task, convert: Convert) -> Iterator[Batch]:
    with faults(task.path), task.path.open("rb") as handle:
        handle.seek(task.start)
        lines = handle.read(task.stop - task.start).split(b"\n")
    for start in range(0, len(lines), BATCH_ROWS):
        part = enumerate(lines[start : start + BATCH_ROWS], task.first + start)
        yield _batch(task, ((n, _parse(line)) for n, line in part if line.strip()), convert)


def _read_rows(task: Task, convert: Convert) -> Iterator[Batch]:
    """A JSON list, a table in another form than WildChat's, or anything packed."""
    rows = read_rows(task.path)
    while part := list(islice(rows, BATCH_ROWS)):
        yield _batch(task, iter(part), convert)


def _batch(task: Task, values: Iterable[tuple[int, Any]], convert: Convert) -> Batch:
    rows, failures = [], []
    for number, value in values:
        try:
            if isinstance(value, BadRow):
                raise value
            row = convert(value, task.needed)
            rows.append((number, f"{number:04d}" if task.nameless else row[0], *row[1:]))
        except BadRow as bad:
            reason = "not_a_conversation" if bad.reason not in KNOWN else bad.reason
            failures.append(Failure(number, reason, bad.detail))
    return Batch(pl.DataFrame(rows, schema=RAW, orient="row"), failures)


KNOWN = ("not_utf8", "not_json", "missing_key", "not_a_conversation", "roles", "no_text")


def _parse(line: bytes) -> dict[str, Any] | BadRow:
    value = parse(line)
    if isinstance(value, dict | BadRow):
        return value
    return BadRow("not_a_conversation", f"an object was expected, not {_shown(value)}")


def _shown(value: object) -> str:
    return "null" if value is None else shown(value)


def _wildchat_row(value: dict[str, Any], needed: frozenset[str]) -> Row:
    for key in sorted(needed):
        if key not in value:
            raise BadRow("missing_key", f"no '{key}'{nearest(key, value)}")
    moderation = value.get("openai_moderation")
    flagged = None
    if isinstance(moderation, list):
        flagged = any(isinstance(turn, dict) and turn.get("flagged") is True for turn in moderation)
    return (
        _typed(value, "conversation_hash", str),
        _typed(value, "language", str),
        _typed(value, "toxic", bool),
        flagged,
        _typed(value, "redacted", bool),
        _microseconds(value.get("timestamp")),
        _messages(value["conversation"]),
    )


def _typed(value: dict[str, Any], key: str, kind: type) -> Any:
    given = value.get(key)
    if given is not None and not isinstance(given, kind):
        raise BadRow("not_a_conversation", f"'{key}' is {_shown(given)}")
    return given


def _messages(value: Any) -> list[dict[str, Any]] | None:
    """The messages, for the structure check; ``None`` and null contents are left for it to name."""
    if value is None or value == []:
        return None
    return [{"role": t.role, "content": t.content} for t in read_messages(value, "conversation")]

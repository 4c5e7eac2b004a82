"""A model answers conversations: in one stream, durably; a rerun repeats only what was not finished."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

import polars as pl

from rewild.core.errors import DataError, RewildError
from rewild.core.files import write_json
from rewild.core.locks import locked
from rewild.core.reading import read_json
from rewild.core.table import Column, TableSchema
from rewild.engines.base import About, Engine, Usage
from rewild.generation.feed import Strand, Work, feed
from rewild.generation.prepared import Prepared
from rewild.generation.rows import Responder, Talk, turns_of
from rewild.generation.schema import RESPONSES, Measurement
from rewild.generation.store import Store, disk_errors

log = logging.getLogger("rewild")
Todo = TypeVar("Todo")

CHUNK = TableSchema(
    "response-chunk",
    RESPONSES.version,
    {**RESPONSES.columns, "content": Column(pl.String, "Hash of the conversation's messages")},
    key=RESPONSES.key,
)


@dataclass(frozen=True)
class Cost:
    """What some rows cost: counts, seconds, bytes."""

    conversations: int = 0
    rows: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0  # of the output tokens
    generate_seconds: float = 0.0
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    load_seconds: float = 0.0
    peak_memory: int | None = None
    finished: float = 0.0  # seconds since the epoch, for `rewild status`; in no result

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            **{name: _combine(name, getattr(self, name), getattr(other, name)) for name in asdict(self)}
        )


def _combine(name: str, a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return max(a, b) if name in ("peak_memory", "finished") else a + b


def answers_in(folder: Path) -> Store:
    """The store of answers: found again by a conversation and a hash of its messages."""
    return Store(folder, CHUNK, ("conversation_id", "content"), check=cost_of)


def respond(
    model: Prepared, conversations: Sequence[dict[str, Any]], work: Path
) -> tuple[pl.DataFrame, Cost]:
    """Answer conversations in one stream; finished chunks in ``work`` are loaded, the rest is generated.

    A chunk holds conversations in the order in which they were finished; the rows come out in the order of
    ``conversations``, whichever chunks they were in.

    Args:
        model: made ready; it stays loaded, for whoever opened it.
        conversations: rows of a prompt shard.
        work: the folder of chunks; its identity's own folder is made in it.

    Returns:
        The rows in the order of the conversations, and what they cost.

    Raises:
        EngineError: the engine cannot go on. RewildError: the disk is full, or another process is at work.
    """
    folder = work / model.digest
    with disk_errors(folder / "lock"), locked(folder, "at work on these responses"):
        chunks = answers_in(folder)
        found = chunks.load()
        contents = {c["conversation_id"]: content_hash(c) for c in conversations}
        missing = set(contents.items()) - chunks.done
        todo = [c for c in conversations if (c["conversation_id"], contents[c["conversation_id"]]) in missing]
        if found:
            log.info(
                "%d of %d conversations are already there", len(conversations) - len(todo), len(conversations)
            )
        if todo:
            _generate(model, todo, contents, chunks, len(conversations))
            found = chunks.load()
    wanted = pl.DataFrame(
        {"conversation_id": list(contents), "content": list(contents.values())},
        schema={"conversation_id": pl.String, "content": pl.String},
    ).with_row_index("order")
    rows = pl.concat(
        [frame for frame, _ in found] or [pl.DataFrame(schema={**RESPONSES.dtypes, "content": pl.String})]
    )
    rows = (
        rows.join(wanted, on=["conversation_id", "content"], how="inner")
        .sort("order", "turn")
        .drop("order", "content")
    )
    expected = sum(len(turns_of(c)) for c in conversations)
    if rows.height != expected:
        raise RewildError(
            f"{folder}: {rows.height} rows for {expected} user turns; remove this folder and run again"
        )
    mine = [about for frame, about in found if frame["conversation_id"].is_in(list(contents)).any()]
    return rows, reduce(Cost.__add__, (cost_of(about, folder) for about in mine), Cost())


def _generate(
    model: Prepared, todo: list[dict[str, Any]], contents: dict[str, str], chunks: Store, planned: int
) -> None:
    responder = Responder(model)

    def rows(talk: Talk) -> list[dict[str, Any]]:
        content = contents[talk.conversation["conversation_id"]]
        return [{**row, "content": content} for row in responder.rows(talk)]

    generate(model, responder.talks, todo, rows, chunks, planned)


def generate(  # noqa: PLR0917 (what is asked, what comes of it, where it goes)
    model: Prepared,
    works: Callable[[list[Todo]], Iterator[tuple[Work, Sequence[Strand]]]],
    todo: list[Todo],
    rows: Callable[[Work], list[dict[str, Any]]],
    chunks: Store,
    planned: int,
) -> None:
    """Put works through the model's engine in one stream, and write what is complete in chunks.

    Args:
        model: made ready; its engine is loaded if it is not.
        works: what is left to do → each work with its strands.
        todo: what is left.
        rows: of a complete work, for the chunks' schema, with their ``failure``, ``input_tokens`` and
            ``output_tokens``.
        chunks: where they go; what is there already stays.
        planned: works in all, for messages.

    Raises:
        EngineError: the engine cannot go on; what was complete is written.
    """
    started = time.perf_counter()
    engine = model.loaded.open()
    load_seconds = time.perf_counter() - started
    log.info("%s is loaded (%.1f s)", model.spec.model, load_seconds)
    write_json(chunks.folder / "engine.json", asdict(engine.about()))
    size = model.spec.compute.chunk
    writer = _Writer(engine, rows, chunks, size, planned, planned - len(todo), load_seconds)
    try:
        feed(engine, works(todo), writer.take, window=model.spec.compute.window, who=model.spec.model)
    finally:  # whatever ended it: what is finished is kept
        writer.write()


@dataclass
class _Writer(Generic[Work]):
    """Turns finished works into rows and writes them, a chunk at a time.

    A chunk costs what was spent since the one before it: so a session's seconds are counted once, though the
    works of several chunks are under way at a time.
    """

    engine: Engine
    rows: Callable[[Work], list[dict[str, Any]]]
    chunks: Store
    size: int
    planned: int
    done: int
    load_seconds: float
    finished: list[list[dict[str, Any]]] = field(default_factory=list)  # the rows of each

    def __post_init__(self) -> None:
        self._spent, self._since = replace(self.engine.usage()), time.perf_counter()

    def take(self, work: Work) -> None:
        """Take a finished work in; write a chunk when there are enough."""
        self.finished.append(self.rows(work))
        if len(self.finished) >= self.size:
            self.write()

    def write(self) -> None:
        """Write what is there."""
        if not (works := len(self.finished)):
            return
        key = self.chunks.key
        ordered = sorted(self.finished, key=lambda rows: [row[k] for row in rows[:1] for k in key])
        rows = [row for some in ordered for row in some]
        now, usage = time.perf_counter(), replace(self.engine.usage())
        cost = _cost(rows, works, now - self._since, self._spent, usage)
        cost = replace(cost, load_seconds=self.load_seconds)
        self.chunks.write(rows, {"cost": asdict(cost)})
        self.done += works
        log.info(
            "%d of %d conversations; the last %d: %d rows, %d failures, %.0f tokens/s",
            self.done,
            self.planned,
            works,
            cost.rows,
            cost.failures,
            (cost.input_tokens + cost.output_tokens) / max(cost.generate_seconds, 1e-9),
        )
        self._spent, self._since, self.load_seconds = usage, now, 0.0
        self.finished = []


def _cost(
    rows: list[dict[str, Any]], conversations: int, seconds: float, before: Usage, after: Usage
) -> Cost:
    def spent(name: str) -> float | None:
        now = getattr(after, name)
        return None if now is None else now - (getattr(before, name) or 0.0)

    return Cost(
        conversations=conversations,
        rows=len(rows),
        failures=sum(row["failure"] is not None for row in rows),
        input_tokens=sum(row["input_tokens"] or 0 for row in rows),
        output_tokens=sum(row["output_tokens"] or 0 for row in rows),
        reasoning_tokens=sum(row.get("reasoning_tokens") or 0 for row in rows),
        generate_seconds=seconds,
        prefill_seconds=spent("prefill_seconds"),
        decode_seconds=spent("decode_seconds"),
        peak_memory=after.peak_memory,
        finished=time.time(),
    )


def read_about(path: Path) -> About | None:
    """``engine.json``: what made the chunks beside it; None where it is not there.

    Raises:
        DataError: it cannot be read.
    """
    if not path.exists():
        return None
    hint = "; remove it and run again"
    found = read_json(path, "what an engine says of itself", hint=hint)
    try:
        return About(**found)
    except TypeError as error:
        raise DataError(f"{path}: not what an engine says of itself{hint}") from error


def cost_of(about: Mapping[str, Any], path: Path) -> Cost:
    """What goes with a chunk, as a :class:`Cost`.

    Raises:
        DataError: it is none.
    """
    try:
        return Cost(**about["cost"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: does not say what its rows cost") from error


def content_hash(conversation: Mapping[str, Any]) -> str:
    """16 hexadecimal digits over a conversation's messages, the original answers included."""
    messages = [[m["role"], m["content"]] for m in conversation["messages"]]
    return sha256(json.dumps(messages, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def measure(model: Prepared, shard: str, cost: Cost, chunks: Path, sampling: dict[str, Any]) -> Measurement:
    """What a shard cost, summed over its chunks.

    Args:
        model: that generated it.
        shard: its name.
        cost: the sum.
        chunks: their folder, in which the engine that made them left what it says of itself.
        sampling: settings, as they are told.
    """
    about = read_about(chunks / "engine.json") or About(model.spec.engine)
    tokens, seconds = cost.input_tokens + cost.output_tokens, cost.generate_seconds
    return Measurement(
        study=model.spec.study,
        model=model.spec.model,
        shard=shard,
        engine=about.name,
        engine_arguments=about.arguments,
        sampling=sampling,
        context=model.sizes[0],
        parameters=model.spec.source.parameters,
        gpus=model.spec.gpus,
        conversations=cost.conversations,
        rows=cost.rows,
        failures=cost.failures,
        input_tokens=cost.input_tokens,
        output_tokens=cost.output_tokens,
        reasoning_tokens=cost.reasoning_tokens,
        load_seconds=cost.load_seconds,
        generate_seconds=seconds,
        prefill_seconds=cost.prefill_seconds,
        decode_seconds=cost.decode_seconds,
        peak_memory=cost.peak_memory,
        tokens_per_second=_ratio(tokens, seconds),
        seconds_per_1000_conversations=_ratio(1000 * seconds, cost.conversations),
        input_output_ratio=_ratio(cost.input_tokens, cost.output_tokens),
        prefill_decode_ratio=_ratio(
            _ratio(cost.input_tokens, cost.prefill_seconds), _ratio(cost.output_tokens, cost.decode_seconds)
        ),
        versions=about.versions,
        hardware=about.hardware,
    )


def _ratio(over: float | None, under: float | None) -> float | None:
    return over / under if over is not None and under else None

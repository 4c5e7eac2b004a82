"""Somebody is asked, whoever wants to know: within a budget, chunk by chunk, until replies have their form.

Requests become rows of :data:`rewild.generation.asking.store.RAW`: a reply that can be read, or the reason
why there is none. What was paid for is kept, and never asked for again.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from rewild.core.errors import DataError, RewildError
from rewild.core.locks import locked
from rewild.engines.base import SPENT, Completion, Engine, EngineError, Request, Sampling
from rewild.generation.asking.base import JudgeRequest, Reader, Reply, Verdict
from rewild.generation.asking.budget import CHARACTERS_PER_TOKEN, Ledger, cost, estimated_input, most_input
from rewild.generation.asking.store import Replies
from rewild.generation.store import disk_errors

log = logging.getLogger("rewild")

FEW = 3  # replies without log-probabilities, and none with them: the judge gives none
SHOWN = 80  # characters of a reply that a reason repeats
NO_TEXT = "the judge's reply has no text"
Row = dict[str, Any]


@dataclass(frozen=True)
class Asking:
    """How somebody is asked.

    Attributes:
        who: for the log.
        what: what is asked for, for messages: "judgments of RUN on BENCHMARK".
        reader: of replies.
        ledger: what may be spent, and where that is written down.
        attempts: calls per request until its reply can be read.
        chunk: replies that are kept together.
        seed: of a request's call, counted from 1.
        label: begins the name of every request.
    """

    who: str
    what: str
    reader: Reader
    ledger: Ledger
    attempts: int
    chunk: int
    seed: Callable[[JudgeRequest, int], int]
    label: str = ""


@dataclass
class Pending:
    """One judgment under way."""

    request: JudgeRequest  # the first
    key: str
    next: JudgeRequest  # what is sent now: after an unclear reply it may be more than the first
    reply: Reply | None = None
    said: str | None = None
    earlier: list[str] = field(default_factory=list)
    failure: str | None = None
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    unseen_input: int = (
        0  # what the judge may have read and written beyond these numbers, where it did not count
    )
    unseen_output: int = 0

    @property
    def name(self) -> str:
        """For messages and for the seed."""
        return f"{self.request.question}/{self.request.part}"

    def row(self) -> dict[str, Any]:
        """As the store keeps it."""
        logprobs = self.reply.logprobs if self.reply else ()
        return {
            "request": self.key,
            "judge_said": self.said,
            "reply": self.reply.text if self.reply else None,
            "earlier": self.earlier,
            "logprobs": json.dumps([dict(token) for token in logprobs]) if logprobs else None,
            "failure": self.failure,
            "attempts": self.attempts,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "estimated": self.estimated,
        }


def ask(
    asking: Asking,
    requests: Mapping[str, JudgeRequest],
    replies: Replies,
    engine: Callable[[], AbstractContextManager[Engine]],
    *,
    again: bool = False,
) -> dict[str, Row]:
    """Ask for every reply that is not there yet.

    Args:
        asking: who, how often, at what price.
        requests: by what they are found again by (:func:`rewild.generation.asking.store.request_hash`).
        replies: those that are there; new ones are written to it, chunk by chunk.
        engine: opened only if something is asked.
        again: ask once more for replies that failed.

    Returns:
        A row per request, by the same key.

    Raises:
        EngineError: the key is refused, or the endpoint is down. BudgetError: the budget is used up. After
            both, finished replies are kept, and the next call goes on from there.
    """
    folder = replies.chunks.folder
    with disk_errors(folder / "lock"), locked(folder, f"at work on these {asking.what.partition(' ')[0]}"):
        replies.load(mend=True)
        if again and (count := replies.forget_failures()):
            log.info("%d %s that failed are asked for again", count, asking.what)
        todo = [
            Pending(request, key, request) for key, request in requests.items() if key not in replies.rows
        ]
        if todo:
            log.info("%s: %d of %d %s to ask for", asking.who, len(todo), len(requests), asking.what)
            _ask(asking, todo, replies, engine)
        return {key: replies.rows[key] for key in requests}


def _ask(
    asking: Asking,
    todo: list[Pending],
    replies: Replies,
    engine: Callable[[], AbstractContextManager[Engine]],
) -> None:
    asking.ledger.start()
    with engine() as opened:
        # Whether a judge gives log-probabilities is seen from a few replies.
        first = FEW if todo[0].request.top_logprobs else asking.chunk
        for start in (0, *range(first, len(todo), asking.chunk)):
            chunk = todo[start : start + asking.chunk if start else first]
            try:
                _ask_chunk(asking, chunk, opened, f"{len(replies.rows)} {asking.what}")
            except RewildError:
                if finished := [a.row() for a in chunk if a.attempts and a.failure is None]:
                    replies.write(finished)
                raise
            replies.write([asked.row() for asked in chunk])
            failed = sum(asked.failure is not None for asked in chunk)
            done = start + len(chunk)
            log.info(
                "%d of %d %s; %d of the last %d failed", done, len(todo), asking.what, failed, len(chunk)
            )


def verdict_in(reader: Reader, row: Row, request: JudgeRequest) -> tuple[Verdict | None, str | None]:
    """The verdict of a row of replies, read again; or why there is none."""
    failure: str | None = row["failure"]
    if row["reply"] is None or (failure is not None and not failure.startswith("unclear")):
        return None, failure
    logprobs = tuple(json.loads(row["logprobs"])) if row["logprobs"] else ()
    return read_verdict(reader, Reply(row["reply"], logprobs), request)


def _ask_chunk(asking: Asking, chunk: list[Pending], engine: Engine, kept: str) -> None:
    """Ask until every verdict is clear, or as often as allowed; money is reserved before each round."""
    ledger = asking.ledger
    for _ in range(asking.attempts):
        pending = [a for a in chunk if a.attempts == 0 or a.failure is not None]
        if not pending:
            return
        reserved = ledger.reserve([asked.next for asked in pending], f"{kept} are kept.")
        before, billed = sum(_paid(ledger, asked) for asked in pending), getattr(engine, "billed", None)
        try:
            _round(asking, pending, engine)
        except EngineError:
            if billed is not None and engine.billed == billed:  # type: ignore[attr-defined]
                ledger.settle(reserved, 0.0)  # nothing was answered, so nothing is on the bill
            raise
        ledger.settle(reserved, sum(_paid(ledger, asked) for asked in pending) - before)
        if unable := asking.reader.unable:
            silent = sum(unable in (asked.failure or "") for asked in pending)
            if silent >= min(FEW, len(pending)) and not any(a.reply and a.reply.logprobs for a in chunk):
                raise DataError(unable)


def _round(asking: Asking, pending: list[Pending], engine: Engine) -> None:
    """Send each pending request once and read the replies."""
    by_temperature: dict[float, list[Pending]] = {}
    for asked in pending:
        by_temperature.setdefault(asked.next.temperature, []).append(asked)
    for temperature, group in by_temperature.items():
        requests = [
            Request(
                f"{asking.label} {asked.name}".strip(),
                asked.next.messages,
                (),
                asked.next.max_tokens,
                asking.seed(asked.request, asked.attempts + 1),
                asked.next.top_logprobs,
            )
            for asked in group
        ]
        for asked, completion in zip(
            group, engine.generate(requests, Sampling(temperature=temperature)), strict=True
        ):
            _read(asking.reader, asked, completion)


def _paid(ledger: Ledger, asked: Pending) -> float:
    """What the calls so far cost; at most, where the endpoint did not count."""
    read, wrote = asked.input_tokens + asked.unseen_input, asked.output_tokens + asked.unseen_output
    return cost(ledger.price, read, wrote) if ledger.price else 0.0


def _read(reader: Reader, asked: Pending, completion: Completion) -> None:
    """Take a completion in: count it, read its verdict, or note why there is none."""
    asked.attempts += 1
    text = completion.text or ""
    counted = completion.input_tokens is not None or completion.output_tokens is not None
    # A reply that cannot be read was written all the same, and is on the bill; an error alone is not.
    if completion.failure is None or counted or completion.failure.startswith("endpoint: malformed"):
        read, wrote = completion.input_tokens, completion.output_tokens
        asked.estimated |= read is None or wrote is None
        if read is None:
            read = estimated_input(asked.next)
            asked.unseen_input += most_input(asked.next) - read
        if wrote is None:
            wrote = len(text) // CHARACTERS_PER_TOKEN
            asked.unseen_output += max(asked.next.max_tokens - wrote, 0)
        asked.input_tokens += read
        asked.output_tokens += wrote
    asked.said = completion.model or asked.said
    if completion.failure is not None:
        asked.failure = completion.failure
        return
    if asked.reply is not None:
        asked.earlier.append(asked.reply.text)
    asked.reply = Reply(text, completion.logprobs)
    if not text.strip():
        cut = completion.text is None and completion.finish_reason == "length"
        asked.failure = f"empty: {SPENT.format(asked.next.max_tokens) if cut else NO_TEXT}"
    else:
        verdict, asked.failure = read_verdict(reader, asked.reply, asked.request)
        if verdict is None:
            asked.next = reader.again(asked.next, asked.reply)


def read_verdict(reader: Reader, reply: Reply, request: JudgeRequest) -> tuple[Verdict | None, str | None]:
    """The verdict of a reply; or why there is none, with the end of the reply, where verdicts stand."""
    try:
        verdict = reader.parse(reply, request)
        why = reader.unclear(reply, request) if verdict is None else ""
    except DataError as error:  # a judge that cannot do what the benchmark needs
        return None, f"unclear: {error}"
    if verdict is not None and math.isfinite(verdict.value):
        return verdict, None
    return None, f"unclear: {why or 'its value is no number'}: {_end(reply.text)!r}"


def _end(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"…{text[-SHOWN:]}"

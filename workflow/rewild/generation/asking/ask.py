"""Somebody is asked, whoever wants to know: within a budget, in one stream, until replies have their form.

Requests become rows of :data:`rewild.generation.asking.store.RAW`: a reply that can be read, or the reason
why there is none. What was paid for is kept, and never asked for again.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from rewild.core.errors import DataError
from rewild.core.locks import locked
from rewild.engines.base import SPENT, Completion, Engine, EngineError, Request, Sampling
from rewild.engines.chat import Chat
from rewild.generation.asking.base import JudgeRequest, Reader, Reply, Verdict
from rewild.generation.asking.budget import (
    CHARACTERS_PER_TOKEN,
    BudgetError,
    Ledger,
    ceiling,
    cost,
    estimated_input,
    most_input,
)
from rewild.generation.asking.store import Replies
from rewild.generation.feed import Strand, feed
from rewild.generation.fit import fit
from rewild.generation.store import disk_errors

log = logging.getLogger("rewild")

FEW = 3  # replies without log-probabilities, and none with them: the judge gives none
SHOWN = 80  # characters of a reply that a reason repeats
NO_TEXT = "the reply has no text"
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
        chat: renders what is asked, for an engine that takes tokens; None for an endpoint, which does it.
        longest: tokens of a prompt that it may read; a longer one is a failure.
        window: requests under way at most; None: as many as a chunk.
        reasoning: tokens that may be reasoned with, beside those of a reply; they are paid for, too.
    """

    who: str
    what: str
    reader: Reader
    ledger: Ledger
    attempts: int
    chunk: int
    seed: Callable[[JudgeRequest, int], int]
    label: str = ""
    chat: Chat | None = None
    longest: int = 0
    window: int | None = None
    reasoning: int = 0

    def dearest(self, request: JudgeRequest) -> JudgeRequest:
        """A request as long as it may become, for what it costs at most."""
        return replace(request, max_tokens=request.max_tokens + self.reasoning) if self.reasoning else request


@dataclass
class Pending:
    """One judgment under way."""

    request: JudgeRequest  # the first
    key: str
    next: JudgeRequest  # what is sent now: after an unclear reply it may be more than the first
    tokens: tuple[int, ...] = ()  # the same, for an engine that takes tokens
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
    unpaid: bool = False  # there was no money to ask again

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
        asker = _Asker(asking, todo, replies, lambda: getattr(opened, "billed", None), kept=len(replies.rows))
        try:
            feed(opened, asker.works(), asker.take, window=asking.window or asking.chunk, who=asking.who)
        except EngineError:
            asker.unbilled()
            raise
        finally:  # whatever ended it: what was paid for is kept
            asker.write()
    if asker.stopped is not None:
        raise asker.stopped


@dataclass
class _Asker:
    """Feeds what is to be asked, a block at a time, reserves money for it, and keeps replies.

    Attributes:
        billed: answers that the engine was paid for so far; None where it does not count.
        stopped: the budget is used up; what was under way is still read.
        under_way, finished: of ``todo``: asked and not done with; done with and not written.
        done, kept: how many are written; how many replies there are in all, from before and to be written.
    """

    asking: Asking
    todo: list[Pending]
    replies: Replies
    billed: Callable[[], int | None]
    stopped: BudgetError | None = None
    under_way: int = 0
    finished: list[Pending] = field(default_factory=list)
    done: int = 0
    kept: int = 0
    _open: float = 0.0  # reserved for calls that have been answered and are not settled yet
    _paid: float = 0.0  # what these cost
    _promised: dict[str, tuple[float, int | None]] = field(default_factory=dict)
    # For calls under way, by key: what is reserved, and the answers that were on the bill then.
    _silent: set[str] = field(default_factory=set)  # asked since the last reply with log-probabilities

    def works(self) -> Iterator[tuple[Pending, list[Strand]] | None]:
        """What is to be asked; None while something must be known of what is under way first."""
        # Whether a judge gives log-probabilities is seen from a few replies.
        first = FEW if self.todo[0].request.top_logprobs else self.asking.chunk
        start = 0
        while start < len(self.todo):
            block = self.todo[start : start + (self.asking.chunk if start else first)]
            while (error := self._reserve(block)) is not None:
                if self.stopped or not self.under_way:
                    self.stopped = self.stopped or error
                    return
                yield None  # what is under way may cost less than is reserved for it
            self._render(block)
            for asked in block:
                self.under_way += 1
                yield asked, [self._strand(asked)]
            while start == 0 and self.under_way and first < self.asking.chunk:
                yield None
            start += len(block)

    def take(self, asked: Pending) -> None:
        """Take in what was asked often enough; write a chunk when there are enough."""
        if asked.unpaid:
            return
        self.finished.append(asked)
        if len(self.finished) >= self.asking.chunk:
            self.write()

    def write(self) -> None:
        """Write down what was paid, then what was bought."""
        self._settle()
        if not self.finished:
            return
        rows = [asked.row() for asked in sorted(self.finished, key=lambda asked: asked.key)]
        self.finished = []
        self.replies.write(rows)
        self.done += len(rows)
        failed = sum(row["failure"] is not None for row in rows)
        what = self.asking.what
        log.info("%d of %d %s; %d of the last %d failed", self.done, len(self.todo), what, failed, len(rows))

    def unbilled(self) -> None:
        """The engine has died: calls since the last answer that was on the bill are not on it."""
        billed = self.billed()
        self._open += sum(most for most, at in self._promised.values() if at is not None and at == billed)

    def _strand(self, asked: Pending) -> Strand:
        """Ask until the verdict is clear, or as often as allowed."""
        asking = self.asking
        if asked.failure is not None:  # it cannot be asked at all
            self._open += self._promised.pop(asked.key)[0]
        for attempt in range(1, asking.attempts + 1 if asked.failure is None else 1):
            if attempt > 1:
                if not self._render([asked]):
                    break  # with what was said before, it is too long: that stays the reply
                if (error := self._reserve([asked])) is not None:
                    self.stopped, asked.unpaid = error, True
                    break
            before = _paid(asking.ledger, asked)
            completion = yield (
                Request(
                    f"{asking.label} {asked.name}".strip(),
                    asked.next.messages,
                    asked.tokens,
                    asked.next.max_tokens,
                    asking.seed(asked.request, attempt),
                    asked.next.top_logprobs,
                    form=asked.next.form,
                ),
                Sampling(temperature=asked.next.temperature),
            )
            _read(asking.reader, asked, completion)
            self._open += self._promised.pop(asked.key)[0]
            self._paid += _paid(asking.ledger, asked) - before
            self._hear(asked)
            if asked.failure is None:
                break
        self.under_way -= 1
        self.kept += not asked.unpaid

    def _render(self, block: Sequence[Pending]) -> bool:
        """Render what is sent next, for an engine that takes tokens; whether all of it can be sent.

        What cannot be sent at all fails; what was answered before keeps the failure of that.
        """
        asking = self.asking
        if asking.chat is None:
            return True
        chats = [asked.next.messages for asked in block]
        for asked, fitted in zip(block, fit(chats, asking.chat, asking.longest, "skip"), strict=True):
            asked.tokens = fitted.tokens
            if not asked.attempts:
                asked.failure = fitted.failure
        return all(asked.tokens for asked in block)

    def _reserve(self, block: list[Pending]) -> BudgetError | None:
        """Settle what was answered; set aside the most that the next calls can cost, if so much is left."""
        self._settle()
        ledger, billed = self.asking.ledger, self.billed()
        kept = f"{self.kept} {self.asking.what} are kept."
        try:
            ledger.reserve([self.asking.dearest(asked.next) for asked in block], kept)
        except BudgetError as error:
            return error
        for asked in block:
            most = ceiling(ledger.price, [self.asking.dearest(asked.next)]) if ledger.price else 0.0
            self._promised[asked.key] = most, billed
        return None

    def _settle(self) -> None:
        if self._open:
            self.asking.ledger.settle(self._open, self._paid)
            self._open = self._paid = 0.0

    def _hear(self, asked: Pending) -> None:
        """Stop where a few replies, one after another, lack the log-probabilities that are needed."""
        if not (unable := self.asking.reader.unable):
            return
        if asked.reply is not None and asked.reply.logprobs:
            self._silent.clear()
        elif unable in (asked.failure or ""):
            self._silent.add(asked.key)
            if len(self._silent) >= min(FEW, len(self.todo)):
                raise DataError(unable)


def verdict_in(reader: Reader, row: Row, request: JudgeRequest) -> tuple[Verdict | None, str | None]:
    """The verdict of a row of replies, read again; or why there is none."""
    failure: str | None = row["failure"]
    if row["reply"] is None or (failure is not None and not failure.startswith("unclear")):
        return None, failure
    logprobs = tuple(json.loads(row["logprobs"])) if row["logprobs"] else ()
    return read_verdict(reader, Reply(row["reply"], logprobs), request)


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
            asked.unseen_output += max((completion.limit or asked.next.max_tokens) - wrote, 0)
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

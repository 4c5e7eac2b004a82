"""The judge is asked about a run's answers: chunk by chunk, durably, within the budget."""

from __future__ import annotations

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from rewild.config.benchmarks import RUBRIC
from rewild.config.judging import OPENAI
from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.core.files import write_json
from rewild.core.locks import locked
from rewild.core.table import provenance, write_table
from rewild.engines import make_engine
from rewild.engines.base import Completion, Engine, EngineError, Request, Sampling
from rewild.engines.openai_engine import SPENT
from rewild.evaluation.judged.task import Task, answers_by_question, check_answers, read_answers
from rewild.generation.asking.base import NO_LOGPROBS, JudgeRequest, Reply, Verdict
from rewild.generation.asking.budget import (
    CHARACTERS_PER_TOKEN,
    Ledger,
    cost,
    estimated_input,
    most_input,
    shown,
)
from rewild.generation.asking.schema import JUDGMENTS, Spent
from rewild.generation.asking.store import Replies, request_hash
from rewild.generation.spec import row_seed
from rewild.generation.store import disk_errors

log = logging.getLogger("rewild")

FEW = 3  # replies without log-probabilities, and none with them: the judge gives none
SHOWN = 80  # characters of a reply that a reason repeats
NO_TEXT = "the judge's reply has no text"


@dataclass
class Asked:
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


def requests_of(task: Task, answers: pl.DataFrame) -> list[JudgeRequest]:
    """Everything the judge is asked about a run's answers, in the order of the questions.

    Raises:
        RewildError: a benchmark made two requests of one name (a mistake in its code).
    """
    texts = answers_by_question(answers)
    made = [
        request
        for question in task.questions.values()
        for request in task.benchmark.requests(question, texts[question.id], task.material)
    ]
    names = Counter((r.question, r.turn, r.part) for r in made)
    if names and (most := names.most_common(1)[0])[1] > 1:
        raise RewildError(f"{task.row.slug}: two requests to the judge have the name {most[0]}")
    limit = task.takes.limit if task.takes else int
    return [replace(r, max_tokens=limit(r.max_tokens)) for r in made]


def judge(task: Task, run: str, *, again: bool = False, pause: float | None = None) -> Spent:
    """Judge one run's answers and write ``judgments.parquet`` and ``judging.json``.

    Args:
        task: the benchmark.
        run: whose answers; ``answers.parquet`` must be there.
        again: ask about judgments that failed once more.
        pause: first pause before a request is sent again, in seconds; None is the engine's own.

    Raises:
        EngineError: the judge refuses the key or is down. BudgetError: the budget is used up. After both,
            finished judgments are kept, and the next call goes on from there.
    """
    path = task.folder(run) / "answers.parquet"
    answers = check_answers(task, read_answers(path), path)
    requests = requests_of(task, answers)
    settings, work = task.study.judging, task.work(run, "judging")
    keys = [request_hash(task.identity, r, settings.attempts, task.study.seed) for r in requests]
    with disk_errors(work / "lock"), locked(work, "at work on these judgments"):
        store = Replies(work)
        store.load(mend=True)
        if again and (count := store.forget_failures()):
            log.info("%d judgments that failed are asked for again", count)
        missing = {k: Asked(r, k, r) for k, r in zip(keys, requests, strict=True) if k not in store.rows}
        if missing:
            log.info("%s: %d of %d judgments to ask for", task.judge, len(missing), len(requests))
            _ask(task, run, list(missing.values()), store, pause)
    rows = [_row(task, run, r, store.rows[k]) for k, r in zip(keys, requests, strict=True)]
    frame = pl.DataFrame(rows, schema=JUDGMENTS.dtypes, orient="row", infer_schema_length=None)
    made_from = provenance([path, *task.files.values()], judge=task.identity, attempts=settings.attempts)
    with disk_errors(path):
        write_table(task.folder(run) / "judgments.parquet", frame, JUDGMENTS, made_from)
        spent = spent_of(task, frame)
        write_json(task.folder(run) / "judging.json", spent.model_dump())
    return spent


def _ask(task: Task, run: str, todo: list[Asked], store: Replies, pause: float | None) -> None:
    settings = task.study.judging
    price = settings.price_of(task.judge)
    if price is None and settings.budget is not None:
        raise ConfigError(
            f"study {task.study.name}: there is a budget, but no price of the judge '{task.judge}'; "
            "add it to judging.prices"
        )
    ledger = Ledger(store.chunks.folder.parents[1], store.chunks.folder, settings.budget, price)
    ledger.start()
    with judge_engine(task, pause) as engine:
        # Whether a judge gives log-probabilities is seen from a few replies.
        first = FEW if todo[0].request.top_logprobs else settings.chunk
        for start in (0, *range(first, len(todo), settings.chunk)):
            chunk = todo[start : start + settings.chunk if start else first]
            try:
                _judge_chunk(task, chunk, engine, ledger, f"{len(store.rows)} judgments of {run} on")
            except RewildError:
                if finished := [a.row() for a in chunk if a.attempts and a.failure is None]:
                    store.write(finished)
                raise
            store.write([asked.row() for asked in chunk])
            failed = sum(asked.failure is not None for asked in chunk)
            done = start + len(chunk)
            log.info("%d of %d judgments; %d of the last %d failed", done, len(todo), failed, len(chunk))


def _judge_chunk(task: Task, chunk: list[Asked], engine: Engine, ledger: Ledger, kept: str) -> None:
    """Ask until every verdict is clear, or as often as allowed; money is reserved before each round."""
    for _ in range(task.study.judging.attempts):
        pending = [a for a in chunk if a.attempts == 0 or a.failure is not None]
        if not pending:
            return
        reserved = ledger.reserve([asked.next for asked in pending], f"{kept} {task.row.slug} are kept.")
        before, billed = sum(_paid(ledger, asked) for asked in pending), getattr(engine, "billed", None)
        try:
            _round(task, pending, engine)
        except EngineError:
            if billed is not None and engine.billed == billed:  # type: ignore[attr-defined]
                ledger.settle(reserved, 0.0)  # nothing was answered, so nothing is on the bill
            raise
        ledger.settle(reserved, sum(_paid(ledger, asked) for asked in pending) - before)
        silent = sum(NO_LOGPROBS in (asked.failure or "") for asked in pending)
        if silent >= min(FEW, len(pending)) and not any(a.reply and a.reply.logprobs for a in chunk):
            raise DataError(NO_LOGPROBS)


def _round(task: Task, pending: list[Asked], engine: Engine) -> None:
    """Send each pending request once and read the replies."""
    by_temperature: dict[float, list[Asked]] = {}
    for asked in pending:
        by_temperature.setdefault(asked.next.temperature, []).append(asked)
    for temperature, group in by_temperature.items():
        requests = [
            Request(
                f"{task.row.slug} {asked.name}",
                asked.next.messages,
                (),
                asked.next.max_tokens,
                row_seed(task.study.seed, task.judge_name, asked.name, asked.request.turn, asked.attempts + 1)
                >> 32,
                asked.next.top_logprobs,
            )
            for asked in group
        ]
        for asked, completion in zip(
            group, engine.generate(requests, Sampling(temperature=temperature)), strict=True
        ):
            _read(task, asked, completion)


def _paid(ledger: Ledger, asked: Asked) -> float:
    """What the calls so far cost; at most, where the endpoint did not count."""
    read, wrote = asked.input_tokens + asked.unseen_input, asked.output_tokens + asked.unseen_output
    return cost(ledger.price, read, wrote) if ledger.price else 0.0


def _read(task: Task, asked: Asked, completion: Completion) -> None:
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
        verdict, asked.failure = read_verdict(task, asked.reply, asked.request)
        if verdict is None:
            asked.next = task.benchmark.again(asked.next, asked.reply)


def read_verdict(task: Task, reply: Reply, request: JudgeRequest) -> tuple[Verdict | None, str | None]:
    """The verdict of a reply; or why there is none, with the end of the reply, where verdicts stand."""
    try:
        verdict = task.benchmark.parse(reply, request)
        why = task.benchmark.unclear(reply, request) if verdict is None else ""
    except DataError as error:  # a judge that cannot do what the benchmark needs
        return None, f"unclear: {error}"
    if verdict is not None and math.isfinite(verdict.value):
        return verdict, None
    return None, f"unclear: {why or 'its value is no number'}: {_end(reply.text)!r}"


def _end(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"…{text[-SHOWN:]}"


def _row(task: Task, run: str, request: JudgeRequest, raw: dict[str, Any]) -> dict[str, Any]:
    """A row of the judgments: what was stored, and the verdict read from it."""
    verdict, failure = None, raw["failure"]
    if raw["reply"] is not None and (failure is None or failure.startswith("unclear")):
        logprobs = tuple(json.loads(raw["logprobs"])) if raw["logprobs"] else ()
        verdict, failure = read_verdict(task, Reply(raw["reply"], logprobs), request)
    return {
        **raw,
        "run": run,
        "benchmark": task.row.slug,
        "question_id": request.question,
        "category": task.questions[request.question].category,
        "turn": request.turn,
        "part": request.part,
        "judge": task.judge,
        "template": request.template,
        "verdict": verdict.label if verdict else None,
        "value": verdict.value if verdict else None,
        "failure": failure,
    }


@contextmanager
def judge_engine(task: Task, pause: float | None = None) -> Iterator[Engine]:
    """The judge behind an endpoint. The rubric program is started here, and stopped.

    Raises:
        ConfigError: the key of OpenAI's endpoint is not in the environment.
    """
    settings = task.study.judging
    arguments: dict[str, Any] = {"concurrency": settings.concurrency, "timeout": settings.timeout}
    if pause is not None:
        arguments["pause"] = pause
    if task.takes is not None:
        arguments["takes"] = task.takes
    arguments["neutral"] = task.open_weights
    if task.judge == RUBRIC and settings.endpoint is None:
        from rewild.engines.rubric.server import serving

        with serving() as url:
            engine = make_engine("openai", model=RUBRIC, endpoint=url, **arguments)
            yield engine
            return
    key = os.environ.get(settings.key) or None
    if settings.endpoint is None and key is None:
        raise ConfigError(
            f"the judge '{task.judge}' is asked at {OPENAI}, which wants a key: set the environment variable "
            f"{settings.key}, or give judging.endpoint"
        )
    yield make_engine(
        "openai", model=task.judge_name, endpoint=settings.endpoint or OPENAI, key=key, **arguments
    )


def spent_of(task: Task, judgments: pl.DataFrame) -> Spent:
    """What the judgments in a table cost."""
    price = task.study.judging.price_of(task.judge)
    reasons = Counter(f.partition(":")[0] for f in judgments["failure"].drop_nulls())
    read, wrote = int(judgments["input_tokens"].sum()), int(judgments["output_tokens"].sum())
    return Spent(
        judge=task.judge,
        calls=int(judgments["attempts"].sum()),
        questions=len(task.questions),
        judgments=judgments["value"].count(),
        failures=dict(sorted(reasons.items())),
        input_tokens=read,
        output_tokens=wrote,
        price=None if price is None else round(cost(price, read, wrote), 6),
        priced=None if price is None else shown(price),
    )

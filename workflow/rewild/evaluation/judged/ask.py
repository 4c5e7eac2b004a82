"""The judge is asked about a run's answers: chunk by chunk, durably, within the budget."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl

from rewild.config.benchmarks import RUBRIC
from rewild.config.judging import OPENAI
from rewild.config.reasoning import tokens_of
from rewild.core.errors import ConfigError, RewildError
from rewild.core.files import write_json
from rewild.core.table import provenance, write_table
from rewild.engines import make_engine
from rewild.engines.base import Engine
from rewild.evaluation.judged.schema import JUDGMENTS, Spent
from rewild.evaluation.judged.task import Task, answers_by_question, check_answers, read_answers
from rewild.generation.asking.ask import Asking, ask, verdict_in
from rewild.generation.asking.base import JudgeRequest
from rewild.generation.asking.budget import Ledger, cost, shown
from rewild.generation.asking.store import Replies, request_hash
from rewild.generation.prepared import Prepared, open_model
from rewild.generation.spec import LEAST, row_seed
from rewild.generation.store import disk_errors


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


def judge(
    task: Task, run: str, *, again: bool = False, pause: float | None = None, threads: int | None = None
) -> Spent:
    """Judge one run's answers and write ``judgments.parquet`` and ``judging.json``.

    Args:
        task: the benchmark.
        run: whose answers; ``answers.parquet`` must be there.
        again: ask about judgments that failed once more.
        pause: first pause before a request is sent again, in seconds; None is the engine's own.
        threads: CPU threads of a judge that transformers runs here.

    Raises:
        EngineError: the judge refuses the key, is down, or cannot be loaded. BudgetError: the budget is used
            up. After all of them, finished judgments are kept, and the next call goes on from there.
        ConfigError: the context of a judge that is loaded here has no room for a prompt.
    """
    path = task.answers(run)
    answers = check_answers(task, read_answers(path), path)
    requests, settings = requests_of(task, answers), task.study.judging
    keys = [request_hash(task.identity, r, settings.attempts, task.study.seed) for r in requests]
    by_key = dict(zip(keys, requests, strict=True))
    replies = Replies(task.work(run, "judging"))
    with ExitStack() as opened:
        asking = asking_of(task, run)
        engine: Callable[[], AbstractContextManager[Engine]] = partial(judge_engine, task, pause)
        if task.local:
            model = opened.enter_context(open_model(task.local, threads))
            asking, engine = _here(asking, model, requests), lambda: nullcontext(model.loaded.open())
        found = ask(asking, by_key, replies, engine, again=again)
    rows = [_row(task, run, r, found[k]) for k, r in zip(keys, requests, strict=True)]
    frame = pl.DataFrame(rows, schema=JUDGMENTS.dtypes, orient="row", infer_schema_length=None)
    made_from = provenance([path, *task.files.values()], judge=task.identity, attempts=settings.attempts)
    with disk_errors(path):
        write_table(task.folder(run) / "judgments.parquet", frame, JUDGMENTS, made_from)
        spent = spent_of(task, frame)
        write_json(task.folder(run) / "judging.json", spent.model_dump())
    return spent


def asking_of(task: Task, run: str) -> Asking:
    """How a benchmark's judge is asked about a run."""
    settings, work = task.study.judging, task.work(run, "judging")
    return Asking(
        who=task.judge,
        what=f"judgments of {run} on {task.row.slug}",
        reader=task.benchmark,
        ledger=Ledger(work.parents[1], work, settings.budget, task.price, task.study.name, task.judge),
        attempts=settings.attempts,
        chunk=settings.chunk,
        seed=partial(_seed, task),
        label=task.row.slug,
        reasoning=tokens_of(task.reasoning),
    )


def _here(asking: Asking, model: Prepared, requests: Sequence[JudgeRequest]) -> Asking:
    """The same of a judge that is loaded here: it takes tokens, and as many requests at once as it may."""
    context, longest = model.sizes[0], max((request.max_tokens for request in requests), default=0)
    longest += asking.reasoning
    if context - longest < LEAST:
        raise ConfigError(
            f"study {model.spec.study}: judging.local.context: replies of {longest} tokens leave no room for "
            f"a prompt in {context}"
        )
    window = max(asking.chunk, model.spec.compute.window)
    return replace(asking, chat=model.chat, longest=context - longest, window=window)


def _seed(task: Task, request: JudgeRequest, attempt: int) -> int:
    name = f"{request.question}/{request.part}"
    return row_seed(task.study.seed, task.judge_name, name, request.turn, attempt) >> 32


def _row(task: Task, run: str, request: JudgeRequest, raw: dict[str, Any]) -> dict[str, Any]:
    """A row of the judgments: what was stored, and the verdict read from it."""
    verdict, failure = verdict_in(task.benchmark, raw, request)
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
    if task.reasoning is not None:
        arguments["reasoning"] = task.reasoning
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
    price = task.price
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

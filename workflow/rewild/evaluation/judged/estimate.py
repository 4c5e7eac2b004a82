"""What judging would cost, before anything is asked: tokens and price of every run and benchmark."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console

from rewild.config.reasoning import reckoned, tokens_of
from rewild.core.terminal import output, print_table
from rewild.evaluation.judged.ask import requests_of
from rewild.evaluation.judged.task import Task, check_answers, read_answers
from rewild.generation.asking.budget import ceiling, cost, estimated_input, shown
from rewild.generation.asking.store import Replies, request_hash

REPLY_TOKENS = 300  # of a judge's reply, about: what a few sentences and a verdict take


@dataclass(frozen=True)
class Estimate:
    """What one run's judgments on one benchmark would cost.

    Attributes:
        answered: whether the answers are there; if not, they are taken at their longest.
        calls: judgments still to ask for, each once.
        done: judgments that are kept already.
        input_tokens, output_tokens: about, over these calls.
        price: US dollars, about; None where the judge's price is not known.
        most: US dollars at most, if no verdict is unclear.
    """

    run: str
    benchmark: str
    judge: str
    answered: bool
    calls: int
    done: int
    input_tokens: int
    output_tokens: int
    price: float | None
    most: float | None


def estimate(task: Task, run: str) -> Estimate:
    """Estimate one run on one benchmark; asks nothing and writes nothing."""
    path = task.answers(run)
    answered = path.exists()
    if answered:
        requests = requests_of(task, check_answers(task, read_answers(path), path))
    else:
        requests = task.longest_requests
    settings = task.study.judging
    store = Replies(task.work(run, "judging"))
    store.load()
    todo = requests
    if store.rows:
        keys = [request_hash(task.identity, r, settings.attempts, task.study.seed) for r in requests]
        todo = [r for r, key in zip(requests, keys, strict=True) if key not in store.rows]
    price = task.price
    thought, thinks = tokens_of(task.reasoning), reckoned(task.reasoning)
    read = sum(map(estimated_input, todo))
    wrote = sum(min(REPLY_TOKENS, r.max_tokens) + thinks for r in todo)
    dearest = [replace(r, max_tokens=r.max_tokens + thought) for r in todo]
    return Estimate(
        run,
        task.row.slug,
        task.judge,
        answered,
        len(todo),
        len(requests) - len(todo),
        read,
        wrote,
        None if price is None else cost(price, read, wrote),
        None if price is None else ceiling(price, dearest),
    )


COLUMNS = (
    "run | benchmark | judge 4 | calls 3> | kept 7> | tokens read 6> | written 5> | price 1> | at most 2>"
)


def table(estimates: Sequence[Estimate], tasks: Sequence[Task]) -> str:
    """The estimates as text as wide as the terminal, with their sum and the prices they are by."""
    console = Console(file=io.StringIO(), width=output().width, highlight=False)
    rows: list[tuple[str, ...]] = []
    total = [0, 0, 0, 0, 0.0, 0.0]
    for e in estimates:
        name = e.benchmark if e.answered else f"{e.benchmark} *"
        rows.append(
            (e.run, name, e.judge, *_shown(e.calls, e.done, e.input_tokens, e.output_tokens, e.price, e.most))
        )
        for i, value in enumerate((e.calls, e.done, e.input_tokens, e.output_tokens, e.price, e.most)):
            total[i] += value or 0
    calls, done, read, wrote, price, most = total
    rows.append(("in all", "", "", *_shown(int(calls), int(done), int(read), int(wrote), price, most)))
    print_table(COLUMNS, rows, sections=[len(estimates)], console=console)
    judges = {task.judge: task.price for task in tasks}
    notes = [f"{judge}: {shown(p) if p else 'its price is not known'}" for judge, p in sorted(judges.items())]
    if any(not e.answered for e in estimates):
        notes.append("* not answered yet: answers are taken at their longest")
    notes.append(f"Tokens are estimates (a token for 4 characters; replies of {REPLY_TOKENS}).")
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    console.file.seek(0)
    return console.file.read()


def _shown(*values: float | None) -> tuple[str, ...]:
    return tuple("?" if v is None else f"{v:,}" if isinstance(v, int) else f"${v:,.4f}" for v in values)

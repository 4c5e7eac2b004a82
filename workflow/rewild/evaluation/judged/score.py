"""Scores from judgments: the last step, from files alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from rewild.core.table import provenance, read_table
from rewild.evaluation.judged.results import is_empty
from rewild.evaluation.judged.schema import JUDGMENTS
from rewild.evaluation.judged.task import Task, check_answers, read_answers
from rewild.evaluation.scores.tidy import items_frame, scores_frame, write_scores


def score(task: Task, run: str) -> pl.DataFrame:
    """Score one run's judgments and write ``scores.csv`` and ``items.parquet``.

    Returns:
        The rows of :data:`rewild.evaluation.scores.tidy.SCORES`.

    Raises:
        DataError: a file is missing or malformed, or of other questions.
    """
    paths = task.answers(run), task.judgments(run)
    answers = check_answers(task, read_answers(paths[0]), paths[0])
    # A model that says nothing has no judgments, and still a score.
    judgments = read_table(paths[1], JUDGMENTS, allow_empty=True)
    made = task.benchmark.scores(answers, judgments, task.material, task.study.seed)
    shared = {
        "study": task.study.name,
        "run": run,
        "model": task.study.runs[run].model,
        "benchmark": task.row.slug,
        "judge": judge_name(task, judgments),
        "template": task.templates,
        "chat_template": _only(answers["chat_template"]),
        "version": task.version,
        "engine": _only(answers["engine"]),
        "seed": task.study.seed,
    }
    own = {"run": run, "benchmark": task.row.slug}
    empty = sum(map(is_empty, answers["failure"]))
    scores = scores_frame([{"empty": empty, **shared, **row} for row in made.scores])
    items = items_frame([{**own, **row} for row in made.items])
    made_from = provenance([*paths, *task.files.values()], judge=task.judge, version=task.version)
    write_scores(task.folder(run), scores, items, made_from)
    return scores


def judge_name(task: Task, judgments: pl.DataFrame) -> str:
    """The judge, with the name that it gives itself where that is another."""
    said = sorted(set(judgments["judge_said"].drop_nulls()) - {task.judge})
    return f"{task.judge} ({', '.join(said)})" if said else task.judge


def describe(task: Task, scores: pl.DataFrame) -> str:
    """The scores in a line, which says of how many, and if there is reason for doubt."""
    row = scores.filter(pl.col("metric") == task.row.metric, pl.col("part") == "all").to_dicts()
    if not row:
        names = ", ".join(sorted(set(scores["metric"])))
        return f"WARNING: no score is called '{task.row.metric}' (there are: {names})"
    found: dict[str, Any] = row[0]
    shown = "none" if found["value"] is None else f"{found['value']:.2f}"
    error = f" ± {1.96 * found['stderr']:.2f}" if found["stderr"] is not None else ""
    text = (
        f"{task.row.metric} {shown}{error}, {found['n']} of {found['attempted']} judged by {found['judge']}"
    )
    if found["empty"]:
        text += f"; {found['empty']} empty answers have the lowest score"
    doubtful = found["n"] < 0.9 * found["attempted"] or (found["empty"] or 0) > found["attempted"] / 2
    return f"WARNING: {text}" if doubtful else text


def _only(values: pl.Series) -> str | None:
    """The value of a column; all of them, where a run was resumed with another version."""
    counts = Counter(values.drop_nulls())
    return ", ".join(sorted(counts)) if counts else None

"""From verdicts to items and rows of scores: what the judged benchmarks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from rewild.core.errors import DataError
from rewild.evaluation.scores.tidy import ALL, mean_score

EMPTY = "empty"


def is_empty(failure: str | None) -> bool:
    """Whether an answer failed because the model wrote nothing."""
    return failure is not None and failure.partition(":")[0] == EMPTY


def failure_of(answer: Mapping[str, Any], judgment: Mapping[str, Any] | None) -> str | None:
    """Why an answer has no score; None where it has one, or where it is empty and so has the lowest.

    Args:
        answer: a row of the answers.
        judgment: the judgment of it, if one was asked for.
    """
    if is_empty(answer["failure"]):
        return None
    if answer["failure"] is not None:
        return f"answer: {answer['failure']}"
    if judgment is None:
        return "answer: an earlier turn has none, so this one was not judged"
    return None if judgment["value"] is not None else f"judgment: {judgment['failure']}"


def score_rows(
    metric: str, items: Sequence[Mapping[str, Any]], *, whole: bool = True
) -> list[dict[str, Any]]:
    """Means of a metric over items: of all (if ``whole``), and of each part where there are several."""
    parts: dict[str, list[float | None]] = {}
    for item in items:
        parts.setdefault(item["part"], []).append(item["score"])
    rows = []
    if whole:
        rows.append({"metric": metric, "part": ALL, **mean_score([i["score"] for i in items])})
    for part, scores in parts.items():
        if part != ALL:
            rows.append({"metric": metric, "part": part, **mean_score(scores)})
    return rows


def item_rows(metric: str, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Items with their metric."""
    return [{"metric": metric, **item} for item in items]


def judged_items(
    answers: pl.DataFrame,
    judgments: pl.DataFrame,
    *,
    lowest: float,
    known: Mapping[str, float | str] | None = None,
) -> list[dict[str, Any]]:
    """``part`` (the category), ``item``, ``score`` and ``failure`` of every answer, in their order.

    The score is the verdict's value. An answer without text has the lowest score: silence is an answer too.
    Where the model failed otherwise, or the judge did, there is no score but the reason.

    Args:
        answers: :data:`rewild.evaluation.judged.schema.ANSWERS`, one row per question.
        judgments: :data:`rewild.evaluation.judged.schema.JUDGMENTS`, one row per question at most.
        lowest: the score of silence.
        known: what needs no judge, by question: a score, or the reason why there is none.

    Raises:
        DataError: an answer without a judgment, or a judgment of no answer.
    """
    judged = {row["question_id"]: row for row in judgments.iter_rows(named=True)}
    if stray := set(judged) - set(answers["question_id"]):
        raise DataError(f"question {min(stray)} has a judgment, but no row among the answers")
    items = []
    for answer in answers.iter_rows(named=True):
        name = answer["question_id"]
        judgment, outcome = judged.get(name), (known or {}).get(name)
        if outcome is None and is_empty(answer["failure"]):
            outcome = lowest
        elif outcome is None and judgment is not None and judgment["value"] is not None:
            outcome = judgment["value"]
        elif outcome is None:
            if answer["answer"] is not None and judgment is None:
                raise DataError(f"question {name} was answered, but has no row among the judgments")
            outcome = failure_of(answer, judgment)
        failed = isinstance(outcome, str)
        items.append(
            {
                "part": answer["category"],
                "item": name,
                "score": None if failed else outcome,
                "failure": outcome if failed else None,
            }
        )
    return items

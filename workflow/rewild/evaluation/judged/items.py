"""Items of benchmarks that judge each answer once: what each answer is worth, or why it has no score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from rewild.core.errors import DataError
from rewild.evaluation.judged.results import failure_of, is_empty


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

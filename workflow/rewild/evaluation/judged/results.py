"""From verdicts to rows of scores: what the judged benchmarks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    metric: str, items: Sequence[Mapping[str, Any]], scale: float = 1.0, *, whole: bool = True
) -> list[dict[str, Any]]:
    """Means of a metric over items: of all (if ``whole``), and of each part where there are several."""
    parts: dict[str, list[float | None]] = {}
    for item in items:
        parts.setdefault(item["part"], []).append(item["score"])
    rows = []
    if whole:
        rows.append({"metric": metric, "part": ALL, **mean_score([i["score"] for i in items], scale)})
    for part, scores in parts.items():
        if part != ALL:
            rows.append({"metric": metric, "part": part, **mean_score(scores, scale)})
    return rows


def item_rows(metric: str, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Items with their metric."""
    return [{"metric": metric, **item} for item in items]

"""From lm-eval's results to scores: one number per benchmark and subtask, and every question's part in it.

lm-eval's are the answers, each question's metric, the means, their pooling over subtasks by size, and the
standard errors. Ours are the counts, the refusal to score answers that are not there, and the check that
lm-eval's number is the mean of its questions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core import reading
from rewild.core.errors import DataError, nearest
from rewild.core.table import provenance
from rewild.evaluation.harness.evaluate import RESULTS, SAMPLES, read_results
from rewild.evaluation.scores.tidy import ALL, items_frame, scores_frame, write_scores

TOLERANCE = 1e-9
NO_NUMBERS = ("NaN", "Infinity", "-Infinity")


def score(
    folder: Path, *, study: str, run: str, model: str, metric: str, max_empty: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The scores of one run on one benchmark, and its items.

    Args:
        folder: of one run and benchmark, as :mod:`rewild.evaluation.harness.evaluate` leaves it.
        study, run, model: as the tables name them.
        metric: as benchmarks.yaml has it, such as ``acc_norm,none``.
        max_empty: share of empty answers above which there is no score: every item is a failure then, and
            says how many were empty.

    Returns:
        Rows of SCORES and of ITEMS (:mod:`rewild.evaluation.scores.tidy`).

    Raises:
        DataError: a missing file, a metric that the task does not have, or numbers that do not agree.
    """
    found = read_results(folder)
    benchmark = str(found["benchmark"])
    name, _, key = metric.partition(",")
    parts = found["parts"]
    alone = len(parts) == 1
    items: list[dict[str, Any]] = []
    broken = 0
    for line, sample in _samples(folder / SAMPLES):
        if sample["filter"] != key:
            continue
        if name not in sample["metrics"]:
            known = sorted({f"{metric},{sample['filter']}" for metric in sample["metrics"]})
            raise DataError(
                f"{folder / RESULTS}: the task {sample['task']} has no metric '{metric}'"
                f"{nearest(metric, known)} (it has: {', '.join(known)})"
            )
        part = ALL if alone else sample["task"]
        made = {
            "run": run,
            "benchmark": benchmark,
            "metric": metric,
            "part": part,
            "item": str(sample["doc_id"]),
        }
        value = _value(sample["metrics"][name], f"{folder / SAMPLES}, line {line}: {name}")
        broken += value is None
        items.append(made | {"score": value, "failure": None})
    if not items:
        filters = sorted({sample["filter"] for _, sample in _samples(folder / SAMPLES)})
        raise DataError(
            f"{folder / RESULTS}: no answer was filtered by '{key}', as the metric '{metric}' asks "
            f"(filters: {', '.join(filters)})"
        )
    reason = why_no_score(found, max_empty)
    if not reason and broken:
        reason = f"the metric of {broken} of {len(items)} questions is no number"
    if reason:
        items = [item | {"score": None, "failure": reason} for item in items]
    common = {
        "study": study,
        "run": run,
        "model": model,
        "benchmark": benchmark,
        "metric": metric,
        "chat_template": found["chat_template"],
        "version": version_of(found),
        "engine": found["engine"],
        "seed": found["seed"],
    }
    rows = []
    whole = {ALL: (found["task"] if found["task"] in found["metrics"] else next(iter(parts)))}
    for part, task in (whole | ({} if alone else {task: task for task in parts})).items():
        mine = [item for item in items if part in (ALL, item["part"])]
        value, stderr = (None, None) if reason else _numbers(found, task, metric, mine, folder)
        empties = [parts[p]["empty"] for p in (parts if part == ALL else [part])]
        written = [e for e in empties if e is not None]
        rows.append(
            common
            | {
                "part": part,
                "value": value,
                "stderr": stderr,
                "n": sum(item["score"] is not None for item in mine),
                "attempted": len(mine),
                "empty": sum(written) if written else None,
            }
        )
    return scores_frame(rows), items_frame(items)


def write(folder: Path, *, study: str, run: str, model: str, metric: str, max_empty: float) -> dict[str, Any]:
    """Score a benchmark's folder into ``scores.csv`` and ``items.parquet``; the whole benchmark's row."""
    scores, items = score(folder, study=study, run=run, model=model, metric=metric, max_empty=max_empty)
    made_from = provenance([folder / RESULTS, folder / SAMPLES], metric=metric, max_empty=max_empty)
    write_scores(folder, scores, items, made_from)
    return scores.row(0, named=True)


def why_no_score(found: Mapping[str, Any], max_empty: float) -> str | None:
    """Why there is no score: answers are not there, or the model's numbers are none. None if all is well."""
    parts = found["parts"].values()
    broken = sum(part["not_finite"] for part in parts)
    if broken:
        asked = sum(part["asked"] for part in parts)
        return f"{broken} of {asked} questions have a log-likelihood that is no number: damaged weights?"
    writing = [part for part in parts if part["empty"] is not None]
    asked = sum(part["asked"] for part in writing)
    empty = sum(part["empty"] for part in writing)
    if asked and empty / asked > max_empty:
        return f"{empty} of {asked} answers are empty"
    return None


def version_of(found: Mapping[str, Any]) -> str:
    """What two scores must share to be compared: harness, task, examples, questions, limit, stand-ins."""
    parts = found["parts"].values()
    tasks = ",".join(sorted({str(part["version"]) for part in parts}))
    shots = ",".join(sorted({str(part["fewshot"]) for part in parts}))
    asked, there = (sum(part[key] for part in parts) for key in ("asked", "questions"))
    longest = sorted({str(part["longest_answer"]) for part in parts if part["longest_answer"]})
    pieces = [
        found["harness"],
        f"{found['task']} {tasks}",
        f"{shots}-shot",
        f"{asked} of {there} questions",
        f"questions {found['questions'][:12]}",
        *(f"answers to {','.join(longest)} tokens" for _ in longest[:1]),
        *([str(found["sentences"])] if found["sentences"] else []),
    ]
    return "; ".join(pieces)


def _numbers(
    found: Mapping[str, Any], task: str, metric: str, items: list[dict[str, Any]], folder: Path
) -> tuple[float, float | None]:
    """lm-eval's value and standard error of a task or group."""
    numbers = found["metrics"].get(task, {})
    name, _, key = metric.partition(",")
    value = numbers.get(metric)
    if value is None and metric in numbers:
        raise DataError(f"{folder / RESULTS}: lm-eval's {metric} of {task} is no number")
    if value is None:
        raise DataError(
            f"{folder / RESULTS}: lm-eval gives no '{metric}' for {task}{nearest(metric, numbers)} "
            f"(it has: {', '.join(numbers) or 'nothing'})"
        )
    mean = math.fsum(item["score"] for item in items) / len(items)
    # Instructions within a prompt are pooled, so that metric is no mean over prompts.
    if not name.startswith("inst_level") and abs(mean - value) > TOLERANCE:
        raise DataError(
            f"{folder / RESULTS}: lm-eval's {metric} of {task} is {value}, but the mean of its {len(items)} "
            f"questions is {mean}"
        )
    return float(value), numbers.get(f"{name}_stderr,{key}")


def _value(metric: Any, where: str) -> float | None:
    """A question's metric: a number, a truth value, or a list of them (one per instruction); None if it is no
    finite number."""
    values = metric if isinstance(metric, list) else [metric]
    if any(value in NO_NUMBERS for value in values if isinstance(value, str)):
        return None
    for value in values:
        if not isinstance(value, int | float):
            raise DataError(f"{where}: a number was expected, not {value!r:.60}")
    return sum(map(float, values)) / len(values) if values else 0.0


def _samples(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    kinds = {"task": str, "filter": str, "metrics": dict}
    for line, row in reading.read_json_lines(path, "samples of lm-eval"):
        if not isinstance(row, dict) or "doc_id" not in row:
            raise DataError(f"{path}, line {line}: a sample of lm-eval was expected")
        for key, kind in kinds.items():
            if not isinstance(row.get(key), kind):
                raise DataError(f"{path}, line {line}: '{key}' is missing or of another kind")
        yield line, row

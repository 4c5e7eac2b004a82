"""All ground-truth benchmarks of one run in one job, and only those whose results are not there already.

Results lie in ``results/{study}/benchmarks/{run}/{benchmark}/``: ``samples.jsonl`` (every question, answer
and metric) and ``results.json``, which carries the hash of all that identifies them. A benchmark whose hash
is unchanged is kept, so a job that was stopped goes on, and a change of one benchmark's row reruns that one.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, Field

from rewild.core import reading
from rewild.core.errors import DataError
from rewild.core.files import atomic, sha256, write_json
from rewild.core.locks import locked
from rewild.evaluation.harness import questions
from rewild.evaluation.harness.settings import Task, digest_of

log = logging.getLogger(__name__)
LIST, RESULTS, SAMPLES = "lm-eval.json", "results.json", "samples.jsonl"


class Part(BaseModel):
    """One task of a benchmark in ``results.json``: what is counted of it."""

    version: str | float | None
    fewshot: int
    questions: int
    asked: int
    empty: int | None
    longest_answer: int | None
    not_finite: int
    truncated: int


class Results(BaseModel):
    """``results.json`` of one benchmark: what the scoring reads of it."""

    benchmark: str
    task: str
    engine: str
    harness: str
    seed: int
    limit: int | None
    chat_template: str | None
    sentences: str | None
    questions: str
    parts: dict[str, Part] = Field(min_length=1)
    metrics: dict[str, dict[str, float | None]]
    samples: str


class Runner(Protocol):
    """What runs a benchmark: :class:`rewild.evaluation.harness.run.Harness`, or a stand-in of a test."""

    def run(self, task: Task) -> Any:
        """An object with ``summary`` and ``samples``."""

    def close(self) -> None:
        """Give the model back."""


def evaluate(
    run: str,
    tasks: Sequence[Task],
    shared: Mapping[str, Any],
    folder: Path,
    open_runner: Callable[[Path, Sequence[Task]], Runner],
) -> dict[str, str]:
    """Run what is missing, and list what there is in ``lm-eval.json``.

    Args:
        run: the run's slug.
        tasks: its benchmarks.
        shared: what identifies its results whatever the benchmark: model, seed, versions.
        folder: ``results/{study}/benchmarks/{run}``.
        open_runner: checks the tasks that are to be run and loads the model, given a folder for caches that
            is this job's alone; not called if nothing is missing.

    Returns:
        Benchmark → ``kept``, ``shared`` (with another row of the same task) or ``ran``.

    Raises:
        RewildError: another process evaluates this run, or whatever a benchmark raises; finished ones stay.
    """
    with locked(folder / ".lm-eval", "evaluating this run"):
        digests = {task.benchmark: digest_of({**shared, **_identity(task)}) for task in tasks}
        missing = [task for task in tasks if _digest(folder / task.benchmark) != digests[task.benchmark]]
        what: dict[str, str] = {}
        runner: Runner | None = None
        with tempfile.TemporaryDirectory(prefix="rewild-lm-eval-") as scratch, ExitStack() as opened:
            for task in tasks:
                target = folder / task.benchmark
                if task not in missing:
                    what[task.benchmark] = "kept"
                    log.info("%s, %s: unchanged, kept", run, task.benchmark)
                    continue
                same = [
                    other
                    for other in tasks
                    if digests[other.benchmark] == digests[task.benchmark]
                    and _digest(folder / other.benchmark) == digests[task.benchmark]
                ]
                if same:
                    _copy(folder / same[0].benchmark, target, task.benchmark)
                    what[task.benchmark] = "shared"
                    log.info("%s, %s: the same answers as %s", run, task.benchmark, same[0].benchmark)
                    continue
                if runner is None:
                    log.info("%s: loading the model", run)
                    runner = open_runner(Path(scratch), missing)
                    opened.callback(runner.close)
                started = time.monotonic()
                log.info("%s, %s: running", run, task.benchmark)
                outcome = runner.run(task)
                _write(target, outcome.summary | {"recipe": digests[task.benchmark]}, outcome.samples)
                what[task.benchmark] = "ran"
                counts = _counts(outcome.summary["parts"].values())
                log.info("%s, %s: %s in %.0f s", run, task.benchmark, counts, time.monotonic() - started)
        write_json(
            folder / LIST,
            {
                "run": run,
                "benchmarks": {
                    task.benchmark: {
                        "recipe": digests[task.benchmark],
                        "results": sha256(folder / task.benchmark / RESULTS),
                    }
                    for task in tasks
                },
            },
        )
    return what


def read_results(folder: Path) -> dict[str, Any]:
    """``results.json`` of a benchmark's folder, checked against its samples.

    Raises:
        DataError: it is missing or damaged.
    """
    path = folder / RESULTS
    again = f"; remove {folder.parent / LIST} and run the benchmark again"
    if not path.exists():
        raise DataError(f"{path}: no such file{again}")
    try:
        found = reading.read_json(path, "results of a benchmark")
        reading.read_model(path, Results, "results of a benchmark")
    except DataError as error:
        raise DataError(f"{error}{again}") from error
    samples = folder / SAMPLES
    if not samples.is_file() or sha256(samples) != found["samples"]:
        raise DataError(
            f"{samples}: it is not the file that {path} was written with; remove both and "
            f"{folder.parent / LIST}, and run the benchmark again"
        )
    return dict(found)


def _counts(parts: Iterable[Mapping[str, Any]]) -> str:
    """What the log says of a benchmark: how many questions, and what is odd about them."""
    names = {
        "asked": "questions",
        "empty": "empty answers",
        "truncated": "questions cut to fit",
        "not_finite": "without a number",
    }
    found = list(parts)
    sums = {name: sum(part[key] or 0 for part in found) for key, name in names.items()}
    return ", ".join(f"{count} {name}" for name, count in sums.items() if count or name == "questions")


def _identity(task: Task) -> dict[str, Any]:
    """All that identifies a benchmark's results, the content of its files included."""
    mine = task.identity()
    if task.files is not None:
        folder = Path(task.files)
        if not folder.is_dir():
            raise DataError(f"benchmark {task.benchmark}: there is no folder {folder} with its questions")
        mine["files"] = questions.hash_files(folder)
    if task.folder is not None:
        mine["folder"] = {p.name: sha256(p) for p in sorted(Path(task.folder).glob("*")) if p.is_file()}
    return mine


def _digest(folder: Path) -> str | None:
    """The recipe of a folder's results; None if they are not there or damaged."""
    try:
        return str(read_results(folder).get("recipe"))
    except DataError:
        return None


def _copy(source: Path, target: Path, benchmark: str) -> None:
    found = read_results(source)
    with atomic(target / SAMPLES) as temporary:
        shutil.copyfile(source / SAMPLES, temporary)
    write_json(target / RESULTS, found | {"benchmark": benchmark})


def storable(value: Any) -> Any:
    """A value as JSON can hold it: what is no finite number is its name, half a character a question mark."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {str(storable(str(key))): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def _write(folder: Path, summary: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
    """Samples first: results without their samples would not be taken for results."""
    with atomic(folder / SAMPLES) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as handle:
        for sample in samples:
            clean = storable(sample)
            handle.write(json.dumps(clean, ensure_ascii=False, default=str, allow_nan=False) + "\n")
    write_json(folder / RESULTS, {**summary, "samples": sha256(folder / SAMPLES)})

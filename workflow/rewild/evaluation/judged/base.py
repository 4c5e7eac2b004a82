"""What a judged benchmark is: questions, requests to a judge, verdicts, scores. Everything else is shared.

A benchmark is a class with these methods and an entry in
:data:`rewild.config.runners.RUNNERS`. It reads its own
files and writes none: generating, asking, retrying, paying, resuming and storing are the pipeline's.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from rewild.config.runners import find_runner
from rewild.core.errors import DataError
from rewild.core.reading import faults, open_file, parse_json, read_text
from rewild.engines.base import Message
from rewild.generation.asking.base import JudgeRequest, Reader

Files = Mapping[str, Path]
"""Role (a key of the runner's ``files``) → file."""


@dataclass(frozen=True)
class Question:
    """One question: user turns that the model answers one after another, seeing its own earlier answers.

    Attributes:
        id: unique in the benchmark.
        category: for scores by category and for what depends on it.
        turns: the user's texts, in order.
        context: messages before the first turn, the assistant's included; not answered, only read.
        references: known answers, per turn; empty where there are none.
        temperature: the model samples its answers with this.
        extra: whatever else the benchmark needs to judge or score it.
    """

    id: str
    category: str
    turns: tuple[str, ...]
    context: tuple[Message, ...] = ()
    references: tuple[str, ...] = ()
    temperature: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)


Answers = tuple[str | None, ...]
"""A model's texts, one per turn of a question; None where it failed."""


@dataclass(frozen=True)
class Scored:
    """Scores of one run: rows for :func:`rewild.evaluation.scores.tidy.scores_frame` and ``items_frame``.

    Rows hold what only the benchmark knows: of scores ``metric``, ``part``, ``value``, ``stderr``, ``n``,
    ``attempted``; of items ``metric``, ``part``, ``item``, ``score``, ``failure``. The pipeline adds run,
    judge, template, version, seed, and how many answers were empty.
    """

    scores: list[dict[str, Any]]
    items: list[dict[str, Any]]


@dataclass(frozen=True)
class Material:
    """What a benchmark gives: the same for every run.

    Attributes:
        files: role → file.
        questions: by id, in the order of the file.
        baseline: the answers compared with, by question; empty where nothing is compared.
    """

    files: Files
    questions: Mapping[str, Question]
    baseline: Mapping[str, Answers] = field(default_factory=dict)


class JudgedBenchmark(Reader):
    """A kind of judged benchmark: a *runner* of ``config/benchmarks.yaml``.

    What the workflow must know without importing it (its files, whether it compares) is in
    :data:`rewild.config.runners.RUNNERS`.

    Attributes:
        version: of the code that makes requests and scores; raise it when the same files give other scores.
        identifying: roles of the files that say what is asked; their content is part of a score's version.
    """

    version: ClassVar[int] = 2
    identifying: ClassVar[tuple[str, ...]] = ("questions",)

    @abstractmethod
    def questions(self, files: Files) -> list[Question]:
        """All questions, in the order of the file.

        Raises:
            DataError: a file is missing, malformed or lacks a field; the message names file and row.
        """

    def baseline(self, files: Files) -> dict[str, Answers]:
        """The baseline's answers, by question, from the file of that role; if it compares."""
        raise NotImplementedError

    @abstractmethod
    def requests(self, question: Question, answers: Answers, material: Material) -> list[JudgeRequest]:
        """What the judge is asked about one question.

        ``answers`` hold None for turns without a text, and so may the baseline's: return nothing for what
        cannot be judged; :meth:`scores` sees those answers. ``material.files`` hold the judge prompts; read
        them through a cache.
        """

    @abstractmethod
    def scores(self, answers: pl.DataFrame, judgments: pl.DataFrame, material: Material, seed: int) -> Scored:
        """Scores from the files alone.

        Args:
            answers: :data:`rewild.evaluation.judged.schema.ANSWERS`, every turn of every question.
            judgments: :data:`rewild.evaluation.judged.schema.JUDGMENTS`, one row per request.
            material: of the benchmark.
            seed: of every random choice (bootstrap).

        An answer that failed as ``empty`` gets the lowest score that there is, without a call of the judge: a
        silent model must not look fine. Any other missing answer, and a judgment without a verdict, leaves
        its item without a score but with the reason, and ``n`` below ``attempted``.
        """


def judged_benchmark(runner: str) -> JudgedBenchmark:
    """The benchmark of a runner. Its module is imported here, not before: it may bring a library of its own.

    Raises:
        ConfigError: no judged benchmark has this runner.
    """
    module, _, name = find_runner(runner).module.partition(":")
    made = getattr(import_module(module), name)()
    assert isinstance(made, JudgedBenchmark)
    return made


def chat_of(system: str, template: str, values: Mapping[str, str]) -> tuple[Message, ...]:
    """A judge prompt as messages; ``{name}`` in the template is the value of that name.

    Braces within values, and names without a value, stay as they are.
    """
    text = re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)
    return {"role": "system", "content": system}, {"role": "user", "content": text}


def read_rows(path: Path, fields: Mapping[str, type | tuple[type, ...]]) -> list[dict[str, Any]]:
    """Read JSON lines, a JSON list or Parquet, and check the fields that are needed.

    Args:
        path: ``*.jsonl``, ``*.parquet``, or ``*.json`` holding a list (of an object, its values).
        fields: name → type; others are kept unchecked.

    Raises:
        DataError: missing file, not JSON, a missing field or one of another type; names file and row.
    """
    rows = list(_parse(path))
    if not rows:
        raise DataError(f"{path}: it has no rows")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: an object was expected, not a {type(row).__name__}")
        for name, kind in fields.items():
            if name not in row:
                held = ", ".join(row) or "nothing"
                raise DataError(f"{path}, row {number}: the field '{name}' is missing (it has: {held})")
            if not isinstance(row[name], kind):
                shown = type(row[name]).__name__
                raise DataError(f"{path}, row {number}, field '{name}': a {shown} is not expected there")
    return rows


def read_file(path: Path) -> str:
    """The text of a benchmark's file.

    Raises:
        DataError: it is missing or not UTF-8; for a released file the message says how to get it.
    """
    try:
        return read_text(path)
    except DataError as error:
        if "downloads" in path.parts and not path.is_file():
            raise DataError(f"{error}; `rewild fetch` brings released files") from error
        raise


def _parse(path: Path) -> Iterator[Any]:
    if path.suffix == ".parquet":
        open_file(path, "questions").close()
        with faults(path, "questions"):
            yield from pl.read_parquet(path).iter_rows(named=True)
        return
    text = read_file(path)
    if path.suffix == ".json":
        found = parse_json(text, path)
        if not isinstance(found, list | dict):
            raise DataError(f"{path}: a list of questions was expected")
        yield from found.values() if isinstance(found, dict) else found
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield parse_json(line, f"{path}, row {number}")

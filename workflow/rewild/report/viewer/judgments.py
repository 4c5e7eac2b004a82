"""Released judgments of imported responses, in the form that the viewer shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.imports import Imported, slug_of
from rewild.core.conversations import conversation_id
from rewild.core.errors import DataError, nearest
from rewild.evaluation.win_rates.annotations import read_annotations
from rewild.prompts.forms.judgments import read_judged
from rewild.prompts.forms.rows import BadRow, read_rows, shown
from rewild.prompts.forms.table import Record
from rewild.report.viewer.schema import JUDGMENTS
from rewild.responses.imports.read import session_conversation_id

ALPACA_EVAL = "How the judge prefers this answer to the baseline's: 0 is the baseline's, 1 is this one."


def collect_judgments(
    wildbench: Sequence[Imported],
    others: Sequence[Imported],
    files: Sequence[Path],
    questions: Mapping[str, Record] | None = None,
) -> pl.DataFrame:
    """All judgments of imported models.

    Args:
        wildbench: score files of WildBench, which hold the model's output and the judge's verdict on it.
        others: the other imported models; their judgments are those wanted.
        files: judgments of any form of :mod:`rewild.prompts.forms.judgments`, or annotations of AlpacaEval
            (``results/MODEL/ANNOTATOR/annotations.json``); of other models there may be some.
        questions: the questions by name, for files that name them (:func:`.imports.read.read_questions`).

    Raises:
        DataError: a file is missing or not what it should be, a score is no number from 1 to 10 (names the
            file and the row), or no file has a judgment of an imported model.
    """
    slugs = {file.model: file.model for file in others} | {file.released_name: file.model for file in others}
    rows = [row for file in wildbench for row in _wildbench(Path(file.path), file.model)]
    strangers: dict[str, None] = {}  # judged models that are not imported, in the order of the files
    before = len(rows)
    for path in files:
        found = read_judged(path)
        if found is None:
            rows += _annotations(path, slugs, strangers)
        else:
            rows += _named(path, found, slugs, questions, strangers)
    if others and strangers and len(rows) == before:
        there = ", ".join(sorted(set(slugs.values())))
        raise DataError(
            f"{', '.join(map(str, files[:3]))}: no judgment of an imported model. Judged are "
            f"{', '.join(list(strangers)[:9])}{nearest(next(iter(strangers)), slugs)}; imported are {there}"
        )
    return pl.DataFrame(rows, schema=JUDGMENTS.dtypes, orient="row").sort(JUDGMENTS.key)


def _imported(name: str, slugs: Mapping[str, str], strangers: dict[str, None]) -> str | None:
    """The slug of a judged model, by its released name, by its slug, or by that of its name."""
    slug = slugs.get(name) or slugs.get(slug_of(name))
    if slug is None:
        strangers[name] = None
    return slug


def _annotations(
    path: Path, slugs: Mapping[str, str], strangers: dict[str, None]
) -> Iterator[tuple[Any, ...]]:
    found = read_annotations(path, slugs)
    slug = _imported(found.model, slugs, strangers)
    if slug is None:
        return
    for instruction, preference in zip(found.instructions, found.preference, strict=True):
        score = None if math.isnan(preference) else float(preference)
        yield conversation_id([instruction]), 0, slug, path.parent.name, score, 1.0, ALPACA_EVAL


def _named(
    path: Path,
    found: Any,
    slugs: Mapping[str, str],
    questions: Mapping[str, Record] | None,
    strangers: dict[str, None],
) -> Iterator[tuple[Any, ...]]:
    if questions is None:
        raise DataError(f"{path}: these judgments name their questions; give the questions' file too")
    for number, verdict in found:
        slug = _imported(verdict.model, slugs, strangers)
        if slug is None:
            continue
        if verdict.question not in questions:
            raise DataError(f"{path}, row {number}: the file of questions has no '{verdict.question}'")
        asked = [t.content or "" for t in questions[verdict.question].turns if t.role == "user"]
        if verdict.turn >= len(asked):
            raise DataError(
                f"{path}, row {number}: turn {verdict.turn + 1} of '{verdict.question}', which has "
                f"{len(asked)}"
            )
        key = (conversation_id(asked), verdict.turn, slug, verdict.judge)
        yield (*key, verdict.score, verdict.best, verdict.text)


def _wildbench(path: Path, model: str) -> Iterator[tuple[Any, ...]]:
    judge = next(
        (p.name.removeprefix("eval=") for p in path.parents if p.name.startswith("eval=")), "unknown"
    )
    for number, row in read_rows(path, "scores of WildBench"):
        where = f"{path}, row {number}"
        if isinstance(row, BadRow):
            raise DataError(f"{where}: {row}")
        try:
            session, verdict, score = row["session_id"], row["parsed_result"], float(row["score"])
        except KeyError as error:
            raise DataError(f"{where}: the field {error} is missing") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{where}: the score must be a number, not {row['score']!r}") from error
        if not isinstance(session, str):
            raise DataError(f"{where}: 'session_id' is {shown(session)}, not text")
        if not 1 <= score <= 10:
            raise DataError(f"{where}: the score must be from 1 to 10, not {row['score']!r}")
        parts = [
            f"**{name.capitalize()}**\n\n{verdict[name]}"
            for name in ("strengths", "weaknesses")
            if isinstance(verdict, dict) and verdict.get(name)
        ]
        yield session_conversation_id(session), 0, model, judge, score, 10.0, "\n\n".join(parts) or None

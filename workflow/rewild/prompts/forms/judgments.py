"""Judgments as benchmarks release them: one reader per form.

A row is one of MT-Bench (single answers or pairs), of Arena-Hard (either version), or of WildBench.
AlpacaEval's annotations are read by :mod:`rewild.evaluation.win_rates.annotations`, which checks a file as
a whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewild.core.errors import DataError, nearest
from rewild.prompts.forms.messages import text_of
from rewild.prompts.forms.rows import BadRow, read_rows, shown
from rewild.prompts.forms.table import name_of

Row = Mapping[str, Any]
STEPS = {"A>>B": 0.0, "A>B": 0.25, "A=B": 0.5, "B>A": 0.75, "B>>A": 1.0}
STEPS |= {"B<<A": 0.0, "B<A": 0.25, "B=A": 0.5, "A<B": 0.75, "A<<B": 1.0}
"""Arena-Hard's verdicts, for the model that is B (in the first game; in the second it is A). The second
version takes them from right to left, too."""


@dataclass(frozen=True)
class Judged:
    """One verdict on one answer. ``turn`` counts from 0; ``score`` is None where the judge gave none.

    ``question`` is the question's name in its benchmark, ``best`` the best possible score.
    """

    question: str
    turn: int
    model: str
    judge: str
    score: float | None
    best: float
    text: str | None


@dataclass(frozen=True)
class Verdicts:
    """A form of judgments: the fields that tell it, where it is met, its reader."""

    name: str
    fields: tuple[str, ...]
    about: str
    read: Callable[[Row], list[Judged]]


def _question(row: Row) -> str:
    name = name_of(row)
    if name is None:
        raise BadRow("missing_key", "the row names no question (question_id, uid)")
    return name


def _said(row: Row, key: str) -> str:
    given = row.get(key)
    if isinstance(given, list) and given:  # MT-Bench: [model, template]
        given = given[0]
    if not isinstance(given, str) or not given:
        raise BadRow("no_text", f"'{key}' is {shown(given)}, not a name")
    return given


def _number(given: Any, key: str, best: float) -> float | None:
    """A score; MT-Bench writes -1 where the judge gave none."""
    if isinstance(given, str):
        try:
            given = float(given)
        except ValueError:
            raise BadRow("no_number", f"the {key} must be a number, not {shown(given)}") from None
    if given is None or given == -1:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise BadRow("no_number", f"the {key} must be a number, not {shown(given)}")
    if not math.isfinite(given) or not 0 <= given <= best:
        raise BadRow("no_number", f"the {key} must be from 0 to {best:g}, not {shown(given)}")
    return float(given)


def _turn(row: Row) -> int:
    turn = row.get("turn", 1)
    if isinstance(turn, bool) or not isinstance(turn, int) or not 1 <= turn <= 1000:
        raise BadRow("no_number", f"'turn' is {shown(turn)}, not 1, 2, ...")
    return turn - 1


def _text(row: Row, key: str) -> str | None:
    return text_of(row.get(key), f"'{key}'")


def _mt_bench(row: Row) -> list[Judged]:
    judge, score = _said(row, "judge"), _number(row.get("score"), "score", 10)
    return [
        Judged(_question(row), _turn(row), _said(row, "model"), judge, score, 10.0, _text(row, "judgment"))
    ]


def _mt_bench_pair(row: Row) -> list[Judged]:
    """Two games: each model's share of the points, 1 for a win, 1/2 for a tie."""
    models = [_said(row, "model_1"), _said(row, "model_2")]
    judge, turn, question = _said(row, "judge"), _turn(row), _question(row)
    points: dict[str, list[float]] = {model: [] for model in models}
    for game in ("g1_winner", "g2_winner"):
        won = row.get(game)
        if won not in ("model_1", "model_2", "tie", "error"):
            raise BadRow("no_verdict", f"'{game}' is {shown(won)}, not model_1, model_2, tie or error")
        if won != "error":
            for number, model in enumerate(models, 1):
                points[model].append(0.5 if won == "tie" else float(won == f"model_{number}"))
    texts = [text for key in ("g1_judgment", "g2_judgment") if (text := _text(row, key))]
    return [
        Judged(question, turn, model, f"{judge}, against {other}", _mean(points[model]), 1.0, _joined(texts))
        for model, other in (models, models[::-1])
    ]


def _arena_hard(row: Row) -> list[Judged]:
    games = row.get("games")
    if not isinstance(games, list) or not all(isinstance(game, dict | None) for game in games):
        raise BadRow("no_verdict", f"'games' is {shown(games)}, not a list of games")
    points, texts = [], []
    for number, game in enumerate(games):
        if game is None:
            continue
        if (verdict := game.get("score")) is not None:
            step = STEPS.get(re.sub(r"\s", "", verdict)) if isinstance(verdict, str) else None
            if step is None:
                raise BadRow("no_verdict", f"a game's 'score' is {shown(verdict)}, not {', '.join(STEPS)}")
            points.append(1 - step if number % 2 else step)
        if text := text_of(game.get("judgment"), "a game's 'judgment'"):
            texts.append(text)
    judge = _said(row, "judge") if "judge" in row else "unknown"
    return [Judged(_question(row), 0, _said(row, "model"), judge, _mean(points), 1.0, _joined(texts))]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _joined(texts: Sequence[str]) -> str | None:
    return "\n\n---\n\n".join(texts) or None


FORMS: tuple[Verdicts, ...] = (
    Verdicts("mt-bench-judgments", ("question_id", "model", "judge", "score"),
             "MT-Bench's `model_judgment/JUDGE_single.jsonl`: 1 to 10", _mt_bench),
    Verdicts("mt-bench-pairs", ("question_id", "model_1", "model_2", "g1_winner", "g2_winner"),
             "MT-Bench's `model_judgment/JUDGE_pair.jsonl`: each model's share of two games", _mt_bench_pair),
    Verdicts("arena-hard-judgments", ("model", "games"),
             "Arena-Hard's `model_judgment/JUDGE/MODEL.jsonl`, of either version: 0 (`A>>B`) to 1 (`B>>A`) "
             "for the model, mean of two games", _arena_hard),
)  # fmt: skip
ANNOTATIONS = ("instruction", "output_1", "output_2", "generator_2", "preference")
"""What an AlpacaEval annotation has."""


def form_of(row: Row, where: object) -> Verdicts | None:
    """The form of a row of judgments; None: an annotation of AlpacaEval.

    Raises:
        DataError: it is none; says what was found, which forms there are, and the nearest.
    """
    if all(field in row for field in ("instruction", "generator_2", "preference")):
        return None
    for form in FORMS:
        if all(field in row for field in form.fields):
            return form
    known = {form.name: form.fields for form in FORMS} | {"alpaca-eval-annotations": ANNOTATIONS}
    there = {name: sum(f in row for f in fields) / len(fields) for name, fields in known.items()}
    close = max(there, key=lambda name: there[name])
    hint = ""
    if there[close] > 0:
        missing = next(f for f in known[close] if f not in row)
        hint = f"; the nearest form is '{close}', of which '{missing}' is missing{nearest(missing, row)}"
    accepted = "; ".join(f"{name} ({', '.join(fields)})" for name, fields in known.items())
    raise DataError(
        f"{where}: these are no judgments of a form that is known here; it has the fields "
        f"{', '.join(map(str, list(row)[:20])) or 'nothing'}{hint}. Forms of judgments: {accepted}"
    )


def read_judged(path: Path | str) -> Iterator[tuple[int, Judged]] | None:
    """The verdicts of a file, each with the number of its row; None for annotations of AlpacaEval.

    Raises:
        DataError: not judgments; a row that cannot be read; no rows. Names the file and the row.
    """
    for number, row in read_rows(path, "judgments"):
        if isinstance(row, BadRow):
            raise DataError(f"{path}, row {number}: {row}")
        form = form_of(row, f"{path}, row {number}")
        return None if form is None else _read(Path(path), form)
    raise DataError(f"{path}: there are no rows (judgments were expected)")


def _read(path: Path, form: Verdicts) -> Iterator[tuple[int, Judged]]:
    for number, row in read_rows(path, "judgments"):
        try:
            if isinstance(row, BadRow):
                raise row
            if missing := [f for f in form.fields if f not in row]:
                raise BadRow("missing_key", f"the field '{missing[0]}' is missing{nearest(missing[0], row)}")
            verdicts = form.read(row)
        except BadRow as bad:
            raise DataError(f"{path}, row {number}: {bad}") from None
        for verdict in verdicts:
            yield number, verdict

"""What is known of teachers before any base model has learned from them: values, and the ranking by them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from rewild.config.models import Model
from rewild.config.teachers import CAR, Teachers
from rewild.core.errors import DataError
from rewild.core.measures import KEY, about_measure, read_measure
from rewild.measures.shared import TURN, shared_turns
from rewild.measures.teachers.car import SUMS, averaged, car, joined, needed
from rewild.report.teachers.plan import Plan, Use, ranks_by

Numbers = NDArray[np.float64]
CHUNK = 32
"""Resamples at once: so many weights of each conversation are held."""


class Files:
    """Files of measures, each opened once to see what it is of.

    Args:
        paths: the files.
        only: conversations that are looked at; None: all.

    Attributes:
        turns: the turns that are looked at; None: all.
    """

    turns: pl.DataFrame | None = None

    def __init__(self, paths: Sequence[Path], only: pl.Series | None = None) -> None:
        self._only = only
        self._by: dict[tuple[str, str], list[Path]] = {}
        self._paths = list(paths)
        for path in paths:
            about = about_measure(path)
            self._by.setdefault((about["measure"], about["subject"]), []).append(path)

    def read(self, measure: str, subject: str, columns: Sequence[str]) -> pl.DataFrame:
        """:func:`rewild.core.measures.read_measure`."""
        mine = self._by.get((measure, subject), self._paths)
        frame = read_measure(mine, measure, subject, columns)
        if self._only is not None:
            frame = frame.filter(pl.col("conversation_id").is_in(self._only.implode()))
        return frame if self.turns is None else frame.join(self.turns, on=TURN, how="semi").sort(*KEY)

    def share(self, measure: str, subjects: Sequence[str]) -> dict[str, int]:
        """Look only at the turns that all subjects were asked from now on.

        Args:
            measure: any: it has a row for each response.
            subjects: the models.

        Returns:
            Of each model that was asked more, how many turns more.

        Raises:
            DataError: there is no such turn.
        """
        self.turns, more = shared_turns({name: self.read(measure, name, []) for name in subjects})
        return more


@dataclass(frozen=True)
class Price:
    """What 100,000 answers of a teacher cost; None where nobody says, and then the basis says why."""

    gpu_hours: float | None
    dollars: float | None
    basis: str


@dataclass(frozen=True)
class _Sums:
    """Of one teacher, sums over each conversation's responses: ids, and a column of :data:`_WHAT` each."""

    ids: Sequence[str]
    reward: Numbers
    loss: Numbers
    over: Numbers
    count: Numbers


@dataclass(frozen=True)
class _Known:
    """What ranks one teacher for one base."""

    reward: float | None
    loss: float | None
    value: float | None
    responses: int
    failures: Mapping[str, int]
    sums: _Sums
    losses: Mapping[str, float]


@dataclass(frozen=True)
class Asked:
    """What is compared, and what is known of the teachers besides measures.

    Attributes:
        plan, given: what is compared, and how.
        models: for family, size and licence.
        prices: teacher → what its answers cost.
        seed: of the bootstrap.
    """

    plan: Plan
    given: Teachers
    models: Mapping[str, Model]
    prices: Mapping[str, Price]
    seed: int


def predict(asked: Asked, files: Files) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Rows of ``VALUES`` and of ``RANKING``.

    Raises:
        DataError: a file is missing or damaged; a mean reward at or below zero, which CAR refuses.
    """
    plan, given = asked.plan, asked.given
    more = files.share(plan.uses[0].measure, plan.teachers)
    values: list[tuple[Any, ...]] = []
    for use in plan.uses:
        if use.predictor == CAR:
            continue
        means = {t: _mean(files.read(use.measure, t, [use.column]), use.column) for t in plan.teachers}
        for base in plan.bases if use.base is None else (use.base,):
            for teacher, (value, count, failures) in means.items():
                failed = sum(failures.values())
                values.append((base, teacher, use.predictor, value, use.less, count, failed, _why(failures)))
    ranking: list[tuple[Any, ...]] = []
    for base in plan.bases:
        known = {t: _known(plan, given, files, base, t) for t in plan.teachers}
        if given.car:
            for teacher, one in known.items():
                values += _cars(given, base, teacher, one)
        ranking += _ranked(asked, base, known, more)
    values.sort(key=lambda row: (plan.bases.index(row[0]), plan.teachers.index(row[1])))
    return values, ranking


def _mean(frame: pl.DataFrame, column: str) -> tuple[float | None, int, Mapping[str, int]]:
    """Mean, number of responses that have a value, and why others have none."""
    known = frame.filter(pl.col("failure").is_null(), pl.col(column).is_not_null())
    return (
        math.fsum(known[column]) / known.height if known.height else None,
        known.height,
        _failures(frame, column),
    )


def _failures(frame: pl.DataFrame, column: str) -> Mapping[str, int]:
    rest = frame.filter(pl.col("failure").is_not_null() | pl.col(column).is_null())
    words = rest.select(pl.col("failure").str.split(":").list.first().fill_null("undefined")).to_series()
    return dict(sorted(Counter(words.to_list()).items()))


def _why(failures: Mapping[str, int]) -> str | None:
    return "; ".join(f"{reason}: {count}" for reason, count in failures.items()) or None


def _first(plan: Plan, base: str) -> Use:
    """The use that ranks where there is no CAR: the study's first predictor."""
    return next(use for use in plan.uses if use.base in (None, base))


def _known(plan: Plan, given: Teachers, files: Files, base: str, teacher: str) -> _Known:
    if given.car is None:
        use = _first(plan, base)
        frame = files.read(use.measure, teacher, [use.column])
        value, count, failures = _mean(frame, use.column)
        whole = frame.filter(pl.col("failure").is_null(), pl.col(use.column).is_not_null())
        sums = _sums(whole, use.column, pl.lit(0.0), pl.lit(1.0))
        return _Known(
            None, None, value if value is None or not use.less else -value, count, failures, sums, {}
        )
    reward = next(use for use in plan.uses if use.predictor == CAR and use.base is None)
    column, rewards = reward.column, files.read(reward.measure, teacher, [reward.column])
    both = joined(rewards, files.read(plan.likelihoods[base], teacher, needed()), column)
    found, (what, over) = averaged(both, column), SUMS[given.car.reading]
    whole = both.filter(pl.col("why").is_null())
    sums = _sums(whole, column, -pl.col(what), pl.col(over) if over else pl.lit(1.0))
    loss = found.losses.get(given.car.reading)
    value = None
    if found.reward is not None and loss is not None:
        value = _car(given, base, teacher, found.reward, loss)
    return _Known(found.reward, loss, value, found.responses, found.failures, sums, found.losses)


def _car(given: Teachers, base: str, teacher: str, reward: float, loss: float) -> float:
    assert given.car
    try:
        return car(reward, loss, given.car.beta, given.car.shift)
    except DataError as error:
        raise DataError(f"teachers: {teacher} for {base}: {error} (teachers.car.shift)") from None


def _sums(whole: pl.DataFrame, reward: str, loss: pl.Expr, over: pl.Expr) -> _Sums:
    frame = (
        whole.select(
            "conversation_id", r=pl.col(reward).cast(pl.Float64), l=loss, o=over.cast(pl.Float64), n=1.0
        )
        .group_by("conversation_id")
        .agg(pl.col("r", "l", "o", "n").sum())
        .sort("conversation_id")
    )
    columns = [frame[name].to_numpy() for name in ("r", "l", "o", "n")]
    return _Sums(frame["conversation_id"].to_list(), *columns)


def _cars(given: Teachers, base: str, teacher: str, one: _Known) -> Iterator[tuple[Any, ...]]:
    """CAR as the study means it, and by every other reading of the loss."""
    rest = (one.responses, sum(one.failures.values()), _why(one.failures))
    yield base, teacher, CAR, one.value, False, *rest
    for reading in SUMS:
        value = None
        if one.reward is not None and reading in one.losses:
            value = _car(given, base, teacher, one.reward, one.losses[reading])
        yield base, teacher, f"{CAR}-{reading}", value, False, *rest


def _ranked(
    asked: Asked, base: str, known: Mapping[str, _Known], more: Mapping[str, int]
) -> Iterator[tuple[Any, ...]]:
    """Rows of ``RANKING`` of one base, the first rank first."""
    plan, given = asked.plan, asked.given
    there = [t for t, one in known.items() if one.value is not None]
    by = ranks_by(given)
    ranks: dict[str, float] = {}
    spread: Mapping[str, Spread] = {}
    if there:
        found = rankdata([-float(known[t].value or 0.0) for t in there])
        ranks = dict(zip(there, map(float, found), strict=True))
        spread = resampled(asked, base, {t: known[t].sums for t in there})
    for teacher in sorted(known, key=lambda t: ranks.get(t, math.inf)):
        one, price, model = known[teacher], asked.prices[teacher], asked.models.get(teacher)
        low, high, first, undefined = spread.get(teacher, NONE)
        shown = one.value
        if shown is not None and not given.car and _first(plan, base).less:
            shown = -shown
        yield (
            base, teacher, by, one.reward, one.loss, shown, ranks.get(teacher), low, high, first,
            one.responses, sum(one.failures.values()), more.get(teacher, 0), undefined,
            model.licence if model else None,
            model.family if model else teacher,
            model.parameters.total / 1e9 if model and model.parameters else None,
            price.gpu_hours, price.dollars, price.basis, _why(one.failures),
        )  # fmt: skip


Spread = tuple[float | None, float | None, float | None, float | None]
NONE: Spread = (None, None, None, None)


def resampled(asked: Asked, base: str, sums: Mapping[str, _Sums]) -> dict[str, Spread]:
    """Teacher → ends of the 95 % interval of its rank, share of draws where it is first, share of undefined.

    Conversations are drawn, the same ones for all teachers, who answered the same prompts. A draw in which a
    teacher has no value (none of its responses, or a reward that CAR refuses) is undefined and not counted.
    """
    plan, given, names = asked.plan, asked.given, list(sums)
    every = sorted({name for one in sums.values() for name in one.ids})
    at = {name: number for number, name in enumerate(every)}
    if len(every) < 2:
        return dict.fromkeys(names, NONE)
    held = np.zeros((4, len(every), len(sums)))
    for number, one in enumerate(sums.values()):
        rows = [at[name] for name in one.ids]
        for kind, values in enumerate((one.reward, one.loss, one.over, one.count)):
            held[kind, rows, number] = values
    random = np.random.default_rng(asked.seed)
    less = given.car is None and _first(plan, base).less
    ranks, firsts = [], []
    for begun in range(0, given.resamples, CHUNK):
        size = min(CHUNK, given.resamples - begun)
        drawn = random.multinomial(len(every), np.full(len(every), 1 / len(every)), size).astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            rewards, losses, over, counts = (drawn @ part for part in held)
            means = rewards / counts
            if given.car:
                means = means + given.car.shift
                found = np.where(means > 0, means / (1 + given.car.beta * losses / over), np.nan)
            else:
                found = -means if less else means
        whole = found[np.isfinite(found).all(axis=1)]
        if len(whole):
            ranks.append(rankdata(-whole, axis=1))
            top = whole == whole.max(axis=1, keepdims=True)
            firsts.append(top / top.sum(axis=1, keepdims=True))
    if not ranks:
        return dict.fromkeys(names, (None, None, None, 1.0))
    low, high = np.quantile(np.concatenate(ranks), [0.025, 0.975], axis=0, method="inverted_cdf")
    top = np.concatenate(firsts)
    undefined = 1 - len(top) / given.resamples
    return {
        name: (float(a), float(b), float(c), undefined)
        for name, a, b, c in zip(names, low, high, top.mean(axis=0), strict=True)
    }

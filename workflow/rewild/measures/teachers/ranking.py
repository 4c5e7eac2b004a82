"""How well a measure ranks teachers: against what fine-tuning on each gave. Of one base model at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from scipy.stats import rankdata

from rewild.config.teachers import FEWEST

DRAWS = 10_000
EXACT = 8
"""Up to so many teachers, all orders are gone through; beyond, :data:`DRAWS` at random."""
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of a measure with the truth.

    Attributes:
        rho: by average ranks; None where it is not defined.
        printed: 1 - 6 Σd² / (n (n² - 1)) of the same ranks, which differs where there are ties.
        low, high: 95 % percentile interval over teachers (bootstrap); None where ρ is.
        p: of a correlation as far from 0, if order were chance (permutations, two-sided).
        teachers: how many.
        ties: whether some have the same value, on either side.
        undefined: share of the bootstrap's draws that have no ρ, and are not in the interval.
        why: why there is no ρ.
    """

    teachers: int
    rho: float | None = None
    printed: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    ties: bool = False
    undefined: float = 0.0
    why: str | None = None


def correlate(
    measure: Sequence[float], truth: Sequence[float], seed: int = 0, draws: int = DRAWS
) -> Correlation:
    """Spearman's ρ of a measure and the truth, a value of each for every teacher, with its uncertainty.

    Args:
        measure: more is better; give a loss or a perplexity less than zero.
        truth: what fine-tuning gave, such as a mean over benchmarks.
        seed: of the draws.
        draws: of the bootstrap, and of permutations where they are drawn.

    Raises:
        ValueError: not as many values of one as of the other, or a value is no finite number.
    """
    if len(measure) != len(truth) or not all(map(math.isfinite, [*measure, *truth])):
        raise ValueError("a measure and the truth have a finite number for every teacher")
    x, y = np.asarray(measure, float), np.asarray(truth, float)
    n = len(x)
    ties = n > 0 and min(len(np.unique(x)), len(np.unique(y))) < n
    if n < FEWEST:
        return Correlation(
            n, ties=ties, why=f"of {n} teachers there is no rank correlation: {FEWEST} are needed"
        )
    for name, values in (("the measure", x), ("the truth", y)):
        if len(np.unique(values)) == 1:
            return Correlation(n, ties=True, why=f"{name} has one value for all teachers: no order")
    ranks = rankdata(x), rankdata(y)
    rho = float(_pearson(ranks[0][None], ranks[1][None])[0])
    printed = 1 - 6 * float(((ranks[0] - ranks[1]) ** 2).sum()) / (n * (n**2 - 1))
    random = np.random.default_rng(seed)
    drawn = random.integers(0, n, (draws, n))
    again = spearman(x[drawn], y[drawn])
    there = again[np.isfinite(again)]
    low, high = np.quantile(there, [0.025, 0.975])
    return Correlation(
        n,
        rho,
        printed,
        float(low),
        float(high),
        _chance(*ranks, rho, random, draws),
        ties,
        1 - len(there) / draws,
    )


def _chance(x: Numbers, y: Numbers, rho: float, random: np.random.Generator, draws: int) -> float:
    """Share of the orders whose ρ is as far from 0; drawn ones count this order too, so that none is 0."""
    return _share(_pearson(x[None], y[_orders(len(x), random, draws)]), rho, len(x))


def _orders(n: int, random: np.random.Generator, draws: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """All orders of so many teachers, or some that are drawn."""
    if n <= EXACT:
        return np.array(list(permutations(range(n))))
    return random.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)


def _share(found: Numbers, rho: float, n: int) -> float:
    as_far = int((np.abs(found) >= abs(rho) - 1e-12).sum())
    return as_far / len(found) if n <= EXACT else (as_far + 1) / (len(found) + 1)


def average(
    measures: Sequence[Sequence[float]], truths: Sequence[Sequence[float]], seed: int = 0, draws: int = DRAWS
) -> Correlation:
    """The mean of ρ over base models, of the same teachers: those are drawn, once for all base models.

    Args:
        measures: of each base model, a value of each teacher; more is better.
        truths: of each base model, what fine-tuning gave; in the same order.
        seed, draws: as of :func:`correlate`.
    """
    x, y = np.asarray(measures, float), np.asarray(truths, float)
    n = x.shape[1] if x.ndim > 1 else 0
    if n < FEWEST or not all(len(np.unique(row)) > 1 for row in (*x, *y)):
        return Correlation(n, why=f"not every base model has {FEWEST} teachers and an order of them")
    rho = float(spearman(x, y).mean())
    random = np.random.default_rng(seed)
    drawn = random.integers(0, n, (draws, n))
    again = np.mean([spearman(a[drawn], b[drawn]) for a, b in zip(x, y, strict=True)], axis=0)
    there = again[np.isfinite(again)]
    low, high = map(float, np.quantile(there, [0.025, 0.975]))
    orders = _orders(n, random, draws)
    chance = np.mean([spearman(a[None], b[orders]) for a, b in zip(x, y, strict=True)], axis=0)
    return Correlation(n, rho, None, low, high, _share(chance, rho, n), undefined=1 - len(there) / draws)


@dataclass(frozen=True)
class Concordance:
    """How far base models agree on a ranking.

    Attributes:
        w: Kendall's W, corrected for ties: 1 where all rank alike.
        low, high: 95 % percentile interval over teachers (bootstrap).
        p: of a W as large, if each base model ranked by chance (permutations, one-sided).
    """

    w: float
    low: float
    high: float
    p: float


def concordance(truths: Sequence[Sequence[float]], seed: int = 0, draws: int = DRAWS) -> Concordance | None:
    """Kendall's W of several base models' values of the same teachers.

    Args:
        truths: of each base model, a value of each teacher.
        seed, draws: as of :func:`correlate`.

    Returns:
        None of fewer than two base models or three teachers, and where no base model has an order.
    """
    y = np.asarray(truths, float)
    if y.ndim != 2 or len(y) < 2 or y.shape[1] < FEWEST or all(len(np.unique(row)) == 1 for row in y):
        return None
    found, n = float(_kendall(y[None])[0]), y.shape[1]
    random = np.random.default_rng(seed)
    drawn = random.integers(0, n, (draws, n))
    again = _kendall(np.moveaxis(y[:, drawn], 0, 1))
    low, high = map(float, np.quantile(again[np.isfinite(again)], [0.025, 0.975]))
    chance = _kendall(random.permuted(np.tile(y, (draws, 1, 1)), axis=2))
    return Concordance(found, low, high, (int((chance >= found - 1e-12).sum()) + 1) / (draws + 1))


def _kendall(y: Numbers) -> Numbers:
    """W of each set of rows: ``(sets, base models, teachers)``; not a number where none has an order."""
    ranks = rankdata(y, axis=2) - (y.shape[2] + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Numbers = (ranks.sum(1) ** 2).sum(1) / (y.shape[1] * (ranks**2).sum((1, 2)))
    return found


def spearman(x: Numbers, y: Numbers) -> Numbers:
    """ρ by average ranks, row by row; not a number where a side has one value."""
    return _pearson(rankdata(x, axis=-1), rankdata(y, axis=-1))


def _pearson(x: Numbers, y: Numbers) -> Numbers:
    """Row by row; not a number where a side has one value."""
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Numbers = (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return found


def regret(measure: Sequence[float], truth: Sequence[float]) -> float:
    """What is lost by taking the teacher that a measure puts first: the best truth less the chosen one's.

    Teachers that the measure puts first together are chosen among at random: the mean of theirs.
    """
    first = [t for m, t in zip(measure, truth, strict=True) if m == max(measure)]
    return max(truth) - math.fsum(first) / len(first)


def without_each(
    measure: Sequence[float],
    truth: Sequence[float],
    families: Sequence[str],
    seed: int = 0,
    draws: int = DRAWS,
) -> Mapping[str, Correlation]:
    """ρ without the teachers of one family, for each: whether a family carries it."""
    rows = list(zip(measure, truth, families, strict=True))
    found = {}
    for family in dict.fromkeys(families):
        kept = [(m, t) for m, t, f in rows if f != family]
        found[family] = correlate([m for m, _ in kept], [t for _, t in kept], seed, draws)
    return found


def by_other_bases(truths: Mapping[str, Mapping[str, float]], base: str) -> dict[str, float]:
    """A cheap baseline: a teacher's mean truth over the *other* base models.

    Args:
        truths: base → teacher → truth.
        base: that is to be predicted.

    Returns:
        Teacher → mean, for those of ``base`` that another base has, too.
    """
    others = {t: [row[t] for b, row in truths.items() if b != base and t in row] for t in truths[base]}
    return {teacher: math.fsum(values) / len(values) for teacher, values in others.items() if values}

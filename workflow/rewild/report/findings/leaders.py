"""Which run leads on which benchmark, and what the size of its model has to do with it (Table 2).

The intervals are those of the resamples of :mod:`rewild.evaluation.scores.bootstrap`, each of which has its
own leaders.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from rewild.evaluation.scores.bootstrap import Comparison, Estimate, Floats

Led = NDArray[np.bool_]


def led(comparison: Comparison) -> tuple[Led, Led | None]:
    """Whether a run has the highest score on a benchmark; equal ones all have it.

    Returns:
        (benchmarks, runs), and the same of every resample, (resamples, benchmarks, runs); None if a benchmark
        has no resamples.
    """
    drawn = list(comparison.drawn.values())
    points = np.stack([d.points for d in drawn])
    draws = [d.draws for d in drawn if d.draws is not None]
    every = np.stack(draws, axis=1) if len(draws) == len(drawn) else None
    return _highest(points), None if every is None else _highest(every)


def _highest(scores: Floats) -> Led:
    found: Led = scores == scores.max(axis=-1, keepdims=True)
    return found


def dominance(comparison: Comparison) -> float | None:
    """The share of resamples in which one run leads on every benchmark; None without resamples."""
    _, draws = led(comparison)
    return None if draws is None else float(np.mean(np.any(np.all(draws, axis=1), axis=1)))


def count_led(comparison: Comparison, runs: Collection[str]) -> Estimate:
    """On how many benchmarks one of these runs leads."""
    chosen = np.array([run in runs for run in comparison.runs])
    points, draws = led(comparison)
    value = int(np.any(points & chosen, axis=1).sum())
    every = None if draws is None else np.any(draws & chosen, axis=2).sum(axis=1).astype(float)
    found = comparison.estimate(float(value), every)
    return replace(found, n=len(comparison.drawn))


def rank_correlation(comparison: Comparison, sizes: Mapping[str, float]) -> Estimate:
    """Spearman's rank correlation of runs' averages and their models' sizes.

    Args:
        comparison: the runs.
        sizes: run → size, of two or more of the runs, not all the same.

    Returns:
        With the number of runs as ``n``. The interval is over items: it says nothing of other models.
    """
    points, draws = comparison.average()
    chosen = [run in sizes for run in comparison.runs]
    wanted = rankdata([sizes[run] for run in comparison.runs if run in sizes])
    value, *_ = _correlation(rankdata(points[None, chosen], axis=1), wanted)
    every = None if draws is None else _correlation(rankdata(draws[:, chosen], axis=1), wanted)
    return replace(comparison.estimate(float(value), every), n=len(wanted))


def _correlation(ranks: Floats, wanted: Floats) -> Floats:
    """(n,) Pearson's correlation of each row with ``wanted``; 0 for equal ranks, which are no order."""
    a = ranks - ranks.mean(axis=1, keepdims=True)
    b = wanted - wanted.mean()
    below = np.sqrt((a**2).sum(axis=1) * (b**2).sum())
    found: Floats = np.divide(a @ b, below, out=np.zeros(len(a)), where=below > 0)
    return found

"""Intervals: the normal approximation for one score, the paired bootstrap for differences between runs.

Runs are compared on the same items, so items are drawn with replacement, each with all runs' scores on it,
and benchmarks independently of one another. Items that share an identifier (both turns of a question) are
drawn together. All of a benchmark's runs are drawn at once, so that anything can be computed from the draws:
a difference, a range, a share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rewild.core.errors import DataError

Z = 1.959963984540054
"""Of the 95 % interval of a normal distribution; the paper's 1.96."""
Floats = NDArray[np.float64]
_CELLS = 4_000_000  # counts drawn at once
_CLOSE = 1e-6  # how near a mean of item scores must be to the value for it to be that mean


def half_width(stderr: float | None) -> float | None:
    """Half-width of the 95 % interval by the normal approximation (section 3.1 of the paper)."""
    return None if stderr is None else Z * stderr


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty.

    Attributes:
        value: the number.
        half: 1.96 times the standard deviation of the draws; None without an interval.
        low: 2.5 % quantile of the draws; None without an interval.
        high: 97.5 % quantile.
        n: items it is over.
        note: what a reader should know, such as items left out.
    """

    value: float
    half: float | None
    low: float | None
    high: float | None
    n: int
    note: str = ""

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Drawn:
    """One benchmark, drawn again and again.

    Attributes:
        points: the runs' means over the items that all of them have a score on.
        draws: resamples × runs.
        n: those items.
        left_out: items on which some run, but not every one, has no score.
        paired: whether the draws are of items; else of independent normal distributions.
    """

    points: Floats
    draws: Floats | None
    n: int
    left_out: int
    paired: bool = True


@dataclass(frozen=True)
class Comparison:
    """Several runs on several benchmarks, on the scale 0–1.

    Attributes:
        runs: their slugs; the last axis of everything below.
        drawn: benchmark → its draws, scores divided by the benchmark's divisor.
    """

    runs: tuple[str, ...]
    drawn: Mapping[str, Drawn] = field(repr=False)

    def average(self, benchmarks: Sequence[str] | None = None) -> tuple[Floats, Floats | None]:
        """The runs' means over benchmarks, and their draws (resamples × runs; None if one has none)."""
        chosen = [self.drawn[b] for b in benchmarks or self.drawn]
        points = np.mean([d.points for d in chosen], axis=0)
        draws = [d.draws for d in chosen if d.draws is not None]
        return points, np.mean(draws, axis=0) if len(draws) == len(chosen) else None

    def contrast(self, weights: Mapping[str, float], benchmarks: Sequence[str] | None = None) -> Estimate:
        """Σ weight × average: ``{"a": 1, "b": -1}`` is the difference a − b."""
        vector = np.array([weights.get(run, 0.0) for run in self.runs])
        points, draws = self.average(benchmarks)
        return self.estimate(float(points @ vector), None if draws is None else draws @ vector, benchmarks)

    def estimate(
        self, value: float, draws: Floats | None, benchmarks: Sequence[str] | None = None
    ) -> Estimate:
        """A statistic with the interval of its draws."""
        chosen = [self.drawn[b] for b in benchmarks or self.drawn]
        n, left_out = sum(d.n for d in chosen), sum(d.left_out for d in chosen)
        notes = []
        if left_out:
            notes.append(f"{left_out} items without a score of every run left out")
        if unpaired := [b for b in benchmarks or self.drawn if not self.drawn[b].paired]:
            notes.append(f"{', '.join(unpaired)}: no mean over items, so not paired")
        if draws is None:
            notes.append("no interval: a benchmark gives no standard error")
            return Estimate(value, None, None, None, n, "; ".join(notes))
        low, high = (float(q) for q in np.quantile(draws, (0.025, 0.975)))
        return Estimate(value, Z * float(draws.std(ddof=1)), low, high, n, "; ".join(notes))


def compare(
    scores: pl.DataFrame,
    items: pl.DataFrame,
    runs: Sequence[str],
    benchmarks: Mapping[str, float],
    *,
    seed: int,
    resamples: int = 10_000,
) -> Comparison:
    """Draw the items of every benchmark again and again, for all runs at once.

    Args:
        scores: the runs' headline scores, one row per run and benchmark (``SCORES``).
        items: the items behind them (``ITEMS``).
        runs: which runs; each has a score on each benchmark.
        benchmarks: benchmark → what its scores are divided by.
        seed: the same seed gives the same draws, also of one benchmark among others.
        resamples: draws.

    Raises:
        DataError: a run has no score, or the runs have not one item in common.
    """
    drawn = {}
    for benchmark, divisor in benchmarks.items():
        rows = {r["run"]: r for r in scores.filter(pl.col("benchmark") == benchmark).iter_rows(named=True)}
        for run in runs:
            if run not in rows or rows[run]["value"] is None:
                raise DataError(f"scores: the run '{run}' has no score on {benchmark}")
        metric = rows[runs[0]]["metric"]
        mine = items.filter(
            pl.col("benchmark") == benchmark, pl.col("metric") == metric, pl.col("run").is_in(list(runs))
        )
        stream = np.random.default_rng([seed, *benchmark.encode()])
        drawn[benchmark] = _draw([rows[run] for run in runs], mine, divisor, stream, resamples)
    return Comparison(tuple(runs), drawn)


def _draw(
    rows: Sequence[Mapping[str, float]],
    items: pl.DataFrame,
    divisor: float,
    stream: np.random.Generator,
    b: int,
) -> Drawn:
    """One benchmark. Where a value is not the mean of its items, runs are drawn from normal distributions."""
    runs = [str(row["run"]) for row in rows]
    for row, run in zip(rows, runs, strict=True):
        mean = items.filter(pl.col("run") == run)["score"].mean()
        if not isinstance(mean, float) or abs(mean - row["value"]) > _CLOSE * max(1.0, abs(row["value"])):
            return _unpaired(rows, divisor, stream, b)
    wide = items.pivot("run", index=["part", "item"], values="score", maintain_order=True)
    scored = wide.drop_nulls(runs)
    if scored.is_empty():
        raise DataError(
            f"items: the runs {', '.join(runs)} have not one item of {rows[0]['benchmark']} in common"
        )
    some = wide.filter(pl.any_horizontal(pl.col(runs).is_not_null())).height
    units = scored.group_by("item", maintain_order=True).agg(pl.col(runs).sum(), pl.len().alias("parts"))
    # Equal units are drawn as one with its frequency: the distribution is the same, and the work is small.
    distinct = units.group_by(*runs, "parts").len("times").sort(*runs, "parts")
    sums, parts = distinct.select(runs).to_numpy(), distinct["parts"].to_numpy()
    times = distinct["times"].to_numpy().astype(np.float64)
    total, share = int(times.sum()), times / times.sum()
    points = times @ sums / (times @ parts)
    draws = np.empty((b, len(runs)))
    step = max(1, _CELLS // len(times))
    for start in range(0, b, step):
        counts = stream.multinomial(total, share, size=min(step, b - start)).astype(np.float64)
        draws[start : start + step] = counts @ sums / (counts @ parts)[:, None]
    return Drawn(points / divisor, draws / divisor, scored.height, some - scored.height)


def _unpaired(
    rows: Sequence[Mapping[str, float]], divisor: float, stream: np.random.Generator, b: int
) -> Drawn:
    points = np.array([row["value"] for row in rows])
    n = int(min(row["n"] for row in rows))
    errors = [row["stderr"] for row in rows]
    if any(error is None for error in errors):
        return Drawn(points / divisor, None, n, 0, paired=False)
    draws = points + stream.standard_normal((b, len(rows))) * np.array(errors)
    return Drawn(points / divisor, draws / divisor, n, 0, paired=False)

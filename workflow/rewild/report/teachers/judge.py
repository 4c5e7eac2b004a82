"""What scores say of a ranking: rank correlations, regret, β, and findings as statements (findings.py)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rewild.config.teachers import CAR, OTHERS, Teachers
from rewild.evaluation.scores.collect import Headline
from rewild.measures.teachers.car import curve
from rewild.measures.teachers.ranking import (
    Correlation,
    average,
    by_other_bases,
    correlate,
    regret,
    without_each,
)
from rewild.report.teachers.plan import Plan, predictors_of
from rewild.report.teachers.schema import MEAN


@dataclass(frozen=True)
class Score:
    """A score in percent; the error is None where there is no estimate of it."""

    value: float
    stderr: float | None


Truth = Mapping[str, Mapping[str, float]]
"""Base → teacher → mean score in percent."""
Values = Mapping[tuple[str, str], Mapping[str, float]]
"""(base, predictor) → teacher → value, turned so that more is better."""


@dataclass(frozen=True)
class Case:
    """What is judged.

    Attributes:
        plan, given: what is compared, and how.
        values: of predictors.
        truth: what the scores say.
        families: teacher or base → family.
        billions: teacher → parameters, where they are known.
        hours: run → GPU-hours of its training, where they are known.
        seed: of what is drawn.
        errors: base → teacher → standard error of what the scores say.
    """

    plan: Plan
    given: Teachers
    values: Values
    truth: Truth
    families: Mapping[str, str]
    billions: Mapping[str, float | None]
    hours: Mapping[str, float]
    seed: int
    errors: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    def shared(self, base: str, *predictors: str) -> list[str]:
        """The teachers that have a score on a base and a value of these predictors."""
        sides = [self.truth.get(base, {}), *(self.values.get((base, p), {}) for p in predictors)]
        return [t for t in self.plan.teachers if all(t in side for side in sides)]


def scores_of(head: Headline, run: str, benchmarks: Sequence[str]) -> Mapping[str, Score | str]:
    """A run's scores in percent, by benchmark and their mean, or why there is none."""
    found: dict[str, Score] = {}
    lacking = []
    for slug in benchmarks:
        row = head.row(run, slug)
        if row is None or row["value"] is None:
            lacking.append(slug)
            continue
        part = 100 / head.benchmarks[slug].scale.max
        value, stderr = row["value"], row["stderr"]
        assert isinstance(value, float)
        found[slug] = Score(part * value, part * stderr if isinstance(stderr, float) else None)
    if lacking:
        gone = dict.fromkeys(lacking, "it has no score")
        return found | gone | {MEAN: f"no score of {', '.join(lacking)}"}
    errors = [one.stderr for one in found.values()]
    whole = None if None in errors else math.sqrt(math.fsum(e * e for e in errors if e)) / len(errors)
    return found | {MEAN: Score(math.fsum(s.value for s in found.values()) / len(found), whole)}


def performance(
    plan: Plan, given: Teachers, head: Headline, starts: Mapping[str, str]
) -> list[tuple[Any, ...]]:
    """Rows of ``PERFORMANCE``: of teachers, then of variants.

    Args:
        plan, given: what is compared.
        head: the study's scores.
        starts: run → the model it starts from.
    """
    named = [(base, teacher, False, run) for (base, teacher), run in plan.runs.items()]
    named += [(starts[one.run], name, True, one.run) for name, one in given.variants.items()]
    return [
        (base, name, variant, run, benchmark)
        + ((None, None, score) if isinstance(score, str) else (score.value, score.stderr, None))
        for base, name, variant, run in named
        for benchmark, score in scores_of(head, run, given.benchmarks).items()
    ]


def truth_of(rows: pl.DataFrame) -> Truth:
    """The mean scores of ``PERFORMANCE``, variants left out."""
    return _means(rows, "value")


def errors_of(rows: pl.DataFrame) -> Mapping[str, Mapping[str, float | None]]:
    """The standard errors of :func:`truth_of`."""
    return _means(rows, "stderr")


def _means(rows: pl.DataFrame, column: str) -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    means = rows.filter(~pl.col("variant"), pl.col("benchmark") == MEAN, pl.col("value").is_not_null())
    for row in means.iter_rows(named=True):
        found.setdefault(row["base"], {})[row["teacher"]] = row[column]
    return found


def values_of(values: pl.DataFrame, truth: Truth) -> Values:
    """What ``VALUES`` says, and the mean over other bases, which is of the truth."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in values.filter(pl.col("value").is_not_null()).iter_rows(named=True):
        sign = -1 if row["less"] else 1
        found.setdefault((row["base"], row["predictor"]), {})[row["teacher"]] = sign * row["value"]
    if len(truth) > 1:
        found |= {(base, OTHERS): by_other_bases(truth, base) for base in truth}
    return found


def correlations(case: Case) -> list[tuple[Any, ...]]:
    """Rows of ``CORRELATION``: of all teachers, without each family, and the mean over bases."""
    given = case.given
    names = [p for p in predictors_of(given) if p != OTHERS]
    names += [p for p in dict.fromkeys(p for _, p in case.values) if p.startswith(f"{CAR}-")]
    names += [OTHERS] if len(case.truth) > 1 else []
    rows: list[tuple[Any, ...]] = []
    for base in case.plan.bases:
        for name in names:
            mine, real = case.values.get((base, name), {}), case.truth.get(base, {})
            shared = case.shared(base, name)
            x, y = [mine[t] for t in shared], [real[t] for t in shared]
            found = correlate(x, y, case.seed, given.draws)
            rows.append((base, name, None, *_row(found, x, y, shared)))
            groups = [case.families[t] for t in shared]
            if len(set(groups)) < 2:
                continue
            for family, one in without_each(x, y, groups, case.seed, given.draws).items():
                kept = [t for t in shared if case.families[t] != family]
                sides = [mine[t] for t in kept], [real[t] for t in kept]
                rows.append((base, name, family, *_row(one, *sides, kept)))
    rows += [(MEAN, name, None, *_average(case, name, rows)) for name in names]
    return rows


def _average(case: Case, name: str, rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The mean of a predictor's ρ over base models; with an interval where all have the same teachers."""
    rhos = {row[0]: row[4] for row in rows if row[1] == name and row[2] is None and row[4] is not None}
    shared = [case.shared(base, name) for base in rhos]
    if not rhos:
        return (*_row(Correlation(0, why="no base model has a ρ"), [], [], []),)
    if any(one != shared[0] for one in shared):
        mean = math.fsum(rhos.values()) / len(rhos)
        why = "no interval: the base models have different teachers"
        return (*_row(Correlation(max(map(len, shared)), mean, why=why), [], [], []),)
    x = [[case.values[base, name][t] for t in shared[0]] for base in rhos]
    y = [[case.truth[base][t] for t in shared[0]] for base in rhos]
    return (*_row(average(x, y, case.seed, case.given.draws), [], [], []),)


def _row(found: Correlation, x: Sequence[float], y: Sequence[float], names: Sequence[str]) -> tuple[Any, ...]:
    lost = regret(x, y) if names else None
    chosen = "+".join(n for n, value in zip(names, x, strict=True) if value == max(x)) or None
    best = max(zip(y, names, strict=True), key=lambda pair: pair[0])[1] if names else None
    return (
        found.teachers, found.rho, found.printed, found.low, found.high,
        None if found.rho is None else found.undefined, found.p, found.ties, lost, chosen, best, found.why,
    )  # fmt: skip


def beta_curve(case: Case, ranking: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Rows of ``BETA``; none without CAR."""
    given = case.given
    if given.car is None:
        return
    for base in case.plan.bases:
        real = case.truth.get(base, {})
        mine = ranking.filter(pl.col("base") == base, pl.col("value").is_not_null())
        rows = [row for row in mine.iter_rows(named=True) if row["teacher"] in real]
        y = [real[row["teacher"]] for row in rows]
        rewards, losses = [r["reward"] for r in rows], [r["loss"] for r in rows]
        for beta, found in zip(
            given.car.betas, curve(rewards, losses, given.car.betas, given.car.shift), strict=True
        ):
            one = correlate(found, y, case.seed, given.draws)
            yield base, float(beta), one.rho, one.low, one.high, regret(found, y) if y else None

"""What a study finds of teachers, computed: statements with their numbers and tests, or what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from rewild.config.teachers import CAR, FEWEST, OTHERS, Teachers
from rewild.measures.teachers.ranking import concordance, correlate, regret, spearman
from rewild.report.teachers.judge import Case
from rewild.report.teachers.plan import label_of, ranks_by
from rewild.report.teachers.schema import MEAN

EXACT = 20_000
"""Up to so many choices of a family's teachers, all are gone through."""


@dataclass(frozen=True)
class Finding:
    """A row of ``FINDINGS``."""

    finding: str
    base: str | None
    family: str | None
    statement: str | None = None
    missing: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int | None = None


def state(case: Case, performance: pl.DataFrame) -> list[Finding]:
    """All of them, from ``PERFORMANCE`` and what predictors and scores say."""
    variants = performance.filter(
        pl.col("variant"), pl.col("benchmark") == MEAN, pl.col("value").is_not_null()
    )
    scores = {row["teacher"]: row for row in variants.iter_rows(named=True)}
    return [
        *paradox(case), *family_help(case), *agreement(case), *sampling(case, scores),
        *rejection(case.given, scores), *baseline(case), *choice(case),
    ]  # fmt: skip


def paradox(case: Case) -> Iterator[Finding]:
    """How often the smaller of two teachers of a family is the better one: by base and family, and in all.

    Pairs of one family share teachers, so that the sign test takes them for more than they are: its p is a
    lower bound.
    """
    wins: dict[tuple[str | None, str | None], list[bool]] = {}
    for base in case.plan.bases:
        real = case.truth.get(base, {})
        sized = [t for t in case.shared(base) if case.billions.get(t) is not None]
        for one, other in combinations(sized, 2):
            family = case.families[one]
            sizes = [float(case.billions[t] or 0) for t in (one, other)]
            if family != case.families[other] or sizes[0] == sizes[1] or real[one] == real[other]:
                continue
            small, large = (one, other) if sizes[0] < sizes[1] else (other, one)
            for key in ((base, family), (base, None), (None, family), (None, None)):
                wins.setdefault(key, []).append(real[small] > real[large])
    if not wins:
        yield Finding(
            "paradox", None, None, missing="two teachers of one family, of different sizes, with scores"
        )
    for (where, kin), won in wins.items():
        n, k = len(won), sum(won)
        p = float(binomtest(k, n).pvalue)
        of = f"{f' of {kin}' if kin else ''}{f' for {where}' if where else ''}"
        said = "more often than not" if p < 0.05 and 2 * k > n else "not more often than chance has it"
        if p < 0.05 and 2 * k < n:
            said = "less often than not"
        text = (
            f"The smaller teacher of a pair{of} is better in {k} of {n} pairs: {said} "
            f"(sign test, p ≥ {p:.3g})."
        )
        yield Finding("paradox", where, kin, text, value=k / n, p=p, n=n)


def family_help(case: Case) -> Iterator[Finding]:
    """Whether a base model's own family is worth more to it than to the other bases.

    The number is an interaction: how far the family is above all teachers on its own base, less the same on
    the other bases. p: as large for as many teachers, of whatever families (two-sided).
    """
    random, plan, truth = np.random.default_rng(case.seed), case.plan, case.truth
    for base in plan.bases:
        family = case.families.get(base)
        if not any(case.families[t] == family for t in plan.teachers):
            continue
        others = [b for b in plan.bases if b != base and b in truth]
        shared = [t for t in plan.teachers if all(t in truth.get(b, {}) for b in (base, *others))]
        own = [t for t in shared if case.families[t] == family]
        if not others or not own or len(own) == len(shared):
            missing = "scores of the same teachers, of this family and others, on another base model, too"
            yield Finding("family", base, family, missing=missing)
            continue
        gain = np.array(
            [truth[base][t] - math.fsum(truth[b][t] for b in others) / len(others) for t in shared]
        )
        gain = gain - gain.mean()
        value = float(gain[[shared.index(t) for t in own]].mean())
        p = _as_large(gain, len(own), value, case.given.draws, random)
        verb = "more" if value > 0 else "less"
        sure = "" if p < 0.05 else ", which is not told apart from none"
        text = (
            f"Teachers of {family} are worth {abs(value):.2f} points {verb} to {base} than to the other base "
            f"models, beside all teachers (permutation of teachers, p = {p:.3g}{sure})."
        )
        yield Finding("family", base, family, text, value=value, p=p, n=len(own))


def _as_large(gain: Any, size: int, value: float, draws: int, random: np.random.Generator) -> float:
    """Share of choices of so many teachers whose mean is as far from 0."""
    least = abs(value) - 1e-12
    if math.comb(len(gain), size) <= EXACT:
        means = np.array([gain[list(chosen)].mean() for chosen in combinations(range(len(gain)), size)])
        return float((np.abs(means) >= least).mean())
    drawn = random.permuted(np.tile(gain, (draws, 1)), axis=1)[:, :size].mean(axis=1)
    return float(((np.abs(drawn) >= least).sum() + 1) / (draws + 1))


def agreement(case: Case) -> Iterator[Finding]:
    """Whether base models agree on which teachers are better: Kendall's W, of the teachers that all have."""
    bases = [base for base in case.plan.bases if case.truth.get(base)]
    shared = [t for t in case.plan.teachers if all(t in case.truth[b] for b in bases)]
    found = concordance([[case.truth[b][t] for t in shared] for b in bases], case.seed, case.given.draws)
    if found is None:
        missing = f"two base models, and {FEWEST} teachers with different scores on all of them"
        yield Finding("agreement", None, None, missing=missing)
        return
    said = "agree more" if found.p < 0.05 else "do not agree more"
    text = (
        f"Over {len(bases)} base models, Kendall's W of the ranking of {len(shared)} teachers is "
        f"{found.w:.2f} (95 % interval {found.low:.2f} to {found.high:.2f}, teachers resampled; "
        f"p = {found.p:.3g}, each base model's order drawn): they {said} than by "
        "chance. 1 is one ranking for all."
    )
    yield Finding("agreement", None, None, text, None, found.w, found.low, found.high, found.p, len(shared))


def sampling(case: Case, scores: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Whether answers that were sampled at a higher temperature, or with a larger top-p, teach better."""
    given = case.given
    named = [n for n, v in given.variants.items() if v.group == "sampling"]
    by_base: dict[str, list[str]] = {}
    for name in named:
        if name in scores:
            by_base.setdefault(scores[name]["base"], []).append(name)
    if not by_base:
        yield Finding("sampling", None, None, missing="scores of variants of the group 'sampling'")
    for base, names in by_base.items():
        real = [scores[n]["value"] for n in names]
        best = names[int(np.argmax(real))]
        for what in ("temperature", "top_p"):
            x = [float(getattr(given.variants[n], what)) for n in names]
            found = correlate(x, real, case.seed, given.draws)
            if found.rho is None:
                yield Finding(
                    "sampling", base, None, missing=f"{FEWEST} variants with different {what} and scores"
                )
                continue
            text = (
                f"Over {len(names)} ways of sampling, ρ of {what} with the mean score of {base} is "
                f"{found.rho:.2f} (95 % interval {found.low:.2f} to {found.high:.2f}, ways resampled; "
                f"permutation of ways, p = {found.p:.3g}); {best} is the best with {max(real):.2f}."
            )
            yield Finding(
                "sampling", base, None, text, None, found.rho, found.low, found.high, found.p, len(names)
            )


def rejection(given: Teachers, scores: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """What the best of several samples is worth beside the worst, one at random, and the greedy answer."""
    chosen: dict[str, dict[str, str]] = {}
    for name, one in given.variants.items():
        if one.group == "rejection" and one.choose and name in scores:
            chosen.setdefault(scores[name]["base"], {})[one.choose] = name
    if not any("best" in row and len(row) > 1 for row in chosen.values()):
        yield Finding(
            "rejection", None, None, missing="scores of the best of several samples, and of another choice"
        )
    for base, row in chosen.items():
        for other in ("worst", "sampled", "greedy") if "best" in row else ():
            if other not in row:
                continue
            best, rest = scores[row["best"]], scores[row[other]]
            gap = best["value"] - rest["value"]
            low, high = _ends(gap, best["stderr"], rest["stderr"])
            sure = "no interval" if low is None else f"± {gap - low:.2f}"
            told = low is None or abs(gap) > gap - low
            text = (
                f"For {base}, the best of several samples is {gap:+.2f} points ({sure}) beside the {other} "
                f"{'answer' if other == 'greedy' else 'one'}{'' if told else ': not told apart'}."
            )
            yield Finding("rejection", base, None, text, None, gap, low, high, n=2)


def baseline(case: Case) -> Iterator[Finding]:
    """Whether CAR ranks teachers better than their mean score on the other base models does."""
    if case.given.car is None:
        return
    for base in case.plan.bases:
        shared = case.shared(base, CAR, OTHERS)
        if len(shared) < FEWEST:
            missing = (
                f"{FEWEST} teachers with CAR and scores on this base model and another; it has {len(shared)}"
            )
            yield Finding("baseline", base, None, missing=missing)
            continue
        sides = case.values[base, CAR], case.values[base, OTHERS], case.truth[base]
        x = np.array([[row[t] for t in shared] for row in sides])
        size = case.given.draws, len(shared)
        drawn = np.random.default_rng(case.seed).integers(0, len(shared), size)
        gaps = spearman(x[0][drawn], x[2][drawn]) - spearman(x[1][drawn], x[2][drawn])
        gap = float((spearman(x[:1], x[2:]) - spearman(x[1:2], x[2:]))[0])
        there = gaps[np.isfinite(gaps)]
        if not math.isfinite(gap) or not len(there):
            yield Finding("baseline", base, None, missing="values and scores that are not all the same")
            continue
        low, high = map(float, np.quantile(there, [0.025, 0.975]))
        said = "better" if low > 0 else "worse" if high < 0 else "not told apart"
        text = (
            f"For {base}, ρ of CAR is {gap:+.2f} beside that of the mean score on other base models "
            f"(95 % interval {low:.2f} to {high:.2f}, {len(shared)} teachers): {said}."
        )
        yield Finding("baseline", base, None, text, None, gap, low, high, None, len(shared))


def choice(case: Case) -> Iterator[Finding]:
    """What is lost by taking the teacher that is put first, and the training that this spares."""
    given, hours, plan = case.given, case.hours, case.plan
    by = ranks_by(given)
    for base in plan.bases:
        shared = case.shared(base, by)
        real, mine = case.truth.get(base, {}), case.values.get((base, by), {})
        if not shared:
            yield Finding("choice", base, None, missing="a teacher with a value and a score")
            continue
        x, y = [mine[t] for t in shared], [real[t] for t in shared]
        tops = [t for t in shared if mine[t] == max(x)]
        lost, best = regret(x, y), max(shared, key=lambda t: real[t])
        runs = [plan.runs[base, t] for t in shared]
        spent = [hours[run] for run in runs if run in hours]
        saved = "what training took is not known in GPU-hours"
        if len(spent) == len(runs):
            spared = math.fsum(spent) * (1 - 1 / len(runs))
            saved = f"to train on one teacher in place of {len(runs)} spares {spared:.2f} GPU-hours"
        low, high = None, None
        if len(tops) == 1 and tops != [best]:
            low, high = _ends(lost, *(case.errors.get(base, {}).get(t) for t in (best, *tops)))
        sure = "" if low is None else f" (± {lost - low:.2f})"
        text = (
            f"For {base}, {label_of(given, by)} puts {', '.join(tops)} first; {best} is the best by score. "
            f"The choice loses {lost:.2f} points{sure}; {saved}."
        )
        yield Finding("choice", base, None, text, None, lost, low, high, n=len(shared))


def _ends(gap: float, *errors: float | None) -> tuple[float | None, float | None]:
    """The 95 % interval of a score less another, as of independent ones."""
    known = [error for error in errors if error is not None]
    if len(known) < len(errors):
        return None, None
    half = 1.96 * math.hypot(*known)
    return gap - half, gap + half


def rows(findings: Sequence[Finding]) -> list[tuple[Any, ...]]:
    """Rows of ``FINDINGS``."""
    return [tuple(vars(one).values()) for one in findings]

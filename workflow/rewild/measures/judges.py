"""Judges compared: what each makes of each model, how far they agree, what else their scores go with.

Files of kind ``factors`` go in, one measure a judge. Answers of one conversation are not independent, so all
intervals are percentiles of resampled conversations, all models' answers in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rewild.config.measures.factors import column_of
from rewild.core.errors import DataError
from rewild.core.measures import about_measure, read_measure
from rewild.core.table import Column, TableSchema

Numbers = NDArray[np.float64]
BLOCK = 50  # resamples at once: as many rows of weights as there are conversations wide
ALL, OVERALL = "(all)", "overall"
ANSWER = ["subject", "conversation_id", "turn", "sample"]


def _ends(what: str) -> dict[str, Column]:
    return {
        f"{what}_low": Column(pl.Float64, "Lower end of its 95 % interval over conversations", True),
        f"{what}_high": Column(pl.Float64, "Upper end of it", True),
    }


MEANS = TableSchema(
    "judge means",
    1,
    {
        "judge": Column(pl.String, "The measure"),
        "model": Column(pl.String, "The model that answered"),
        "criterion": Column(pl.String, "A criterion, or overall: the mean of all"),
        "n": Column(pl.Int64, "Answers that have a score"),
        "unscored": Column(pl.Int64, "Answers that have none: failures, or too little mass on scores"),
        "mean": Column(pl.Float64, "Mean of the expected scores, on the judge's scale", True),
        **_ends("mean"),
        "entropy": Column(pl.Float64, "Mean entropy of the scores, in bits", True),
        "mass": Column(pl.Float64, "Mean probability that the judge begins with a score", True),
    },
    key=("judge", "model", "criterion"),
)
AGREEMENT = TableSchema(
    "judge agreement",
    1,
    {
        "criterion": Column(pl.String, "A criterion, or overall"),
        "first": Column(pl.String, f"A judge; {ALL}: of all of them"),
        "second": Column(pl.String, f"Another; {ALL}: of all of them"),
        "n": Column(pl.Int64, "Answers that both (all) have scored"),
        "alpha": Column(
            pl.Float64, "Krippendorff's alpha for intervals: 1 the same scores, 0 what chance gives", True
        ),
        **_ends("alpha"),
        "rho": Column(pl.Float64, "Spearman's rank correlation; of two judges", True),
        **_ends("rho"),
        "difference": Column(pl.Float64, "Mean of second minus first, as a share of the scale", True),
    },
    key=("criterion", "first", "second"),
)
BIAS = TableSchema(
    "judge bias",
    1,
    {
        "judge": Column(pl.String, "The measure"),
        "criterion": Column(pl.String, "A criterion, or overall"),
        "bias": Column(
            pl.String,
            "length: points of score per doubling of words, over all answers; length_within: the same among "
            "answers of different models to one turn; order: expected score with the scale from the highest, "
            "minus that from the lowest; turn: mean score of later turns, minus that of the first",
        ),
        "n": Column(pl.Int64, "Answers it is made of (turn: conversations of one model)"),
        "value": Column(pl.Float64, "The number; null where it is not defined", True),
        **_ends("value"),
    },
    key=("judge", "criterion", "bias"),
)


@dataclass(frozen=True)
class Judge:
    """One judge's scores.

    Attributes:
        name: the measure.
        scale: the highest score.
        criteria: columns, ``overall`` last.
        answers: :data:`ANSWER` and the measure's columns, of all models.
    """

    name: str
    scale: int
    criteria: tuple[str, ...]
    answers: pl.DataFrame


def read_judges(files: Sequence[Path]) -> list[Judge]:
    """The judges whose files are given.

    Raises:
        DataError: there is none; a file is of another kind, or damaged.
    """
    known: dict[str, dict[str, Any]] = {}
    for path in files:
        about = about_measure(path)
        settings = about.get("identity", {}).get("settings", {})
        if settings.get("kind") != "factors":
            raise DataError(
                f"{path}: of the measure {about['measure']}, which is of kind "
                f"'{settings.get('kind')}', not 'factors'"
            )
        known.setdefault(about["measure"], {"settings": settings, "subjects": set()})["subjects"].add(
            about["subject"]
        )
    if not known:
        raise DataError("no files of a judge were given")
    judges = []
    for name, one in sorted(known.items()):
        frames = [
            read_measure(files, name, subject).with_columns(subject=pl.lit(subject))
            for subject in sorted(one["subjects"])
        ]
        criteria = (*map(column_of, one["settings"]["criteria"]), OVERALL)
        whole = pl.concat(frames).sort("conversation_id", "turn", "subject", "sample")
        judges.append(Judge(name, one["settings"]["scale"], criteria, whole))
    return judges


@dataclass(frozen=True)
class Resampling:
    """The bootstrap over conversations."""

    seed: int = 50
    resamples: int = 1000

    def of(
        self, conversations: pl.Series, terms: Numbers, formula: Callable[[Numbers], Numbers]
    ) -> tuple[float | None, float | None, float | None]:
        """A statistic of sums over answers, and its 95 % interval.

        Args:
            conversations: of each answer.
            terms: answers × terms.
            formula: sums of the terms (… × terms) → the statistic (…).

        Returns:
            It and its ends; null where it is not defined, the ends also from fewer than two conversations.
        """
        if not len(terms):
            return None, None, None
        clusters = conversations.rank("dense").to_numpy().astype(np.int64) - 1
        sums = np.zeros((int(clusters.max()) + 1, terms.shape[1]))
        np.add.at(sums, clusters, terms)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(formula(sums.sum(axis=0)))
            if not np.isfinite(value):
                return None, None, None
            if (n := len(sums)) < 2:
                return value, None, None
            chance = np.random.default_rng([self.seed, n])
            drawn = [
                formula(chance.multinomial(n, np.full(n, 1 / n), min(BLOCK, self.resamples - at)) @ sums)
                for at in range(0, self.resamples, BLOCK)
            ]
        found = np.concatenate(drawn)
        found = found[np.isfinite(found)]
        if len(found) < self.resamples / 2:
            return value, None, None
        low, high = np.quantile(found, [0.025, 0.975])
        return value, float(low), float(high)


def _mean(sums: Numbers) -> Numbers:
    return np.asarray(sums[..., 1] / sums[..., 0])


def _slope(sums: Numbers) -> Numbers:
    """Of products over squares; 0 over 0 where nothing varies."""
    return np.asarray(np.where(sums[..., 0] > 1e-12, sums[..., 1] / sums[..., 0], np.nan))


def _correlation(sums: Numbers) -> Numbers:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread = (xx - x * x / n) * (yy - y * y / n)
    return np.asarray(np.where(spread > 1e-12, (xy - x * y / n) / np.sqrt(spread), np.nan))


def _alpha(sums: Numbers) -> Numbers:
    """Krippendorff's alpha for intervals, from ``values, disagreement, sum, sum of squares``.

    An answer's part of the observed disagreement is ``2 m / (m - 1)`` times the squared deviations of its
    ``m`` scores from their mean (Krippendorff, 2004, Content Analysis, chapter 11).
    """
    n, within, total, squares = np.moveaxis(sums, -1, 0)
    expected = 2 * (squares - total * total / n) / (n - 1)
    return np.asarray(np.where(expected > 1e-12, 1 - within / n / expected, np.nan))


# ------------------------------------------------------------------------------------------------- tables
def means(judges: Sequence[Judge], how: Resampling) -> pl.DataFrame:
    """:data:`MEANS` of every judge, model and criterion."""
    rows = []
    for judge in judges:
        for (model,), answers in judge.answers.group_by("subject", maintain_order=True):
            for criterion in judge.criteria:
                scored = answers.filter(pl.col(criterion).is_not_null())
                ones = np.column_stack([np.ones(scored.height), scored[criterion].to_numpy()])
                value, low, high = how.of(scored["conversation_id"], ones, _mean)
                more = [
                    None if criterion == OVERALL else answers[f"{criterion}_{end}"].mean()
                    for end in ("entropy", "mass")
                ]
                n = scored.height
                rows.append((judge.name, model, criterion, n, answers.height - n, value, low, high, *more))
    return _table(MEANS, rows, "judge", "model")


def agreement(judges: Sequence[Judge], how: Resampling) -> pl.DataFrame:
    """:data:`AGREEMENT` of every two judges, and of all where there are more; no rows of one judge."""
    groups = [*combinations(judges, 2), *([tuple(judges)] if len(judges) > 2 else [])]
    rows = []
    for group in groups:
        shared = [c for c in group[0].criteria if all(c in judge.criteria for judge in group)]
        for criterion in shared:
            both = _together(group, criterion)
            scores = both.select(f"s{n}" for n in range(len(group))).to_numpy()
            m = len(group)
            within = ((scores - scores.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) * 2 * m / (m - 1)
            terms = [np.full(len(scores), float(m)), within, scores.sum(axis=1), (scores**2).sum(axis=1)]
            alpha = how.of(both["conversation_id"], np.column_stack(terms), _alpha)
            names: tuple[str, str] = (ALL, ALL)
            rho: tuple[float | None, ...] = (None, None, None)
            difference = None
            if m == 2:
                names = (group[0].name, group[1].name)
                x, y = (both[f"s{n}"].rank("average").to_numpy() for n in range(2))
                ranks = np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])
                rho = how.of(both["conversation_id"], ranks, _correlation)
                difference = float((scores[:, 1] - scores[:, 0]).mean()) if len(scores) else None
            rows.append((criterion, *names, both.height, *alpha, *rho, difference))
    return _table(AGREEMENT, rows)


def _together(group: Sequence[Judge], criterion: str) -> pl.DataFrame:
    """The answers that all have scored, each score as a share of its scale: ``s0``, ``s1`` and so on."""
    frames = [
        judge.answers.filter(pl.col(criterion).is_not_null()).select(
            *ANSWER, ((pl.col(criterion) - 1) / (judge.scale - 1)).alias(f"s{n}")
        )
        for n, judge in enumerate(group)
    ]
    both = frames[0]
    for other in frames[1:]:
        both = both.join(other, on=ANSWER)
    return both.sort("conversation_id", "turn", "subject", "sample")


def bias(judges: Sequence[Judge], how: Resampling) -> pl.DataFrame:
    """:data:`BIAS` of every judge and criterion."""
    rows = [
        (judge.name, criterion, *row)
        for judge in judges
        for criterion in judge.criteria
        for row in _biases(judge, criterion, how)
    ]
    return _table(BIAS, rows, "judge")


def _biases(judge: Judge, criterion: str, how: Resampling) -> Iterator[tuple[Any, ...]]:
    score = pl.col(criterion)
    scored = judge.answers.filter(score.is_not_null(), pl.col("words") > 0).with_columns(
        x=pl.col("words").log(2), y=score
    )
    turn = ["conversation_id", "turn"]
    for name, over in (("length", None), ("length_within", turn)):
        x, y = (pl.col(c) - (pl.col(c).mean().over(over) if over else pl.col(c).mean()) for c in "xy")
        parts = scored.with_columns(dx=x, dy=y)
        if over:
            parts = parts.filter(pl.col("subject").n_unique().over(turn) > 1)
        dx, dy = parts["dx"].to_numpy(), parts["dy"].to_numpy()
        found = how.of(parts["conversation_id"], np.column_stack([dx * dx, dx * dy]), _slope)
        yield name, parts.height, *found
    if f"{criterion}_order" in judge.answers.columns:
        known = judge.answers.filter(pl.col(f"{criterion}_order").is_not_null())
        terms = np.column_stack([np.ones(known.height), known[f"{criterion}_order"].to_numpy()])
        yield "order", known.height, *how.of(known["conversation_id"], terms, _mean)
    later = (
        judge.answers.filter(score.is_not_null())
        .group_by("conversation_id", "subject", "sample", maintain_order=True)
        .agg(first=score.filter(pl.col("turn") == 0).first(), later=score.filter(pl.col("turn") > 0).mean())
        .drop_nulls()
        .with_columns(d=pl.col("later") - pl.col("first"))
    )
    if later.height:
        terms = np.column_stack([np.ones(later.height), later["d"].to_numpy()])
        yield "turn", later.height, *how.of(later["conversation_id"], terms, _mean)


def _table(schema: TableSchema, rows: Sequence[tuple[Any, ...]], *by: str) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=schema.dtypes, orient="row")
    frame = frame.sort(*by, maintain_order=True) if by else frame
    return schema.check(frame.with_columns(pl.selectors.float().round(8)), schema.name)

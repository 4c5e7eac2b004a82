"""Styling, preferences and words of judgments, from the answers and judgments of a study's own runs.

The paper takes 80 turns of MT-Bench; here it is the first turn of whichever benchmark of that kind the study
has (:data:`rewild.report.findings.select.RUNNER`). All are over the questions that every run of the
comparison answered or was judged on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rewild.config.roster import Entry
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.evaluation.judged.schema import ANSWERS, JUDGMENTS
from rewild.evaluation.judgments import words
from rewild.evaluation.judgments.schema import SIDES_OF
from rewild.evaluation.scores.bootstrap import Estimate, Z
from rewild.measures.style.markup import count_markdown
from rewild.measures.style.proportional import FEATURES, mean_proportional
from rewild.report.findings.select import Pair

Floats = NDArray[np.float64]


def name_of(entry: Entry) -> str:
    """A run as Tables 3 and 4 name it: without its size."""
    return f"{entry.base} : {entry.dgm or 'None'}"


@dataclass(frozen=True)
class Answered:
    """What the runs of a pair answered and how they were judged, on the questions common to all.

    Attributes:
        pair: the runs.
        styles: run → questions × features (:data:`~rewild.measures.style.proportional.FEATURES`; len:
            characters).
        answered: questions that every run answered.
        scores: run → one judge's score per question.
        judgments: run → one judge's text per question.
        judged: questions on which every run has a score.
    """

    pair: Pair
    styles: Mapping[str, Floats]
    answered: tuple[str, ...]
    scores: Mapping[str, Floats]
    judgments: Mapping[str, Sequence[str]]
    judged: tuple[str, ...]


def read_answered(pair: Pair, folder: Path, benchmark: str) -> Answered:
    """Read the first turns of a pair's runs.

    Args:
        pair: whose.
        folder: ``results/{study}/benchmarks``.
        benchmark: one whose runner is :data:`RUNNER`.

    Raises:
        DataError: a missing or malformed file, or not one question that all runs answered and were judged on.
    """
    texts: dict[str, dict[str, str]] = {}
    values: dict[str, dict[str, tuple[float, str]]] = {}
    for entry in pair.entries:
        at = folder / entry.run / benchmark
        answers = read_table(at / "answers.parquet", ANSWERS).filter(pl.col("turn") == 0)
        texts[entry.run] = dict(answers.drop_nulls("answer").select("question_id", "answer").iter_rows())
        judged = read_table(at / "judgments.parquet", JUDGMENTS, allow_empty=True).filter(pl.col("turn") == 0)
        values[entry.run] = {
            q: (value, reply or "")
            for q, value, reply in judged.drop_nulls("value")
            .select("question_id", "value", "reply")
            .iter_rows()
        }
    answered, scored = _common(texts), _common(values)
    if not answered or not scored:
        what, found = ("judged", values) if answered else ("answered", texts)
        none = next((f" ('{run}' has none)" for run, of in found.items() if not of), "")
        raise DataError(
            f"{folder}: no question of {benchmark} was {what} for all runs of the pair{none}; name two other "
            "models in findings.pair"
        )
    return Answered(
        pair,
        {run: _features([found[q] for q in answered]) for run, found in texts.items()},
        answered,
        {run: np.array([found[q][0] for q in scored]) for run, found in values.items()},
        {run: [found[q][1] for q in scored] for run, found in values.items()},
        scored,
    )


def _common(found: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
    return tuple(sorted(set.intersection(*(set(of) for of in found.values()))))


def _features(answers: Sequence[str]) -> Floats:
    counts = [count_markdown(answer) for answer in answers]
    return np.array(
        [[c.characters if f == "len" else c.tags.get(f, 0) for f in FEATURES] for c in counts], dtype=float
    )


def totals(features: Floats) -> dict[str, float]:
    """Table 3's counts: elements in all answers; ``len`` is characters per answer."""
    totals = dict(zip(FEATURES, features.sum(axis=0).tolist(), strict=True))
    return totals | {"len": totals["len"] / len(features)}


def style_pairs(found: Answered) -> list[tuple[Entry, Entry]]:
    """The pairs whose proportional frequencies Table 3 gives, in its order."""
    pair, pairs = found.pair, []
    if pair.second_itself:
        pairs.append((pair.second, pair.second_itself))
    if pair.first_itself:
        pairs.append((pair.first, pair.first_itself))
    return [*pairs, (pair.first, pair.second)]


def mean_ratio(found: Answered, a: Entry, b: Entry, seed: int, resamples: int) -> Estimate | None:
    """The mean proportional frequency of two runs (section 3.2), with an interval over questions.

    It is over the features of which ``b`` has any; a resample without any of one leaves that one out.
    """
    top, bottom = found.styles[a.run], found.styles[b.run]
    value, undefined = mean_proportional(totals(top), totals(bottom))
    if value is None:
        return None
    n = len(top)
    counts = np.random.default_rng([seed, 3]).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (counts @ top) / (counts @ bottom)
    ratios[~np.isfinite(ratios)] = np.nan
    ratios[:, bottom.sum(axis=0) == 0] = np.nan
    draws = np.nanmean(ratios, axis=1)
    low, high = (float(q) for q in np.quantile(draws, (0.025, 0.975)))
    names = f"{len(FEATURES) - undefined} of {len(FEATURES)} features" if undefined else ""
    return Estimate(value, Z * float(draws.std(ddof=1)), low, high, n, names)


def preferred(found: Answered, a: Entry, b: Entry) -> Estimate:
    """How often ``a``'s answer is scored above ``b``'s, in % of the questions; ties count for neither."""
    return _share(found.scores[a.run] > found.scores[b.run])


def _share(won: NDArray[np.bool_]) -> Estimate:
    """A share in %: half-width by the normal approximation as the paper's, ends by Wilson's interval."""
    n = len(won)
    share = float(won.mean())
    half = 100 * Z * sqrt(share * (1 - share) / n)
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return Estimate(100 * share, half, 100 * (middle - reach), 100 * (middle + reach), n)


def flip_count(found: Answered, tuned: Entry, itself: Entry, other: Entry) -> Estimate:
    """Questions on which the fine-tune scores below the other fine-tune, and its model above that one.

    A tie is no order, so breaking one is no flip (section 3.3). The interval is that of their share.
    """
    of = found.scores
    flipped = (of[tuned.run] < of[other.run]) & (of[itself.run] > of[other.run])
    share = _share(flipped)
    half, low, high = ((x or 0.0) * share.n / 100 for x in (share.half, share.low, share.high))
    return Estimate(float(flipped.sum()), half, low, high, share.n)


def word_table(found: Answered, minimum: int) -> pl.DataFrame:
    """``OWN_WORDS``: of the fine-tunes' judgments where their scores differ; empty if they never do."""
    pair = found.pair
    differ = np.flatnonzero(found.scores[pair.first.run] != found.scores[pair.second.run])
    first, second = ([found.judgments[e.run][i] for i in differ.tolist()] for e in (pair.first, pair.second))
    counted = words.compare(second, first, minimum)[0]
    own = counted.rename({f"{n}_{a}": f"{n}_{b}" for a, b in SIDES_OF.items() for n in ("n", "only")})
    return own.with_columns(first=pl.lit(name_of(pair.first)), second=pl.lit(name_of(pair.second)))

"""Win rates of every model whose annotations are at hand, beside the leaderboard's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from rewild.core.errors import DataError
from rewild.core.markdown import code, table
from rewild.evaluation.win_rates.annotations import Annotations, Floats
from rewild.evaluation.win_rates.length_control import (
    Difficulties,
    LengthControl,
    at_equal_length,
    estimate_gamed_term,
    features,
    fit,
    recover_difficulties,
)
from rewild.evaluation.win_rates.schema import WIN_RATES

Published = Mapping[str, float | None]
Evidence = tuple[Floats, Floats, Floats]

DEFINITIONS = {
    "win_rate": "Mean preference, as released (rounded to ten decimals)",
    "win_rate_logprobs": "Mean preference, recomputed from the judge's log-probabilities where they are kept",
    "discrete_win_rate": "Share of wins, draws counted half",
    "avg_length": "Mean length of the model's outputs, cut to whole characters",
    "lc_published_weights": "Length-controlled, from published coefficients and recovered difficulties",
    "lc_offline": "Length-controlled, refitted to the annotations; gamed term from other models",
    "lc_offline_as_library": "The same, difficulties matched by position, as the library does",
    "lc_no_gamed": "Length-controlled, refitted without the gamed term",
    "lc_no_difficulty": "Length-controlled, refitted without gamed term and difficulties",
}
"""Metric → what it is. ``lc_offline`` is the one for a model that is not on the leaderboard."""
_LC = "length_controlled_winrate"
_PUBLISHED_AS = {"win_rate_logprobs": "win_rate", **{m: _LC for m in DEFINITIONS if m.startswith("lc_")}}
_ERROR_AS = {
    "win_rate": "standard_error",
    "win_rate_logprobs": "standard_error",
    "lc_published_weights": "lc_standard_error",
}
_SAME = 1e-6  # points: published coefficients that miss their own win rate by more are of another fit


def standard_error(values: Floats) -> float | None:
    """The standard error of the mean, from the sample's standard deviation; None of a single value."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def equal_digits(a: float, b: float) -> bool:
    """Whether two results are the same number: within four units in the last place.

    The leaderboard was summed in another order and went through a text file, which may move the last bits.
    """
    return abs(a - b) <= 4 * math.ulp(b)


def win_rates(
    files: Sequence[Annotations],
    leaderboard: Mapping[str, Published],
    coefficients: Mapping[str, Floats],
    difficulties: Difficulties | None,
) -> pl.DataFrame:
    """Every metric of every model (:data:`~rewild.evaluation.win_rates.schema.WIN_RATES`), models by name.

    Metrics that need difficulties are absent without them. A model that is not on the leaderboard has no
    published values; its length-controlled win rate is ``lc_offline``.

    Raises:
        DataError: a model twice, or a file without any preference.
    """
    seen: dict[str, Annotations] = {}
    for file in files:
        if file.model in seen:
            raise DataError(f"{file.path}: {file.model} stands in {seen[file.model].path} already")
        if np.isnan(file.preference).all():
            raise DataError(f"{file.path}: not one annotation has a preference")
        seen[file.model] = file
    evidence = find_evidence(files, leaderboard, coefficients, difficulties) if difficulties else {}
    rows: list[dict[str, Any]] = []
    for model in sorted(seen):
        published = leaderboard.get(model, {})
        rows += _raw(seen[model], published)
        rows += _length_controlled(seen[model], published, coefficients, difficulties, evidence)
    return pl.DataFrame(rows, schema=WIN_RATES.dtypes)


def agreement(rates: pl.DataFrame) -> pl.DataFrame:
    """How close each metric comes to the leaderboard: rows of ``AGREEMENT``."""
    size = pl.col("difference").abs()
    return (
        rates.filter(pl.col("difference").is_not_null())
        .group_by("metric", maintain_order=True)
        .agg(
            pl.len().alias("models"),
            size.mean().alias("mean_abs_difference"),
            size.max().alias("max_abs_difference"),
            pl.col("model").sort_by(size, descending=True).first().alias("farthest"),
            pl.col("matches_all_digits").sum().alias("all_digits"),
        )
        .sort(pl.col("metric").replace_strict({m: i for i, m in enumerate(DEFINITIONS)}))
    )


def _row(
    file: Annotations,
    metric: str,
    value: float,
    error: float | None,
    published: Published,
    *,
    counts: bool = False,
) -> dict[str, Any]:
    """One row. ``counts``: give wins and draws too, and demand that they are the leaderboard's."""
    y = file.preference[~np.isnan(file.preference)]
    found = {
        "n_total": len(y),
        "n_wins": int((y > 0.5).sum()),
        "n_wins_base": int((y < 0.5).sum()),
        "n_draws": int((y == 0.5).sum()),
    }
    known = published.get(_PUBLISHED_AS.get(metric, metric))
    known_error = published.get(_ERROR_AS.get(metric, ""))
    matches = None
    if known is not None:
        matches = equal_digits(value, known)
        if known_error is not None and error is not None:
            matches &= equal_digits(error, known_error)
        if counts:
            matches &= all(published.get(k) in (None, v) for k, v in found.items())
    return {
        "model": file.model,
        "metric": metric,
        "value": value,
        "standard_error": error,
        "n": found["n_total"],
        "n_wins": found["n_wins"] if counts else None,
        "n_draws": found["n_draws"] if counts else None,
        "published": known,
        "difference": None if known is None else value - known,
        "matches_all_digits": matches,
    }


def _percent_error(values: Floats) -> float | None:
    error = standard_error(values)
    return None if error is None else error * 100


def _raw(file: Annotations, published: Published) -> list[dict[str, Any]]:
    annotated = ~np.isnan(file.preference)
    y, z = file.preference[annotated], file.unrounded[annotated]
    share = float(((y > 0.5).sum() + (y == 0.5).sum() / 2) / len(y) * 100)
    rows = [_row(file, "win_rate", float(y.mean() * 100), _percent_error(y), published, counts=True)]
    if file.has_logprobs:
        rows.append(_row(file, "win_rate_logprobs", float(z.mean() * 100), _percent_error(z), published))
    rows.append(_row(file, "discrete_win_rate", share, None, published, counts=True))
    rows.append(_row(file, "avg_length", float(math.floor(file.length.mean())), None, published))
    return rows


def find_evidence(
    files: Sequence[Annotations],
    leaderboard: Mapping[str, Published],
    coefficients: Mapping[str, Floats],
    difficulties: Difficulties,
) -> dict[str, Evidence]:
    """What the gamed term can be learned from: models whose coefficients give their published win rate."""
    found: dict[str, Evidence] = {}
    for file in files:
        published = leaderboard.get(file.model, {}).get(_LC)
        if file.model not in coefficients or published is None:
            continue
        b, d = coefficients[file.model], difficulties.by_position(file)
        if abs(100 * at_equal_length(b, d, len(d)).mean() - published) < _SAME:
            found[file.model] = (*features(file, d), b)
    return found


def _length_controlled(
    file: Annotations,
    published: Published,
    coefficients: Mapping[str, Floats],
    difficulties: Difficulties | None,
    evidence: Mapping[str, Evidence],
) -> list[dict[str, Any]]:
    found: list[tuple[str, Floats]] = []  # metric, preferences at equal lengths
    if difficulties is not None:
        d, at = difficulties.of(file), difficulties.by_position(file)
        if file.model in coefficients:
            found.append(("lc_published_weights", at_equal_length(coefficients[file.model], at, len(at))))
        gamed = estimate_gamed_term([v for m, v in evidence.items() if m != file.model])
        preferences = LengthControl(difficulties, gamed).preferences(file)
        if gamed is not None and preferences is not None:
            found.append(("lc_offline", preferences))
            b = fit(*features(file, at), gamed)
            found.append(("lc_offline_as_library", at_equal_length(b, at, len(at))))
        found.append(("lc_no_gamed", at_equal_length(fit(*features(file, d)), d, len(d))))
    b = fit(*features(file, None))
    found.append(("lc_no_difficulty", at_equal_length(b, None, len(file.instructions))))
    return [
        # Without difficulties every prediction is the same, which says nothing about the error.
        _row(
            file,
            metric,
            float((p * 100).mean()),
            None if metric == "lc_no_difficulty" else standard_error(p * 100),
            published,
        )
        for metric, p in found
    ]


def length_control(
    files: Sequence[Annotations], leaderboard: Mapping[str, Published], coefficients: Mapping[str, Floats]
) -> LengthControl | None:
    """What the length-controlled win rate of a new model needs; None if no file keeps predictions."""
    difficulties = recover_difficulties(files, dict(coefficients))
    if difficulties is None:
        return None
    evidence = find_evidence(files, leaderboard, coefficients, difficulties)
    return LengthControl(difficulties, estimate_gamed_term(list(evidence.values())))


_SHOWN = (
    "win_rate",
    "lc_published_weights",
    "lc_offline",
    "lc_offline_as_library",
    "lc_no_gamed",
    "lc_no_difficulty",
)


def render(rates: pl.DataFrame, agreement: pl.DataFrame) -> str:
    """Markdown: how near each metric comes to the leaderboard, then every model."""
    lines = [
        "# AlpacaEval 2 win rates, recomputed",
        "",
        "## How near the leaderboard",
        "",
        *table(
            "metric | what it is | models | mean difference | greatest | at | equal in all digits",
            map(_agreement, agreement.iter_rows(named=True)),
            "-->>>->",
        ),
        "",
        "Differences are absolute, in points (in characters for `avg_length`).",
        "",
        "## Every model",
        "",
        "± is the standard error over instructions; = marks a value equal to the leaderboard's.",
        "",
    ]
    rows = []
    for (model,), frame in rates.group_by("model", maintain_order=True):
        metrics = {r["metric"]: r for r in frame.iter_rows(named=True)}
        cells = []
        for name in _SHOWN:
            row = metrics.get(name)
            if row is None:
                cells.append("")
                continue
            error = "" if row["standard_error"] is None else f" ± {row['standard_error']:.2f}"
            cells.append(f"{row['value']:.2f}{error}{' =' if row['matches_all_digits'] else ''}")
        published = metrics["lc_no_difficulty"]["published"]
        cells.append("" if published is None else f"{published:.2f}")
        rows.append((model, metrics["win_rate"]["n"], *cells))
    lines += table(("model", "n", *map(code, _SHOWN), "leaderboard, length-controlled"), rows)
    return "\n".join(lines) + "\n"


def _agreement(row: dict[str, Any]) -> tuple[object, ...]:
    mean, most = f"{row['mean_abs_difference']:.2g}", f"{row['max_abs_difference']:.2g}"
    name = row["metric"]
    return code(name), DEFINITIONS[name], row["models"], mean, most, row["farthest"], row["all_digits"]

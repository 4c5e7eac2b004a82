"""From scores of pairs to numbers per model: three summaries, named apart.

``all_pairs``
    What should be reported: for each response the mean over all other models, then the plain mean over
    responses, with a 95 % interval over conversations.
``sampled``
    What the paper says it did (appendix A): 500 responses of each model, each compared with those of 4
    other models drawn for it. Plain means.
``released_notebook``
    What the released notebook (``notebooks/textual_similarity.ipynb``) computed: 5 models drawn with the
    model itself among the candidates, and itself left out; the first 500 turns in the order of
    conversations; and then not a mean, but a running average ``a = 0.3 x + 0.7 a``, of which the last 10
    turns carry 97 %. Its "standard deviation" is the same running average of the standard deviation over
    the 4 or 5 references. For comparison only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from rewild.core.errors import DataError
from rewild.measures.similarity.schema import (
    AGREEMENT,
    ALL_METRICS,
    MATRIX,
    PER_RESPONSE,
    SUMMARY,
    is_directed,
)

Values = NDArray[np.float64]

NOTEBOOK_ALPHA = 0.3
NOTEBOOK_RESPONSES = 500
NOTEBOOK_DRAW = 5
SHARES = ("seen_rouge", "seen_words")
_DIGITS = 8  # what is written is rounded, so that the order of a sum does not show
MOST_RESAMPLED = 20_000  # conversations; beyond this the bootstrap would not fit into memory


@dataclass(frozen=True)
class Options:
    """How to summarise; see :class:`rewild.config.similarity.Similarity`."""

    seed: int = 50
    responses: int = 500
    references: int = 4
    interval: Literal["bootstrap", "normal"] = "bootstrap"
    resamples: int = 1000


@dataclass(frozen=True)
class Cube:
    """Scores as item × model × reference, one array per metric; NaN where there is none.

    Attributes:
        conversations: number of each item's conversation, not decreasing.
        items: the items: ``conversation_id`` and ``turn``, sorted.
        models: sorted.
    """

    items: pl.DataFrame
    conversations: NDArray[np.int64]
    models: list[str]
    scores: dict[str, NDArray[np.float32]]


def cube(pairs: pl.DataFrame) -> Cube:
    """Lay out :data:`PAIRS` rows.

    Raises:
        DataError: there are none.
    """
    if pairs.is_empty():
        raise DataError("no pair of responses was compared: nothing to summarise")
    items = (
        pairs.select("conversation_id", "turn")
        .unique()
        .sort("conversation_id", "turn")
        .with_row_index("item")
    )
    models = sorted(set(pairs["model"].unique()) | set(pairs["reference"].unique()))
    at = pairs.select("conversation_id", "turn", "model", "reference").join(
        items, on=["conversation_id", "turn"], how="left", maintain_order="left"
    )
    number = {model: i for i, model in enumerate(models)}
    sides = (at[side].replace_strict(number, return_dtype=pl.Int64) for side in ("model", "reference"))
    index = tuple(column.to_numpy().astype(np.int64) for column in (at["item"], *sides))
    scores = {}
    for name in (*ALL_METRICS, *SHARES):
        if pairs[name].null_count() == pairs.height:
            continue
        scores[name] = np.full((items.height, len(models), len(models)), np.nan, np.float32)
        scores[name][index] = pairs[name].cast(pl.Float32).to_numpy()
    conversations = items["conversation_id"].rle_id().to_numpy().astype(np.int64)
    return Cube(items.drop("item"), conversations, models, scores)


def per_response(data: Cube) -> pl.DataFrame:
    """Means over all other models, for each response (:data:`PER_RESPONSE`)."""
    count = np.sum(~np.isnan(_any_score(data)), axis=2)
    item, model = np.nonzero(count)
    columns: dict[str, pl.Series] = {
        "conversation_id": data.items["conversation_id"][item],
        "turn": data.items["turn"][item],
        "model": pl.Series(data.models)[model],
        "references": pl.Series(count[item, model], dtype=pl.Int32),
    }
    for name in (*ALL_METRICS, *SHARES):
        if name in data.scores:
            values = _mean(data.scores[name], 2)[item, model]
            columns[name] = pl.Series(np.round(values, _DIGITS)).fill_nan(None)
        else:
            columns[name] = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(item))
    return PER_RESPONSE.check(pl.DataFrame(columns), "similarity of responses")


def matrix(data: Cube) -> pl.DataFrame:
    """Means over items of each ordered pair of models (:data:`MATRIX`)."""
    frames = []
    for name, scores in data.scores.items():
        count = np.sum(~np.isnan(scores), axis=0)
        mean = _mean(scores, 0)
        model, reference = np.nonzero(count)
        names = pl.Series(data.models)
        frames.append(
            pl.DataFrame(
                {
                    "metric": pl.Series([name]).new_from_index(0, len(model)),
                    "model": names[model],
                    "reference": names[reference],
                    "n": count[model, reference],
                    "mean": np.round(mean[model, reference], _DIGITS),
                }
            )
        )
    return MATRIX.check(pl.concat(frames), "similarity matrix")


def summarise(data: Cube, options: Options) -> pl.DataFrame:
    """All three summaries of every metric and model (:data:`SUMMARY`)."""
    rows: list[dict[str, object]] = []
    for name, scores in data.scores.items():
        roles = ("hypothesis", "reference") if is_directed(name) else ("either",)
        for role in roles:
            turned = scores if role != "reference" else scores.transpose(0, 2, 1)
            rows += _all_pairs(data, name, role, turned, options)
        rows += _drawn(data, name, scores, options)
    order = {"all_pairs": 0, "sampled": 1, "released_notebook": 2}
    frame = pl.DataFrame(rows, schema=SUMMARY.dtypes).sort(
        pl.col("summary").replace_strict(order, return_dtype=pl.Int8), "metric", "role", "model"
    )
    return SUMMARY.check(frame.with_columns(pl.selectors.float().round(_DIGITS)), "similarity summary")


def agreement(summary: pl.DataFrame) -> pl.DataFrame:
    """How far ``sampled`` and ``released_notebook`` stray from ``all_pairs`` (:data:`AGREEMENT`)."""
    of = summary.filter(pl.col("role") != "reference", ~pl.col("metric").is_in(SHARES))
    truth = of.filter(pl.col("summary") == "all_pairs").select("metric", "model", truth="mean")
    both = of.filter(pl.col("summary") != "all_pairs").join(truth, on=["metric", "model"])
    rows = []
    for (name, metric), part in both.group_by("summary", "metric", maintain_order=True):
        error = (part["mean"] - part["truth"]).to_numpy()
        worst = int(np.argmax(np.abs(error)))
        several = part.height > 1
        ranked = several and min(part["mean"].n_unique(), part["truth"].n_unique()) > 1
        rows.append(
            {
                "summary": name,
                "metric": metric,
                "models": part.height,
                "sd_models": float(part["truth"].to_numpy().std(ddof=1)) if several else 0.0,
                "sd_error": float(error.std(ddof=1)) if several else 0.0,
                "rms_error": float(np.sqrt(np.mean(error**2))),
                "worst": float(np.abs(error[worst])),
                "worst_model": part["model"][worst],
                "rank_correlation": float(stats.spearmanr(part["mean"], part["truth"])[0])
                if ranked
                else None,
            }
        )
    frame = pl.DataFrame(rows, schema=AGREEMENT.dtypes).sort("summary", "metric")
    return AGREEMENT.check(frame.with_columns(pl.selectors.float().round(_DIGITS)), "similarity agreement")


def interval(values: Values, clusters: NDArray[np.int64], options: Options) -> tuple[Values, Values, Values]:
    """Means over rows and their 95 % intervals over clusters, per column.

    Args:
        values: items × columns; NaN where there is none.
        clusters: number of each item's conversation: turns of one conversation are not independent.
        options: ``bootstrap`` resamples conversations and takes percentiles (beyond 20,000 conversations it
            would not fit into memory, and ``normal`` serves as well); ``normal`` takes 1.96 standard errors
            of a ratio of sums over conversations.

    Returns:
        Means, lower and upper ends; the ends are NaN where fewer than two conversations have a value.
    """
    n = int(clusters.max()) + 1
    there = ~np.isnan(values)
    sums, counts = np.zeros((n, values.shape[1])), np.zeros((n, values.shape[1]))
    np.add.at(sums, clusters, np.where(there, values, 0.0))
    np.add.at(counts, clusters, there)
    total = counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums.sum(axis=0) / total
        if options.interval == "bootstrap" and n <= MOST_RESAMPLED:
            weights = _weights(options.seed, n, options.resamples)
            resampled = (weights @ sums) / (weights @ counts)
            quantile = np.nanquantile if np.isnan(resampled).any() else np.quantile
            low, high = quantile(resampled, [0.025, 0.975], axis=0)
        else:
            used = (counts > 0).sum(axis=0)
            residual = sums - mean * counts
            error = 1.96 * np.sqrt((residual**2).sum(axis=0) * used / np.maximum(used - 1, 1)) / total
            low, high = mean - error, mean + error
    few = (counts > 0).sum(axis=0) < 2
    return mean, np.where(few, np.nan, low), np.where(few, np.nan, high)


@lru_cache(maxsize=4)
def _weights(seed: int, n: int, resamples: int) -> Values:
    """How often each of ``n`` conversations is drawn in each resample; the same for all metrics."""
    chance = np.random.default_rng([seed, n])
    return chance.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def notebook_average(values: Values) -> float:
    """The released notebook's running average of ``values``, in their order; the first value starts it."""
    average = float(values[0])
    for value in values[1:]:
        average = NOTEBOOK_ALPHA * float(value) + (1 - NOTEBOOK_ALPHA) * average
    return average


def _all_pairs(
    data: Cube, name: str, role: str, scores: NDArray[np.float32], options: Options
) -> Iterator[dict[str, object]]:
    values = _mean(scores, 2)
    count = np.sum(~np.isnan(scores), axis=2)
    mean, low, high = interval(values, data.conversations, options)
    for m, model in enumerate(data.models):
        own = values[~np.isnan(values[:, m]), m]
        if not len(own):
            continue
        references = float(count[:, m].sum() / len(own))
        ends = mean[m], low[m], high[m]
        yield _row("all_pairs", name, role, model, own, references, ends, _sd(own))


def _drawn(
    data: Cube, name: str, scores: NDArray[np.float32], options: Options
) -> Iterator[dict[str, object]]:
    """``sampled`` and ``released_notebook``. Draws depend on the seed and the model, not on the metric."""
    role = "hypothesis" if is_directed(name) else "either"
    for m, model in enumerate(data.models):
        references, items = _sampled_draw(data, m, options)
        own = scores[items][:, m, references].astype(np.float64)
        values = _mean(own, 1)
        kept = ~np.isnan(values)
        if kept.any():
            mean, low, high = interval(values[kept, None], _dense(data.conversations[items][kept]), options)
            used = float(np.sum(~np.isnan(own)) / kept.sum())
            ends = mean[0], low[0], high[0]
            yield _row("sampled", name, role, model, values[kept], used, ends, _sd(values[kept]))

        references = _notebook_draw(data, m, options)
        own = scores[:, m][:, references].astype(np.float64)
        own = own[~np.isnan(own).any(axis=1)][:NOTEBOOK_RESPONSES]
        if len(references) and len(own):
            ends, used = (notebook_average(own.mean(axis=1)), np.nan, np.nan), float(len(references))
            spread = notebook_average(own.std(axis=1))
            yield _row("released_notebook", name, role, model, own[:, 0], used, ends, spread)


def _sampled_draw(data: Cube, m: int, options: Options) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    chance = np.random.default_rng([options.seed, _number(f"sampled {data.models[m]}")])
    others = np.delete(np.arange(len(data.models)), m)
    references = np.sort(chance.choice(others, min(options.references, len(others)), replace=False))
    answered = np.flatnonzero((~np.isnan(_any_score(data)[:, m])).any(axis=1))
    items = np.sort(chance.choice(answered, min(options.responses, len(answered)), replace=False))
    return references, items


def _notebook_draw(data: Cube, m: int, options: Options) -> NDArray[np.int64]:
    chance = np.random.default_rng([options.seed, _number(f"notebook {data.models[m]}")])
    n = len(data.models)
    drawn = chance.choice(n, min(NOTEBOOK_DRAW, n), replace=False)
    return np.sort(drawn[drawn != m])


def _any_score(data: Cube) -> NDArray[np.float32]:
    """A metric that every compared pair has."""
    return data.scores["rouge1"]


def _row(  # noqa: PLR0917
    summary: str,
    metric: str,
    role: str,
    model: str,
    values: Values,
    references: float,
    ends: tuple[float, float, float],
    sd: float | None,
) -> dict[str, object]:
    mean, low, high = ends
    return {
        "summary": summary,
        "metric": metric,
        "role": role,
        "model": model,
        "n": len(values),
        "references": references,
        "mean": float(mean),
        "ci_low": None if np.isnan(low) else float(low),
        "ci_high": None if np.isnan(high) else float(high),
        "sd": sd,
    }


def _sd(values: Values) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _mean(values: NDArray[np.floating], axis: int) -> Values:
    """Means without NaN, in double precision; NaN where there is nothing."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Values = np.where(there, values, 0.0).sum(axis=axis, dtype=np.float64) / there.sum(axis=axis)
    return mean


def _dense(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(numbers, return_inverse=True)[1]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def concat_blocks(blocks: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The pairs of all blocks, in the order of conversations.

    Raises:
        DataError: two blocks hold the same row: they are not blocks of one study.
    """
    whole = pl.concat(blocks).sort("conversation_id", "turn", "model", "reference")
    if whole.select("conversation_id", "turn", "model", "reference").is_duplicated().any():
        raise DataError("two blocks hold scores of the same pair: they were not cut from the same responses")
    return whole

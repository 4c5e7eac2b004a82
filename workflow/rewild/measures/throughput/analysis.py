"""Throughput (section 2.2 of the paper): how fast each model answered, and what that depends on.

Everything comes from what shards measured while they were generated
(:class:`rewild.generation.schema.Measurement`). A model's speed is all of its tokens over all of its time,
not a mean of shards' speeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import polars as pl

from rewild.core.errors import DataError
from rewild.core.reading import read_model
from rewild.core.table import Column, TableSchema
from rewild.generation.schema import Measurement
from rewild.prompts.synthesis.schema import Measured

FEWEST = 5
"""Models that a correlation needs. With four, a perfect rank correlation has p = 0.08: it says nothing."""

THROUGHPUT = TableSchema(
    name="throughput",
    version=1,
    columns={
        "model": Column(pl.String, "The model's slug; of prompts that models wrote, SOURCE/STEP"),
        "engine": Column(pl.String, "What generated: transformers, vllm, openai"),
        "hardware": Column(pl.String, "What it ran on"),
        "gpus": Column(pl.Int64, "GPUs that shared the model; 0 on a CPU"),
        "parameters": Column(pl.Float64, "Parameters, in billions"),
        "context": Column(pl.Int64, "Context, in tokens"),
        "shards": Column(pl.Int64, "Shards measured"),
        "conversations": Column(pl.Int64, "Conversations in them"),
        "input_tokens": Column(pl.Int64, "Tokens of prompts"),
        "output_tokens": Column(pl.Int64, "Tokens of answers"),
        "generate_seconds": Column(pl.Float64, "Wall clock time of generation, without loading the model"),
        "tokens_per_second": Column(pl.Float64, "Input and output tokens per second (the paper's Tok/s)"),
        "tokens_per_second_sd": Column(
            pl.Float64, "Standard deviation of the shards' own; null with one", True
        ),
        "seconds_per_1000_conversations": Column(
            pl.Float64, "Time per 1,000 conversations (the paper's Time)"
        ),
        "input_output_ratio": Column(
            pl.Float64, "Input over output speed, both over the whole time: input over output tokens", True
        ),
        "prefill_decode_ratio": Column(
            pl.Float64,
            "Input over output speed, each over the time it took; null if the engine cannot tell",
            True,
        ),
        "peak_memory_gb": Column(
            pl.Float64, "Most memory any shard took (device, or process on a CPU), in GB", True
        ),
        "published_tokens_per_second": Column(pl.Float64, "As the paper prints it, on its hardware", True),
    },
    key=("model",),
)

SUMMARY = TableSchema(
    name="throughput summary",
    version=1,
    columns={
        "quantity": Column(pl.String, "A column of the throughput table"),
        "statistic": Column(
            pl.String, "mean or sd over models; pearson or spearman with context × parameters"
        ),
        "value": Column(pl.Float64, "Null if it cannot be said; the note says why", True),
        "low": Column(pl.Float64, "Lower end of the 95 % interval over models", True),
        "high": Column(pl.Float64, "Upper end", True),
        "p": Column(pl.Float64, "Two-sided p-value of no correlation", True),
        "models": Column(pl.Int64, "Models it is over"),
        "published": Column(pl.Float64, "As the paper prints it, over its models and hardware", True),
        "note": Column(pl.String, "What to know about it", True),
    },
    key=("quantity", "statistic"),
)

PUBLISHED = TableSchema(
    name="published throughput",
    version=1,
    columns={
        "quantity": Column(pl.String, "A column of the throughput table"),
        "model": Column(pl.String, "The model; null for a statistic over models", True),
        "statistic": Column(pl.String, "mean, sd, pearson or spearman"),
        "value": Column(pl.Float64, "As printed"),
        "source": Column(pl.String, "Where it stands in the paper"),
    },
    key=("quantity", "model", "statistic"),
)


def read_measurements(paths: Sequence[Path]) -> list[Measurement]:
    """Read the measurements of shards, ``responses/{model}/{shard}.json``.

    Raises:
        DataError: a file is missing or is no measurement.
    """
    return [read_model(path, Measurement, "the measurement of a shard") for path in paths]


def per_step(measurements: Sequence[Measured]) -> pl.DataFrame:
    """The same of prompts that models wrote, a row per step of a source: ``SOURCE/STEP`` in place of a model.

    A step in which nothing was written has no speed, and no row.
    """
    named = [m.model_copy(update={"model": f"{m.source}/{m.step}"}) for m in measurements if m.output_tokens]
    return per_model(named, pl.DataFrame(schema=PUBLISHED.dtypes))


def per_model(measurements: Sequence[Measurement], published: pl.DataFrame) -> pl.DataFrame:
    """Sum each model's shards (:data:`THROUGHPUT`), fastest first.

    Raises:
        DataError: a shard is there twice; shards of one model differ in context, GPUs or engine; a model
            has generated nothing.
    """
    speeds = published.filter(quantity="tokens_per_second", statistic="mean")
    printed = dict(speeds.select("model", "value").iter_rows())
    ordered = sorted(measurements, key=lambda m: (m.model, m.shard))
    rows = [
        _row(model, list(group), printed.get(model)) for model, group in groupby(ordered, lambda m: m.model)
    ]
    return pl.DataFrame(rows, schema=THROUGHPUT.dtypes).sort(
        "tokens_per_second", "model", descending=[True, False]
    )


def _row(model: str, shards: list[Measurement], printed: float | None) -> dict[str, Any]:
    for before, after in pairwise(shards):
        if before.shard == after.shard:
            raise DataError(f"{model}: shard {after.shard} was given twice")
        for what in ("context", "gpus", "engine", "parameters"):
            if getattr(before, what) != getattr(after, what):
                raise DataError(
                    f"{model}: shard {before.shard} was made with {what} {getattr(before, what)}, shard "
                    f"{after.shard} with {getattr(after, what)}; their speeds are not of one thing"
                )
    seconds = sum(s.generate_seconds for s in shards)
    read, written = sum(s.input_tokens for s in shards), sum(s.output_tokens for s in shards)
    conversations = sum(s.conversations for s in shards)
    if not (seconds > 0 and conversations and written):
        raise DataError(
            f"{model}: {conversations} conversations and {written} tokens in {seconds} s have no speed"
        )
    told = [s for s in shards if s.prefill_seconds and s.decode_seconds]
    whole = len(told) == len(shards)
    prefill, decode = sum(s.prefill_seconds or 0 for s in told), sum(s.decode_seconds or 0 for s in told)
    speeds = [s.tokens_per_second for s in shards if s.tokens_per_second is not None]
    peaks = [s.peak_memory for s in shards if s.peak_memory is not None]
    return {
        "model": model,
        "engine": shards[0].engine,
        "hardware": ", ".join(sorted({_hardware(s.hardware) for s in shards})),
        "gpus": shards[0].gpus,
        "parameters": shards[0].parameters,
        "context": shards[0].context,
        "shards": len(shards),
        "conversations": conversations,
        "input_tokens": read,
        "output_tokens": written,
        "generate_seconds": seconds,
        "tokens_per_second": (read + written) / seconds,
        "tokens_per_second_sd": stdev(speeds) if len(speeds) > 1 else None,
        "seconds_per_1000_conversations": 1000 * seconds / conversations,
        "input_output_ratio": read / written,
        "prefill_decode_ratio": (read / prefill) / (written / decode) if whole else None,
        "peak_memory_gb": max(peaks) / 1e9 if peaks else None,
        "published_tokens_per_second": printed,
    }


def _hardware(found: dict[str, Any]) -> str:
    name = found.get("gpu") or found.get("cpu") or found.get("machine") or "unknown"
    return str(name)


def summary(models: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """What the paper says over all models (:data:`SUMMARY`): mean ratios, correlations with size.

    Args:
        models: the result of :func:`per_model`.
        published: the paper's numbers.
    """
    printed = {
        (quantity, statistic): value
        for quantity, model, statistic, value in published.select(
            "quantity", "model", "statistic", "value"
        ).iter_rows()
        if model is None
    }
    rows = []
    for quantity in ("input_output_ratio", "prefill_decode_ratio"):
        values = models[quantity].drop_nulls().to_list()
        rows += [_mean(quantity, values), _deviation(quantity, values)]
    size = (models["context"] * models["parameters"]).to_list()
    for quantity in ("seconds_per_1000_conversations", "tokens_per_second"):
        values = models[quantity].to_list()
        rows += [correlate(quantity, statistic, size, values) for statistic in ("pearson", "spearman")]
    mixed = models["hardware"].n_unique() > 1 or models["gpus"].n_unique() > 1
    for row in rows:
        row["published"] = printed.get((row["quantity"], row["statistic"]))
        if mixed and row["statistic"] in ("pearson", "spearman") and row.get("value") is not None:
            row["note"] = "the models ran on different hardware or numbers of GPUs"
    return pl.DataFrame(rows, schema=SUMMARY.dtypes)


def _mean(quantity: str, values: Sequence[float]) -> dict[str, Any]:
    """Mean over models with its 95 % interval (Student's t)."""
    from scipy.stats import t

    row: dict[str, Any] = {"quantity": quantity, "statistic": "mean", "models": len(values)}
    if not values:
        return row | {"note": "the engine cannot tell reading from writing"}
    if len(values) < 2:
        return row | {"value": values[0], "note": "one model only"}
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return row | {"value": mean(values), "low": mean(values) - half, "high": mean(values) + half}


def _deviation(quantity: str, values: Sequence[float]) -> dict[str, Any]:
    row: dict[str, Any] = {"quantity": quantity, "statistic": "sd", "models": len(values)}
    return row | {"value": stdev(values)} if len(values) > 1 else row | {"note": "fewer than two models"}


def correlate(quantity: str, statistic: str, x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """One correlation, its two-sided p-value and 95 % interval, or the reason why there is none.

    The intervals are Fisher's z for Pearson, and Bonett and Wright's (2000, Psychometrika 65) for Spearman,
    whose variance is larger.

    Args:
        quantity: what ``y`` is.
        statistic: ``pearson`` or ``spearman``.
        x: per model.
        y: per model.
    """
    from scipy.stats import pearsonr, spearmanr

    n = len(x)
    row: dict[str, Any] = {"quantity": quantity, "statistic": statistic, "models": n}
    if n < FEWEST:
        return row | {"note": f"{n} models are too few for a correlation ({FEWEST} are needed)"}
    if len(set(x)) == 1 or len(set(y)) == 1:
        return row | {"note": "all models are alike in one of the two: there is no correlation"}
    result = pearsonr(x, y) if statistic == "pearson" else spearmanr(x, y)
    r, p = float(result.statistic), float(result.pvalue)
    if abs(r) > 1 - 1e-12:
        return row | {"value": round(r), "low": round(r), "high": round(r), "p": p}
    spread = 1.0 if statistic == "pearson" else math.sqrt(1 + r * r / 2)
    half = 1.959963984540054 * spread / math.sqrt(n - 3)
    return row | {
        "value": r,
        "low": math.tanh(math.atanh(r) - half),
        "high": math.tanh(math.atanh(r) + half),
        "p": p,
    }

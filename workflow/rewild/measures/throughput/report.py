"""The throughput tables as Markdown, the paper's numbers beside them."""

from __future__ import annotations

import polars as pl

from rewild.core.markdown import table
from rewild.core.markdown import text as escape

HEAD = (
    "Model | Parameters | Context | GPUs | Tok/s | ± sd of shards | s per 1,000 | In/out | Prefill/decode | "
    "Tok/s, published"
)


def markdown(models: pl.DataFrame, summary: pl.DataFrame) -> str:
    """Both tables, rounded for reading. Published numbers stand in columns of their own."""
    lines = [
        "# Throughput",
        "",
        "Tok/s counts input and output tokens. In/out divides both by the whole time, so it is input tokens",
        "over output tokens; prefill/decode divides each by the time it took. Published numbers are the",
        "paper's, on its own hardware (section 2.2).",
        "",
        *table(HEAD, map(_model, models.iter_rows(named=True)), "-"),
        "",
        f"Hardware: {escape(_all(models['hardware']))}. Engine: {escape(_all(models['engine']))}.",
        "",
        "## Over models",
        "",
        *table(
            "Quantity | Statistic | Value | 95 % interval | p | Models | Published | Note",
            map(_over_all, summary.iter_rows(named=True)),
            "-",
        ),
        "",
        "Correlations are with context × parameters.",
    ]
    return "\n".join(lines) + "\n"


def _model(row: dict[str, object]) -> list[str]:
    return [
        str(row["model"]),
        _parameters(row["parameters"]),
        f"{row['context']:,}",
        str(row["gpus"]),
        _number(row["tokens_per_second"], 0),
        _number(row["tokens_per_second_sd"], 0),
        _number(row["seconds_per_1000_conversations"], 1),
        _number(row["input_output_ratio"], 2),
        _number(row["prefill_decode_ratio"], 2),
        _number(row["published_tokens_per_second"], 0),
    ]


def _over_all(row: dict[str, object]) -> list[str]:
    low, high = _number(row["low"], 2), _number(row["high"], 2)
    return [
        str(row["quantity"]).replace("_", " "),
        str(row["statistic"]),
        _number(row["value"], 2),
        f"{low} to {high}" if low and high else "",
        _number(row["p"], 3),
        str(row["models"]),
        _number(row["published"], 2),
        str(row["note"] or ""),
    ]


def _parameters(billions: object) -> str:
    value = float(str(billions))
    return f"{value:,.1f} B" if value >= 1 else f"{1000 * value:,.2f} M"


def _number(value: object, digits: int) -> str:
    return "" if value is None else f"{float(str(value)):,.{digits}f}"


def _all(values: pl.Series) -> str:
    return ", ".join(sorted(set(values)))

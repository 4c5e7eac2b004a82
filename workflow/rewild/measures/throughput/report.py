"""The throughput tables as Markdown, the paper's numbers beside them, and as a figure."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter

from rewild.core.markdown import table
from rewild.core.markdown import text as escape
from rewild.core.plotting import COLOURS, COLUMN, PAGE, new_figure, save, style

HEAD = (
    "Model | Parameters | Context | GPUs | Tok/s | ± sd of shards | s per 1,000 | In/out | Prefill/decode | "
    "Tok/s, published"
)


def markdown(models: pl.DataFrame, summary: pl.DataFrame, written: pl.DataFrame | None = None) -> str:
    """The tables, rounded for reading. Published numbers stand in columns of their own.

    Args:
        models: of answers.
        summary: over models.
        written: of prompts that models wrote, which the summary knows nothing of.
    """
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
    if written is not None and not written.is_empty():
        head = HEAD.replace("Model", "Source/step", 1)
        lines += [
            "",
            "## Prompts that models wrote",
            "",
            *table(head, map(_model, written.iter_rows(named=True)), "-"),
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


LABELLED = 12  # with more models, only the fastest and the slowest are named


def draw_throughput(models: pl.DataFrame, stem: Path) -> None:
    """Draw tokens per second and time per 1,000 conversations, both against context × parameters.

    Args:
        models: a :data:`rewild.measures.throughput.analysis.THROUGHPUT` table.
        stem: path without suffix; ``.svg``, ``.pdf`` and ``.png`` are written.
    """
    sized = models.with_columns(size=pl.col("context") * pl.col("parameters") * 1e9).sort("size", "model")
    panels = (
        ("tokens_per_second", "Tokens per second (input and output)"),
        ("seconds_per_1000_conversations", "Seconds per 1,000 conversations"),
    )
    with style():
        figure = new_figure(PAGE, 0.75 * COLUMN)
        for axes, (quantity, label) in zip(figure.subplots(1, 2), panels, strict=True):
            axes.scatter(sized["size"], sized[quantity], s=18, color=COLOURS[0], zorder=3, label="measured")
            printed = sized.drop_nulls("published_tokens_per_second")
            if quantity == "tokens_per_second" and printed.height:
                axes.scatter(
                    printed["size"], printed["published_tokens_per_second"], s=18, facecolors="none",
                    edgecolors=COLOURS[1], zorder=3, label="published",
                )  # fmt: skip
                axes.legend()
            axes.set(xlabel="Context × parameters", ylabel=label)
            _scale(axes, "x", sized["size"].to_list())
            _scale(axes, "y", sized[quantity].to_list())
            axes.margins(0.2, 0.18)
            axes.set_ylim(bottom=0 if axes.get_yscale() == "linear" else None)
            axes.grid(True)
            ranked = sized.sort(quantity)["model"].to_list()
            named = set(ranked if len(ranked) <= LABELLED else (ranked[0], ranked[-1]))
            for at, (model, x, y) in enumerate(sized.select("model", "size", quantity).iter_rows()):
                if model in named:
                    above = at % 2 == 0
                    axes.annotate(
                        model, (x, y), xytext=(0, 5 if above else -5), textcoords="offset points",
                        ha="center", va="bottom" if above else "top", fontsize=6.5,
                    )  # fmt: skip
        save(figure, stem, "Throughput of models against context times parameters")


def _scale(axes: Axes, which: str, values: list[float]) -> None:
    """Logarithmic where values differ by more than a factor of ten; numbers written as 2.5 M, 12 k, 40."""
    if max(values) > 10 * min(values):
        axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(EngFormatter(sep=" "))
    axis.set_minor_formatter(NullFormatter())

"""The win rates as a table for readers."""

from __future__ import annotations

from typing import Any

import polars as pl

from rewild.core.markdown import code, table
from rewild.evaluation.win_rates.compute import DEFINITIONS

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

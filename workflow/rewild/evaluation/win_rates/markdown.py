"""The win rates as a table for readers."""

from __future__ import annotations

import polars as pl

from rewild.core.escape import markdown as escape
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
        "| metric | what it is | models | mean difference | greatest | at | equal in all digits |",
        "|---|---|---:|---:|---:|---|---:|",
    ]
    for r in agreement.iter_rows(named=True):
        lines.append(
            f"| `{r['metric']}` | {escape(DEFINITIONS[r['metric']])} | {r['models']} | "
            f"{r['mean_abs_difference']:.2g} | {r['max_abs_difference']:.2g} | {escape(r['farthest'])} | "
            f"{r['all_digits']} |"
        )
    lines += [
        "",
        "Differences are absolute, in points (in characters for `avg_length`).",
        "",
        "## Every model",
        "",
        "± is the standard error over instructions; = marks a value equal to the leaderboard's.",
        "",
        "| model | n | " + " | ".join(f"`{m}`" for m in _SHOWN) + " | leaderboard, length-controlled |",
        "|---|---:|" + "---:|" * (len(_SHOWN) + 1),
    ]
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
        lines.append(f"| {escape(model)} | {metrics['win_rate']['n']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"

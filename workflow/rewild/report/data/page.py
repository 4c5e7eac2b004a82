"""A page that lists the figures and tables of a study's data, and says why others are left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from rewild.core.markdown import table, text
from rewild.core.table import Column, TableSchema, read_table
from rewild.report.data.numbers import NUMBERS
from rewild.report.data.plan import VIEWS, Plan

LEFT_OUT = TableSchema(
    "data-left-out",
    1,
    {
        "shown": Column(pl.String, "The figure or table"),
        "panel": Column(pl.String, "Its panel: the part that a measure plays"),
        "set": Column(pl.String, "The set that is left out of it; null: all", True),
        "reason": Column(pl.String, "Why"),
    },
)
"""``results/{study}/data/left_out.csv``"""


def page(title: str, plan: Plan, numbers: Sequence[Path]) -> str:
    """The page, as Markdown.

    Args:
        title: of the study.
        plan: what is shown.
        numbers: the CSV files of the figures, :data:`NUMBERS`; those of tables may be among them.
    """
    counted = {path.stem: path for path in numbers}
    lines = [f"# {text(title)}: its data", ""]
    sets = [(row.title, row.source or "all", row.responses or "–") for row in plan.sets.values()]
    lines += [*table("Set | Source of the prompts | Responses of", sets, "<"), ""]
    for view in plan.views:
        lines += [f"## {VIEWS[view].title}", "", f"As Figure {VIEWS[view].figure} of MAGPIE."]
        lines += ["", f"![{VIEWS[view].title}]({view}.png)", ""]
        if view in counted:
            lines += [
                *table("Panel | Set | Measure | Texts | Without a value", _counts(counted[view]), "<<<>"),
                "",
            ]
    if plan.tables:
        lines += ["## Tables", "", *(f"- [{name}]({name}.md)" for name in plan.tables), ""]
    if plan.left_out:
        lines += ["## Left out", ""]
        gone = [(x.view, x.role, x.set or "all", x.reason) for x in plan.left_out]
        lines += [*table("Figure or table | Panel | Set | Why", gone, "<"), ""]
    return "\n".join(lines)


def _counts(path: Path) -> list[tuple[object, ...]]:
    """Of each panel and set, how many texts it shows."""
    rows = read_table(path, NUMBERS)
    keys = ["panel", "series", "measure"]
    if path.stem != "settings":  # there, each row has texts of its own
        rows = rows.unique(keys, keep="first", maintain_order=True)
    return rows.group_by(keys, maintain_order=True).agg(pl.col("texts", "failed").sum()).rows()

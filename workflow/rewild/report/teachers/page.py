"""The ranking as a reader sees it: a table, a recommendation with its doubt, one page of everything."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.teachers import CAR, FEWEST, OTHERS, Teachers
from rewild.core.escape import page as html_page
from rewild.core.markdown import table, text
from rewild.core.table import Column, TableSchema
from rewild.measures.shared import left_out
from rewild.report.teachers.plan import VIEWS, LeftOut
from rewild.report.teachers.schema import MEAN
from rewild.report.teachers.views import Tables, grid

HEADS = (
    "teacher", "reward", "loss", "CAR", "rank", "95 % interval", "score", "score's rank", "licence",
    "GPU-hours", "$ for 100,000",
)  # fmt: skip
LICENCE = 28
"""Characters of a licence in a table."""
BEFORE = "There are no scores yet: this is what is known before any training."
LEFT_OUT = TableSchema(
    "teachers-left-out",
    1,
    {"shown": Column(pl.String, "The figure or table"), "reason": Column(pl.String, "Why it is not made")},
)


@dataclass(frozen=True)
class Section:
    """A figure or table of the page."""

    title: str
    place: str | None
    head: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    source: str | None = None


@dataclass(frozen=True)
class Ranked:
    """What a reader sees of one base model.

    Attributes:
        name: of the base model.
        said: the recommendation.
        notes: what of the answers the ranking does not rest on.
        head, rows: the table of candidates.
    """

    name: str
    said: str
    notes: Sequence[str]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def seen(base: str, tables: Tables, given: Teachers) -> Ranked:
    """All that a reader sees of one base model."""
    return Ranked(
        base, recommend(base, tables), notes(base, tables, given),
        *ranked(base, tables),
    )  # fmt: skip


def ranked(base: str, tables: Tables) -> tuple[list[str], list[list[str]]]:
    """The table of candidates for a base model: headings and rows, the best first."""
    mine = tables.ranking.filter(pl.col("base") == base)
    real = tables.performance.filter(
        pl.col("base") == base, ~pl.col("variant"), pl.col("benchmark") == MEAN, pl.col("value").is_not_null()
    )
    scores = dict(zip(real["teacher"], real["value"], strict=True))
    order = sorted(scores.values(), reverse=True)
    by = mine["by"][0] if mine.height else CAR
    head = [by if name == "CAR" and by != CAR else name for name in HEADS]
    rows = []
    for r in mine.iter_rows(named=True):
        score = scores.get(r["teacher"])
        ends = "–" if r["rank_low"] is None else f"{r['rank_low']:g} to {r['rank_high']:g}"
        rows.append(
            [
                r["teacher"], _number(r["reward"]), _number(r["loss"]), _number(r["value"], 3),
                "–" if r["rank"] is None else f"{r['rank']:g}", ends, _number(score),
                "–" if score is None else f"{order.index(score) + 1}", _cut(r["licence"] or "–"),
                r["basis"] if r["gpu_hours"] is None else _number(r["gpu_hours"], 1),
                _number(r["dollars"]),
            ]
        )  # fmt: skip
    return head, rows


def _cut(licence: str) -> str:
    """Short enough for a column; ranking.csv has the whole."""
    return licence if len(licence) <= LICENCE else licence[: LICENCE - 1] + "…"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def recommend(base: str, tables: Tables) -> str:
    """One line: whom to learn from, why, and what speaks against being sure."""
    mine = tables.ranking.filter(pl.col("base") == base, pl.col("rank").is_not_null())
    if mine.is_empty():
        return f"{base}: no teacher has a value, so none is recommended."
    rows = list(mine.iter_rows(named=True))
    top = [r for r in rows if r["rank"] == rows[0]["rank"]]
    by = "CAR" if rows[0]["by"] == CAR else rows[0]["by"]
    if len(top) > 1:
        names = ", ".join(r["teacher"] for r in top)
        return (
            f"{base}: {names} are equal by {by} ({_number(top[0]['value'], 3)}): it does not tell them apart."
        )
    first = top[0]
    reason = f"the {'best' if by != 'CAR' else 'highest'} {by} ({_number(first['value'], 3)}"
    if first["reward"] is not None:
        reason += f": reward {_number(first['reward'])}, loss {_number(first['loss'])}"
    every = tables.ranking.filter(pl.col("base") == base)
    nothing = every.filter(pl.col("rank").is_null())["teacher"].to_list()
    doubt = _doubt(base, first, rows[1:], nothing, tables)
    return f"{base}: {first['teacher']}, for {reason}). {doubt}"


def notes(base: str, tables: Tables, given: Teachers) -> list[str]:
    """What of the answers the ranking of a base model does not rest on, in sentences; and what is added."""
    mine = tables.ranking.filter(pl.col("base") == base)
    more = {r["teacher"]: r["left_out"] for r in mine.iter_rows(named=True) if r["left_out"]}
    said = [left_out(more)] if more else []
    failed = [
        f"{r['teacher']}: {r['failed']:,} of {r['failed'] + r['responses']:,} ({r['why']})"
        for r in mine.iter_rows(named=True)
        if r["failed"]
    ]
    if failed:
        said.append(f"Without a value: {'; '.join(failed)}.")
    if given.car and given.car.shift:
        said.append(
            f"CAR is of the reward with {given.car.shift:g} added, for every teacher (teachers.car.shift): "
            "ranks depend on it."
        )
    undefined = max((r["undefined"] or 0.0 for r in mine.iter_rows(named=True)), default=0.0)
    if undefined:
        said.append(f"{undefined:.1%} of the resamples have no ranking: some teacher has no value in them.")
    return said


def _doubt(
    base: str,
    first: Mapping[str, Any],
    rest: Sequence[Mapping[str, Any]],
    nothing: Sequence[str],
    tables: Tables,
) -> str:
    if not rest:
        return "Doubt: it is the only candidate with a value."
    said = [f"nothing is known of {', '.join(nothing)}"] if nothing else []
    near = [r for r in rest if r["rank_low"] is not None and r["rank_low"] <= (first["rank_high"] or 1)]
    if first["first"] is not None:
        said.append(f"it is first in {first['first']:.0%} of the resamples")
    if near:
        names = ", ".join(r["teacher"] for r in near[:3])
        more = f" and {len(near) - 3} more" if len(near) > 3 else ""
        said.append(f"intervals of rank overlap with {names}{more}")
    whole = tables.correlation.filter(pl.col("base") == base, pl.col("without").is_null())
    mine = whole.filter(pl.col("predictor") == first["by"])
    if mine.is_empty():
        said.append("nothing says yet how right such a ranking is: no scores")
    else:
        r = mine.row(0, named=True)
        if r["rho"] is None:
            said.append(str(r["why"]))
        else:
            said.append(
                f"ρ with the scores is {r['rho']:.2f} ({r['low']:.2f} to {r['high']:.2f}, {r['teachers']} "
                f"teachers), and the choice loses {r['regret']:.2f} points".replace("-", "−")
            )
        other = whole.filter(pl.col("predictor") == OTHERS, pl.col("rho").is_not_null())
        if other.height:
            said.append(f"the mean score on other base models has {other['rho'][0]:.2f}".replace("-", "−"))
    if first["licence"] is None:
        said.append("its licence is not established")
    return f"Doubt: {'; '.join(said)}."


def sections(folder: Path, points: Mapping[str, pl.DataFrame]) -> list[Section]:
    """The figures and tables that there are."""
    found = []
    for name, frame in points.items():
        view = VIEWS[name]
        if view.form == "table":
            found.append(Section(view.title, view.place, *grid(frame)))
        else:
            svg = base64.b64encode((folder / f"{name}.svg").read_bytes()).decode()
            found.append(Section(view.title, view.place, source=f"data:image/svg+xml;base64,{svg}"))
    return found


def html(
    title: str,
    ranks: Sequence[Ranked],
    stated: pl.DataFrame | None,
    shown: Sequence[Section],
    left: Sequence[LeftOut],
) -> str:
    """One page: no script, no outside resource.

    Args:
        title: of the study.
        ranks: of each base model, the ranking.
        stated: ``FINDINGS``; None before there are scores.
        shown: figures and tables.
        left: what is left out.
    """
    return html_page(
        "rewild.report.teachers", styled="rewild.report.findings", title=title, ranks=ranks,
        findings=None if stated is None else list(stated.iter_rows(named=True)), shown=shown, left=left,
        fewest=FEWEST, before=BEFORE,
    )  # fmt: skip


def markdown(
    title: str,
    ranks: Sequence[Ranked],
    stated: pl.DataFrame | None,
    points: Mapping[str, pl.DataFrame],
    left: Sequence[LeftOut],
) -> str:
    """The same as GitHub's Markdown."""
    lines = [f"# {text(title)}: its teachers", ""]
    if stated is None:
        lines += [text(BEFORE), ""]
    for one in ranks:
        lines += [f"## {text(one.name)}", "", text(one.said), "", *table(one.head, one.rows, "<>"), ""]
        lines += [*(f"{text(note)}\n" for note in one.notes)]
    lines += ["## Findings", ""] if stated is not None else []
    for r in stated.iter_rows(named=True) if stated is not None else ():
        lacks = f"{r['finding']}: the study cannot say. It lacks {r['missing']}"
        lines.append(f"- {text(r['statement'] or lacks)}")
    for name, frame in points.items():
        view = VIEWS[name]
        lines += ["", f"## {view.title} ({view.place or 'not in the paper'})", ""]
        lines += (
            [f"![{view.title}](views/{name}.png)"] if view.form == "figure" else table(*grid(frame), "<>")
        )
    if left:
        lines += [
            "",
            "## Left out",
            "",
            *table("Figure or table | Why", [(x.shown, x.reason) for x in left], "<"),
        ]
    return "\n".join(lines) + "\n"

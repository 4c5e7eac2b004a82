"""Tables as Markdown, LaTeX and HTML: one grid of shown cells, three ways to write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import polars as pl

from rewild.core import escape
from rewild.core.markdown import Markup, table, text
from rewild.report.tables.compare import agreement
from rewild.report.tables.spec import ColumnSpec, TableSpec

ABSENT = "–"
_GAPS = 4  # empty cells that are explained below a table


@dataclass(frozen=True)
class Shown:
    """One cell as a reader sees it.

    Attributes:
        text: the number, or an en dash.
        value: the number as shown, for finding the best; None if there is none.
        half: half-width of the 95 % interval, or the empty string.
        published: the published number, if the cell's own does not round to it or there is none; or nothing.
        bold: whether it is the best of its column.
    """

    text: str
    value: float | None = None
    half: str = ""
    published: str = ""
    bold: bool = False


@dataclass(frozen=True)
class Grid:
    """A table to be written: ``rows`` are (label, cells) with one cell per column."""

    name: str
    title: str
    row_heading: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Shown]]]
    notes: Sequence[str]


def _rounded(value: float, digits: int) -> Decimal:
    """Rounded as on paper: halves away from zero, of the decimal number that was given (6.225 → 6.23)."""
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) + 0  # no −0.00


def _number(value: float, digits: int) -> str:
    """``12,345.60``: thousands grouped from 10,000 on; a true minus sign."""
    number = _rounded(value, digits)
    return (f"{number:,f}" if abs(number) >= 10_000 else f"{number:f}").replace("-", "−")


def _with_bold(grid: Grid, columns: Mapping[str, ColumnSpec]) -> Grid:
    """Mark the best values of each column that has a best; equal ones all."""
    best: dict[int, float] = {}
    for i, name in enumerate(grid.columns):
        values = [v for _, cells in grid.rows if (v := cells[i].value) is not None]
        if columns[name].best and len(values) > 1:
            best[i] = max(values) if columns[name].best == "high" else min(values)
    rows = [
        (
            label,
            [
                replace(c, bold=i in best and c.value is not None and c.value == best[i])
                for i, c in enumerate(cells)
            ],
        )
        for label, cells in grid.rows
    ]
    return replace(grid, rows=rows)


def _notes(columns: Mapping[str, ColumnSpec], *more: str) -> list[str]:
    notes = [f"{name}: {spec.meaning} ({spec.unit})." for name, spec in columns.items()]
    if any(spec.best for spec in columns.values()):
        notes.append("Bold: the best of each column that has one.")
    return notes + [note for note in more if note]


def published_grid(
    name: str, spec: TableSpec, columns: Mapping[str, ColumnSpec], published: pl.DataFrame
) -> Grid:
    """The table as published, with every digit that a source gives."""
    cells = {(c["row"], c["column"]): c for c in published.iter_rows(named=True)}
    shown: dict[tuple[str, str], Shown] = {}
    for at, c in cells.items():
        if columns[c["column"]].text:
            shown[at] = Shown(c["printed"])
        elif c["value"] is None:
            shown[at] = Shown(ABSENT)
        else:
            half = c["also"] if c["source"] == "review" else c["printed"]
            shown[at] = Shown(
                _number(c["value"], c["digits"]),
                c["value"],
                half=(half or "").partition(" ± ")[2],
            )
    columns = {column: columns[column] for column in spec.columns}
    grid = Grid(
        name,
        spec.title,
        spec.row,
        spec.columns,
        [(row, [shown[row, column] for column in spec.columns]) for row in dict.fromkeys(published["row"])],
        _notes(columns, "±: half-width of the 95 % interval." if any(c.half for c in shown.values()) else ""),
    )
    return _with_bold(grid, columns)


def compared_grid(
    name: str,
    spec: TableSpec,
    columns: Mapping[str, ColumnSpec],
    compared: pl.DataFrame,
    published: Path,
    *,
    own: bool = False,
) -> Grid:
    """The computed table; in brackets the published number wherever the computed one does not round to it.

    Args:
        name: the table's.
        spec: what it holds.
        columns: what its columns hold.
        compared: ``COMPARED_CELLS``.
        published: the file of the published cells, named where no row is the paper's.
        own: whether the rows are a study's own runs; columns that it lacks are left out.
    """
    cells = {(c["row"], c["column"]): c for c in compared.iter_rows(named=True)}
    present = set(compared.filter(pl.col("computed").is_not_null())["column"])
    printed = set(compared.filter(pl.col("published").is_not_null())["column"]) if own else set(spec.columns)
    used = [c for c in (*spec.columns, *spec.computed_columns) if c in present or c in printed]
    columns = {column: columns[column] for column in used}

    def show(row: str, column: str) -> Shown:
        c = cells.get((row, column))
        if c is None:
            return Shown(ABSENT)
        printed = "" if c["published"] is None else _number(c["published"], c["digits"])
        if c["computed"] is None:
            return Shown(ABSENT, published=printed)
        digits = columns[column].digits
        counted = c["digits"] == 0 or (own and columns[column].unit.startswith("count"))
        if counted and c["computed"] == int(c["computed"]) and not (own and row.startswith("PF ")):
            digits = 0  # a count stays a count
        half = "" if c["computed_ci"] is None else _number(c["computed_ci"], digits)
        return Shown(
            _number(c["computed"], digits),
            float(_rounded(c["computed"], digits)),
            half=half,
            published=printed if c["within_rounding"] is False else "",
        )

    both, agree = agreement(compared)
    absent = compared.filter(pl.col("published").is_not_null() & pl.col("computed").is_null()).height
    basis = (
        f"Computed from {'this study' if own else 'released data'}. {agree} of {both} cells round to the "
        "published number; in brackets, the published number where they do not"
        + (f", or where nothing could be computed ({absent})." if absent else ".")
    )
    if own and compared["published"].is_null().all():
        basis = (
            f"Computed from this study. No row is the paper's: those are in {'/'.join(published.parts[-3:])}."
        )
    grid = Grid(
        name,
        spec.title,
        spec.row,
        used,
        [(row, [show(row, column) for column in used]) for row in dict.fromkeys(compared["row"])],
        _notes(
            columns,
            basis,
            spec.computed_note,
            "±: half-width of the 95 % interval." if compared["computed_ci"].is_not_null().any() else "",
            *(_gaps(compared) if own else ()),
        ),
    )
    return _with_bold(grid, columns)


def _gaps(compared: pl.DataFrame) -> list[str]:
    """Why cells of a study's own runs are empty."""
    empty = compared.filter(pl.col("computed").is_null() & pl.col("note").is_not_null())
    notes = [
        f"{row}, {column}: {note}." for row, column, note in empty.select("row", "column", "note").rows()
    ]
    rest = len(notes) - _GAPS
    return notes if rest <= 0 else [*notes[:_GAPS], f"{rest} more cells are empty; the CSV file says why."]


# Markdown


def _compose(cell: Shown, shown: Callable[[object], str], bold: Callable[[str], str], plus_minus: str) -> str:
    text = shown(cell.text) + (f" {plus_minus} {shown(cell.half)}" if cell.half else "")
    text = bold(text) if cell.bold else text
    return text + (" " + shown(f"[{cell.published}]") if cell.published else "")


def to_markdown(grid: Grid, comment: str) -> str:
    """A GitHub-flavoured Markdown table, with its title above, its notes below, and a comment in front."""
    lines = [f"<!--\n{escape.comment(comment)}\n-->", ""]
    lines += [f"**{_heading(grid.name)}.** {text(grid.title)}", ""]
    rows = (
        (label, *(Markup(_compose(c, text, lambda shown: f"**{shown}**", "±")) for c in cells))
        for label, cells in grid.rows
    )
    lines += table((grid.row_heading, *grid.columns), rows, "<>")
    lines += ["", *(f"- {text(note)}" for note in grid.notes)]
    return "\n".join(lines) + "\n"


def _heading(name: str) -> str:
    return re.sub(r"^table(\d+)$", r"Table \1", name)


# LaTeX


def to_latex(grid: Grid, comment: str) -> str:
    """A ``table`` with booktabs rules; title, notes and provenance are in it."""
    columns = [rf"\textbf{{{escape.latex(c)}}}" for c in (grid.row_heading, *grid.columns)]
    lines = escape.latex_comment(comment)
    lines += [
        r"% Needs \usepackage{booktabs,graphicx} and \usepackage[T1]{fontenc}.",
        *escape.LATEX_PREAMBLE,
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape.latex(grid.title)}}}",
        rf"\label{{tab:{re.sub(r'[^a-z0-9]', '', grid.name)}}}",
        r"\resizebox{\ifdim\width>\linewidth \linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * len(grid.columns)}}}",
        r"\toprule",
        " & ".join(columns) + r" \\",
        r"\midrule",
    ]
    for label, cells in grid.rows:
        shown = [_compose(c, escape.latex, lambda text: rf"\textbf{{{text}}}", r"$\pm$") for c in cells]
        lines.append(" & ".join([escape.latex(label), *shown]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", ""]
    lines += [r"\par\smallskip\footnotesize\raggedright"]
    lines += [f"{escape.latex(note)}" for note in grid.notes]
    lines += [r"\end{table}"]
    return "\n".join(lines) + "\n"


# HTML

_CSS = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem;color:#222}.scroll{overflow-x:auto}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.25rem .6rem;text-align:right;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}"
    "thead tr{border-top:2px solid;border-bottom:1px solid}tbody{border-bottom:2px solid}"
    "caption{text-align:left;padding-bottom:.5rem}small,.published{color:#666}.published{font-size:.85em}"
    "ul{color:#555;font-size:.85em;padding-left:1.2rem}"
)


def to_html(grid: Grid, comment: str) -> str:
    """A page of its own that loads and runs nothing, for Snakemake's report."""

    def cell(c: Shown) -> str:
        text = escape.html(c.text) + (f" <small>± {escape.html(c.half)}</small>" if c.half else "")
        text = f"<b>{text}</b>" if c.bold else text
        return text + (f' <span class="published">[{escape.html(c.published)}]</span>' if c.published else "")

    head = "".join(f'<th scope="col">{escape.html(c)}</th>' for c in (grid.row_heading, *grid.columns))
    body = "\n".join(
        f'<tr><th scope="row">{escape.html(label)}</th>'
        + "".join(f"<td>{cell(c)}</td>" for c in cells)
        + "</tr>"
        for label, cells in grid.rows
    )
    notes = "".join(f"<li>{escape.html(note)}</li>" for note in grid.notes)
    title = f"{_heading(grid.name)}. {grid.title}"
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<!--\n{escape.comment(comment)}\n-->\n"
        f"<title>{escape.html(title)}</title>\n<style>{_CSS} tbody th{{font-weight:normal}}</style>\n"
        f'<div class="scroll">\n<table>\n<caption>{escape.html(title)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>\n<ul>{notes}</ul>\n</html>\n"
    )

"""Tables 2, 3, 4, 6 and 7, and the figures, of a study's own runs."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.roster import Entry, Roster
from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import DataError
from rewild.core.table import provenance
from rewild.evaluation.judgments.preferences import TABLE4_COLUMN
from rewild.evaluation.scores.average import VARIANTS
from rewild.evaluation.scores.bootstrap import Z, half_width
from rewild.evaluation.scores.collect import COLUMN_OF, OWN, Headline
from rewild.measures.style.proportional import FEATURES, PAIR, PAPER_COLUMNS, proportional
from rewild.papers.room import Job
from rewild.papers.wildchat50m.contents import PREFERENCE, table_rows
from rewild.report.findings.answers import Answered, flip_count, name_of, preferred, style_pairs, totals
from rewild.report.findings.grounds import FILES, Grounds, open_study, with_answers
from rewild.report.findings.headline import describe

Cells = tuple[pl.DataFrame, dict[str, Any]]

AVERAGES = {"avg_wk_if": "Avg", "avg_stated": COLUMN_OF["avg_stated"]}
"""The averages of Tables 6 and 7 where a study has the paper's benchmarks: variant → column."""


def score_cells(table: str, head: Headline, roster: Roster) -> pl.DataFrame:
    """``COMPUTED_CELLS`` of ``table2``, ``table6`` or ``table7``.

    The half-widths are those of 95 % intervals by the normal approximation, as the paper's.

    Raises:
        DataError: the study has no run that belongs into the table.
    """
    cells = []
    for label, entry in table_rows(table, roster, set(head.frame["run"])):
        for slug, benchmark in head.benchmarks.items():
            cells.append(_cell(label, benchmark.title, head.row(entry.run, slug)))
        if table != "table2":
            cells += [
                _average(label, column, head, entry.run, variant)
                for variant, column in (
                    AVERAGES if head.members("avg_stated") else {OWN: COLUMN_OF[OWN]}
                ).items()
            ]
    return COMPUTED_CELLS.frame(cells, table)


def _cell(label: str, column: str, row: dict[str, Any] | None) -> dict[str, Any]:
    cell: dict[str, Any] = {"row": label, "column": column, "value": None, "ci": None}
    if row is None:
        return cell | {"note": "Not evaluated"}
    return cell | {"value": row["value"], "ci": half_width(row["stderr"]), "note": describe(row)}


def _average(label: str, column: str, head: Headline, run: str, variant: str) -> dict[str, Any]:
    found = head.average(run, variant)
    meaning = VARIANTS[variant].meaning if variant in VARIANTS else "all benchmarks of the study"
    note = f"Mean of {meaning} ({variant})"
    if found is None:
        return {"row": label, "column": column, "value": None, "ci": None, "note": f"{note}: one is missing"}
    return {"row": label, "column": column, "value": found[0], "ci": half_width(found[1]), "note": note}


def style_cells(found: Answered) -> pl.DataFrame:
    """Table 3: counts in the answers (the paper counts in whole pages of HTML), and their ratios."""
    n = len(found.answered)
    note = f"Counted in {n} answers alone; len is their mean characters as HTML"
    cells: list[tuple[str, str, float | None, str]] = []
    pair = found.pair
    for entry in (pair.first_itself, pair.second_itself, pair.second, pair.first):
        if entry:
            counted = totals(found.styles[entry.run])
            cells += [(name_of(entry), PAPER_COLUMNS[f], counted[f], note) for f in FEATURES]
    for a, b in style_pairs(found):
        row = PAIR.format(a=name_of(a), b=name_of(b))
        above, below = totals(found.styles[a.run]), totals(found.styles[b.run])
        for f in FEATURES:
            value = proportional(above[f], below[f])
            why = "From the counts above" if value is not None else f"{above[f]:g} / 0 is undefined"
            cells.append((row, PAPER_COLUMNS[f], value, why))
    return COMPUTED_CELLS.frame(((row, c, value, None, text) for row, c, value, text in cells), "table 3")


def preference_cells(found: Answered, benchmark: str) -> pl.DataFrame:
    """Table 4: mean scores, preference rates and flip counts over the questions that all runs were judged on.

    Args:
        found: the runs.
        benchmark: its title, the heading of the mean score's column.
    """
    pair, n = found.pair, len(found.judged)
    cells: list[tuple[str, str, float | None, float | None, str]] = []
    for a in pair.entries:
        scores = found.scores[a.run]
        half = Z * float(scores.std(ddof=1)) / sqrt(n) if n > 1 else None
        cells.append((name_of(a), benchmark, float(scores.mean()), half, f"First turns of {n} questions"))
        for b in pair.entries:
            if a is not b:
                rate = preferred(found, a, b)
                cells.append((name_of(a), _column(b), rate.value, rate.half, f"Of {n} questions"))
        if a in (pair.first_itself, pair.second_itself):
            tuned, other = (pair.first, pair.second) if a is pair.first_itself else (pair.second, pair.first)
            note = f"{name_of(tuned)} scores below {name_of(other)}, {name_of(a)} above it"
            cells.append((name_of(a), "FlipCt", flip_count(found, tuned, a, other).value, None, note))
    return COMPUTED_CELLS.frame(cells, "table 4")


def _column(entry: Entry) -> str:
    name = name_of(entry)
    return TABLE4_COLUMN.get(name, PREFERENCE + name)


def grounds_of(job: Job) -> Grounds:
    """The study's scores, as the job's files have them."""
    return open_study(job.study, job.config, job.file("scores").parent)


def made_from_scores(job: Job) -> dict[str, Any]:
    """Provenance of what is made from the scores alone."""
    return provenance([job.file("scores").parent / name for name in FILES])


def scores(job: Job) -> Cells:
    """Cells of Table 2, 6 or 7."""
    grounds = grounds_of(job)
    return score_cells(job.name, grounds.head, grounds.roster), made_from_scores(job)


def answers(job: Job) -> Cells:
    """Cells of Table 3 or 4."""
    kind = "answers" if job.name == "table3" else "judgments"
    grounds, found, files = compared(job, kind)
    if kind == "answers":
        return style_cells(found), provenance(files)
    return preference_cells(found, grounds.head.benchmarks[str(grounds.judged)].title), provenance(files)


def compared(job: Job, kind: str) -> tuple[Grounds, Answered, list[Path]]:
    """The study with the answers and judgments of the pair that it compares, and their files of one kind.

    Raises:
        DataError: it has no such pair.
    """
    benchmarks = job.files[kind][0].parents[2] if job.files.get(kind) else job.file("scores").parents[1]
    grounds = with_answers(grounds_of(job), benchmarks)
    if grounds.answered is None or grounds.judged is None:
        raise DataError(f"study {job.study}: {job.name} needs {grounds.unanswered}")
    runs = [benchmarks / entry.run / grounds.judged for entry in grounds.answered.pair.entries]
    return grounds, grounds.answered, [folder / f"{kind}.parquet" for folder in runs]

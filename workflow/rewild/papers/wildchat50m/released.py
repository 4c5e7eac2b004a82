"""The tables from what was released, as ``COMPUTED_CELLS``: of the workbook at full precision, and others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import polars as pl

from rewild.core.cells import COMPUTED_CELLS, PUBLISHED_CELLS
from rewild.core.errors import ConfigError, DataError
from rewild.core.table import provenance, read_table
from rewild.evaluation.scores.average import average
from rewild.papers.room import Job
from rewild.papers.wildchat50m.averages import row_of_run
from rewild.papers.wildchat50m.schema import BENCHMARK_OF, SCORES, SHEETS

Cells = tuple[pl.DataFrame, dict[str, Any]]

SHEET_OF: Mapping[str, str] = MappingProxyType(
    {"table2": "SFT", "table6": "approx_on_policy", "table7": "SFT"}
)
"""The sheet whose cells have the most digits."""

_SOURCES = MappingProxyType(
    {
        "WildChat-Q72": "WildChat-Qwen-2.5-72B",
        "MMLU Auxiliary Train": "MMLU Auxiliary Train",
        "Tulu 3 Persona Hub Algebra": "personahub_math_interm_algebra",
    }
)


def compute_cells(
    table: str, rows: Iterable[str], scores: pl.DataFrame, sheets: pl.DataFrame
) -> pl.DataFrame:
    """The cells of one table.

    Args:
        table: ``table1``, ``table2``, ``table6`` or ``table7``.
        rows: the table's row labels, in order.
        scores: ``SCORES``.
        sheets: ``SHEETS`` (for Table 1).

    Returns:
        ``COMPUTED_CELLS``. ``Avg`` is the average that the paper's numbers follow, ``Avg (stated)`` the one
        that section 3.1 defines.

    Raises:
        ConfigError: the workbook does not hold this table.
        DataError: a row of the table is not in the workbook.
    """
    if table == "table1":
        cells = _sources(rows, sheets)
    elif table in SHEET_OF:
        cells = []
        for row in rows:
            run = f"L8B : {row}" if table == "table2" else row
            found = row_of_run(scores, SHEET_OF[table], run)
            note = None if SHEET_OF[table] == "SFT" else f"Sheet {SHEET_OF[table]}"
            for column, benchmark in BENCHMARK_OF.items():
                cells.append((row, column, found["scores"].get(benchmark), note))
            if table != "table2":
                used, stated = (average(found["scores"], v) for v in ("avg_wk_if", "avg_stated"))
                cells.append(
                    (
                        row,
                        "Avg",
                        used,
                        "Mean of the seven benchmarks other than MT-Bench and AlpacaEval (avg_wk_if)",
                    )
                )
                cells.append((row, "Avg (stated)", stated, "Mean of all nine, as section 3.1 defines Avg"))
    else:
        raise ConfigError(f"{table} does not follow from the workbook (1, 2, 6 and 7 do)")
    return COMPUTED_CELLS.frame(((row, c, value, None, note) for row, c, value, note in cells), table)


def _sources(rows: Iterable[str], sheets: pl.DataFrame) -> list[tuple[str, str, float | None, str | None]]:
    here = sheets.filter(pl.col("sheet") == "ReWild-Data-Sources")
    counts = dict(zip(here["row"], here["value"], strict=True))
    cells = []
    for row in rows:
        name = _SOURCES.get(row)
        if name not in counts:
            raise DataError(f"sheet 'ReWild-Data-Sources': no row stands for '{row}'")
        cells.append((row, "Num. Convs", counts[name], f"'{name}' in the workbook" if name != row else None))
    return cells


def _rows(job: Job) -> list[str]:
    """The rows of the printed table, in order."""
    return read_table(job.published, PUBLISHED_CELLS)["row"].unique(maintain_order=True).to_list()


def scores(job: Job) -> Cells:
    """Cells of Table 1, 2, 6 or 7, from the workbook."""
    files = [job.file("scores"), job.file("sheets")]
    cells = compute_cells(job.name, _rows(job), read_table(files[0], SCORES), read_table(files[1], SHEETS))
    return cells, provenance([*files, job.published])


def styling(job: Job) -> Cells:
    """Cells of Table 3, from the counts in judged pages."""
    from rewild.measures.style import proportional
    from rewild.measures.style.schema import COUNTS

    path = job.file("counts")
    scopes = proportional.computed_counts(read_table(path, COUNTS))
    cells = proportional.table3_cells(read_table(job.published, PUBLISHED_CELLS), scopes)
    return cells, provenance([job.published, path])


def preferences(job: Job) -> Cells:
    """Cells of Table 4, from the judgments and judged pages."""
    from rewild.evaluation.judgments import preferences as p
    from rewild.measures.style.pages import read_pages

    printed = read_table(job.published, PUBLISHED_CELLS)
    known = {(r, c): v for r, c, v in printed.select("row", "column", "value").iter_rows()}
    path, pages = job.file("judgments"), list(job.files.get("pages", ()))
    rates = p.preferences(p.read_judgments(path), read_pages(pages), known)
    return p.table4_cells(rates), provenance([path, job.published, *pages])


def similarity(job: Job) -> Cells:
    """Cells of Table 5: of the paper's models that there are, from the first group of prompts with each."""
    from rewild.measures.similarity.merge import paper_cells

    sampled = list(job.files.get("sampled", ()))
    groups = {path.parent.name: read_table(path, COMPUTED_CELLS) for path in sampled}
    return paper_cells(groups, _rows(job)), provenance([*sampled, job.published])

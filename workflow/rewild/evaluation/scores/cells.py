"""Tables 1, 2, 6 and 7 from the released workbook, at full precision, as ``COMPUTED_CELLS``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import polars as pl

from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import ConfigError, DataError
from rewild.evaluation.scores.average import average, row_of_run

BENCHMARK_OF: Mapping[str, str] = MappingProxyType(
    {
        "MTBench": "mt-bench",
        "AlpacaEval": "alpaca-eval",
        "BBH": "bbh",
        "GPQA": "gpqa",
        "MATH": "math",
        "MUSR": "musr",
        "IFEval": "ifeval",
        "MMLU Pro": "mmlu-pro",
        "MixEval": "mixeval",
    }
)
"""Column of a table → benchmark."""

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
    frame = pl.DataFrame(
        [{"row": r, "column": c, "value": v, "ci": None, "note": n} for r, c, v, n in cells],
        schema=COMPUTED_CELLS.dtypes,
        orient="row",
    )
    return COMPUTED_CELLS.check(frame, table)


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

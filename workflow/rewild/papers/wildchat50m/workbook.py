"""The released workbook ``wc50m_results.xlsx``, made tidy.

Nothing is guessed: each sheet must have exactly the headings known here, each cell a number, TBD or nothing,
and each number must lie on its benchmark's scale. Two sheets use other scales; their numbers are brought to
the benchmark's own one, and the factor is recorded.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.errors import DataError, nearest
from rewild.core.reading import any_fault, faults
from rewild.core.table import read_table
from rewild.evaluation.scores.average import SCALES
from rewild.papers.wildchat50m.schema import BENCHMARK_OF, RUNS, SCORES, SHEETS

LARGEST = 32 << 20  # bytes, packed or not; the released one has 100 kB
CELLS = 1_000_000  # of a sheet
AVERAGE = "sheet-average"
_SLUGS = {
    **BENCHMARK_OF,
    "Alpaca Eval (LC)": "alpaca-eval",
    "IFEval (prompt-level, strict)": "ifeval",
    "IFEval (Prompt Level, Strict)": "ifeval",
    "IFEval (Inst Level, Loose)": "ifeval-loose",
    "MBPP": "mbpp",
    "Average": AVERAGE,
    "Average (WK, IF)": AVERAGE,
}
_JUDGED = ("MTBench", "Alpaca Eval (LC)")
_FOUR = ("BBH", "GPQA", "MATH", "MUSR")
_STRICT = ("IFEval (prompt-level, strict)", "MMLU Pro", "MixEval", "Average (WK, IF)")
_PLAIN = ("IFEval", "MMLU Pro", "MixEval", "Average (WK, IF)", "MBPP")
SCORE_SHEETS: Mapping[str, tuple[str | None, ...]] = {
    "SFT": ("Model", *_JUDGED, *_FOUR, *_STRICT, "MBPP", None, None),  # the last two hold remarks on origin
    "sft_blending_ablation": ("Model", *_JUDGED, *_FOUR, *_STRICT),
    "approx_on_policy": (
        *("Model", "MTBench", "AlpacaEval", *_FOUR),
        *("IFEval", "MMLU Pro", "MixEval", "Average", None),
    ),
    "Main-SFT": (
        *("Model", *_JUDGED, *_FOUR, "IFEval (Prompt Level, Strict)", "IFEval (Inst Level, Loose)"),
        *("MMLU Pro", "MixEval", "Average (WK, IF)", "MBPP"),
    ),
    "LC Ablation": ("Model", *_JUDGED, *_FOUR, "IFEval", "MMLU Pro", "MixEval", "Average"),
    "SFT-arch-ablation": ("Model", *_JUDGED, *_FOUR, *_PLAIN),
    "FT from Instruct": (
        *("Model", *_JUDGED, *_FOUR),
        *("IFEval", "MMLU Pro", "Average (WK, IF)", "MixEval", "MBPP"),
    ),
    "DPO": ("Model", *_JUDGED, *_FOUR, *_PLAIN),
}
SCALE_SHEET = "scale_ablation"
_SCALE_HEADINGS = ("DGM", "Quantity(k)", "Avg")
OTHER_SHEETS = (
    "why_qwen_better",
    "inherited_styling",
    "mixeval deep dive",
    "Inherit-Ablation",
    "ReWild-Data-Sources",
)
_PERCENT = {
    slug: Decimal("0.01")
    for slug in ("bbh", "gpqa", "math", "musr", "ifeval", "mmlu-pro", "mixeval", AVERAGE)
}
_FACTORS: Mapping[str, Mapping[str, Decimal]] = {
    "SFT-arch-ablation": _PERCENT,
    "LC Ablation": {"mt-bench": Decimal(10), "alpaca-eval": Decimal(100)},
}


@dataclass(frozen=True)
class _Cell:
    address: str
    value: Any
    formula: str | None


class _Sheet:
    """The cells of one sheet, values beside formulas; addresses as in a spreadsheet program."""

    def __init__(self, path: Path, name: str, values: Any, formulas: Any) -> None:
        self.where = f"{path}, sheet '{name}'"
        if (values.max_row or 0) * (values.max_column or 0) > CELLS:
            raise DataError(f"{self.where}: more than {CELLS:,} cells")
        self.rows = [
            [
                _Cell(_address(r, c), _blank(value), formula if _is_formula(formula) else None)
                for c, (value, formula) in enumerate(zip(value_row, formula_row, strict=True))
            ]
            for r, (value_row, formula_row) in enumerate(
                zip(values.iter_rows(values_only=True), formulas.iter_rows(values_only=True), strict=True)
            )
        ]
        if not self.rows:
            raise DataError(f"{self.where}: the sheet is empty")

    def headings(self, expected: tuple[str | None, ...] | None = None) -> list[str | None]:
        found = [cell.value for cell in self.rows[0]]
        if expected is None:
            return found
        for i in range(max(len(found), len(expected))):
            have = found[i] if i < len(found) else None
            want = expected[i] if i < len(expected) else None
            if have != want:
                raise DataError(
                    f"{self.where}, cell {_address(0, i)}: the heading is {have!r}, but {want!r} was expected"
                )
        return found

    def data(self) -> list[tuple[int, list[_Cell]]]:
        """Row number and cells of every row below the headings that is not empty, padded to the headings."""
        width = len(self.rows[0])
        data = [
            (r + 1, row + [_Cell(_address(r, c), None, None) for c in range(len(row), width)])
            for r, row in enumerate(self.rows)
            if r and any(cell.value is not None or cell.formula for cell in row)
        ]
        if not data:
            raise DataError(f"{self.where}: there are headings but no rows")
        return data

    def label(self, cell: _Cell) -> str:
        if not isinstance(cell.value, str):
            raise DataError(f"{self.where}, cell {cell.address}: a name was expected, not {cell.value!r}")
        return cell.value.strip()


def _address(row: int, column: int) -> str:
    from openpyxl.utils import get_column_letter

    return f"{get_column_letter(column + 1)}{row + 1}"


def _blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _is_formula(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("=")


def check_archive(path: Path) -> None:
    """Refuse what is no workbook, or one that unpacks to more than it may.

    Raises:
        DataError: it says which.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file (the released workbook of results was expected)")
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path}: a workbook of more than {LARGEST >> 20} MiB")
    with any_fault(path, "a workbook (.xlsx)"), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > LARGEST:
                raise DataError(f"{path}: {member.filename!r} unpacks to more than {LARGEST >> 20} MiB")


def _load(path: Path) -> dict[str, _Sheet]:
    from openpyxl import load_workbook

    check_archive(path)
    with any_fault(path, "a workbook (.xlsx)"):
        values = load_workbook(path, read_only=True, data_only=True)
        formulas = load_workbook(path, read_only=True)
    try:
        known = (*SCORE_SHEETS, SCALE_SHEET, *OTHER_SHEETS)
        for name in known:
            if name not in values.sheetnames:
                raise DataError(
                    f"{path}: the sheet '{name}' is missing{nearest(name, values.sheetnames)} "
                    f"(it has: {', '.join(values.sheetnames)})"
                )
        for name in values.sheetnames:
            if name not in known:
                raise DataError(f"{path}: unknown sheet '{name}'{nearest(name, known)}")
        return {name: _Sheet(path, name, values[name], formulas[name]) for name in values.sheetnames}
    finally:
        values.close()
        formulas.close()


def read_runs(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The run labels by (sheet, model); sheet ``*`` stands for every sheet."""
    return {(row["sheet"], row["model"]): row for row in read_table(path, RUNS).iter_rows(named=True)}


def _label(
    runs: Mapping[tuple[str, str], dict[str, Any]], sheet: str, model: str, where: str
) -> dict[str, Any]:
    row = runs.get((sheet, model)) or runs.get(("*", model))
    if row is None:
        raise DataError(
            f"{where}: nothing says what '{model}' stands for; add it to the run labels (runs.csv)"
            f"{nearest(model, [m for _, m in runs])}"
        )
    return {key: row[key] for key in ("base", "dgm", "size", "run")}


def _score(sheet: _Sheet, name: str, benchmark: str, cell: _Cell) -> dict[str, Any]:
    """The score in a cell, or why there is none.

    Raises:
        DataError: text other than TBD, or a number outside the benchmark's scale.
    """
    out: dict[str, Any] = {"benchmark": benchmark, "formula": cell.formula}
    if cell.value is None:
        return out | {"missing": "formula without a stored result" if cell.formula else "blank"}
    if cell.value == "TBD":
        return out | {"missing": "TBD"}
    if isinstance(cell.value, bool) or not isinstance(cell.value, int | float):
        raise DataError(f"{sheet.where}, cell {cell.address}: a number was expected, not {cell.value!r}")
    factor = _FACTORS.get(name, {}).get(benchmark)
    printed = repr(cell.value)
    value = float(Decimal(printed) * (factor or 1))
    if not 0 <= value <= SCALES.get(benchmark, 1.0):
        scale = SCALES.get(benchmark, 1.0)
        raise DataError(
            f"{sheet.where}, cell {cell.address}: {value:g} is not on the scale of {benchmark} "
            f"(0 to {scale:g})"
        )
    return out | {"value": value, "printed": printed, "rescaled_by": float(factor) if factor else None}


def read_scores(
    path: Path, runs: Mapping[tuple[str, str], dict[str, Any]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the workbook.

    Args:
        path: ``wc50m_results.xlsx``.
        runs: the result of :func:`read_runs`.

    Returns:
        The scores (:data:`SCORES`) and the cells of the other sheets (:data:`SHEETS`).

    Raises:
        DataError: names the file, sheet and cell of whatever is not as it must be.
    """
    with faults(path, "the released workbook"):
        return _read_scores(path, runs)


def _read_scores(
    path: Path, runs: Mapping[tuple[str, str], dict[str, Any]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    with any_fault(path, "a workbook (.xlsx)"):  # openpyxl's errors come at any cell
        sheets = _load(path)
    scores: list[dict[str, Any]] = []
    for name, expected in SCORE_SHEETS.items():
        sheet = sheets[name]
        headings = sheet.headings(expected)
        for number, row in sheet.data():
            model = sheet.label(row[0])
            remarks = [
                str(c.value) for c, h in zip(row, headings, strict=False) if h is None and c.value is not None
            ]
            shared = {
                "sheet": name,
                "sheet_row": number,
                "model": model,
                "origin": "; ".join(remarks) or None,
                **_label(runs, name, model, sheet.where),
            }
            scores += [
                shared | _score(sheet, name, _SLUGS[heading], cell)
                for cell, heading in zip(row[1:], headings[1:], strict=False)
                if heading is not None
            ]
    scores += _scale_ablation(sheets[SCALE_SHEET])
    return SCORES.frame(scores, path), SHEETS.check(_other(sheets), path)


def _scale_ablation(sheet: _Sheet) -> list[dict[str, Any]]:
    """The averages that Figure 2 shows: one row per data-generating model and size."""
    sheet.headings(_SCALE_HEADINGS)
    out = []
    for number, (dgm_cell, size, average) in ((n, row[:3]) for n, row in sheet.data()):
        dgm = sheet.label(dgm_cell)
        if isinstance(size.value, bool) or not isinstance(size.value, int) or size.value <= 0:
            raise DataError(
                f"{sheet.where}, cell {size.address}: thousands of conversations were expected, "
                f"not {size.value!r}"
            )
        out.append(
            {
                "sheet": SCALE_SHEET,
                "sheet_row": number,
                "model": dgm,
                "base": "L8B",
                "dgm": dgm,
                "size": size.value * 1000,
                "run": f"L8B : {dgm}" + ("" if size.value == 250 else f" ({size.value}k)"),
                **_score(sheet, SCALE_SHEET, AVERAGE, average),
            }
        )
    return out


def _other(sheets: Mapping[str, _Sheet]) -> pl.DataFrame:
    out = []
    for name in OTHER_SHEETS:
        sheet = sheets[name]
        headings = [h or f"column {_address(0, i)[:-1]}" for i, h in enumerate(sheet.headings())]
        for _, row in sheet.data():
            label = sheet.label(row[0])
            filled = [(c, h) for c, h in zip(row[1:], headings[1:], strict=False) if c.value is not None]
            for cell, heading in filled or [(row[0], headings[0])]:
                number = isinstance(cell.value, int | float) and not isinstance(cell.value, bool)
                out.append(
                    {
                        "sheet": name,
                        "cell": cell.address,
                        "row": label,
                        "column": heading,
                        "value": float(cell.value) if number else None,
                        "text": None if number else str(cell.value),
                        "formula": cell.formula,
                    }
                )
    return pl.DataFrame(out, schema=SHEETS.dtypes, orient="row", infer_schema_length=None)


def describe(scores: pl.DataFrame) -> list[str]:
    """What was read, what is missing and why, and what was rescaled, in a line each."""
    whole = scores.filter(pl.col("missing").is_null())
    lines = [
        f"{whole.height} scores of {scores['model'].n_unique()} models in {scores['sheet'].n_unique()} sheets"
    ]
    for reason, count in scores.drop_nulls("missing").group_by("missing").len().sort("missing").iter_rows():
        lines.append(f"{count} cells without a score: {reason}")
    rescaled = scores.drop_nulls("rescaled_by").group_by("sheet", "rescaled_by", maintain_order=True).len()
    for sheet, factor, count in rescaled.iter_rows():
        lines.append(f"{count} scores of the sheet '{sheet}' multiplied by {factor:g}")
    return lines

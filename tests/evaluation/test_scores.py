"""The released workbook made tidy: golden cells, nothing dropped, and every way to be bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest

from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.papers.wildchat50m.schema import SCORES, SHEETS
from rewild.papers.wildchat50m.workbook import (
    OTHER_SHEETS,
    SCALE_SHEET,
    SCORE_SHEETS,
    describe,
    read_runs,
    read_scores,
)

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "workflow/rewild/papers/wildchat50m/data/runs.csv"


@pytest.fixture(scope="session")
def released(workbook: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    return read_scores(workbook, read_runs(RUNS))


def one(scores: pl.DataFrame, sheet: str, row: int, benchmark: str) -> dict[str, Any]:
    found = scores.filter(
        (pl.col("sheet") == sheet) & (pl.col("sheet_row") == row) & (pl.col("benchmark") == benchmark)
    )
    assert found.height == 1
    return found.row(0, named=True)


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("at", "run", "value", "factor"),
    [  # read by hand in a spreadsheet program
        (("SFT", 22, "mt-bench"), "L8B : Q72", 6.8625, None),
        (("SFT", 22, "alpaca-eval"), "L8B : Q72", 40.998, None),
        (("SFT", 22, "sheet-average"), "L8B : Q72", 0.364, None),
        (("SFT", 27, "mixeval"), "L8B : GPT (500k)", 0.6245, None),
        (("SFT", 23, "math"), "L8B : Q72 + L70 (500k)", 0.0447, None),
        (("SFT", 25, "musr"), "L8B : L8I + Q7 (500k)", 0.4078, None),
        (("SFT", 40, "ifeval"), "Re-Wild", 0.366, None),
        (("Main-SFT", 5, "ifeval-loose"), "Re-Wild", 0.532, None),
        (("approx_on_policy", 3, "ifeval"), "L8B : Q7", 0.2939, None),
        (("approx_on_policy", 7, "mmlu-pro"), "Q7B : Q72", 0.426, None),
        (("SFT-arch-ablation", 4, "mixeval"), "L8B : L70", 0.646, 0.01),
        (("SFT-arch-ablation", 3, "sheet-average"), "L8B : L8I", 0.36299, 0.01),
        (("SFT-arch-ablation", 3, "mbpp"), "L8B : L8I", 0.48, None),
        (("SFT-arch-ablation", 2, "mt-bench"), "L8B : Q72", 6.86, None),
        (("LC Ablation", 3, "mt-bench"), "L8B : Q72 (500k)", 6.5063, 10),
        (("LC Ablation", 2, "alpaca-eval"), None, 41.1391, 100),
        (("scale_ablation", 9, "sheet-average"), "L8B : Q72", 0.364, None),
        (("DPO", 4, "alpaca-eval"), None, 46.48, None),
    ],
)
def test_golden_cells(released, at, run, value, factor) -> None:
    cell = one(released[0], *at)
    assert (cell["value"], cell["run"], cell["rescaled_by"]) == (value, run, factor)


@pytest.mark.mirror
def test_labels_formulas_and_origins(released) -> None:
    scores = released[0]
    q72 = one(scores, "SFT", 31, "bbh")
    assert (q72["base"], q72["dgm"], q72["size"]) == ("L8B", "Q72", 500_000)
    assert one(scores, "SFT", 31, "sheet-average")["formula"] == "=ROUND(AVERAGE(D31:J31),3)"
    assert one(scores, "SFT", 42, "bbh")["origin"] == "FROM HF & Alpaca LBs"
    remark = one(scores, "SFT", 46, "bbh")["origin"]
    assert remark == "From Technical Report; meta-llama/Llama-3.3-70B-Instruct-evals"
    # The same name stands for different models in different sheets.
    assert one(scores, "approx_on_policy", 3, "bbh")["run"] == "L8B : Q7"


@pytest.mark.mirror
def test_every_cell_is_accounted_for(workbook: Path, released) -> None:
    """Cells counted by another reading of the workbook: those with numbers, with TBD, with nothing."""
    scores, others = released
    book = openpyxl.load_workbook(workbook, data_only=True)
    numbers = waiting = blank = rest = 0
    for sheet in book.worksheets:
        headed = [c.column for c in sheet[1] if c.value is not None][1:]
        for row in sheet.iter_rows(min_row=2):
            if row[0].value is None:
                assert all(c.value is None for c in row)
                continue
            cells = [c.value for c in row if c.column in headed]
            if sheet.title == SCALE_SHEET:
                cells = cells[1:]
            if sheet.title in OTHER_SHEETS:
                rest += sum(c.value is not None for c in row[1:]) or 1
            else:
                numbers += sum(isinstance(c, int | float) for c in cells)
                waiting += sum(c == "TBD" for c in cells)
                blank += sum(c is None for c in cells)
    assert (numbers, waiting, blank) == (817, 9, 35)
    assert scores.filter(pl.col("value").is_not_null()).height == numbers
    assert scores["missing"].value_counts().sort("missing", nulls_last=True).rows() == [
        ("TBD", waiting),
        ("blank", blank),
        (None, numbers),
    ]
    assert others.height == rest
    assert describe(scores) == [
        "817 scores of 62 models in 9 sheets",
        "9 cells without a score: TBD",
        "35 cells without a score: blank",
        "2 scores of the sheet 'LC Ablation' multiplied by 10",
        "2 scores of the sheet 'LC Ablation' multiplied by 100",
        "48 scores of the sheet 'SFT-arch-ablation' multiplied by 0.01",
    ]


@pytest.mark.mirror
def test_other_sheets_cell_by_cell(released) -> None:
    cells = {(c["sheet"], c["cell"]): c for c in released[1].iter_rows(named=True)}
    assert cells["why_qwen_better", "D2"] == {
        "sheet": "why_qwen_better",
        "cell": "D2",
        "row": "Llama-8B-Llama",
        "column": "PrefRt-L8Q",
        "value": 22.5,
        "text": None,
        "formula": "=18/80 * 100",
    }
    assert cells["why_qwen_better", "C2"]["text"] == "N/A"
    assert cells["inherited_styling", "L6"]["column"] == "column L"
    assert cells["inherited_styling", "L6"]["value"] == pytest.approx(0.9042)
    assert cells["mixeval deep dive", "A21"]["text"] == "Tulu3: 10"
    assert cells["ReWild-Data-Sources", "B2"]["value"] == 246750


@pytest.mark.mirror
def test_the_command_writes_the_same_bytes_twice(workbook: Path, tmp_path: Path, rewild, program) -> None:
    for name, command in (("a", rewild), ("b", program)):
        run = command(
            *(ROOT, "released-scores", workbook, "--out", tmp_path / name / "scores.csv"),
            *("--out-sheets", tmp_path / name / "sheets.csv"),
        )
        assert run.returncode == 0, run.stdout
    for file in ("scores.csv", "sheets.csv", "scores.csv-metadata.json", "sheets.csv-metadata.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert read_table(tmp_path / "a/scores.csv", SCORES).height == 861
    assert read_table(tmp_path / "a/sheets.csv", SHEETS).height == 151


# Workbooks that are not as they must be. A small valid one is made, then broken in one place.


def small() -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    book.remove(book.active)
    numbers = {"MTBench": 6.5, "Alpaca Eval (LC)": 30.0, "AlpacaEval": 30.0}
    for name, headings in SCORE_SHEETS.items():
        sheet = book.create_sheet(name)
        sheet.append(list(headings))
        model = "Llama-8B-Qwen" if name == "approx_on_policy" else "500k-qwen2.5-72B"
        scale = 100 if name == "SFT-arch-ablation" else 1
        row: list[Any] = [
            numbers.get(h, 0.5 if h == "MBPP" else 0.4 * scale) if h else None for h in headings[1:]
        ]
        if name == "LC Ablation":
            row[:2] = [0.65, 0.3]
        sheet.append([model, *row])
    book.create_sheet(SCALE_SHEET).append(["DGM", "Quantity(k)", "Avg"])
    book[SCALE_SHEET].append(["Q72", 500, 0.4])
    for name in OTHER_SHEETS:
        book.create_sheet(name).append(["Model", "x"])
        book[name].append(["a", 1])
    return book


def _read(book: openpyxl.Workbook, tmp_path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    path = tmp_path / "results.xlsx"
    book.save(path)
    return read_scores(path, read_runs(RUNS))


def test_the_small_workbook_is_valid(tmp_path: Path) -> None:
    scores, others = _read(small(), tmp_path)
    assert one(scores, "SFT-arch-ablation", 2, "bbh")["value"] == 0.4
    assert one(scores, "LC Ablation", 2, "mt-bench")["value"] == 6.5
    assert others.height == len(OTHER_SHEETS)


def test_missing_scores_are_recorded_with_their_reason(tmp_path: Path) -> None:
    book = small()
    book["SFT"]["D2"] = None
    book["SFT"]["E2"] = "TBD"
    book["SFT"]["K2"] = "=ROUND(AVERAGE(D2:J2),3)"  # openpyxl stores no result
    book["SFT"]["F2"] = "  "
    scores, _ = _read(book, tmp_path)
    reasons = {
        b: one(scores, "SFT", 2, b)["missing"] for b in ("bbh", "gpqa", "math", "sheet-average", "musr")
    }
    assert reasons == {
        "bbh": "blank",
        "gpqa": "TBD",
        "math": "blank",
        "sheet-average": "formula without a stored result",
        "musr": None,
    }


def _set(sheet: str, cell: str, value: Any) -> Callable[[openpyxl.Workbook], None]:
    def change(book: openpyxl.Workbook) -> None:
        book[sheet][cell] = value

    return change


def _clear(sheet: str) -> Callable[[openpyxl.Workbook], None]:
    return lambda book: book[sheet].delete_rows(1, 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.remove(b["DPO"]), "the sheet 'DPO' is missing"),
        (lambda b: setattr(b["DPO"], "title", "DPOO"), "the sheet 'DPO' is missing; did you mean 'DPOO'?"),
        (lambda b: b.create_sheet("more"), "unknown sheet 'more'"),
        (_set("SFT", "D1", "BBHH"), "sheet 'SFT', cell D1: the heading is 'BBHH', but 'BBH' was expected"),
        (_set("SFT", "P1", "new"), "sheet 'SFT', cell P1: the heading is 'new', but None was expected"),
        (_set("SFT", "E2", "0,29"), "sheet 'SFT', cell E2: a number was expected, not '0,29'"),
        (_set("SFT", "E2", True), "sheet 'SFT', cell E2: a number was expected, not True"),
        (_set("SFT", "E2", 29.3), "sheet 'SFT', cell E2: 29.3 is not on the scale of gpqa (0 to 1)"),
        (_set("SFT", "B2", 68.6), "cell B2: 68.6 is not on the scale of mt-bench (0 to 10)"),
        (_set("SFT", "C2", -1), "cell C2: -1 is not on the scale of alpaca-eval (0 to 100)"),
        (_set("SFT", "A2", 3), "sheet 'SFT', cell A2: a name was expected, not 3"),
        (_set("SFT", "A2", None), "sheet 'SFT', cell A2: a name was expected, not None"),
        (_set("SFT", "A2", "500k-qwen2.5-72"), "nothing says what '500k-qwen2.5-72' stands for"),
        (_set("SFT", "A2", "500k-qwen2.5-72"), "did you mean '500k-qwen2.5-72B'?"),
        (_set(SCALE_SHEET, "B2", "many"), "cell B2: thousands of conversations were expected, not 'many'"),
        (_clear("SFT"), "sheet 'SFT'"),
        (lambda b: b["DPO"].delete_rows(2), "sheet 'DPO': there are headings but no rows"),
    ],
)
def test_a_bad_workbook_is_named_with_sheet_and_cell(tmp_path: Path, change, message: str) -> None:
    book = small()
    change(book)
    with pytest.raises(DataError) as error:
        _read(book, tmp_path)
    assert str(tmp_path / "results.xlsx") in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"not a workbook", b"PK\x05\x06" + bytes(18)])
def test_no_workbook_at_all(tmp_path: Path, rewild, content: bytes | None) -> None:
    path = tmp_path / "results.xlsx"
    if content is not None:
        path.write_bytes(content)
    run = rewild(ROOT, "released-scores", path, "--out", tmp_path / "out/scores.csv")
    assert run.returncode == 1
    assert run.stdout.startswith(f"error: {path}: ")
    assert "Traceback" not in run.stdout
    assert not (tmp_path / "out").exists()


def test_run_labels_are_those_of_the_tables() -> None:
    """Every row of Tables 2, 6 and 7 is the label of a run."""
    labels = {row["run"] for row in read_runs(RUNS).values()}
    for table, prefix in (("table2", "L8B : "), ("table6", ""), ("table7", "")):
        rows = pl.read_csv(ROOT / f"workflow/rewild/papers/wildchat50m/data/{table}.csv")["row"].unique()
        assert {prefix + row for row in rows} <= labels

"""The averages: by definition, and which one each published number is."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewild.core.cells import PUBLISHED_CELLS, rounds_to
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.evaluation.scores.average import OPEN_LLM, VARIANTS, average
from rewild.papers.wildchat50m.averages import (
    Published,
    compare_variants,
    published_averages,
    row_of_run,
    search_subsets,
    summary,
)
from rewild.papers.wildchat50m.schema import AVERAGES, SCORES, STATED_AVERAGES, SUBSETS
from rewild.papers.wildchat50m.workbook import read_runs, read_scores

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ROOT / "workflow/rewild/papers/wildchat50m/data"


@pytest.fixture(scope="session")
def scores(workbook: Path) -> pl.DataFrame:
    return read_scores(workbook, read_runs(ROOT / "workflow/rewild/papers/wildchat50m/data/runs.csv"))[0]


def published(scores: pl.DataFrame) -> list[Published]:
    tables = {t: read_table(RESOURCES / f"{t}.csv", PUBLISHED_CELLS) for t in ("table6", "table7")}
    return published_averages(scores, tables, read_table(RESOURCES / "averages.csv", STATED_AVERAGES))


# By definition


def test_the_stated_average_by_hand() -> None:
    """Q72 at 250k: (0.68625 + 0.40998 + 0.4807 + 0.2932 + 0.0562 + 0.4027 + 0.3678 + 0.3038 + 0.645) / 9."""
    q72 = {
        "mt-bench": 6.8625,
        "alpaca-eval": 40.998,
        **dict(zip(OPEN_LLM, (0.4807, 0.2932, 0.0562, 0.4027, 0.3678, 0.3038), strict=True)),
        "mixeval": 0.645,
    }
    assert average(q72) == 0.40507
    assert average(q72, "avg_wk_if") == 0.3642
    assert average(q72, "avg_open_llm") == pytest.approx(0.3174, abs=1e-12)
    assert average(q72, "avg_wk_if_loose") is None
    assert average(q72 | {"mixeval": None}) is None
    assert average({}) is None


def test_variants_are_what_they_are_called() -> None:
    assert {name: len(v.benchmarks) for name, v in VARIANTS.items()} == {
        "avg_stated": 9,
        "avg_wk_if": 7,
        "avg_wk_if_loose": 8,
        "avg_open_llm": 6,
    }
    assert set(VARIANTS["avg_stated"].benchmarks) - set(VARIANTS["avg_wk_if"].benchmarks) == {
        "mt-bench",
        "alpaca-eval",
    }


@given(st.lists(st.integers(0, 10_000), min_size=9, max_size=9))
def test_the_average_is_the_exact_mean(units: list[int]) -> None:
    names = VARIANTS["avg_stated"].benchmarks
    scale = {"mt-bench": 1_000, "alpaca-eval": 100}
    given_scores = {n: u / scale.get(n, 10_000) for n, u in zip(names, units, strict=True)}
    assert average(given_scores) == float(Fraction(sum(units), 90_000))


@pytest.mark.parametrize(
    ("value", "printed", "half", "matches"),
    [
        (6.225, 6.23, 0.005, True),  # halves may go either way
        (6.225, 6.22, 0.005, True),
        (6.2249, 6.23, 0.005, False),
        (0.6455, 0.646, 0.00005, False),
        (0.35, 0.35, 0.005, True),
        (0.355001, 0.35, 0.005, False),
    ],
)
def test_rounding(value: float, printed: float, half: float, matches: bool) -> None:
    assert rounds_to(value, printed, half) is matches


# Which average each published number is


@pytest.mark.mirror
def test_which_variant_each_published_average_follows(scores: pl.DataFrame) -> None:
    compared = compare_variants(published(scores))
    counts = {
        place: {
            variant: int(
                compared.filter((pl.col("place") == place) & (pl.col("variant") == variant))["matches"].sum()
            )
            for variant in VARIANTS
        }
        for place in compared["place"].unique()
    }

    def only(variant: str, count: int) -> dict[str, int]:
        return {v: count if v == variant else 0 for v in VARIANTS}

    assert counts == {
        "Table 6": only("avg_wk_if", 8),
        "Table 7": only("avg_wk_if", 6),
        "Section 3.2": only("avg_stated", 0),  # none
        "Section 3.2, exchanged": only("avg_stated", 2),
        "sheet SFT": only("avg_wk_if", 40),
        "sheet sft_blending_ablation": only("avg_wk_if", 4),
        "sheet approx_on_policy": only("avg_wk_if", 8),
        "sheet Main-SFT": only("avg_wk_if_loose", 4),
        "sheet LC Ablation": only("avg_stated", 2),
        "sheet SFT-arch-ablation": only("avg_wk_if", 6),
        "sheet FT from Instruct": only("avg_open_llm", 3),
        "sheet DPO": only("avg_wk_if", 3) | {"avg_open_llm": 1},  # one row has no MixEval
        "Figure 2 (sheet scale_ablation)": only("avg_wk_if", 12),
    }
    assert (
        "Table 7: avg_stated 0 of 6, avg_wk_if 6 of 6, avg_wk_if_loose 0 of 6, avg_open_llm 0 of 6"
        in summary(compared)
    )


@pytest.mark.mirror
def test_the_variant_is_the_only_subset_that_gives_all_of_a_places_averages(scores: pl.DataFrame) -> None:
    found = search_subsets(published(scores))
    whole = found.filter(pl.col("matched") == pl.col("averages"))
    assert dict(whole.select("place", "variant").iter_rows()) == {
        "Table 6": "avg_wk_if",
        "Table 7": "avg_wk_if",
        "Section 3.2, exchanged": "avg_stated",
        "sheet SFT": "avg_wk_if",
        "sheet sft_blending_ablation": "avg_wk_if",
        "sheet approx_on_policy": "avg_wk_if",
        "sheet Main-SFT": "avg_wk_if_loose",
        "sheet LC Ablation": "avg_stated",
        "sheet SFT-arch-ablation": "avg_wk_if",
        "sheet FT from Instruct": "avg_open_llm",
        "sheet DPO": "avg_wk_if",
        "Figure 2 (sheet scale_ablation)": "avg_wk_if",
    }
    assert whole["place"].is_unique().all()
    assert found.filter(pl.col("place") == "Section 3.2")["matched"].max() == 1


@pytest.mark.mirror
def test_the_sheets_formulas_say_the_same(workbook: Path) -> None:
    """An oracle of another kind: the columns that the workbook's own formulas average."""
    formulas = openpyxl.load_workbook(workbook)
    for name, first, last in (
        ("SFT", "BBH", "MixEval"),
        ("approx_on_policy", "BBH", "MixEval"),
        ("Main-SFT", "BBH", "MixEval"),
        ("LC Ablation", "MTBench", "MixEval"),
        ("FT from Instruct", "BBH", "MMLU Pro"),
    ):
        sheet = formulas[name]
        heading = {c.value: c for c in sheet[1]}
        cell = sheet.cell(2, next(c for h, c in heading.items() if h and h.startswith("Average")).column)
        assert f"{heading[first].column_letter}2:{heading[last].column_letter}2" in cell.value


@pytest.mark.mirror
def test_the_command(workbook: Path, tmp_path: Path, rewild) -> None:
    assert rewild(ROOT, "released-scores", workbook, "--out", tmp_path / "scores.csv").returncode == 0
    run = rewild(
        *(ROOT, "averages", "--scores", tmp_path / "scores.csv"),
        *("--out", tmp_path / "averages.csv", "--out-subsets", tmp_path / "subsets.csv"),
    )
    assert run.returncode == 0, run.stdout
    averages = read_table(tmp_path / "averages.csv", AVERAGES)
    assert averages.height == 4 * (8 + 6 + 2 + 2 + 40 + 4 + 8 + 4 + 2 + 6 + 3 + 4 + 12)
    re_wild = averages.filter(
        (pl.col("place") == "sheet Main-SFT")
        & (pl.col("run") == "Re-Wild")
        & (pl.col("variant") == "avg_wk_if_loose")
    ).row(0, named=True)
    assert (re_wild["value"], re_wild["published"], re_wild["matches"]) == (0.39175, "0.392", True)
    assert read_table(tmp_path / "subsets.csv", SUBSETS).height == 17
    metadata = json.loads((tmp_path / "averages.csv-metadata.json").read_text())
    assert "averages.csv" in metadata["rewild"]["provenance"]["inputs"]


# The search itself, on scores made up here


def _row(place: str, value: float, half: float, scores: dict[str, float | None]) -> Published:
    return Published(place, "s", 1, "m", None, str(value), value, half, scores)


def test_the_search_finds_the_subset_and_skips_missing_scores() -> None:
    rows = [
        {"bbh": 0.1, "gpqa": 0.2, "mt-bench": 9.0, "sheet-average": 0.0, "mbpp": 0.7},
        {"bbh": 0.3, "gpqa": None, "mt-bench": 1.0, "sheet-average": 0.0, "mbpp": 0.7},
    ]
    found = search_subsets([_row("p", 0.5, 0.0005, rows[0]), _row("p", 0.2, 0.0005, rows[1])])
    assert found.select("benchmarks", "matched", "averages").rows() == [("bbh+mt-bench", 2, 2)]
    found = search_subsets([_row("p", 0.15, 0.0005, rows[0]), _row("p", 0.3, 0.0005, rows[1])])
    assert found["benchmarks"].to_list() == ["bbh+gpqa"]
    assert search_subsets([_row("p", 0.99, 0.0005, rows[0])]).is_empty()


def test_a_run_that_is_not_there_once_is_an_error() -> None:
    row = {"sheet": "SFT", "sheet_row": 2, "model": "m", "run": "r", "benchmark": "bbh", "value": 0.1}
    frame = pl.DataFrame([row, row | {"sheet_row": 3}], schema=SCORES.dtypes)
    with pytest.raises(DataError, match="'r' stands 2 times in the sheet 'SFT', not once"):
        row_of_run(frame, "SFT", "r")
    with pytest.raises(DataError, match="'q' stands 0 times"):
        row_of_run(frame, "SFT", "q")


def test_averages_of_another_text_are_refused() -> None:
    text = pl.DataFrame(
        {"run": ["Q99"], "value": [0.4], "digits": [3], "printed": [".400"], "place": ["x"], "note": [None]}
    )
    empty = pl.DataFrame(schema=PUBLISHED_CELLS.dtypes)
    with pytest.raises(DataError, match="the runs must be Q72, Q72"):
        published_averages(pl.DataFrame(schema=SCORES.dtypes), {"table6": empty, "table7": empty}, text)

"""Every transcribed number against the text of its source, read again with a parser that shares nothing.

Where the papers lie beside the checkout (`shared/papers`); elsewhere only what the files themselves must
satisfy is tested.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from rewild.core.cells import PUBLISHED_CELLS
from rewild.core.table import read_table
from rewild.report.tables.spec import read_specs

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ROOT / "workflow/rewild/papers/wildchat50m/data"
PAPERS = ROOT.parent / "shared/papers"
TABLES = [f"table{i}" for i in range(1, 8)]
CELLS = {"table1": 3, "table2": 54, "table3": 70, "table4": 24, "table5": 156, "table6": 80, "table7": 60}

Grid = dict[tuple[str, str], str]


def cells(table: str) -> pl.DataFrame:
    return read_table(RESOURCES / f"{table}.csv", PUBLISHED_CELLS)


def _source(prefix: str) -> str:
    found = sorted(PAPERS.glob(f"{prefix}_*.txt"))
    if not found:
        pytest.skip(f"the sources' text is not at hand ({PAPERS})")
    return found[0].read_text(encoding="utf-8")


def _label(text: str) -> str:
    """A label without what the sources spell differently: spaces, the norm sign, a Cyrillic letter."""
    text = "p" if text == "р" else text
    text = text.replace("Alpaca Eval (LC)", "AlpacaEval")
    return re.sub(r"\s|∥|‖|‚à•|\|", "", text)


def paper_grids() -> list[Grid]:
    """Blocks of tab-separated lines in the PDF's text, each followed by a caption 'Table N.'."""
    text = _source("000")
    grids: dict[int, Grid] = {}
    for match in re.finditer(
        r"((?:^[^\n\t]+\t[^\n]*\n)+)\s*(?:WildChat-50M\s+)?^Table (\d)\. ", text, re.MULTILINE
    ):
        header, *lines = [line.split("\t") for line in match[1].splitlines()]
        grids[int(match[2])] = {
            (_label(line[0]), _label(column)): cell
            for line in lines
            for column, cell in zip(header[1:], line[1:], strict=True)
        }
    return [grids[i] for i in range(1, 8)]


class _Tables(HTMLParser):
    """Rows of cells of every HTML table; what stands in <math> is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.math = 0
        self.open = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.open = True
        elif tag == "math":
            self.math += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.open = False
        elif tag == "math":
            self.math -= 1

    def handle_data(self, data: str) -> None:
        if self.open and not self.math:
            self.tables[-1][-1][-1] += data


def review_grids() -> list[Grid]:
    parser = _Tables()
    for block in re.findall(r"<table.*?</table>", _source("001"), re.DOTALL):
        parser.feed(block)
    return [
        {
            (_label(line[0]), _label(column)): cell.strip()
            for line in rows[1:]
            for column, cell in zip(rows[0][1:], line[1:], strict=True)
        }
        for rows in parser.tables
    ]


@pytest.mark.parametrize("table", TABLES)
def test_every_cell_stands_in_the_sources(table: str) -> None:
    number = TABLES.index(table)
    grids = {"paper": paper_grids()[number], "review": review_grids()[number]}
    frame = cells(table)
    assert frame.height == len(grids["paper"]) == len(grids["review"]) == CELLS[table]
    for cell in frame.iter_rows(named=True):
        at = (_label(cell["row"]), _label(cell["column"]))
        other = "review" if cell["source"] == "paper" else "paper"
        assert cell["printed"] == grids[cell["source"]][at], at
        assert (cell["also"] or cell["printed"]) == grids[other][at], at


@pytest.mark.parametrize("table", TABLES)
def test_values_are_what_is_printed(table: str) -> None:
    spec, columns = read_specs(RESOURCES / "tables.yaml").of(table)
    frame = cells(table)
    assert frame.height == CELLS[table]
    assert frame["row"].n_unique() * len(spec.columns) == frame.height
    for i, cell in enumerate(frame.iter_rows(named=True)):
        assert cell["column"] == spec.columns[i % len(spec.columns)]
        number, _, half = cell["printed"].partition(" ± ")
        if number == "N/A":
            assert (cell["value"], cell["digits"], cell["ci"]) == (None, None, None)
            continue
        printed = Decimal(number.replace(",", ""))
        percent = (
            cell["source"] == "review"
        )  # the one table that the review prints with more digits, in percent
        assert Decimal(str(cell["value"])) == (printed / 100 if percent else printed)
        assert cell["digits"] == -printed.as_tuple().exponent + (2 if percent else 0)
        low, high = columns[cell["column"]].low, columns[cell["column"]].high
        assert low <= cell["value"] <= (float("inf") if high is None else high)
        if percent:
            number, _, half = cell["also"].partition(" ± ")
            value, places = Decimal(str(cell["value"])), Decimal("0.01")
            assert Decimal(number) in {value.quantize(places, r) for r in (ROUND_HALF_UP, ROUND_HALF_EVEN)}
        assert cell["ci"] == (float(half) if half else None)


def test_the_table_with_more_digits_is_table_2() -> None:
    sources = {t: set(cells(t)["source"]) for t in TABLES}
    assert {t for t, s in sources.items() if "review" in s} == {"table2"}
    assert cells("table2").filter(pl.col("source") == "review").height == 6 * 7


def test_ratios_of_table_3_are_ratios_of_its_counts() -> None:
    value = {(r["row"], r["column"]): r["value"] for r in cells("table3").iter_rows(named=True)}
    pairs = [row for row, column in value if row.startswith("PF ") and column == "p"]
    assert len(pairs) == 3
    for pair in pairs:
        a, b = pair.removeprefix("PF ").split(", ")
        for column in ("Strong", "Em", "Ol", "Ul", "h1", "h2", "h3", "h4", "p", "len"):
            if value[b, column] == 0:
                assert value[a, column] == 0
                assert value[pair, column] == 1
            else:
                assert abs(value[a, column] / value[b, column] - value[pair, column]) <= 0.0005


def test_tables_2_and_6_agree_on_the_models_they_share() -> None:
    two = {(r["row"], r["column"]): r["value"] for r in cells("table2").iter_rows(named=True)}
    six = {(r["row"], r["column"]): r["value"] for r in cells("table6").iter_rows(named=True)}
    for (row, column), value in two.items():
        if (f"L8B : {row}", column) in six:
            assert abs(six[f"L8B : {row}", column] - value) <= 0.005 + 1e-12

"""Every number of the room `teachers` against the paper's text, read again with a parser of its own.

Where the text lies beside the checkout (`shared/papers`); elsewhere only what the files themselves must
satisfy is tested.
"""

from __future__ import annotations

import csv
import re
from fractions import Fraction

import pytest

from published_rooms import ROOT, Room, check_cells

ROOM = Room("teachers")
CELLS = {"table2": 28, "table3": 32, "table4": 54, "table5": 10, "table6": 285}
# What the text prints where it has lost a point or a digit.
DAMAGED = {
    ("table2", "Gemma-2-27b-it", "WR"): "1331",
    ("table2", "Llama-3-70b-Instruct", "Arena-Hard"): "67",
    ("table2", "Llama-3.1-70b-Instruct", "Arena-Hard"): "83",
    ("table2", "GPT-4", "Arena-Hard"): "48",
    ("table6", "Llama-3.2-3B : Qwen2-1.5B", "WR"): ".72",
}
NAMES = {
    "Gemma-2-9h-it": "Gemma-2-9b-it",
    "$Owen2-1.5B$": "Qwen2-1.5B",
    "$Owen2.5-3B$": "Qwen2.5-3B",
    "Owen2-1.5B": "Qwen2-1.5B",
    "Gemma 2-2B": "Gemma-2-2B",
    "Llama 3.2-3B": "Llama-3.2-3B",
}


@pytest.fixture(scope="module")
def text() -> str:
    found = sorted((ROOT.parent / "shared/papers").glob("004_*.txt"))
    if not found:
        pytest.skip("the paper's text is not at hand")
    return found[0].read_text(encoding="utf-8")


def block(text: str, caption: str) -> list[list[str]]:
    """The lines of cells below a caption."""
    rest = text[text.index(f"\n{caption}") :].split("\n\n")
    return [line.split("\t") for line in rest[1].splitlines()]


def as_printed(table: str) -> dict[tuple[str, str], str]:
    """A table as the text has it, damage and all."""
    return {
        (row, column): DAMAGED.get((table, row, column), printed)
        for (row, column), printed in ROOM.grid(table).items()
    }


def name_of(label: str) -> str:
    return NAMES.get(label, label).replace("Owen", "Qwen")


@pytest.mark.parametrize("table", CELLS)
def test_values_are_what_is_printed(table: str) -> None:
    check_cells(ROOM, table, CELLS[table])


def test_damaged_cells_are_noted_and_follow_from_their_rows() -> None:
    for table in ("table2", "table6"):
        with (ROOM.data / f"{table}.csv").open(encoding="utf-8", newline="") as handle:
            noted = {(table, r["row"], r["column"]): r["note"] for r in csv.DictReader(handle) if r["note"]}
        assert set(noted) == {place for place in DAMAGED if place[0] == table}
        assert all(DAMAGED[place] in note for place, note in noted.items())
    two = {key: Fraction(value) for key, value in ROOM.grid("table2").items()}
    for row in ("Llama-3-70b-Instruct", "Llama-3.1-70b-Instruct", "GPT-4"):
        assert abs((two[row, "LC"] + two[row, "Arena-Hard"]) / 2 - two[row, "AP"]) <= Fraction("0.0051")
    for (_, row, column), damaged in DAMAGED.items():
        table = "table6" if ":" in row else "table2"
        assert ROOM.grid(table)[row, column].replace(".", "").endswith(damaged.replace(".", ""))


def test_table_2_is_the_papers(text: str) -> None:
    lines = block(text, "Table 2:")[2:]
    columns = ROOM.specs.tables["table2"].columns
    read = {
        (name_of(line[0]), column): cell
        for line in lines
        for column, cell in zip(columns, line[1:], strict=True)
    }
    assert {k: v.replace("13.31", "1331") for k, v in read.items()} == as_printed("table2")


def test_table_3_is_the_papers(text: str) -> None:
    columns = ROOM.specs.tables["table3"].columns
    bases = iter(["Llama-3.1-Minitron-4B", "Qwen2.5-3B-Instruct"])
    read, base = {}, ""
    for line in block(text, "Table 3:"):
        cells = [cell for cell in line if re.fullmatch(r"[\d.]+", cell)]
        method = next(
            (cell for cell in line if re.fullmatch(r"Best-of-N|Worst-of-N|Sampling|Greedy", cell)), ""
        )
        if not method:
            continue
        base = next(bases) if method == "Best-of-N" else base
        read |= {(f"{base} : {method}", c): cell for c, cell in zip(columns, cells, strict=True)}
    assert read == as_printed("table3")
    caption = text[text.index("\nTable 3:") :][:900]
    assert "Llama-3 1- Minitron-4B" in caption
    assert "3B-Instruct" in caption


def test_table_4_is_the_papers(text: str) -> None:
    columns = ROOM.specs.tables["table4"].columns
    read = {}
    for line in block(text, "Table 4:"):
        cells = [cell for cell in line[1:] if re.fullmatch(r"-?[\d.]+", cell)]
        if cells:
            read |= {(name_of(line[0]), c): cell for c, cell in zip(columns, cells, strict=True)}
    assert read == as_printed("table4")


def test_table_5_is_the_papers(text: str) -> None:
    read = {(line[0], "Value"): line[1] or "-" for line in block(text, "Table 5:")[1:]}
    assert {key: value.replace("2 \\times", "2×") for key, value in read.items()} == as_printed("table5")


def test_table_6_is_the_papers(text: str) -> None:
    """Win rates and length-controlled ones stand in one cell of the text."""
    lines = block(text, "Table 6:")
    families = [("Phi-3", 3), ("Gemma-2", 3), ("Llama-3", 2), ("Llama-3.1", 3), ("Qwen2", 3), ("Qwen2.5", 5)]
    heads = [cell.strip() for cell in lines[0] if cell.strip()][1:]
    assert [re.sub("Owen", "Qwen", head).replace(" ", "-") for head in heads] == [f for f, _ in families]
    sizes = [cell.replace("9 _B", "9B").replace("_", "").replace(" B", "B") for cell in lines[1][2:]]
    teachers = [
        f"{family}-{size.replace(' ', '')}"
        for (family, count), at in zip(families, (0, 3, 6, 8, 11, 14), strict=True)
        for size in sizes[at : at + count]
    ]
    bases = iter(["Qwen2-1.5B", "Gemma-2-2B", "Qwen2.5-3B", "Llama-3.2-3B", "Llama-3.1-Minitron-4B"])
    read, base = {}, ""
    for line in lines[2:]:
        if "LC" in line[1]:
            base = next(bases)
            for teacher, cell in zip(teachers, line[2:], strict=True):
                wr, lc = cell.split()
                read[f"{base} : {teacher}", "WR"], read[f"{base} : {teacher}", "LC"] = wr, lc
        elif line[1] == "AH":
            for teacher, cell in zip(teachers, line[2:], strict=True):
                read[f"{base} : {teacher}", "Arena-Hard"] = cell
    assert read == as_printed("table6")

"""Tables as a reader gets them: golden cells, bold, brackets, escaping, and what is refused."""

from __future__ import annotations

import csv
import json
import re
import shutil
import string
import subprocess
from pathlib import Path

import polars as pl
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hostile import HOSTILE
from rewild.core.cells import COMPARED_CELLS, COMPUTED_CELLS, PUBLISHED_CELLS
from rewild.core.errors import ConfigError, DataError
from rewild.core.table import read_table, write_table
from rewild.papers import find_paper
from rewild.papers.wildchat50m.released import compute_cells
from rewild.papers.wildchat50m.workbook import read_runs, read_scores
from rewild.report.tables.compare import agreement, compare_cells
from rewild.report.tables.make import make_table
from rewild.report.tables.render import Grid, Shown, to_html, to_latex, to_markdown
from rewild.report.tables.spec import read_specs

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ROOT / "workflow/rewild/papers/wildchat50m/data"
SPECS = RESOURCES / "tables.yaml"
CITE = find_paper("wildchat50m").cite
TABLES = [f"table{i}" for i in range(1, 8)]


def make(name: str, computed: Path | None = None):  # type: ignore[no-untyped-def]
    return make_table(name, RESOURCES / f"{name}.csv", SPECS, CITE, computed=computed)


def html_rows(page: str) -> list[list[str]]:
    """Every row of a page's table, as text; bold cells in asterisks."""
    rows = []
    for row in BeautifulSoup(page, "html.parser").find("table").find_all("tr"):
        cells = row.find_all(["th", "td"])
        rows.append(["*" * bool(c.find(["b", "strong"])) + c.get_text() for c in cells])
    return rows


def markdown_rows(text: str) -> list[list[str]]:
    return html_rows(MarkdownIt("commonmark").enable("table").render(text))


def latex_rows(text: str) -> list[list[str]]:
    body = text.split("\\toprule\n")[1].split("\\bottomrule", maxsplit=1)[0].replace("\\midrule\n", "")
    return [re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in body.splitlines()]


# As published


def test_published_table_2_shows_every_digit_and_the_intervals() -> None:
    made = make("table2")
    rows = markdown_rows(to_markdown(made.grid, made.comment))
    assert rows[0][:4] == ["Data-generating model", "MTBench", "AlpacaEval", "BBH"]
    assert rows[1] == [
        "Q72",
        "*6.86",
        "*41.00",
        "0.4807 ± 0.01",
        "0.2932 ± 0.04",
        "*0.0562 ± 0.00",
        "0.4027 ± 0.04",
        "0.3678 ± 0.04",
        "0.3038 ± 0.01",
        "0.6450 ± 0.01",
    ]
    best = {rows[0][i]: row[0] for row in rows[1:] for i, cell in enumerate(row) if cell.startswith("*")}
    assert best == {
        "MTBench": "Q72",
        "AlpacaEval": "Q72",
        "BBH": "CRP",
        "GPQA": "CRP",
        "MATH": "Q72",
        "MUSR": "Q7",
        "IFEval": "L8I",
        "MMLU Pro": "L8I",
        "MixEval": "L8I",
    }


@pytest.mark.parametrize(
    ("table", "bold"),
    [("table1", 0), ("table3", 0), ("table4", 5), ("table5", 0), ("table7", 18)],
)
def test_bold_marks_the_best_and_all_that_equal_it(table: str, bold: int) -> None:
    """Table 7, counted by hand: 1 1 3 1 3 1 1 3 2 2 over its ten columns."""
    made = make(table)
    for rows in (markdown_rows(to_markdown(made.grid, "")), html_rows(to_html(made.grid, ""))):
        assert sum(cell.startswith("*") for row in rows[1:] for cell in row) == bold
    assert to_latex(made.grid, "").count(r"\textbf{") == bold + 1 + len(made.grid.columns)


def test_absent_numbers_are_dashes_and_thousands_are_grouped() -> None:
    made = make("table4")
    assert markdown_rows(to_markdown(made.grid, ""))[1] == [
        "L8B : L70",
        "6.38",
        "–",
        "22.5",
        "8.75",
        "15",
        "–",
    ]
    made = make("table1")
    assert html_rows(to_html(made.grid, ""))[1] == ["WildChat-Q72", "246,750"]


@pytest.mark.parametrize("table", TABLES)
def test_the_three_forms_say_the_same(table: str) -> None:
    made = make(table)
    page = [[c.removeprefix("*") for c in row] for row in html_rows(to_html(made.grid, made.comment))]
    text = [[c.removeprefix("*") for c in row] for row in markdown_rows(to_markdown(made.grid, made.comment))]
    assert page == text
    latex = latex_rows(to_latex(made.grid, made.comment))
    assert [len(row) for row in latex] == [len(row) for row in page]
    for latex_row, row in zip(latex, page, strict=True):
        for cell, shown in zip(latex_row, row, strict=True):
            plain = re.sub(r"\\textbf\{(.*?)\}$", r"\1", cell)
            plain = plain.replace(r"$\pm$", "±").replace(r"\textendash{}", "–").replace(r"\_", "_")
            assert re.sub(r"\\textbf\{(.*?)\}", r"\1", plain) == shown


@pytest.mark.parametrize("table", TABLES)
def test_the_wide_csv_holds_every_published_number(table: str, tmp_path: Path) -> None:
    make(table).write_csv(tmp_path / "wide.csv")
    with (tmp_path / "wide.csv").open(encoding="utf-8", newline="") as handle:
        rows = {row["row"]: row for row in csv.DictReader(handle)}
    cells = read_table(RESOURCES / f"{table}.csv", PUBLISHED_CELLS)
    for cell in cells.iter_rows(named=True):
        shown = rows[cell["row"]][cell["column"]]
        assert (float(shown) if shown else None) == cell["value"]
        interval = rows[cell["row"]].get(f"{cell['column']} ci", "")
        assert (float(interval) if interval else None) == cell["ci"]
    about = json.loads((tmp_path / "wide.csv-metadata.json").read_text())
    assert set(about["rewild"]["provenance"]["inputs"]) == {f"{table}.csv", "tables.yaml"}


def test_provenance_is_a_comment_in_every_form() -> None:
    made = make("table5")
    assert "table5.csv (SHA-256 " in made.comment
    assert to_markdown(made.grid, made.comment).startswith("<!--\ntable5: Similarity")
    assert all(line.startswith("%") for line in to_latex(made.grid, made.comment).splitlines()[:6])
    assert "default-src 'none'" in to_html(made.grid, made.comment)


# Beside computed numbers


def _computed(cells: list[tuple[str, str, float | None]], path: Path) -> Path:
    frame = pl.DataFrame(
        [{"row": r, "column": c, "value": v, "ci": None, "note": None} for r, c, v in cells],
        schema=COMPUTED_CELLS.dtypes,
        orient="row",
    )
    write_table(path, frame, COMPUTED_CELLS, {})
    return path


def test_a_number_that_does_not_round_to_the_published_one_is_marked(tmp_path: Path) -> None:
    cells = [
        ("L8B : L70", "MTBench", 6.375),  # 6.38 with halves up
        ("L8B : Q72", "MTBench", 6.7251),
        ("L8B : L70", "PrefRt-L8Q", 22.5),
        ("L70 : None", "FlipCt", 5.0),
        ("Q72 : None", "FlipCt", None),
    ]
    made = make("table4", _computed(cells, tmp_path / "cells.csv"))
    rows = {row[0]: row[1:] for row in markdown_rows(to_markdown(made.grid, ""))}
    assert rows["L8B : L70"] == ["6.38", "–", "22.50", "– [8.75]", "– [15]", "–"]
    assert rows["L8B : Q72"][0] == "*6.73 [6.72]"
    assert rows["L70 : None"][5] == "5"
    assert rows["Q72 : None"][5] == "– [6]"
    assert agreement(made.frame) == (4, 3)
    assert any("3 of 4 cells round to the published number" in note for note in made.grid.notes)
    made.write_csv(tmp_path / "compared.csv")
    frame = read_table(tmp_path / "compared.csv", COMPARED_CELLS)
    q72 = frame.filter((pl.col("row") == "L8B : Q72") & (pl.col("column") == "MTBench")).row(0, named=True)
    assert (q72["published"], q72["computed"], q72["difference"], q72["within_rounding"]) == (
        *(6.72, 6.7251, 0.0051),
        False,
    )


@pytest.mark.mirror
def test_released_tables_agree_with_the_published_ones_but_for_three_cells(
    workbook: Path, tmp_path: Path
) -> None:
    """Table 2 prints two MixEval scores rounded twice; so does Table 7 one."""
    scores, sheets = read_scores(workbook, read_runs(RESOURCES / "runs.csv"))
    found = {}
    for name in ("table1", "table2", "table6", "table7"):
        published = read_table(RESOURCES / f"{name}.csv", PUBLISHED_CELLS)
        spec, _ = read_specs(SPECS).of(name)
        cells = compute_cells(name, published["row"].unique(maintain_order=True), scores, sheets)
        compared = compare_cells(published, cells, spec, name)
        off = compared.filter(~pl.col("within_rounding")).select("row", "column", "published", "computed")
        found[name] = (agreement(compared), off.rows())
    assert found == {
        "table1": ((3, 3), []),
        "table2": (
            (54, 52),
            [("L70", "MixEval", 0.646, 0.6455), ("Q7", "MixEval", 0.613, 0.6125)],
        ),
        "table6": ((80, 80), []),
        "table7": ((60, 59), [("L8B : Q7 (500k)", "MixEval", 0.64, 0.6345)]),
    }


@pytest.mark.mirror
def test_from_the_workbook_to_the_page_by_hand(workbook: Path, tmp_path: Path, rewild) -> None:
    scores, sheets, cells = (tmp_path / f"{n}.csv" for n in ("scores", "sheets", "cells"))
    given = [f"scores={scores}", f"sheets={sheets}"]
    for arguments in (
        ("released-scores", workbook, "--out", scores, "--out-sheets", sheets),
        ("cells", "wildchat50m", "table7", "released", *given, "--out", cells),
        ("table", "wildchat50m", "table7", "--computed", cells, "--out-html", tmp_path / "table7.html"),
    ):
        run = rewild(ROOT, *arguments)
        assert run.returncode == 0, run.stdout
    rows = html_rows((tmp_path / "table7.html").read_text(encoding="utf-8"))
    assert rows[0][-2:] == ["Avg", "Avg (stated)"]
    assert rows[1][-3:] == ["0.6345 [0.64]", "0.3530", "0.3665"]
    assert rows[4][-2:] == ["0.3666", "*0.4037"]


def test_tables_that_do_not_follow_from_the_workbook(tmp_path: Path) -> None:
    empty = pl.DataFrame()
    with pytest.raises(ConfigError, match="table5 does not follow from the workbook"):
        compute_cells("table5", [], empty, empty)


# Escaping: what is put in comes out, whatever it is

text = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=20
)
nasty = st.text(alphabet="_%&|*$#{}[]<>\\^~`-+=.:!()'\" 12ab", max_size=12)


def _grid(label: str) -> Grid:
    shown = label if label.split() else ""  # a column or a note that is blank is none
    return Grid("table1", label, shown or "x", [shown or "y"], [(label, [Shown("1", 1.0)])], [shown or "z"])


@given(text | nasty)
def test_markdown_shows_any_label_literally(label: str) -> None:
    plain = " ".join(label.split())
    rows = markdown_rows(to_markdown(_grid(label), label))
    assert [rows[0][0], rows[0][1], rows[1][0]] == [plain or "x", plain or "y", plain]
    rendered = MarkdownIt("commonmark").enable("table").render(to_markdown(_grid(label), label))
    notes = [item.get_text().strip() for item in BeautifulSoup(rendered, "html.parser").find_all("li")]
    assert notes == [plain or "z"]


@given(text | nasty)
def test_html_shows_any_label_literally(label: str) -> None:
    page = to_html(_grid(label), label)
    rows = html_rows(page)
    assert rows[1][0].split() == label.split()
    assert BeautifulSoup(page, "html.parser").find("script") is None


@given(text | nasty)
def test_latex_rows_hold_as_many_cells_whatever_the_label(label: str) -> None:
    rows = latex_rows(to_latex(_grid(label), label))
    assert [len(row) for row in rows] == [2, 2]


@pytest.mark.parametrize("table", TABLES)
def test_latex_is_balanced(table: str) -> None:
    made = make(table)
    source = to_latex(made.grid, made.comment)
    code = re.sub(r"\\[{}%&_#$\\]", "", re.sub(r"(?<!\\)%.*", "", source))
    assert code.count("{") == code.count("}")
    assert code.count("$") % 2 == 0
    assert re.findall(r"\\(?:begin|end)\{(\w+)\}", code) == ["table", "tabular", "tabular", "table"]
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", code)
    assert columns is not None
    assert columns[1] == "l" + "r" * len(made.grid.columns)


@pytest.mark.heavy
@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs pdflatex; the source is checked without it"
)
def test_latex_compiles(tmp_path: Path) -> None:
    blocks = ("".join(map(chr, range(start, start + 64))) for start in range(0, 0x500, 64))
    hostile = (*HOSTILE, *blocks, string.punctuation)
    tables = [to_latex(make(t).grid, make(t).comment) for t in TABLES]
    tables += [to_latex(_grid(label), label) for label in hostile]
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
        + "\n\\clearpage\n".join(tables)
        + "\\end{document}\n",
        encoding="utf-8",
    )
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:].decode("latin-1")


# What is refused


def _broken(tmp_path: Path, old: str, new: str, table: str = "table4") -> Path:
    path = tmp_path / "published.csv"
    content = (RESOURCES / f"{table}.csv").read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("row,column,value", "row,colum,value", "column 'column' is missing from this published cells table"),
        ("MTBench,6.38", "MTBench,high", "row 1, column 'value': 'high' is not of type Float64"),
        ("MTBench,6.38", "MTBench,NaN", "row 1, column 'value': not a number (NaN)"),
        (
            "L8B : L70,MTBench",
            "L8B : L70,MTBenc",
            "row 1: the table has no column 'MTBenc'; did you mean 'MTBench'?",
        ),
        ("L8B : L70,FlipCt,,,,N/A,paper,,\n", "", "the row 'L8B : L70' has no cell 'FlipCt'"),
        ("L8B : L70,PrefRt-L8L", "L8B : L70,MTBench", "row 1: this published cells row stands twice"),
    ],
)
def test_a_bad_transcription_names_file_and_row(tmp_path: Path, rewild, old, new, message) -> None:
    path = _broken(tmp_path, old, new)
    out = tmp_path / "out"
    run = rewild(
        *(ROOT, "table", "wildchat50m", "table4", "--published", path),
        *("--out-csv", out / "t.csv", "--out-md", out / "t.md", "--out-tex", out / "t.tex"),
    )
    assert run.returncode == 1
    assert run.stdout.startswith(f"error: {path}")
    assert message in run.stdout.replace("\n", " ")
    assert "Traceback" not in run.stdout
    assert not out.exists()


def test_an_empty_or_missing_table(tmp_path: Path) -> None:
    header = (RESOURCES / "table4.csv").read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "empty.csv").write_text(header + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no rows"):
        make_table("table4", tmp_path / "empty.csv", SPECS, CITE)
    with pytest.raises(DataError, match="no such file"):
        make_table("table4", tmp_path / "none.csv", SPECS, CITE)
    with pytest.raises(ConfigError, match="unknown table 'tabel4'; did you mean 'table4'"):
        make_table("tabel4", RESOURCES / "table4.csv", SPECS, CITE)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (("L8B : L7", "MTBench", 1.0), "row 1: the table has no row 'L8B : L7'; did you mean 'L8B : L70'?"),
        (
            ("L8B : L70", "MTBeench", 1.0),
            "row 1: the table has no column 'MTBeench'; did you mean 'MTBench'?",
        ),
    ],
)
def test_computed_cells_must_be_the_tables(tmp_path: Path, cell, message: str) -> None:
    with pytest.raises(DataError) as error:
        make("table4", _computed([cell], tmp_path / "cells.csv"))
    assert message in str(error.value)
    assert str(tmp_path / "cells.csv") in str(error.value)


def test_cells_of_another_version_are_refused(tmp_path: Path) -> None:
    path = _computed([("L8B : L70", "MTBench", 6.4)], tmp_path / "cells.csv")
    metadata = tmp_path / "cells.csv-metadata.json"
    about = json.loads(metadata.read_text())
    about["rewild"]["version"] = 99
    metadata.write_text(json.dumps(about))
    with pytest.raises(DataError, match="version 99, but computed cells version 1 is needed"):
        make("table4", path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[Num. Convs]",
            "[Num Convs]",
            "table1 names the unknown column 'Num Convs'; did you mean 'Num. Convs'?",
        ),
        ("best: high", "best: highest", "'highest' is not one of"),
        ("    row: Source", "    rows: Source", "unknown key 'tables.table1.rows'; did you mean 'row'?"),
        ("digits: 0", "digits: -1", "digits: input should be greater than or equal to 0"),
    ],
)
def test_a_bad_spec_is_one_message(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "tables.yaml"
    content = SPECS.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_specs(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)

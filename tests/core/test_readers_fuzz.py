"""Hostile workbooks, judged pages and Markdown: a result or one error with the file, in linear time."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from fuzzing import fuzz
from rewild.core.errors import DataError
from rewild.measures.style.markup import LIMIT, Markup, count_markdown, read_html
from rewild.measures.style.pages import read_page
from rewild.papers.wildchat50m import workbook
from rewild.papers.wildchat50m.evidence import Workbook as AuditWorkbook

seeded = fuzz(30)


def small() -> bytes:
    """A workbook with the sheets that the released one has, each with a row."""
    book = Workbook()
    del book["Sheet"]
    for name, headings in workbook.SCORE_SHEETS.items():
        sheet = book.create_sheet(name)
        sheet.append(list(headings))
        sheet.append(["m", *[0.5] * (len(headings) - 1)])
    sheet = book.create_sheet(workbook.SCALE_SHEET)
    sheet.append(["DGM", "Quantity(k)", "Avg"])
    sheet.append(["d", 100, 0.5])
    for name in workbook.OTHER_SHEETS:
        sheet = book.create_sheet(name)
        sheet.append(["a", "b"])
        sheet.append(["r", 1])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


GOOD = small()
LABELS = {("*", "m"): {"base": "b", "dgm": "d", "size": 1, "run": "r"}}


def read(path: Path) -> None:
    """Both readers of workbooks: each gives something, or one error that names the file."""
    for reader in (lambda: workbook.read_scores(path, LABELS), lambda: AuditWorkbook(path)):
        try:
            reader()
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017


def test_the_small_workbook_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.xlsx"
    path.write_bytes(GOOD)
    scores, sheets = workbook.read_scores(path, LABELS)
    assert scores["value"].drop_nulls().to_list()[0] == 0.5
    assert sheets.height == len(workbook.OTHER_SHEETS)


@seeded
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4),
    st.integers(0, len(GOOD)),
)
def test_a_damaged_workbook(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], end: int
) -> None:
    path = tmp_path_factory.mktemp("w") / "w.xlsx"
    data = bytearray(GOOD)
    for at, byte in flips:
        data[at] = byte
    path.write_bytes(data[:end] if end % 3 == 0 else data)
    read(path)


@seeded
@given(
    st.sampled_from(sorted(zipfile.ZipFile(io.BytesIO(GOOD)).namelist())),
    st.sampled_from([
        "", "<", "<a>" * 3000, "\x00", "&x;", "]]>", 't="e"', 't="d"', 't="s"', "<v>1e400</v>", "<v>nan</v>",
        "<v>" + "9" * 400 + "</v>", 'r="A99999999"', 'ref="A1:XFD1048576"', "<f>1/0</f>", "\ud83d",
    ]),
    st.integers(0, 10_000),
)  # fmt: skip
def test_a_workbook_with_other_xml(
    tmp_path_factory: pytest.TempPathFactory, member: str, put: str, at: int
) -> None:
    path = tmp_path_factory.mktemp("w") / "w.xlsx"
    with zipfile.ZipFile(io.BytesIO(GOOD)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == member:
                at %= len(data) + 1
                data = data[:at] + put.encode(errors="surrogatepass") + data[at:]
            new.writestr(name, data)
    read(path)


def test_a_workbook_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * (workbook.LARGEST + 1))
    with pytest.raises(DataError, match=r"'xl/workbook.xml' unpacks to more than 32 MiB"):
        workbook.read_scores(path, LABELS)


PARTS = [
    '<div class="message question">', '<div class="message answer">', '<div class="message judgment">',
    '<div class="score">', "</div>", '<span class="icon">', "</span>", "8", "8.5", "9" * 400, "<p>", "</p>",
    "<b", "<![", "<!--", "-->", "<!DOCTYPE", "<?", "&#x110000;", "\x00", "</", "text", "<style>", "\u0661",
]  # fmt: skip
PAGE = "".join(f'<div class="{c}">8</div>' for c in
               ("message question", "message answer", "message judgment", "score"))  # fmt: skip


@seeded
@given(st.lists(st.sampled_from(PARTS), max_size=12), st.integers(0, len(PAGE)), st.binary(max_size=3))
def test_a_hostile_page(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], at: int, raw: bytes
) -> None:
    path = tmp_path_factory.mktemp("p") / "81.html"
    path.write_bytes((PAGE[:at] + "".join(parts) + PAGE[at:]).encode() + raw)
    try:
        assert 0 <= read_page(path).score < 1e9
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", ["\u0661.html", "a.html", "1234567890.html"])
def test_a_page_of_another_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(PAGE, encoding="utf-8")
    with pytest.raises(DataError, match="named by its question's number"):
        read_page(path)


@pytest.mark.parametrize("tag", ["<a ", "<b\n", "<div class='", "<p x=", '<q "'])
def test_tags_that_do_not_end_are_refused_at_once(tag: str) -> None:
    """Python's parser takes hours for the first."""
    with pytest.raises(DataError, match="a tag does not end within 4,096 characters"):
        read_html(tag * 100_000, "HTML")


def test_open_elements_are_counted_not_searched() -> None:
    markup = read_html("<p>x" * 8000, "HTML")
    assert markup.styling(markup.whole).tags["p"] == 8000
    markup = Markup("<div>" * 20_000 + "</p>" * 20_000 + "x</div>")
    assert "x" in markup.whole.texts


@pytest.mark.parametrize("piece", ["<![", "[", "![", "[[a]", "[a]("])
def test_tangled_markdown_is_a_failure(piece: str) -> None:
    found = count_markdown(piece * 60_000)
    assert (found.failures, found.tags, found.responses) == (1, {}, 1)
    assert found.features()["failures"] == 1


@pytest.mark.heavy
def test_long_markdown_is_a_failure_and_ordinary_is_not() -> None:
    long = "**a** b\n\n" * (LIMIT // 9 + 1)
    assert (count_markdown(long).failures, count_markdown(long).words) == (1, 2 * (LIMIT // 9 + 1))
    found = count_markdown(long[: LIMIT // 2])
    assert found.failures == 0
    assert found.tags["strong"] > 1000
    assert "failures" not in found.features()
    assert (found + count_markdown(long)).failures == 1


@seeded
@given(st.text(st.sampled_from("<>![]()*_`#|-&\\\n a1\x00\ud800"), max_size=400))
def test_any_markdown_is_counted(text: str) -> None:
    found = count_markdown(text)
    assert found.failures == 0
    assert found.words >= 0

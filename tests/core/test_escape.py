"""Text as text in every format: what goes in is what a reader of the format sees, and nothing of it acts."""

from __future__ import annotations

import csv
import html
import html.parser
import io
import re

import polars as pl
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from markdown_it import MarkdownIt

from fuzzing import fuzz
from hostile import HOSTILE, hostile_text
from rewild.core import escape, markdown
from rewild.core.plotting import new_figure, style
from rewild.prompts import report as prompts
from rewild.training.mixes import card as mixes
from rewild.training.runs import checks

seeded = fuzz(300)
GFM = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def rendered(source: str) -> BeautifulSoup:
    return BeautifulSoup(GFM.render(source), "html.parser")


def shown(element: object) -> str:
    return " ".join(element.get_text().split())  # type: ignore[attr-defined]


@seeded
@given(hostile_text)
def test_visible_text_is_utf8_and_holds_nothing_hidden(text: str) -> None:
    made = escape.visible(text)
    made.encode()
    assert not escape.HIDDEN_PATTERN.search(made)
    assert "\r" not in made
    assert escape.visible(made) == made
    assert "\n" not in escape.line(text)


def test_hidden_characters_are_written_out() -> None:
    assert escape.visible("a\x1b[31mb\ud800\u202e") == "aU+001B[31mbU+D800U+202E"
    assert escape.line(" a\n\tb\u2028c ") == "a b c"
    assert escape.line(None) == "None"


PLACES = {
    "paragraph": ("{}", "p"),
    "heading": ("## {}", "h2"),
    "item": ("- {}", "li"),
    "cell": ("| a | b |\n|---|---|\n| {} | 1 |", "td"),
    "head": ("| {} | b |\n|---|---|\n| 1 | 1 |", "th"),
    "inside": ("Name: {}.", "p"),
}


@seeded
@given(hostile_text)
def test_markdown_shows_text_literally_wherever_it_stands(text: str) -> None:
    plain = escape.line(text)
    for form, tag in PLACES.values():
        page = rendered(form.format(markdown.text(text)))
        found = page.find(tag)
        before, _, after = form.partition("{}") if form == PLACES["inside"][0] else ("", "", "")
        if found is None:
            assert not plain
            continue
        assert shown(found) == " ".join(f"{before}{plain}{after}".split())
        tags = {e.name for e in page.find_all(True)}
        assert tags <= {"p", "h2", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
        assert len(page.find_all(["td", "th"])) in (0, 4)


@seeded
@given(hostile_text, hostile_text)
def test_a_table_has_the_cells_that_it_is_given(head: str, cell: str) -> None:
    rows = [(cell, 1234), (None, markdown.code(cell)), (markdown.Markup("**x**"), -1)]
    page = rendered("\n".join(markdown.table((head, "b"), rows, "<>")))
    code = " ".join(escape.line(cell).split("|")) if not escape.line(cell).strip("`") else escape.line(cell)
    found = [shown(c) for c in page.find_all(["th", "td"])]
    assert found[:6] == [escape.line(head), "b", escape.line(cell), "1,234", "", code.strip()]
    assert found[6:] == ["x", "-1"]
    assert markdown.table(("a", "b", "c"), [], "->")[1] == "|---|---:|---:|"


@seeded
@given(hostile_text)
def test_code_in_markdown_cannot_be_left(text: str) -> None:
    span = rendered(f"| a | b |\n|---|---|\n| {markdown.code(text)} | 1 |")
    assert len(span.find_all("td")) == 2
    if escape.line(text):
        assert span.find("code").get_text().strip() == escape.line(text)  # type: ignore[union-attr]
    block = rendered("\n".join([*markdown.block(text), "after"]))
    assert [e.name for e in block.find_all(True)] == ["pre", "code", "p"]
    assert block.find("code").get_text() == escape.visible(text) + "\n"  # type: ignore[union-attr]


@seeded
@given(hostile_text)
def test_html_shows_text_literally_in_elements_and_attributes(text: str) -> None:
    page = BeautifulSoup(f'<p title="{escape.html(text)}">{escape.html(text)}</p><i></i>', "html.parser")
    assert page.p is not None
    assert page.p["title"] == escape.visible(text)
    assert shown(page.p) == " ".join(escape.visible(text).split())
    assert [e.name for e in page.find_all(True)] == ["p", "i"]
    template = escape.templates().from_string("<b>{{ x }}</b>")
    assert html.unescape(template.render(x=text)[3:-4]) == escape.visible(text)
    assert template.render(x=text).count("<") == 2


PLAIN = set("h1 h2 p ul li code pre table thead tbody tr th td strong".split())  # noqa: SIM905


@pytest.mark.parametrize("name", HOSTILE)
def test_languages_and_names_from_data_are_text_in_reports(name: str) -> None:
    """What data call themselves stands in cells of these; each kind of page, whatever the name."""
    length = {"sum": 1, **dict.fromkeys(("mean", "min", *mixes.QUANTILES, "max"), 1)}
    source = {"conversations": 1, "turns": 1, "answer_characters": length}
    card = {
        "title": name, "mix": name, "study": name, "conversations": 1, "turns": 1, "tokenizer": None,
        "by_source": {name: source}, "licences": {name: [name]}, "answer_characters": length, "cut": 0,
        "outcomes": {name: {name: 1}}, "contaminated": {name: 1}, "languages": {name: 1},
        "checksums": {name: "0"}, "made_from": {name: name},
    }  # fmt: skip
    report = {
        "study": name, "rows_in": 1, "kept": 1, "shards": [name], "dropped": {},
        "sources": {name: {"read": 1, "kept": 1, "dropped": {}}},
        "languages": {name: 1}, "turns": {}, "tags": {name: 1}, "failures": {}, "contaminated_by": {name: 1},
    }  # fmt: skip
    check = checks.RunCheck.model_construct(name="a", passed=False, found=name, remedy=name)
    flight = checks.FlightReport.model_construct(  # type: ignore[call-arg]
        study=name, run=name, flight="preflight", passed=False, checks=[check], counts={name: name}
    )
    for source_, tables in (
        (mixes.markdown(card), 5),
        (prompts._markdown(report), 4),
        (checks.as_markdown(flight), 2),
    ):
        page = rendered(source_)
        source_.encode()
        tags = {e.name for e in page.find_all(True)}
        assert tags <= PLAIN
        assert len(page.find_all("table")) == tables
        assert len(page.find_all("h1")) == 1
        for table in page.find_all("table"):
            head, *rows = table.find_all("tr")
            assert all(len(row.find_all("td")) == len(head.find_all("th")) for row in rows)
        assert sum(shown(cell) == escape.line(name) for cell in page.find_all("td")) >= (
            1 if name.strip() else 0
        )


class Comments(html.parser.HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(source)
        self.close()

    def handle_comment(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


@seeded
@given(hostile_text)
def test_nothing_ends_a_comment(text: str) -> None:
    for given_ in (text, f"-{text}->", "-" * 5 + ">"):
        comment = escape.comment(given_)
        assert "--" not in comment
        page = Comments(f"<!--\n{comment}\n-->")
        assert (page.found, page.tags) == ([f"\n{comment}\n"], [])
    assert escape.latex_comment("a\r\\input{x}\x0b\n%b") == ["% a", "% \\input{x}U+000B", "% %b"]


LATEX = {value: key for key, value in escape._LATEX.items()} | {"-{}": "-", ",{}": ","}
TOKEN = re.compile(
    "|".join(map(re.escape, sorted(LATEX, key=len, reverse=True))) + r"|\\rewildchar\{(.)\}\{([0-9A-F]+)\}"
)


@seeded
@given(hostile_text)
def test_latex_is_what_it_was_and_holds_nothing_active(text: str) -> None:
    made = escape.latex(text)
    for character, number in re.findall(r"\\rewildchar\{(.)\}\{([0-9A-F]+)\}", made):
        assert ord(character) == int(number, 16)
    assert TOKEN.sub(lambda m: m[1] or LATEX[m[0]], made) == escape.line(text)
    rest = TOKEN.sub("", made)
    assert not set(rest) & set("\\{}$&#%_^~<>|\"`[]*'")
    assert all(c.isascii() or c in escape._T1 for c in rest)
    assert "--" not in made
    assert ",," not in made


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("text", HOSTILE)
def test_names_are_drawn_as_they_are(text: str) -> None:
    """Two dollars would be a formula; ``$$`` would stop the figure."""
    with style():
        figure = new_figure()
        drawn = figure.text(0.5, 0.5, escape.visible(text))
        figure.canvas.draw()
        assert drawn.get_text() == escape.visible(text)
        assert not drawn.get_parse_math()


@seeded
@given(hostile_text)
def test_csv_gives_back_what_went_in(text: str) -> None:
    """Formulas included: results/README.md says so."""
    text = text.encode("utf-8", "replace").decode()
    made = pl.DataFrame({"a": [text], "b": ["1"]}).write_csv()
    assert list(csv.reader(io.StringIO(made, newline="")))[1] == [text, "1"]
    if text:
        assert pl.read_csv(made.encode(), infer_schema=False).rows() == [(text, "1")]

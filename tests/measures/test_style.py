"""Styling counts: Table 3's row from the released pages, and what is counted in HTML and Markdown."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from rewild.core.cells import COMPUTED_CELLS, PUBLISHED_CELLS
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.measures.style import schema
from rewild.measures.style.counts import counts_frame, page_scopes, rates_frame, shares_frame
from rewild.measures.style.markup import NOTHING, TAGS, Styling, count_markdown, read_html
from rewild.measures.style.pages import read_page, read_pages
from rewild.measures.style.proportional import (
    FEATURES,
    computed_counts,
    mean_as_paper,
    mean_proportional,
    pairs,
    proportional,
    published_counts,
    table3_cells,
)

PAGE = """<!DOCTYPE html>
<html><head><title>not seen</title><style>p { color: red }</style></head><body>
<div class="conversation-container">
<div class="message question"><span class="icon">Q</span> <h1>Ask</h1><p>Why is it so?</p></div>
<div class="message answer">
    <span class="icon">A</span>
    <p>It <strong>is</strong> so, <em>isn't</em> it?</p>
<ol><li><p>One</p></li></ol>
</div>
<div class="message judgment"><span class="icon">J</span><p><strong>Good</strong>. Rating: [[7]]</p></div>
<div class="score">Final Score: <p>7</p></div>
</div></body></html>
"""
ANSWER = "<p>It <strong>is</strong> so, <em>isn't</em> it?</p>\n<ol><li><p>One</p></li></ol>"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "81.html"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_a_page_and_its_answer_are_counted_apart(page: Path) -> None:
    read = read_page(page)
    assert (read.question, read.score) == (81, 7.0)
    assert read.judgment == "Good. Rating: [[7]]"
    assert read.whole.tags == {"h1": 1, "p": 5, "strong": 2, "em": 1, "ol": 1}
    assert read.whole.characters == len(PAGE)
    answer = read.parts["answer"]
    assert answer.tags == {"p": 2, "strong": 1, "em": 1, "ol": 1}
    assert answer.characters == len(ANSWER)  # without the icon and the white space around it
    assert answer.words == 6  # It is so isn't it One
    assert read.parts["question"].tags == {"h1": 1, "p": 1}


def test_frames_hold_what_the_contract_says(page: Path) -> None:
    pages = read_pages([page])
    scopes = page_scopes(pages)
    counts = schema.COUNTS.check(counts_frame("M", scopes), "counts")
    assert counts.columns == ["model", "scope", "feature", "value"]
    value = {(s, f): v for s, f, v in counts.select("scope", "feature", "value").iter_rows()}
    assert value["page", "p"] == 5
    assert value["answer", "len"] == len(ANSWER)
    assert value["page", "responses"] == 1
    rates = schema.RATES.check(rates_frame("M", scopes), "rates")
    strong = rates.filter(scope="answer", feature="strong")
    assert strong["per_1000_words"].item() == pytest.approx(1000 / 6)
    assert strong["per_response"].item() == 1
    shares = schema.SHARES.check(shares_frame("M", pages), "shares")
    p = shares.filter(feature="p").row(0, named=True)
    assert [p[k] for k in ("page", "question", "answer", "judgment", "score", "template")] == [
        5,
        1,
        2,
        1,
        1,
        0,
    ]
    assert p["not_the_model"] == pytest.approx(0.6)
    assert shares.filter(feature="h2")["not_the_model"].item() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("message answer", "message reply"), "one section 'answer', this one has 0"),
        (lambda t: t.replace("message judgment", "message answer"), "one section 'answer', this one has 2"),
        (lambda t: t[: t.index("Rating")], "the section 'judgment' does not end"),
        (lambda t: t[: t.index("</div></body>") - 20], "the section 'score' does not end"),
        (lambda t: t.replace("<p>7</p>", "<p>none</p>"), "the section 'score' holds no number"),
    ],
)
def test_a_bad_page_is_named(page: Path, change, message: str) -> None:
    page.write_text(change(PAGE), encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_page(page)
    assert str(page) in str(error.value)


def test_pages_that_cannot_be_used(page: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_page(tmp_path / "82.html")
    (tmp_path / "83.html").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"83\.html: not UTF-8 text \(byte 0\)"):
        read_page(tmp_path / "83.html")
    (tmp_path / "index.html").write_text(PAGE)
    with pytest.raises(DataError, match="named by its question's number"):
        read_page(tmp_path / "index.html")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/81.html").write_text(PAGE)
    with pytest.raises(DataError, match="question 81 stands in"):
        read_pages([page, tmp_path / "other/81.html"])
    with pytest.raises(DataError, match="no judged pages"):
        read_pages([])


MARKDOWN = """# Title

A **bold** and *slanted* word, __bold__ too.

1. one
2. two

- a

- b
  - c

| a | b |
|---|---|
| **x** | y |

<strong>typed</strong> <p>

#### Fourth
"""


def test_markdown_is_counted_as_it_renders() -> None:
    # By hand: a tight list has no paragraphs, a loose one has one per item (its nested tight list none).
    assert count_markdown(MARKDOWN).tags == {
        "h1": 1,
        "h4": 1,
        "strong": 3,
        "em": 1,
        "ol": 1,
        "ul": 2,
        "p": 4,
    }


@given(st.text(max_size=200))
def test_what_a_response_types_as_html_is_never_styling(text: str) -> None:
    tags = count_markdown(text.replace("\n", " ") + " <h1><strong>x</strong></h1>").tags
    assert tags.get("h1", 0) <= text.count("#")
    assert tags.get("strong", 0) <= (text.count("*") + text.count("_")) // 2


def count_html(source: str) -> Styling:
    markup = read_html(source, "HTML")
    return markup.styling(markup.whole)


tag = st.sampled_from([*TAGS, "div", "li", "span", "br"])
html = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_characters="<>&\r\x00"), max_size=8),
    lambda inner: st.tuples(tag, st.lists(inner, max_size=3)).map(
        lambda t: "<br>" if t[0] == "br" else f"<{t[0]}>{''.join(t[1])}</{t[0]}>"
    ),
    max_leaves=20,
)


@given(html)
def test_counts_agree_with_beautiful_soup(source: str) -> None:
    soup = BeautifulSoup(source, "html.parser")
    styling = count_html(source)
    assert {t: styling.tags.get(t, 0) for t in TAGS} == {t: len(soup.find_all(t)) for t in TAGS}
    assert styling.characters == len(source)


@given(html, html)
def test_counts_add_up(a: str, b: str) -> None:
    both = count_html(a) + count_html(b)
    assert both.responses == 2
    assert both.characters == len(a) + len(b)
    assert (both + NOTHING).features() == both.features()


def test_ratios_to_nothing_are_undefined() -> None:
    assert proportional(3, 2) == 1.5
    assert proportional(0, 2) == 0
    assert proportional(2, 0) is None
    assert proportional(0, 0) is None
    a = dict.fromkeys(FEATURES, 2.0) | {"h2": 0.0}
    b = dict.fromkeys(FEATURES, 1.0) | {"h2": 0.0}
    assert mean_proportional(a, b) == (2.0, 1)
    assert mean_as_paper(a, b) == (pytest.approx(1.9), 0)
    assert mean_as_paper(dict.fromkeys(FEATURES, 1.0), b) == (None, 1)
    assert mean_proportional(a, dict.fromkeys(FEATURES, 0.0)) == (None, 10)


@pytest.fixture(scope="module")
def table3(root: Path) -> pl.DataFrame:
    return read_table(root / "workflow/rewild/papers/wildchat50m/data/table3.csv", PUBLISHED_CELLS)


def test_table_3s_ratios_follow_from_its_counts(table3: pl.DataFrame) -> None:
    """Each printed ratio is the ratio of the printed counts, but for 0 / 0, which is printed as 1."""
    cells = COMPUTED_CELLS.check(table3_cells(table3, {}), "cells")
    printed = {(r, c): v for r, c, v in table3.select("row", "column", "value").iter_rows()}
    assert cells.height == 30
    undefined = []
    for row, column, value in cells.select("row", "column", "value").iter_rows():
        if value is None:
            undefined.append((row, column, printed[row, column]))
        else:
            assert round(value, 3) == pytest.approx(printed[row, column], abs=1e-9), (row, column)
    assert undefined == [("PF L8B : Q72, Q72 : None", "h2", 1.0)]


def test_the_means_of_the_text_belong_to_the_other_model(table3: pl.DataFrame) -> None:
    """Section 3.2 says .91 for Qwen, 1.05 for Llama, and 2.61 between the fine-tuned models."""
    counts = published_counts(table3)
    qwen, _ = mean_as_paper(counts["L8B : Q72"], counts["Q72 : None"])
    llama, _ = mean_as_paper(counts["L8B : L70"], counts["L70 : None"])
    between, _ = mean_as_paper(counts["L8B : Q72"], counts["L8B : L70"])
    assert qwen == pytest.approx(1.0517666)
    assert llama == pytest.approx(0.9041515)
    assert between == pytest.approx(2.6097985)
    frame = schema.PROPORTIONAL.check(pairs("published", counts, {}), "pairs")
    assert frame.height == 4 * 3 * 12
    mean = frame.filter(a="L8B : L70", b="L8B : Q72", feature="mean")
    assert mean["undefined"].item() == 1


def test_counts_of_other_files_must_be_whole() -> None:
    with pytest.raises(DataError, match="the feature 'em' is missing"):
        computed_counts(
            pl.DataFrame({"model": ["M"], "scope": ["page"], "feature": ["strong"], "value": [1]})
        )


@pytest.mark.mirror
def test_one_row_of_table_3_comes_out_exactly(mirror: Path, root: Path, tmp_path: Path, rewild) -> None:
    """All ten published numbers of Q72 : None, from the whole pages; the answers alone give others."""
    pages = sorted(mirror.glob("penfever/wildchat-50m/*/model_responses/judged/*/*.html"))
    assert len(pages) == 80
    run = rewild(root, "style", *pages, "--model", "Q72 : None", "--out", tmp_path)
    assert run.returncode == 0, run.stdout
    counts = read_table(tmp_path / "counts.csv", schema.COUNTS)
    found = {
        scope: counts.filter(scope=scope)["value"].to_list()[:10]
        for scope in counts["scope"].unique(maintain_order=True)
    }
    assert found == {
        "page": [741, 53, 83, 230, 24, 0, 135, 26, 1217, 6492],
        "answer": [615, 40, 53, 174, 13, 0, 114, 26, 472, 2131],
    }
    shares = read_table(tmp_path / "shares.csv", schema.SHARES)
    characters = shares.filter(feature="characters").row(0)[2:8]
    assert characters == (519395, 48640, 170452, 110125, 1698, 188480)
    assert shares.filter(feature="p")["not_the_model"].item() == pytest.approx(745 / 1217)
    run = rewild(
        root,
        "proportional",
        tmp_path / "counts.csv",
        "--published=workflow/rewild/papers/wildchat50m/data/table3.csv",
        f"--out={tmp_path / 'proportional.csv'}",
    )
    assert run.returncode == 0, run.stdout
    counted = f"counts={tmp_path / 'counts.csv'}"
    run = rewild(
        root, "cells", "wildchat50m", "table3", "released", counted, f"--out={tmp_path / 'table3.csv'}"
    )
    assert run.returncode == 0, run.stdout
    cells = read_table(tmp_path / "table3.csv", COMPUTED_CELLS).filter(row="Q72 : None")
    assert cells["value"].to_list() == [741, 53, 83, 230, 24, 0, 135, 26, 1217, 519395 / 80]


@pytest.mark.mirror
def test_the_released_pages_agree_with_beautiful_soup(mirror: Path) -> None:
    for path in sorted(mirror.glob("penfever/wildchat-50m/*/model_responses/judged/*/*.html"))[::9]:
        soup = BeautifulSoup(path.read_bytes(), "html.parser")
        page = read_page(path)
        for name, styling in [("", page.whole), *((f"div.message.{n}", page.parts[n]) for n in ("answer",))]:
            part = soup.select_one(name) if name else soup
            assert part is not None
            assert {t: styling.tags.get(t, 0) for t in TAGS} == {t: len(part.find_all(t)) for t in TAGS}

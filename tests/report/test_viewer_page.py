"""The viewer's page in a real browser: browsing, keyboard, deep links, search, filters, layouts, size."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import pytest

from rewild.core.conversations import conversation_id
from rewild.measures.similarity.schema import label
from rewild.report.viewer.build import Inputs, build
from viewer_browser import By, Keys, Page, Select, needs_browser
from viewer_data import Row, answer, synthetic, write_judgments, write_responses, write_similarity

if TYPE_CHECKING:
    from selenium import webdriver

pytestmark = needs_browser


LONG = ["Tell me about Vienna, please"]
RTL = ["ما هي عاصمة فرنسا؟"]
FOLLOW = ["How do monarchies work?", "And who pays taxes there?"]


@pytest.fixture(scope="module")
def page(driver: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Three models, 131 conversations (three blocks), five of them special."""
    folder = tmp_path_factory.mktemp("plain")
    files = synthetic(folder, 126, 3, full=False)
    models = [f"model-{m}" for m in range(3)]
    rows: list[Row] = []
    pairs: list[Row] = []
    for m, model in enumerate(models):
        rows += [
            answer(LONG, 0, model, f"{'Vienna is **large** indeed. ' * (m + 1)}\n\nZebra {m}."),
            answer(RTL, 0, model, "عاصمة فرنسا هي **باريس**.", language="Arabic", response_language="ar"),
            answer(
                FOLLOW, 0, model, "By *rules*." if m else None, failure=None if m else "refused by the server"
            ),
        ]
        if m < 2:
            rows.append(answer(FOLLOW, 1, model, "The people do", finish_reason="length", output_tokens=77))
        for other in models:
            if other != model:
                n = {"model-0 model-1": 0.25, "model-1 model-0": 0.25}.get(f"{model} {other}", 0.5)
                pairs.append(
                    {"conversation_id": conversation_id(LONG), "turn": 0, "model": model, "reference": other,
                     "rougeL": n, "meteor": 0.1 + m / 10}
                )  # fmt: skip
    rows.append(answer(["Only one was asked"], 0, "model-1", "Alone"))
    rows.append(answer([""], 0, "model-1", "To nothing"))
    rows_file = write_responses(folder / "special.parquet", rows)
    judgment = {
        "conversation_id": conversation_id(LONG), "turn": 0, "model": "model-0", "judge": "gpt-4o",
        "score": 7, "best": 10, "judgment": "It is **clear**.",
    }  # fmt: skip
    judged = write_judgments(folder / "j.parquet", [judgment, judgment | {"model": "model-2", "score": 4.5}])
    similar = write_similarity(folder / "s.parquet", pairs, ["rougeL", "meteor"])
    inputs = Inputs([*files, rows_file], [similar], [judged])
    build(inputs, folder / "out", title="Study of three", names={"model-0": "M0"})
    return Page(driver, folder / "out")


def test_it_opens_on_the_first_conversation(page: Page) -> None:
    page.open()
    assert page.driver.title == page.text("h1") == "Study of three"
    assert page.text("#count") == "131 of 131 conversations"
    assert page.text("#place") == "1 of 131"
    assert (page.state["a"], page.state["b"]) == ("model-0", "model-1")
    assert [o.text for o in Select(page("#a")).options] == ["M0 · model-0", "model-1", "model-2"]
    assert page.complaints() == []
    kinds = sorted(
        url.split("/out/")[1].split("/")[1].split(".")[0] for url in page.requests() if "/data/" in url
    )
    assert kinds == ["html", "html", "index", "model", "model", "prompt", "similarity"]  # no more is read


def test_a_deep_link_shows_turns_side_by_side(page: Page) -> None:
    page.open(c=conversation_id(FOLLOW), a="model-0", b="model-1")
    assert [e.get_attribute("textContent") for e in page.all(".user .plain")] == FOLLOW
    assert page.text(".user .facts") == "turn 1 of 2language: English"
    assert page.all(".fold .all") == []  # all of it is short
    cards = [e.get_attribute("textContent") for e in page.all("article")]
    assert len(cards) == 4
    assert "This model gave no response: refused by the server" in cards[0]
    assert page.text("article.b .md") == "By rules.\n"
    assert page.all("article.b .md em")[0].text == "rules"
    facts = [
        e.text for e in page.all(".turn:last-child article.a .facts")[0].find_elements(By.TAG_NAME, "li")
    ]
    assert facts == ["finish: length", "3 words", "13 characters", "77 tokens"]
    assert page.all(".turn:last-child article.a .warn")[0].text == "finish: length"
    Select(page("#b")).select_by_value("model-2")
    page.settled()
    assert page.state["b"] == "model-2"
    missing = "No response of this model is recorded for this turn."
    assert page.all(".turn:last-child article.b .empty")[0].text == missing


def test_figures_of_a_pair(page: Page) -> None:
    page.open(c=conversation_id(LONG), a="model-0", b="model-1")
    assert page.text(".similarity") == f"ROUGE-L F10.250{label('meteor')}0.100 → 0.200 ←"
    page.keys("s")
    assert (page.state["a"], page.state["b"]) == ("model-1", "model-0")
    assert page.text(".similarity") == f"ROUGE-L F10.250{label('meteor')}0.200 → 0.100 ←"
    assert page.text("article.a footer") == "Style2 bold2 paragraphs"
    assert page.text("article.b summary") == "gpt-4o 7 / 10"
    page("article.b summary").click()
    page.wait(lambda: page("article.b .judgment .md").is_displayed())
    assert page.text("article.b .judgment .md") == "It is clear.\n"
    page.open(c=conversation_id(LONG), a="model-1", b="model-1")
    assert page.all(".similarity") == []


def test_keyboard(page: Page) -> None:
    page.open()
    first = page.state["c"]
    page.keys("j")
    assert page.text("#place") == "2 of 131"
    assert page.state["c"] != first
    page.keys(Keys.ARROW_RIGHT).keys("k").keys(Keys.ARROW_LEFT).keys("k")
    assert page.text("#place") == "1 of 131"
    assert page.state["c"] == first
    page.keys("1")
    assert page.state["a"] == "model-1"
    page.keys("2").keys("2")
    assert page.state["b"] == "model-0"
    page.keys(Keys.SHIFT, "2")
    assert page.state["b"] == "model-2"
    assert page.state["c"] == first
    page.keys("m")
    assert page.state["source"] == "1"
    assert "**" in page.text("article.a .source")
    page.keys("m")
    assert page.all("article .source") == []
    page.keys("?")
    assert page("#help").is_displayed()
    page.keys("j", Keys.ESCAPE)
    assert not page("#help").is_displayed()
    assert page.text("#place") == "1 of 131"  # keys did nothing behind the dialog
    page.keys("/").keys("jk1")
    assert page("#q").get_attribute("value") == "jk1"  # keys are text there
    assert page.text("#place") == "–"
    page.keys(Keys.ESCAPE)
    assert page.text("#count") == "0 of 131 conversations"


def test_the_list_by_keyboard_and_for_screen_readers(page: Page) -> None:
    page.open()
    page.js("document.getElementById('list').focus()")
    page.keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert page.text("#place") == "3 of 131"
    active = page("#list").get_attribute("aria-activedescendant")
    row = page(f"#{active}")
    assert row.get_attribute("aria-selected") == "true"
    assert (row.get_attribute("aria-posinset"), row.get_attribute("aria-setsize")) == ("3", "131")
    page.keys(Keys.END)
    assert page.text("#place") == "131 of 131"
    assert page("#next").get_attribute("disabled")
    inside = page.js(
        "const [r, s] = [...arguments].map((e) => e.getBoundingClientRect());"
        "return r.top >= s.top - 1 && r.bottom <= s.bottom + 1",
        *(page('.row[aria-selected="true"]'), page("#scroll")),
    )
    assert inside
    assert page.text("#say") == "Conversation 131 of 131"
    page.keys(Keys.HOME, Keys.PAGE_DOWN)
    assert int(page.text("#place").split()[0]) > 3
    unnamed = page.js(
        "return [...document.querySelectorAll('button,select,input')].filter((e) => e.checkVisibility()"
        " && !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map((e) => e.outerHTML)"
    )
    assert unnamed == []


def test_back_and_forward(page: Page) -> None:
    page.open(c=conversation_id(LONG))
    page.keys("j")
    second = page.state["c"]
    page.keys("2")
    page.driver.back()
    page.settled()
    assert (page.state["c"], page.state["b"]) == (second, "model-1")
    assert Select(page("#b")).first_selected_option.text == "model-1"
    page.driver.back()
    page.settled()
    assert page.text(".user .plain") == LONG[0]
    page.driver.forward()
    page.settled()
    assert page.state["c"] == second
    assert page.text(".id") == f"Conversation {second}"


def test_a_link_to_what_is_not_there_says_so(page: Page) -> None:
    page.open(
        c="ffff", a="<img src=x onerror=alert(1)>", b="model-2", lang="Klingon", junk="1", sort="__proto__"
    )
    assert page.text("#notice") == (
        "There are no responses of “<img src=x onerror=alert(1)>” here. "
        "There is no conversation “ffff” here. No conversation here is in “Klingon”."
    )
    assert page.text("#place") == "1 of 129"
    assert (page.state["a"], page.state["b"]) == ("model-0", "model-2")
    assert page.complaints() == []


def test_search(page: Page) -> None:
    page.open()
    page.keys("/").keys("vienna")
    assert page.text("#count") == "1 of 131 conversations"
    assert page.listed() == LONG
    assert page.state["q"] == "vienna"
    page.keys(Keys.ESCAPE).keys("j")
    assert page.text(".user .plain") == LONG[0]
    assert page.js("return [...CSS.highlights.get('found')].map(String)")[0] == "Vienna"
    assert page.open(q="monarchies taxes").listed() == [FOLLOW[0]]  # both words, in different turns
    assert page.open(q="%22who pays%22").listed() == [FOLLOW[0]]
    assert page.open(q="%22pays who%22").listed() == []
    assert page.open(q="عاصمة").listed() == RTL
    assert page.open(q="zebra").listed() == []
    assert page.open(q="zebra", **{"in": "responses"}).listed() == LONG
    assert page.open(q="%22zebra 2%22", **{"in": "all"}).listed() == []
    assert page.open(q="%22zebra 2%22", b="model-2", **{"in": "all"}).listed() == LONG
    assert page.open(q="%22zebra 2%22", **{"in": "all"}).keys("2").listed() == LONG  # anew for another model
    assert page.open(q="(.*").listed() == []  # no expression, only text
    assert page.open(q="question 125.").text("#count") == "1 of 131 conversations"


def test_filters(page: Page) -> None:
    def counted(**state: str) -> int:
        return int(page.open(**state).text("#count").split()[0])

    assert page.open(lang="Arabic").text("#count") == "32 of 131 conversations"  # 31 of 126, and one more
    assert [o.text for o in Select(page("#lang")).options][:2] == ["any", "Arabic (32)"]
    gaps = page.open(state="gap", sort="turns").listed()
    assert set(gaps[:2]) == {"(no text of the prompt)", "Only one was asked"}
    assert gaps[2:] == [FOLLOW[0]]
    assert page.open(state="gap-b").listed() == []
    assert page.open(state="gap-b", b="model-2").listed() == [FOLLOW[0]]
    assert set(page.open(state="gap-b", a="model-1", b="model-2").listed()) == {*gaps[:2], FOLLOW[0]}
    assert page.open(c=conversation_id([""])).text(".user .empty").startswith("The text of this turn is not")
    assert counted(state="both") == 128
    assert counted(a="model-0", b="model-2") == 129  # what neither was asked is left out
    assert counted(a="model-0", b="model-2", state="all") == 131
    assert page.open(state="cut-a").listed() == [FOLLOW[0]]
    assert page.open(of="a", min="5", max="8", lang="English", q="vienna").listed() == LONG
    assert page.open(of="b", min="10", max="10").listed() == LONG
    assert page.open(least="0.2", most="0.3").listed() == LONG
    assert page.open(least="0.3").listed() == []
    assert page.open(metric="meteor", least="0.14", most="0.16").listed() == LONG
    assert counted(min="x") == 131
    page.open(least="0.3", q="zebra")
    assert page.text("#active") == "(1)"
    page("#clear").click()
    page.settled()
    assert page.text("#count") == "131 of 131 conversations"
    assert set(page.state) == {"c", "a", "b"}


def test_sorting(page: Page) -> None:
    assert page.open(sort="similarity").listed()[0] == LONG[0]
    assert page.open(sort="score-a", desc="1").listed()[0] == LONG[0]  # the only one with a score comes first
    assert page.open(sort="score-gap", b="model-2").listed()[0] == LONG[0]
    words = page.open(sort="b", desc="1", lang="English").js(
        "return [...document.querySelectorAll('.row .b')].map((e) => parseInt(e.textContent) || 0)"
    )
    assert words == sorted(words, reverse=True)
    assert len(set(words)) > 1
    assert (
        page.open(sort="turns", desc="1")
        .js("return document.querySelector('.row .facts').textContent")
        .count("4 turns")
    )
    ids = page.open(desc="1").js("return [...document.querySelectorAll('.row')].map((r) => +r.dataset.c)")
    assert ids == list(range(130, 130 - len(ids), -1))


def test_right_to_left_text_reads_right_to_left(page: Page) -> None:
    page.open(c=conversation_id(RTL))
    bounds = "const r = new Range(); r.selectNodeContents(arguments[0]); return r.getBoundingClientRect()"
    for selector in (".user .plain > div", "article.a .md p"):
        element = page(selector)
        box, text = element.rect, page.js(bounds, element)
        assert text["right"] == pytest.approx(box["x"] + box["width"], abs=2), (
            selector
        )  # it starts at the right
    assert page.js("return getComputedStyle(document.querySelector('article.a header')).direction") == "ltr"


def test_a_narrow_screen_has_one_column_and_a_menu(page: Page) -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.open(c=conversation_id(LONG))
        assert not page("#side").is_displayed()
        assert page.js("return document.documentElement.scrollWidth") == 390
        a, b = page("article.a").rect, page("article.b").rect
        assert a["x"] == b["x"]
        assert a["y"] + a["height"] <= b["y"]
        page("#menu").click()
        assert page("#side").is_displayed()
        assert page("#menu").get_attribute("aria-expanded") == "true"
        page.all(".row")[1].click()
        page.settled()
        assert not page("#side").is_displayed()
        assert page.text("#place") == "2 of 131"
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_and_light(page: Page) -> None:
    def luminance() -> float:
        rgb = page.js("return getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number)")
        return sum(rgb[:3]) / 3

    feature = {"name": "prefers-color-scheme", "value": "dark"}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    page.open()
    assert luminance() < 60
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature | {"value": "light"}]})
    page.open()
    assert luminance() > 200


def test_a_missing_data_file_is_named(page: Page, tmp_path: Path) -> None:
    shutil.copytree(Path(urlparse(page.address).path).parent, tmp_path / "out")
    (tmp_path / "out/data/html/1/0.js").unlink()
    broken = Page(page.driver, tmp_path / "out").open()
    assert broken.text("#notice") == (
        'data/html/1/0.js cannot be read: is the folder "data" beside this page complete?'
    )
    broken.keys("2")
    assert broken.text("#notice") == ""
    assert "Answer of model 2" in broken.text("article.b .md") or broken.all("article.b .md")


def test_ten_thousand_conversations(driver: webdriver.Chrome, tmp_path: Path) -> None:
    files = synthetic(tmp_path, 10_000, 2, full=False)
    build(Inputs(files), tmp_path / "out", title="Large", workers=2)
    page = Page(driver, tmp_path / "out").open()
    assert page.text("#count") == "10,000 of 10,000 conversations"
    ids = page.js("return [...document.querySelectorAll('.row')].map((r) => +r.dataset.c)")
    assert ids[:3] == [0, 1, 2]
    assert len(ids) < 60  # only the rows in view exist
    scroll = "const s = document.getElementById('scroll'); s.scrollTop = s.scrollHeight * arguments[0]"
    for share, expected in ((0.5, 5000), (1, 9999)):
        page.js(scroll, share)
        page.settled()
        shown = page.js("return [...document.querySelectorAll('.row')].map((r) => +r.dataset.c)")
        assert len(shown) < 60
        assert shown == list(range(shown[0], shown[0] + len(shown)))
        assert expected in shown
    page.all(".row")[-1].click()
    page.settled()
    assert page.text("#place") == "10,000 of 10,000"
    assert page.all("article.a .md")[0].text.startswith("Answer of model 0 to")
    page.open(q="question 9999.1", **{"in": "all"})
    assert page.text("#count") == "1 of 10,000 conversations"
    page.keys("j")
    assert page.all("article.b .md")[1].text == "Answer of model 1 to 9999.1."
    assert page.complaints() == []

"""Hostile responses in a real browser: nothing of a model runs, and nothing breaks the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import pytest

from local_server import Handler, running
from rewild.core.conversations import conversation_id
from rewild.report.viewer.build import Inputs, build
from viewer_browser import NoAlertPresentException, Page, needs_browser
from viewer_data import Row, answer, write_judgments, write_responses

if TYPE_CHECKING:
    from selenium import webdriver

pytestmark = needs_browser

MARK = "window.ran=(window.ran||0)+1"


def payloads(server: str) -> dict[str, str]:
    """What a model could write to get out of its box. SERVER counts who comes."""
    svg = f"<svg xmlns=http://www.w3.org/2000/svg onload={MARK}>"
    return {
        "script": f"<script>{MARK}</script><script src={server}/a.js></script>",
        "closing": f"</script></style></textarea></title></noscript><script>{MARK}</script>",
        "handlers": f'<img src=x onerror="{MARK}"><body onload="{MARK}"><input autofocus onfocus="{MARK}">'
        f'<details open ontoggle="{MARK}"><p>x</p></details><video><source onerror="{MARK}"></video>',
        "links": f"[x](javascript:{MARK}) [x](JaVaScRiPt:{MARK}) [x](java\tscript:{MARK}) "
        f"[x](\x01javascript:{MARK}) [x](&#106;avascript:{MARK}) [x](java&NewLine;script:{MARK}) "
        f"[x](vbscript:{MARK}) <javascript:{MARK}> "
        f"[x](data:text/html,<script>{MARK}</script>) [x](file:///etc/passwd) [x]({server}/followed)",
        "references": f"[x]\n\n[x]: javascript:{MARK}\n\n![y]\n\n[y]: {server}/image.png",
        "images": f"![x]({server}/image.png) ![x](javascript:{MARK}) ![](data:image/svg+xml,{svg})",
        "svg": f"{svg}<animate onbegin={MARK}></svg><math><mi xlink:href=javascript:{MARK}>x</mi></math>",
        "frames": f"<iframe src={server}/frame srcdoc='<script>parent.ran=1</script>'></iframe>"
        f"<object data={server}/o></object><embed src={server}/e>",
        "style": f"<style>@import '{server}/s.css';*{{display:none!important}}</style>"
        f"<link rel=stylesheet href={server}/l.css>"
        f"<div style='position:fixed;inset:0;background:url({server}/b)'>",
        "meta": f"<meta http-equiv=refresh content='0;url={server}/m'><base href={server}/>"
        f"<form action={server}/f id=page><input name=rewild></form>",
        "attributes": f'[x](https://e.example/"onmouseover="{MARK}) '
        f'[x](https://e.example "\\" onclick={MARK} ")',
        "fence": f'```"><script>{MARK}</script>\n</code></pre><script>{MARK}</script>',
        "unclosed": "```js\n<b>never closed\n| a | b\n|--\n> - 1. **",
        "broken": "<div><table><tr><p></div></article></section></main></body></html>"
        "<!-- <![CDATA[ <?php <a href='",
        "layout": "</div>" * 200 + "<h1>out of the box</h1>",
        "separators": f"a\u2028b\u2029c'\"`);{MARK};//</script>\\u003c",
        "bidi": "start \u202eevil\u202c \u2066iso\u2069 \u2067\u2067\u2067unclosed \u200f",
        "controls": "null\x00 bell\x07 escape\x1b[31m delete\x7f c1\x9b vertical\x0b",
        "zalgo": "Z" + "\u0301\u0324\u0489" * 500 + " done",
        "template": "{{constructor.constructor('alert(1)')()}} ${alert(1)} <%= alert(1) %> __proto__",
        "long": "x" * 1_000_000,
        "nested": ">" * 3000 + "[" * 3000 + "*" * 3000,
        "clobber": "<a id=list></a><img name=getElementById><form id=rewild><input id=scroll></form>",
    }  # fmt: skip


@dataclass
class Counter:
    """A server on this machine that nobody should talk to."""

    address: str
    visits: list[str]


@pytest.fixture(scope="module")
def server() -> Iterator[Counter]:
    visits: list[str] = []

    class Counting(Handler):
        def do_GET(self) -> None:  # noqa: N802
            visits.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.end_headers()
            self.wfile.write(MARK.encode())

        do_POST = do_GET  # noqa: N815

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Counting)) as made:
        yield Counter(f"http://127.0.0.1:{made.server_port}", visits)


@pytest.fixture(scope="module")
def hostile(driver: webdriver.Chrome, server: Counter, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Every payload as prompt, response, language, reason, judge and judgment."""
    folder = tmp_path_factory.mktemp("hostile")
    rows: list[Row] = []
    judgments: list[Row] = []
    for name, text in payloads(server.address).items():
        turns = [f"{name} prompt", text]
        for model in ("left", "right"):
            short = text[:300]
            rows += [
                answer(turns, 0, model, text, language=short, finish_reason=short, response_language=short),
                answer(turns, 1, model, None, language=short, failure=short, truncation=short),
            ]
            judgments.append(
                {
                    "conversation_id": conversation_id(turns), "turn": 0, "model": model, "judge": short,
                    "score": 1, "best": 10, "judgment": text,
                }
            )  # fmt: skip
    responses = write_responses(folder / "r.parquet", rows)
    judged = write_judgments(folder / "j.parquet", judgments)
    title = f"</title></script><script>{MARK}</script>"
    build(
        Inputs([responses], (), [judged]),
        folder / "out",
        title=title,
        names={"left": f"<img onerror={MARK}>"},
    )
    return Page(driver, folder / "out")


def poke(page: Page) -> None:
    """Open, point at, focus and click everything that came from a model."""
    page.js(
        """
        document.querySelectorAll('details').forEach((d) => { d.open = true; });
        const stay = (event) => { if (event.target.closest('a')) event.preventDefault(); };
        document.addEventListener('click', stay);
        for (const e of document.querySelectorAll('#conversation *, #list *')) {
          for (const type of ['mouseover', 'mouseenter', 'focus', 'pointerdown', 'toggle', 'error', 'load']) {
            e.dispatchEvent(new Event(type, { bubbles: false }));
          }
          if (e.matches('#conversation .md *')) e.click();
        }
        document.removeEventListener('click', stay);
        """
    )
    page.keys("e")


def assert_harmless(page: Page, server: Counter) -> None:
    assert page.js("return window.ran") is None
    assert page.driver.window_handles == [page.driver.current_window_handle]
    with pytest.raises(NoAlertPresentException):
        page.driver.switch_to.alert.accept()
    assert urlparse(page.driver.current_url).scheme == "file"
    assert server.visits == []
    assert [url for url in page.requests() if not url.startswith("file://")] == []
    assert page.complaints() == []  # nothing was blocked either: nothing was tried
    # What the renderer may write is all there is.
    tags = page.js(
        "return [...new Set([...document.querySelectorAll('#conversation *')].map(e => e.localName))]"
    )
    assert set(tags) <= {
        *("p", "code", "section", "div", "header", "h2", "small", "ul", "li", "bdi", "b", "span", "article"),
        *("footer", "details", "summary", "button", "h4", "h5", "h6", "strong", "em", "a", "ol", "pre", "hr"),
        *("blockquote", "br", "table", "thead", "tbody", "tr", "th", "td"),
    }
    assert page.js("return document.querySelectorAll('script').length") == 1
    assert page.js("return document.querySelectorAll('[style]:not(#list):not(.row)').length") == 0
    attributes = page.js(
        "return [...document.querySelectorAll('#conversation *')]"
        ".flatMap(e => [...e.attributes].map(a => a.name))"
    )
    assert not [
        name for name in attributes if name.startswith("on") or name in ("id", "name", "src", "srcdoc")
    ]
    links = page.js(
        "return [...document.querySelectorAll('#conversation a')].map(a => [a.protocol, a.rel, a.target])"
    )
    assert all(link == [link[0], "noopener noreferrer nofollow", "_blank"] for link in links)
    assert {protocol for protocol, _, _ in links} <= {"http:", "https:", "mailto:"}


def assert_whole(page: Page) -> None:
    """The page's parts are where they belong."""
    boxes = page.js(
        """return Object.fromEntries(['top', 'side', 'main', 'bar', 'list'].map((id) => {
             const box = document.getElementById(id).getBoundingClientRect();
             return [id, [box.left, box.top, box.right, box.bottom]];
           }))"""
    )
    assert boxes["top"][:2] == [0, 0]
    assert boxes["side"][0] == 0
    assert boxes["side"][2] == boxes["main"][0]
    assert boxes["main"][2] == page.js("return innerWidth")
    assert boxes["bar"][1] == boxes["main"][1] == boxes["top"][3]
    assert page.js("return document.documentElement.scrollWidth") <= page.js("return innerWidth")
    assert page.js(
        "return document.getElementById('main').scrollWidth <= document.getElementById('main').clientWidth"
    )
    parents = page.js(
        "return [...document.querySelectorAll('article')].map((a) => a.parentElement.className)"
    )
    assert parents == ["pair"] * 4
    assert page.js("return getComputedStyle(document.getElementById('bar')).direction") == "ltr"


NAMES = list(payloads(""))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_model_runs_or_breaks_the_page(hostile: Page, server: Counter, name: str) -> None:
    turns = [f"{name} prompt", payloads(server.address)[name]]
    for source in ("", "1"):
        page = hostile.open(c=conversation_id(turns), source=source)
        assert page.text(".user .plain").startswith(f"{name} prompt")
        poke(page)
        assert_harmless(page, server)
        assert_whole(page)
    # The other rows can still be reached.
    assert page.text("#count") == f"{len(NAMES)} of {len(NAMES)} conversations"
    place = int(page.text("#place").split()[0])
    page.keys("k" if place == len(NAMES) else "j")
    assert page.text("#place").split()[0] == str(place - 1 if place == len(NAMES) else place + 1)
    assert page.js("return document.querySelectorAll('article .md, article .plain').length") > 0


def test_all_of_a_hostile_text_is_there(hostile: Page, server: Counter) -> None:
    given = payloads(server.address)

    def source(name: str) -> str:
        page = hostile.open(c=conversation_id([f"{name} prompt", given[name]]), source="1").keys("e")
        return page.text("article.a .plain")

    assert source("script") == given["script"]
    assert source("unclosed") == given["unclosed"]
    assert source("long") == given["long"]
    assert source("bidi") == ("start U+202EevilU+202C U+2066isoU+2069 U+2067U+2067U+2067unclosed \u200f")
    assert source("controls") == "nullU+0000 bellU+0007 escapeU+001B[31m deleteU+007F c1U+009B verticalU+000B"
    assert source("separators") == given["separators"].replace("\u2028", "U+2028").replace("\u2029", "U+2029")


def test_an_override_does_not_turn_the_text_after_it(hostile: Page, server: Counter) -> None:
    """In reading order, each word of the line lies right of the word before it."""
    text = payloads(server.address)["bidi"]
    page = hostile.open(c=conversation_id(["bidi prompt", text]))
    places = page.js(
        """
        const p = document.querySelector('article.a .md p');
        const walk = document.createTreeWalker(p, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walk.nextNode()) {
          for (const match of walk.currentNode.data.matchAll(/[a-z]+/g)) {
            const range = new Range();
            range.setStart(walk.currentNode, match.index);
            range.setEnd(walk.currentNode, match.index + match[0].length);
            found.push([match[0], range.getBoundingClientRect().left, range.getBoundingClientRect().top]);
          }
        }
        return found"""
    )
    assert [word for word, _, _ in places] == ["start", "evil", "iso", "unclosed"]
    assert sorted(places, key=lambda place: (round(place[2] / 10), place[1])) == places


def test_a_very_long_line_wraps_and_unfolds(hostile: Page, server: Counter) -> None:
    page = hostile.open(c=conversation_id(["long prompt", "x" * 1_000_000]))
    assert page.text("article.a .note") == "Not formatted: very long."
    assert len(page.text("article.a .md")) < 20_000
    page("article.a .all").click()
    assert page.text("article.a .md") == "x" * 1_000_000
    assert len(page.text("article.b .md")) < 20_000
    assert_whole(page)


def test_the_policy_stops_what_the_renderer_would_let_through(hostile: Page, server: Counter) -> None:
    """The second line of defence holds by itself: markup put past the renderer does nothing."""
    page = hostile.open()
    page.js(
        f"""
        const put = (html) => {{ // around the renderer and around Trusted Types
          const parsed = Document.parseHTMLUnsafe ? document.implementation.createHTMLDocument('') : null;
          const element = document.createElement('div');
          for (const [tag, attributes, text] of html) {{
            const e = document.createElement(tag);
            for (const [k, v] of Object.entries(attributes)) {{ try {{ e.setAttribute(k, v); }} catch {{}} }}
            try {{ e.append(text); }} catch {{}}
            element.append(e);
          }}
          document.body.append(element);
        }};
        put([
          ['img', {{src: '{server.address}/i'}}, ''], ['iframe', {{src: '{server.address}/f'}}, ''],
          ['link', {{rel: 'stylesheet', href: '{server.address}/l'}}, ''],
          ['style', {{}}, 'body {{ display: none }}'], ['div', {{onclick: '{MARK}', id: 'evil'}}, 'x'],
          ['object', {{data: '{server.address}/o'}}, ''], ['script', {{}}, '{MARK}'],
        ]);
        document.getElementById('evil').click();
        try {{
          document.body.insertAdjacentHTML('beforeend', '<img src=x>');
          window.ran = 'no Trusted Types';
        }} catch {{}}
        fetch('{server.address}/fetch').catch(() => {{}});
        navigator.sendBeacon('{server.address}/beacon');
        """
    )
    page.settled()
    assert page.js("return window.ran") is None
    assert server.visits == []
    assert page("#main").is_displayed()
    assert len([c for c in page.complaints() if "Content Security Policy" in c]) >= 5

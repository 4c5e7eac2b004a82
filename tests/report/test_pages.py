"""Every HTML page in a real browser at three widths: no word is broken, nothing is beyond the edge."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import findings_study as made_up
import home_study
from audit_evidence import CHECKS, CLAIMS, printed
from rewild.audit import report as audit_report
from rewild.audit.claims import audit
from rewild.operate.home.gather import Given, gather
from rewild.operate.home.page import write_home
from rewild.papers import find_paper
from rewild.papers.wildchat50m.evidence import Evidence
from rewild.report.tables.make import make_table
from rewild.report.tables.render import to_html
from rewild.report.viewer.build import Inputs, build
from viewer_browser import needs_browser
from viewer_data import synthetic

if TYPE_CHECKING:
    from selenium import webdriver

pytestmark = needs_browser
ROOM = find_paper("wildchat50m")
PAPER = ROOM.data
WIDTHS = (400, 800, 1300)
FONTS = ("system-ui", "DejaVu Sans", "Liberation Serif", "Noto Sans", "DejaVu Sans Mono")

# A word: letters, digits and what stands within a number. Longer ones (checksums, paths) may be broken.
LOOK = r"""
const [font, longest] = arguments;
document.body.style.fontFamily = font;
document.querySelectorAll("details").forEach(d => d.open = true);
const broken = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const range = document.createRange();
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const parent = node.parentElement;
  if (["SCRIPT", "STYLE", "OPTION"].includes(parent.tagName) || !parent.checkVisibility()) continue;
  for (const word of node.data.matchAll(/[\p{L}\p{M}\p{N}]+(?:[.,’'_][\p{L}\p{M}\p{N}]+)*/gu)) {
    if (word[0].length < 2 || word[0].length > longest) continue;
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    const boxes = [...range.getClientRects()].filter(r => r.width > 0);
    const lines = new Set(boxes.map(r => Math.round(r.bottom)));
    const where = `<${parent.tagName} class="${parent.className}">`;
    if (lines.size > 1) broken.push(`${word[0]} in ${where}`);
  }
}
const beyond = document.documentElement.scrollWidth - document.documentElement.clientWidth;
return {broken: broken.slice(0, 5), beyond, width: window.innerWidth};
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    evidence, claims = Evidence(printed()), PAPER / "claims.yaml"
    results = audit(list(CLAIMS.values()), CHECKS, evidence)
    audit_report.write(
        audit_report.as_data(results, evidence, "paper", claims, {"name": ROOM.name, "cite": ROOM.cite}),
        folder,
    )
    build(Inputs(synthetic(folder, 40, 3, full=False), [], []), folder / "viewer", title="A study", names={})
    found = {"audit": folder / "audit.html", "viewer": folder / "viewer/index.html"}
    for name in ("table2", "table3", "table5"):
        made = make_table(name, PAPER / f"{name}.csv", PAPER / "tables.yaml", ROOM.cite)
        found[name] = folder / f"{name}.html"
        found[name].write_text(to_html(made.grid, made.comment), encoding="utf-8")
    found["findings"] = findings(folder, sorted(found[n] for n in found if n.startswith("table")))
    return found | homes(folder)


def homes(folder: Path) -> dict[str, Path]:
    """The home of a half-done study with odd names; and one with findings and an audit."""
    given = Given(home_study.study(), cites={"wildchat50m": ROOM.cite})
    half, whole = home_study.write(folder / "half/made-up"), folder / "whole/own"
    for name, place in (("findings.json", "findings"), ("audit.json", "wildchat50m/audit")):
        (whole / place).mkdir(parents=True)
        shutil.copy(folder / name, whole / place)
    pages = {"home": half / "index.html", "home whole": whole / "index.html"}
    for page in pages.values():
        write_home(gather("made-up", page.parent, given), page)
    return pages


def findings(folder: Path, tables: list[Path]) -> Path:
    from rewild.core.table import provenance
    from rewild.report.findings.report import as_data, write
    from rewild.report.findings.state import state_findings

    grounds = made_up.open_world(made_up.prepare(folder))
    write(as_data("own", "Made up", state_findings(grounds), grounds, provenance()), folder, None, tables)
    return folder / "findings.html"


def looked_at(
    driver: webdriver.Chrome, page: Path, width: int, font: str, longest: int = 24
) -> dict[str, Any]:
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    if driver.current_url.split("#")[0] != page.as_uri():
        driver.get(page.as_uri())
    found: dict[str, Any] = driver.execute_script(LOOK, font, longest)
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "name", ["audit", "findings", "table2", "table3", "table5", "viewer", "home", "home whole"]
)
def test_no_word_is_broken_and_nothing_is_beyond_the_edge(
    driver: webdriver.Chrome, pages: dict[str, Path], name: str, width: int
) -> None:
    found = {font: looked_at(driver, pages[name], width, font) for font in FONTS}
    assert {look["width"] for look in found.values()} == {width}
    assert {font: (look["broken"], look["beyond"]) for font, look in found.items()} == dict.fromkeys(
        FONTS, ([], 0)
    )


def test_the_look_finds_a_broken_word_and_an_overflow(driver: webdriver.Chrome, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><meta charset="utf-8"><p style="width:1ch;overflow-wrap:anywhere">20</p>'
        '<div style="width:2000px">wide</div>',
        encoding="utf-8",
    )
    found = looked_at(driver, page, 800, "DejaVu Sans")
    assert found["broken"] == ['20 in <P class="">']
    assert found["beyond"] > 0


def test_what_is_folded_away_is_printed_all_the_same(
    driver: webdriver.Chrome, pages: dict[str, Path]
) -> None:
    driver.get("about:blank")
    driver.get(pages["home whole"].as_uri())
    look = """return [...document.querySelectorAll("details:not([open]) td")].map(
        cell => cell.checkVisibility() && cell.getBoundingClientRect().height > 0)"""
    shown = driver.execute_script(look)
    assert shown
    assert not any(shown)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert all(driver.execute_script(look))
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_figure_beside_the_page_is_drawn(driver: webdriver.Chrome, pages: dict[str, Path]) -> None:
    driver.get(pages["home"].as_uri())
    drawn = driver.execute_async_script("""const done = arguments[0], image = document.querySelector("img");
        image.loading = "eager"; image.decode().then(() => done(image.naturalWidth), () => done(0))""")
    assert drawn == 300

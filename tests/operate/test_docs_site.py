"""The documentation as a site: what the references say, what it is made of, how it looks, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import typer
from bs4 import BeautifulSoup

from rewild.__main__ import app
from rewild.config.base import HOW, LISTED, Section
from rewild.config.mixes import Mix
from rewild.config.study import Study
from rewild.core.errors import RewildError
from rewild.operate.docs import site
from rewild.operate.docs.commands import commands_page
from rewild.operate.docs.configuration import configuration_pages
from rewild.operate.docs.prose import prose
from viewer_browser import needs_browser, start_browser

ROOT = Path(__file__).resolve().parents[2]
PROGRAM: Any = typer.main.get_command(app)
BUILT = (ROOT / ".envs/docs/ready").is_file()
needs_mkdocs = pytest.mark.skipif(not BUILT, reason="needs .envs/docs: rewild docs builds it once")


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The table below a heading: first cell, without marks, to the others."""
    part = page.split(f"\n{heading}\n")[1].split("\n#", maxsplit=1)[0]
    cells = [re.split(r"(?<!\\) ?\| ?", line)[1:-1] for line in part.splitlines() if line.startswith("| `")]
    return {first.replace("`", ""): others for first, *others in cells}


def test_every_command_is_in_the_reference_with_its_options() -> None:
    page = commands_page(PROGRAM)
    found = re.findall(r"^### rewild (.+)$", page, re.MULTILINE)
    assert sorted(found) == sorted(PROGRAM.commands)
    for name, command in PROGRAM.commands.items():
        found = rows(page, f"### rewild {name}") if command.params else {}
        assert len(found) == len(command.params), name
    assert rows(page, "### rewild docs") == {
        "--port": ["Where to serve it on this machine", "`int ≥ 1 ≤ 65535`", "`8000`"],
        "--build": ["Build it into this new folder instead; works as files", "`path`", ""],
    }
    assert rows(page, "### rewild fetch")["--mirror"][0].endswith("(or the variable `REWILD_MIRROR`)")
    assert rows(page, "### rewild cost")["study"][2] == "**required**"
    assert "rewild make-model {settings} --out … [OPTIONS]" in page
    panels = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert panels[0] == "Start here"
    assert len(panels) == len({command.rich_help_panel for command in PROGRAM.commands.values()})


def test_every_key_is_in_the_reference_with_what_it_identifies() -> None:
    pages = configuration_pages()
    study = rows(pages["study"], "## Keys")
    assert list(study) == [name for name in Study.model_fields if name != "name"]
    assert study["seed"] == ["The seed of every random choice", "integer ≥ 0", "`50`", "result"]
    assert study["title"][2:] == ["**required**", "shown"]
    assert study["mixes"][1:] == ["by name: [`mixes.NAME`](#mixesname)", "`{}`", "which results"]
    mix = rows(pages["study"], "### `mixes.NAME`")
    assert list(mix) == list(Mix.model_fields)
    assert mix["sources"][1].startswith("list of [responses](#mixesnamesources-responses), [prompts](#mix")
    assert {key: Mix.marks[key] == HOW for key in mix} == {key: cells[3] == "–" for key, cells in mix.items()}
    assert {cells[3] for cells in rows(pages["site"], "## Keys").values()} == {"–"}
    assert rows(pages["models"], "## Keys")["hub"][1:3] == ["string or null", "`null`"]
    unsaid = [
        (name, key)
        for name, page in pages.items()
        for key in re.findall(r"^\| `(\w+)` \|  \|", page, re.MULTILINE)
        if key != "kind"
    ]
    assert unsaid == [], "a key without a description"
    assert "Passed on as they are: `additional_config`, " in pages["study"]


def test_a_section_that_two_keys_hold_stands_in_a_page_once() -> None:
    """Two sections at one place have names of their own; a key says what it identifies by its own mark."""
    for name, page in configuration_pages().items():
        headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
        assert len(headings) == len(set(headings)), name

    class Inner(Section, marks=LISTED):
        """Of which there may be many."""

    assert Inner.usual == LISTED
    assert prose("See :class:`~rewild.core.table.Table` and ``a|b`` of <x> *y*") == (
        "See `Table` and `a\\|b` of &lt;x&gt; \\*y\\*"
    )


def test_the_sources_are_laid_out_like_the_repository(tmp_path: Path) -> None:
    site.lay_out(tmp_path, {"commands": "# Commands\n"})
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"README.md", "docs/README.md", "config/README.md", "docs/images/house.svg"} < found
    assert {"CITATION.cff", "site/style.css", "reference/commands.md"} < found
    assert not [path for path in found if path.startswith(("workflow/", "shared/", "results/demo"))]


def test_a_port_that_is_taken_and_a_folder_that_exists_are_one_message(tmp_path: Path, rewild) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = rewild(tmp_path, "docs", "--port", str(port))
    assert run.returncode == 1
    assert run.stdout.strip() == f"error: port {port}: Address already in use; name another by --port"
    (tmp_path / "here").mkdir()
    (tmp_path / "here/kept").write_text("kept")
    run = rewild(tmp_path, "docs", "--build", "here")
    assert (run.returncode, run.stdout.strip()) == (
        1,
        "error: here: exists already; name another folder, or remove it",
    )
    assert (tmp_path / "here/kept").read_text() == "kept"
    assert rewild(tmp_path, "docs", "--port", "0").returncode == 2


def test_an_environment_that_cannot_be_built_says_where_the_pages_are(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RewildError("pip could not install envs/docs.txt:\n  no network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(site, "build_environment", fail)
    with pytest.raises(
        RewildError, match=r"no network\nWithout it, read the pages as they are: .*docs/README"
    ):
        site.build(tmp_path / "out", {}, print)
    assert list(tmp_path.iterdir()) == []  # nothing half-made is left
    made = []
    monkeypatch.setattr(site, "build_environment", lambda lock, folder, say: made.append((lock, folder)))
    (tmp_path / ".envs/docs").mkdir(parents=True)
    (tmp_path / ".envs/docs/ready").write_text("0" * 64 + "  docs.txt\n")  # of another lock
    assert site.environment(print) == Path(".envs/docs/bin/python")
    assert made == [(ROOT / "envs/docs.txt", Path(".envs/docs"))]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, rewild) -> Path:
    """The whole site."""
    folder = tmp_path_factory.mktemp("docs")
    run = rewild(ROOT, "docs", "--build", str(folder / "site"))
    assert (run.returncode, run.stdout) == (0, f"{folder}/site/index.html\n"), run.stdout
    assert [path.name for path in folder.iterdir()] == ["site"]
    return folder / "site"


def counted(soup: BeautifulSoup) -> dict[str, int]:
    return {name: len(soup.select(name)) for name in ("h2", "h3", "li", "table", "tr", "pre", "img", "ol")}


@pytest.mark.heavy
@needs_mkdocs
def test_the_site_shows_what_github_shows(built: Path) -> None:
    """MkDocs reads another Markdown: lists, tables and blocks of code are as many as in GitHub's."""
    from markdown_it import MarkdownIt

    commands = (built / "reference/commands.html").read_text(encoding="utf-8")
    assert all(f'id="rewild-{name}"' in commands for name in PROGRAM.commands)
    pages = ["README.md", *site.ABOUT, *(page for some in site.contents().values() for page in some)]
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        wanted = counted(BeautifulSoup(MarkdownIt("commonmark").enable("table").render(text), "html.parser"))
        path = built / page.replace("README.md", "index.html").replace(".md", ".html")
        shown = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select_one("article")
        assert shown is not None
        assert counted(shown) == wanted, page


@pytest.mark.heavy
@needs_mkdocs
def test_nothing_on_the_site_comes_from_elsewhere(built: Path) -> None:
    """Every script, style, font and picture is a file of the site; only links to follow lead out."""
    for path in built.rglob("*.html"):
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        named = [str(tag.get("src") or tag.get("href") or "") for tag in soup.select("[src], link[href]")]
        for address in filter(None, named):
            assert not re.match(r"([a-z]+:)?//", address), (path, address)
            assert path.name == "404.html" or (path.parent / address.split("?")[0]).exists(), (path, address)
    for path in built.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", path.read_text(encoding="utf-8")), path


@pytest.mark.heavy
@needs_mkdocs
def test_a_broken_link_fails_the_build(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    pages = site.reference(PROGRAM) | {"config": "# Keys\n\n[gone](../docs/gone.md) [b](study.md#no-such)\n"}
    with pytest.raises(RewildError, match=r"could not be built:(?s:.*)docs/gone\.md(?s:.*)#no-such"):
        site.build(tmp_path / "out", pages, print)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def driver() -> Iterator[object]:
    found = start_browser()
    yield found
    found.quit()


@needs_browser
@needs_mkdocs
def test_the_pages_fit_a_phone_and_the_search_works_without_a_server(built: Path, driver) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    for width in (400, 800, 1300):
        for page in ("index.html", "docs/measures.html", "reference/study.html", "reference/commands.html"):
            driver.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == 400},
            )
            driver.get((built / page).as_uri())
            wide = (
                "return [document.documentElement.scrollWidth, document.querySelector('article').clientWidth]"
            )
            whole, text = driver.execute_script(wide)
            assert whole <= width, (page, width)
            assert text > 0.45 * width
    driver.get((built / "index.html").as_uri())
    box = driver.find_element("css selector", "input.md-search__input")
    driver.execute_script("arguments[0].focus()", box)
    box.send_keys("truncate length_control")
    WebDriverWait(driver, 20).until(
        lambda d: [
            a
            for a in d.find_elements("css selector", ".md-search-result a")
            if "study" in a.get_attribute("href")
        ]
    )
    asked = [entry["message"] for entry in driver.get_log("performance")]
    assert not [line for line in asked if re.search(r'"requestWillBeSent".*"url":"https?:', line)]
    assert [e for e in driver.get_log("browser") if e["level"] == "SEVERE"] == []


@pytest.mark.heavy
@needs_mkdocs
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_is_served_until_it_is_stopped(sent: signal.Signals, status: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "rewild", "docs", "--port", str(port)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == f"http://127.0.0.1:{port} in a few seconds (Ctrl-C ends it)\n"
        for _ in range(600):
            try:
                page = urlopen(f"http://127.0.0.1:{port}/docs/audit.html", timeout=10).read().decode()
                break
            except OSError:
                assert process.poll() is None
                signal.sigtimedwait([], 0.1)
        assert "<title>" in page
        if sent == signal.SIGINT:  # Ctrl-C reaches MkDocs as well; another signal only whom it is sent to
            os.killpg(process.pid, sent)
        else:
            process.send_signal(sent)
        assert process.wait(30) == status
        site.check_port(port)
        assert "Traceback" not in process.stderr.read()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

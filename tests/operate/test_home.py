"""A study's home: what is done, failed, spent and shown, of a made-up study; its archive; bad files."""

from __future__ import annotations

import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import home_study as made_up
from rewild.core.errors import DataError
from rewild.core.table import provenance, write_table
from rewild.operate.cost.base import Line
from rewild.operate.home.gather import Given, Home, gather
from rewild.operate.home.page import html, write_archive, write_home
from rewild.operate.home.parts import PROMISED, count, stages, write_promised
from rewild.report.teachers.schema import FINDINGS

LINES = [Line("responses", "m", gpu_hours=8.0, read=5e6, written=5e6), Line("judging", "b", dollars=3.5)]


class Seen(HTMLParser):
    """The elements of a page, where it leads, and what it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.leads: list[str] = []
        self.text = ""
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.leads += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made_up.write(tmp_path / "results/made-up")


def home(folder: Path, **more: object) -> Home:
    return gather(folder.name, folder, Given(**{"study": made_up.study(), "lines": LINES} | more))  # type: ignore[arg-type]


def test_parts_are_done_when_all_their_files_are_there(folder: Path) -> None:
    known = stages(folder)
    assert known is not None
    assert [(s.folder, s.done, len(s.parts), s.missing) for s in known] == [
        ("prompts", 1, 1, []),
        ("responses", 1, 2, ["n"]),
        ("mixes", 0, 1, ["x"]),
        ("viewer", 1, 1, []),
        ("wildchat50m", 1, 1, []),
    ]
    assert count(known) == (4, 6)
    made_up.put(folder / "mixes/x/train.parquet", "")
    assert count(stages(folder) or []) == (4, 6), "the card is missing still"
    made_up.put(folder / "mixes/x/card.json", {"outcomes": {}})
    assert count(stages(folder) or []) == (5, 6)


def test_what_a_study_promises_is_written_below_its_folder(tmp_path: Path) -> None:
    out = tmp_path / PROMISED
    files = ["results/x/b/c.csv", "store/results/x/a.csv", "results/x/b/c.csv"]
    write_promised("x", files, out)
    assert out.read_text() == "a.csv\nb/c.csv\n"
    for bad in ("results/y/a.csv", "a.csv", "results/x/a\nb.csv"):
        with pytest.raises(DataError, match="not a file of study x"):
            write_promised("x", [bad], out)


@pytest.mark.parametrize("line", ["/etc/passwd", "a/../../../b", "../b"])
def test_a_list_that_leads_elsewhere_is_refused(folder: Path, line: str) -> None:
    made_up.put(folder / PROMISED, f"{line}\n")
    with pytest.raises(DataError, match=re.escape(f"'{line}' is no file below made-up/")):
        stages(folder)
    assert any(f"'{line}' is no file" in problem for problem in home(folder).problems)


def test_failures_are_counted_by_reason(folder: Path) -> None:
    found = home(folder)
    rows = {(f.stage, f.what, f.reason): (f.count, f.of) for f in found.failures}
    assert rows == {
        ("prompts", "all", "length"): (7, 500),
        ("prompts", "all", made_up.HOSTILE): (2, 500),
        ("responses", "m", "timeout"): (2, 10),
        ("responses", "m", "empty"): (1, 10),
        ("benchmarks", "r/b", "no_verdict"): (1, 5),
    }
    assert found.summed[0] == ("prompts", "length", 7, 1)
    other = {"recipe": "cafe", "rows": 4, "failures_by_reason": {"timeout": 3}}
    made_up.put(folder / "responses/n/manifest.json", other)
    assert ("responses", "timeout", 5, 2) in home(folder).summed


def test_what_was_spent_stands_beside_the_plan(folder: Path) -> None:
    """An hour of four GPUs, loading included; 1.25 dollars of a judge."""
    costs = {row[0]: row[1:] for row in home(folder).costs}
    assert costs["responses"] == ("8.00", "4.00", "1.00", "10.0 M", "3.0 k", "", "")
    assert costs["judging"][-2:] == ("$3.50", "$1.25")
    assert costs["all"] == ("8.00", "4.00", "1.00", "10.0 M", "3.0 k", "$3.50", "$1.25")


def test_what_is_stated_of_teachers_is_told_with_its_interval(folder: Path) -> None:
    stated = {"finding": "paradox", "base": "llama", "family": None, "statement": "Larger is not better."}
    numbers = {"missing": None, "value": -0.5, "low": -0.75, "high": 0.125, "p": None, "n": 20}
    lacks = dict.fromkeys(FINDINGS.columns) | {"finding": "choice", "missing": "fine-tunes"}
    table = FINDINGS.frame([stated | numbers, lacks], "made up")
    write_table(folder / "teachers/findings.csv", table, FINDINGS, provenance())
    page = Seen(html(home(folder))).text
    assert "Teachers: paradox (llama)" in page
    assert "Larger is not better." in page
    assert "-0.75 to 0.125" in page
    assert "This study cannot say. It lacks fine-tunes." in page


def test_versions_hardware_and_recipes_are_told(folder: Path) -> None:
    rests = home(folder).rests
    assert rests.versions == {("python", "3.11"): 1, ("torch", "2.9"): 1}
    assert rests.hardware == {("4 GPUs", "machine x86_64, gpu NVIDIA H100"): 1}
    assert rests.recipes == {"responses/m": "cafe"}


def test_everything_is_shown_as_text_and_leads_beside_the_page(folder: Path) -> None:
    page = Seen(html(home(folder)))
    assert not page.tags & {"script", "iframe", "object", "form", "base", "link"}
    assert not page.handlers
    assert made_up.HOSTILE in page.text
    leads = [lead for lead in page.leads if not lead.startswith("#")]
    assert all(lead.startswith("./") and ":" not in lead for lead in leads), leads
    missing = [lead for lead in leads if not (folder / unquote(lead)).is_file()]
    assert missing == []
    assert {unquote(lead)[2:] for lead in leads} >= {
        *("wildchat50m/tables/a #1 50%.csv", "viewer/index.html", "wildchat50m/figures/figure1.svg"),
        f"wildchat50m/tables/{made_up.HOSTILE.replace('/', '')}.html",
    }
    assert "work/responses" not in html(home(folder))
    assert str(folder.parent) not in html(home(folder))


def test_the_same_files_give_the_same_page_which_is_not_written_twice(folder: Path) -> None:
    out = folder / "index.html"
    write_home(home(folder), out)
    first = (out.stat().st_mtime_ns, out.read_bytes())
    write_home(home(folder), out)
    assert (out.stat().st_mtime_ns, out.read_bytes()) == first
    (folder / "responses/n").mkdir()
    made_up.put(folder / "responses/n/manifest.json", {"recipe": "a", "rows": 1, "failures_by_reason": {}})
    write_home(home(folder), out)
    assert b"5 of 6 parts are there" in out.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("findings/findings.json", "{", "findings.json"),
        ("findings/findings.json", {"schema": "findings", "version": 0}, "not findings of version 1"),
        ("findings/findings.json", {"schema": "findings", "version": 1}, "cannot be read as findings"),
        ("wildchat50m/audit/audit.json", {"schema": "audit", "version": 1}, "not an audit of version 2"),
        ("responses/m/0000.json", "[]", "cannot be read as a measurement"),
        ("responses/m/0001.json", {"gpus": "four"}, "a measurement"),
        ("responses/m/manifest.json", {"rows": 1}, "cannot be read as a manifest"),
        (
            "prompts/report.json",
            {"dropped": {"x": "many"}, "failures": {}, "rows_in": 1},
            "account of prompts",
        ),
        ("mixes/x/card.json", {"outcomes": [1]}, "the card of a mix"),
        ("runs/r/training.json", {"run": "r"}, "a training's report"),
        ("wildchat50m/figures/figure1.csv-metadata.json", "nonsense", "figure1.csv-metadata.json"),
        ("config.yaml", "title: [", "config.yaml"),
        ("config.yaml", "name: made-up\nclaims: 1\n", "config.yaml"),
    ],
)
def test_a_broken_file_or_one_of_another_version_is_named_and_the_rest_shown(
    folder: Path, name: str, content: object, said: str
) -> None:
    made_up.put(folder / name, content)
    found = home(folder)
    assert any(said in problem and "made-up/" in problem for problem in found.problems), found.problems
    page = Seen(html(found))
    assert said in page.text
    assert "figure1" in page.text
    assert str(folder.parent) not in page.text


def test_a_folder_without_a_list_or_a_configuration_is_shown_as_far_as_it_goes(folder: Path) -> None:
    (folder / PROMISED).unlink()
    page = Seen(html(home(folder, study=None, lines=()))).text
    assert "was not made by this version, or only single files of it were asked for" in page
    assert "Its configuration cannot be read" in page
    assert "timeout" in page


def test_a_study_that_was_never_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no results; run `snakemake --config study=made-up` first"):
        gather("made-up", tmp_path / "results/made-up", Given())


def test_an_archive_has_what_the_page_leads_to(folder: Path, tmp_path: Path) -> None:
    made_up.put(folder / "config.yaml", "")
    outside = made_up.put(tmp_path / "secret.csv", "a\n1\n")
    (folder / "wildchat50m/tables/link.csv").symlink_to(outside)
    (folder / "viewer/data/link.js").symlink_to(outside)
    out = tmp_path / "home.zip"
    assert write_archive(home(folder), folder, out) == []
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        page = Seen(archive.read("made-up/index.html").decode())
        assert archive.testzip() is None
    leads = [f"made-up/{unquote(lead)[2:]}" for lead in page.leads if not lead.startswith("#")]
    assert set(leads) <= set(names)
    assert "made-up/viewer/data/index.js" in names
    assert not any("link" in name or name.startswith("/") or ".." in name for name in names)
    assert "Nothing that the page links to is left out" in page.text
    again = tmp_path / "again.zip"
    write_archive(home(folder), folder, again)
    assert again.read_bytes() == out.read_bytes()


def test_what_is_too_large_is_left_out_of_an_archive_and_said(folder: Path, tmp_path: Path) -> None:
    made_up.put(folder / "viewer/data/0.js", "x" * 3_000)
    made_up.put(folder / "wildchat50m/figures/figure1.svg", made_up.SVG + " " * 3_000)
    out = tmp_path / "home.zip"
    left = write_archive(home(folder), folder, out, largest=0.002)
    assert [one.path for one in left] == ["wildchat50m/figures/figure1.svg", "viewer/index.html"]
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        page = Seen(archive.read("made-up/index.html").decode())
    assert not any(name.startswith("made-up/viewer") or name.endswith(".svg") for name in names)
    leads = {f"made-up/{unquote(lead)[2:]}" for lead in page.leads if not lead.startswith("#")}
    assert leads <= set(names)
    assert "viewer/index.html: 3 kB with its data, more than 0.002 MB" in page.text

"""The audit's files: complete, escaped, the same bytes, readable in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

from audit_evidence import CHECKS, CLAIMS, PAPER, ROOT, printed
from conftest import Run
from rewild.audit import report
from rewild.audit.claims import Result, audit
from rewild.audit.outcome import VERDICTS, Fact, Outcome
from rewild.core.errors import DataError
from rewild.papers import find_paper
from rewild.papers.wildchat50m.evidence import Evidence

CITE = {"name": "wildchat50m", "cite": find_paper("wildchat50m").cite}
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)> & "quotes" `code` | [x](javascript:alert(3))'


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    evidence = Evidence(printed())
    return report.as_data(
        audit(list(CLAIMS.values()), CHECKS, evidence), evidence, "paper", PAPER / "claims.yaml", CITE
    )


def hostile() -> dict[str, Any]:
    claim = CLAIMS["mpf-qwen"].model_copy(update={"says": HOSTILE, "published": HOSTILE, "place": HOSTILE})
    fact = Fact(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    outcome = Outcome("contradicted", HOSTILE, HOSTILE, HOSTILE, [fact])
    evidence = Evidence(printed())
    return report.as_data([Result(claim, outcome, HOSTILE)], evidence, HOSTILE, PAPER / "claims.yaml", CITE)


def test_json_holds_everything(data: dict[str, Any]) -> None:
    assert [c["id"] for c in data["claims"]] == list(CLAIMS)
    assert sum(data["counts"].values()) == len(CLAIMS)
    assert list(data["counts"]) == list(VERDICTS)
    mpf = next(c for c in data["claims"] if c["id"] == "mpf-qwen")
    assert mpf["verdict"] == "contradicted"
    assert mpf["published"] == ".91"
    assert {
        "what": "L8B : L70, Strong",
        "value": "331",
        "source": "table3.csv",
        "place": "row L8B : L70, column Strong",
    } in (c for claim in data["claims"] if claim["id"] == "table3-ratios" for c in claim["evidence"]) or any(
        f["source"] == "table3.csv" for f in mpf["evidence"]
    )
    assert mpf["code"].startswith("checks_style.py:")
    assert set(data["provenance"]["evidence"]) == {"tables", "models", "facts"}


@pytest.mark.heavy
def test_html_shows_each_claim_with_values_evidence_and_code(data: dict[str, Any]) -> None:
    page = BeautifulSoup(report.html(data), "html.parser")
    cards = page.select("article.claim")
    assert [c["id"] for c in cards] == list(CLAIMS)
    for card, claim in zip(cards, data["claims"], strict=True):
        text = card.get_text(" ")
        assert claim["verdict"] in card["class"]
        assert claim["explanation"] in text
        assert len(card.select("tbody tr")) == len(claim["evidence"])
        if claim["code"]:
            assert claim["code"] in text
    assert len(page.select("section.short li")) == data["counts"]["contradicted"]
    for link in page.select("a[href]"):
        assert page.find(id=link["href"].removeprefix("#")), link


def test_html_is_self_contained_and_its_policy_fits_its_style(data: dict[str, Any]) -> None:
    text = report.html(data)
    page = BeautifulSoup(text, "html.parser")
    assert not page.find_all(["script", "img", "iframe", "link", "object"])
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    assert not re.search(r"\sstyle=", text)
    style = page.find("style").get_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_filters_cover_every_verdict_and_importance(data: dict[str, Any]) -> None:
    text = report.html(data)
    for value in VERDICTS:
        assert f'id="v-{value}"' in text
        assert f"body:has(#v-{value}:checked) .claim:not(.{value})" in text
    for value in {c.importance for c in CLAIMS.values()}:
        assert f"body:has(#i-{value}:checked) .claim:not(.{value})" in text


def test_hostile_text_is_escaped() -> None:
    page = BeautifulSoup(report.html(hostile()), "html.parser")
    assert not page.find_all(["script", "img"])
    assert HOSTILE in page.find("h3").get_text()
    markdown = report.markdown(hostile())
    assert "<script" not in markdown
    assert "<img" not in markdown
    assert "\\[x\\]" in markdown
    lines = [line for line in markdown.splitlines() if "alert(3)" in line and line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in lines)


def test_markdown_renders_a_table_per_claim(data: dict[str, Any]) -> None:
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark").enable("table").render(report.markdown(data))
    page = BeautifulSoup(html, "html.parser")
    assert len(page.find_all("h3")) == len(CLAIMS)
    assert len(page.find_all("table")) == 1 + sum(bool(c["evidence"]) for c in data["claims"])


def test_same_bytes(tmp_path: Path, data: dict[str, Any]) -> None:
    evidence = Evidence(printed())
    again = report.as_data(
        audit(list(CLAIMS.values()), CHECKS, evidence), evidence, "paper", PAPER / "claims.yaml", CITE
    )
    report.write(data, tmp_path / "a")
    report.write(again, tmp_path / "b")
    for name in ("audit.json", "audit.md", "audit.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_changed_table_changes_the_digest(tmp_path: Path) -> None:
    folder = tmp_path / "paper"
    shutil.copytree(PAPER, folder)
    before = report.digests(Evidence(printed(tables=folder)))
    (folder / "table1.csv").write_text((folder / "table1.csv").read_text("utf-8") + "\n", "utf-8")
    after = report.digests(Evidence(printed(tables=folder)))
    assert before["tables"] != after["tables"]
    assert before["models"] == after["models"]


@pytest.mark.heavy
def test_opens_in_a_browser(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium to open the page; none is installed")
    path = tmp_path / "audit.html"
    path.write_text(report.html(hostile()), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    command += ["--enable-logging=stderr", "--dump-dom", path.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if run.returncode:
        pytest.skip(f"Chromium does not start here: {run.stderr.strip().splitlines()[-1:]}")
    assert "The paper’s claims, tested" in run.stdout
    assert "Refused to apply" not in run.stderr  # the style is the one that the policy allows
    assert "<script>" not in run.stdout


def arguments(folder: Path) -> list[str]:
    return [
        "audit",
        "wildchat50m",
        *(f"{n}={p}" for n, p in printed().items()),
        "--study",
        "paper",
        "--out-dir",
        str(folder),
    ]


def test_the_command_and_the_summary(tmp_path: Path, rewild: Run, data: dict[str, Any]) -> None:
    folder = tmp_path / "results/paper/wildchat50m/audit"
    run = rewild(ROOT, *arguments(folder))
    assert run.returncode == 0, run.stdout  # whatever the verdicts
    assert f"{data['counts']['contradicted']} contradicted" in run.stdout
    assert json.loads((folder / "audit.json").read_text("utf-8")) == data
    (folder.parent / "tables").mkdir()
    (folder.parent / "tables/table1.md").write_text("x")
    shown = rewild(tmp_path, "summary", "paper")
    assert shown.returncode == 0, shown.stdout
    assert "✗ mpf-qwen: .91 → Llama 0.9042" in shown.stdout
    assert "results/paper/wildchat50m/audit/  audit: audit.html, audit.json, audit.md" in shown.stdout
    assert "results/paper/wildchat50m/tables/  tables: table1" in shown.stdout
    lines = [line for line in shown.stdout.splitlines() if line.startswith("✗")]
    assert len(lines) == data["counts"]["contradicted"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["workbok=x"], "did you mean 'workbook'?"),
        (["workbook"], "NAME=PATH was expected"),
        (["tables=docs"], "evidence 'tables' stands twice"),
        (["workbook=absent.xlsx"], "absent.xlsx: no such file"),
    ],
)
def test_bad_arguments_leave_nothing(tmp_path: Path, rewild: Run, extra: list[str], message: str) -> None:
    run = rewild(ROOT, *arguments(tmp_path / "audit"), *extra)
    assert run.returncode == 1
    assert message in " ".join(run.stdout.split())
    assert "Traceback" not in run.stdout
    assert not (tmp_path / "audit").exists()


def test_broken_evidence_leaves_nothing(tmp_path: Path, rewild: Run) -> None:
    bad = tmp_path / "wc50m_results.xlsx"
    bad.write_bytes(b"no")
    run = rewild(ROOT, *arguments(tmp_path / "audit"), f"workbook={bad}")
    assert run.returncode == 1
    assert "not a readable workbook" in " ".join(run.stdout.split())
    assert "Traceback" not in run.stdout
    assert not (tmp_path / "audit").exists()


def test_summary_without_results(tmp_path: Path, rewild: Run) -> None:
    run = rewild(tmp_path, "summary", "paper")
    assert run.returncode == 1
    assert "no results" in run.stdout


def test_summary_of_a_broken_audit(tmp_path: Path, rewild: Run) -> None:
    folder = tmp_path / "results/paper/wildchat50m/audit"
    folder.mkdir(parents=True)
    (folder / "audit.json").write_text('{"schema": "audit", "version": 0}')
    run = rewild(tmp_path, "summary", "paper")
    assert run.returncode == 1
    assert "not an audit of version 2" in " ".join(run.stdout.split())
    with pytest.raises(DataError):
        report.read(folder / "audit.json")

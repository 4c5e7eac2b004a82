"""The claims file: complete, valid, and refused with a clear message where it is not."""

from __future__ import annotations

import inspect
import re
import textwrap
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from audit_evidence import CHECKS, CLAIMS, PAPER, ROOT, printed, released
from rewild.audit import outcome
from rewild.audit.checks import Checks, check
from rewild.audit.claims import Claim, audit, load_claims
from rewild.audit.numbers import show
from rewild.core.errors import ConfigError
from rewild.papers.wildchat50m.evidence import Evidence

GOOD = {
    "id": "some-claim",
    "section": "Section 1",
    "place": "first paragraph",
    "says": "Something holds.",
    "published": "3",
    "kind": "count",
    "importance": "detail",
    "check": "row_count",
    "with": {"table": 1, "published": 3},
    "needs": ["tables"],
}


def load(path: Path, checks: Checks = CHECKS) -> list[Claim]:
    return load_claims(path, checks, Evidence.SUPPLIERS)


def write(folder: Path, *claims: object) -> Path:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": list(claims)}), encoding="utf-8")
    return path


def test_there_are_dozens_each_with_its_place() -> None:
    assert len(CLAIMS) > 130
    assert sum(c.check is not None for c in CLAIMS.values()) > 120
    for claim in CLAIMS.values():
        assert claim.section
        assert claim.place
        assert claim.says.endswith("."), claim.id


def test_every_check_that_is_written_is_used_and_documented() -> None:
    used = {c.check for c in CLAIMS.values() if c.check}
    assert set(CHECKS) == used
    for name, function in CHECKS.items():
        assert inspect.getdoc(function), name


def test_every_section_and_table_of_the_paper_is_covered() -> None:
    sections = " ".join(c.section for c in CLAIMS.values()).lower()
    for place in [
        "abstract",
        "section 1",
        "section 2.1",
        "section 2.2",
        "section 3.1",
        "section 3.2",
        "section 3.3",
    ]:
        assert place in sections
    for place in ["section 4", "section 5", "section 6", "appendix a", "appendix f"]:
        assert place in sections
    for place in [*(f"table {n}" for n in range(1, 8)), *(f"figure {n}" for n in range(1, 5))]:
        assert place in sections


def test_code_locations_point_at_the_function() -> None:
    for name in CHECKS:
        path, line = CHECKS.location(name).split(":")
        lines = (PAPER.parent / path).read_text(encoding="utf-8").splitlines()
        assert lines[int(line) - 1] == "@check"
        assert lines[int(line)].startswith(f"def {name}(")


def used_by(claim: Claim, files: dict[str, Path]) -> set[str]:
    evidence = Evidence(files)
    audit([claim], CHECKS, evidence)
    return evidence.used


@pytest.mark.mirror
def test_needs_name_all_that_a_check_reads(mirror: Path) -> None:
    # The workbook adds precision where it is there; every other thing that is read must be declared.
    for claim in CLAIMS.values():
        files = released(mirror)
        if claim.check and all(need in files for need in claim.needs):
            assert used_by(claim, files) <= {*claim.needs, "workbook"}, claim.id
            fewest = {name: path for name, path in files.items() if name in claim.needs}
            assert used_by(claim, fewest) >= set(claim.needs), f"{claim.id} needs less than it says"


def test_a_claim_without_a_check_is_never_reproduced() -> None:
    untested = [c for c in CLAIMS.values() if c.check is None]
    assert len(untested) > 10
    for result in audit(untested, CHECKS, Evidence(printed())):
        assert result.outcome.verdict == "not_testable"
        assert result.claim.why in result.outcome.explanation


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"check": "row_cuont"}, r"claim some-claim: unknown check 'row_cuont'; did you mean 'row_count'\?"),
        ({"with": {"table": 1, "publishd": 3}}, "takes no 'publishd'; did you mean 'published'"),
        ({"with": {"table": 1}}, "the check row_count needs 'published' under 'with'"),
        ({"needs": ["tabels"]}, "claim some-claim: needs: unknown evidence 'tabels'; did you mean 'tables'"),
        ({"verdict": "reproduced"}, "unknown key 'verdict'"),
        ({"kind": "cuont"}, "did you mean 'count'"),
        ({"section": ""}, "section"),
        ({"id": "Some Claim"}, "id"),
        ({"check": None, "with": {}, "needs": []}, "a claim needs a 'check', or a 'why'"),
        ({"check": None, "why": "It would need logs."}, "belong to a claim with a 'check'"),
        ({"test": "row_count"}, "claim some-claim: the key 'test' is now called 'check'; rename it"),
    ],
)
def test_bad_claims_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    entry = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    with pytest.raises(ConfigError, match=message):
        load(write(tmp_path, entry))


def test_duplicates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="claim some-claim: the id stands twice"):
        load(write(tmp_path, GOOD, GOOD))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="claim some-claim: the key 'place' is missing"):
        load(write(tmp_path, {k: v for k, v in GOOD.items() if k != "place"}))


@pytest.mark.parametrize("text", ["", "claims: []", "claims: {}", "clams: []", "claims: [3]"])
def test_no_claims(tmp_path: Path, text: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"claims\.yaml"):
        load(path)


def test_the_worked_example_of_the_docs_works(tmp_path: Path) -> None:
    text = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    blocks = {
        language: textwrap.dedent(code)
        for language, code in re.findall(r" +```(\w+)\n(.*?)\n +```", text, re.S)
    }
    room = ModuleType("checks_of_the_docs")
    room.__file__ = str(tmp_path / "checks_of_the_docs.py")
    source = tmp_path / "checks_of_the_docs.py"
    source.write_text(blocks["python"], encoding="utf-8")
    room.__dict__.update(
        check=check,
        Evidence=Evidence,
        Outcome=outcome.Outcome,
        Decimal=Decimal,
        show=show,
        decide=outcome.decide,
    )
    exec(compile(blocks["python"], source, "exec"), vars(room))
    checks = Checks([room])
    claims = load(write(tmp_path, *yaml.safe_load(blocks["yaml"])), checks)
    [result] = audit(claims, checks, Evidence(printed()))
    assert result.outcome.verdict == "reproduced"
    assert result.outcome.computed == "Q72 leads by 0.59"
    assert result.code
    assert result.code.startswith("checks_of_the_docs.py:")

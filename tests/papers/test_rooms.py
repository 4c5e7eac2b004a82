"""Papers as rooms: what is shared names none of them, and another one is files in a folder of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from conftest import Run, copy_workflow
from paper_room import write_room
from rewild.papers import find_paper, papers

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workflow/rewild"
SHARED = ("audit", "report/tables", "papers/room.py", "papers/studies.py", "papers/__init__.py")
SCHEMA = ("config/study.py", "config/subset.py", "config/load.py")
OF_A_PAPER = re.compile(r"\btable\d|\bfigure\d|wildchat|resources/paper|Feuer", re.IGNORECASE)


def test_what_papers_share_names_no_paper() -> None:
    files = [PACKAGE / name for name in (*SHARED, *SCHEMA)]
    for file in (p for f in files for p in ([f] if f.is_file() else sorted(f.rglob("*.*")))):
        if file.suffix in {".py", ".html", ".css"}:
            found = OF_A_PAPER.search(file.read_text(encoding="utf-8"))
            assert found is None, f"{file.relative_to(PACKAGE)}: {found}"
    assert OF_A_PAPER.search("the table4 of it")


def test_every_rooms_data_is_whole() -> None:
    for name, paper in papers().items():
        assert paper.name == name
        assert paper.title
        for table in paper.specs.tables:
            assert (paper.data / f"{table}.csv").is_file(), table
        for part in (p for of in paper.cells.values() for p in of.values()):
            assert callable(paper.load(part.make))
        for part in (p for figure in paper.figures.values() for p in figure.parts.values()):
            assert callable(paper.load(part.make))
        assert set(paper.texts) == set(paper.figures)
        assert {along for figure in paper.figures.values() for along in figure.also} <= set(paper.figures)


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow with one more room."""
    copy = copy_workflow(tmp_path_factory.mktemp("rooms") / "copy")
    write_room(copy)
    return copy


@pytest.mark.workflow
def test_another_paper_is_a_room_and_no_other_file(another: Path, snakemake: Run) -> None:
    """The study of all papers shows it; the other paper's results stay where they are."""
    run = snakemake(another, "-n", "--config", "study=paper")
    assert run.returncode == 0, run.stdout
    assert "making settings of nothing" in run.stdout
    assert "checking the claims of nothing" in run.stdout
    assert "making table7 of wildchat50m" in run.stdout
    folder = "results/paper/nothing"
    wanted = [f"{folder}/tables/scores.md", f"{folder}/tables/settings.md", f"{folder}/audit/audit.json"]
    run = snakemake(another, "--cores", "2", "--config", "study=paper", "--", *wanted)
    assert run.returncode == 0, run.stdout
    scores, settings = ((another / path).read_text(encoding="utf-8") for path in wanted[:2])
    assert "Published numbers: A. Nobody, ON NOTHING, 2030, section 1" in scores
    assert "| one | **3.5** |" in scores
    assert "2×10^{-5}" in settings.replace("\\", "")
    audit = json.loads((another / wanted[2]).read_text(encoding="utf-8"))
    assert audit["paper"] == {"name": "nothing", "cite": "A. Nobody, ON NOTHING, 2030"}
    [claim] = audit["claims"]
    assert (claim["verdict"], claim["computed"]) == ("reproduced", "1.00 at 2×10^{-5}")
    assert claim["code"] == "checks_scores.py:7"
    assert set(audit["provenance"]["evidence"]) == {"tables", "facts", "models"}


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("papers", "message"),
    [
        (
            "{nothin: {}}",
            "papers: unknown paper 'nothin'; did you mean 'nothing'? (papers: magpie, nothing, teachers, w",
        ),
        ("{nothing: {tables: [score]}}", "papers: nothing has no table 'score'; did you mean 'scores'?"),
        ("{nothing: {figures: [one]}}", "papers: nothing has no figure 'one' (figures: none)"),
        ("{wildchat50m: {figures: [figure1]}}", "The paper prints no numbers for Figure 1"),
    ],
)
def test_what_a_paper_has_not_is_named(another: Path, snakemake: Run, papers: str, message: str) -> None:
    path = another / "config/studies/wrong.yaml"
    path.write_text(f"title: T\nsource: published\npapers: {papers}\n", encoding="utf-8")
    try:
        run = snakemake(another, "-n", "--config", "study=wrong")
    finally:
        path.unlink()
    assert run.returncode == 1
    assert f"error: study wrong: papers: {message.removeprefix('papers: ')}" in " ".join(run.stdout.split())
    assert "Traceback" not in run.stdout


def test_an_unknown_paper_is_one_message(rewild: Run) -> None:
    run = rewild(ROOT, "table", "wildchat50", "table1")
    assert run.returncode == 1
    assert "error: unknown paper 'wildchat50'; did you mean 'wildchat50m'?" in " ".join(run.stdout.split())


def test_results_of_the_old_layout_are_told_and_not_shown(tmp_path: Path, rewild: Run) -> None:
    folder = tmp_path / "results/paper"
    for name in ("tables/table1.csv", "tables/table1.md", "figures/figure2.svg", "audit/audit.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    new = folder / "wildchat50m/tables/table2.md"
    new.parent.mkdir(parents=True)
    new.write_text("x")
    run = rewild(tmp_path, "summary", "paper")
    said = " ".join(run.stdout.split())
    assert run.returncode == 0, run.stdout
    assert "tables/, figures/, audit/ are of a version whose results did not lie under their paper" in said
    assert "move them away, then run `snakemake --config study=paper`" in said
    assert "wildchat50m/tables/ tables: table2" in said
    assert "table1" not in said
    assert "figure2" not in said


def test_a_room_is_found_by_its_name() -> None:
    assert find_paper("wildchat50m").data == PACKAGE / "papers/wildchat50m/data"

"""The studies `paper` and `released`, run in a copy: what they make, and what makes them run again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from conftest import Run, copy_workflow
from hostile import ODD, TRAP, nothing_ran

pytestmark = pytest.mark.workflow
ROOT = Path(__file__).resolve().parents[2]
# Of the 34 files of answers, six: two rows of Table 5, a name that the study gives, with sizes and without.
IMPORTED = ("alpaca-eval-outputs,", "wildbench,")
FEW = ("gpt4_1106_preview", "llama-2-7b-chat-hf", "gemma-2b-it", "gemma-7b-it", "Llama-3-8B-ShareGPT-112K")
# Snakemake strips quotes at the ends of a value.
PAPER = ("--config", "study=paper", f"mirror={TRAP}", f"title={TRAP}.")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory, snakemake: Run) -> Path:
    """A copy of the workflow, in a folder with an odd name, in which the study `paper` was run."""
    folder = tmp_path_factory.mktemp("paper") / ODD
    folder.mkdir(parents=True)
    run = snakemake(copy_workflow(folder), "--cores", "2", *PAPER)
    assert run.returncode == 0, run.stdout
    return folder


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, snakemake: Run, mirror: Path) -> Path:
    """A copy of the workflow in which the study `released` was run on the mirror, but for heatmaps.

    They are a quarter of its time; tests/measures/test_similarity_workflow.py draws one by its rule. Answers
    are imported of FEW models: no table, claim or figure that is asserted here rests on them.
    """
    folder = copy_workflow(tmp_path_factory.mktemp("released"))
    manifest, study = folder / "resources/released/files.csv", folder / "config/studies/released.yaml"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [x for x in lines if not x.startswith(IMPORTED) or re.search(rf"/({'|'.join(FEW)})[./]", x)]
    assert len(lines) - len(kept) == 34 - 6
    manifest.write_text("".join(kept), encoding="utf-8")
    imports = yaml.safe_load(study.read_text(encoding="utf-8"))
    for source in imports["imports"]:
        source["sizes"] = {name: size for name, size in source["sizes"].items() if name in FEW}
    study.write_text(yaml.safe_dump(imports, sort_keys=False), encoding="utf-8")
    settings = ("--config", "study=released", f"mirror={mirror}")
    run = snakemake(folder, "--cores", "2", *settings, "--omit-from", "plot_similarity")
    assert run.returncode == 0, run.stdout
    return folder


def counts(folder: Path, study: str) -> dict[str, int]:
    """Verdict → number of claims."""
    found: dict[str, int] = json.loads(
        (folder / f"results/{study}/wildchat50m/audit/audit.json").read_bytes()
    )["counts"]
    return found


def cell(folder: Path, study: str, table: str, row: str, column: str) -> object:
    """A cell of a study's table, as its CSV has it."""
    frame = pl.read_csv(folder / f"results/{study}/wildchat50m/tables/{table}.csv", infer_schema=False)
    if "column" in frame.columns:
        return frame.filter(pl.col("row") == row, pl.col("column") == column)["computed"].item()
    return frame.filter(pl.col("row") == row)[column].item()


def planned(snakemake: Run, folder: Path, *arguments: str) -> dict[str, int]:
    """Rule → number of jobs that a dry run would start."""
    run = snakemake(folder, "-n", *arguments)
    assert run.returncode == 0, run.stdout
    if "Nothing to be done" in run.stdout:
        return {}
    table = run.stdout.partition("Job stats:")[2].partition("total")[0]
    return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def leftovers(folder: Path) -> list[Path]:
    """Temporary files that a write would have left."""
    files = (p for p in (folder / "results").rglob(".*") if p.is_file())
    return [p for p in files if p.name != ".snakemake_timestamp"]  # Snakemake's own, in a folder it made


def test_paper_makes_its_tables_figures_and_audit(paper: Path) -> None:
    assert cell(paper, "paper", "table2", "Q72", "BBH") == "0.4807"  # more digits than the paper prints
    assert cell(paper, "paper", "table3", "Q72 : None", "len") == "6492.0"
    assert cell(paper, "paper", "table7", "L8B : Q72 (500k)", "MTBench") == "6.51"
    for n in range(1, 8):
        table = paper / f"results/paper/wildchat50m/tables/table{n}"
        assert f"**Table {n}.**" in table.with_suffix(".md").read_text(encoding="utf-8")
        assert r"\toprule" in table.with_suffix(".tex").read_text(encoding="utf-8")
        assert "<table" in table.with_suffix(".html").read_text(encoding="utf-8")
    assert (paper / "results/paper/wildchat50m/figures/figure2.pdf").read_bytes().startswith(b"%PDF")
    assert sum(counts(paper, "paper").values()) == 146
    assert leftovers(paper) == []


def test_paper_is_made_in_an_odd_folder_and_what_is_said_is_text(paper: Path) -> None:
    assert "Contradicted |" in (paper / "results/paper/wildchat50m/audit/audit.md").read_text()
    assert (paper / "results/paper/wildchat50m/figures/figure2.svg").stat().st_size > 10_000
    assert TRAP in (paper / "results/paper/config.yaml").read_text().replace("''", "'")
    assert nothing_ran(paper.parents[2])


def test_paper_is_made_once(paper: Path, snakemake: Run) -> None:
    assert planned(snakemake, paper, *PAPER) == {}


@pytest.mark.parametrize(
    ("path", "old", "expected"),
    [
        # Table 5 is in no figure; the audit reads every table.
        (
            "workflow/rewild/papers/wildchat50m/data/table5.csv",
            "0.37",
            {"make_table": 1, "audit_claims": 1, "make_home": 1, "all": 1},
        ),
        (
            "workflow/rewild/papers/wildchat50m/data/table7.csv",
            "6.51",
            {"make_table": 1, "draw_figure": 1, "audit_claims": 1, "make_home": 1, "all": 1},
        ),
        (
            "workflow/rewild/papers/wildchat50m/data/claims.yaml",
            "in our words",
            {"audit_claims": 1, "make_home": 1, "all": 1},
        ),
        ("workflow/rewild/papers/wildchat50m/data/runs.csv", "Q72", {}),
    ],
)
def test_a_change_reruns_what_depends_on_it(
    paper: Path, snakemake: Run, path: str, old: str, expected: dict[str, int]
) -> None:
    text = (paper / path).read_text(encoding="utf-8")
    assert old in text
    try:
        (paper / path).write_text(text.replace(old, "0.01", 1), encoding="utf-8")
        assert planned(snakemake, paper, *PAPER) == expected
    finally:
        (paper / path).write_text(text, encoding="utf-8")


def test_a_broken_table_is_named_and_nothing_half_written_is_left(paper: Path, snakemake: Run) -> None:
    path = paper / "workflow/rewild/papers/wildchat50m/data/table1.csv"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text.replace("246750", "many", 1), encoding="utf-8")
        run = snakemake(
            paper,
            "--cores",
            "2",
            *PAPER,
            "--",
            "results/paper/wildchat50m/tables/table1.md",
        )
        assert run.returncode == 1
        assert re.search(
            r"error: workflow/rewild/papers/wildchat50m/data/table1.csv, row 1, column 'value'", run.stdout
        ), run.stdout
        assert "Traceback" not in run.stdout
        assert leftovers(paper) == []
    finally:
        path.write_text(text, encoding="utf-8")


@pytest.mark.mirror
def test_released_computes_what_was_published(released: Path) -> None:
    assert cell(released, "released", "table7", "L8B : Q72 (500k)", "MTBench") == "6.5063"
    counted = pl.read_csv(released / "results/released/style/counts.csv")
    page = counted.filter(pl.col("model") == "Q72 : None", pl.col("scope") == "page")
    features = ("strong", "em", "ol", "ul", "h1", "h2", "h3", "h4", "p", "len")
    found = {f.lower(): v for f, v in page.select("feature", "value").iter_rows()}
    assert [round(found[f]) for f in features] == [741, 53, 83, 230, 24, 0, 135, 26, 1217, 6492]
    rates = pl.read_csv(released / "results/released/judgments/preferences.csv")
    pair = rates.filter(pl.col("model") == "L8B : Q72", pl.col("over") == "L8B : L70")
    assert pair["rate"].item() == 40.0
    assert leftovers(released) == []


@pytest.mark.mirror
def test_released_is_made_once(released: Path, snakemake: Run, mirror: Path) -> None:
    # Where the files were brought from does not matter: the public address plans nothing else either.
    left = {"plot_similarity": 10, "make_home": 1, "all": 1}  # five metrics of two sources
    assert planned(snakemake, released, "--config", "study=released", f"mirror={mirror}") == left
    assert planned(snakemake, released, "--config", "study=released") == left


@pytest.mark.mirror
def test_the_readme_says_what_the_audit_found(released: Path) -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    found = counts(released, "released")
    assert f"{sum(found.values())} statements of the paper" in text
    assert f"{found['reproduced']} are reproduced, " in text
    assert f"{found['reproduced_otherwise']} hold under another definition than the paper gives, " in text
    assert f"{found['contradicted']} are contradicted by its own data, " in text
    assert f"{found['not_testable']} cannot be decided" in text
    cells = pl.concat(
        pl.read_csv(released / f"results/released/wildchat50m/tables/table{n}.csv")
        .filter(pl.col("published").is_not_null())
        .select("within_rounding")
        for n in (2, 6, 7)
    )
    assert f"{cells['within_rounding'].sum()} of the {cells.height} cells of Tables 2, 6 and 7" in text


@pytest.mark.mirror
def test_the_readme_shows_figure_1_as_it_is_drawn(released: Path) -> None:
    shown = ROOT / "docs/images/figure1.svg"
    drawn = released / "results/released/wildchat50m/figures/figure1.svg"
    assert shown.read_bytes() == drawn.read_bytes(), f"cp {drawn.relative_to(released)} docs/images/"


@pytest.mark.mirror
def test_a_wrong_checksum_stops_the_run_with_one_reason(
    tmp_path: Path, copy: Path, snakemake: Run, mirror: Path
) -> None:
    board = next(mirror.glob("tatsu-lab/alpaca_eval/*/src/alpaca_eval/leaderboards/data_AlpacaEval_2"))
    there = tmp_path / "mirror" / board.relative_to(mirror)
    shutil.copytree(board, there, copy_function=shutil.copyfile)
    for path in there.iterdir():
        path.write_bytes(path.read_bytes() + b"\n")
    run = snakemake(
        copy,
        *("--cores", "1", "--config", "study=released", f"mirror={tmp_path / 'mirror'}"),
        *("--until", "fetch_alpaca_eval_leaderboard"),
    )
    assert run.returncode == 1
    assert re.search(
        r"wrong checksum for tatsu-lab/alpaca_eval/\S+\n  expected SHA-256 \w{64}.*\n  found", run.stdout
    )
    # The command fails, not the search for the files that it did not make.
    assert "missing locally" not in run.stdout
    assert [p for p in (copy / "results").rglob("*") if p.is_file()] == []

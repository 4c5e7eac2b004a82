"""From score files to the report by Snakemake, and what a change makes run again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import findings_study as made_up
from conftest import Run, copy_workflow

TAIL = (
    *("collect_scores", "fill_table", "compare_judgments", "make_table"),
    *("draw_figure", "state_findings"),
)
REPORT = "results/own/findings/findings.html"


def planned(output: str) -> dict[str, int]:
    """Rule → jobs, of a dry run's table."""
    table = output.partition("Job stats:")[2].partition("Reasons:")[0]
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {name: count for name, count in jobs.items() if name not in ("total", "all")}


# The tail, for real, on made-up scores


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, snakemake: Run) -> Path:
    """A copy of the workflow in which the report of the made-up study has been made."""
    copy = copy_workflow(tmp_path_factory.mktemp("tail") / "copy")
    made_up.write_study(copy, made_up.study())
    made_up.write_results(copy / "results")
    run = tail(snakemake, copy, "--cores", "2")
    assert run.returncode == 0, run.stdout
    return copy


def tail(snakemake: Run, folder: Path, *arguments: str):  # type: ignore[no-untyped-def]
    return snakemake(folder, *arguments, "--config", "study=own", "--allowed-rules", *TAIL, "--", REPORT)


@pytest.mark.workflow
def test_every_table_and_figure_is_made(ran: Path) -> None:
    results = ran / "results/own"
    for table in ("table2", "table3", "table4", "table6", "table7"):
        text = (results / f"wildchat50m/tables/{table}.md").read_text(encoding="utf-8")
        assert "demo-herald" in text
        assert "Computed from this study." in text
    for figure in ("figure1", "figure2", "figure3", "figure4", "figure3-bars", "figure4-bars"):
        assert (results / f"wildchat50m/figures/{figure}.svg").stat().st_size > 5_000, figure
        assert (results / f"wildchat50m/figures/{figure}.png").read_bytes()[:4] == b"\x89PNG"
    page = (ran / REPORT).read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 6
    assert page.count('href="../wildchat50m/tables/table') == 5
    assert "within its parts&#39; range" in page


@pytest.mark.workflow
def test_a_figures_code_redraws_that_figure_alone(ran: Path, snakemake: Run) -> None:
    assert "Nothing to be done" in tail(snakemake, ran, "-n").stdout
    path = ran / "workflow/rewild/papers/wildchat50m/scaling.py"
    before = path.read_text(encoding="utf-8")
    path.write_text(before + "\n# Another line.\n", encoding="utf-8")
    run = tail(snakemake, ran, "-n")
    assert planned(run.stdout) == {"draw_figure": 1, "state_findings": 1}
    assert "own: drawing figure2 of wildchat50m" in run.stdout
    assert "Reason: Params have changed" in run.stdout
    path.write_text(before, encoding="utf-8")


@pytest.mark.workflow
def test_scores_that_cannot_be_compared_stop_the_tables(ran: Path, snakemake: Run) -> None:
    """And leave what was there."""
    path = ran / "results/own/benchmarks/herald/gpqa/scores.csv"
    before, made = path.read_text(encoding="utf-8"), (ran / REPORT).read_bytes()
    path.write_text(before.replace("gpqa 1", "gpqa 2"), encoding="utf-8")
    run = tail(snakemake, ran, "--cores", "2")
    assert run.returncode == 1
    assert "different versions of the benchmark on gpqa: 'gpqa 1'" in run.stdout
    assert "Traceback" not in run.stdout
    assert (ran / REPORT).read_bytes() == made
    path.write_text(before, encoding="utf-8")

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


# The demo's graph, with files that stand for what its jobs would have made


@pytest.fixture(scope="module")
def pretended(tmp_path_factory: pytest.TempPathFactory, snakemake: Run) -> Path:
    """A copy of the workflow in which the demo looks finished."""
    copy = copy_workflow(tmp_path_factory.mktemp("demo") / "copy")
    run = snakemake(copy, "--config", "study=demo", "--detailed-summary")
    assert run.returncode == 0, run.stdout
    made = re.findall(r"^((?:results|\.envs)/\S+)\t-\t", run.stdout, re.MULTILINE)
    assert len(made) > 100
    for name in made:
        path = copy / name
        if path.suffix or path.name in ("ready", "passed"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("made", encoding="utf-8")
        else:
            path.mkdir(parents=True, exist_ok=True)
    run = snakemake(copy, "--config", "study=demo", "--cores", "1", "--touch", "--forceall", "--quiet", "all")
    assert run.returncode == 0, run.stdout
    return copy


def demo(snakemake: Run, folder: Path) -> dict[str, int]:
    run = snakemake(folder, "-n", "--config", "study=demo")
    assert run.returncode == 0, run.stdout
    return planned(run.stdout)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {old!r} stands {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.workflow
def test_a_finished_demo_has_nothing_to_do_until_a_figures_code_changes(
    pretended: Path, snakemake: Run
) -> None:
    assert demo(snakemake, pretended) == {}
    path = pretended / "workflow/rewild/papers/wildchat50m/radar.py"
    before = path.read_text(encoding="utf-8")
    path.write_text(before + "\n# Another line.\n", encoding="utf-8")
    assert demo(snakemake, pretended) == {"draw_figure": 1, "state_findings": 1}
    path.write_text(before, encoding="utf-8")


@pytest.mark.workflow
def test_one_benchmarks_row_touches_no_other_kind_of_job(pretended: Path, snakemake: Run) -> None:
    """The run's job keeps the benchmarks that are as they were (tests of the evaluation)."""
    path = pretended / "config/studies/demo.yaml"
    edit(path, "max_new_tokens: 120", "max_new_tokens: 100")
    jobs = demo(snakemake, pretended)
    edit(path, "max_new_tokens: 100", "max_new_tokens: 120")
    assert jobs["evaluate_run"] > 0
    assert set(jobs) <= {"evaluate_run", "write_config", "score_benchmark", *AFTER}


AFTER = {
    *("collect_scores", "fill_table", "compare_judgments", "make_table"),
    *("draw_figure", "state_findings"),
}
RUNS = 9


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("row", "change", "jobs"),
    [
        ("demo-following", ("prompt_level_strict_acc", "inst_level_strict_acc"), ["score_benchmark"]),
        ("demo-pairs", ("judge: rubric", "judge: gpt-4o-mini"), ["judge_answers", "score_judgments"]),
    ],
)
def test_a_row_of_the_table_of_benchmarks_reruns_that_benchmark(
    pretended: Path, snakemake: Run, row: str, change: tuple[str, str], jobs: list[str]
) -> None:
    """Once for each run; no other benchmark, no model, and what is drawn and stated after it."""
    path = pretended / "config/benchmarks.yaml"
    text = path.read_text(encoding="utf-8")
    before, mine, after = text.partition(f"\n{row}:\n")
    assert change[0] in after.partition("\n\n")[0]
    path.write_text(before + mine + after.replace(*change, 1), encoding="utf-8")
    run = snakemake(pretended, "-n", "--config", "study=demo")
    path.write_text(text, encoding="utf-8")
    assert run.returncode == 0, run.stdout
    found = planned(run.stdout)
    assert {name: found.pop(name, 0) for name in jobs} == dict.fromkeys(jobs, RUNS)
    assert {"collect_scores", "make_table", "state_findings"} <= set(found) <= AFTER
    # One line says what runs, the next why.
    lines = [line.strip() for line in run.stdout.splitlines()]
    about = re.compile(r"Job \d+: demo: (scoring|the answers of) ")
    said = [i for i, line in enumerate(lines) if about.match(line)]
    assert len(said) == RUNS * len(jobs)
    assert all(row in lines[i] and lines[i + 1].startswith("Reason: ") for i in said)


@pytest.mark.workflow
def test_another_data_generating_model_reruns_nothing_of_the_others(pretended: Path, snakemake: Run) -> None:
    path = pretended / "config/studies/demo.yaml"
    edit(
        path,
        "    demo-herald: {learns: herald",
        "    demo-new: {learns: brief, seed: 9}\n    demo-herald: {learns: herald",
    )
    edit(path, "  models: [demo-herald,", "  models: [demo-new, demo-herald,")
    jobs = demo(snakemake, pretended)
    assert (jobs["make_demo_model"], jobs["run_pilot"], jobs["answer_shard"]) == (1, 1, 2)
    kept = {"make_mix", "train_run", "evaluate_run", "judge_answers", "collect_scores", "state_findings"}
    assert not kept & set(jobs)

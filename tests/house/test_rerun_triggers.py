"""What a change of a setting runs again: what identifies a result; not how it is computed or judged.

The whole demo is laid out as if it had run (its files are empty, and Snakemake is told that they are right);
then settings change, and Snakemake says what it would do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Run, copy_workflow

pytestmark = pytest.mark.workflow
STUDY, RECIPES, MODELS = "config/studies/demo.yaml", "config/recipes.yaml", "config/models.yaml"
STAGES, TABLE = "workflow/rewild/config/stages.py", "workflow/rewild/report/tables/render.py"
Rules = Callable[[], set[str]]
EXPENSIVE = {
    *("run_pilot", "answer_shard", "sample_answers", "score_answers", "preflight_run", "train_run"),
    *("postflight_run", "evaluate_run", "answer_benchmarks_demo", "judge_answers"),
}
AFTER = {
    *("collect_scores", "fill_table", "compare_judgments", "make_table"),
    *("draw_figure", "state_findings"),
    *("judge_candidates", "draw_candidates", "tabulate_candidates", "show_candidates"),
}
RUNS = 6  # of the demo
HOME = ("list_results", "make_home")  # after whatever ran


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, snakemake) -> Path:
    """The demo, as if it had run."""
    folder = copy_workflow(tmp_path_factory.mktemp("triggers") / "copy")
    listed = snakemake(folder, "-n", "--detailed-summary", "--config", "study=demo")
    assert listed.returncode == 0, listed.stdout
    names = re.findall(r"^((?:results|\.envs)/\S+)\t-\t", listed.stdout, re.MULTILINE)
    assert len(names) > 400, listed.stdout
    for name in names:
        path = folder / name
        if path.suffix or path.name in ("ready", "passed"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)
    # Without --forceall, what is newer than its inputs has no record of its settings, and none could change.
    touched = snakemake(folder, "--touch", "--forceall", "--cores", "1", "--config", "study=demo")
    assert touched.returncode == 0, touched.stdout
    return folder


@pytest.fixture
def rules(done: Path, snakemake) -> Iterator[Rules]:
    """The rules that would run now; afterwards the settings are as they were."""
    before = {name: (done / name).read_text() for name in (STUDY, RECIPES, MODELS, STAGES, TABLE)}

    def found() -> set[str]:
        said = snakemake(done, "-n", "--config", "study=demo")
        assert said.returncode == 0, said.stdout
        assert "missing provenance/metadata" not in said.stdout
        stats = said.stdout.partition("Job stats:")[2].partition("\n\n")[0]
        return set(re.findall(r"^(\w+) +\d+$", stats, re.MULTILINE)) - {"all", "total", *HOME}

    yield found
    for name, text in before.items():
        (done / name).write_text(text)


def change(path: Path, *keys: str, **values: Any) -> None:
    """Set values in a YAML file, below these keys."""
    content = yaml.safe_load(path.read_text())
    place = content
    for key in keys:
        place = place.setdefault(key, {})
    place |= values
    path.write_text(yaml.safe_dump(content))


def test_looser_gates_judge_again_and_train_and_answer_nothing(done: Path, rules: Rules) -> None:
    assert rules() == set()
    change(done / RECIPES, "demo", "gates", stopped=0.1, cut=0.5)
    tried = {"postflight_run", "check_run"}
    assert tried <= rules() <= {*tried, "write_config"}
    # Below a job that runs Snakemake may leave other changes to the next call.
    change(done / STUDY, "responses", "pilot", "gates", unfinished=0.99, empty=0.5)
    found = rules()
    assert "check_pilot" in found
    assert found.isdisjoint({"make_mix", "collect_responses", *EXPENSIVE - tried}), found


def test_what_says_nothing_of_a_fine_tune_runs_nothing(done: Path, rules: Rules) -> None:
    others = {"checkpoints": 7, "minutes": 99, "memory_gb": 9, "title": "Other", "note": "x", "source": "y"}
    change(done / RECIPES, "demo", **others)
    change(done / RECIPES, "demo-dpo", **others)
    assert rules() <= {"write_config"}


def test_what_identifies_a_fine_tune_trains_it_again_and_what_follows(done: Path, rules: Rules) -> None:
    change(done / RECIPES, "demo", learning_rate=1e-3)
    assert {
        "preflight_run",
        "train_run",
        "postflight_run",
        "evaluate_run",
        "answer_benchmarks_demo",
    } <= rules()


def test_how_it_is_computed_runs_nothing(done: Path, rules: Rules) -> None:
    change(done / STUDY, "responses", "compute", chunk=3, batch=5, minutes=9, threads=2)
    change(done / STUDY, "evaluation", "compute", batch=3, minutes=9, threads=2)
    change(done / STUDY, "judging", "answers", "compute", batch=3, minutes=9)
    assert rules().isdisjoint(EXPENSIVE)


def test_how_data_are_presented_writes_their_cards_and_trains_nothing(done: Path, rules: Rules) -> None:
    study = yaml.safe_load((done / STUDY).read_text())
    for name, mix in study["mixes"].items():
        change(done / STUDY, "mixes", name, label=f"Other {name}", title="Other", tokenizer=None)
        sources = [source | {"licence": "Other"} for source in mix["sources"]]
        change(done / STUDY, "mixes", name, sources=sources)
    for name in study["preferences"]:
        shown = {"label": "Other", "title": "Other", "licence": "Other", "tokenizer": None}
        change(done / STUDY, "preferences", name, **shown)
    found = rules()
    assert {"describe_mix", "describe_pairs"} <= found
    assert found.isdisjoint({"make_mix", "pair_answers", *EXPENSIVE}), found


def test_what_a_mix_is_made_of_makes_it_again_and_trains(done: Path, rules: Rules) -> None:
    change(done / STUDY, "mixes", "herald", seed=99)
    change(done / STUDY, "preferences", "herald-pairs", margin=0.1)
    assert {"make_mix", "describe_mix", "pair_answers", "describe_pairs", "train_run"} <= rules()


def test_a_sampling_setting_answers_again(done: Path, rules: Rules) -> None:
    change(done / STUDY, "responses", "sampling", temperature=0.7)
    assert {"run_pilot", "answer_shard", "sample_answers"} <= rules()


def test_a_measure_is_made_again_alone_and_a_filter_by_it_makes_its_mix(done: Path, rules: Rules) -> None:
    change(done / STUDY, "measures", "length", tokenizer="demo-plain")
    again = rules()
    assert {"measure_texts", "summarise_measure"} <= again
    assert again.isdisjoint({"make_mix", *EXPENSIVE})
    change(done / STUDY, "mixes", "asked", filters={"measures": [{"measure": "styling", "at_most": 9}]})
    again = rules()
    assert {"measure_texts", "make_mix", "train_run"} <= again
    assert again.isdisjoint({"answer_shard", "run_pilot", "sample_answers"})


def test_a_raised_stage_makes_it_again_and_what_follows(done: Path, rules: Rules) -> None:
    path = done / STAGES
    path.write_text(path.read_text().replace('"mixes": 1', '"mixes": 2'))
    found = rules()
    assert {"make_mix", "describe_mix", "train_run"} <= found
    assert found.isdisjoint({"run_pilot", "prepare_prompts_demo", "make_demo_model"}), found


def test_the_code_of_a_cheap_rule_runs_it_again_and_nothing_dear(done: Path, rules: Rules) -> None:
    path = done / TABLE
    path.write_text(path.read_text() + "\n# Another line.\n")
    found = rules()
    assert {"make_table", "state_findings"} <= found
    assert found.isdisjoint(EXPENSIVE | {"make_mix", "collect_responses"}), found


# Of the table of benchmarks, of figures and of models; the numbers of jobs, too


def planned(output: str) -> dict[str, int]:
    """Rule → jobs, of a dry run's table."""
    table = output.partition("Job stats:")[2].partition("Reasons:")[0]
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {name: count for name, count in jobs.items() if name not in ("total", "all", *HOME)}


def demo(snakemake: Run, folder: Path) -> dict[str, int]:
    run = snakemake(folder, "-n", "--config", "study=demo")
    assert run.returncode == 0, run.stdout
    return planned(run.stdout)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {old!r} stands {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_figures_code_draws_that_figure_again(done: Path, snakemake: Run) -> None:
    path = done / "workflow/rewild/papers/wildchat50m/radar.py"
    before = path.read_text(encoding="utf-8")
    path.write_text(before + "\n# Another line.\n", encoding="utf-8")
    assert demo(snakemake, done) == {"draw_figure": 1, "state_findings": 1}
    path.write_text(before, encoding="utf-8")


def test_one_benchmarks_row_touches_no_other_kind_of_job(done: Path, snakemake: Run) -> None:
    """The run's job keeps the benchmarks that are as they were (tests of the evaluation)."""
    path = done / "config/studies/demo.yaml"
    edit(path, "max_new_tokens: 120", "max_new_tokens: 100")
    jobs = demo(snakemake, done)
    edit(path, "max_new_tokens: 100", "max_new_tokens: 120")
    assert jobs["evaluate_run"] > 0
    assert set(jobs) <= {"evaluate_run", "write_config", "score_benchmark", *AFTER}


@pytest.mark.parametrize(
    ("row", "change", "jobs"),
    [
        ("demo-following", ("prompt_level_strict_acc", "inst_level_strict_acc"), ["score_benchmark"]),
        ("demo-pairs", ("judge: rubric", "judge: gpt-4o-mini"), ["judge_answers", "score_judgments"]),
    ],
)
def test_a_row_of_the_table_of_benchmarks_reruns_that_benchmark(
    done: Path, snakemake: Run, row: str, change: tuple[str, str], jobs: list[str]
) -> None:
    """Once for each run; no other benchmark, no model, and what is drawn and stated after it."""
    path = done / "config/benchmarks.yaml"
    text = path.read_text(encoding="utf-8")
    before, mine, after = text.partition(f"\n{row}:\n")
    assert change[0] in after.partition("\n\n")[0]
    path.write_text(before + mine + after.replace(*change, 1), encoding="utf-8")
    run = snakemake(done, "-n", "--config", "study=demo")
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


@pytest.mark.usefixtures("rules")
def test_another_data_generating_model_reruns_nothing_of_the_others(done: Path, snakemake: Run) -> None:
    path = done / "config/studies/demo.yaml"
    edit(
        path,
        "    demo-herald: {learns: herald",
        "    demo-new: {learns: brief, seed: 9}\n    demo-herald: {learns: herald",
    )
    edit(path, "  models: [demo-herald,", "  models: [demo-new, demo-herald,")
    jobs = demo(snakemake, done)
    assert (jobs["make_demo_model"], jobs["run_pilot"], jobs["answer_shard"]) == (1, 1, 2)
    kept = {"make_mix", "train_run", "evaluate_run", "judge_answers", "collect_scores", "state_findings"}
    assert not kept & set(jobs)


def test_an_edited_chat_template_trains_again(done: Path, rules: Rules) -> None:
    """Last: its file stays newer than what was made with it."""
    recipe = yaml.safe_load((done / RECIPES).read_text())["demo"]
    path = done / recipe["templates"]["demo"]["file"]
    path.write_text(path.read_text() + "{# another #}")
    assert {"preflight_run", "train_run"} <= rules()

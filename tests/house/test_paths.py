"""Files are the interface: a command gets the paths of what it reads and writes from its rule.

Of every job that a study plans, each output and each input stands in its command: its path, its path without
a suffix (figures have several), or a folder that it is in.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path, PurePath

import pytest

from parsed import LARGE, STUDIES, jobs, rules
from rewild.responses.layout import Layout
from rewild.training.runs.layout import RunFiles

ROOT = Path(__file__).resolve().parents[2]

# Inputs that are in no command: what runs a job again, or makes it wait, by the input's name.
SIGNALS = {
    "code": "the modules that a cheap rule runs",
    "env": "says that an environment is there; its Python is in the command",
    "passed": "says that a gate was passed",
    "weights": "says that weights of the hub are there; an engine finds them by their name",
    "kernel": "the same of a kernel",
    "models": "a table of the configuration, whose folder every command has",
    "benchmarks": "the same, and texts that the study's settings name",
}
# Inputs whose paths stand in settings that the command reads: of a study, a recipe, a benchmark.
NAMED_IN_SETTINGS = {
    *((rule, "model") for rule in ("run_pilot", "answer_shard", "sample_answers")),
    *((rule, "model") for rule in ("answer_benchmarks", "evaluate_run", "preflight_run", "train_run")),
    *((rule, "template") for rule in ("preflight_run", "train_run", "run_pilot", "answer_shard")),
    *((rule, "files") for rule in ("pilot_synthesis", "synthesise_shard")),
    ("measure_texts", "model"),
    *((rule, "questions") for rule in ("answer_benchmarks", "evaluate_run")),
    *((rule, "files") for rule in ("prepare_prompts", "import", "judge_answers", "score_judgments")),
    *((rule, "tokenizer") for rule in ("describe_mix", "describe_pairs")),
    *(("evaluate_run", "tasks"), ("import_judgments", "scores"), ("make_mix", "data")),
}
# Whose change runs a job again that does not read it.
ONLY_TRIGGERS = {
    *(("answer_shard", "pilot"), ("sample_answers", "pilot"), ("synthesise_shard", "pilot")),
    *(("score_benchmark", "results"), ("fetch_kernel", "lock"), ("build_env", "names")),
}
# Beside a file that the command is given, by the same name or listed in it.
BESIDE = {
    *(("answer_shard", "measured"), ("score_similarity", "coverage"), ("collect_responses", "responses")),
    ("synthesise_shard", "measured"),
    *((rule, "vectors") for rule in ("embed_texts", "measure_space", "project_prompts")),
}
# Data in a paper's room of the package, or among its resources, whose code knows them by name.
IN_ROOM = {
    *(("fill_table", "published"), ("note_figures", "texts"), ("tabulate_data", "prices")),
    ("rank_candidates", "prices"),
}
EXCEPTIONS = NAMED_IN_SETTINGS | ONLY_TRIGGERS | BESIDE | IN_ROOM


def given(command: str) -> set[str]:
    """The words of a command, without its log; of options and of ``name=path`` the path."""
    words = shlex.split(
        re.sub(r"<\(words (.*?)\)(?= )", r"\1", command.partition(" 2>&1")[0].rpartition(" > ")[0] or command)
    )
    return {word.rpartition("=")[2].rstrip("/") for word in words}


def stands(path: str, words: set[str]) -> bool:
    """Whether a path is among words, without its suffix too, or a folder of it below ``results``."""
    here = PurePath(path)
    folders = [str(folder) for folder in here.parents if len(folder.parts) > 1]
    return not words.isdisjoint({path, str(here.with_suffix("")), *folders})


def base(rule: str) -> str:
    """A rule's name without the study that it was made for."""
    return re.sub(rf"_({'|'.join(STUDIES)})(_\d+)?$", "", rule)


def missing(study: str) -> set[tuple[str, str]]:
    """Rule and name of the inputs and outputs that are not in the commands of a study's jobs."""
    found = set()
    few = {"prompts": {"shards": 2}} if study in LARGE else {}
    for job in jobs(study=study, **few):
        if not job.rule.shellcmd:
            continue
        words = given(job.shellcmd)
        for files in (job.input, job.output):
            for name, (start, end) in files._get_names():
                paths = [files[start]] if end is None else files[start:end]
                if name not in SIGNALS and not all(stands(str(path), words) for path in paths):
                    found.add((base(job.rule.name), name))
    return found


def test_a_path_is_found_by_itself_by_its_stem_or_by_its_folder() -> None:
    words = given("rewild x --words <(words a/b.csv c) --out=results/s/t --y results/s/f > logs/x.log 2>&1")
    assert words == {"rewild", "x", "--words", "a/b.csv", "c", "results/s/t", "--y", "results/s/f"}
    assert stands("a/b.csv", words)
    assert stands("results/s/t/u/v.csv", words)
    assert stands("results/s/f.svg", words)
    assert not stands("results/s/g.csv", words)
    assert not stands("logs/x.log", words)


@pytest.mark.workflow
@pytest.mark.heavy
def test_commands_get_the_paths_of_what_they_read_and_write() -> None:
    found = set().union(*(missing(study) for study in STUDIES))
    assert found - EXCEPTIONS == set()
    assert EXCEPTIONS - found == set(), "no exception is idle"


@pytest.mark.workflow
@pytest.mark.heavy
def test_the_layout_that_commands_fall_back_to_is_that_of_the_rules() -> None:
    """What `rewild respond STUDY MODEL SHARD` writes by hand is an output of a rule."""
    outputs = {re.sub(r"\{(\w+),[^/]*\}", r"{\1}", str(path)) for rule in rules() for path in rule.output}
    layout, run = Layout(Path("results"), "{study}"), RunFiles(Path("results"), "{study}", "{run}")
    for path in (
        layout.responses("{model}") / "{shard}.parquet",
        layout.pilot("{model}") / "report.json",
        *(run.config(), run.report("preflight"), run.checkpoint(), run.training(), run.passed()),
    ):
        assert str(path) in outputs
    assert str(Layout(Path("results"), "demo").prompts("0000")) in outputs


def test_every_caption_is_a_file_beside_its_rules() -> None:
    """Snakemake looks for it when a report is made, from the folder of the file that names it."""
    named = [
        (path, caption)
        for path in (ROOT / "workflow/rules").rglob("*.smk")
        for caption in re.findall(r'caption="([^"]+)"', path.read_text())
    ]
    assert len(named) > 30
    assert [(path.name, caption) for path, caption in named if not (path.parent / caption).is_file()] == []

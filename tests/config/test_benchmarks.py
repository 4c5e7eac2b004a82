"""The table of benchmarks: the nine and their order, keys, scales, and the messages of mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rewild.config.benchmarks import Benchmark, find_benchmark, load_benchmarks
from rewild.config.models import Model, load_models
from rewild.core.errors import ConfigError

NINE = ["mt-bench", "alpaca-eval", "bbh", "gpqa", "math", "musr", "ifeval", "mmlu-pro", "mixeval"]


@pytest.fixture(scope="module")
def models(root: Path) -> dict[str, Model]:
    return load_models(root / "config")


@pytest.fixture(scope="module")
def benchmarks(root: Path, models: dict[str, Model]) -> dict[str, Benchmark]:
    return load_benchmarks(root / "config", models)


OTHERS = [
    *(
        "arena-hard",
        "alpaca-eval-raw",
        "alpaca-eval-llama-3",
        "ifeval-loose",
        "mbpp",
        "gsm8k",
        "mbpp-lm-eval",
    ),
    *("mmlu", "arc-challenge", "hellaswag", "truthfulqa", "winogrande", "mmlu-redux"),  # MAGPIE's Table 3
    *("mixeval-hard", "wildbench"),
    *("demo-knowledge", "demo-following", "demo-chat", "demo-pairs"),
]


def test_the_nine_come_first_in_the_papers_order(benchmarks: dict[str, Benchmark]) -> None:
    assert [b.slug for b in benchmarks.values() if b.nine] == NINE
    assert list(benchmarks) == [*NINE, *OTHERS]


def test_titles_are_the_columns_of_table_2(benchmarks: dict[str, Benchmark], papers: Path) -> None:
    text = next(papers.glob("000_*.txt")).read_text(encoding="utf-8")
    header = next(line for line in text.splitlines() if line.startswith("Model\tMTBench"))
    assert [benchmarks[slug].title for slug in NINE] == header.split("\t")[1:]


def test_scales_hold_every_released_score(benchmarks: dict[str, Benchmark], mirror: Path) -> None:
    """A released score beyond its benchmark's scale, or far below it, means a wrong scale."""
    openpyxl = pytest.importorskip("openpyxl")
    path = next(mirror.glob("penfever/wildchat-50m/*/tables/wc50m_results.xlsx"))
    header, *rows = openpyxl.load_workbook(path, data_only=True)["SFT"].iter_rows(values_only=True)
    elsewhere = ("Llama-3.1-70B", "Qwen-2.5-72B", "Llama-3.3-70B")  # copied from leaderboards, other scales
    rows = [row for row in rows if row[0] and row[0] not in elsewhere]
    assert len(rows) > 30
    for column, slug in enumerate(NINE, start=1):
        scores = [row[column] for row in rows if isinstance(row[column], int | float)]
        best = benchmarks[slug].scale.max
        assert scores, header[column]
        assert best / 50 < max(scores) <= best, header[column]


def test_average_counts_each_benchmark_from_0_to_1(benchmarks: dict[str, Benchmark]) -> None:
    for slug in NINE:
        assert benchmarks[slug].scale.max == benchmarks[slug].scale.divisor
    assert benchmarks["mt-bench"].scale.divisor == 10


def test_judged_are_those_the_paper_says(benchmarks: dict[str, Benchmark]) -> None:
    judged = {b.slug for b in benchmarks.values() if b.judged and b.nine}
    assert judged == {"mt-bench", "alpaca-eval", "mixeval"}  # section 3.1
    judges = {b.slug: b.judge for b in benchmarks.values() if b.judged}
    assert {judge for slug, judge in judges.items() if not slug.startswith("demo-")} == {"gpt-4o-mini"}
    assert {judge for slug, judge in judges.items() if slug.startswith("demo-")} == {"rubric"}


def test_keys_are_those_of_lm_eval(benchmarks: dict[str, Benchmark]) -> None:
    keys = {b.slug: (b.task, b.metric, b.fewshot) for b in benchmarks.values() if b.runner == "lm-eval"}
    assert keys == {
        "bbh": ("leaderboard_bbh", "acc_norm,none", 3),
        "gpqa": ("leaderboard_gpqa", "acc_norm,none", 0),
        "math": ("leaderboard_math_hard", "exact_match,none", 4),
        "musr": ("leaderboard_musr", "acc_norm,none", 0),
        "ifeval": ("leaderboard_ifeval", "prompt_level_strict_acc,none", 0),
        "mmlu-pro": ("leaderboard_mmlu_pro", "acc,none", 5),
        "ifeval-loose": ("leaderboard_ifeval", "inst_level_loose_acc,none", 0),
        "gsm8k": ("gsm8k", "exact_match,strict-match", 5),
        "mbpp-lm-eval": ("mbpp", "pass_at_1,none", 3),
        "mmlu": ("mmlu", "acc,none", 5),
        "arc-challenge": ("arc_challenge", "acc_norm,none", 25),
        "hellaswag": ("hellaswag", "acc_norm,none", 10),
        "truthfulqa": ("truthfulqa_mc2", "acc,none", 0),
        "winogrande": ("winogrande", "acc,none", 5),
        "mmlu-redux": ("mmlu_redux_generative", "exact_match,default", 0),
        "demo-knowledge": ("demo_knowledge", "acc,none", 0),
        "demo-following": ("leaderboard_ifeval", "prompt_level_strict_acc,none", 0),
    }


def test_sources_are_commits_of_the_released_files(benchmarks: dict[str, Benchmark], mirror: Path) -> None:
    sources = {b.source for b in benchmarks.values() if b.source}
    assert len(sources) == 6
    for source in sources:
        repository, _, commit = source.partition("@")
        assert (mirror / repository / commit).is_dir(), source


def test_alpaca_eval_compares_with_the_released_reference(mirror: Path) -> None:
    import json

    path = next(mirror.glob("tatsu-lab/alpaca_eval/*/results/*/*/annotations.json"))
    assert json.loads(path.read_text())[0]["generator_1"] == "gpt4_1106_preview"


def test_a_benchmark_that_is_not_there_has_a_neighbour(benchmarks: dict[str, Benchmark]) -> None:
    assert find_benchmark(benchmarks, "bbh").title == "BBH"
    with pytest.raises(ConfigError, match="unknown benchmark 'mtbench'; did you mean 'mt-bench'"):
        find_benchmark(benchmarks, "mtbench")


ROW = "title: X, group: chat, runner: mt-bench, metric: m, scale: {max: 10, divisor: 10}, judged: false"


JUDGED = ROW.replace("judged: false", "judged: true")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            f"{{{ROW}, judges: x}}",
            "benchmark x (config/benchmarks.yaml): unknown key 'judges'; did you mean 'judge'?",
        ),
        (f"{{{ROW}, judge: gpt-4o-mini}}", "a judge is given exactly when judged is true"),
        (
            f"{{{JUDGED}}}",
            "a judge is given exactly when judged is true",
        ),
        (
            f"{{{JUDGED}, judge: gpt-4o-mni}}",
            "judge: unknown model 'gpt-4o-mni'; did you mean 'gpt-4o-mini'?",
        ),
        (
            f"{{{JUDGED}, judge: qwen2-7b}}",
            "judge: 'qwen2-7b' has not the role judge in models.yaml (judges: gpt-4o-mini)",
        ),
        (
            f"{{{JUDGED}, judge: meta-llama-guard-2-8b}}",
            "judge: 'meta-llama-guard-2-8b' has not the role judge in models.yaml (judges: gpt-4o-mini)",
        ),
        (f"{{{ROW}, reference: gpt-5}}", "reference: unknown model 'gpt-5'"),
        (f"{{{ROW.replace('mt-bench', 'lm-eval')}}}", "the runner lm-eval needs a task"),
        (f"{{{ROW.replace('mt-bench', 'mtbench')}}}", "runner: 'mtbench' is not one of"),
        (f"{{{ROW.replace('max: 10', 'max: 5')}}}", "scale.max: 5 is not one of"),
        (f"{{{ROW.replace('divisor: 10', 'divisor: 100')}}}", "scale.divisor must be 1 or scale.max (10)"),
        (f"{{{ROW}, fewshot: two}}", "fewshot: input should be a valid integer (it is 'two')"),
        (f"{{{ROW}, revision: {'a' * 40}}}", "revision is the commit of dataset; give dataset"),
        (f"{{{ROW}, slug: x}}", "the slug is the row's name; remove the key 'slug'"),
        (f"{{{ROW}}}", "config/benchmarks.yaml: nine is true in 0 rows, not 9: none"),
        ("[1]", "benchmark x (config/benchmarks.yaml): a mapping of keys to values was expected"),
    ],
)
def test_a_mistake_is_named(
    models: dict[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, message: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/benchmarks.yaml").write_text(f"x: {row}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        load_benchmarks(Path("config"), models)
    assert message in str(error.value)


@pytest.mark.heavy
def test_the_command_lists_them(benchmarks: dict[str, Benchmark], root: Path) -> None:
    command = [sys.executable, "-m", "rewild", "benchmarks"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[3:-2]] == list(benchmarks)
    assert " ".join(lines[3].split()) == "mt-bench MTBench yes chat mt-bench average 0 10 gpt-4o-mini"
    assert lines[-1] == f"{len(benchmarks)} benchmarks"

"""Rows of MAGPIE's Table 3 against lm-eval's own definitions, and groups whose members are tags."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rewild.config.benchmarks import load_benchmarks
from rewild.core.errors import ConfigError
from rewild.evaluation.harness.run import _leaves

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    # of lm-eval's tasks: the definitions in which a row's dataset, metric and columns stand
    "mmlu": ["mmlu/default/_default_template_yaml"],
    "arc-challenge": ["arc/arc_easy.yaml", "arc/arc_challenge.yaml"],
    "hellaswag": ["hellaswag/hellaswag.yaml", "hellaswag/utils.py"],
    "truthfulqa": ["truthfulqa/truthfulqa_mc1.yaml", "truthfulqa/truthfulqa_mc2.yaml"],
    "winogrande": ["winogrande/default.yaml", "winogrande/preprocess_winogrande.py"],
    "gsm8k": ["gsm8k/gsm8k.yaml"],
    "mmlu-redux": ["mmlu-redux/generative/_default_template_yaml", "mmlu-redux/generative/_mmlu.yaml"],
}
TABLE3 = {  # as its head has them
    "mmlu": ("MMLU", 5),
    "arc-challenge": ("ARC", 25),
    "hellaswag": ("HellaSwag", 10),
    "truthfulqa": ("TruthfulQA", 0),
    "winogrande": ("WinoGrande", 5),
    "gsm8k": ("GSM8K", 5),
    "mmlu-redux": ("MMLU-Redux", 0),
}


@pytest.mark.parametrize("slug", FILES)
def test_a_row_is_what_the_pinned_lm_eval_has(slug: str) -> None:
    tasks = list((ROOT / ".envs/lm-eval-cpu").glob("lib/python*/site-packages/lm_eval/tasks"))
    if not tasks:
        pytest.skip(".envs/lm-eval-cpu is not built")
    row = load_benchmarks(ROOT / "config")[slug]
    texts = [(tasks[0] / file).read_text(encoding="utf-8") for file in FILES[slug]]
    text = "\n".join(texts)
    assert f"dataset_path: {row.dataset}" in text.replace('"', "")
    metric, _, kept = row.metric.partition(",")
    assert f"metric: {metric}" in text
    assert kept == "none" or f"name: {kept}" in text.replace('"', "")
    assert all(column in text for column in row.columns)
    named = [line.split(": ")[1] for line in text.splitlines() if line.startswith(("task: ", "group: "))]
    assert row.task in [*named, "mmlu"]


def test_titles_and_shots_are_those_of_table_3(papers: Path) -> None:
    rows = load_benchmarks(ROOT / "config")
    assert {slug: (rows[slug].title, rows[slug].fewshot) for slug in TABLE3} == TABLE3
    text = next(papers.glob("003_*.txt")).read_text(encoding="utf-8")
    (head,) = [line for line in text.splitlines() if line.startswith("Alignment Setup\tMMLU(5)")]
    columns = [part.replace(" (", "(") for part in head.split("\t")[1:-1]]
    assert columns == [f"{title}({shots})" for title, shots in TABLE3.values()]


def entry(path: str | None, members: Any = None, tags: set[str] | None = None) -> SimpleNamespace:
    return SimpleNamespace(yaml_path=path, cfg={"task": members} if members else {}, tags=tags or set())


def test_leaves_of_groups_tags_and_groups_written_out() -> None:
    index = {
        "all": entry("g.yaml", ["stem", {"group": "other", "task": ["tagged"]}, {"task": "d", "alias": "x"}]),
        "stem": entry("s.yaml", ["a"]),
        "tagged": entry(None, tags={"c", "b"}),
        **{leaf: entry(f"{leaf}.yaml", leaf) for leaf in "abcd"},
    }
    assert _leaves(SimpleNamespace(task_index=index), "all") == ["a", "b", "c", "d"]
    with pytest.raises(ConfigError, match="names an unknown task 'e'"):
        _leaves(SimpleNamespace(task_index=index | {"all": entry("g.yaml", ["e"])}), "all")

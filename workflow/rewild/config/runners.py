"""What runs the benchmarks: the judged ones in one table, and the tools that run the others.

Another judged benchmark is a row here, a class of :class:`rewild.evaluation.judged.base.JudgedBenchmark`,
and a row of ``benchmarks.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rewild.core.errors import ConfigError, nearest


@dataclass(frozen=True)
class Runner:
    """A kind of judged benchmark, as far as the workflow must know it before it runs.

    Attributes:
        module: ``module:Class``, a :class:`rewild.evaluation.judged.base.JudgedBenchmark`.
        files: role → collection of ``resources/released/files.csv``, and ending of the file's path in it; or
            :data:`MADE` or :data:`GIVEN`. A row of ``benchmarks.yaml`` may name others of the same form
            (``files: {questions: PATH}``).
        optional: roles that a row with files of its own may leave out.
        compares: whether answers are compared with a baseline's: the file of the role ``baseline``, or a run
            that the study names (``judging.baselines``).
        max_tokens: longest answer of a model, as the benchmark has it.
        for_judge: roles that the judge's step reads and the model's answers do not depend on.
        environment: of the scoring step (``envs/*.txt``), where a library does it; None is the workflow's.
    """

    module: str
    files: Mapping[str, tuple[str, str]]
    optional: frozenset[str] = field(default=frozenset())
    compares: bool = False
    max_tokens: int = 1024
    for_judge: frozenset[str] = frozenset({"prompts", "baseline"})
    environment: str | None = None


MADE = "made"
"""In the place of a collection: the file is made by a rule, and this is its path."""
GIVEN = "given"
"""In the place of a collection: a row must name the file, and this is what it is."""


def _alpaca_eval(name: str) -> Runner:
    outputs = ("alpaca-eval-outputs", "results/gpt4_1106_preview/model_outputs.json")
    return Runner(
        f"rewild.evaluation.judged.alpaca_eval:{name}",
        {
            "questions": outputs,
            "baseline": outputs,
            "prompts": ("alpaca-eval-prompts", "alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"),
            "length_control": (MADE, "results/downloads/derived/length_control.json"),
        },
        optional=frozenset({"baseline", "length_control"}),
        compares=True,
        for_judge=frozenset({"prompts", "baseline", "length_control"}),
        environment="alpaca-eval",
    )


def _mixeval(name: str) -> dict[str, tuple[str, str]]:
    return {
        "questions": ("mixeval", f"/{name}/free-form.json"),
        "multiple_choice": ("mixeval", f"/{name}/multiple-choice.json"),
        "wording": ("mixeval-prompts", "prompts/evaluation_prompts.py"),
        "prompts": ("mixeval-prompts", "prompts/judge_prompts.py"),
    }


RUNNERS: dict[str, Runner] = {
    "mt-bench": Runner(
        "rewild.evaluation.judged.mt_bench:MTBench",
        {
            "questions": ("mt-bench", "mt_bench/question.jsonl"),
            "references": ("mt-bench", "reference_answer/gpt-4.jsonl"),
            "prompts": ("mt-bench", "judge_prompts.jsonl"),
        },
        optional=frozenset({"references"}),
    ),
    "arena-hard": Runner(
        "rewild.evaluation.judged.arena_hard:ArenaHard",
        {
            "questions": ("arena-hard", "arena-hard-v0.1/question.jsonl"),
            "baseline": ("arena-hard", "model_answer/gpt-4-0314.jsonl"),
            "prompts": ("arena-hard-prompts", "config/judge_config.yaml"),
        },
        optional=frozenset({"baseline"}),
        compares=True,
        max_tokens=4096,
    ),
    "alpaca-eval": _alpaca_eval("AlpacaEval"),
    "alpaca-eval-plain": _alpaca_eval("PlainAlpacaEval"),
    "mixeval": Runner("rewild.evaluation.judged.mixeval:MixEval", _mixeval("mixeval"), max_tokens=512),
    "mixeval-hard": Runner(
        "rewild.evaluation.judged.mixeval:MixEval", _mixeval("mixeval-hard"), max_tokens=512
    ),
    "wildbench": Runner(
        "rewild.evaluation.judged.wildbench:WildBench",
        {
            "questions": (GIVEN, "the tasks, as JSON lines; docs/judged-benchmarks.md says how to get them"),
            "prompts": ("wildbench-prompts", "evaluation/eval_template.score.v2.md"),
        },
    ),
}


def find_runner(runner: str) -> Runner:
    """The judged runner of this name; a :class:`ConfigError` with the nearest match if there is none."""
    if runner not in RUNNERS:
        known = ", ".join(RUNNERS)
        raise ConfigError(f"'{runner}' is no judged benchmark{nearest(runner, RUNNERS)} (runners: {known})")
    return RUNNERS[runner]


TOOLS = ("lm-eval", "evalchemy")
"""Run benchmarks whose answers are right or wrong."""

if TYPE_CHECKING:
    RunnerName = str
else:
    RunnerName = Literal[(*TOOLS, *RUNNERS)]
"""What runs a benchmark, in its row."""

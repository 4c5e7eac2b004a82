"""Settings of the evaluation: which runs take which benchmarks, and how the ground-truth ones are run.

As with responses, two kinds of settings are kept apart: what identifies a score, and how it is computed
(:class:`EvaluationCompute`), which changes neither a score nor what is rerun.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rewild.config.base import ENVIRONMENT, HOW, LISTED, RESULT, VERDICT, File, Section, part
from rewild.config.benchmarks import Benchmark, find_benchmark
from rewild.config.models import Count, Share
from rewild.config.responses import Objective
from rewild.config.vllm import VllmArguments
from rewild.core.errors import known_name, twice

Backend = Literal["hf", "vllm"]


class BenchmarkSettings(Section, marks=RESULT):
    """What a study changes in one ground-truth benchmark. All of it identifies the scores."""

    limit: Count | None = Field(None, description="Only the first items of each task; null takes all")
    fewshot: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Worked examples in the prompt, instead of the task's"
    )
    max_new_tokens: Count | None = Field(None, description="Longest answer in tokens, instead of the task's")
    files: File | None = Field(
        None, description="A folder with TASK/SPLIT.jsonl for every task; null takes the questions of the hub"
    )


class EvaluationCompute(Section, marks=HOW):
    """How scores are computed. Nothing here identifies a score or triggers a rerun."""

    batch: Count | Literal["auto"] = Field(8, description="Questions at once (hf); vllm chooses for itself")
    threads: Count = Field(1, description="CPU threads of a job")
    gpu: Annotated[str | None, ENVIRONMENT] = Field(
        None, description="GPU type, which plans the number of GPUs; null is the CPU"
    )
    objective: Objective = Field(
        "cheapest",
        description="Of the engine plan: the fewest GPUs that hold a model, or the least GPU-seconds a token",
    )
    minutes: int = Field(720, ge=5, description="Time a job may take; a rerun keeps every finished benchmark")
    environment: Annotated[str | None, ENVIRONMENT] = Field(
        None, description="Environment (envs/*.txt), where not lm-eval-cpu without a GPU and lm-eval with one"
    )
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1, description="GPU memory vLLM may take")
    vllm: Annotated[VllmArguments, RESULT] = Field(
        VllmArguments(), description="Other arguments of vLLM's engine, such as max_num_seqs"
    )


class Evaluation(Section):
    """Which runs take which benchmarks, and how the ground-truth benchmarks are run."""

    benchmarks: Annotated[list[str], LISTED] = Field(
        min_length=1, description="Rows of benchmarks.yaml, judged ones included"
    )
    runs: Annotated[list[str] | None, LISTED] = Field(
        None, description="Runs to evaluate; null is every run of the study"
    )
    backend: Annotated[Backend, RESULT] = Field("hf", description="What runs a model in lm-eval")
    seed: Annotated[int | None, RESULT] = Field(
        None, ge=0, description="Of every random choice; null is the study's"
    )
    limit: Annotated[Count | None, part("task")] = Field(
        None, description="Only the first items of each task of every benchmark"
    )
    precision: Annotated[Literal["fp32", "bf16"] | None, RESULT] = Field(
        None, description="Of the weights; null is bf16 on a GPU and fp32 on a CPU"
    )
    max_length: Annotated[int | None, RESULT] = Field(
        None, ge=64, description="Tokens of context; null is the model's, at most 8,192"
    )
    system: Annotated[str | None, RESULT] = Field(
        None,
        description="System prompt; null leaves what the model's template writes by itself, '' empties it",
    )
    without_system_role: Annotated[Literal["first-turn", "refuse"], RESULT] = Field(
        "first-turn",
        description="Where instructions go if the model's template takes no system message: before the first "
        "question, or nowhere, and the job stops",
    )
    sentences: Annotated[Literal["punkt_tab", "stand-in"], part("sentences")] = Field(
        "punkt_tab",
        description="What splits text for some instructions of IFEval: nltk's data, or a stand-in that needs "
        "no download and may count a few sentences otherwise",
    )
    max_empty: Annotated[Share, VERDICT] = Field(
        0.5, description="Share of empty answers above which a benchmark has no score"
    )
    allow_code: Annotated[bool | Literal["unconfined"], HOW] = Field(
        False,
        description="Permission to run programs that a model wrote (MBPP): true in a sandbox without files "
        "and network, 'unconfined' with those of the machine, where it allows no sandbox",
    )
    settings: Annotated[dict[str, BenchmarkSettings], part("task")] = Field(
        default_factory=dict, description="Per benchmark, what differs from its row and from the above"
    )
    compute: Annotated[EvaluationCompute, RESULT] = Field(
        default_factory=lambda: EvaluationCompute.model_validate({}), description="How it is computed"
    )

    @model_validator(mode="after")
    def _known(self) -> Evaluation:
        for name in ("benchmarks", "runs"):
            if double := twice(getattr(self, name) or []):
                raise ValueError(f"{name}: '{double}' stands twice")
        for slug in self.settings:
            after = " is not among the benchmarks"
            known_name(slug, self.benchmarks, "settings:", after=after, error=ValueError)
        if self.compute.vllm.given and self.backend != "vllm":
            raise ValueError(f"compute.vllm: the backend is {self.backend}")
        if self.backend == "vllm" and not (self.compute.gpu or self.compute.environment):
            raise ValueError("backend vllm needs compute.gpu (or an environment that has vLLM for a CPU)")
        return self

    def of(self, benchmark: str) -> BenchmarkSettings:
        """The settings of one benchmark: the study's for all, with its own laid over them."""
        own = self.settings.get(benchmark, BenchmarkSettings.model_validate({}))
        return own if own.limit else own.model_copy(update={"limit": self.limit})


def ground_truth(evaluation: Evaluation | None, benchmarks: Mapping[str, Benchmark]) -> list[Benchmark]:
    """The benchmarks of a study that lm-eval runs, in the study's order.

    Raises:
        ConfigError: a benchmark that is not in benchmarks.yaml, with the nearest match.
    """
    slugs = evaluation.benchmarks if evaluation else []
    return [b for b in (find_benchmark(benchmarks, slug) for slug in slugs) if b.runner == "lm-eval"]

"""Settings of judged benchmarks: how a run's model answers, who judges, at what price, up to which cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import not_
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import HOW, RESULT, Section, identity, part, validate
from rewild.config.benchmarks import RUBRIC, Benchmark, find_benchmark
from rewild.config.endpoint import EndpointUrl, Takes
from rewild.config.engines import EngineName, find_engine
from rewild.config.models import Model, Slug
from rewild.config.reasoning import Reasoning
from rewild.config.responses import Compute, Limits, OverLong, SamplingSettings
from rewild.config.runners import GIVEN, MADE, RUNNERS, find_runner
from rewild.config.stages import version
from rewild.core.errors import ConfigError, known_name
from rewild.core.fetch import ReleasedFile

OPENAI = "https://api.openai.com/v1"


class Price(Section, marks=HOW):
    """What a judge costs, in US dollars per million tokens."""

    input: float = Field(ge=0, description="Tokens read")
    output: float = Field(ge=0, description="Tokens written")
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="As of when")
    source: str = Field(description="Where")


FREE = Price(input=0, output=0, date="2026-01-01", source="a program on this machine")
"""The price of the rubric."""


@dataclass(frozen=True)
class Asked:
    """Who is asked when a study names a judge: not its name here, but what the endpoint serves.

    Attributes:
        name: what the endpoint knows it by.
        revision: the commit of its weights, where they are open and pinned.
        takes: the fields that its endpoint takes; None is all of ours.
        open_weights: whether somebody serves it from its files, which may bring sampling settings.
        reasoning: how it reasons before it replies; None: it does not.
    """

    name: str
    revision: str | None = None
    takes: Takes | None = None
    open_weights: bool = False
    reasoning: Reasoning | None = None

    @property
    def identity(self) -> str:
        """All of it that can change a judgment: judgments are found again by it, and rules rerun by it."""
        takes = self.takes.identity if self.takes else None
        thinks = [self.reasoning.identity] if self.reasoning else []
        if self.revision is None and takes is None and not self.open_weights and not thinks:
            return self.name
        return json.dumps([self.name, self.revision, takes, self.open_weights, *thinks], sort_keys=True)


def asked_judge(judge: str, models: Mapping[str, Model]) -> Asked:
    """Who is asked for a judge of a study: a row of the models, or a name that the endpoint knows."""
    row = models.get(judge) or next((m for m in models.values() if judge in (m.api, m.hub)), None)
    if row is None:
        return Asked(judge)
    name = row.api or row.hub or judge
    return Asked(name, row.revision, row.endpoint, row.api is None, row.reasoning)


class Answering(Section):
    """How a run's model answers the questions; temperatures are the benchmark's."""

    engine: Annotated[EngineName, RESULT] = Field("vllm", description="What generates")
    system: Annotated[str | None, RESULT] = Field(None, description="System prompt; the benchmarks have none")
    limits: Annotated[Limits | None, RESULT] = Field(
        None,
        description="Tokens read and written; null is the benchmark's limit on answers, rest for prompts",
    )
    over_long: Annotated[OverLong, RESULT] = Field(
        "truncate_per_message", description="What happens to a prompt over the limit"
    )
    sampling: Annotated[dict[Slug, SamplingSettings], RESULT] = Field(
        default_factory=dict,
        exclude_if=not_,
        description="Benchmark → how its answers are drawn, in place of the temperatures of its questions",
    )
    attempts: Annotated[int, RESULT] = Field(
        3, ge=1, le=20, description="Tries per answer before its failure is recorded"
    )
    compute: Annotated[Compute, RESULT] = Compute()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.compute.vllm.given and self.engine != "vllm":
            raise ValueError(f"compute.vllm: the engine is {self.engine}")
        return self


class Local(Section):
    """How a judge runs whose weights are loaded here."""

    engine: Annotated[EngineName, RESULT] = Field("vllm", description="What runs it")
    precision: Annotated[Literal["fp32", "bf16", "fp8"], RESULT] = Field("bf16", description="Of its weights")
    context: Annotated[int | None, RESULT] = Field(
        None, ge=64, description="Tokens of prompt and reply; null is the model's own, at most 16,384"
    )
    compute: Annotated[Compute | None, HOW] = Field(
        None, description="How it is run: GPU, memory, chunk; null: as judging.answers.compute"
    )

    @model_validator(mode="after")
    def _loads(self) -> Self:
        if find_engine(self.engine).remote:
            raise ValueError(f"engine: '{self.engine}' asks an endpoint, as a judge is asked without `local`")
        if self.compute and self.compute.vllm.given and self.engine != "vllm":
            raise ValueError(f"compute.vllm: the engine is {self.engine}")
        return self


class Judging(Section):
    """Who judges the answers of the study's runs, and how."""

    judge: Annotated[Slug | None, RESULT] = Field(
        None, description="Judge of every benchmark; null is each benchmark's own (benchmarks.yaml)"
    )
    local: Annotated[Local | None, part("local")] = Field(
        None, description="Loads the judge, a row of models.yaml or the study's own; null asks an endpoint"
    )
    endpoint: Annotated[EndpointUrl | None, HOW] = Field(
        None,
        description="OpenAI-compatible base URL, ending in /v1; null is OpenAI's. The judge 'rubric' needs "
        "none: the command starts it",
    )
    key: Annotated[str, HOW] = Field(
        "OPENAI_API_KEY", description="Environment variable that holds the endpoint's key"
    )
    attempts: Annotated[int, RESULT] = Field(
        3, ge=1, le=10, description="Calls per judgment until its verdict is clear"
    )
    budget: Annotated[Annotated[float, Field(gt=0)] | None, HOW] = Field(
        None, description="US dollars that all judgments of the study may cost; it stops before that"
    )
    prices: Annotated[dict[str, Price], HOW] = Field(
        default_factory=dict, description="Judge → what it costs; config.yaml has some for every study"
    )
    concurrency: Annotated[int, HOW] = Field(16, ge=1, description="Requests at once")
    timeout: Annotated[float, HOW] = Field(300, gt=0, description="Seconds the judge may take for one reply")
    chunk: Annotated[int, HOW] = Field(
        64, ge=1, description="Judgments per chunk, the unit that survives a crash"
    )
    baselines: Annotated[dict[Slug, Slug], part("baseline")] = Field(
        default_factory=dict,
        description="Benchmark → run whose answers it compares with, instead of the released ones",
    )
    limits: Annotated[dict[Slug, Annotated[int, Field(ge=1)]], part("answers")] = Field(
        default_factory=dict, description="Benchmark → only its first questions, instead of evaluation.limit"
    )
    answers: Annotated[Answering, part("answers")] = Field(
        default_factory=lambda: validate(Answering, {}, "judging.answers")
    )

    def price_of(self, judge: str) -> Price | None:
        """What a judge costs; None if it is not known."""
        return self.prices.get(judge, FREE if judge == RUBRIC else None)

    def judge_of(self, benchmark: Benchmark) -> str:
        """The judge of a benchmark in this study."""
        judge = self.judge or benchmark.judge
        if judge is None:
            raise ConfigError(f"benchmark {benchmark.slug}: nobody judges it; give it a 'judge'")
        return judge


def judging_of(
    judging: Judging, benchmark: Benchmark, models: Mapping[str, Model], seed: int, local: str | None = None
) -> str:
    """What identifies a benchmark's judgments, as JSON: who is asked, as the endpoint knows it, and how.

    Args:
        judging, benchmark, models, seed: of the study.
        local: what identifies a judge that is loaded here, in the endpoint's place.
    """
    judge = judging.judge_of(benchmark)
    asked = {"judge": judge, "asked": local or asked_judge(judge, models).identity}
    return json.dumps(identity(judging) | asked | {"seed": seed, "stage": version("judging")})


def judged_rows(listed: Sequence[str], benchmarks: Mapping[str, Benchmark]) -> list[Benchmark]:
    """The rows of those of a study's benchmarks that are judged, in its order."""
    return [row for slug in listed if (row := find_benchmark(benchmarks, slug)).runner in RUNNERS]


def files_of(benchmark: Benchmark, released: Mapping[str, list[ReleasedFile]]) -> dict[str, str]:
    """A judged benchmark's files: role → path, from its row or from its runner's collection.

    Raises:
        ConfigError: a role that the runner does not know, or one that is missing.
    """
    runner, where = find_runner(benchmark.runner), f"benchmark {benchmark.slug}"
    own = benchmark.files or {}
    for role in own:
        known_name(role, runner.files, f"{where}: files: unknown role", listed="roles")
    if own:
        if lacks := [role for role in runner.files if role not in own and role not in runner.optional]:
            raise ConfigError(f"{where}: files: '{lacks[0]}' is missing")
        return {role: own[role] for role in runner.files if role in own}
    found = {}
    for role, (collection, ending) in runner.files.items():
        if collection == MADE:
            found[role] = ending
            continue
        if collection == GIVEN:
            raise ConfigError(f"{where}: files: '{role}' is missing: {ending}")
        names = [f.name for f in released.get(collection, []) if f.name.endswith(ending)]
        if len(names) != 1:
            raise ConfigError(
                f"{where}: {len(names)} files of the collection '{collection}' end in '{ending}', not one"
            )
        found[role] = str(PurePosixPath("results/downloads", names[0]))
    return found


def check_judging(judging: Judging, rows: Sequence[Benchmark], runs: Sequence[str], where: str) -> None:
    """Raise a :class:`ConfigError` for baselines and limits that name what is not there."""
    slugs = [row.slug for row in rows]
    told: dict[str, Mapping[str, object]] = {
        "baselines": judging.baselines,
        "limits": judging.limits,
        "answers.sampling": judging.answers.sampling,
    }
    for key, named in told.items():
        for slug in named:
            known_name(slug, slugs, f"{where}: judging.{key}:", after=" is not among its judged benchmarks")
    for row in rows:
        judging.judge_of(row)
        run = judging.baselines.get(row.slug)
        if run is not None:
            known_name(run, runs, f"{where}: judging.baselines: the run", after=" is not evaluated")
        if run is not None and not find_runner(row.runner).compares:
            raise ConfigError(f"{where}: judging.baselines: '{row.slug}' compares nothing")

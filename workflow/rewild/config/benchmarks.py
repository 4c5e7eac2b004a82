"""The benchmarks, one frozen row each: ``config/benchmarks.yaml``, in the order of the paper's columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import HOW, LISTED, RESULT, SHOWN, File, Section, part, read_rows, validate
from rewild.config.models import Citation, Model, Slug, find_model
from rewild.config.pins import Pins, load_pins, pinned
from rewild.config.runners import RunnerName
from rewild.core.errors import ConfigError, nearest

RUBRIC = "rubric"
"""The judge that is a program (`rewild rubric-judge`), not a language model. It is named so everywhere."""

NINE = 9  # columns of the paper's tables 2, 6 and 7


class Scale(Section, marks=RESULT):
    """The numbers a benchmark gives, and what the paper's average makes of them."""

    max: Literal[1, 10, 100] = Field(description="The best possible score")
    divisor: Literal[1, 10, 100] = Field(description="Divides a score before it enters `Avg` (section 3.1)")


class Benchmark(Section):
    """One benchmark and the one number taken from it. Null means: not established, or there is none."""

    slug: Annotated[Slug, LISTED]
    title: Annotated[str, SHOWN] = Field(description="As the paper's tables print it")
    nine: Annotated[bool, SHOWN] = Field(
        False, description="One of the nine of tables 2, 6 and 7, and so of `Avg`"
    )
    group: Annotated[Literal["chat", "knowledge", "instruction", "code"], SHOWN] = Field(
        description="As section 3.1 divides them"
    )
    runner: Annotated[RunnerName, RESULT] = Field(description="The tool that runs it")
    task: Annotated[str | None, RESULT] = Field(None, description="The runner's task")
    tasks: Annotated[File | None, RESULT] = Field(
        None,
        description="A folder with lm-eval's definition of the task, for one that lm-eval does not bring",
    )
    columns: Annotated[list[str], HOW] = Field(
        default_factory=list, description="What every question must have, where they come from files"
    )
    runs_code: Annotated[bool, RESULT] = Field(
        False, description="Whether it runs programs that the model wrote"
    )
    metric: Annotated[str, part("score")] = Field(description="The key of the number in the runner's results")
    fewshot: Annotated[Annotated[int, Field(ge=0)] | None, RESULT] = Field(
        None, description="Worked examples in the prompt"
    )
    scale: Annotated[Scale, part("score")]
    higher_is_better: Annotated[bool, part("score")] = Field(
        True, description="Whether a higher score is a better one"
    )
    judged: Annotated[bool, part("judgment")] = Field(description="Whether a model judges the answers")
    judge: Annotated[Slug | None, part("judgment")] = Field(
        None, description="The judge unless a study says otherwise: of models.yaml, or rubric"
    )
    reference: Annotated[Slug | None, SHOWN] = Field(
        None, description="The model whose answers it compares with (models.yaml)"
    )
    dataset: Annotated[Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None, RESULT] = Field(
        None, description="Hub data set"
    )
    revision: Annotated[Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None, RESULT] = Field(
        None, description="Its pinned commit"
    )
    source: Annotated[Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+@[0-9a-f]{40}$")] | None, SHOWN] = Field(
        None, description="GitHub repository and commit that has its questions"
    )
    files: Annotated[dict[str, File] | None, RESULT] = Field(
        None, description="Role → file of the repository, instead of released ones (judged benchmarks)"
    )
    citation: Annotated[Citation | None, SHOWN] = None
    note: Annotated[str | None, SHOWN] = Field(None, description="For who reads the table")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.judged != (self.judge is not None):
            raise ValueError("a judge is given exactly when judged is true")
        if self.runner == "lm-eval" and self.task is None:
            raise ValueError("the runner lm-eval needs a task")
        if self.revision is not None and self.dataset is None:
            raise ValueError("revision is the commit of dataset; give dataset")
        if self.scale.divisor not in (1, self.scale.max):
            raise ValueError(f"scale.divisor must be 1 or scale.max ({self.scale.max})")
        return self


def load_benchmarks(
    folder: Path, models: Mapping[str, Model] | None = None, pins: Pins | None = None
) -> dict[str, Benchmark]:
    """Read and validate ``benchmarks.yaml``: slug to row, in the order of the paper's columns.

    Args:
        folder: the ``config`` folder.
        models: if given, judges must be judges of this registry and references models of it.
        pins: commits of data sets whose rows have none; None is what ``pins.yaml`` has.

    Raises:
        ConfigError: an unknown key, a wrong value, an unknown model; the message names the benchmark.
    """
    path = folder / "benchmarks.yaml"
    benchmarks: dict[str, Benchmark] = {}
    commits = load_pins(folder) if pins is None else pins
    for slug, row, where in read_rows(path, "benchmark"):
        found = benchmarks[slug] = pinned(validate(Benchmark, row, where), commits)
        if models is not None:
            _check_models(found, models, where)
    nine = [b.slug for b in benchmarks.values() if b.nine]
    if len(nine) != NINE:
        raise ConfigError(
            f"{path}: nine is true in {len(nine)} rows, not {NINE}: {', '.join(nine) or 'none'}"
        )
    return benchmarks


def find_benchmark(benchmarks: Mapping[str, Benchmark], slug: str) -> Benchmark:
    """The row of ``slug``; a :class:`ConfigError` with the nearest match if there is none."""
    if slug not in benchmarks:
        raise ConfigError(f"unknown benchmark '{slug}'{nearest(slug, benchmarks)} (see `rewild benchmarks`)")
    return benchmarks[slug]


def _check_models(benchmark: Benchmark, models: Mapping[str, Model], where: str) -> None:
    for key in ("judge", "reference"):
        slug = getattr(benchmark, key)
        if slug is None or (key, slug) == ("judge", RUBRIC):
            continue
        try:
            model = find_model(models, slug)
        except ConfigError as error:
            raise ConfigError(f"{where}: {key}: {error}") from None
        if key == "judge" and "judge" not in model.roles:
            judges = ", ".join(s for s, m in models.items() if "judge" in m.roles)
            raise ConfigError(
                f"{where}: judge: '{slug}' has not the role judge in models.yaml (judges: {judges})"
            )

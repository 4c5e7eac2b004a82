"""What an estimate is made of: its lines, what it looks at, and how fast a model is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rewild.config.assumptions import FILE, Assumptions
from rewild.config.benchmarks import Benchmark
from rewild.config.gpus import Gpu
from rewild.config.models import Model, find_model
from rewild.config.prompts import AlpacaEval, Demo, Hub, MTBench, Prompts
from rewild.config.reasoning import reckoned
from rewild.config.recipes import Recipe
from rewild.config.responses import Objective
from rewild.config.study import Study
from rewild.config.synthesis import Synthesis
from rewild.core.errors import ConfigError
from rewild.core.reading import read_json, read_lines
from rewild.engines.plan import Architecture, Plan, architecture_of, plan_on, with_share
from rewild.engines.roofline import Forecast, Traffic, fast_gpu, forecast
from rewild.generation.spec import Spec, limits, traffic_of
from rewild.responses.spec import make_spec

Basis = Literal["measured", "predicted", "published", "assumed"]
STAGES = (
    *("weights", "synthesis", "prompts", "responses", "measures", "mixes", "pairs"),
    *("training", "benchmarks", "judging", "tools"),
)
USUAL = "llama-3.1-8b"
"""The model whose dimensions stand for those that are not known, and for a reward model's."""
USUAL_GPU = "H100-80"
PILOT_JOBS = 1
LETTERS = 4.7  # of a token, as `bytes_per_token` has it
HEADER = 10  # tokens that a template writes before a user's first words
UNKNOWN = 1e9  # tokens per second of what runs on no GPU: its time is not reckoned


@dataclass(frozen=True)
class Line:
    """What one thing costs. ``hours`` is its longest job's, on ``gpus`` GPUs; ``dollars`` go to a judge."""

    stage: str
    what: str
    jobs: int = 0
    gpus: int = 0
    gpu_hours: float = 0.0
    hours: float = 0.0
    read: float = 0.0
    written: float = 0.0
    disk: float = 0.0
    passing: float = 0.0  # bytes that are needed only while it runs
    dollars: float = 0.0
    basis: Basis = "assumed"


@dataclass(frozen=True)
class CostInputs:
    """What an estimate looks at."""

    study: Study
    models: Mapping[str, Model]
    recipes: Mapping[str, Recipe]
    benchmarks: Mapping[str, Benchmark]
    gpus: Mapping[str, Gpu]
    assumed: Assumptions
    results: Path

    def __post_init__(self) -> None:
        """What the study says of its conversations takes the place of what is assumed of them."""
        stated = self.study.responses.compute.tokens if self.study.responses else None
        object.__setattr__(self, "assumed", self.assumed.of(stated))


@dataclass(frozen=True)
class Speed:
    """How fast a model is in a study: ``rate`` in tokens read and written per second, of the whole job."""

    rate: float
    read: float  # tokens per conversation
    written: float
    measured: bool


def under(inputs: CostInputs, objective: Objective) -> CostInputs:
    """The same study with every plan of its answers made for one objective."""
    responses = inputs.study.responses
    if responses is None:
        return inputs
    compute = responses.compute.model_copy(update={"objective": objective})
    own = {k: v.model_copy(update={"objective": None}) for k, v in responses.overrides.items()}
    changed = responses.model_copy(update={"compute": compute, "overrides": own})
    return replace(inputs, study=inputs.study.model_copy(update={"responses": changed}))


def conversations(inputs: CostInputs, origins: Collection[str] = ()) -> int | None:
    """Conversations that the study's models answer; None if it has no prompts.

    Args:
        inputs: what is looked at.
        origins: of these sources only; none are all.
    """
    prompts = inputs.study.prompts
    if prompts is None:
        return None
    report = prepared(inputs)
    if report and all(name in report["sources"] for name in origins):  # else it is of before they were named
        if origins:
            return sum(int(report["sources"][name]["kept"]) for name in origins)
        return int(report["kept"])
    by_source = {source.name: _rows(inputs, prompts, source) for source in prompts.sources}
    found = sum(by_source.values())
    kept_share = min(1.0, (prompts.limit or found) / found)
    return round(kept_share * sum(n for name, n in by_source.items() if not origins or name in origins))


def prepared(inputs: CostInputs) -> dict[str, Any]:
    """What `rewild prepare` counted; empty before it ran."""
    path = inputs.results / inputs.study.name / "prompts/report.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = read_json(path)
    return found


def _rows(inputs: CostInputs, prompts: Prompts, source: Any) -> int:
    match source:
        case Hub():
            known = inputs.assumed.conversations
            if source.repository in known:
                return int(known[source.repository].value)
            hint = f"add {source.repository} to 'conversations' in {FILE}"
        case AlpacaEval():
            return 805
        case MTBench():
            return 80
        case Synthesis():
            return source.count
        case Demo():
            return sum(1 for _ in read_lines(source.file, "a list of questions"))
        case _:
            hint = f"prepare the prompts first: snakemake results/{inputs.study.name}/prompts/report.json"
    if prompts.limit:
        return prompts.limit
    raise ConfigError(
        f"study {inputs.study.name}: how many conversations the source '{source.name}' has is not known; "
        f"{hint}, or give prompts.limit"
    )


def shape_of(inputs: CostInputs, row: Model | None, precision: str | None = None) -> Architecture:
    """A model's dimensions; those of :data:`USUAL` where they are not established."""
    try:
        return architecture_of(row or find_model(inputs.models, USUAL), precision)
    except ConfigError:
        return architecture_of(find_model(inputs.models, USUAL))


def predicted(
    inputs: CostInputs, row: Model | None, job: Spec | None, made: Plan | None, use: Traffic
) -> Forecast:
    """How fast a model is by its plan; on one GPU, or as many as its job names, where it has none.

    Raises:
        ConfigError: how fast its type of GPU is, is not stated.
    """
    known = dict(inputs.gpus)
    name = made.gpu if made else (job and job.compute.gpu) or USUAL_GPU
    if job and job.memory_share:
        _, known = with_share(name, known, job.memory_share, job.compute.vllm.given)
    gpu, shape = fast_gpu(name, known), shape_of(inputs, row)
    if made:
        shape = shape_of(inputs, row, made.precision)
    return forecast(shape, gpu, made or plan_on(shape, gpu, (job and job.gpus) or 1, name), use)


def at_work(inputs: CostInputs, job: Spec) -> Forecast:
    """:func:`predicted`, for a model that answers the study's prompts."""
    row = inputs.models.get(job.model)
    context, *_ = limits(job, row.native_context if row else None)
    use = traffic_of(job.compute, job.limits, context, job.source.reasoning)
    return predicted(inputs, row, job, job.plan, use)


def speed(inputs: CostInputs, job: Spec) -> Speed:
    """How fast a model answers the study's prompts: as measured, or by the roofline."""
    found = measured_speeds(inputs.results, inputs.study.name).get(job.model)
    if found:
        return found
    turns = {int(n): count for n, count in prepared(inputs).get("turns", {}).items()}
    read, written = inputs.assumed.tokens(turns)
    if job.source.reasoning is not None:  # before each answer
        counted = sum(n * count for n, count in turns.items()) / sum(turns.values()) if turns else 0.0
        written += (counted or float(inputs.assumed.turns.value)) * reckoned(job.source.reasoning)
    if not job.gpus:
        return Speed(UNKNOWN, read, written, False)
    made = at_work(inputs, job)
    each = float(inputs.assumed.turns.value)
    if turns:
        each = sum(n * count for n, count in turns.items()) / sum(turns.values())
    else:  # under the limits of the model's context
        read, written = each * made.use.read, each * made.use.written
    return Speed(made.rate, read, written, False)


def measured_speeds(results: Path, study: str) -> dict[str, Speed]:
    """What ``throughput.csv`` of a study says, by model."""
    path = results / study / "throughput/throughput.csv"
    if not path.is_file():
        return {}
    from rewild.core.table import read_table
    from rewild.measures.throughput.analysis import THROUGHPUT

    return {
        row["model"]: Speed(
            row["tokens_per_second"],
            row["input_tokens"] / row["conversations"],
            row["output_tokens"] / row["conversations"],
            True,
        )
        for row in read_table(path, THROUGHPUT).iter_rows(named=True)
        if row["conversations"]
    }


def measured_training(results: Path, study: str) -> dict[str, float]:
    """Hours that finished runs took, by run: their ``training.json``."""
    found = {}
    for path in sorted((results / study / "runs").glob("*/training.json")):
        hours = read_json(path).get("hours")
        if isinstance(hours, int | float):
            found[path.parent.name] = float(hours)
    return found


def jobs_of(inputs: CostInputs) -> list[Spec]:
    """The study's models, each with its settings and plan."""
    if inputs.study.responses is None:
        return []
    listed = inputs.study.responses.models
    return [make_spec(inputs.study, slug, inputs.models, dict(inputs.gpus)) for slug in listed]


def weight_bytes(row: Model, precision: str | None = None) -> float:
    """Bytes of a model's files; 0 where nothing is established."""
    try:
        return architecture_of(row.model_copy(update={"native_context": 1}), precision).weight_bytes
    except ConfigError:
        each = 1 if (precision or row.paper_precision) == "fp8" else 2
        return each * float(row.parameters.total) if row.parameters else 0.0


def started(inputs: CostInputs, job: Spec) -> float:
    """Hours until a job of a model takes its first request."""
    row = inputs.models.get(job.model)
    return inputs.assumed.start_hours(weight_bytes(row, job.source.precision) if row else 0.0)


def total(lines: Iterable[Line], field: str) -> float:
    """The sum of one field."""
    return float(sum(getattr(line, field) for line in lines))

"""The estimate: one :class:`Line` per model, run or set of files, from which stages are summed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rewild.config.assumptions import FILE, Assumptions
from rewild.config.benchmarks import Benchmark
from rewild.config.gpus import Gpu
from rewild.config.mixes import FromHub, FromPrompts, FromResponses, Mix
from rewild.config.models import Model, find_model
from rewild.config.preferences import Preference
from rewild.config.prompts import AlpacaEval, Demo, Hub, MTBench, Prompts
from rewild.config.recipes import Recipe
from rewild.config.responses import Objective
from rewild.config.study import Study
from rewild.config.synthesis import Synthesis
from rewild.config.trainings import start_of
from rewild.core.errors import ConfigError
from rewild.core.reading import read_json, read_lines, read_model
from rewild.engines.plan import Architecture, Plan, architecture_of, plan_on, with_share
from rewild.engines.roofline import Forecast, Traffic, fast_gpu, forecast
from rewild.evaluation.harness.settings import (
    LONGEST_CONTEXT,
    Target,
    asked,
    context_of,
    evaluated,
    evaluation_of,
    planned,
    precision_of,
    target_of,
)
from rewild.generation.spec import Spec, limits, traffic_of
from rewild.prompts.synthesis.schema import Measured
from rewild.prompts.synthesis.spec import specs_of, syntheses_of
from rewild.responses.spec import make_spec

Basis = Literal["measured", "predicted", "published", "assumed"]
STAGES = (
    *("weights", "synthesis", "prompts", "responses", "mixes", "pairs"),
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


def estimate(inputs: CostInputs) -> list[Line]:
    """Every line of a study, in the order of :data:`STAGES`.

    Raises:
        ConfigError: something is not known that the estimate needs; the message says where to state it.
    """
    lines = [
        *_weights(inputs),
        *_synthesis(inputs),
        *_responses(inputs),
        *_mixes(inputs),
        *_pairs(inputs),
        *_training(inputs),
        *_benchmarks(inputs),
        *_judging(inputs),
        *_tools(inputs),
    ]
    return sorted(lines, key=lambda line: STAGES.index(line.stage))


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
    if report:
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
    use = traffic_of(job.compute, job.limits, context)
    return predicted(inputs, row, job, job.plan, use)


def speed(inputs: CostInputs, job: Spec) -> Speed:
    """How fast a model answers the study's prompts: as measured, or by the roofline."""
    found = measured_speeds(inputs.results, inputs.study.name).get(job.model)
    if found:
        return found
    turns = {int(n): count for n, count in prepared(inputs).get("turns", {}).items()}
    read, written = inputs.assumed.tokens(turns)
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


def _weights(inputs: CostInputs) -> Iterator[Line]:
    sizes = {
        job.model: weight_bytes(inputs.models[job.model], job.source.precision)
        for job in (*jobs_of(inputs), *(job for _, _, job in steps_of(inputs)))
        if (row := inputs.models.get(job.model)) and job.source.path and not (job.remote or row.folder)
    }
    for run in inputs.study.runs:
        row = start_of(inputs.study, run, inputs.models).row
        if row.hub and row.slug not in sizes:
            sizes[row.slug] = weight_bytes(row)
    if sizes:
        yield Line("weights", f"{len(sizes)} models from the hub", disk=sum(sizes.values()))


def steps_of(inputs: CostInputs) -> Iterator[tuple[Synthesis, int, Spec]]:
    """The steps of every source that a model writes, each with its model's settings."""
    for source in syntheses_of(inputs.study):
        jobs = specs_of(inputs.study, source, inputs.models, dict(inputs.gpus))
        yield from ((source, step, jobs[step % len(jobs)]) for step in range(len(source.steps)))


def _synthesis(inputs: CostInputs) -> Iterator[Line]:
    """A line for each step; as if every sample were a prompt, until its shards are measured."""
    for source, step, job in steps_of(inputs):
        requests = list(_asked(inputs, source, step))
        held = source.count * (requests[-1].read + requests[-1].written)
        read, written = (
            source.count * sum(getattr(use, key) for use in requests) for key in ("read", "written")
        )
        tried = source.pilot_samples / source.count if step == 0 else 0.0
        start, jobs = started(inputs, job), source.shards + (PILOT_JOBS if step == 0 else 0)
        hours = 0.0
        if job.gpus:
            row = inputs.models.get(job.model)
            each = sum(predicted(inputs, row, job, job.plan, use).seconds for use in requests)
            hours = source.count * each / 3600
        folder = inputs.results / inputs.study.name / "synthesis" / source.name / str(step)
        found = [read_model(path, Measured, "a measurement") for path in sorted(folder.glob("*.json"))]
        if done := sum(one.rows for one in found):
            scale = source.count / done
            read, written = (
                scale * sum(getattr(o, key) for o in found) for key in ("input_tokens", "output_tokens")
            )
            hours = scale * sum(one.generate_seconds for one in found) / 3600
            start = sum(one.load_seconds for one in found) / len(found) / 3600
        yield Line(
            "synthesis",
            f"{source.name}/{step}",
            jobs=jobs,
            gpus=job.gpus,
            gpu_hours=job.gpus * (hours * (1 + tried) + jobs * start),
            hours=hours / source.shards + start if hours else 0.0,
            read=read,
            written=written,
            disk=held * inputs.assumed.bytes_per_token.value,
            basis="measured" if found else "predicted" if job.gpus else "assumed",
        )


def _asked(inputs: CostInputs, source: Synthesis, step: int) -> Iterator[Traffic]:
    """The requests for one sample in a step: a turn reads all before it, the cache has the last one."""
    a, known = inputs.assumed, 0.0
    limits_of = source.limits, source.answers.limits or source.limits
    prompt, answer = (
        min(float(usual.value), wanted.max_output or math.inf)
        for usual, wanted in zip((a.prompt_tokens, a.answer_tokens), limits_of, strict=True)
    )
    words = [len(told.text) if told else 0 for told in (source.told("system"), source.told("role"))]
    spread = math.exp(float(a.answer_spread.value) ** 2) / 2
    for act in source.steps[step]:
        turn, answers = divmod(act, 2)
        told = (source.letters + sum(words[: 2 if turn else 1])) / LETTERS
        read = HEADER + turn * (prompt + answer) + (prompt if answers else told)
        written = answer if answers else prompt
        yield Traffic(read, read - a.roofline.prefix.value * known, written, read + spread * written)
        known = read


def _responses(inputs: CostInputs) -> Iterator[Line]:
    number, prompts, responses = conversations(inputs), inputs.study.prompts, inputs.study.responses
    if number is None or prompts is None or responses is None:
        return
    a = inputs.assumed
    turn = a.prompt_tokens.value + a.answer_tokens.value
    text = number * a.turns.value * turn * a.bytes_per_token.value
    yield Line("prompts", "the conversations, as fetched and in shards", jobs=2, disk=2 * text)
    for job in jobs_of(inputs):
        fast = speed(inputs, job)
        asked = (conversations(inputs, job.origins) or 0) if job.origins else number
        tokens = asked * (fast.read + fast.written)
        hours = tokens / fast.rate / 3600
        start = started(inputs, job)
        jobs = prompts.shards + PILOT_JOBS
        tried = min(responses.of(job.model).pilot.conversations, asked)
        pilot = tried * (fast.read + fast.written) / fast.rate / 3600
        yield Line(
            "responses",
            job.model,
            jobs=jobs,
            gpus=job.gpus,
            gpu_hours=job.gpus * (hours + pilot + jobs * start),
            hours=hours / prompts.shards + start if job.gpus or fast.measured else 0.0,
            read=asked * fast.read,
            written=asked * fast.written,
            disk=text * asked / number,
            passing=text * asked / number,  # finished chunks, until a model is collected
            basis="measured" if fast.measured else "predicted" if job.gpus else "assumed",
        )


def mix_size(inputs: CostInputs, mix: Mix) -> int:
    """Conversations in a mix; a source that is taken whole counts as many as the study has."""
    return sum(
        amount
        if amount is not None
        else (conversations(inputs, source.origins) or 0)
        if isinstance(source, FromResponses | FromPrompts)
        else 0
        for source, amount in zip(mix.sources, mix.amounts(), strict=True)
    )


def _mixes(inputs: CostInputs) -> Iterator[Line]:
    a = inputs.assumed
    each = a.turns.value * (a.prompt_tokens.value + a.answer_tokens.value) * a.bytes_per_token.value
    sizes = [mix_size(inputs, mix) for mix in inputs.study.mixes.values()]
    if sizes:
        foreign = {
            (s.repository, s.revision)
            for m in inputs.study.mixes.values()
            for s in m.sources
            if isinstance(s, FromHub)
        }
        yield Line("mixes", f"{len(sizes)} mixes", jobs=len(sizes) + len(foreign), disk=sum(sizes) * each)


def pair_tokens(inputs: CostInputs, pair: Preference) -> tuple[float, float]:
    """Tokens that a set of pairs reads and writes, over all its answers."""
    answers = pair.prompts * pair.samples
    return answers * inputs.assumed.prompt_tokens.value, answers * inputs.assumed.answer_tokens.value


def scoring_hours(inputs: CostInputs, pair: Preference) -> float:
    """Hours in which a reward model of the usual size reads every answer; 0 for other scorers."""
    if pair.scorer.kind != "reward-model":
        return 0.0
    read = float(inputs.assumed.prompt_tokens.value + inputs.assumed.answer_tokens.value)
    one = predicted(inputs, None, None, None, Traffic(read, read, 1, read))
    return pair.prompts * pair.samples * one.prefill / 3600


def _pairs(inputs: CostInputs) -> Iterator[Line]:
    a = inputs.assumed
    jobs = {job.model: job for job in jobs_of(inputs)}
    for name, pair in inputs.study.preferences.items():
        job, (read, written) = jobs[pair.model], pair_tokens(inputs, pair)
        hours = (read + written) / speed(inputs, job).rate / 3600
        start = started(inputs, job)
        scoring = scoring_hours(inputs, pair)
        scoring += start if scoring else 0.0
        yield Line(
            "pairs",
            name,
            jobs=pair.shards + 1,
            gpus=job.gpus,
            gpu_hours=job.gpus * (hours + pair.shards * start) + scoring,
            hours=max(hours / pair.shards + start, scoring) if job.gpus else 0.0,
            read=read + (read + written if scoring else 0),
            written=written,
            disk=(read / pair.samples + written) * a.bytes_per_token.value,
            basis="measured"
            if job.model in measured_speeds(inputs.results, inputs.study.name)
            else "predicted",
        )


def _training(inputs: CostInputs) -> Iterator[Line]:
    a, study = inputs.assumed, inputs.study
    found = measured_training(inputs.results, study.name)
    per_turn = a.prompt_tokens.value + a.answer_tokens.value
    for name, run in study.runs.items():
        if run.mix is None or run.recipe is None:
            continue
        recipe = inputs.recipes[run.recipe]
        row = start_of(study, name, inputs.models).row
        parameters = row.parameters.total if row.parameters else a.training_parameters.value
        if run.mix in study.mixes:
            size = mix_size(inputs, study.mixes[run.mix])
            amount, tokens = float(size), size * a.turns.value * per_turn
        else:
            size = study.preferences[run.mix].prompts
            amount = size * a.pair_factor.value / a.turns.value  # a pair has one turn
            tokens = size * (per_turn + a.answer_tokens.value)
        published = a.training_hours.value * 4 / a.training_conversations.value
        gpu_hours = published * amount * recipe.epochs * parameters / a.training_parameters.value
        hours = gpu_hours / recipe.gpus if recipe.gpus else 0.0
        if name in found:
            hours, gpu_hours = found[name], found[name] * recipe.gpus
        yield Line(
            "training",
            name,
            jobs=1,
            gpus=recipe.gpus,
            gpu_hours=gpu_hours if recipe.gpus else 0.0,
            hours=hours,
            read=tokens * recipe.epochs,
            disk=parameters * a.checkpoint_bytes.value,
            passing=parameters * a.optimizer_bytes.value,
            basis="measured" if name in found else "published" if recipe.gpus else "assumed",
        )


def asked_tokens(inputs: CostInputs, benchmarks: Iterable[str]) -> tuple[float, float, float]:
    """Requests of a run for these benchmarks, and the tokens that they read and write."""
    known = [inputs.assumed.questions[slug] for slug in benchmarks if slug in inputs.assumed.questions]
    requests = [(q.questions * q.requests, q) for q in known]
    return (
        float(sum(count for count, _ in requests)),
        float(sum(count * q.read for count, q in requests)),
        float(sum(count * q.written for count, q in requests)),
    )


def plan_of_run(inputs: CostInputs, target: Target) -> Plan | None:
    """Of a run's benchmarks; None on a CPU, and where dimensions are not known."""
    try:
        return planned(inputs.study, target, inputs.gpus)
    except ConfigError:
        return None


def answering_hours(inputs: CostInputs, target: Target, benchmarks: Iterable[str]) -> float:
    """Hours in which a run's model reads and writes what benchmarks ask."""
    slugs = list(benchmarks)
    requests, *_ = asked_tokens(inputs, slugs)
    if not requests:
        return 0.0
    use = asked(slugs, context_of(evaluation_of(inputs.study), target) or LONGEST_CONTEXT)
    return requests * predicted(inputs, target.row, None, plan_of_run(inputs, target), use).seconds / 3600


def _benchmarks(inputs: CostInputs) -> Iterator[Line]:
    evaluation, a = inputs.study.evaluation, inputs.assumed
    if evaluation is None:
        return
    known = [slug for slug in evaluation.benchmarks if slug in a.questions]
    judged = [slug for slug in evaluation.benchmarks if slug in a.judged]
    _, read, written = asked_tokens(inputs, evaluation.benchmarks)
    jobs = len(judged) + (len(known) > len(judged))
    for run in evaluated(inputs.study):
        target = target_of(inputs.study, run, inputs.models)
        made = plan_of_run(inputs, target)
        gpus = made.gpus if made else 1 if evaluation.compute.gpu else 0
        # Questions that are scored and questions that are answered are different traffic, and different jobs.
        hours = answering_hours(inputs, target, [s for s in evaluation.benchmarks if s not in judged])
        hours += answering_hours(inputs, target, judged)
        start = jobs * a.start_hours(weight_bytes(target.row, precision_of(evaluation)))
        yield Line(
            "benchmarks",
            run,
            jobs,
            gpus,
            gpus * (hours + start),
            hours + start,
            read,
            written,
            disk=2 * (read + written),
            basis="predicted",
        )


def _judging(inputs: CostInputs) -> Iterator[Line]:
    evaluation, judging = inputs.study.evaluation, inputs.study.judging
    if evaluation is None:
        return
    runs = len(evaluated(inputs.study))
    for slug in evaluation.benchmarks:
        calls, row = inputs.assumed.judged.get(slug), inputs.benchmarks.get(slug)
        if calls is None or row is None or not row.judged:
            continue
        price = judging.price_of(judging.judge_of(row))
        read, written = float(runs * calls.calls * calls.read), float(runs * calls.calls * calls.written)
        dollars = (read * price.input + written * price.output) / 1e6 if price else 0.0
        yield Line(
            "judging", slug, runs, read=read, written=written, disk=4 * (read + written), dollars=dollars
        )


def _tools(inputs: CostInputs) -> Iterator[Line]:
    if any(job.gpus for job in (*jobs_of(inputs), *(job for _, _, job in steps_of(inputs)))) or any(
        r.recipe and inputs.recipes[r.recipe].gpus for r in inputs.study.runs.values()
    ):
        yield Line("tools", "environments", disk=inputs.assumed.environments_gb.value * 1e9)


def total(lines: Iterable[Line], field: str) -> float:
    """The sum of one field."""
    return float(sum(getattr(line, field) for line in lines))

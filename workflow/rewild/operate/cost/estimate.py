"""The estimate: one :class:`Line` per model, run or set of files, from which stages are summed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from rewild.config.judging import FREE, asked_judge
from rewild.config.mixes import FromHub, FromPrompts, FromResponses, FromSamples, Mix
from rewild.config.preferences import Preference
from rewild.config.reasoning import Reasoning, reckoned
from rewild.config.synthesis import Synthesis
from rewild.config.trainings import start_of
from rewild.core.errors import ConfigError
from rewild.core.reading import read_model
from rewild.engines.plan import Plan
from rewild.engines.roofline import Traffic
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
from rewild.evaluation.judged.job import judge_spec
from rewild.generation.asking.budget import cost
from rewild.generation.spec import Spec
from rewild.operate.cost.base import (
    HEADER,
    LETTERS,
    PILOT_JOBS,
    STAGES,
    CostInputs,
    Line,
    conversations,
    jobs_of,
    measured_speeds,
    measured_training,
    predicted,
    speed,
    started,
    weight_bytes,
)
from rewild.operate.cost.labels import labelled
from rewild.prompts.synthesis.spec import specs_of, syntheses_of


def estimate(inputs: CostInputs) -> list[Line]:
    """Every line of a study, in the order of :data:`STAGES`.

    Raises:
        ConfigError: something is not known that the estimate needs; the message says where to state it.
    """
    lines = [
        *_weights(inputs),
        *_synthesis(inputs),
        *_responses(inputs),
        *labelled(inputs),
        *_mixes(inputs),
        *_pairs(inputs),
        *_training(inputs),
        *_benchmarks(inputs),
        *_judging(inputs),
        *_tools(inputs),
    ]
    return sorted(lines, key=lambda line: STAGES.index(line.stage))


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
    from rewild.prompts.synthesis.schema import Measured  # with polars, which a dry run does without

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
    """Conversations in a mix; of a source taken whole all that there are, or that its filter keeps."""
    found = 0
    for source, amount in zip(mix.sources, mix.amounts(), strict=True):
        if amount is None and isinstance(source, FromResponses | FromPrompts):
            kept = [c.top for c in (source.filters or mix.filters).measures if c.top]
            amount = min([conversations(inputs, source.origins) or 0, *kept])  # noqa: PLW2901
        elif amount is None and isinstance(source, FromSamples):
            amount = inputs.study.preferences[source.of].prompts  # noqa: PLW2901
        found += amount or 0
    return found


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


def asked_tokens(
    inputs: CostInputs, benchmarks: Iterable[str], reasoning: Reasoning | None = None
) -> tuple[float, float, float]:
    """Requests of a run for these benchmarks, and the tokens that they read and write."""
    known = [inputs.assumed.questions[slug] for slug in benchmarks if slug in inputs.assumed.questions]
    requests = [(q.questions * q.requests, q) for q in known]
    return (
        float(sum(count for count, _ in requests)),
        float(sum(count * q.read for count, q in requests)),
        float(sum(count * (q.written and q.written + reckoned(reasoning)) for count, q in requests)),
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
    context = context_of(evaluation_of(inputs.study), target) or LONGEST_CONTEXT
    use = asked(slugs, context, target.row.reasoning)
    return requests * predicted(inputs, target.row, None, plan_of_run(inputs, target), use).seconds / 3600


def _benchmarks(inputs: CostInputs) -> Iterator[Line]:
    evaluation, a = inputs.study.evaluation, inputs.assumed
    if evaluation is None:
        return
    known = [slug for slug in evaluation.benchmarks if slug in a.questions]
    judged = [slug for slug in evaluation.benchmarks if slug in a.judged]
    jobs = len(judged) + (len(known) > len(judged))
    for run in evaluated(inputs.study):
        target = target_of(inputs.study, run, inputs.models)
        _, read, written = asked_tokens(inputs, evaluation.benchmarks, target.row.reasoning)
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
        here = judge_spec(inputs.study, row, inputs.models, inputs.gpus)
        judge = judging.judge_of(row)
        price = FREE if here else judging.price_of(judge)
        said = calls.written + reckoned(asked_judge(judge, inputs.models).reasoning)
        read, written = float(runs * calls.calls * calls.read), float(runs * calls.calls * said)
        hours = start = 0.0
        if here and here.gpus:
            use = Traffic(calls.read, calls.read, said, calls.read + said)
            each = predicted(inputs, inputs.models[here.model], here, here.plan, use).seconds
            hours, start = runs * calls.calls * each / 3600, started(inputs, here)
        yield Line(
            "judging",
            slug,
            runs,
            gpus=here.gpus if here else 0,
            gpu_hours=here.gpus * (hours + runs * start) if here else 0.0,
            hours=hours / runs + start if hours else 0.0,
            read=read,
            written=written,
            disk=4 * (read + written),
            dollars=cost(price, read, written) if price else 0.0,
            basis="predicted" if hours else "assumed",
        )


def _tools(inputs: CostInputs) -> Iterator[Line]:
    if any(job.gpus for job in (*jobs_of(inputs), *(job for _, _, job in steps_of(inputs)))) or any(
        r.recipe and inputs.recipes[r.recipe].gpus for r in inputs.study.runs.values()
    ):
        yield Line("tools", "environments", disk=inputs.assumed.environments_gb.value * 1e9)

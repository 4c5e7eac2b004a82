"""What answers benchmark questions, and what judges the answers where it is loaded here.

Pure configuration: a dry run knows what both need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from rewild.config.benchmarks import RUBRIC, Benchmark
from rewild.config.gpus import Gpu
from rewild.config.judging import Answering
from rewild.config.models import Model
from rewild.config.responses import Limits, SamplingSettings
from rewild.config.runners import Runner
from rewild.config.study import Study
from rewild.config.trainings import weights_of
from rewild.core.errors import ConfigError, known_name
from rewild.generation.spec import Source, Spec, planned, source_of, weights_identity

LONGEST_CONTEXT = 16384  # tokens; no benchmark needs more, and a longer one costs memory


def answer_spec(  # noqa: PLR0917 (all that it depends on)
    study: Study,
    run: str,
    runner: Runner,
    models: Mapping[str, Model],
    gpus: Mapping[str, Gpu],
    benchmark: str | None = None,
) -> Spec:
    """The settings of answering one benchmark's questions, at temperature 0 unless the study says otherwise.

    Raises:
        ConfigError: an unknown run, a model that is nowhere, or no engine plan that fits.
    """
    settings, weights = study.judging.answers, weights_of(study, run, models)
    row, compute = weights.row, settings.compute
    on_cpu = settings.engine == "transformers" and compute.gpu is None
    precision = "fp32" if on_cpu else row.paper_precision or "bf16"
    # Without limits of its own, a context that is the same on every kind of GPU.
    native = row.native_context
    wanted = settings.limits or Limits(context=min(native, LONGEST_CONTEXT) if native else None)
    made, share = planned(row, precision, settings.engine, compute, wanted, gpus)
    total = row.parameters.total if row.parameters else 0
    return Spec(
        study=study.name,
        seed=study.seed,
        model=run,
        source=Source(
            weights.path,
            weights.revision,
            precision,
            total / 1e9,
            row.native_context,
            weights.trust_remote_code,
            takes=row.endpoint,
            reasoning=row.reasoning,
        ),
        engine=settings.engine,
        sampling=settings.sampling.get(benchmark or "", SamplingSettings(temperature=0.0)),
        limits=_limits(settings, runner, made.context if made else row.native_context),
        compute=compute,
        history="self",
        over_long=settings.over_long,
        system=settings.system,
        attempts=settings.attempts,
        plan=made,
        memory_share=share,
    )


def judge_spec(
    study: Study, benchmark: Benchmark, models: Mapping[str, Model], gpus: Mapping[str, Gpu] | None = None
) -> Spec | None:
    """The judge of a benchmark, where the study loads it; None where somebody else has its weights.

    Raises:
        ConfigError: the judge is no model that can be loaded and talked to, or no engine plan fits.
    """
    settings = study.judging.local
    if settings is None:
        return None
    judge, where = study.judging.judge_of(benchmark), f"study {study.name}: judging.local: the judge"
    of = f"of {benchmark.slug} (judging.judge names another)"
    if judge == RUBRIC:
        raise ConfigError(f"{where} '{judge}' {of} is a program and no model; leave `local` out")
    row = models[known_name(judge, models, where, after=f" {of} is not in models.yaml")]
    if row.folder is None and row.hub is None:
        raise ConfigError(f"{where} '{judge}' {of} is at its maker's, who keeps its weights")
    if row.chat_template is False:
        raise ConfigError(f"{where} '{judge}' {of} has no chat template: it cannot be talked to")
    if set(row.roles) == {"measure"}:
        raise ConfigError(f"{where} '{judge}' {of} has the role measure alone: it answers no questions")
    compute, native = settings.compute or study.judging.answers.compute, row.native_context
    context = settings.context or min(native or LONGEST_CONTEXT, LONGEST_CONTEXT)
    if native and context > native:
        raise ConfigError(f"{where} '{judge}' {of} was made for {native} tokens, not {context} (context)")
    wanted = Limits(context=context if native else None, at_most=context)
    source = source_of(judge, False, row, row.folder, settings.precision)
    try:
        made, share = planned(row, settings.precision, settings.engine, compute, wanted, gpus)
    except ConfigError as error:
        raise ConfigError(f"{where} '{judge}': {error}") from error
    return Spec(
        study=study.name,
        seed=study.seed,
        model=judge,
        source=source,
        engine=settings.engine,
        sampling=SamplingSettings(temperature=0.0),
        limits=wanted,
        compute=compute,
        attempts=study.judging.attempts,
        plan=made,
        memory_share=share,
        gpus_by_hand=int(compute.gpu is not None),
    )


def judge_identity(spec: Spec) -> str:
    """All of a loaded judge that can change a judgment: judgments are found again by it."""
    source = spec.source
    made = [weights_identity(spec), source.revision, source.precision, spec.engine, spec.limits.at_most]
    return json.dumps([*made, spec.engine_arguments | source.thinks], sort_keys=True)


def _limits(settings: Answering, runner: Runner, context: int | None) -> Limits:
    """The study's limits; else answers as long as the benchmark has them, at most half the context."""
    if settings.limits:
        return settings.limits
    if context is None:
        return Limits(max_output=runner.max_tokens)
    context = min(context, LONGEST_CONTEXT)
    longest = min(runner.max_tokens, context // 2)
    return Limits(at_most=context, max_output=longest, max_input=context - longest)

"""The job of answering benchmark questions: pure configuration, so a dry run knows what it needs."""

from __future__ import annotations

from collections.abc import Mapping

from rewild.config.engines import find_engine
from rewild.config.gpus import Gpu
from rewild.config.judging import Answering, Runner
from rewild.config.models import Model
from rewild.config.responses import Limits, Responses, SamplingSettings
from rewild.config.study import Study
from rewild.config.trainings import weights_of
from rewild.engines.plan import architecture_of, plan, with_share
from rewild.generation.spec import Job, Source

LONGEST_CONTEXT = 16384  # tokens; no benchmark needs more, and a longer one costs memory


def answer_job(
    study: Study, run: str, runner: Runner, models: Mapping[str, Model], gpus: Mapping[str, Gpu]
) -> Job:
    """The job of answering one benchmark's questions, at temperature 0. Pure configuration.

    Raises:
        ConfigError: an unknown run, a model that is nowhere, or no engine plan that fits.
    """
    settings, weights = study.judging.answers, weights_of(study, run, models)
    gpu, row = settings.compute.gpu, weights.row
    on_cpu = settings.engine == "transformers" and gpu is None
    precision = "fp32" if on_cpu else row.paper_precision or "bf16"
    made = share = None
    if gpu and not find_engine(settings.engine).remote:
        share, known = with_share(gpu, gpus, settings.compute.gpu_memory_utilization)
        wanted = settings.limits.context if settings.limits else None
        made = plan(architecture_of(row, precision), gpu, known, context=wanted)
    total = row.parameters.total if row.parameters else 0
    source = Source(
        weights.path,
        weights.revision,
        precision,
        total / 1e9,
        row.native_context,
        weights.trust_remote_code,
        takes=row.endpoint,
    )
    responses = Responses(
        models=[run],
        engine=settings.engine,
        history="self",
        over_long=settings.over_long,
        system=settings.system,
        sampling=SamplingSettings(temperature=0.0),
        limits=_limits(settings, runner, made.context if made else row.native_context),
        attempts=settings.attempts,
        compute=settings.compute,
    )
    return Job(study.name, study.seed, run, responses, source, made, share)


def _limits(settings: Answering, runner: Runner, context: int | None) -> Limits:
    """The study's limits; else answers as long as the benchmark has them, at most half the context."""
    if settings.limits:
        return settings.limits
    if context is None:
        return Limits(max_output=runner.max_tokens)
    context = min(context, LONGEST_CONTEXT)
    longest = min(runner.max_tokens, context // 2)
    return Limits(at_most=context, max_output=longest, max_input=context - longest)

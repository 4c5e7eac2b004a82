"""What a run's model answers benchmark questions with. Pure configuration: a dry run knows what it needs."""

from __future__ import annotations

from collections.abc import Mapping

from rewild.config.gpus import Gpu
from rewild.config.judging import Answering
from rewild.config.models import Model
from rewild.config.responses import Limits, SamplingSettings
from rewild.config.runners import Runner
from rewild.config.study import Study
from rewild.config.trainings import weights_of
from rewild.generation.spec import Source, Spec, planned

LONGEST_CONTEXT = 16384  # tokens; no benchmark needs more, and a longer one costs memory


def answer_spec(
    study: Study, run: str, runner: Runner, models: Mapping[str, Model], gpus: Mapping[str, Gpu]
) -> Spec:
    """The settings of answering one benchmark's questions, at temperature 0. Pure configuration.

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
        ),
        engine=settings.engine,
        sampling=SamplingSettings(temperature=0.0),
        limits=_limits(settings, runner, made.context if made else row.native_context),
        compute=compute,
        history="self",
        over_long=settings.over_long,
        system=settings.system,
        attempts=settings.attempts,
        plan=made,
        memory_share=share,
    )


def _limits(settings: Answering, runner: Runner, context: int | None) -> Limits:
    """The study's limits; else answers as long as the benchmark has them, at most half the context."""
    if settings.limits:
        return settings.limits
    if context is None:
        return Limits(max_output=runner.max_tokens)
    context = min(context, LONGEST_CONTEXT)
    longest = min(runner.max_tokens, context // 2)
    return Limits(at_most=context, max_output=longest, max_input=context - longest)

"""`rewild plan`: the engine plan under both objectives, and what it is predicted to give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from rich.console import Console

from rewild.config.assumptions import load_assumptions
from rewild.config.gpus import Gpu
from rewild.config.models import Model
from rewild.config.responses import Objective, Responses
from rewild.core.errors import ConfigError
from rewild.core.terminal import output, print_table
from rewild.engines.plan import architecture_of, find_gpu, with_share
from rewild.engines.roofline import fast_gpu, forecast
from rewild.generation.spec import planned, traffic_of

FEW, LARGE = (
    3,
    0.5,
)  # families of models under which, and share of one family over which, a study lacks variety


def print_plans(
    models: Sequence[Model],
    responses: Responses,
    gpus: Mapping[str, Gpu],
    conversations: int,
    console: Console | None = None,
) -> None:
    """Print the plan of each model under both objectives, and what the study's variety of models is.

    Models without an established dimension, or that do not fit, are listed below the table with the reason.

    Args:
        models: their rows.
        responses: settings of a study, or the usual ones; ``compute.gpu`` is the kind of GPU.
        gpus: GPU types of the configuration.
        conversations: that each model answers.
        console: where to.
    """
    console = output(console)
    name = str(responses.compute.gpu)
    share, _ = with_share(name, gpus, responses.compute.gpu_memory_utilization)
    about = find_gpu(name, dict(gpus))
    rows, reasons = [], []
    for model in models:
        try:
            rows.append(_row(model, responses, gpus, conversations))
        except ConfigError as error:
            reasons.append(f"no plan: {error}")
    columns = (
        "model | GPUs> | weights 8> | GB/GPU 7> | KV tokens 6> | context 5> | paper 9> | at once 4> | "
        "tokens/s/GPU 2> | GPU-hours 1> | mostly 3"
    )
    title = f"{name}: {about.memory_gib} GiB, {share:.0%} usable, {about.reserve_gib} GiB reserved"
    print_table(columns, rows, title=title, console=console)
    for line in LEGEND:
        console.print(line.format(conversations), style="dim", highlight=False, markup=False, soft_wrap=True)
    if not about.has_speeds:
        reasons.append(f"no cheapest plan: how fast {name} is, is not stated (gpus.{name}, docs/plan.md)")
    for reason in reasons:
        console.print(reason, style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(variety(models), highlight=False, markup=False, soft_wrap=True)


LEGEND = (
    "a → b: the fewest GPUs that hold the model (paper, section 2.1) → the cheapest; one value is both",
    "weights and KV tokens are per GPU; the context is the longest on the fewest GPUs, at most the model's "
    "own; paper: the one its text states (section 2.2)",
    "at once: conversations; * memory bounds them: more of it, FP8 weights or shorter prompts change that",
    "tokens/s/GPU: predicted, read and written together; GPU-hours: for {:,} conversations, without starts",
    "mostly: what takes most of the cheapest plan's time, and its share. Of prefill and matrices, FP8 "
    "weights or more TFLOPS take off; of cache, more bandwidth; of communication, fewer GPUs",
)


def _row(model: Model, responses: Responses, gpus: Mapping[str, Gpu], conversations: int) -> tuple[str, ...]:
    settings, own = responses.of(model.slug), responses.overrides.get(model.slug)
    if own and own.gpus:
        raise ConfigError(f"model {model.slug}: {own.gpus} GPUs, by hand (overrides.{model.slug}.gpus)")
    precision = (own and own.precision) or model.paper_precision or "bf16"
    shape = architecture_of(model, precision)
    plans, found = [], []
    fast = find_gpu(str(settings.compute.gpu), dict(gpus)).has_speeds
    for objective in get_args(Objective) if fast else ("fewest",):
        compute = settings.compute.model_copy(update={"objective": objective})
        made, _ = planned(model, precision, "vllm", compute, settings.limits, gpus)
        assert made
        assert compute.gpu
        _, known = with_share(compute.gpu, gpus, compute.gpu_memory_utilization, compute.vllm.given)
        context = min(made.context, settings.limits.at_most or made.context)
        use = traffic_of(compute, settings.limits, context, model.reasoning)
        plans.append(made)
        if fast:
            found.append(forecast(shape, fast_gpu(compute.gpu, known), made, use))
    turns = conversations * float(load_assumptions().of(settings.compute.tokens).turns.value)
    what, share = found[-1].mostly if fast else ("", 0)
    return (
        model.slug,
        _both([str(made.gpus) for made in plans]),
        precision,
        _both([f"{made.weight_bytes / 1e9:.1f}" for made in plans]),
        _both([f"{made.kv_tokens:,}" for made in plans]),
        f"{plans[0].context:,}",
        f"{model.paper_context:,}" if model.paper_context else "",
        _both([f"{f.sequences:.0f}{'*' if f.full else ''}" for f in found]),
        _both([f"{f.rate / f.gpus:,.0f}" for f in found]),
        _both([f"{turns * f.gpu_seconds / 3600:,.0f}" for f in found]),
        f"{what} {share:.0%}" if fast else "",
    )


def _both(values: Sequence[str]) -> str:
    return " → ".join(dict.fromkeys(values))


def variety(models: Sequence[Model]) -> str:
    """How many families a set of models comes from; appendix F advises against relying on one."""
    families = Counter(m.family for m in models)
    if not families:
        return "no models"
    largest, count = families.most_common(1)[0]
    text = f"{len(models)} models of {len(families)} families; the largest is {largest} with {count}"
    if len(families) < FEW or count > LARGE * len(models):
        text += ": one family's faults would weigh heavily (paper, appendix F)"
    return text

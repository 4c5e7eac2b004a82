"""`rewild plan`: the engine plan as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console

from rewild.config.gpus import Gpu
from rewild.config.models import Model
from rewild.core.errors import ConfigError
from rewild.core.terminal import Column, output, print_table
from rewild.engines.plan import architecture_of, find_gpu, plan

FEW, LARGE = (
    3,
    0.5,
)  # families of models under which, and share of one family over which, a study lacks variety


def print_plans(
    models: Sequence[Model], gpu: str, gpus: Mapping[str, Gpu], console: Console | None = None
) -> None:
    """Print the plan of each model on GPUs of one type, and what the study's variety of models is.

    Models without an established dimension, or that do not fit, are listed below the table with the reason.
    """
    console = output(console)
    about = find_gpu(gpu, dict(gpus))
    rows = []
    reasons = []
    for model in models:
        try:
            made = plan(architecture_of(model), gpu, dict(gpus))
        except ConfigError as error:
            reasons.append(str(error))
            continue
        rows.append(
            (
                model.slug,
                str(made.gpus),
                made.precision,
                f"{made.weight_bytes / 1e9:.1f}",
                f"{made.kv_bytes:,}",
                f"{made.kv_tokens:,}",
                f"{made.context:,}",
                f"{model.paper_context:,}" if model.paper_context else "",
            )
        )
    columns = [
        Column("model"),
        Column("GPUs", 1, right=True),
        Column("weights", 3, right=True),
        Column("GB/GPU", 4, right=True),
        Column("KV B/token", 7, right=True),
        Column("KV tokens", 5, right=True),
        Column("context", 2, right=True),
        Column("paper", 6, right=True),
    ]
    title = f"{gpu}: {about.memory_gib} GiB, {about.utilization:.0%} usable, {about.reserve_gib} GiB reserved"
    print_table(columns, rows, title=title, console=console)
    console.print(
        "weights and KV bytes are per GPU; the context is the longest that the KV cache holds, at most "
        "the model's own;\npaper: the context its text states (section 2.2)",
        style="dim",
        highlight=False,
    )
    for reason in reasons:
        console.print(f"no plan: {reason}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(variety(models), highlight=False, markup=False, soft_wrap=True)


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

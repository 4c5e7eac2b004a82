"""`rewild cost`: the estimate as tables, under both objectives of a plan and beside the paper's, with what it
assumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, get_args

from rich.console import Console

from rewild.config.assumptions import Assumptions, Number
from rewild.config.responses import Objective
from rewild.core.terminal import Heading, output, print_table
from rewild.operate.cost.base import STAGES, CostInputs, Line, conversations, total, under
from rewild.operate.cost.estimate import estimate, mix_size
from rewild.prompts.synthesis.spec import syntheses_of

NOTEBOOK = ("llama-3.1-405b-instruct", "deepseek-coder-v2-instruct")
"""Models of the study that the paper does not list (docs/models.md)."""


def as_json(inputs: CostInputs, lines: Sequence[Line]) -> dict[str, Any]:
    """The estimate as plain values: for scripts, and for tests."""
    return {
        "study": inputs.study.name,
        "conversations": conversations(inputs),
        "gpu_hours": total(lines, "gpu_hours"),
        "responses_gpu_hours": {name: total(made, "gpu_hours") for name, made in _objectives(inputs).items()},
        "disk_bytes": total(lines, "disk"),
        "passing_bytes": total(lines, "passing"),
        "dollars": total(lines, "dollars"),
        "lines": [asdict(line) for line in lines],
    }


def _objectives(inputs: CostInputs) -> dict[Objective, list[Line]]:
    """The lines of the answers under each objective."""
    return {
        name: [line for line in estimate(under(inputs, name)) if line.stage == "responses"]
        for name in get_args(Objective)
    }


def print_cost(inputs: CostInputs, lines: Sequence[Line], each: bool, console: Console | None = None) -> None:
    """Print stages (or every line), what the paper says of its own study, and the assumptions."""
    console = output(console)
    number = conversations(inputs)
    about = f"{len(inputs.study.responses.models)} models, " if inputs.study.responses else ""
    about += f"{number:,} conversations, " if number else ""
    console.print(f"{inputs.study.name}: {about}{len(inputs.study.runs)} runs", markup=False, soft_wrap=True)
    _stages(lines, each, console)
    trained = [line for line in lines if line.stage == "training"]
    if any(line.gpus for line in lines):
        _beside_the_paper(inputs, trained, console)
    console.print(
        "hours: of the longest job. tokens: read by models (context again at each turn) and written.\n"
        "disk: what stays. while it runs: chunks of a model's shards until it is collected, optimiser\n"
        "states of a run until it ends; if all ran at once.",
        style="dim",
        soft_wrap=True,
    )
    rated = [line for line in lines if line.stage in ("synthesis", "responses", "training")]
    measured, predicted, published, unknown = (
        sum(line.basis == basis for line in rated)
        for basis in ("measured", "predicted", "published", "assumed")
    )
    console.print(
        f"speeds of models and runs: {measured} as this study measured them (throughput.csv, training.json, "
        f"shards of prompts), "
        f"{predicted} by the roofline of `rewild plan`, {published} from published times"
        + (f", {unknown} on a CPU: not known" if unknown else ""),
        soft_wrap=True,
    )
    for text in _sources(inputs.assumed):
        console.print(text, style="dim", markup=False, soft_wrap=True)


def _stages(lines: Sequence[Line], each: bool, console: Console) -> None:
    columns = [
        Heading("stage"),
        *([Heading("what")] if each else []),
        Heading("jobs", 4, right=True),
        Heading("GPU-hours", 1, right=True),
        Heading("hours", 2, right=True),
        Heading("tokens read", 7, right=True),
        Heading("written", 6, right=True),
        Heading("disk", 3, right=True),
        Heading("while it runs", 8, right=True),
        Heading("judge", 5, right=True),
    ]
    rows: list[tuple[str, ...]] = []
    for stage in STAGES:
        mine = [line for line in lines if line.stage == stage]
        if each:
            rows += [(stage, line.what, *_cells([line])) for line in mine]
        elif mine:
            rows.append((stage, *_cells(mine)))
    rows.append(("all", *([""] if each else []), *_cells(list(lines))))
    last = len(rows) - 1
    styles = [*[None] * last, "bold"]
    print_table(columns, rows, styles=styles, sections=[last], console=console)


def _cells(lines: Sequence[Line]) -> list[str]:
    dollars = total(lines, "dollars")
    return [
        f"{int(total(lines, 'jobs')):,}" if total(lines, "jobs") else "",
        f"{total(lines, 'gpu_hours'):,.0f}" if total(lines, "gpu_hours") else "",
        f"{max((line.hours for line in lines), default=0):,.1f}" if any(line.hours for line in lines) else "",
        tokens(total(lines, "read")),
        tokens(total(lines, "written")),
        size(total(lines, "disk")),
        size(total(lines, "passing")),
        f"${dollars:,.0f}" if dollars else "",
    ]


def _beside_the_paper(inputs: CostInputs, trained: Sequence[Line], console: Console) -> None:
    a = inputs.assumed
    columns = [
        Heading("beside the paper", prose=True),
        Heading("paper", right=True),
        *(Heading(name, right=True) for name in get_args(Objective)),
        Heading("note", 1, prose=True),
    ]
    rows = _sets(inputs)
    made = _objectives(inputs)
    if not rows and any(line.gpus for line in made["fewest"]):
        own = inputs.study.responses.compute.objective if inputs.study.responses else ""
        unlisted = [line.what for line in made["fewest"] if line.what in NOTEBOOK]
        hours = [f"{total(found, 'gpu_hours'):,.0f}" for found in made.values()]
        rows.append(
            (
                "GPU-hours of all responses",
                f"{a.paper.generation_gpu_hours.value:,.0f}",
                *hours,
                f"{len(made['fewest'])} models (paper: 54, of which it lists 52); this study: {own}",
            )
        )
        if unlisted:
            listed = [[line for line in found if line.what not in NOTEBOOK] for found in made.values()]
            rows.append(
                (
                    "the same, of the models it lists",
                    "",
                    *(f"{total(found, 'gpu_hours'):,.0f}" for found in listed),
                    f"without {', '.join(unlisted)}",
                )
            )
    usual = [line for line in trained if line.gpus and _is_usual(inputs, line.what)]
    measured = [line for line in usual if line.basis == "measured"]
    if usual:
        shown = measured or usual
        mean = sum(line.hours for line in shown) / len(shown)
        rows.append(
            (
                "hours of a run of 250,000 conversations",
                f"{a.training_hours.value:g}",
                f"{mean:.1f}",
                f"{mean:.1f}",
                f"mean of {len(measured)} runs as measured"
                if measured
                else "the paper's own, until a run is measured",
            )
        )
    print_table(columns, rows, console=console)


def _sets(inputs: CostInputs) -> list[tuple[str, ...]]:
    """A row for each set of the study's data whose GPU-hours a paper states: prompts and answers."""
    study, known = inputs.study, inputs.assumed.paper.set_gpu_hours
    written = {source.name: source.model for source in syntheses_of(study)}
    estimates = {name: estimate(under(inputs, name)) for name in get_args(Objective)}
    rows = []
    for one in study.data.sets.values() if study.data else ():
        paper, model = known.get(one.published or ""), one.responses or written.get(one.source or "")
        if paper is None or one.source is None or study.responses is None or model is None:
            continue
        mine, all_of_it = (
            conversations(inputs, origins) or 0
            for origins in ([one.source], study.responses.origins_of(model))
        )
        hours = []
        for lines in estimates.values():
            asked = sum(
                line.gpu_hours
                for line in lines
                if line.stage == "synthesis" and line.what.rpartition("/")[0] == one.source
            )
            answered = sum(
                line.gpu_hours for line in lines if (line.stage, line.what) == ("responses", model)
            )
            hours.append(f"{asked + answered * mine / max(all_of_it, 1):,.0f}")
        gpu = study.responses.compute.gpu or "no GPU"
        rows.append(
            (f"GPU-hours of {one.published}", f"{paper.value:,.0f}", *hours, f"paper: A100-80; here: {gpu}")
        )
    return rows


def _is_usual(inputs: CostInputs, run: str) -> bool:
    mix = inputs.study.runs[run].mix
    return mix in inputs.study.mixes and mix_size(inputs, inputs.study.mixes[mix]) == 250_000


def _sources(a: Assumptions) -> list[str]:
    """A line per number that an estimate rests on; those of single benchmarks are in the file."""
    named = [(key.replace("_", " "), getattr(a, key)) for key in type(a).model_fields]
    rows = [(name, found) for name, found in named if isinstance(found, Number) or hasattr(found, "kind")]
    rows += [(f"roofline, {key}", getattr(a.roofline, key)) for key in type(a.roofline).model_fields]
    rows += [(f"conversations of {name}", found) for name, found in a.conversations.items()]
    return ["It rests on (resources/cost/assumptions.yaml):"] + [
        f"  {name}: {found.value:,} ({found.kind}: {found.source})"
        if isinstance(found, Number)
        else f"  {name}: {found.value} ({found.kind}: {found.source})"
        for name, found in rows
    ]


def tokens(number: float) -> str:
    """``1.2 B``, ``340 M``, ``12 k``."""
    for unit, each in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= each:
            return f"{number / each:,.{0 if number >= 100 * each else 1}f} {unit}"
    return f"{number:.0f}" if number else ""


def size(number: float) -> str:
    """``1.2 TB``, ``340 GB``, ``12 MB``: powers of ten, as file systems are sold."""
    for unit, each in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= each:
            return f"{number / each:,.{0 if number >= 100 * each else 1}f} {unit}"
    return f"{number / 1e3:.0f} kB" if number else ""

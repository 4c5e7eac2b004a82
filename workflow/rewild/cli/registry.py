"""Commands about the tables of models and benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewild.cli.study import ConfigFolder

if TYPE_CHECKING:
    from rewild.config import Model

app = typer.Typer()
UNKNOWN = "·"


@app.command()
def models(
    family: Annotated[str | None, typer.Option(help="Only this family, such as llama-3.1")] = None,
    role: Annotated[
        str | None, typer.Option(help="Only this role: dgm, base, sft-target, baseline, judge, source")
    ] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """List the models that the paper names (· where a value is not established)."""
    from typing import get_args

    from rewild.config import load_models
    from rewild.config.models import Role
    from rewild.core.terminal import Column, print_table

    known = load_models(config)
    _check("family", family, sorted({m.family for m in known.values()}))
    _check("role", role, get_args(Role))
    chosen = [m for m in known.values() if family in (None, m.family) and (role is None or role in m.roles)]
    rows = []
    for m in chosen:
        context = f"{m.native_context:,}" if m.native_context else UNKNOWN
        flags = [*m.listed.flags, *(["gated"] if m.gated else []), *(["ships code"] if m.ships_code else [])]
        cells = (m.slug, m.abbreviation, m.family, m.kind, _size(m), context, m.licence or UNKNOWN)
        rows.append((*cells, ", ".join(flags)))
    columns = [
        Column("model"),
        Column("abbr.", 5),
        Column("family", 6),
        Column("kind", 3),
        Column("params", 1, right=True),
        Column("context", 2, right=True),
        Column("licence", 4),
        Column("flags", 7),
    ]
    print_table(columns, rows)
    typer.echo(f"{len(chosen)} of {len(known)} models")


@app.command()
def benchmarks(config: ConfigFolder = Path("config")) -> None:
    """List the benchmarks; the nine of the paper's tables first, in their order."""
    from rewild.config import load_benchmarks, load_models
    from rewild.core.terminal import Column, print_table

    known = load_benchmarks(config, load_models(config))
    rows = []
    for b in known.values():
        shots = UNKNOWN if b.fewshot is None else str(b.fewshot)
        cells = (b.slug, b.title, "yes" if b.nine else "", b.group, b.runner, b.task or "", b.metric)
        rows.append((*cells, shots, str(b.scale.max), b.judge or ""))
    columns = [
        Column("benchmark"),
        Column("title", 5),
        Column("nine", 3),
        Column("group", 7),
        Column("runner", 2),
        Column("task", 9),
        Column("metric", 1),
        Column("shots", 4, right=True),
        Column("max", 6, right=True),
        Column("judge", 8),
    ]
    print_table(columns, rows)
    typer.echo(f"{len(known)} benchmarks")


def _check(what: str, value: str | None, known: tuple[str, ...] | list[str]) -> None:
    from rewild.core.errors import ConfigError, nearest

    if value is not None and value not in known:
        raise ConfigError(f"unknown {what} '{value}'{nearest(value, known)} (known: {', '.join(known)})")


def _size(model: Model) -> str:
    """Billions of parameters: stated, or implied by the dimensions."""
    if model.parameters:
        total, active = model.parameters.total, model.parameters.active
    elif implied := model.dimensions.parameters():
        total, active = implied
    else:
        return UNKNOWN
    size = f"{total / 1e9:.1f}B"
    return size if active in (None, total) else f"{size} ({active / 1e9:.1f}B)"

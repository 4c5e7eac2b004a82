"""Commands about the environments of the heavier tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("build-env")
def build_env(
    lock: Annotated[Path, typer.Argument(help="A lock, such as envs/engine-cpu.txt")],
    folder: Annotated[Path, typer.Argument(help="Where to, such as .envs/engine-cpu")],
) -> None:
    """Make a tool's virtual environment from its lock, and try it."""
    from rewild.operate.environments import build

    build(lock, folder, lambda line: typer.echo(line, err=True))

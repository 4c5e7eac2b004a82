"""Options and arguments that commands share, and how commands speak."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StudyName = Annotated[str, typer.Argument(help="A study's name, or its resolved config.yaml")]
RunName = Annotated[str, typer.Argument(help="A run of the study")]
ConfigFolder = Annotated[
    Path,
    typer.Option(
        "--config",
        help="The folder of config.yaml, tables such as models.yaml, studies/",
        envvar="REWILD_CONFIG_FOLDER",
    ),
]
Results = Annotated[Path, typer.Option(help="The folder of results")]
Out = Annotated[Path | None, typer.Option(help="Where it goes (default: its place in --results)")]
Work = Annotated[
    Path | None, typer.Option(help="Where what is half done is kept (default: its place in --results)")
]
Threads = Annotated[int | None, typer.Option(help="CPU threads (default: all)")]


def say(line: str) -> None:
    """A line of progress, beside the output."""
    typer.echo(line, err=True)


def log_progress() -> None:
    """Show what the package logs, without what every request to an endpoint says."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

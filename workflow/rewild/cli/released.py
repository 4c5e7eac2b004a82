"""Commands that bring what others released."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def fetch(
    collection: Annotated[str, typer.Argument(help="A collection of resources/released/files.csv")],
    into: Annotated[Path, typer.Option(help="The folder for OWNER/REPO/COMMIT/PATH")] = Path(
        "results/downloads"
    ),
    mirror: Annotated[
        str | None,
        typer.Option(envvar="REWILD_MIRROR", help="A folder or base URL in place of the public address"),
    ] = None,
) -> None:
    """Fetch released files at pinned commits, checked by SHA-256; goes on where it stopped."""
    from rewild.core.fetch import fetch_collection

    fetch_collection(collection, into, base=mirror, report=lambda line: typer.echo(line, err=True))

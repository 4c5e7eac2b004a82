"""Commands of the phase prompts: prepared from files and the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewild.cli.options import ConfigFolder, StudyName, say

if TYPE_CHECKING:
    from rewild.config.prompts import Prompts

app = typer.Typer()
PANEL = "Prompts: prepared from files and the hub"
Settings = Annotated[
    str | None, typer.Option(help="The section `prompts`, resolved, as JSON [default: the study's file]")
]


def _section(study: str, settings: str | None, config: Path) -> Prompts:
    from rewild.config import load_study
    from rewild.config.base import validate_json
    from rewild.config.prompts import Prompts
    from rewild.core.errors import ConfigError

    if settings:
        return validate_json(Prompts, settings, "--settings")
    prompts = load_study(config, study).prompts
    if prompts is None:
        raise ConfigError(f"study {study} has no section `prompts`, so there is nothing to prepare")
    return prompts


@app.command()
def prepare(
    study: StudyName,
    out: Annotated[Path | None, typer.Option(help="Where results go [results/STUDY/prompts]")] = None,
    cores: Annotated[int, typer.Option(min=1, help="Processes; the result does not depend on it")] = 1,
    settings: Settings = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Filter, deduplicate and shard a study's conversations, with an account of every row."""
    from rewild.prompts.prepare import prepare

    prepare(
        study,
        _section(study, settings, config),
        out or Path("results") / study / "prompts",
        cores=cores,
        say=say,
    )


@app.command()
def fetch_hub(
    repository: Annotated[str, typer.Argument(help="OWNER/NAME of a dataset in the WildChat schema")],
    revision: Annotated[str, typer.Argument(help="Its commit, all 40 digits")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write")],
    split: Annotated[str, typer.Option(help="The split")] = "train",
) -> None:
    """Stream a dataset of the Hugging Face hub, at a pinned revision, to one file. Needs `datasets`."""
    from rewild.config.base import validate
    from rewild.config.prompts import Hub
    from rewild.prompts.hub import stream

    asked = {"kind": "hub", "repository": repository, "revision": revision, "split": split}
    stream(validate(Hub, asked, "fetch-hub"), out, say=say)

"""Commands that make training mixes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
StudyName = Annotated[str, typer.Argument(help="A study's name, or its resolved config.yaml")]
ConfigFolder = Annotated[Path, typer.Option("--config", help="The folder of config.yaml and studies/")]
Results = Annotated[Path, typer.Option(help="The folder of results")]


class Part(StrEnum):
    """What is made of a mix or a set of pairs: what is trained on, or the card, which says what it is."""

    DATA = "data"
    CARD = "card"


Only = Annotated[Part | None, typer.Option(help="Make the data, or the card of data that are there")]


def _say(line: str) -> None:
    typer.echo(line, err=True)


@app.command()
def mix(
    study: StudyName,
    name: Annotated[str, typer.Argument(help="A mix of the study")],
    *,
    only: Only = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Make a training mix from its sources, with a card that says what is in it."""
    from rewild.config import load_models, read_study
    from rewild.core.errors import ConfigError, nearest
    from rewild.core.table import provenance, read_table, write_table
    from rewild.training.mixes.build import build, outcomes_of, sources_frame
    from rewild.training.mixes.card import write_card
    from rewild.training.mixes.read import Place
    from rewild.training.mixes.schema import SOURCES
    from rewild.training.mixes.tokens import open_tokenizer

    found, models = read_study(study, config), load_models(config)
    if name not in found.mixes:
        known = ", ".join(found.mixes) or "none"
        raise ConfigError(
            f"study {found.name}: unknown mix '{name}'{nearest(name, found.mixes)} (mixes: {known})"
        )
    row, folder = found.mixes[name], results / found.name / "mixes" / name
    if only != Part.CARD:
        place = Place(Path(), results / found.name)
        outcomes = build(name, row, place, folder, study=found.name, seed=found.seed, say=_say)
        made_from = provenance([folder / "train.parquet"])
        write_table(folder / "sources.csv", sources_frame(outcomes), SOURCES, made_from)
    if only != Part.DATA:
        count = open_tokenizer(found, row.tokenizer, models) if row.tokenizer else None
        outcomes = outcomes_of(read_table(folder / "sources.csv", SOURCES))
        card = write_card(folder, name, found, outcomes, models=models, count=count)
        tokens = f", {card['train_tokens']['sum']:,} tokens to train on" if count else ""
        typer.echo(f"{name}: {card['conversations']:,} conversations{tokens}")


@app.command()
def mixes(
    study: StudyName, results: Results = Path("results"), config: ConfigFolder = Path("config")
) -> None:
    """List a study's mixes and sets of preference pairs, and which are made."""
    from rewild.config import read_study
    from rewild.training.mixes.listing import print_mixes

    print_mixes(read_study(study, config), results)


@app.command("fetch-dataset")
def fetch_dataset(
    repository: Annotated[str, typer.Argument(help="OWNER/NAME of a dataset")],
    revision: Annotated[str, typer.Argument(help="Its commit, all 40 digits")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write")],
    subset: Annotated[str, typer.Option(help="The dataset's configuration")] = "default",
    split: Annotated[str, typer.Option(help="The split")] = "train",
) -> None:
    """Stream a dataset of the Hugging Face hub, at a pinned revision, to one file. Needs `datasets`."""
    from rewild.config.base import validate
    from rewild.config.mixes import UNPINNED, FromHub
    from rewild.core.errors import ConfigError
    from rewild.training.mixes.hub import fetch

    if revision == UNPINNED:
        raise ConfigError(
            f"the dataset {repository} has no `revision` in the study: put the commit there, all 40 digits, "
            "so that the mix stays what it is"
        )
    asked = {"kind": "hub", "repository": repository, "revision": revision, "split": split}
    fetch(validate(FromHub, asked | {"subset": subset, "licence": "-"}, "fetch-dataset"), out, say=_say)

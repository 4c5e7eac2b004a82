"""Commands about AlpacaEval win rates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
Annotated_ = Annotated[list[Path], typer.Argument(help="Files annotations.json, one per model")]


@app.command()
def win_rates(
    annotations: Annotated_,
    leaderboard: Annotated[Path, typer.Option(help="The published leaderboard, CSV")],
    weights: Annotated[
        Path, typer.Option(help="The published coefficients of the length-controlled fits, CSV")
    ],
    out: Annotated[
        Path,
        typer.Option(help="The folder for win_rates.csv, agreement.csv, win_rates.md and difficulties.csv"),
    ],
) -> None:
    """Compute win rates, raw and length-controlled, of every model beside the leaderboard's."""
    import polars as pl

    from rewild.core.errors import nearest
    from rewild.core.files import write_text
    from rewild.core.table import provenance, write_table
    from rewild.evaluation.win_rates import annotations as a
    from rewild.evaluation.win_rates import compute, schema
    from rewild.evaluation.win_rates.length_control import recover_difficulties
    from rewild.evaluation.win_rates.markdown import render

    published = a.read_leaderboard(leaderboard)
    files = [a.read_annotations(path, published) for path in annotations]
    for file in files:
        if file.model not in published:
            hint = nearest(file.model, published)
            typer.echo(f"{file.model}: not on the leaderboard, so nothing to compare with{hint}", err=True)
    coefficients = a.read_coefficients(weights)
    difficulties = recover_difficulties(files, coefficients)
    rates = compute.win_rates(files, published, coefficients, difficulties)
    agreement = compute.agreement(rates)
    made_from = provenance([*annotations, leaderboard, weights])
    write_table(out / "win_rates.csv", rates, schema.WIN_RATES, made_from)
    write_table(out / "agreement.csv", agreement, schema.AGREEMENT, made_from)
    table = pl.DataFrame(schema=schema.DIFFICULTIES.dtypes)
    if difficulties is None:
        typer.echo(
            "no annotation file keeps glm_preference: instruction difficulties are not known", err=True
        )
    else:
        table = pl.DataFrame(
            {
                "position": range(len(difficulties.values)),
                "instruction_sha256": difficulties.sha256(),
                "difficulty": difficulties.values,
            }
        )
    write_table(out / "difficulties.csv", table, schema.DIFFICULTIES, made_from)
    write_text(out / "win_rates.md", render(rates, agreement))


@app.command()
def length_control(
    annotations: Annotated_,
    leaderboard: Annotated[Path, typer.Option(help="The published leaderboard, CSV")],
    weights: Annotated[
        Path, typer.Option(help="The published coefficients of the length-controlled fits, CSV")
    ],
    out: Annotated[Path, typer.Option(help="length_control.json")],
) -> None:
    """Recover what the length-controlled win rate of a new model needs, from released annotations."""
    from rewild.core.errors import DataError
    from rewild.core.files import write_json
    from rewild.core.table import provenance
    from rewild.evaluation.win_rates import annotations as a
    from rewild.evaluation.win_rates import compute

    published = a.read_leaderboard(leaderboard)
    files = [a.read_annotations(path, published) for path in annotations]
    found = compute.length_control(files, published, a.read_coefficients(weights))
    if found is None:
        raise DataError("no annotation file keeps glm_preference: instruction difficulties are not known")
    made_from = provenance([*annotations, leaderboard, weights])
    write_json(out, {**found.as_json(), "provenance": made_from})


@app.command()
def win_rates_by_library(
    annotations: Annotated_,
    rates: Annotated[Path, typer.Option(help="win_rates.csv of `rewild win-rates`")],
    difficulties: Annotated[Path, typer.Option(help="difficulties.csv of `rewild win-rates`")],
    out: Annotated[Path, typer.Option(help="library.csv")],
    offline: Annotated[bool, typer.Option("--offline", help="Do not try the Hugging Face hub")] = False,
) -> None:
    """Compute length-controlled win rates by the alpaca_eval library (in .envs/alpaca-eval)."""
    from rewild.core.table import provenance, read_table, write_table
    from rewild.evaluation.win_rates import schema
    from rewild.evaluation.win_rates.library import run_library

    own = read_table(rates, schema.WIN_RATES)
    found = run_library(annotations, own, read_table(difficulties, schema.DIFFICULTIES), offline)
    write_table(out, found, schema.LIBRARY, provenance([*annotations, rates, difficulties]))

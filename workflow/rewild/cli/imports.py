"""Commands that take over responses which others released."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewild.core.errors import DataError

app = typer.Typer()
Config = Annotated[Path, typer.Option("--config", help="The folder of config.yaml, models.yaml, studies/")]
Results = Annotated[Path, typer.Option(help="The folder of results")]
StudyName = Annotated[str, typer.Argument(help="A study's name, or its resolved config.yaml")]


@app.command("import")
def import_responses(
    study: StudyName,
    number: Annotated[int, typer.Argument(min=0, help="Which of the study's imports, counted from 0")],
    results: Results = Path("results"),
    config: Config = Path("config"),
) -> None:
    """Bring one import of a study into the form of generated responses: a shard of each of its models."""
    from rewild.config import load_models, read_study
    from rewild.config.imports import imported
    from rewild.config.prompts import shard_name
    from rewild.core.errors import ConfigError
    from rewild.core.fetch import read_manifest
    from rewild.core.table import provenance, write_table
    from rewild.responses.imports.write import MODELS, describe_models, import_source

    chosen = read_study(study, config)
    if number >= len(chosen.imports):
        raise ConfigError(
            f"study {chosen.name}: it has {len(chosen.imports)} imports, counted from 0; {number} is none"
        )
    source = chosen.imports[number]
    models = load_models(config)
    files = imported(source, read_manifest(), models)
    folder = results / chosen.name
    shard = shard_name(number)
    counts = import_source(source, files, shard=shard, study=chosen.name, folder=folder)
    made_from = provenance([f.path for f in files], kind=source.kind, source=source.name)
    write_table(folder / "imports" / f"{shard}.csv", describe_models(counts, models), MODELS, made_from)
    typer.echo(
        f"{source.name}: {counts.height} models, {counts['rows'].sum():,} rows, "
        f"{counts['failures'].sum()} failures"
    )


@app.command("collect-imports")
def collect_imports(
    counts: Annotated[list[Path], typer.Argument(help="What each import counted: imports/0000.csv, ...")],
    folder: Annotated[Path, typer.Option(help="The study's results")],
) -> None:
    """Write a manifest for every imported model, after checking its shards, and a list of all of them."""
    import polars as pl

    from rewild.core.table import provenance, read_table, write_table
    from rewild.responses.imports.write import MODELS, merge_manifests

    rows = pl.concat([read_table(path, MODELS) for path in sorted(counts)]).sort("model", "source")
    for model in rows["model"].unique(maintain_order=True):
        parts = [p for c in counts if (p := folder / "imports" / c.stem / f"{model}.json").exists()]
        made = merge_manifests(parts, folder / "responses" / model / "manifest.json")
        if made.rows != (held := rows.filter(model=model)["rows"].sum()):
            raise DataError(
                f"{model}: its shards hold {made.rows} rows, but {held} were imported; import it again"
            )
        typer.echo(f"{model}: {made.rows:,} rows, {made.failures} failures")
    write_table(folder / "imports" / "models.csv", rows, MODELS, provenance(counts))

"""Commands about studies and their configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
ConfigFolder = Annotated[Path, typer.Option("--config", help="The folder of config.yaml and studies/")]


@app.command()
def validate(
    studies: Annotated[list[str] | None, typer.Argument(help="Studies to check (default: all)")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Check studies, models and benchmarks, and say what is wrong."""
    from rewild.config import load_benchmarks, load_models, load_study, study_names

    models = load_models(config)
    typer.echo(
        f"models: {len(models)}, of which {sum('dgm' in m.roles for m in models.values())} generate data"
    )
    benchmarks = load_benchmarks(config, models)
    typer.echo(f"benchmarks: {len(benchmarks)}, of which {sum(b.judged for b in benchmarks.values())} judged")
    for name in studies or study_names(config):
        study = load_study(config, name)
        typer.echo(f"{name}: {study.title}")


@app.command()
def resolve(
    study: Annotated[str, typer.Argument(help="A study's name, or the file of a resolved one (.yaml)")],
    out: Annotated[Path | None, typer.Option(help="Where to write it (default: the terminal)")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Write a study's configuration as it is used: defaults, study and command line in one."""
    import yaml

    from rewild.core.files import write_text
    from rewild.report.findings.select import study_as_used

    found = study_as_used(study, config)
    text = yaml.safe_dump(found.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
    if out:
        write_text(out, text)
    else:
        typer.echo(text, nl=False)

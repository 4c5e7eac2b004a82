"""Commands for those who pay for the machines: what a study costs, and whether it can start here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rewild.cli.study import ConfigFolder

app = typer.Typer()
StudyName = Annotated[str, typer.Argument(help="The study")]
Results = Annotated[Path, typer.Option(help="The folder of results")]
Models = Annotated[
    str | None, typer.Option(help="Only these models of it, as `snakemake --config models=…`: a,b or qwen*")
]
Runs = Annotated[str | None, typer.Option(help="Only these runs of it, as `snakemake --config runs=…`")]


@app.command()
def cost(  # noqa: PLR0917
    study: StudyName,
    models: Models = None,
    runs: Runs = None,
    each: Annotated[bool, typer.Option("--each", help="A line per model and run, not per stage")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts")] = False,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Estimate GPU-hours, tokens and disk of a study, beside what the paper says of its own."""
    import json

    from rewild.operate.cost.estimate import estimate
    from rewild.operate.cost.report import as_json as plain
    from rewild.operate.cost.report import print_cost

    world = _world(study, models, runs, results, config)
    lines = estimate(world)
    if as_json:
        typer.echo(json.dumps(plain(world, lines), indent=1))
    else:
        print_cost(world, lines, each)


@app.command()
def preflight(  # noqa: PLR0917
    study: StudyName,
    profile: Annotated[str, typer.Option(help="The profile it will run with: slurm, or default")] = "default",
    models: Models = None,
    runs: Runs = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
    files: Annotated[
        bool,
        typer.Option(
            help="Load models' configurations, tokenizers and templates as jobs will; look for kernels"
        ),
    ] = True,
) -> None:
    """Check that a study can start here: models, plans, revisions, licences, keys, disk, and the cluster."""
    import os

    from rewild.config import load_defaults
    from rewild.core.errors import ConfigError
    from rewild.operate.preflight import check_profile, check_study, environment_of_jobs
    from rewild.operate.preflight_kernel import check_kernel
    from rewild.operate.preflight_models import check_models
    from rewild.operate.site import print_checks

    world = _world(study, models, runs, results, config)
    checks = check_profile(world, profile, config.parent)
    environ = environment_of_jobs(profile, os.environ)
    checks += check_study(world, load_defaults(config).licences, environ)
    if files:
        checks += check_models(world, environ, config.parent / ".envs")
        checks += check_kernel(world, environ, config.parent / ".envs")
    print_checks(world.study.name, checks)
    if failed := [check.name for check in checks if check.state == "missing"]:
        raise ConfigError(f"study {world.study.name} cannot start here yet: {', '.join(failed)}")


def _world(study: str, models: str | None, runs: str | None, results: Path, config: Path) -> Any:
    """Everything that an estimate of a study looks at."""
    import json
    import os

    from rewild.config import load_benchmarks, load_defaults, load_models, read_study
    from rewild.config.recipes import load_recipes
    from rewild.config.study import command_line
    from rewild.operate.cost.assumptions import load_assumptions
    from rewild.operate.cost.estimate import World

    if models or runs:
        asked = {k: v for k, v in (("models", models), ("runs", runs)) if v}
        os.environ["REWILD_CONFIG"] = json.dumps(command_line() | asked | {"study": study})
    table = load_models(config)
    return World(
        study=read_study(study, config),
        models=table,
        recipes=load_recipes(config),
        benchmarks=load_benchmarks(config, table),
        gpus=load_defaults(config).gpus,
        assumed=load_assumptions(config.parent),
        results=results,
    )


@app.command("draw-dag")
def draw_dag(
    study: StudyName,
    out: Annotated[Path, typer.Option(help="The figure, without suffix")],
) -> None:
    """Draw a study's rules, how many jobs each has, and which feeds which. Run it in the repository."""
    from rewild.core.plotting import save
    from rewild.operate.dag import draw_rules, read_rules

    rules = read_rules(study, Path())
    for path in save(draw_rules(rules, f"The study {study}, by rule"), out):
        typer.echo(path)

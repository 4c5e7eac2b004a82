"""Commands about runs: fine-tuning with Axolotl, its checks, its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rewild.config.runs import Training
    from rewild.config.study import Study
    from rewild.training.runs.layout import RunFiles

app = typer.Typer()
StudyName = Annotated[str, typer.Argument(help="A study's name, or its resolved config.yaml")]
RunName = Annotated[str, typer.Argument(help="A run of the study")]
ConfigFolder = Annotated[
    Path, typer.Option("--config", help="The folder of config.yaml, models.yaml, recipes.yaml, studies/")
]
Results = Annotated[Path, typer.Option(help="The folder of results")]
Mix = Annotated[Path, typer.Option(help="What the run learns from: train.parquet")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads, per process")]


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _training(study: str, run: str, config: Path, results: Path) -> tuple[Study, Training, RunFiles]:
    from rewild.config import load_models, read_study
    from rewild.config.recipes import load_recipes
    from rewild.config.runs import training_of
    from rewild.core.errors import ConfigError
    from rewild.training.runs.layout import RunFiles

    found = read_study(study, config)
    training = training_of(found, run, load_models(config), load_recipes(config))
    if training is None:
        raise ConfigError(f"study {found.name}: run '{run}' is a model as it is; it is not trained")
    return found, training, RunFiles(results, found.name, run)


@app.command("fetch-kernel")
def fetch_kernel(
    out: Annotated[Path, typer.Option(help="The folder that it goes to, beside kernel.json")],
) -> None:
    """Fetch the flash-attention kernel that Axolotl pins (in Axolotl's environment; no GPU is needed)."""
    from rewild.training.runs.kernel import fetch_kernel as fetch

    found = fetch(out)
    typer.echo(f"{found['repo']} v{found['version']} ({found['variant']}) at {found['revision']}: {out}")


@app.command("preflight-run")
def preflight_run(  # noqa: PLR0917
    study: StudyName,
    run: RunName,
    mix: Mix,
    results: Results = Path("results"),
    threads: Threads = 1,
    config: ConfigFolder = Path("config"),
) -> None:
    """Render a run's Axolotl config, prepare its data and check both (in Axolotl's environment)."""
    from rewild.training.runs.preflight import preflight

    _, training, files = _training(study, run, config, results)
    report = preflight(training, mix, files, threads, _say)
    typer.echo(f"preflight of {run} {'passed' if report.passed else 'FAILED'}: {files.folder}/preflight.md")


@app.command("train-run")
def train_run(  # noqa: PLR0917
    study: StudyName,
    run: RunName,
    mix: Mix,
    results: Results = Path("results"),
    threads: Threads = 1,
    config: ConfigFolder = Path("config"),
) -> None:
    """Fine-tune with Axolotl. Killed, it goes on from its last sound checkpoint when run again."""
    from rewild.training.runs.train import train

    _, training, files = _training(study, run, config, results)
    done = train(training, mix, files, threads, _say)
    speed = f", {done.tokens_per_second:,.0f} tokens/s" if done.tokens_per_second else ""
    typer.echo(f"{run}: {done.steps} steps, loss {done.first_loss:.3f} to {done.last_loss:.3f}{speed}")


@app.command("draw-loss")
def draw_loss(
    loss: Annotated[Path, typer.Argument(help="loss.csv of a run")],
    out: Annotated[Path, typer.Option(help="Path of the figure, without a suffix")],
    title: Annotated[str, typer.Option(help="The run's name in tables")],
) -> None:
    """Draw the loss and the learning rate of a run, step by step."""
    from rewild.training.runs.figures import draw_loss as draw

    draw(loss, out, title)


@app.command("postflight-run")
def postflight_run(  # noqa: PLR0917
    study: StudyName,
    run: RunName,
    mix: Mix,
    shards: Annotated[
        list[Path] | None, typer.Option("--shard", help="Shards of prompts to draw from")
    ] = None,
    results: Results = Path("results"),
    threads: Threads = 1,
    config: ConfigFolder = Path("config"),
) -> None:
    """Load a run's checkpoint in transformers and let it answer; `check-run` decides."""
    from rewild.training.runs.postflight import postflight

    found, training, files = _training(study, run, config, results)
    report = postflight(found, training, shards or [], mix, files, threads, _say)
    typer.echo(f"postflight of {run} {'passed' if report.passed else 'FAILED'}: {files.folder}/postflight.md")


@app.command("check-run")
def check_run(
    report: Annotated[Path, typer.Argument(help="postflight.json of a run")],
    out: Annotated[Path, typer.Option(help="Written if the post-flight passed")],
) -> None:
    """Pass, or say which checks of a checkpoint failed."""
    from rewild.core.errors import DataError
    from rewild.core.files import write_text
    from rewild.training.runs.checks import read_report, why_failed

    found = read_report(report)
    if not found.passed:
        raise DataError(why_failed(found))
    write_text(out, f"{found.identity}\n")


@app.command("inherited-style")
def inherited_style(
    study: StudyName,
    responses: Annotated[list[Path], typer.Argument(help="Responses of runs and models (.parquet)")],
    out: Annotated[Path, typer.Option(help="The folder for counts.csv, rates.csv, pairs.csv and so on")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Do fine-tunes write in the style of the models they learned from? (Table 3)"""
    from rewild.config import load_models, read_study
    from rewild.training.runs.inheritance import write_inheritance

    typer.echo(write_inheritance(read_study(study, config), load_models(config), responses, out))


@app.command()
def runs(
    study: StudyName,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """A study's runs: how far each is, losses, hours, where the checkpoints are."""
    from rewild.config import load_models, read_study
    from rewild.config.recipes import load_recipes
    from rewild.training.runs.status import print_runs

    print_runs(read_study(study, config), load_models(config), results, recipes=load_recipes(config))

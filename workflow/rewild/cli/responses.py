"""Commands from prompts to responses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rewild.generation.spec import Job

app = typer.Typer()
StudyName = Annotated[str, typer.Argument(help="A study's name, or its resolved config.yaml")]
ModelName = Annotated[str, typer.Argument(help="A model of the study")]
ConfigFolder = Annotated[
    Path, typer.Option("--config", help="The folder of config.yaml, models.yaml, studies/")
]
Results = Annotated[Path, typer.Option(help="The folder of results")]
Threads = Annotated[int | None, typer.Option(help="CPU threads (default: all)")]


def _job(study: str, model: str, config: Path) -> Job:
    from rewild.config import load_defaults, read_study
    from rewild.config.models import load_models
    from rewild.generation.spec import make_job

    gpus = load_defaults(config).gpus
    return make_job(read_study(study, config), model, load_models(config), gpus)


def _log() -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@app.command()
def plan(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models (default: all that can generate)")
    ] = None,
    gpu: Annotated[
        str, typer.Option(help="GPU type: H100-80, H200-141, A100-80, or one of config.yaml")
    ] = "H100-80",
    study: Annotated[str | None, typer.Option(help="The models of this study")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """GPUs and context of each model on a kind of GPU, beside the contexts that the paper used."""
    from rewild.config import load_defaults, read_study
    from rewild.config.models import find_model, load_models
    from rewild.responses.plans import print_plans

    table = load_models(config)
    wanted = list(models or [])
    if study is not None:
        responses = read_study(study, config).responses
        wanted += responses.models if responses else []
    rows = [find_model(table, slug) for slug in wanted] or [m for m in table.values() if "dgm" in m.roles]
    print_plans(rows, gpu, load_defaults(config).gpus)


@app.command()
def pilot(  # noqa: PLR0917
    study: StudyName,
    model: ModelName,
    shards: Annotated[list[str], typer.Option("--shard", help="Shards of prompts to draw the sample from")],
    results: Results = Path("results"),
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Try a model on a small diverse sample and report what is wrong; `check-pilot` decides."""
    from rewild.generation.prepared import open_kitchen
    from rewild.responses.layout import Layout
    from rewild.responses.pilot import run_pilot

    _log()
    job = _job(study, model, config)
    layout = Layout(results, job.study)
    prompts = [layout.prompts(shard) for shard in shards]
    report = run_pilot(open_kitchen(job, threads), prompts, layout.work(model, "pilot"), layout.pilot(model))
    typer.echo(
        f"the pilot of {model} {'passed' if report.passed else 'FAILED'}: {layout.pilot(model)}/report.md"
    )


@app.command("check-pilot")
def check_pilot(
    report: Annotated[Path, typer.Argument(help="report.json of a pilot")],
    out: Annotated[Path, typer.Option(help="Written if the pilot passed")],
    gates: Annotated[
        str | None, typer.Option(help="Largest shares as JSON; without it those of the pilot's own time")
    ] = None,
) -> None:
    """Pass, or say which gates stopped the model, with examples."""
    import json

    from rewild.core.errors import DataError
    from rewild.core.files import write_text
    from rewild.responses.pilot import judged_now, read_report, why_failed

    found = read_report(report)
    if gates is not None:
        try:
            found = judged_now(found, {str(k): float(v) for k, v in json.loads(gates).items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"--gates {gates}: shares by gate, as JSON, were expected") from error
    if not found.passed:
        raise DataError(why_failed(found))
    write_text(out, f"{found.recipe}\n")


@app.command()
def respond(  # noqa: PLR0917
    study: StudyName,
    model: ModelName,
    shard: Annotated[str, typer.Argument(help="A shard of prompts, such as 0003")],
    results: Results = Path("results"),
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Answer one shard. Killed at any moment, it goes on from the last finished chunk when run again."""
    from rewild.generation.prepared import open_kitchen
    from rewild.responses.layout import Layout
    from rewild.responses.shard import run_shard

    _log()
    job = _job(study, model, config)
    layout = Layout(results, job.study)
    out = layout.responses(model) / f"{shard}.parquet"
    done = run_shard(
        open_kitchen(job, threads),
        layout.prompts(shard),
        layout.work(model, shard),
        out,
        out.with_suffix(".json"),
    )
    speed = f"{done.tokens_per_second:,.0f} tokens/s" if done.tokens_per_second else "no tokens"
    typer.echo(f"{model}, shard {shard}: {done.rows} rows, {done.failures} failures, {speed}")


@app.command()
def collect(
    study: StudyName,
    model: ModelName,
    shards: Annotated[list[str], typer.Option("--shard", help="The shards of the study")],
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Count a model's shards into a manifest; refuses if conversations and rows do not add up."""
    from rewild.responses.collect import collect as collect_model
    from rewild.responses.layout import Layout
    from rewild.responses.pilot import read_report

    job = _job(study, model, config)
    layout = Layout(results, job.study)
    folder = layout.responses(model)
    report = read_report(layout.pilot(model) / "report.json")
    prompts = [layout.prompts(shard) for shard in shards]
    found = collect_model(job, report, prompts, folder, folder / "manifest.json")
    typer.echo(
        f"{model}: {found.rows:,} rows of {found.conversations:,} conversations, {found.failures:,} failures"
    )


@app.command()
def status(
    study: StudyName,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """How far a study's models are: shards, rows, failures, speed, time left."""
    from rewild.config import read_study
    from rewild.responses.status import print_status

    print_status(read_study(study, config), results)


@app.command()
def show(
    study: StudyName,
    conversation: Annotated[str | None, typer.Argument(help="A conversation's id, or its beginning")] = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="Only these models")] = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Show a conversation with every model's answers (default: the first conversation)."""
    from rewild.config import read_study
    from rewild.responses.show import print_conversation

    print_conversation(read_study(study, config), results, conversation, models)

"""Commands of the ground-truth benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
StudyName = Annotated[str, typer.Argument(help="A study's name, or its resolved config.yaml")]
RunName = Annotated[str, typer.Argument(help="A run of the study")]
ConfigFolder = Annotated[
    Path, typer.Option("--config", help="The folder of config.yaml, benchmarks.yaml, studies/")
]
Results = Annotated[Path, typer.Option(help="The folder of results")]


@app.command()
def evaluate(
    study: StudyName,
    run: RunName,
    results: Results = Path("results"),
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: all)")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Run a study's ground-truth benchmarks on one run, in lm-eval; what is unchanged is kept."""
    from rewild.evaluation.harness.job import run_job

    done = run_job(study, run, results, config, threads)
    said = ", ".join(f"{benchmark} {what}" for benchmark, what in done.items())
    typer.echo(f"{run}: {said}")


@app.command("score-benchmark")
def score_benchmark(
    study: StudyName,
    run: RunName,
    benchmark: Annotated[str, typer.Argument(help="A ground-truth benchmark of the study")],
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Turn lm-eval's results of one benchmark into scores; no model is asked."""
    from rewild.config import load_benchmarks, read_study
    from rewild.config.benchmarks import find_benchmark
    from rewild.config.models import load_models
    from rewild.evaluation.harness.score import write
    from rewild.evaluation.harness.settings import evaluation_of, target_of

    chosen = read_study(study, config)
    row = find_benchmark(load_benchmarks(config), benchmark)
    found = write(
        results / chosen.name / "benchmarks" / run / benchmark,
        study=chosen.name,
        run=run,
        model=target_of(chosen, run, load_models(config)).slug,
        metric=row.metric,
        max_empty=evaluation_of(chosen).max_empty,
    )
    if found["value"] is None:
        typer.echo(f"{run}, {benchmark}: NOT SCORED, see items.parquet ({found['empty'] or 0} empty answers)")
        return
    error = "" if found["stderr"] is None else f" ± {found['stderr']:.4f}"
    typer.echo(f"{run}, {benchmark}: {found['value']:.4f}{error} ({found['n']} of {found['attempted']})")


@app.command("benchmark-files")
def benchmark_files(
    benchmark: Annotated[str, typer.Argument(help="bbh, musr, math or ifeval")],
    files: Annotated[list[Path], typer.Argument(help="Files that its authors released")],
    out: Annotated[Path, typer.Option(help="Folder of TASK/SPLIT.jsonl, for evaluation.settings.*.files")],
) -> None:
    """Write released questions of a benchmark as lm-eval reads them, where the hub cannot be reached."""
    from rewild.evaluation.harness.questions import convert

    for task, count in convert(benchmark, files, out).items():
        typer.echo(f"{task}: {count} questions")


@app.command()
def make_questions(
    out: Annotated[Path, typer.Option(help="Folder of TASK/SPLIT.jsonl")],
    text: Annotated[Path, typer.Option(help="What the demo's models learn from")] = Path(
        "resources/demo/text.yaml"
    ),
) -> None:
    """Make the demo's benchmarks: questions about its world, and instructions to follow."""
    from rewild.operate.demo.tasks import make_questions as make
    from rewild.operate.demo.world import load_material

    for name, count in make(load_material(text), out).items():
        typer.echo(f"{name}: {count} questions")


@app.command("pin-benchmarks")
def pin_benchmarks(config: ConfigFolder = Path("config")) -> None:
    """Print the present commits of the hub's data sets, to be written into benchmarks.yaml as `revision`."""
    from rewild.config import load_benchmarks
    from rewild.evaluation.harness.pins import commits, hub_url, pinnable

    rows = pinnable(load_benchmarks(config))
    found = commits((str(row.dataset) for row in rows), hub_url())
    for row in rows:
        now = found[str(row.dataset)]
        said = {None: "not pinned", now: "pinned"}.get(row.revision, f"pinned at {row.revision}")
        typer.echo(f"{row.slug}:\n  revision: {now} # {row.dataset}; {said} in benchmarks.yaml")

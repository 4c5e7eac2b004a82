"""Commands of judged benchmarks: answers, judgments, scores; the rubric that judges where no model does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rewild.config.study import Study
    from rewild.evaluation.judged.task import Tables, Task

app = typer.Typer()
StudyName = Annotated[str, typer.Argument(help="A study's name, or its resolved config.yaml")]
RunName = Annotated[str, typer.Argument(help="A run of the study")]
BenchmarkName = Annotated[str, typer.Argument(help="A judged benchmark of config/benchmarks.yaml")]
ConfigFolder = Annotated[
    Path, typer.Option("--config", help="The folder of config.yaml, benchmarks.yaml, studies/")
]
Results = Annotated[Path, typer.Option(help="The folder of results")]


def _read(study: str, config: Path) -> tuple[Study, Tables]:
    from rewild.config import load_benchmarks, load_models, read_study
    from rewild.core.fetch import MANIFEST, read_manifest
    from rewild.evaluation.judged.task import Tables

    models = load_models(config)
    released = read_manifest(config.parent / MANIFEST)
    return read_study(study, config), Tables(load_benchmarks(config, models), models, released)


def _tasks(study: Study, tables: Tables, benchmarks: Sequence[str], results: Path) -> list[Task]:
    from rewild.config.judging import judged_rows
    from rewild.core.errors import ConfigError
    from rewild.evaluation.judged.task import make_task

    listed = study.evaluation.benchmarks if study.evaluation else []
    slugs = list(benchmarks) or [row.slug for row in judged_rows(listed, tables.benchmarks)]
    if not slugs:
        raise ConfigError(
            f"study {study.name}: it has no judged benchmarks; name one, or add evaluation.benchmarks"
        )
    return [make_task(study, slug, tables, results) for slug in slugs]


def _log() -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@app.command()
def answer(  # noqa: PLR0917
    study: StudyName,
    run: RunName,
    benchmarks: Annotated[
        list[str] | None, typer.Argument(help="Judged benchmarks (default: all of the study)")
    ] = None,
    results: Results = Path("results"),
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: all)")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """A run's model answers the questions of judged benchmarks; it is loaded once for all of them."""
    from rewild.config import load_defaults
    from rewild.evaluation.judged.generate import answer as answer_tasks
    from rewild.evaluation.judged.generate import describe

    _log()
    found, tables = _read(study, config)
    tasks = _tasks(found, tables, benchmarks or [], results)
    for name, rows in answer_tasks(tasks, run, tables.models, load_defaults(config).gpus, threads).items():
        typer.echo(f"{run}, {name}: {describe(rows)}")


@app.command()
def judge(  # noqa: PLR0917
    study: StudyName,
    run: Annotated[str | None, typer.Argument(help="A run of the study (--dry: default all)")] = None,
    benchmark: Annotated[
        str | None, typer.Argument(help="A judged benchmark (--dry: default all of the study)")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Ask nothing; say what it would cost")] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask once more about judgments that failed")] = False,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """The judge is asked about a run's answers. Stopped at any moment, it goes on where it was."""
    from rewild.config.runs import find_run
    from rewild.core.errors import ConfigError

    found, tables = _read(study, config)
    tasks = _tasks(found, tables, [benchmark] if benchmark else [], results)
    if run is not None:
        find_run(found, run)
    if dry:
        from rewild.evaluation.harness.settings import evaluated as evaluated_runs
        from rewild.evaluation.judged.estimate import estimate, table

        runs = [run] if run else evaluated_runs(found)
        typer.echo(table([estimate(task, r) for r in runs for task in tasks], tasks), nl=False)
        return
    if run is None or benchmark is None:
        raise ConfigError("name a run and a benchmark (or add --dry: all of them, and nothing is asked)")
    from rewild.evaluation.judged.ask import judge as judge_task

    _log()
    spent = judge_task(tasks[0], run, again=again)
    failed = sum(spent.failures.values())
    price = "at a price that is not known" if spent.price is None else f"for ${spent.price:,.4f}"
    typer.echo(
        f"{run}, {benchmark}: {spent.judgments} judgments by {spent.judge}, {failed} failed; {spent.calls} "
        f"calls, {spent.input_tokens:,} tokens read and {spent.output_tokens:,} written {price}"
    )


@app.command()
def score(
    study: StudyName,
    run: RunName,
    benchmark: BenchmarkName,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Score a run's judgments. Nothing is asked: it reads files."""
    from rewild.config.runs import find_run
    from rewild.evaluation.judged.score import describe
    from rewild.evaluation.judged.score import score as score_task

    found, tables = _read(study, config)
    find_run(found, run)
    task = _tasks(found, tables, [benchmark], results)[0]
    typer.echo(f"{run}, {benchmark}: {describe(task, score_task(task, run))}")


@app.command()
def rubric_judge(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 0,
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--fault", help="What goes wrong, and at which calls: 500@3-9, 401@20-, slow, malformed"
        ),
    ] = None,
    delay: Annotated[float, typer.Option(min=0, help="Seconds that a slow reply takes")] = 5.0,
) -> None:
    """Serve the rubric, a program that grades by stated rules, as an OpenAI-compatible judge."""
    from rewild.engines.rubric.server import RubricServer, parse_fault

    with RubricServer(port, [parse_fault(text) for text in faults or []], delay) as server:
        typer.echo(f"the judge 'rubric' (a program, not a language model) is at {server.url}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo(f"{server.calls} calls")

"""Commands of the phase evaluation: benchmarks, judges, win rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewild.cli.options import ConfigFolder, Out, Results, RunName, StudyName, Threads, Work, log_progress

if TYPE_CHECKING:
    from rewild.config.study import Study
    from rewild.evaluation.judged.task import Tables, Task

app = typer.Typer()
PANEL = "Evaluation: benchmarks, judges, win rates"
BenchmarkName = Annotated[str, typer.Argument(help="A judged benchmark of config/benchmarks.yaml")]
Answers = Annotated[Path | None, typer.Option(help="The run's answers (default: in --results)")]
Baseline = Annotated[
    Path | None, typer.Option(help="Answers of the run that these are compared with (default: in --results)")
]
Judgments = Annotated[Path, typer.Argument(help="combined_preferences.csv")]
Leaderboard = Annotated[Path, typer.Option(help="The published leaderboard, CSV")]
Coefficients = Annotated[
    Path, typer.Option(help="The published coefficients of the length-controlled fits, CSV")
]
Annotated_ = Annotated[list[Path], typer.Argument(help="Files annotations.json, one per model")]


@app.command()
def evaluate(
    study: StudyName,
    run: RunName,
    *,
    out: Out = None,
    results: Results = Path("results"),
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Run a study's ground-truth benchmarks on one run, in lm-eval; what is unchanged is kept."""
    from rewild.evaluation.harness.job import run_job

    done = run_job(study, run, results, config, threads=threads, out=out)
    said = ", ".join(f"{benchmark} {what}" for benchmark, what in done.items())
    typer.echo(f"{run}: {said}")


@app.command("score-benchmark")
def score_benchmark(
    study: StudyName,
    run: RunName,
    benchmark: Annotated[str, typer.Argument(help="A ground-truth benchmark of the study")],
    *,
    out: Out = None,
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
        out or results / chosen.name / "benchmarks" / run / benchmark,
        study=chosen.name,
        run=run,
        model=target_of(chosen, run, load_models(config, chosen)).slug,
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


def _read(study: str, config: Path) -> tuple[Study, Tables]:
    from rewild.config import load_benchmarks, load_defaults, load_models, read_study
    from rewild.core.fetch import read_manifest
    from rewild.evaluation.judged.task import Tables

    found = read_study(study, config)
    models = load_models(config, found)
    gpus = load_defaults(config).gpus
    return found, Tables(load_benchmarks(config, models), models, read_manifest(), gpus)


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


@app.command()
def answer(
    study: StudyName,
    run: RunName,
    benchmarks: Annotated[
        list[str] | None, typer.Argument(help="Judged benchmarks (default: all of the study)")
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="The folder for BENCHMARK/answers.parquet (default: in --results)")
    ] = None,
    work: Work = None,
    results: Results = Path("results"),
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """A run's model answers the questions of judged benchmarks; it is loaded once for all of them."""
    from rewild.evaluation.judged.generate import answer as answer_tasks
    from rewild.evaluation.judged.generate import describe
    from rewild.evaluation.judged.task import Given

    log_progress()
    found, tables = _read(study, config)
    tasks = [
        replace(task, given=Given(out=out and out / task.row.slug, work=work and work / task.row.slug))
        for task in _tasks(found, tables, benchmarks or [], results)
    ]
    for name, rows in answer_tasks(tasks, run, tables.models, tables.gpus, threads).items():
        typer.echo(f"{run}, {name}: {describe(rows)}")


@app.command()
def judge(
    study: StudyName,
    run: Annotated[str | None, typer.Argument(help="A run of the study (--dry: default all)")] = None,
    benchmark: Annotated[
        str | None, typer.Argument(help="A judged benchmark (--dry: default all of the study)")
    ] = None,
    *,
    dry: Annotated[bool, typer.Option("--dry", help="Ask nothing; say what it would cost")] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask once more about judgments that failed")] = False,
    answers: Answers = None,
    baseline: Baseline = None,
    out: Out = None,
    work: Work = None,
    results: Results = Path("results"),
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """The judge is asked about a run's answers. Stopped at any moment, it goes on where it was."""
    from rewild.config.trainings import find_run
    from rewild.core.errors import ConfigError
    from rewild.evaluation.judged.task import Given

    found, tables = _read(study, config)
    tasks = _tasks(found, tables, [benchmark] if benchmark else [], results)
    if run is not None:
        find_run(found, run)
    if run and benchmark:
        given = Given(answers=answers, baseline=baseline, out=out, work=work)
        tasks = [replace(task, given=given) for task in tasks]
    if dry:
        from rewild.evaluation.harness.settings import evaluated as evaluated_runs
        from rewild.evaluation.judged.estimate import estimate, table

        runs = [run] if run else evaluated_runs(found)
        typer.echo(table([estimate(task, r) for r in runs for task in tasks], tasks), nl=False)
        return
    if run is None or benchmark is None:
        raise ConfigError("name a run and a benchmark (or add --dry: all of them, and nothing is asked)")
    from rewild.evaluation.judged.ask import judge as judge_task

    log_progress()
    spent = judge_task(tasks[0], run, again=again, threads=threads)
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
    *,
    answers: Answers = None,
    judgments: Annotated[
        Path | None, typer.Option(help="The judgments of these (default: in --results)")
    ] = None,
    baseline: Baseline = None,
    out: Out = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Score a run's judgments. Nothing is asked: it reads files."""
    from rewild.config.trainings import find_run
    from rewild.evaluation.judged.score import describe
    from rewild.evaluation.judged.score import score as score_task
    from rewild.evaluation.judged.task import Given

    found, tables = _read(study, config)
    find_run(found, run)
    given = Given(answers=answers, judgments=judgments, baseline=baseline, out=out)
    task = replace(_tasks(found, tables, [benchmark], results)[0], given=given)
    typer.echo(f"{run}, {benchmark}: {describe(task, score_task(task, run))}")


@app.command()
def rubric_judge(port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 0) -> None:
    """Serve the rubric, a program that grades by stated rules, as an OpenAI-compatible judge."""
    from rewild.engines.rubric.server import RubricServer

    with RubricServer(port) as server:
        typer.echo(f"the judge 'rubric' (a program, not a language model) is at {server.url}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo(f"{server.calls} calls")


@app.command()
def preferences(
    judgments: Judgments,
    pages: Annotated[list[Path], typer.Argument(help="Judged pages of Q72 : None, QUESTION.html")],
    published: Annotated[Path, typer.Option(help="Table 4 as published")],
    out: Annotated[Path, typer.Option(help="The folder for preferences.csv and checks.csv")],
) -> None:
    """Compute the preference rates of Table 4 that released judgments determine, and bound the others."""
    from rewild.core.cells import PUBLISHED_CELLS
    from rewild.core.table import provenance, read_table, write_table
    from rewild.evaluation.judgments import preferences as p
    from rewild.evaluation.judgments import schema
    from rewild.measures.style.pages import read_pages

    paired, read = p.read_judgments(judgments), read_pages(pages)
    table4 = read_table(published, PUBLISHED_CELLS)
    printed = {(r, c): v for r, c, v in table4.select("row", "column", "value").iter_rows()}
    rates = p.preferences(paired, read, printed)
    made_from = provenance([judgments, published, *pages])
    write_table(out / "preferences.csv", rates, schema.PREFERENCES, made_from)
    write_table(out / "checks.csv", p.checks(paired, read, printed), schema.CHECKS, made_from)


@app.command()
def words(
    judgments: Judgments,
    named: Annotated[Path, typer.Option(help="The words the paper names")],
    out: Annotated[Path, typer.Option(help="The folder for words.csv and named_words.csv")],
    minimum: Annotated[int, typer.Option(min=1, help="Judgments a word must occur in, over both models")] = 3,
) -> None:
    """Compare the words of two models' judgments: once per judgment, negations apart, with a paired test."""
    from rewild.core.table import provenance, read_table, write_table
    from rewild.evaluation.judgments import schema
    from rewild.evaluation.judgments import words as w
    from rewild.evaluation.judgments.preferences import LLAMA, read_judgments

    paired, claims = read_judgments(judgments), read_table(named, schema.NAMED)
    compared, every = w.compare(paired["judgment_llama"], paired["judgment_qwen"], minimum)
    made_from = provenance([judgments], minimum=minimum)
    write_table(out / "words.csv", compared, schema.WORDS, made_from)
    tested = w.named(claims, every, LLAMA)
    write_table(out / "named_words.csv", tested, schema.NAMED_TESTED, provenance([judgments, named]))


@app.command()
def win_rates(
    annotations: Annotated_,
    leaderboard: Leaderboard,
    weights: Coefficients,
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
    from rewild.evaluation.win_rates.compute import render
    from rewild.evaluation.win_rates.length_control import recover_difficulties

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
    leaderboard: Leaderboard,
    weights: Coefficients,
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

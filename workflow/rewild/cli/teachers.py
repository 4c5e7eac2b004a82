"""Commands of a study's teachers: ranked before base models learn from them, judged by scores after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewild.cli.options import ConfigFolder, Results, StudyName, say
from rewild.core.errors import ConfigError, known_name

if TYPE_CHECKING:
    import polars as pl

    from rewild.report.teachers.open import Opened
    from rewild.report.teachers.views import Tables

app = typer.Typer()
PANEL = "Report: teachers"

Folder = Annotated[
    Path | None,
    typer.Option(help="The folder with ranking.csv and the rest [default: results/STUDY/teachers]"),
]


@app.command("rank-teachers")
def rank_teachers(
    study: StudyName,
    measures: Annotated[list[Path] | None, typer.Argument(help="Files of measures (.parquet)")] = None,
    *,
    answered: Annotated[
        list[Path] | None, typer.Option(help="Measurements of shards, responses/MODEL/SHARD.json")
    ] = None,
    prompts: Annotated[
        list[Path] | None, typer.Option(help="The study's shards of prompts, where `origins` names sources")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for values.csv and ranking.csv")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Rank a study's teachers for each base model, by what is known before any training."""
    from rewild.core.table import provenance, write_table
    from rewild.report.teachers.cost import prices
    from rewild.report.teachers.open import conversations_of
    from rewild.report.teachers.predict import Asked, Files, predict
    from rewild.report.teachers.schema import RANKING, VALUES

    found = open_study(study, config)
    plan, given = found.plan, found.given
    costs = prices(found.study, plan.teachers, found.models, found.gpus, answered or [])
    asked = Asked(plan, given, found.models, costs, found.study.seed)
    only = conversations_of(prompts or [], given.origins) if given.origins else None
    values, ranking = predict(asked, Files(measures or [], only))
    made = provenance(
        [*(measures or []), *(answered or [])], seed=found.study.seed, resamples=given.resamples
    )
    write_table(out / "values.csv", VALUES.frame(values, "values"), VALUES, made)
    write_table(out / "ranking.csv", RANKING.frame(ranking, "ranking"), RANKING, made)
    typer.echo(f"{len(plan.teachers)} teachers for {len(plan.bases)} base models: {out / 'ranking.csv'}")


@app.command("judge-teachers")
def judge_teachers(
    study: StudyName,
    *,
    folder: Annotated[
        Path, typer.Option(help="The folder with values.csv and ranking.csv, which the rest joins")
    ],
    scores: Annotated[Path, typer.Option(help="The folder with scores.csv")],
    trained: Annotated[
        list[Path] | None, typer.Option(help="What trainings took: runs/RUN/training.json, any number")
    ] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Say how right a ranking was: rank correlations, regret, and findings as statements."""
    from rewild.core.table import provenance, read_table, write_table
    from rewild.evaluation.scores.collect import headline
    from rewild.evaluation.scores.tidy import SCORES
    from rewild.report.teachers import findings, judge, schema
    from rewild.report.teachers.open import hours_of

    found = open_study(study, config)
    plan, given, seed = found.plan, found.given, found.study.seed
    paths = [folder / "values.csv", folder / "ranking.csv", scores / "scores.csv"]
    values = read_table(paths[0], schema.VALUES)
    ranking = read_table(paths[1], schema.RANKING)
    head = headline(read_table(paths[2], SCORES), found.benchmarks, str(paths[2]))
    starts = {entry.run: entry.model for entry in found.roster.entries}
    rows = judge.performance(plan, given, head, starts)
    performance = schema.PERFORMANCE.frame(rows, "performance")
    truth = judge.truth_of(performance)
    known = judge.values_of(values, truth)
    families = {slug: found.named.family(slug) for slug in (*plan.teachers, *plan.bases)}
    billions = {
        slug: row.parameters.total / 1e9 if (row := found.models.get(slug)) and row.parameters else None
        for slug in plan.teachers
    }
    hours = hours_of(trained or [], found.training_gpus)
    errors = judge.errors_of(performance)
    case = judge.Case(plan, given, known, truth, families, billions, hours, seed, errors)
    stated = findings.state(case, performance)
    made = provenance([*paths, *(trained or [])], seed=seed, draws=given.draws)
    correlation, beta = judge.correlations(case), judge.beta_curve(case, ranking)
    for name, frame, table in (
        ("performance", performance, schema.PERFORMANCE),
        ("correlation", schema.CORRELATION.frame(correlation, "correlation"), schema.CORRELATION),
        ("beta", schema.BETA.frame(beta, "beta"), schema.BETA),
        ("findings", schema.FINDINGS.frame(findings.rows(stated), "findings"), schema.FINDINGS),
    ):
        write_table(folder / f"{name}.csv", frame, table, made)
    for one in stated:
        typer.echo(one.statement or f"{one.finding}: cannot say: lacks {one.missing}")


@app.command("view-teachers")
def view_teachers(
    study: StudyName,
    shown: Annotated[
        str, typer.Argument(help="A figure or table: performance, correlations ... (docs/teachers.md)")
    ],
    *,
    folder: Annotated[Path, typer.Option(help="The folder with ranking.csv and the rest")],
    out: Annotated[Path, typer.Option(help="Where to write, without a suffix")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Draw a figure of a study's teachers, or make a table of them, with its numbers beside it."""
    from rewild.core.files import write_text
    from rewild.core.markdown import table
    from rewild.core.plotting import save
    from rewild.core.table import provenance, write_table
    from rewild.report.teachers.figures import draw
    from rewild.report.teachers.plan import VIEWS
    from rewild.report.teachers.schema import POINTS
    from rewild.report.teachers.views import grid, points

    found = open_study(study, config)
    known_name(shown, VIEWS, "unknown figure or table", listed="there are")
    if shown not in found.plan.views:
        why = "; ".join(one.reason for one in found.plan.left_out if one.shown == shown)
        raise ConfigError(f"study {found.study.name}: teachers: there is no '{shown}': {why}")
    view = VIEWS[shown]
    if view.scores and not (folder / "performance.csv").is_file():
        raise ConfigError(
            f"study {found.study.name}: teachers: '{shown}' is of scores, and {folder / 'performance.csv'} "
            f"is not there yet: rewild judge-teachers {found.study.name} --folder {folder} --scores FOLDER"
        )
    tables, read = _read(folder, scores=view.scores)
    frame = POINTS.frame(points(shown, found.plan, found.given, tables, found.named), shown)
    write_table(out.with_suffix(".csv"), frame, POINTS, provenance(read))
    if view.form == "figure":
        save(draw(shown, frame), out, view.title)
    else:
        write_text(out.with_suffix(".md"), "\n".join([f"# {view.title}", "", *table(*grid(frame), "<>"), ""]))
    typer.echo(f"{view.title}: {out}")


@app.command("show-teachers")
def show_teachers(
    study: StudyName,
    *,
    folder: Annotated[Path, typer.Option(help="The folder with ranking.csv and the rest, and views/")],
    before: Annotated[
        bool, typer.Option("--before", help="Only what is known before any training: before.html, before.md")
    ] = False,
    config: ConfigFolder = Path("config"),
) -> None:
    """Put all of a study's teachers on one page: rankings, findings, figures and tables."""
    from rewild.core.files import write_text
    from rewild.core.table import provenance, read_table, write_table
    from rewild.report.teachers import page
    from rewild.report.teachers.plan import VIEWS
    from rewild.report.teachers.schema import FINDINGS, POINTS

    found = open_study(study, config)
    if not before and not (folder / "findings.csv").is_file():
        raise ConfigError(
            f"{folder / 'findings.csv'} is not there yet: judge the teachers first (rewild judge-teachers "
            f"{study}), or show what is known before there are scores: --before"
        )
    tables, _ = _read(folder, scores=not before)
    stated = None if before else read_table(folder / "findings.csv", FINDINGS)
    views = [name for name in found.plan.views if not (before and VIEWS[name].scores)]
    points = {name: read_table(folder / f"views/{name}.csv", POINTS) for name in views}
    ranks = [page.seen(base, tables, found.given) for base in found.plan.bases]
    left = [one for one in found.plan.left_out if not (before and VIEWS[one.shown].scores)]
    name, title = "before" if before else "teachers", found.study.title
    shown = page.sections(folder / "views", points)
    if not before:
        gone = page.LEFT_OUT.frame([(one.shown, one.reason) for one in left], "left out")
        write_table(folder / "left_out.csv", gone, page.LEFT_OUT, provenance())
    write_text(folder / f"{name}.md", page.markdown(title, ranks, stated, points, left))
    write_text(folder / f"{name}.html", page.html(title, ranks, stated, shown, left))
    typer.echo(f"{len(found.plan.teachers)} teachers on one page: {folder / name}.html")


@app.command()
def teachers(
    study: StudyName,
    *,
    base: Annotated[str | None, typer.Option(help="Only this base model")] = None,
    folder: Folder = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Which teacher a base model should learn from: the candidates, ranked, and how sure that is."""
    from rewild.core.terminal import Heading, output, print_table
    from rewild.report.teachers.page import BEFORE, seen

    found = open_study(study, config)
    if base is not None:
        known_name(
            base, found.plan.bases, f"study {found.study.name}: teachers: no base model", listed="there are"
        )
    where = folder or results / found.study.name / "teachers"
    if not (where / "ranking.csv").is_file():
        raise ConfigError(
            f"{where / 'ranking.csv'} is not there yet: make it with `snakemake --config "
            f"study={found.study.name} -- {where / 'ranking.csv'}`; it needs responses and measures, and no "
            "training"
        )
    tables, _ = _read(where, scores=(where / "correlation.csv").is_file())
    if tables.performance.is_empty():
        say(BEFORE)
    for slug in [base] if base else found.plan.bases:
        one = seen(slug, tables, found.given)
        ranks = [0, 2, 3, 0, 0, 0, 1, 4, 5, 6, 7]
        columns = [
            Heading(name, rank, right=i > 0)
            for i, (name, rank) in enumerate(zip(one.head, ranks, strict=True))
        ]
        print_table(columns, one.rows, title=one.name)
        for line in (*one.notes, one.said):
            output().print(line, markup=False, soft_wrap=True)
        typer.echo("")


def open_study(study: str, config: Path) -> Opened:
    """The study, with what its teachers need."""
    from rewild.report.teachers.open import open_study as opened

    return opened(study, config)


def _read(folder: Path, *, scores: bool) -> tuple[Tables, list[Path]]:
    """The tables of a folder; without scores, empty ones in the place of theirs."""
    from rewild.core.table import read_table
    from rewild.report.teachers import schema
    from rewild.report.teachers.views import Tables

    wanted = {"values": schema.VALUES, "ranking": schema.RANKING}
    more = {"performance": schema.PERFORMANCE, "correlation": schema.CORRELATION, "beta": schema.BETA}
    frames: list[pl.DataFrame] = []
    read: list[Path] = []
    for name, table in (wanted | more).items():
        path = folder / f"{name}.csv"
        there = scores or name in wanted
        empty = name in more  # without fine-tunes on one teacher's answers, or without CAR
        frames.append(read_table(path, table, allow_empty=empty) if there else table.frame([], name))
        read += [path] if there else []
    return Tables(*frames), read

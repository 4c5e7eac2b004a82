"""Commands of the phase report: tables, figures, findings, the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewild.cli.options import ConfigFolder, Results, StudyName

app = typer.Typer()
PANEL = "Report: tables, figures, findings, the viewer"
RESOURCES = Path("resources/paper")
TableName = Annotated[str, typer.Argument(metavar="TABLE", help="table1 … table7")]
Published = Annotated[
    Path | None, typer.Option(help="The transcribed table [default: resources/paper/TABLE.csv]")
]
Specs = Annotated[Path, typer.Option("--specs", help="What the tables hold")]
Scores = Annotated[Path, typer.Option("--scores", help="The tidy scores (rewild released-scores)")]


def _published(given: Path | None, table: str) -> Path:
    return given or RESOURCES / f"{table}.csv"


@app.command()
def table(
    name: TableName,
    *,
    published: Published = None,
    specs: Specs = RESOURCES / "tables.yaml",
    computed: Annotated[
        Path | None, typer.Option(help="Computed cells, to be shown beside the published ones")
    ] = None,
    own: Annotated[bool, typer.Option("--own", help="The computed rows are a study's own runs")] = False,
    config: ConfigFolder = Path("config"),
    out_csv: Annotated[Path | None, typer.Option(help="Every digit")] = None,
    out_md: Annotated[Path | None, typer.Option(help="Markdown")] = None,
    out_tex: Annotated[Path | None, typer.Option(help="LaTeX (booktabs)")] = None,
    out_html: Annotated[Path | None, typer.Option(help="A page for the report")] = None,
) -> None:
    """Write a table of the paper: as published, or computed with the published numbers beside it.

    Without an output it is printed as Markdown.
    """
    from rewild.config import load_benchmarks
    from rewild.report.tables.make import make_table

    source = _published(published, name)
    shown = make_table(name, source, specs, computed, load_benchmarks(config) if own else None)
    if out_csv:
        shown.write_csv(out_csv)
    if out_md or not (out_csv or out_tex or out_html):
        shown.write("md", out_md)
    if out_tex:
        shown.write("tex", out_tex)
    if out_html:
        shown.write("html", out_html)


@app.command()
def released_scores(
    workbook: Annotated[Path, typer.Argument(help="The released wc50m_results.xlsx")],
    runs: Annotated[Path, typer.Option(help="What the workbook's names stand for")] = Path(
        "resources/released/runs.csv"
    ),
    out: Annotated[Path, typer.Option(help="Every score, tidy")] = Path("scores.csv"),
    out_sheets: Annotated[Path | None, typer.Option(help="The cells of the other sheets")] = None,
) -> None:
    """Make the released workbook of benchmark scores tidy; says what is missing and what was rescaled."""
    from rewild.core.table import provenance, write_table
    from rewild.evaluation.scores.schema import SCORES, SHEETS
    from rewild.evaluation.scores.workbook import describe, read_runs, read_scores

    found, sheets = read_scores(workbook, read_runs(runs))
    made_from = provenance([workbook, runs])
    write_table(out, found, SCORES, made_from)
    if out_sheets:
        write_table(out_sheets, sheets, SHEETS, made_from)
    for line in describe(found):
        typer.echo(line)


@app.command()
def averages(
    *,
    scores: Scores,
    table6: Annotated[Path, typer.Option(help="Table 6 as published")] = RESOURCES / "table6.csv",
    table7: Annotated[Path, typer.Option(help="Table 7 as published")] = RESOURCES / "table7.csv",
    stated: Annotated[Path, typer.Option(help="Averages in the paper's text")] = RESOURCES / "averages.csv",
    out: Annotated[Path, typer.Option(help="Each published average beside each variant")] = Path(
        "averages.csv"
    ),
    out_subsets: Annotated[Path | None, typer.Option(help="The search over all subsets")] = None,
) -> None:
    """Find which average over which benchmarks each published average is."""
    from rewild.core.cells import PUBLISHED_CELLS
    from rewild.core.table import provenance, read_table, write_table
    from rewild.evaluation.scores import average
    from rewild.evaluation.scores.schema import AVERAGES, SCORES, STATED_AVERAGES, SUBSETS

    published = average.published_averages(
        read_table(scores, SCORES),
        {"table6": read_table(table6, PUBLISHED_CELLS), "table7": read_table(table7, PUBLISHED_CELLS)},
        read_table(stated, STATED_AVERAGES),
    )
    made_from = provenance([scores, table6, table7, stated])
    compared = average.compare_variants(published)
    write_table(out, compared, AVERAGES, made_from)
    if out_subsets:
        write_table(out_subsets, average.search_subsets(published), SUBSETS, made_from)
    for line in average.summary(compared):
        typer.echo(line)


@app.command()
def score_cells(
    name: TableName,
    scores: Scores,
    sheets: Annotated[Path, typer.Option(help="The cells of the other sheets (rewild released-scores)")],
    out: Annotated[Path, typer.Option(help="The computed cells")],
    published: Published = None,
) -> None:
    """Compute the cells of table 1, 2, 6 or 7 from the released scores."""
    from rewild.core.cells import COMPUTED_CELLS, PUBLISHED_CELLS
    from rewild.core.table import provenance, read_table, write_table
    from rewild.evaluation.scores.cells import compute_cells
    from rewild.evaluation.scores.schema import SCORES, SHEETS

    source = _published(published, name)
    rows = read_table(source, PUBLISHED_CELLS)["row"].unique(maintain_order=True)
    cells = compute_cells(name, rows, read_table(scores, SCORES), read_table(sheets, SHEETS))
    write_table(out, cells, COMPUTED_CELLS, provenance([scores, sheets, source]))


@app.command()
def figure_notes(out: Annotated[Path, typer.Option(help="The note, Markdown")]) -> None:
    """Say which figures cannot be drawn from published numbers, and why."""
    from rewild.core.files import write_text
    from rewild.report.figures.published import NOT_PUBLISHED

    lines = [f"- **{name.replace('figure', 'Figure ')}**: {why}" for name, why in NOT_PUBLISHED.items()]
    write_text(out, "\n".join(["# What the paper does not publish of its figures", "", *lines]) + "\n")


@app.command()
def figure(
    name: Annotated[str, typer.Argument(metavar="FIGURE", help="figure1 or figure2")],
    *,
    scores: Annotated[
        Path | None,
        typer.Option(help="The tidy released scores; without them, what the paper's tables print is drawn"),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Draw this study's own runs, from the folder of --scores (scores.csv)")
    ] = None,
    config: ConfigFolder = Path("config"),
    table2: Annotated[Path, typer.Option(help="Table 2 as published")] = Path("resources/paper/table2.csv"),
    table7: Annotated[Path, typer.Option(help="Table 7 as published")] = Path("resources/paper/table7.csv"),
    out: Annotated[Path, typer.Option(help="Path without suffix: .svg, .pdf, .png and .csv are written")],
) -> None:
    """Draw figure 1 (four models on nine benchmarks) or figure 2 (the effect of more data)."""
    from rewild.core.cells import PUBLISHED_CELLS
    from rewild.core.errors import ConfigError, nearest
    from rewild.core.plotting import save, style
    from rewild.core.table import provenance, read_table, write_table
    from rewild.evaluation.scores.schema import SCORES
    from rewild.report.figures import radar, scaling
    from rewild.report.figures.published import NOT_PUBLISHED
    from rewild.report.figures.schema import RADAR, SCALING

    if name not in ("figure1", "figure2"):
        raise ConfigError(f"unknown figure '{name}'{nearest(name, ('figure1', 'figure2'))}")
    if name == "figure1" and scores is None:
        raise ConfigError(NOT_PUBLISHED[name])
    if study is not None:
        _draw_own(name, study, config, scores or Path(f"results/{study}/scores/scores.csv"), out)
        return
    inputs = [scores] if scores else [table2, table7]
    if name == "figure1":
        data, schema = radar.points(read_table(inputs[0], SCORES)), RADAR
    elif scores:
        data, schema = scaling.released_points(read_table(scores, SCORES)), SCALING
    else:
        tables = {"table2": table2, "table7": table7}
        cells = {key: read_table(path, PUBLISHED_CELLS) for key, path in tables.items()}
        data, schema = scaling.published_points(cells), SCALING
    with style():
        drawn = radar.draw(data) if name == "figure1" else scaling.draw(data)
        save(drawn, out, title=f"WILDCHAT-50M, {name.replace('figure', 'Figure ')}")
    write_table(out.with_name(out.name + ".csv"), data, schema, provenance(inputs))


def _draw_own(name: str, study: str, config: Path, scores: Path, out: Path) -> None:
    """Figure 1 or 2 of a study's own runs."""
    from rewild.core.plotting import save, style
    from rewild.core.table import provenance, write_table
    from rewild.report.figures import radar, scaling
    from rewild.report.figures.schema import OWN_SCALING, RADAR
    from rewild.report.findings.load import FILES, open_study
    from rewild.report.findings.select import radar_runs, scaled

    world = open_study(study, config, scores.parent)
    titles = {
        slug: row.title + (f"\n/ {row.scale.divisor}" if row.scale.divisor > 1 else "")
        for slug, row in world.head.benchmarks.items()
    }
    with style():
        if name == "figure1":
            runs = radar_runs(world.roster, world.scored, world.settings)
            data, schema = radar.own_points(world.head, runs), RADAR
            drawn = radar.draw(data, titles | radar.LABELS)
        else:
            data, schema = scaling.own_points(world.head, scaled(world.roster, world.scored)), OWN_SCALING
            drawn = scaling.draw(data, len(titles))
        save(drawn, out, title=f"Study {study}, {name.replace('figure', 'Figure ')}")
    made_from = provenance([scores.parent / file for file in FILES])
    write_table(out.with_name(out.name + ".csv"), data, schema, made_from)


@app.command()
def scores(
    study: StudyName,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="benchmarks/RUN/BENCHMARK, any number [default: all that the study evaluates]"),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the tables [default: results/STUDY/scores]")
    ] = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Gather the scores of a study's runs in one tidy table, with their items, and say what each run is."""
    from rewild.config import load_models, read_study
    from rewild.config.roster import make_roster
    from rewild.core.table import provenance, write_table
    from rewild.evaluation.harness.settings import evaluated
    from rewild.evaluation.scores.collect import collect
    from rewild.evaluation.scores.roster import ROSTER, roster_frame
    from rewild.evaluation.scores.tidy import ITEMS, SCORES

    found = read_study(study, config)
    roster = make_roster(found, load_models(config))
    if not folders:
        benchmarks = found.evaluation.benchmarks if found.evaluation else []
        folders = [results / study / "benchmarks" / run / b for run in evaluated(found) for b in benchmarks]
    rows, items = collect(study, folders)
    target = out or results / study / "scores"
    write_table(target / "scores.csv", rows, SCORES, provenance([f / "scores.csv" for f in folders]))
    write_table(target / "items.parquet", items, ITEMS, provenance([f / "items.parquet" for f in folders]))
    write_table(target / "runs.csv", roster_frame(roster), ROSTER, provenance(study=study))
    typer.echo(
        f"{rows['run'].n_unique()} runs, {rows['benchmark'].n_unique()} benchmarks, "
        f"{rows.height} scores, {items.height} items: {target}"
    )


@app.command()
def own_cells(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="table2, table6 or table7")],
    study: StudyName,
    *,
    scores: Annotated[Path, typer.Option(help="The folder with scores.csv, items.parquet and runs.csv")],
    out: Annotated[Path, typer.Option(help="The computed cells")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Compute the cells of table 2, 6 or 7 from the scores of a study's own runs."""
    from rewild.core.cells import COMPUTED_CELLS
    from rewild.core.errors import ConfigError, nearest
    from rewild.core.table import provenance, write_table
    from rewild.report.findings.cells import score_cells
    from rewild.report.findings.load import FILES, open_study

    if table not in (known := ("table2", "table6", "table7")):
        raise ConfigError(f"'{table}' is not a table of scores{nearest(table, known)}")
    world = open_study(study, config, scores)
    made_from = provenance([scores / name for name in FILES])
    write_table(out, score_cells(table, world.head, world.roster), COMPUTED_CELLS, made_from)


@app.command()
def compare_answers(
    study: StudyName,
    *,
    scores: Annotated[Path, typer.Option(help="The folder with scores.csv, items.parquet and runs.csv")],
    benchmarks: Annotated[Path, typer.Option(help="The folder benchmarks/ of the study's results")],
    cells: Annotated[Path, typer.Option(help="The folder for table3.csv and table4.csv")],
    words: Annotated[Path, typer.Option(help="The words of the judgments")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Compare the answers of two models and their fine-tunes: styling, preferences, words of judgments."""
    from rewild.core.cells import COMPUTED_CELLS
    from rewild.core.errors import DataError
    from rewild.core.table import provenance, write_table
    from rewild.evaluation.judgments.schema import OWN_WORDS
    from rewild.report.findings import answers
    from rewild.report.findings.load import open_study, with_answers

    world = with_answers(open_study(study, config, scores), benchmarks)
    found = world.answered
    if found is None or world.judged is None:
        raise DataError(f"study {study}: Tables 3 and 4 need {world.unanswered}")
    read = [benchmarks / e.run / world.judged for e in found.pair.entries]
    answered = provenance([folder / "answers.parquet" for folder in read])
    judged = provenance([folder / "judgments.parquet" for folder in read])
    title = world.head.benchmarks[world.judged].title
    write_table(cells / "table3.csv", answers.style_cells(found), COMPUTED_CELLS, answered)
    write_table(cells / "table4.csv", answers.preference_cells(found, title), COMPUTED_CELLS, judged)
    write_table(words, answers.word_table(found, world.settings.minimum), OWN_WORDS, judged)


@app.command()
def findings(
    study: StudyName,
    *,
    results: Results = Path("results"),
    out: Annotated[
        Path | None, typer.Option(help="The folder of the report [default: results/STUDY/findings]")
    ] = None,
    figure: Annotated[list[Path] | None, typer.Option(help="SVG files to show, any number")] = None,
    table: Annotated[list[Path] | None, typer.Option(help="HTML tables to link to, any number")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """State the paper's key findings of a study's own runs, each with its uncertainty."""
    from rewild.config import read_study
    from rewild.core.table import provenance
    from rewild.report.findings import report
    from rewild.report.findings.load import FILES, open_study, with_answers
    from rewild.report.findings.state import state_findings

    folder = results / study
    world = with_answers(open_study(study, config, folder / "scores"), folder / "benchmarks")
    used = [folder / "scores" / name for name in FILES]
    if world.answered and world.judged:
        used += [
            folder / "benchmarks" / e.run / world.judged / name
            for e in world.answered.pair.entries
            for name in ("answers.parquet", "judgments.parquet")
        ]
    made_from = provenance(used, seed=world.seed, **world.settings.model_dump(mode="json"))
    found = state_findings(world)
    data = report.as_data(study, read_study(study, config).title, found, world, made_from)
    report.write(data, out or folder / "findings", figure or (), table or ())
    for finding in found:
        typer.echo(f"{finding.id}: {finding.statement or 'cannot say: lacks ' + finding.missing}")


@app.command()
def import_judgments(
    study: Annotated[str, typer.Argument(help="A study's name, or its resolved config.yaml")],
    judgments: Annotated[
        list[Path] | None,
        typer.Argument(help="Judgments of AlpacaEval, MT-Bench or Arena-Hard (docs/formats.md)"),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Where to write the judgments (Parquet)")],
    questions: Annotated[
        Path | None, typer.Option(help="The questions that MT-Bench's or Arena-Hard's judgments name")
    ] = None,
    config: Annotated[Path, typer.Option(help="The folder of config.yaml, models.yaml, studies/")] = Path(
        "config"
    ),
) -> None:
    """Bring released judgments of a study's imported responses into the form that the viewer shows."""
    from collections import defaultdict

    from rewild.config import load_models, read_study
    from rewild.config.imports import Imported, imported
    from rewild.core.fetch import read_manifest
    from rewild.core.table import provenance, write_table
    from rewild.report.viewer.judgments import collect_judgments
    from rewild.report.viewer.schema import JUDGMENTS
    from rewild.responses.imports.read import read_questions

    files: dict[str, list[Imported]] = defaultdict(list)
    for source in read_study(study, config).imports:
        files[source.kind] += imported(source, read_manifest(), load_models(config))
    others = [file for kind, group in files.items() if kind != "wildbench" for file in group]
    asked = read_questions(questions) if questions else None
    frame = collect_judgments(files["wildbench"], others, judgments or [], asked)
    read: list[Path | str] = [
        *(f.path for f in files["wildbench"]),
        *(judgments or []),
        *([questions] if questions else []),
    ]
    made_from = provenance(read)
    write_table(out, frame, JUDGMENTS, made_from)
    typer.echo(f"{frame.height:,} judgments of {frame['model'].n_unique()} models")


@app.command()
def viewer(
    responses: Annotated[
        list[Path], typer.Argument(help="Responses: Parquet files, or the manifest.json of a model")
    ],
    *,
    out: Annotated[Path, typer.Option(help="The folder of index.html and data/")],
    similarity: Annotated[
        list[Path] | None, typer.Option(help="Similarities of pairs of models (Parquet); may be repeated")
    ] = None,
    judgments: Annotated[
        list[Path] | None, typer.Option(help="Judgments and scores (Parquet or CSV); may be repeated")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model to show; may be repeated (default: all, by name)")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A model's short name, SLUG=NAME; may be repeated")
    ] = None,
    title: Annotated[str, typer.Option(help="Shown at the top")] = "Responses side by side",
    max_conversations: Annotated[int, typer.Option(min=1, help="Conversations shown at most")] = 10_000,
    workers: Annotated[int, typer.Option(min=1, help="Processes")] = 1,
) -> None:
    """Make a page to read responses side by side; it needs neither server nor network."""
    from rewild.core.errors import ConfigError
    from rewild.report.viewer.build import Inputs, build

    names = {}
    for given in name or []:
        slug, equals, short = given.partition("=")
        if not (slug and equals and short):
            raise ConfigError(f"--name {given}: SLUG=NAME was expected")
        names[slug] = short
    counts = build(
        Inputs(responses, similarity or [], judgments or []),
        out,
        title=title,
        models=model or [],
        names=names,
        max_conversations=max_conversations,
        workers=workers,
    )
    typer.echo(", ".join(f"{n:,} {what}" for what, n in counts.items()))
    typer.echo(f"open {out / 'index.html'}")

"""Commands about a study's own scores: gather them, fill the paper's tables, state the findings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
Study = Annotated[str, typer.Argument(help="A study")]
Config = Annotated[Path, typer.Option("--config", help="The folder of config.yaml and studies/")]
Results = Annotated[Path, typer.Option(help="The folder of results")]


@app.command()
def scores(
    study: Study,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="benchmarks/RUN/BENCHMARK, any number [default: all that the study evaluates]"),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the tables [default: results/STUDY/scores]")
    ] = None,
    results: Results = Path("results"),
    config: Config = Path("config"),
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
    study: Study,
    *,
    scores: Annotated[Path, typer.Option(help="The folder with scores.csv, items.parquet and runs.csv")],
    out: Annotated[Path, typer.Option(help="The computed cells")],
    config: Config = Path("config"),
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
    study: Study,
    *,
    scores: Annotated[Path, typer.Option(help="The folder with scores.csv, items.parquet and runs.csv")],
    benchmarks: Annotated[Path, typer.Option(help="The folder benchmarks/ of the study's results")],
    cells: Annotated[Path, typer.Option(help="The folder for table3.csv and table4.csv")],
    words: Annotated[Path, typer.Option(help="The words of the judgments")],
    config: Config = Path("config"),
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
    study: Study,
    *,
    results: Results = Path("results"),
    out: Annotated[
        Path | None, typer.Option(help="The folder of the report [default: results/STUDY/findings]")
    ] = None,
    figure: Annotated[list[Path] | None, typer.Option(help="SVG files to show, any number")] = None,
    table: Annotated[list[Path] | None, typer.Option(help="HTML tables to link to, any number")] = None,
    config: Config = Path("config"),
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

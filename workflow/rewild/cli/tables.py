"""Commands that make the paper's tables, and the released scores behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
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
    config: Annotated[Path, typer.Option("--config", help="The folder of benchmarks.yaml")] = Path("config"),
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

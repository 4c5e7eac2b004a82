"""Commands of the phase papers: tables, figures and claims of papers, and how a study ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewild.cli.options import ConfigFolder, Results, StudyName

if TYPE_CHECKING:
    from rewild.papers.room import Job, Part

app = typer.Typer()
PANEL = "Papers: tables, figures, claims and their audit"
WILDCHAT = Path("workflow/rewild/papers/wildchat50m/data")
PaperName = Annotated[str, typer.Argument(metavar="PAPER", help="A folder of workflow/rewild/papers")]
TableName = Annotated[str, typer.Argument(metavar="TABLE", help="A table of the paper")]
FigureName = Annotated[str, typer.Argument(metavar="FIGURE", help="A figure of the paper")]
Given = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME=PATH...", help="What it is made from, as the paper's room says"),
]
Scores = Annotated[Path, typer.Option("--scores", help="The tidy scores (rewild released-scores)")]


@app.command()
def table(
    paper: PaperName,
    name: TableName,
    *,
    published: Annotated[
        Path | None, typer.Option(help="The transcribed table [default: data/TABLE.csv of the paper's room]")
    ] = None,
    specs: Annotated[
        Path | None, typer.Option(help="What the tables hold [default: data/tables.yaml of the room]")
    ] = None,
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
    """Write a table of a paper: as published, or computed with the published numbers beside it.

    Without an output it is printed as Markdown.
    """
    from rewild.config import load_benchmarks
    from rewild.papers import find_paper
    from rewild.report.tables.make import make_table

    room = find_paper(paper)
    shown = make_table(
        room.table(name),
        published or room.data / f"{name}.csv",
        specs or room.data / "tables.yaml",
        room.cite,
        computed=computed,
        own=(room.own, load_benchmarks(config)) if own else None,
    )
    if out_csv:
        shown.write_csv(out_csv)
    if out_md or not (out_csv or out_tex or out_html):
        shown.write("md", out_md)
    if out_tex:
        shown.write("tex", out_tex)
    if out_html:
        shown.write("html", out_html)


@app.command()
def cells(
    paper: PaperName,
    name: TableName,
    study: StudyName,
    files: Given = None,
    *,
    out: Annotated[Path, typer.Option(help="The computed cells")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Compute the cells of a table of a paper from a study's numbers."""
    from rewild.core.cells import COMPUTED_CELLS
    from rewild.core.table import write_table

    job, part = _job("table", paper, name, study, files or [], config)
    found, made_from = job.paper.load(part.make)(job)
    write_table(out, found, COMPUTED_CELLS, made_from)


@app.command()
def figure(
    paper: PaperName,
    name: FigureName,
    study: StudyName,
    files: Given = None,
    *,
    out: Annotated[Path, typer.Option(help="Path without suffix: .svg, .pdf, .png and .csv are written")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Draw a figure of a paper from a study's numbers."""
    job, part = _job("figure", paper, name, study, files or [], config)
    job.paper.load(part.make)(job, out)


def _job(  # noqa: PLR0917
    kind: str, paper: str, name: str, study: str, files: list[str], config: Path
) -> tuple[Job, Part]:
    """What a function of a paper's room gets, and which of them it is."""
    from rewild.config import read_study
    from rewild.papers import find_paper
    from rewild.papers.room import Job, named_files

    room = find_paper(paper)
    part = room.part(kind, name, read_study(study, config).source)
    return Job(room, name, study, config, named_files(files, "file")), part


@app.command()
def figure_notes(paper: PaperName, out: Annotated[Path, typer.Option(help="The note, Markdown")]) -> None:
    """Say which figures of a paper cannot be drawn from published numbers, and why."""
    from rewild.core.files import write_text
    from rewild.papers import find_paper

    lines = [
        f"- **{name.replace('figure', 'Figure ')}**: {text.unpublished}"
        for name, text in find_paper(paper).texts.items()
        if text.unpublished
    ]
    write_text(out, "\n".join(["# What the paper does not publish of its figures", "", *lines]) + "\n")


@app.command()
def released_scores(
    workbook: Annotated[Path, typer.Argument(help="The released wc50m_results.xlsx")],
    runs: Annotated[Path, typer.Option(help="What the workbook's names stand for")] = WILDCHAT / "runs.csv",
    out: Annotated[Path, typer.Option(help="Every score, tidy")] = Path("scores.csv"),
    out_sheets: Annotated[Path | None, typer.Option(help="The cells of the other sheets")] = None,
) -> None:
    """Make the released workbook of benchmark scores tidy; says what is missing and what was rescaled."""
    from rewild.core.table import provenance, write_table
    from rewild.papers.wildchat50m.schema import SCORES, SHEETS
    from rewild.papers.wildchat50m.workbook import describe, read_runs, read_scores

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
    table6: Annotated[Path, typer.Option(help="Table 6 as published")] = WILDCHAT / "table6.csv",
    table7: Annotated[Path, typer.Option(help="Table 7 as published")] = WILDCHAT / "table7.csv",
    stated: Annotated[Path, typer.Option(help="Averages in the paper's text")] = WILDCHAT / "averages.csv",
    out: Annotated[Path, typer.Option(help="Each published average beside each variant")] = Path(
        "averages.csv"
    ),
    out_subsets: Annotated[Path | None, typer.Option(help="The search over all subsets")] = None,
) -> None:
    """Find which average over which benchmarks each published average is."""
    from rewild.core.cells import PUBLISHED_CELLS
    from rewild.core.table import provenance, read_table, write_table
    from rewild.papers.wildchat50m import averages as average
    from rewild.papers.wildchat50m.schema import AVERAGES, SCORES, STATED_AVERAGES, SUBSETS

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
def audit(
    paper: PaperName,
    evidence: Annotated[
        list[str], typer.Argument(metavar="NAME=PATH...", help="What this study has, e.g. workbook=PATH")
    ],
    study: Annotated[str, typer.Option(help="The study's name, for the report")],
    out_dir: Annotated[Path, typer.Option(help="The folder for audit.json, audit.md and audit.html")],
    claims: Annotated[
        Path | None, typer.Option(help="The claims file [default: data/claims.yaml of the paper's room]")
    ] = None,
) -> None:
    """Check every claim of a paper on a study's evidence. The exit status says nothing of the verdicts."""
    from rewild.audit import report
    from rewild.audit.claims import audit as run
    from rewild.audit.claims import load_claims
    from rewild.audit.outcome import VERDICTS
    from rewild.core.errors import ConfigError
    from rewild.papers import find_paper
    from rewild.papers.room import named_files

    room = find_paper(paper)
    files = named_files(evidence, "evidence")
    if twice := [name for name, paths in files.items() if len(paths) > 1]:
        raise ConfigError(f"evidence '{twice[0]}' stands twice")
    source = room.evidence_class()({name: paths[0] for name, paths in files.items()})
    checks, path = room.checks(), claims or room.claims
    results = run(load_claims(path, checks, source.SUPPLIERS), checks, source)
    data = report.as_data(results, source, study, path, {"name": room.name, "cite": room.cite})
    report.write(data, out_dir)
    typer.echo(", ".join(f"{data['counts'][v]} {name.lower()}" for v, name in VERDICTS.items()))


@app.command()
def summary(
    study: Annotated[str, typer.Argument(help="A study that was run")], results: Results = Path("results")
) -> None:
    """Print how a study ended: the verdicts, the contradicted claims, and where the results are."""
    from rewild.audit.summary import show

    show(results / study, study)

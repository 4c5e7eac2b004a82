"""Commands of the phase report: scores, findings, the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewild.cli.options import ConfigFolder, Results, StudyName
from rewild.core.errors import ConfigError, known_name

if TYPE_CHECKING:
    from rewild.config.study import Study

app = typer.Typer()
PANEL = "Report: scores, findings, the viewer"


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
    from rewild.evaluation.scores.tidy import ITEMS, ROSTER, SCORES, roster_frame

    found = read_study(study, config)
    roster = make_roster(found, load_models(config, found))
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
def judged_words(
    study: StudyName,
    *,
    scores: Annotated[Path, typer.Option(help="The folder with scores.csv, items.parquet and runs.csv")],
    benchmarks: Annotated[Path, typer.Option(help="The folder benchmarks/ of the study's results")],
    words: Annotated[Path, typer.Option(help="The words of the judgments")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Compare the words of judgments of two models' fine-tunes, where their scores differ."""
    from rewild.core.errors import DataError
    from rewild.core.table import provenance, write_table
    from rewild.evaluation.judgments.schema import OWN_WORDS
    from rewild.report.findings import answers
    from rewild.report.findings.grounds import open_study, with_answers

    grounds = with_answers(open_study(study, config, scores), benchmarks)
    found = grounds.answered
    if found is None or grounds.judged is None:
        raise DataError(f"study {study}: words of judgments need {grounds.unanswered}")
    read = [benchmarks / e.run / grounds.judged for e in found.pair.entries]
    judged = provenance([folder / "judgments.parquet" for folder in read])
    write_table(words, answers.word_table(found, grounds.settings.minimum), OWN_WORDS, judged)


@app.command()
def findings(
    study: StudyName,
    *,
    results: Results = Path("results"),
    scores: Annotated[Path | None, typer.Option(help="[default: results/STUDY/scores]")] = None,
    benchmarks: Annotated[Path | None, typer.Option(help="[default: results/STUDY/benchmarks]")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the report [default: results/STUDY/findings]")
    ] = None,
    figure: Annotated[
        list[Path] | None, typer.Option(help="SVG files to show, PAPER/figures/FIGURE.svg, any number")
    ] = None,
    table: Annotated[list[Path] | None, typer.Option(help="HTML tables to link to, any number")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """State the paper's key findings of a study's own runs, each with its uncertainty."""
    from rewild.config import read_study
    from rewild.core.table import provenance
    from rewild.papers import papers
    from rewild.report.findings import report
    from rewild.report.findings.grounds import FILES, open_study, with_answers
    from rewild.report.findings.state import state_findings

    folder = results / study
    scores, benchmarks = scores or folder / "scores", benchmarks or folder / "benchmarks"
    grounds = with_answers(open_study(study, config, scores), benchmarks)
    used = [scores / name for name in FILES]
    if grounds.answered and grounds.judged:
        used += [
            benchmarks / e.run / grounds.judged / name
            for e in grounds.answered.pair.entries
            for name in ("answers.parquet", "judgments.parquet")
        ]
    made_from = provenance(used, seed=grounds.seed, **grounds.settings.model_dump(mode="json"))
    found = state_findings(grounds)
    data = report.as_data(study, read_study(study, config).title, found, grounds, made_from)
    rooms = {path: papers().get(path.parts[-3]) for path in figure or () if len(path.parts) > 2}
    texts = {path: room.texts[path.stem] for path, room in rooms.items() if room and path.stem in room.texts}
    shown = {path: texts[path].own if path in texts else path.stem for path in figure or ()}
    report.write(data, out or folder / "findings", shown, table or ())
    for finding in found:
        typer.echo(f"{finding.id}: {finding.statement or 'cannot say: lacks ' + finding.missing}")


@app.command()
def import_judgments(
    study: StudyName,
    judgments: Annotated[
        list[Path] | None,
        typer.Argument(help="Judgments of AlpacaEval, MT-Bench or Arena-Hard (docs/formats.md)"),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Where to write the judgments (Parquet)")],
    questions: Annotated[
        Path | None, typer.Option(help="The questions that MT-Bench's or Arena-Hard's judgments name")
    ] = None,
    config: ConfigFolder = Path("config"),
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
    read = [*(Path(f.path) for f in files["wildbench"]), *(judgments or [])]
    write_table(out, frame, JUDGMENTS, provenance([*read, questions] if questions else read))
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


Shards = Annotated[list[Path], typer.Option("--prompts", help="The study's shards of prompts, any number")]
Mixed = Annotated[
    list[str] | None, typer.Option(help="MIX=FILE, of each mix that a set names: its train.parquet")
]


@app.command("draw-data")
def draw_data(
    study: StudyName,
    shown: Annotated[str, typer.Argument(help="A figure: labels, lengths, verbs ... (docs/data.md)")],
    measures: Annotated[list[Path] | None, typer.Argument(help="Files of measures (.parquet)")] = None,
    *,
    prompts: Shards,
    written: Annotated[
        list[Path] | None, typer.Option(help="synthesis/SOURCE/prompts.parquet, for the figure `settings`")
    ] = None,
    mix: Mixed = None,
    out: Annotated[Path, typer.Option(help="Where to write, without a suffix")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Draw what prompts and responses of a study's sets are like, and write the numbers beside it."""
    from rewild.core.plotting import save
    from rewild.core.table import provenance, write_table
    from rewild.report.data.figures import draw
    from rewild.report.data.numbers import NUMBERS, Files, Reader, about, numbers
    from rewild.report.data.plan import VIEWS, plan_data

    found = _described(study, config)
    plan = plan_data(found)
    known_name(shown, VIEWS, "unknown figure", listed="figures")
    if shown not in plan.views or found.data is None:
        why = "; ".join(sorted({one.reason for one in plan.left_out if one.view == shown}))
        raise ConfigError(f"study {found.name}: data: there is no figure '{shown}': {why}")
    files = Files(measures or [], prompts, written or [], _named(mix))
    frame = numbers(shown, plan.views[shown], Reader(files, plan.sets), found.data, found.seed)
    settings = about(plan.views[shown]) | {"seed": found.seed, "resamples": found.data.resamples}
    write_table(out.with_suffix(".csv"), frame, NUMBERS, provenance(files.paths, **settings))
    save(draw(shown, frame), out, VIEWS[shown].title)
    typer.echo(f"{VIEWS[shown].title}: {out}.svg")


@app.command("tabulate-data")
def tabulate_data(
    study: StudyName,
    shown: Annotated[str, typer.Argument(help="A table: statistics, safety, costs (docs/data.md)")],
    measures: Annotated[list[Path] | None, typer.Argument(help="Files of measures (.parquet)")] = None,
    *,
    prompts: Shards,
    answered: Annotated[
        list[Path] | None,
        typer.Option(help="Measurements of shards, responses/MODEL/SHARD.json, for `costs`"),
    ] = None,
    written: Annotated[
        list[Path] | None, typer.Option(help="synthesis/SOURCE/manifest.json, for `costs`")
    ] = None,
    mix: Mixed = None,
    coverage: Annotated[list[Path] | None, typer.Option(help="coverage/NAME/sets.csv, for `topics`")] = None,
    published: Annotated[Path, typer.Option(help="What MAGPIE's text prints beside it")],
    out: Annotated[Path, typer.Option(help="Where to write, without a suffix")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Make a table of what a study's data is like, beside the numbers that MAGPIE prints."""
    from rewild.measures.similarity.summary import Options
    from rewild.report.data.numbers import Files, Reader
    from rewild.report.data.plan import PRINTED, categories_of, plan_data, price_of, table_uses
    from rewild.report.data.tables import Costs, make

    found = _described(study, config)
    known_name(shown, PRINTED, "unknown table", listed="tables")
    assert found.data
    files = Files(measures or [], prompts, mixes=_named(mix))
    made = make(
        shown,
        table_uses(found, shown),
        Reader(files, plan_data(found).sets),
        Options(seed=found.seed, resamples=found.data.resamples),
        published=published,
        given=Costs(answered or [], written or [], *price_of(found)) if shown == "costs" else None,
        names=categories_of(found) if shown == "safety" else None,
        coverage=coverage or [],
    )
    made.write_csv(out.with_suffix(".csv"))
    made.write("md", out.with_suffix(".md"))
    made.write("tex", out.with_suffix(".tex"))
    made.write("html", out.with_suffix(".html"))


@app.command("list-data")
def list_data(
    study: StudyName,
    numbers: Annotated[
        list[Path] | None, typer.Argument(help="The tables and figures that there are (.csv)")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="The folder for data.md and left_out.csv")],
    config: ConfigFolder = Path("config"),
) -> None:
    """List the figures and tables of a study's data, and say why others are left out."""
    from rewild.core.files import write_text
    from rewild.core.table import provenance, write_table
    from rewild.report.data.page import LEFT_OUT, page
    from rewild.report.data.plan import plan_data

    found = _described(study, config)
    plan = plan_data(found)
    rows = LEFT_OUT.frame([(x.view, x.role, x.set, x.reason) for x in plan.left_out], "left out")
    write_table(out / "left_out.csv", rows, LEFT_OUT, provenance())
    write_text(out / "data.md", page(found.title, plan, numbers or []))


def _named(given: list[str] | None) -> dict[str, Path]:
    pairs = [one.partition("=") for one in given or ()]
    if wrong := [name for name, _, path in pairs if not path]:
        raise ConfigError(f"--mix is NAME=FILE, not '{wrong[0]}'")
    return {name: Path(path) for name, _, path in pairs}


def _described(study: str, config: Path) -> Study:
    """A study that has the section `data`."""
    from rewild.config import read_study

    found = read_study(study, config)
    if found.data is None:
        raise ConfigError(f"study {found.name}: it has no section 'data'; add one (docs/data.md)")
    return found


@app.command("list-results")
def list_results(
    study: Annotated[str, typer.Argument(help="The study's name")],
    files: Annotated[list[str], typer.Argument(help="results/STUDY/..., every file that it promises")],
    out: Annotated[Path, typer.Option(help="The list (.txt)")],
) -> None:
    """Write down which files a study promises: `home` and `status` tell from them how far it is."""
    from rewild.operate.home.parts import write_promised

    write_promised(study, files, out)


@app.command()
def home(  # noqa: PLR0917
    study: Annotated[str, typer.Argument(help="A study that was run")],
    out: Annotated[Path | None, typer.Option(help="The page [default: results/STUDY/index.html]")] = None,
    archive: Annotated[
        Path | None, typer.Option("--zip", help="A zip of the page and all that it links to, instead")
    ] = None,
    largest: Annotated[
        float, typer.Option(min=0, help="Megabytes of a file in the zip; what is larger is left out")
    ] = 25,
    folder: Annotated[Path | None, typer.Option(help="Its results [default: results/STUDY]")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Make a study's home: a page of what is done, findings, figures, cost, failures, provenance."""
    from rewild.operate.home.gather import gather
    from rewild.operate.home.page import write_archive, write_home

    folder = folder or Path("results") / study
    given = _given(study, folder, config)
    found = gather(study, folder, given)
    if archive is None:
        write_home(found, out or folder / "index.html")
        return
    for one in write_archive(found, folder, archive, largest):
        typer.echo(f"left out: {one.path} ({one.why})", err=True)


def _given(study: str, folder: Path, config: Path) -> Any:
    """What a study's home shows that is not in its folder; what is wrong with it is shown too."""
    from rewild import FOLDER
    from rewild.cli.operate import inputs_of
    from rewild.config import study_names
    from rewild.core.errors import RewildError
    from rewild.operate.cost.estimate import estimate
    from rewild.operate.home.gather import Given
    from rewild.papers.room import Case
    from rewild.papers.studies import shown

    problems: list[str] = []
    used, results = folder / "config.yaml", folder.parent
    if not folder.is_dir():
        known_name(study, study_names(config), "unknown study", listed="studies")
    inputs, lines = None, []
    captions: dict[str, str] = {}
    cites: dict[str, str] = {}
    for name in (str(used), study) if used.is_file() else (study,):
        try:
            inputs = inputs_of(name, None, None, results, config)
            break
        except RewildError as error:
            problems.append(str(error))
    if inputs is not None:
        try:
            lines = estimate(inputs)
        except RewildError as error:
            problems.append(str(error))
        try:
            from rewild.config.roster import make_roster

            case = Case(inputs.study, make_roster(inputs.study, inputs.models), inputs.benchmarks)
            for paper, show in shown(case).items():
                cites[paper] = show.paper.cite
                captions |= {f"{paper}/tables/{t}": show.paper.specs.tables[t].title for t in show.tables}
                captions |= {f"{paper}/figures/{f}": show.paper.texts[f].shows for f in show.figures}
        except RewildError as error:
            problems.append(str(error))
    software = FOLDER.parent / "CITATION.cff"
    return Given(
        study=inputs and inputs.study,
        inputs=inputs,
        lines=lines,
        captions=captions,
        cites=cites,
        software=software,
        problems=problems,
    )

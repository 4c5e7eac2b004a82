"""Commands that compare responses with each other, and measure them one model at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from rewild.core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from rewild.config.models import Model

app = typer.Typer()

Responses = Annotated[
    list[Path], typer.Argument(help="Tables of responses (.parquet), or their manifests (.json)")
]
Config = Annotated[Path, typer.Option("--config", help="The folder of models.yaml")]
Imported = Annotated[
    Path | None, typer.Option(help="imports/models.csv: names and sizes of models that models.yaml lacks")
]
Seed = Annotated[int, typer.Option(help="The study's seed")]
Prompts = Annotated[int | None, typer.Option(help="How many conversations to take, drawn by the seed")]


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise ConfigError(f"unknown {what} '{value}'{nearest(value, known)} ({what}s: {', '.join(known)})")
    return value


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
    wordnet: Annotated[Path | None, typer.Option(help="Folder or zip file of WordNet 3.0")] = None,
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
    place = dictionary.find(wordnet) if synonyms else None
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
        wordnet=dictionary.fingerprint(place) if place else None,
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
    config: Config = Path("config"),
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
    imported: Imported = None,
    size: Annotated[
        list[str] | None, typer.Option(help="MODEL=PARAMETERS of a model of the study's own")
    ] = None,
    config: Config = Path("config"),
) -> None:
    """Draw a metric: clustered heat map, distribution per model, similarity against model size."""
    from rewild.core.plotting import save
    from rewild.measures.similarity.figures import FIGURES, draw
    from rewild.measures.similarity.schema import ALL_METRICS, label
    from rewild.responses.imports.names import names_and_sizes

    _one_of(metric, ALL_METRICS, "metric")
    names, parameters = names_and_sizes(_models(config), imported)
    parameters |= {slug: float(count) for slug, _, count in (given.partition("=") for given in size or [])}
    for kind in FIGURES:
        save(
            draw(folder, kind, metric, names, parameters),
            out / f"{kind}_{metric}",
            f"{label(metric)}: {kind}",
        )


@app.command()
def similarity_cells(
    sampled: Annotated[list[Path], typer.Argument(help="GROUP/table5_sampled.csv of each group")],
    *,
    published: Annotated[Path, typer.Option(help="Table 5 as published")] = Path(
        "resources/paper/table5.csv"
    ),
    out: Annotated[Path, typer.Option(help="The computed cells")],
) -> None:
    """Table 5's computed cells: of the paper's models that there are, from the first group that has each."""
    from rewild.core.cells import COMPUTED_CELLS, PUBLISHED_CELLS
    from rewild.core.table import provenance, read_table, write_table
    from rewild.measures.similarity.merge import paper_cells

    rows = read_table(published, PUBLISHED_CELLS)["row"].unique(maintain_order=True)
    groups = {path.parent.name: read_table(path, COMPUTED_CELLS) for path in sampled}
    cells = paper_cells(groups, rows.to_list())
    write_table(out, cells, COMPUTED_CELLS, provenance([*sampled, published]))
    typer.echo(f"{cells['row'].n_unique()} of {len(rows)} models of Table 5")


@app.command()
def wordnet(
    to: Annotated[Path, typer.Option(help="The folder to make: put it into NLTK_DATA")],
    source: Annotated[
        Path | None, typer.Option("--from", help="WordNet's dictionary files, such as /usr/share/wordnet")
    ] = None,
) -> None:
    """Make a folder that nltk's own reader accepts from WordNet's dictionary files (for the oracle tests)."""
    from rewild.measures.similarity.wordnet import find, make_nltk_data

    place = make_nltk_data(find(source), to)
    typer.echo(f"{place}: ready; use it with NLTK_DATA={to}")


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
    config: Config = Path("config"),
) -> None:
    """Measure each model's responses: distinct-n, compression, length, refusals, truncation, language."""
    from rewild.core.plotting import save
    from rewild.core.table import provenance, write_table
    from rewild.measures.diversity.figures import lengths
    from rewild.measures.diversity.measure import definitions, measure_all
    from rewild.measures.diversity.schema import DEFINITIONS, DIVERSITY
    from rewild.measures.similarity.read import response_files
    from rewild.responses.imports.names import names_and_sizes

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

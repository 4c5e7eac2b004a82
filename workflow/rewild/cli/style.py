"""Commands about the Markdown styling of responses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


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
    cells: Annotated[Path | None, typer.Option(help="Also write Table 3's computed cells here")] = None,
) -> None:
    """Compare the styling of every pair of models: ratios of counts, and their means."""
    import polars as pl

    from rewild.core.cells import COMPUTED_CELLS, PUBLISHED_CELLS
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
    if cells:
        write_table(cells, pf.table3_cells(table3, scopes), COMPUTED_CELLS, made_from)


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
    config: Annotated[Path, typer.Option("--config", help="The folder of models.yaml")] = Path("config"),
    cores: Annotated[int, typer.Option(min=1, help="Processes")] = 1,
) -> None:
    """Count the Markdown styling of responses to the same prompts, and compare the models."""
    import polars as pl

    from rewild.config.models import load_models
    from rewild.core.plotting import save
    from rewild.core.table import provenance, write_table
    from rewild.core.terminal import Column, print_table
    from rewild.measures.style import schema
    from rewild.measures.style.figures import elements, ratios
    from rewild.measures.style.responses import count_models, proportions
    from rewild.responses.imports.names import names_and_sizes

    counts, rates = count_models(responses, cores)
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
    ranked = [Column(name, rank, right=True) for rank, name in enumerate(features, start=1)]
    print_table([Column("model"), *ranked], [(m, *(f"{n:,g}" for n in found)) for m, *found in wide.rows()])

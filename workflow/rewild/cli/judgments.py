"""Commands about judgments: who is preferred, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
Judgments = Annotated[Path, typer.Argument(help="combined_preferences.csv")]


@app.command()
def preferences(
    judgments: Judgments,
    pages: Annotated[list[Path], typer.Argument(help="Judged pages of Q72 : None, QUESTION.html")],
    published: Annotated[Path, typer.Option(help="Table 4 as published")],
    out: Annotated[Path, typer.Option(help="The folder for preferences.csv and checks.csv")],
    cells: Annotated[Path | None, typer.Option(help="Also write Table 4's computed cells here")] = None,
) -> None:
    """Compute the preference rates of Table 4 that released judgments determine, and bound the others."""
    from rewild.core.cells import COMPUTED_CELLS, PUBLISHED_CELLS
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
    if cells:
        write_table(cells, p.table4_cells(rates), COMPUTED_CELLS, made_from)


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
def draw_words(
    words: Annotated[Path, typer.Argument(help="words.csv")],
    *,
    figure: Annotated[str, typer.Option(help="figure3 (L8B : L70) or figure4 (L8B : Q72)")],
    out: Annotated[Path, typer.Option(help="The folder for FIGURE and FIGURE-bars, as SVG, PDF and PNG")],
    most: Annotated[int, typer.Option(min=1, help="Words in the cloud")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the cloud's layout")] = 50,
    own: Annotated[bool, typer.Option("--own", help="The words are of a study's own runs")] = False,
) -> None:
    """Draw Figure 3 or 4: words more common in one model's judgments, as a cloud and as bars."""
    from rewild.core.errors import RewildError, nearest
    from rewild.core.table import read_table
    from rewild.evaluation.judgments import figures, schema

    if figure not in figures.SIDES:
        raise RewildError(f"'{figure}' is not a figure of words{nearest(figure, figures.SIDES)}")
    if own:
        frame = read_table(words, schema.OWN_WORDS, allow_empty=True)
        sides = {f"{n}_{b}": f"{n}_{a}" for a, b in schema.SIDES_OF.items() for n in ("n", "only")}
        names = (frame["second"][0], frame["first"][0]) if frame.height else ("either", "either")
        figures.draw(frame.rename(sides), figure, out / figure, most=most, seed=seed, names=names)
        return
    figures.draw(read_table(words, schema.WORDS), figure, out / figure, most=most, seed=seed)

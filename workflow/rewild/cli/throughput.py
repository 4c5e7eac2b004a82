"""Commands about how fast models answered, and how they write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def throughput(
    measurements: Annotated[
        list[Path], typer.Argument(help="Measurements of shards: responses/MODEL/SHARD.json")
    ],
    out: Annotated[Path, typer.Option(help="The folder for throughput.csv, summary.csv and throughput.md")],
    figure: Annotated[Path, typer.Option(help="The figure's path, without a suffix")],
    published: Annotated[Path, typer.Option(help="The paper's numbers")] = Path(
        "resources/paper/throughput.csv"
    ),
) -> None:
    """Tokens per second, time per 1,000 conversations, input to output speed, and what they go with."""
    from rewild.core.files import write_text
    from rewild.core.table import provenance, read_table, write_table
    from rewild.measures.throughput import analysis as t
    from rewild.measures.throughput.report import markdown
    from rewild.report.figures.throughput import draw_throughput

    printed = read_table(published, t.PUBLISHED)
    models = t.per_model(t.read_measurements(measurements), printed)
    over_all = t.summary(models, printed)
    made_from = provenance([published, *measurements])
    write_table(out / "throughput.csv", models, t.THROUGHPUT, made_from)
    write_table(out / "summary.csv", over_all, t.SUMMARY, made_from)
    text = markdown(models, over_all)
    write_text(out / "throughput.md", text)
    draw_throughput(models, figure)
    typer.echo(text)

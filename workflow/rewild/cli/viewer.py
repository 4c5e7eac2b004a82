"""The command that builds the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


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

"""Commands of the demo: models made from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
Text = Annotated[Path, typer.Option(help="What the models learn from")]
TEXT = Path("resources/demo/text.yaml")


@app.command()
def make_model(
    settings: Annotated[str, typer.Argument(help="JSON, as in the study's demo.models")],
    out: Annotated[Path, typer.Option(help="The model's folder")],
    text: Text = TEXT,
) -> None:
    """Make a tiny language model from scratch, tokenizer and all (about a minute on one CPU core)."""
    from rewild.config.base import validate_json
    from rewild.config.demo import DemoModel
    from rewild.operate.demo.train import Progress
    from rewild.operate.demo.train import make_model as train
    from rewild.operate.demo.world import load_material

    model = validate_json(DemoModel, settings, f"model {out.name}")

    def report(at: Progress) -> None:
        typer.echo(f"{out.name}: step {at.step} of {at.steps}, loss {at.loss:.3f}, {at.seconds:.0f} s")

    typer.echo(f"{out.name}: {model.parameters:,} parameters, {model.examples:,} examples")
    train(model, load_material(text), out, text, report)


@app.command()
def demo_text(
    style: Annotated[str, typer.Argument(help="herald, plain, brief or documents")] = "herald",
    count: Annotated[int, typer.Option(min=1, help="How many")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other text")] = 0,
    text: Text = TEXT,
) -> None:
    """Show some of what the demo's models learn from."""
    from itertools import islice

    from rewild.core.errors import ConfigError, nearest
    from rewild.operate.demo.text import STYLES, conversations, documents
    from rewild.operate.demo.world import load_material

    material = load_material(text)
    if style == "documents":
        for document in islice(documents(material, seed), count):
            typer.echo(document + "\n")
        return
    if style not in STYLES:
        known = [*STYLES, "documents"]
        raise ConfigError(f"unknown style '{style}'{nearest(style, known)} (styles: {', '.join(known)})")
    for chat in islice(conversations(material, STYLES[style], seed), count):
        for message in chat:
            typer.echo(f"[{message['role']}] {message['content']}")
        typer.echo("")

"""Commands that draw the paper's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def figure_notes(out: Annotated[Path, typer.Option(help="The note, Markdown")]) -> None:
    """Say which figures cannot be drawn from published numbers, and why."""
    from rewild.core.files import write_text
    from rewild.report.figures.published import NOT_PUBLISHED

    lines = [f"- **{name.replace('figure', 'Figure ')}**: {why}" for name, why in NOT_PUBLISHED.items()]
    write_text(out, "\n".join(["# What the paper does not publish of its figures", "", *lines]) + "\n")


@app.command()
def figure(
    name: Annotated[str, typer.Argument(metavar="FIGURE", help="figure1 or figure2")],
    *,
    scores: Annotated[
        Path | None,
        typer.Option(help="The tidy released scores; without them, what the paper's tables print is drawn"),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Draw this study's own runs, from the folder of --scores (scores.csv)")
    ] = None,
    config: Annotated[Path, typer.Option("--config", help="The folder of config.yaml and studies/")] = Path(
        "config"
    ),
    table2: Annotated[Path, typer.Option(help="Table 2 as published")] = Path("resources/paper/table2.csv"),
    table7: Annotated[Path, typer.Option(help="Table 7 as published")] = Path("resources/paper/table7.csv"),
    out: Annotated[Path, typer.Option(help="Path without suffix: .svg, .pdf, .png and .csv are written")],
) -> None:
    """Draw figure 1 (four models on nine benchmarks) or figure 2 (the effect of more data)."""
    from rewild.core.cells import PUBLISHED_CELLS
    from rewild.core.errors import ConfigError, nearest
    from rewild.core.plotting import save, style
    from rewild.core.table import provenance, read_table, write_table
    from rewild.evaluation.scores.schema import SCORES
    from rewild.report.figures import radar, scaling
    from rewild.report.figures.published import NOT_PUBLISHED
    from rewild.report.figures.schema import RADAR, SCALING

    if name not in ("figure1", "figure2"):
        raise ConfigError(f"unknown figure '{name}'{nearest(name, ('figure1', 'figure2'))}")
    if name == "figure1" and scores is None:
        raise ConfigError(NOT_PUBLISHED[name])
    if study is not None:
        _draw_own(name, study, config, scores or Path(f"results/{study}/scores/scores.csv"), out)
        return
    inputs = [scores] if scores else [table2, table7]
    if name == "figure1":
        data, schema = radar.points(read_table(inputs[0], SCORES)), RADAR
    elif scores:
        data, schema = scaling.released_points(read_table(scores, SCORES)), SCALING
    else:
        tables = {"table2": table2, "table7": table7}
        cells = {key: read_table(path, PUBLISHED_CELLS) for key, path in tables.items()}
        data, schema = scaling.published_points(cells), SCALING
    with style():
        drawn = radar.draw(data) if name == "figure1" else scaling.draw(data)
        save(drawn, out, title=f"WILDCHAT-50M, {name.replace('figure', 'Figure ')}")
    write_table(out.with_name(out.name + ".csv"), data, schema, provenance(inputs))


def _draw_own(name: str, study: str, config: Path, scores: Path, out: Path) -> None:
    """Figure 1 or 2 of a study's own runs."""
    from rewild.core.plotting import save, style
    from rewild.core.table import provenance, write_table
    from rewild.report.figures import radar, scaling
    from rewild.report.figures.schema import OWN_SCALING, RADAR
    from rewild.report.findings.load import FILES, open_study
    from rewild.report.findings.select import radar_runs, scaled

    world = open_study(study, config, scores.parent)
    titles = {
        slug: row.title + (f"\n/ {row.scale.divisor}" if row.scale.divisor > 1 else "")
        for slug, row in world.head.benchmarks.items()
    }
    with style():
        if name == "figure1":
            runs = radar_runs(world.roster, world.scored, world.settings)
            data, schema = radar.own_points(world.head, runs), RADAR
            drawn = radar.draw(data, titles | radar.LABELS)
        else:
            data, schema = scaling.own_points(world.head, scaled(world.roster, world.scored)), OWN_SCALING
            drawn = scaling.draw(data, len(titles))
        save(drawn, out, title=f"Study {study}, {name.replace('figure', 'Figure ')}")
    made_from = provenance([scores.parent / file for file in FILES])
    write_table(out.with_name(out.name + ".csv"), data, schema, made_from)

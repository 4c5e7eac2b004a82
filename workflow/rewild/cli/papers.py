"""Commands of the phase papers: claims and their audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
PANEL = "Papers: claims and their audit"


@app.command()
def audit(
    evidence: Annotated[
        list[str], typer.Argument(metavar="NAME=PATH...", help="What this study has, e.g. workbook=PATH")
    ],
    study: Annotated[str, typer.Option(help="The study's name, for the report")],
    out_dir: Annotated[Path, typer.Option(help="The folder for audit.json, audit.md and audit.html")],
    claims: Annotated[Path, typer.Option(help="The claims file")] = Path("resources/paper/claims.yaml"),
) -> None:
    """Test every claim of the paper on a study's evidence. The exit status says nothing of the verdicts."""
    from rewild.audit import report
    from rewild.audit.claims import load_claims
    from rewild.audit.outcome import VERDICTS
    from rewild.audit.run import audit as run
    from rewild.core.errors import ConfigError
    from rewild.papers.wildchat50m.evidence import Evidence

    files: dict[str, Path] = {}
    for given in evidence:
        name, separator, path = given.partition("=")
        if not separator or not path:
            raise ConfigError(f"evidence '{given}': NAME=PATH was expected")
        if name in files:
            raise ConfigError(f"evidence '{name}' stands twice")
        files[name] = Path(path)
    source = Evidence(files)
    data = report.as_data(run(load_claims(claims), source), source, study, claims)
    report.write(data, out_dir)
    typer.echo(", ".join(f"{data['counts'][v]} {name.lower()}" for v, name in VERDICTS.items()))


@app.command()
def summary(
    study: Annotated[str, typer.Argument(help="A study that was run")],
    results: Annotated[Path, typer.Option(help="The folder of results")] = Path("results"),
) -> None:
    """Print how a study ended: the verdicts, the contradicted claims, and where the results are."""
    from rewild.audit.summary import show

    show(results / study, study)

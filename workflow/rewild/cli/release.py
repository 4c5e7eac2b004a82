"""Commands of publishing: a study's results as folders ready for the hub, and their upload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewild.cli.options import ConfigFolder, Results, StudyName, say

app = typer.Typer()
PANEL = "Publish: a study's results, ready for the hub"
TOOL = "release"


@app.command()
def release(  # noqa: PLR0917
    study: StudyName,
    push: Annotated[bool, typer.Option("--push", help="Upload it, if every gate is open")] = False,
    to: Annotated[
        str | None, typer.Option(help="A user or an organisation of the hub (default: the token's user)")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="For all to see; else private")] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            help="A gate whose findings you have looked at: personal-data, secrets or control-tokens"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to make (default: its place in --results)")
    ] = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Make a study's results ready for the hub: data sets and fine-tunes with cards, behind gates."""
    from rewild.config import load_benchmarks, load_defaults, load_models, read_study
    from rewild.core.fetch import read_manifest
    from rewild.core.files import write_json
    from rewild.operate.environments import hand_over
    from rewild.operate.licences import read_accepted
    from rewild.operate.release.make import judge_gates, make_release, read_found, refuse_closed
    from rewild.operate.release.push import check_names
    from rewild.operate.release.push import push as upload
    from rewild.operate.release.scan import make_scanner
    from rewild.operate.release.units import Case

    found = read_study(study, config)
    models = load_models(config, found)
    case = Case(found, models, load_benchmarks(config, models), read_manifest(), results)
    folder = out or case.folder / "release"
    asked = ["release", study, "--results", str(results), "--config", str(config)]
    asked += [flag for flag, on in (("--push", push), ("--public", public)) if on]
    asked += [f"--{key}={value}" for key, value in (("to", to), ("out", out)) if value is not None]
    asked += [f"--accept={gate}" for gate in accept or []]
    hand_over(config.parent / ".envs" / TOOL, "presidio_analyzer", asked)
    made = make_release(case, folder, lambda: make_scanner(case.release.personal), say)
    agreed = [*load_defaults(config).licences, *read_accepted(config)]
    gates = judge_gates(made, read_found(folder), agreed, accept or [])
    for entry in made["repositories"]:
        typer.echo(
            f"{entry['name']}: {entry['rows']:,} rows, {len(entry['files'])} files, {entry['licence']}"
        )
    for line in made["not_there"]:
        typer.echo(f"not there: {line}")
    for gate in gates:
        state = "open" if not gate.faults else f"{len(gate.faults):,} findings"
        typer.echo(f"gate {gate.name}: {state}{', accepted' if gate.faults and gate.accepted else ''}")
    if to is not None:
        check_names(made, to)
    if not push:
        typer.echo(f"{folder}: ready; --push uploads it" if all(g.open for g in gates) else f"{folder}: made")
        return
    refuse_closed(found.name, gates, folder)
    sent = upload(made, folder, to, public, say)
    agreed_to = {"gates": [g.name for g in gates if g.faults], "licences": agreed}
    write_json(folder / "pushed.json", {"study": found.name, "accepted": agreed_to, "repositories": sent})

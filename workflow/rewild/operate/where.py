"""`rewild` alone: which studies there are, how far each is, and the next command to type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from rewild import __version__
from rewild.config import load_defaults, read_study, study_names
from rewild.config.study import Study
from rewild.core.errors import RewildError
from rewild.core.terminal import Heading, output, print_table
from rewild.operate.home.page import PAGE
from rewild.operate.home.parts import PROMISED, count, stages

BY_MAKE = ("paper", "released", "demo")
"""Studies that ``make`` has a target for."""


@dataclass(frozen=True)
class Place:
    """How far one study is.

    Attributes:
        state: ``never run``, ``3 of 24``, ``complete``, ``some files``, or ``not usable``.
        touched: when its list of files was last written, in seconds; 0 without one.
    """

    name: str
    title: str
    state: str
    study: Study | None
    touched: float = 0.0


def places(config: Path, results: Path) -> list[Place]:
    """Every study of the configuration."""
    found = []
    for name in study_names(config):
        try:
            study = read_study(name, config)
            known = stages(results / name)
        except RewildError as error:
            found.append(Place(name, str(error), "not usable", None))
            continue
        if known is None:
            state = "some files" if (results / name / "config.yaml").is_file() else "never run"
            found.append(Place(name, study.title, state, study))
            continue
        done, parts = count(known)
        state = "complete" if done == parts else f"{done} of {parts}"
        touched = (results / name / PROMISED).stat().st_mtime
        found.append(Place(name, study.title, state, study, touched))
    return found


def next_command(found: list[Place], default: str, folder: Path = Path()) -> tuple[str, str]:
    """The next command to type, and why.

    Args:
        found: the studies.
        default: the study that `snakemake` makes by itself.
        folder: where Snakemake runs.
    """
    begun = sorted((p for p in found if p.touched and p.state != "complete"), key=lambda p: -p.touched)
    if begun and any((folder / ".snakemake/locks").glob("*")):
        return f"rewild status {begun[0].name} --watch", "Snakemake is at work in this folder, or was killed"
    if begun:
        return _run(begun[0], folder), f"{begun[0].name} is not complete"
    usable = {p.name: p for p in found if p.study}
    fresh = [p for p in usable.values() if p.state in ("never run", "some files")]
    first = sorted(fresh, key=lambda p: (p.name != default, p.name != "demo", _needs_gpus(p), p.name))
    if first and not _needs_gpus(first[0]):
        return _run(first[0], folder), f"{first[0].name} was not run yet, or not as a whole"
    if first:
        profile = " --profile slurm" if (folder / "slurm").exists() else ""
        return f"rewild preflight {first[0].name}{profile}", f"{first[0].name} needs GPUs: can it start here?"
    if bad := [p for p in found if not p.study]:
        return f"rewild validate {bad[0].name}", f"{bad[0].name} is not usable"
    return "rewild --help", "every study is complete" if found else "there are no studies"


def _needs_gpus(place: Place) -> bool:
    """Whether its models are too large for this machine, as far as its settings tell."""
    study = place.study
    return bool(study and study.source == "computed" and not study.demo)


def _run(place: Place, folder: Path) -> str:
    if _needs_gpus(place) and (folder / "slurm").exists():
        return f"snakemake --profile slurm --config study={place.name}"
    if place.name in BY_MAKE and (folder / "Makefile").is_file():
        return f"make {place.name}"
    return f"snakemake --cores all --config study={place.name}"


def print_where(config: Path, results: Path, console: Console | None = None) -> None:
    """Print where one is, and what to type next."""
    console = output(console)
    console.print(Text(f"rewild {__version__}: controlled studies of synthetic data in post-training"))
    if not (config / "config.yaml").is_file():
        told = f"There is no {config}/config.yaml here. Go to the folder of the workflow, or type"
        console.print(Text(told), soft_wrap=True)
        console.print("  rewild --help", markup=False)
        return
    default = load_defaults(config).study
    found = places(config, results)
    columns = [Heading("study"), Heading("done", 1), Heading("title", 2, prose=True)]
    styles = [{"complete": "green", "not usable": "red"}.get(p.state) for p in found]
    print_table(columns, [(p.name, p.state, p.title) for p in found], styles=styles, console=console)
    for place in found:
        if (results / place.name / PAGE).is_file():
            console.print(Text(f"{place.name}: {results / place.name / PAGE}"), soft_wrap=True)
    command, why = next_command(found, default)
    console.print(Text(f"\nNext ({why}):"), soft_wrap=True)
    console.print(Text(f"  {command}", style="bold"), soft_wrap=True)
    console.print(Text("\n`rewild --help` lists all commands.", style="dim"), soft_wrap=True)

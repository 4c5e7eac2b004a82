"""What is printed at the end of a run: verdicts, places of the results, the headline table, the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from rewild.audit import report
from rewild.audit.outcome import VERDICTS
from rewild.core.errors import DataError
from rewild.core.terminal import Heading, fits, output, print_table
from rewild.report.findings import report as findings
from rewild.report.findings.headline import shown

COLOURS = {
    "contradicted": "yellow",
    "reproduced_otherwise": "magenta",
    "reproduced": "green",
    "not_testable": "bright_black",
}
# Where results lie below results/STUDY, and what they are called; those of a paper under its name.
PLACES = (
    ("*/tables/*.md", "tables"),
    ("*/figures/*.svg", "figures"),
    ("figures/*.svg", "figures"),
    ("scores/*.csv", "scores"),
    ("findings/findings.*", "findings"),
    ("style/*.csv", "styling"),
    ("judgments/*.csv", "judgments"),
    ("win_rates/*.csv", "win rates"),
    ("*/audit/audit.*", "audit"),
)
# What a paper's results were called before they lay under the paper's name.
OLD = ("tables/table*.csv", "cells/table*.csv", "figures/figure*.svg", "audit/audit.json")


def show(folder: Path, study: str) -> None:
    """Print the summary of a study to the terminal.

    Raises:
        DataError: the study has no results.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no results; run `snakemake --config study={study}` first")
    console = output()
    older = {path: place for place in OLD for path in folder.glob(place)}
    if older:
        names = ", ".join(f"{place.partition('/')[0]}/" for place in dict.fromkeys(older.values()))
        told = (
            f"{folder}: {names} are of a version whose results did not lie under their paper's name. Nothing "
            f"reads them: move them away, then run `snakemake --config study={study}`.\n"
        )
        console.print(Text(told, style="yellow"), soft_wrap=True)
    for path in sorted(folder.glob("*/audit/audit.json")):
        _show_audit(console, report.read(path), study)
    console.print("[bold]Results[/]")
    for pattern, name in PLACES:
        found = sorted(set(folder.glob(pattern)) - set(older))
        for parent in dict.fromkeys(p.parent for p in found):
            here = [p for p in found if p.parent == parent]
            names = ", ".join(p.name if name in ("audit", "findings") else p.stem for p in here)
            console.print(Text(f"{parent}/  {name}: {names}"), no_wrap=True, overflow="ellipsis")
    if (folder / "findings/findings.json").is_file():
        console.print()
        _show_headline(console, findings.read(folder / "findings/findings.json"), study)
        console.print(Text(f"\nReport: {folder / 'findings/findings.html'}"), soft_wrap=True)


def _show_audit(console: Console, data: dict[str, Any], study: str) -> None:
    """How the claims of a paper ended."""
    console.print(Text(f"Claims of {data['paper']['name']}, study {study}", style="bold"), soft_wrap=True)
    most = max(len(str(n)) for n in data["counts"].values())
    for verdict, name in VERDICTS.items():
        line = Text(f"{data['counts'][verdict]:>{most}}  ")
        console.print(line.append(f"{report.MARKS[verdict]} {name}", style=COLOURS[verdict]))
    contradicted = report.by_importance(data, "contradicted")
    if contradicted:
        console.print("\n[bold]Contradicted[/] (claim: published → computed)")
    for claim in contradicted:
        line = Text(f"{report.MARKS['contradicted']} {claim['id']}", style=COLOURS["contradicted"])
        line.append(f": {claim['published']} → {claim['computed']}", style="default")
        console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    console.print()


def _show_headline(console: Console, data: dict[str, Any], study: str) -> None:
    """The headline table; without the intervals where they do not fit the terminal."""
    head = data["headline"]
    console.print(Text(f"Scores of study {study}", style="bold"), soft_wrap=True)
    # The average stays longest; the other benchmarks go from the right.
    last = len(head["columns"]) - 1
    ranks = [0 if i == last else i + 1 for i in range(last + 1)]
    for whole in (True, False):
        rows = [
            (row["label"], *(shown(cell if whole else cell | {"half": None}) for cell in row["cells"]))
            for row in head["rows"]
        ]
        columns = [
            Heading("Run"),
            *(Heading(c, r, right=True) for c, r in zip(head["columns"], ranks, strict=True)),
        ]
        if fits(columns, rows, console):
            break
    print_table(columns, rows, rules=False, console=console)
    said = "± half of the 95 % interval. " if whole else ""
    console.print(f"{said}Avg: {head['average']['meaning']}", style="bright_black", soft_wrap=True)

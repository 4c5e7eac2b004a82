"""What is printed at the end of a run: verdicts, places of the results, the headline table, the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rewild.audit import report
from rewild.audit.outcome import VERDICTS
from rewild.errors import DataError
from rewild.findings import report as findings
from rewild.findings.headline import shown

COLOURS = {
    "contradicted": "yellow",
    "reproduced_otherwise": "magenta",
    "reproduced": "green",
    "not_testable": "bright_black",
}
# Where results lie below results/STUDY, and what they are called.
PLACES = (
    ("tables/*.md", "tables"),
    ("figures/*.svg", "figures"),
    ("scores/*.csv", "scores"),
    ("findings/findings.*", "findings"),
    ("style/*.csv", "styling"),
    ("judgments/*.csv", "judgments"),
    ("win_rates/*.csv", "win rates"),
    ("audit/audit.*", "audit"),
)


def show(folder: Path, study: str) -> None:
    """Print the summary of a study to the terminal.

    Raises:
        DataError: the study has no results.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no results; run `snakemake --config study={study}` first")
    console = Console(highlight=False)
    if (folder / "audit/audit.json").is_file():
        data = report.read(folder / "audit/audit.json")
        verdicts = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        verdicts.add_column(justify="right")
        for verdict, name in VERDICTS.items():
            verdicts.add_row(
                Text(str(data["counts"][verdict])),
                Text(f"{report.MARKS[verdict]} {name}", style=COLOURS[verdict]),
            )
        console.print(f"[bold]Claims of the paper, study {study}[/]")
        console.print(verdicts)
        contradicted = report.by_importance(data, "contradicted")
        if contradicted:
            console.print("\n[bold]Contradicted[/] (claim: published → computed)")
        for claim in contradicted:
            line = Text(f"{report.MARKS['contradicted']} {claim['id']}", style=COLOURS["contradicted"])
            line.append(f": {claim['published']} → {claim['computed']}", style="default")
            console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        console.print()
    console.print("[bold]Results[/]")
    for pattern, name in PLACES:
        found = sorted(folder.glob(pattern))
        if found:
            names = ", ".join(p.name if name in ("audit", "findings") else p.stem for p in found)
            console.print(Text(f"{found[0].parent}/  {name}: {names}"), no_wrap=True, overflow="ellipsis")
    if (folder / "findings/findings.json").is_file():
        console.print()
        _show_headline(console, findings.read(folder / "findings/findings.json"), study)
        console.print(Text(f"\nReport: {folder / 'findings/findings.html'}"), soft_wrap=True)


def _show_headline(console: Console, data: dict[str, Any], study: str) -> None:
    """The headline table; without the intervals where they do not fit the terminal."""
    head = data["headline"]
    console.print(f"[bold]Scores of study {study}[/]")
    unlimited = console.options.update(max_width=10_000)
    for whole in (True, False):
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("Run", overflow="fold")
        for column in head["columns"]:
            table.add_column(column, justify="right", no_wrap=True)
        for row in head["rows"]:
            cells = [shown(cell if whole else cell | {"half": None}) for cell in row["cells"]]
            table.add_row(Text(row["label"]), *cells)
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
    console.print(table)
    said = "± half of the 95 % interval. " if whole else ""
    console.print(f"{said}Avg: {head['average']['meaning']}", style="bright_black")

"""What ``rewild mixes`` shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rewild.config.mixes import Mix
from rewild.config.study import Study


def print_mixes(study: Study, results: Path) -> None:
    """Print a study's mixes and preference pairs: what is asked for, and what there is."""
    console = Console()
    if not (study.mixes or study.preferences):
        console.print(f"study {study.name} has neither mixes nor preferences")
        return
    if study.mixes:
        console.print(_mixes(study, results / study.name / "mixes"))
    if study.preferences:
        console.print(_preferences(study, results / study.name / "preferences"))


def _mixes(study: Study, folder: Path) -> Table:
    table = Table(title=f"Mixes of {study.name}", title_justify="left")
    for column, side in (
        ("mix", "left"),
        ("sources", "left"),
        ("asked for", "right"),
        ("made", "right"),
        ("train tokens", "right"),
    ):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for name, mix in study.mixes.items():
        card = _card(folder / name)
        tokens = card["train_tokens"]["sum"] if card and "train_tokens" in card else None
        table.add_row(
            name,
            " + ".join(s.label for s in mix.sources),
            _asked(mix),
            _number(card, "conversations"),
            "-" if tokens is None else f"{tokens:,}",
        )
    return table


def _preferences(study: Study, folder: Path) -> Table:
    table = Table(title=f"Preference pairs of {study.name}", title_justify="left")
    for column in ("set", "model", "scorer"):
        table.add_column(column)
    for column in ("prompts", "samples", "pairs"):
        table.add_column(column, justify="right")
    for name, row in study.preferences.items():
        card = _card(folder / name)
        table.add_row(
            name,
            row.model,
            row.scorer.kind,
            f"{row.prompts:,}",
            str(row.samples),
            _number(card, "pairs"),
        )
    return table


def _asked(mix: Mix) -> str:
    total = mix.total()
    return "all" if total is None else f"{total:,}"


def _number(card: dict[str, Any] | None, key: str) -> str:
    return "-" if card is None else f"{card[key]:,}"


def _card(folder: Path) -> dict[str, Any] | None:
    path = folder / "card.json"
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found

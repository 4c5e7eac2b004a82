"""What ``rewild mixes`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rewild.config.mixes import Mix
from rewild.config.study import Study
from rewild.core.reading import read_json
from rewild.core.terminal import output, print_table


def print_mixes(study: Study, results: Path) -> None:
    """Print a study's mixes and preference pairs: what is asked for, and what there is."""
    if not (study.mixes or study.preferences):
        output().print(f"study {study.name} has neither mixes nor preferences", markup=False)
        return
    if study.mixes:
        _mixes(study, results / study.name / "mixes")
    if study.preferences:
        _preferences(study, results / study.name / "preferences")


def _mixes(study: Study, folder: Path) -> None:
    columns = "mix | sources 4 | asked for 3> | made 1> | train tokens 2>"
    rows = []
    for name, mix in study.mixes.items():
        card = _card(folder / name)
        tokens = card["train_tokens"]["sum"] if card and "train_tokens" in card else None
        sources = " + ".join(s.label for s in mix.sources)
        made = _number(card, "conversations")
        rows.append((name, sources, _asked(mix), made, "-" if tokens is None else f"{tokens:,}"))
    print_table(columns, rows, title=f"Mixes of {study.name}")


def _preferences(study: Study, folder: Path) -> None:
    columns = "set | model 1 | scorer 5 | prompts 3> | samples 4> | pairs 2>"
    rows = []
    for name, row in study.preferences.items():
        pairs = _number(_card(folder / name), "pairs")
        rows.append((name, row.model, row.scorer.kind, f"{row.prompts:,}", str(row.samples), pairs))
    print_table(columns, rows, title=f"Preference pairs of {study.name}")


def _asked(mix: Mix) -> str:
    total = mix.total()
    return "all" if total is None else f"{total:,}"


def _number(card: dict[str, Any] | None, key: str) -> str:
    return "-" if card is None else f"{card[key]:,}"


def _card(folder: Path) -> dict[str, Any] | None:
    path = folder / "card.json"
    found: dict[str, Any] | None = read_json(path) if path.is_file() else None
    return found

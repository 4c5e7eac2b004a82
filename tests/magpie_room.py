"""The room of MAGPIE, for its tests."""

from __future__ import annotations

import csv
from pathlib import Path

from rewild.audit.evidence import Evidence
from rewild.papers import find_paper

ROOT = Path(__file__).resolve().parent.parent
ROOM = find_paper("magpie")


def evidence(folder: Path = ROOM.data) -> Evidence:
    """What the study of published numbers has, or the same from another folder."""
    return Evidence({"tables": folder, "facts": folder / "facts.yaml", "models": ROOT / "config/models.yaml"})


def grid(table: str) -> dict[tuple[str, str], str]:
    """What a table prints, by row and column."""
    with (ROOM.data / f"{table}.csv").open(encoding="utf-8", newline="") as handle:
        return {(row["row"], row["column"]): row["printed"] for row in csv.DictReader(handle)}

"""Rooms of papers of which a study has the published numbers alone, for their tests."""

from __future__ import annotations

import csv
import shutil
from decimal import Decimal
from pathlib import Path

import yaml

from rewild.audit.claims import Claim, Result, audit, load_claims
from rewild.audit.evidence import Evidence
from rewild.audit.outcome import Outcome
from rewild.core.cells import PUBLISHED_CELLS
from rewild.core.table import read_table
from rewild.papers import find_paper

ROOT = Path(__file__).resolve().parent.parent


class Room:
    """A room, its checks and claims, and what they come to on its data or on changed ones."""

    def __init__(self, name: str) -> None:
        self.paper = find_paper(name)
        self.data = self.paper.data
        self.specs = self.paper.specs
        self.checks = self.paper.checks()
        claims = load_claims(self.paper.claims, self.checks, Evidence.SUPPLIERS)
        self.claims: dict[str, Claim] = {claim.id: claim for claim in claims}

    def evidence(self, folder: Path | None = None) -> Evidence:
        """What the study of published numbers has, or the same from another folder."""
        data = folder or self.data
        return Evidence({"tables": data, "facts": data / "facts.yaml", "models": ROOT / "config/models.yaml"})

    def results(self) -> dict[str, Result]:
        """Claim → its result."""
        found = audit(list(self.claims.values()), self.checks, self.evidence())
        return {result.claim.id: result for result in found}

    def outcome(self, claim: str, folder: Path | None = None) -> Outcome:
        """The outcome of one claim."""
        return audit([self.claims[claim]], self.checks, self.evidence(folder))[0].outcome

    def grid(self, table: str) -> dict[tuple[str, str], str]:
        """What a table prints, by row and column."""
        with (self.data / f"{table}.csv").open(encoding="utf-8", newline="") as handle:
            return {(row["row"], row["column"]): row["printed"] for row in csv.DictReader(handle)}

    def used(self, claim: str) -> set[str]:
        """The evidence that a claim's check reads."""
        evidence = self.evidence()
        audit([self.claims[claim]], self.checks, evidence)
        return evidence.used

    def changed(self, folder: Path, changes: dict[str, str]) -> Path:
        """A copy of the data with other values: of the cell ``table|row|column``, or of the fact ``name``."""
        shutil.copytree(self.data, folder)
        for place, printed in changes.items():
            if "|" not in place:
                path = folder / "facts.yaml"
                facts = yaml.safe_load(path.read_text(encoding="utf-8"))
                facts[place]["value"] = printed
                path.write_text(yaml.safe_dump(facts, allow_unicode=True), encoding="utf-8")
                continue
            table, row, column = place.split("|")
            path = folder / f"{table}.csv"
            with path.open(newline="", encoding="utf-8") as handle:
                lines = list(csv.DictReader(handle))
            cell = next(line for line in lines if (line["row"], line["column"]) == (row, column))
            cell["printed"] = printed
            if cell["value"]:
                cell["value"], cell["digits"] = printed, str(-int(Decimal(printed).as_tuple().exponent))
            with path.open("w", newline="", encoding="utf-8") as handle:
                writer = csv.DictWriter(handle, lines[0].keys(), lineterminator="\n")
                writer.writeheader()
                writer.writerows(lines)
        return folder


def check_claims(room: Room, verdicts: dict[str, tuple[str, str]]) -> None:
    """Every check is used and documented, reads what its claim says, and gives the verdict and its evidence.

    Args:
        room: the room.
        verdicts: claim with a check → its verdict, and a part of what must have been computed.
    """
    assert set(room.checks) == {claim.check for claim in room.claims.values() if claim.check}
    assert all(function.__doc__ for function in room.checks.values())
    assert set(verdicts) == {name for name, claim in room.claims.items() if claim.check}
    for name, result in room.results().items():
        outcome = result.outcome
        assert result.claim.says.endswith("."), name
        assert room.used(name) == set(result.claim.needs), name
        if name not in verdicts:
            assert (outcome.verdict, list(outcome.evidence)) == ("not_testable", []), name
            continue
        verdict, computed = verdicts[name]
        assert outcome.verdict == verdict, (name, outcome)
        assert computed in outcome.computed, (name, outcome)
        assert outcome.evidence, name
        assert outcome.definition, name
        assert outcome.explanation, name
        assert all(fact.source and fact.place for fact in outcome.evidence), name


def check_cells(room: Room, table: str, count: int) -> None:
    """A table has so many cells, in whole rows and the order of its columns; values are what is printed."""
    spec, columns = room.specs.of(table)
    frame = read_table(room.data / f"{table}.csv", PUBLISHED_CELLS)
    assert frame.height == count == frame["row"].n_unique() * len(spec.columns)
    for i, cell in enumerate(frame.iter_rows(named=True)):
        column = columns[cell["column"]]
        assert cell["column"] == spec.columns[i % len(spec.columns)]
        assert cell["source"] == "paper"
        if column.text or cell["printed"] == "-":
            assert (cell["value"], cell["digits"]) == (None, None)
            continue
        printed = Decimal(cell["printed"])
        assert Decimal(str(cell["value"])) == printed
        assert cell["digits"] == -int(printed.as_tuple().exponent)
        assert column.low <= cell["value"] <= (float("inf") if column.high is None else column.high)

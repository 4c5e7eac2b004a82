"""Table 6 as a grid: the average performance of every base model with every response generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import sqrt

from rewild.audit.evidence import Cell, Evidence
from rewild.audit.outcome import Fact

FAMILIES: dict[str, tuple[str, ...]] = {
    "Phi-3": ("Phi-3-Mini", "Phi-3-Small", "Phi-3-Medium"),
    "Gemma-2": ("Gemma-2-2B", "Gemma-2-9B", "Gemma-2-27B"),
    "Llama-3": ("Llama-3-8B", "Llama-3-70B"),
    "Llama-3.1": ("Llama-3.1-8B", "Llama-3.1-70B", "Llama-3.1-405B"),
    "Qwen2": ("Qwen2-1.5B", "Qwen2-7B", "Qwen2-72B"),
    "Qwen2.5": ("Qwen2.5-3B", "Qwen2.5-7B", "Qwen2.5-14B", "Qwen2.5-32B", "Qwen2.5-72B"),
}
"""Family → its generators, the smallest first."""


@dataclass(frozen=True)
class Grid:
    """Average performance (AP): the mean of AlpacaEval 2's LC and Arena-Hard's win rate, in percent.

    Attributes:
        bases: base models.
        teachers: response generators.
        ap: (base, teacher) → AP.
        cells: (base, teacher) → the cells that it is the mean of.
    """

    bases: Sequence[str]
    teachers: Sequence[str]
    ap: Mapping[tuple[str, str], Decimal]
    cells: Mapping[tuple[str, str], tuple[Cell, Cell]]

    def facts(self, bases: Sequence[str] | None = None, teachers: Sequence[str] | None = None) -> list[Fact]:
        """The cells of some bases and teachers."""
        return [
            cell.fact
            for base in bases or self.bases
            for teacher in teachers or self.teachers
            for cell in self.cells[base, teacher]
        ]

    def ranks(self, base: str) -> dict[str, int]:
        """Teacher → its rank on a base, 1 the best. No two have the same AP in the paper."""
        order = sorted(self.teachers, key=lambda teacher: -self.ap[base, teacher])
        return {teacher: n for n, teacher in enumerate(order, 1)}

    def mean(self, base: str, teachers: Sequence[str]) -> Decimal:
        """The mean AP of some teachers on a base."""
        return sum((self.ap[base, t] for t in teachers), Decimal(0)) / len(teachers)


def grid(evidence: Evidence) -> Grid:
    """Read Table 6."""
    table = evidence.table("table6")
    keys: list[tuple[str, str]] = []
    for row in table.rows:
        base, _, teacher = row.partition(" : ")
        keys.append((base, teacher))
    cells = {
        (b, t): (table.cell(f"{b} : {t}", "LC"), table.cell(f"{b} : {t}", "Arena-Hard")) for b, t in keys
    }
    return Grid(
        tuple(dict.fromkeys(b for b, _ in keys)),
        tuple(dict.fromkeys(t for _, t in keys)),
        {key: (lc.range.middle + ah.range.middle) / 2 for key, (lc, ah) in cells.items()},
        cells,
    )


def sizes(evidence: Evidence) -> tuple[Cell, Cell]:
    """How many instructions AlpacaEval 2 and Arena-Hard have."""
    return evidence.number("alpaca-eval-size"), evidence.number("arena-hard-size")


def error(rates: Sequence[Cell], counts: Sequence[Cell]) -> float:
    """The standard error of AP at most, from its two win rates in percent and their numbers of instructions.

    Preferences lie between 0 and 100, so that the error of a mean m over n of them is at most
    √(m (100 − m) / n).
    """
    pairs = zip(rates, counts, strict=True)
    found = [(float(rate.range.middle), float(count.range.middle)) for rate, count in pairs]
    return sqrt(sum(rate * (100 - rate) / n for rate, n in found)) / 2


def spearman(first: Mapping[str, int], second: Mapping[str, int]) -> Decimal:
    """Equation 2: Spearman's ρ of two rankings without ties."""
    n = len(first)
    return 1 - Decimal(6 * sum((first[name] - second[name]) ** 2 for name in first)) / (n * (n * n - 1))

"""The averages over benchmarks: as the paper states them, and as its numbers show they were made.

Section 3.1 defines ``Avg`` as the mean over MixEval, AlpacaEval 2 (length-controlled), MT-Bench / 10 and the
six benchmarks of the Open LLM Leaderboard 2: nine. The formulas of the released sheets take others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

SCALES = {"mt-bench": 10.0, "alpaca-eval": 100.0}
"""The greatest value of a benchmark; 1 for every other."""

OPEN_LLM = ("bbh", "gpqa", "math", "musr", "ifeval", "mmlu-pro")
"""The six benchmarks of the Open LLM Leaderboard 2."""


@dataclass(frozen=True)
class Variant:
    """One way to average."""

    benchmarks: tuple[str, ...]
    meaning: str


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "avg_stated": Variant(
            ("mt-bench", "alpaca-eval", *OPEN_LLM, "mixeval"),
            "all nine benchmarks, as section 3.1 defines Avg",
        ),
        "avg_wk_if": Variant(
            (*OPEN_LLM, "mixeval"),
            "the seven other than MT-Bench and AlpacaEval (world knowledge, instruction following)",
        ),
        "avg_wk_if_loose": Variant(
            (*OPEN_LLM, "mixeval", "ifeval-loose"),
            "those seven, and IFEval a second time (instance-level loose)",
        ),
        "avg_open_llm": Variant(OPEN_LLM, "the six of the Open LLM Leaderboard 2"),
    }
)


def unit(benchmark: str, value: float) -> float:
    """A score on the scale 0–1: MT-Bench divided by 10, AlpacaEval by 100, the rest as it is."""
    return float(_unit(benchmark, value))


def _unit(benchmark: str, value: float) -> Decimal:
    return Decimal(repr(value)) / Decimal(repr(SCALES.get(benchmark, 1.0)))


def average(scores: Mapping[str, float | None], variant: str = "avg_stated") -> float | None:
    """The plain mean of a model's scores, each on the scale 0–1.

    Args:
        scores: benchmark → score on the benchmark's own scale.
        variant: a name of :data:`VARIANTS`.

    Returns:
        The mean, or None if one of the scores is missing: a mean over fewer benchmarks is another number.
    """
    values = [(b, scores.get(b)) for b in VARIANTS[variant].benchmarks]
    # Scores are decimal numbers of a few digits. Added as such, so is their sum, and ties round as on paper.
    present = [_unit(b, value) for b, value in values if value is not None]
    return float(sum(present) / len(present)) if len(present) == len(values) else None

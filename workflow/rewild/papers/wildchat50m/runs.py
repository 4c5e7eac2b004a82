"""Benchmark scores of the paper's runs, from the workbook where the study has it, else from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from rewild.audit.evidence import Cell
from rewild.audit.numbers import Range, mean
from rewild.audit.outcome import Fact
from rewild.core.errors import DataError, known_name
from rewild.papers.wildchat50m.evidence import BENCHMARKS, Evidence

Scores = Mapping[str, Cell]

# Section 3.1 defines Avg over nine benchmarks; the workbook's column "Average (WK, IF)" is over seven.
# "four" takes the definition's list at its word: Open LLM Leaderboard 2 as one entry, the mean of its six.
DEFINITIONS: dict[str, tuple[str, ...]] = {
    "nine": BENCHMARKS,
    "seven": BENCHMARKS[2:],
    "four": ("MTBench", "AlpacaEval", "MixEval"),
}
LEADERBOARD = BENCHMARKS[2:8]
DEFINED: dict[str, str] = {
    "nine": "mean of all nine benchmarks on a 0–1 scale, MT-Bench / 10 and AlpacaEval / 100 among them (3.1)",
    "seven": "mean of the seven benchmarks other than MT-Bench and AlpacaEval "
    "(the workbook's column Average (WK, IF))",
    "four": "mean of MixEval, AlpacaEval / 100, MT-Bench / 10 and the mean of Open LLM Leaderboard 2's six",
}
SCALE = {"MTBench": Decimal("0.1"), "AlpacaEval": Decimal("0.01")}

# Rows of the paper's tables in the workbook: (sheet, row).
ROWS: dict[int, dict[str, tuple[str, str]]] = {
    2: {
        "Q72": ("SFT", "250k-qwen2.5-72B"),
        "L8I": ("SFT", "250k-Llama-3.1-8B"),
        "L70": ("SFT", "250k-Llama-3.3-70B"),
        "Q7": ("SFT", "250k-qwen2-7B"),
        "CRP": ("SFT", "250k-command-r-plus"),
        "JMB": ("SFT", "250k-jamba-mini-1.5"),
    },
    6: {
        "L8B : L8I": ("approx_on_policy", "Llama-8B-Llama"),
        "L8B : Q7": ("approx_on_policy", "Llama-8B-Qwen"),
        "L8B : L70": ("approx_on_policy", "Llama-8B-Llama-70B"),
        "Q7B : L8I": ("approx_on_policy", "Qwen-7B-Llama"),
        "Q7B : Q7": ("approx_on_policy", "Qwen-7B-Qwen"),
        "Q7B : Q72": ("approx_on_policy", "Qwen-7B-Qwen-72B"),
        "Q7 : None": ("approx_on_policy", "Qwen-7B-Instruct"),
        "L8I : None": ("approx_on_policy", "Llama-8B-Instruct"),
    },
    7: {
        "L8B : Q7 (500k)": ("SFT", "500k-qwen2-7B"),
        "L8B : L8I (500k)": ("SFT", "500k-Llama-3.1-8B"),
        "L8B : L8I + Q7 (500k)": ("SFT", "500k-8B-2blend"),
        "L8B : Q72 (500k)": ("SFT", "500k-qwen2.5-72B"),
        "L8B : L70 (500k)": ("SFT", "500k-Llama-3.3-70B"),
        "L8B : Q72 + L70 (500k)": ("SFT", "500k-70B-2blend"),
    },
}
TRUNCATED = "500k-qwen2.5-72B-lc"  # L8B : Q72 (500k) on responses cut to the length of L70's
REWILD = ("Main-SFT", "Re-Wild")
BASELINES = {
    "Tulu 3 SFT": ("Main-SFT", "Llama-3.1-8B-Tulu3-SFT"),
    "Magpie Align SFT": ("Main-SFT", "Llama-3-8B-Magpie-Align-SFT-v0.2"),
    "Ultrachat SFT": ("Main-SFT", "Llama-3.1-8B-Ultrachat-SFT"),
}
SCALING = {"GPT": "gpt", "L8I": "Llama-3.1-8B", "L70": "Llama-3.3-70B", "Q72": "qwen2.5-72B"}
SIZES = ("100k", "250k", "500k")


def sheet_scores(evidence: Evidence, sheet: str, row: str) -> Scores:
    """The nine scores of a row of the workbook."""
    return {b: evidence.workbook.cell(sheet, row, b) for b in BENCHMARKS}


def table_scores(evidence: Evidence, table: int) -> dict[str, Scores]:
    """Row → its nine scores, at the highest precision this study has."""
    if evidence.has("workbook"):
        return {row: sheet_scores(evidence, *place) for row, place in ROWS[table].items()}
    source = evidence.table(table)
    return {row: {b: source.cell(row, b, precise=True) for b in BENCHMARKS} for row in ROWS[table]}


def rewild_scores(evidence: Evidence) -> dict[str, Scores]:
    """Re-Wild and the three baselines of figure 1 → their scores (workbook only)."""
    places = {"Re-Wild": REWILD, **BASELINES}
    return {name: sheet_scores(evidence, *place) for name, place in places.items()}


def scaling_scores(evidence: Evidence, dgm: str) -> dict[str, Scores]:
    """Size → the scores of L8B trained on that many of a model's conversations (figure 2; workbook only)."""
    label = SCALING[known_name(dgm, SCALING, "no scaling runs of", error=DataError)]
    return {size: sheet_scores(evidence, "SFT", f"{size}-{label}") for size in SIZES}


def unit(cell: Cell, benchmark: str) -> Range:
    """A score on a 0–1 scale."""
    return cell.range.times(SCALE.get(benchmark, Decimal(1)))


def average(scores: Scores, definition: str = "nine") -> Range:
    """The average of a run under one of :data:`DEFINITIONS`; an interval if the scores are rounded."""
    known_name(definition, DEFINITIONS, "unknown average", error=DataError)
    parts = [unit(scores[b], b) for b in DEFINITIONS[definition]]
    if definition == "four":
        parts.append(mean([unit(scores[b], b) for b in LEADERBOARD]))
    return mean(parts)


def facts_of(scores: Scores, benchmarks: tuple[str, ...] = BENCHMARKS) -> list[Fact]:
    """The scores as evidence."""
    return [scores[b].fact for b in benchmarks]

"""Evidence for the audit's tests: the printed tables of the repository, and what lies in a mirror."""

from __future__ import annotations

from pathlib import Path

from rewild.audit.claims import Claim, audit, load_claims
from rewild.audit.outcome import Outcome
from rewild.papers import find_paper
from rewild.papers.wildchat50m.evidence import Evidence

ROOT = Path(__file__).resolve().parent.parent
PAPER = ROOT / "workflow/rewild/papers/wildchat50m/data"
CHECKS = find_paper("wildchat50m").checks()
CLAIMS = {c.id: c for c in load_claims(PAPER / "claims.yaml", CHECKS, Evidence.SUPPLIERS)}
COMMIT = "penfever/wildchat-50m/297e4b9f630e7155048eebf528979d90895654d6"
LEADERBOARD = (
    "tatsu-lab/alpaca_eval/cd543a149df89434d8a54582c0151c0b945c3d20/src/alpaca_eval/leaderboards/"
    "data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv"
)


def printed(**other: Path) -> dict[str, Path]:
    """What every study has, with replacements."""
    return {
        "tables": PAPER,
        "models": ROOT / "config/models.yaml",
        "facts": PAPER / "facts.yaml",
        **other,
    }


def released(mirror: Path, **other: Path) -> dict[str, Path]:
    """What the study `released` has as downloaded (not what it makes), with replacements."""
    folder = mirror / COMMIT
    return printed(
        workbook=folder / "tables/wc50m_results.xlsx",
        preferences=folder / "tables/combined_preferences.csv",
        pages=folder / "model_responses/judged/qwen-2.5-72b-resps",
        leaderboard=mirror / LEADERBOARD,
    ) | dict(other)


def verdict_of(claim: str | Claim, files: dict[str, Path]) -> Outcome:
    """The outcome of one claim on some evidence."""
    chosen = CLAIMS[claim] if isinstance(claim, str) else claim
    return audit([chosen], CHECKS, Evidence(files))[0].outcome

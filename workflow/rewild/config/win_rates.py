"""Settings of the win-rate analysis."""

from __future__ import annotations

from pydantic import Field

from rewild.config.base import LISTED, Section


class WinRates(Section, marks=LISTED):
    """AlpacaEval win rates from released annotations."""

    library: bool = Field(
        False,
        description="Also run the alpaca_eval library, in its own environment (500 MB); with the "
        "Hugging Face hub it gives the leaderboard's length-controlled win rate",
    )

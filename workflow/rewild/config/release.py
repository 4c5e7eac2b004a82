"""Settings of a release: what may leave this machine, under which terms, and what the cards say."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from rewild.config.base import RESULT, Section

Personal = Literal[
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "IBAN_CODE",
    "IP_ADDRESS",
    "CRYPTO",
    "US_SSN",
    "PERSON",
    "LOCATION",
]
"""Kinds of personal data, as the scanner (presidio) names them."""

What = Literal["prompts", "responses", "measures", "preferences", "judgments", "models"]
Reason = Annotated[str, Field(min_length=1)]


class Release(Section, marks=RESULT):
    """What `rewild release` makes of a study's results."""

    what: list[What] = Field(
        default_factory=lambda: list[What](get_args(What)),
        min_length=1,
        description="What is released, as far as the study has it",
    )
    leave_out: dict[str, Reason] = Field(
        default_factory=dict,
        description="Model, run, measure or set of pairs → why it is not released; the cards say so",
    )
    licences: dict[str, str] = Field(
        default_factory=dict,
        description="Source of prompts, model, benchmark or source of a mix → its licence, where no table "
        "has it: a row of resources/release/licences.yaml",
    )
    own_licence: str = Field(
        "cc-by-4.0", description="The licence of what is the study's own: counts, scores, grades"
    )
    personal: list[Personal] = Field(
        default_factory=lambda: list[Personal](get_args(Personal)[:7]),
        min_length=1,
        description="Kinds of personal data that close the gate. Names of persons and places are found in "
        "most fiction, so they are not among the usual ones",
    )
    use: str | None = Field(None, description="Intended use, a sentence for the cards")
    limits: list[str] = Field(default_factory=list, description="Known limits, besides those that all have")
    citation: str | None = Field(None, description="How to cite it, as BibTeX")

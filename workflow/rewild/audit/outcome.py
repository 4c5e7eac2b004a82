"""What a check returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["reproduced", "reproduced_otherwise", "contradicted", "not_testable"]
VERDICTS: dict[Verdict, str] = {
    "contradicted": "Contradicted",
    "reproduced_otherwise": "Reproduced under another definition",
    "reproduced": "Reproduced",
    "not_testable": "Not testable here",
}


@dataclass(frozen=True)
class Fact:
    """One piece of evidence: what it is, what the source says, and where it stands, to be checked by hand."""

    what: str
    value: str
    source: str
    place: str


@dataclass(frozen=True)
class Outcome:
    """The result of one check.

    Attributes:
        verdict: one of :data:`VERDICTS`.
        computed: the number or comparison computed, for readers.
        definition: what was computed: the definition, criterion or tolerance that decided.
        explanation: why the verdict follows.
        evidence: the values that it was computed from.
    """

    verdict: Verdict
    computed: str
    definition: str
    explanation: str
    evidence: Sequence[Fact] = ()


def decide(
    agreed: bool,
    computed: str,
    definition: str,
    explanation: str,
    evidence: Sequence[Fact] = (),
) -> Outcome:
    """Reproduced if ``agreed``, else contradicted."""
    return Outcome("reproduced" if agreed else "contradicted", computed, definition, explanation, evidence)

"""The claims file of a paper: what it says, where, and which check decides."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rewild.audit.checks import Checks
from rewild.audit.evidence import Evidence, MissingEvidenceError
from rewild.audit.outcome import VERDICTS, Outcome, Verdict
from rewild.config.base import Strict, validate
from rewild.core.errors import ConfigError, DataError, nearest
from rewild.core.reading_yaml import read_yaml

Importance = Literal["headline", "supporting", "detail"]


class Claim(Strict):
    """One statement of the paper that data could bear out or contradict."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    section: str = Field(min_length=1, description="Section, table, figure or appendix")
    place: str = Field(min_length=1, description="The paragraph, row or caption in it")
    says: str = Field(min_length=1, description="What is claimed, in our words")
    published: str = Field(
        min_length=1, description="The value as the paper prints it, or the statement's core"
    )
    kind: Literal["number", "comparison", "count", "method", "sign"]
    importance: Importance
    check: str | None = Field(None, description="The function that decides; absent if none is written")
    with_: dict[str, Any] = Field(default_factory=dict, alias="with", description="The check's parameters")
    needs: list[str] = Field(default_factory=list, description="Evidence without which it cannot be checked")
    why: str | None = Field(None, description="For a claim without a check: what would be needed")

    @model_validator(mode="after")
    def _check_or_reason(self) -> Claim:
        if self.check is None and self.why is None:
            raise ValueError("a claim needs a 'check', or a 'why' that says what a check would need")
        if self.check is None and (self.with_ or self.needs):
            raise ValueError("'with' and 'needs' belong to a claim with a 'check'")
        return self


def load_claims(path: Path, checks: Checks, known: Iterable[str]) -> list[Claim]:
    """Read and validate the claims, in the file's order.

    Args:
        path: the file.
        checks: those of the paper.
        known: the names of the evidence that there can be of it.

    Raises:
        ConfigError: an unknown key, check or evidence (with the nearest match), a missing value, an id
            standing twice.
    """
    raw = read_yaml(path)
    if set(raw) != {"claims"} or not isinstance(raw["claims"], list) or not raw["claims"]:
        raise ConfigError(f"{path}: one key 'claims' with a list of claims was expected")
    claims: list[Claim] = []
    names, seen = list(known), set[str]()
    for number, entry in enumerate(raw["claims"], start=1):
        name = entry.get("id") if isinstance(entry, dict) else None
        where = f"{path}, claim {name or number}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{where}: a mapping was expected")
        if "test" in entry:
            raise ConfigError(f"{where}: the key 'test' is now called 'check'; rename it")
        claim = validate(Claim, entry, where)
        if problem := _problem(claim, checks, names, seen):
            raise ConfigError(f"{where}: {problem}")
        seen.add(claim.id)
        claims.append(claim)
    return claims


def _problem(claim: Claim, checks: Checks, known: list[str], seen: Container[str]) -> str | None:
    """What is wrong with a claim beside what its fields say."""
    if claim.id in seen:
        return "the id stands twice"
    if unknown := [need for need in claim.needs if need not in known]:
        return f"needs: unknown evidence '{unknown[0]}'{nearest(unknown[0], known)}"
    return checks.problem_with(claim.check, claim.with_) if claim.check else None


@dataclass(frozen=True)
class Result:
    """A claim with its verdict and the place of the code that decided."""

    claim: Claim
    outcome: Outcome
    code: str | None


def audit(claims: Sequence[Claim], checks: Checks, evidence: Evidence) -> list[Result]:
    """Check every claim on the evidence of a study.

    A claim without a check, or whose evidence the study does not have, is not testable here. Evidence that is
    there but broken is an error.

    Raises:
        DataError: a file that does not hold what it must; the message names claim and file.
    """
    return [_one(claim, checks, evidence) for claim in claims]


def _one(claim: Claim, checks: Checks, evidence: Evidence) -> Result:
    if claim.check is None:
        return Result(claim, not_testable(f"No check is written. {claim.why}"), None)
    code = checks.location(claim.check)
    lacking = [evidence.SUPPLIERS[name] for name in claim.needs if not evidence.has(name)]
    if lacking:
        return Result(claim, not_testable(f"It would need {' and '.join(lacking)}."), code)
    try:
        return Result(claim, checks[claim.check](evidence, **claim.with_), code)
    except MissingEvidenceError as error:
        return Result(claim, not_testable(f"{str(error)[0].upper()}{str(error)[1:]}."), code)
    except DataError as error:
        raise DataError(f"claim {claim.id}: {error}") from error


def not_testable(why: str) -> Outcome:
    """The verdict where nothing could be computed."""
    return Outcome("not_testable", "—", "—", why)


def counts(results: Sequence[Result]) -> dict[Verdict, int]:
    """Verdict → number of claims, in the order of :data:`VERDICTS`."""
    return {v: sum(r.outcome.verdict == v for r in results) for v in VERDICTS}

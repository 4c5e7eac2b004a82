"""Run every claim's check and collect the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rewild.audit.checks import Checks
from rewild.audit.claims import Claim
from rewild.audit.evidence import Evidence, MissingEvidenceError
from rewild.audit.outcome import VERDICTS, Outcome, Verdict
from rewild.core.errors import DataError


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

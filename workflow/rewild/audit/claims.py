"""The claims file: what the paper says, where, and which test decides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rewild.audit.outcome import problem_with
from rewild.config.base import Strict, validate
from rewild.core.errors import ConfigError
from rewild.core.reading_yaml import read_yaml

Need = Literal[
    "tables",
    "models",
    "facts",
    "workbook",
    "preferences",
    "pages",
    "style",
    "words",
    "named_words",
    "leaderboard",
]

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
    test: str | None = Field(None, description="The function that decides; absent if none is written")
    with_: dict[str, Any] = Field(default_factory=dict, alias="with", description="The test's parameters")
    needs: list[Need] = Field(default_factory=list, description="Evidence without which it cannot be tested")
    why: str | None = Field(None, description="For a claim without a test: what would be needed")

    @model_validator(mode="after")
    def _test_or_reason(self) -> Claim:
        if self.test is None and self.why is None:
            raise ValueError("a claim needs a 'test', or a 'why' that says what a test would need")
        if self.test is None and (self.with_ or self.needs):
            raise ValueError("'with' and 'needs' belong to a claim with a 'test'")
        if self.test is not None and (problem := problem_with(self.test, self.with_)):
            raise ValueError(problem)
        return self


def load_claims(path: Path) -> list[Claim]:
    """Read and validate the claims, in the file's order.

    Raises:
        ConfigError: an unknown key or test (with the nearest match), a missing value, an id standing twice.
    """
    raw = read_yaml(path)
    if set(raw) != {"claims"} or not isinstance(raw["claims"], list) or not raw["claims"]:
        raise ConfigError(f"{path}: one key 'claims' with a list of claims was expected")
    claims: list[Claim] = []
    seen: set[str] = set()
    for number, entry in enumerate(raw["claims"], start=1):
        name = entry.get("id") if isinstance(entry, dict) else None
        where = f"{path}, claim {name or number}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{where}: a mapping was expected")
        claim = validate(Claim, entry, where)
        if claim.id in seen:
            raise ConfigError(f"{where}: the id stands twice")
        seen.add(claim.id)
        claims.append(claim)
    return claims

"""Judge factors: how a local judge scores a response by criteria, from the probabilities of the scores."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from rewild import own
from rewild.config.base import RESULT, Section, table_of
from rewild.config.measures.base import Kind, Scored, Value
from rewild.core.errors import known_name, twice

CRITERIA = Path("resources/factors/criteria.yaml")


class Criterion(Section, marks=RESULT):
    """One thing that the judge looks at."""

    title: str = Field(min_length=1, description="What it is called")
    asks: str = Field(min_length=1, description="What the judge is told to look at")
    low: str = Field(min_length=1, description="What earns the lowest score")
    middle: str = Field(min_length=1, description="What earns one in the middle")
    high: str = Field(min_length=1, description="What earns the highest")


@cache
def criteria() -> dict[str, Criterion]:
    """The rows of :data:`CRITERIA`, in their order.

    Raises:
        ConfigError: the file is not what it should be.
    """
    return table_of(Path(own(str(CRITERIA))), Criterion, "criterion")


class Factors(Scored):
    """What a judge whose weights are loaded here makes of a response, by each criterion by itself.

    The judge is asked for one whole number. It writes none: its probabilities of all numbers of the scale are
    read where its answer would begin, so that nothing is drawn, and nothing has to be parsed.
    """

    row = Kind(
        "rewild.measures.factors:Factors",
        {"overall": Value("number", "Mean of the expected scores of all criteria; null if one is missing")},
        needs="score",
        context=True,
    )
    kind: Literal["factors"]
    of: Literal["responses"] = Field("responses", description="What is measured")
    criteria: list[str] = Field(
        default_factory=lambda: list(criteria()), min_length=1, description=f"Rows of {CRITERIA}; all of them"
    )
    scale: int = Field(10, ge=2, le=100, description="The highest score; the lowest is 1")
    order: Literal["up", "down", "both"] = Field(
        "up",
        description="In which order the judge reads what the scores mean: from the lowest, from the "
        "highest, or each once. both costs twice as much, takes the mean and says how far the two are apart",
    )
    least_mass: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Where all scores together have less probability, the judge did not score: it is null",
    )

    @field_validator("criteria")
    @classmethod
    def _known(cls, given: list[str]) -> list[str]:
        for name in given:
            known_name(name, criteria(), "criterion: no row", after=f" in {CRITERIA}", error=ValueError)
        if double := twice(given):
            raise ValueError(f"'{double}' stands twice")
        return given

    def columns(self) -> dict[str, Value]:
        """The mean, then a score, its entropy and its mass for each criterion."""
        found = dict(self.row.columns)
        for name in self.criteria:
            column, title = column_of(name), criteria()[name].title
            found[column] = Value("number", f"{title}: expected score, 1 to {self.scale}")
            found[f"{column}_entropy"] = Value("number", f"{title}: entropy of the scores, in bits")
            found[f"{column}_mass"] = Value("number", f"{title}: probability that a score comes next")
            if self.order == "both":
                what = f"{title}: expected score with the scale from the highest, minus that from the lowest"
                found[f"{column}_order"] = Value("number", what)
        found["scored"] = Value("integer", "Criteria that have a score")
        found["words"] = Value("integer", "Words of the response, of any script")
        return found

    @property
    def identity(self) -> dict[str, Any]:
        """With what the judge is told of each criterion."""
        return super().identity | {"told": {n: criteria()[n].model_dump() for n in self.criteria}}


def column_of(criterion: str) -> str:
    """The column of a criterion."""
    return criterion.replace("-", "_")

"""Safety by a guard model: which one, and what its family calls the categories that it reports."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rewild import own
from rewild.config.base import RESULT, SHOWN, Section, table_of
from rewild.config.benchmarks import RUBRIC
from rewild.config.measures.base import Kind, Value
from rewild.config.measures.labels import Asks
from rewild.core.errors import known_name

GUARDS = Path("resources/safety/guards.yaml")


class Guard(Section, marks=RESULT):
    """A family of guard models."""

    source: Annotated[str, SHOWN] = Field(description="Where the names stand")
    categories: Annotated[dict[str, str], SHOWN] = Field(min_length=1, description="Code → name")


@cache
def guards() -> dict[str, Guard]:
    """The rows of :data:`GUARDS`.

    Raises:
        ConfigError: the file is not what it should be.
    """
    return table_of(Path(own(str(GUARDS))), Guard, "guard")


class Safety(Asks):
    """Whether a guard model, in its own chat template, calls the end of a conversation unsafe, and why."""

    row = Kind(
        "rewild.measures.safety:Safety",
        {
            "unsafe": Value("flag", "The guard calls it unsafe"),
            "categories": Value("text", "Codes of what it is unsafe for, with commas between; empty if safe"),
        },
        needs="generate",
        context=True,
    )
    kind: Literal["safety"]
    of: Literal["responses", "prompts"] = Field(
        "responses", description="The answer in its conversation, or the user's message in it"
    )
    guard: str = Field("llama-guard-2", description=f"The model's family, a row of {GUARDS}")
    max_tokens: int = Field(32, ge=1, description="Longest reply, in tokens")
    temperature: float = Field(0.0, ge=0, le=0, description="The likeliest token: a guard draws nothing")
    attempts: int = Field(1, ge=1, le=10, description="Calls per text until its reply fits")

    @model_validator(mode="after")
    def _guards(self) -> Self:
        if self.model == RUBRIC:
            raise ValueError(f"model: '{RUBRIC}' is no guard model")
        known_name(self.guard, guards(), "guard: no row", after=f" in {GUARDS}", error=ValueError)
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """With the codes that its guard may say."""
        return super().identity | {"codes": list(guards()[self.guard].categories)}

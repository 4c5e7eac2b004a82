"""How a model reasons before it answers: what its template is told, what ends its reasoning, its budget."""

from __future__ import annotations

from operator import not_
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from rewild.config.base import HOW, RESULT, Section, identity

Count = Annotated[int, Field(ge=1)]
Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]

OURS = ("messages", "add_generation_prompt", "continue_final_message", "tools", "documents", "chat_template")
"""What a template is given to render; no argument may stand in its place."""


class Reasoning(Section, marks=RESULT):
    """One model's reasoning. ``{}`` is enough where its template says how reasoning is written."""

    arguments: dict[str, Any] = Field(
        default_factory=dict,
        exclude_if=not_,
        description="Variables of its chat template in every rendering, such as enable_thinking: true",
    )
    start: Text | Ids | None = Field(
        None, exclude_if=not_, description="What begins its reasoning: a text, or token ids; null: derived"
    )
    end: Text | Ids | list[Text] | None = Field(
        None,
        exclude_if=not_,
        description="What ends its reasoning: a text, several of which any does, or token ids; null: derived",
    )
    budget: Count | None = Field(
        None,
        exclude_if=not_,
        description="Tokens of reasoning, beside the limit on answers; null: both share that limit",
    )
    expected: Annotated[Count | None, HOW] = Field(
        None,
        exclude_if=not_,
        description="Tokens of reasoning on average, for plans and costs; null: half of its budget",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in self.arguments:
            if name in OURS:
                raise ValueError(f"arguments: '{name}' is what is rendered, and cannot be set")
        if self.start is not None and self.end is None:
            raise ValueError("start is given without end; what ends its reasoning is needed first")
        if self.end == []:
            raise ValueError("end: an empty list ends nothing; give a text, or leave it out")
        if self.expected and self.budget and self.expected > self.budget:
            raise ValueError(f"expected: {self.expected} tokens are more than its budget of {self.budget}")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What of it changes what is generated."""
        return identity(self)


def tokens_of(reasoning: Reasoning | None) -> int:
    """Tokens that a model may reason with, beside those of its answer."""
    return reasoning.budget or 0 if reasoning else 0


def reckoned(reasoning: Reasoning | None) -> int:
    """Tokens of reasoning before an answer that plans and costs reckon with."""
    return reasoning.expected or (reasoning.budget or 0) // 2 if reasoning else 0


def arguments_of(reasoning: Reasoning | None) -> dict[str, Any]:
    """What a model's chat template is told besides."""
    return dict(reasoning.arguments) if reasoning else {}

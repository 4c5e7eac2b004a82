"""Settings of the findings: which runs play which part, where the runs themselves do not say."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from rewild.config.base import RESULT, Section
from rewild.config.models import Slug


class Findings(Section, marks=RESULT):
    """The paper's key findings (section 3.2), stated of a study's own runs."""

    base: Slug | None = Field(
        None, description="The base model of Tables 2 and 7; null: the one most runs are trained from"
    )
    size: int | None = Field(
        None,
        ge=1,
        description="Conversations that a label does not name (250,000 in the paper), and Table 2's; "
        "null: those most runs are trained on",
    )
    pair: Annotated[list[Slug], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="Two data-generating models, the first compared to the second: Tables 3 and 4, Figures 3 "
        "and 4, the agreement rate; null: the first two with a run of their own and a fine-tune each",
    )
    related: dict[Slug, list[Slug]] = Field(
        default_factory=dict,
        description="Base model → data-generating models that count as its relatives; else those whose "
        "family has the same name before its number (llama-3.1 and llama-3.3)",
    )
    lead: Slug | None = Field(
        None, description="The run that is set against baselines; null: the first on a mix of several kinds"
    )
    baselines: list[Slug] | None = Field(
        None, description="Runs it is set against; null: runs of models that have the role baseline"
    )
    radar: list[Slug] | None = Field(
        None, min_length=1, max_length=7, description="Runs of Figure 1; null: the lead and the baselines"
    )
    words: int = Field(40, ge=5, le=200, description="Words drawn in Figures 3 and 4")
    minimum: int = Field(3, ge=1, description="Judgments a word must occur in, over both models")
    resamples: int = Field(10_000, ge=200, description="Bootstrap resamples of the items")

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.pair and self.pair[0] == self.pair[1]:
            raise ValueError(f"pair: '{self.pair[0]}' stands twice")
        return self

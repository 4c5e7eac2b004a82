"""Runs: a base model, a mix, a recipe. Everything that is evaluated is a run, also a model as it is.

A run without mix and recipe is its model, evaluated untrained (``Q72 : None`` in the paper's tables). The
model of a run may be another run of the study: preference tuning starts from a fine-tune.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from rewild.config.base import RESULT, SHOWN, Section
from rewild.config.models import Slug


class Run(Section, marks=RESULT):
    """One row of a study's ``runs``."""

    model: Slug = Field(description="Base model: of models.yaml, of the study's demo, or another run")
    mix: Slug | None = Field(
        None, description="What it learns from: a mix of the study, or (DPO) a set of preference pairs"
    )
    recipe: Slug | None = Field(None, description="How: a row of recipes.yaml")
    seed: int | None = Field(None, ge=0, description="Of first weights and order; null is the study's")
    label: Annotated[str | None, SHOWN] = Field(
        None, description="Its name in tables, where not `model : mix`"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.mix is None) != (self.recipe is None):
            given, lacks = ("mix", "recipe") if self.mix else ("recipe", "mix")
            raise ValueError(
                f"a run has both a mix and a recipe, or neither; '{given}' is given, '{lacks}' is not"
            )
        if self.seed is not None and self.mix is None:
            raise ValueError("seed is of the training, and this run has none")
        return self

    @property
    def trained(self) -> bool:
        """Whether it is fine-tuned here."""
        return self.mix is not None


class InheritedStyle(Section, marks=RESULT):
    """Whether fine-tunes take on the styling of the models whose responses they learned (Table 3)."""

    runs: list[Slug] = Field(min_length=1, description="Runs that answer the study's prompts")
    shards: int = Field(1, ge=1, description="How many shards of prompts they answer, from the first")

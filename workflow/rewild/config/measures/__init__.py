"""Measures: what is said of each response or prompt. Settings, and all the kinds.

A study's section ``measures`` names rows; a row's ``kind`` picks a section here, whose ``row`` names a module
of :mod:`rewild.measures`, which is looked up and not imported: a dry run plans with it. Another kind is a
section in a module of this package, listed in :data:`Measure`, and one module of :mod:`rewild.measures`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rewild.config.measures.derived import Difference, Ratio
from rewild.config.measures.factors import Factors
from rewild.config.measures.labels import Label
from rewild.config.measures.likelihood import Likelihood
from rewild.config.measures.models import Perplexity, Reward
from rewild.config.measures.safety import Safety
from rewild.config.measures.space import Embedding, Match, Neighbour, Verbs
from rewild.config.measures.text import Diversity, Language, Length, Pattern, Refusal, Repetition, Style

Measure = Annotated[
    Language
    | Length
    | Style
    | Diversity
    | Repetition
    | Refusal
    | Pattern
    | Perplexity
    | Likelihood
    | Reward
    | Factors
    | Difference
    | Ratio
    | Label
    | Embedding
    | Neighbour
    | Match
    | Verbs
    | Safety,
    Field(discriminator="kind"),
]

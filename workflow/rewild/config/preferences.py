"""Settings of preference pairs: several answers to a prompt are scored, the best and the worst are kept.

The method is MAGPIE's (Xu et al., 2024, section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from rewild.config.base import CUT, HOW, RESULT, SHOWN, Section, identity, part
from rewild.config.endpoint import EndpointUrl
from rewild.config.filters import Conditions
from rewild.config.judging import asked_judge
from rewild.config.measures import Measure
from rewild.config.measures.base import PROMPTS
from rewild.config.models import Model, Share, Slug
from rewild.config.prompts import Contamination, files_matching, shard_name
from rewild.config.responses import SamplingSettings
from rewild.config.stages import version


class Rubric(Section, marks=RESULT):
    """A program that counts what an answer has, by a stated rubric. It is no language model."""

    kind: Literal["rubric"]


class Judge(Section):
    """A language model behind an OpenAI-compatible endpoint, asked for a grade of each answer."""

    kind: Annotated[Literal["judge"], RESULT]
    model: Annotated[str, RESULT] = Field(
        description="A judge of models.yaml, or the name that the endpoint knows it by"
    )
    endpoint: Annotated[EndpointUrl, RESULT] = Field(description="Base URL of the endpoint, ending in /v1")
    key: Annotated[str, HOW] = Field(
        "OPENAI_API_KEY", description="Environment variable that holds the endpoint's key"
    )
    concurrency: Annotated[int, HOW] = Field(16, ge=1, description="Requests at once")
    timeout: Annotated[float, HOW] = Field(
        300, gt=0, description="Seconds the endpoint may take for one grade"
    )
    max_tokens: Annotated[int, RESULT] = Field(512, ge=8, description="Longest judgment, in tokens")
    attempts: Annotated[int, RESULT] = Field(
        3, ge=1, le=10, description="Calls per grade until its rating is clear"
    )


class RewardModel(Section):
    """A sequence-classification model that gives a conversation one number."""

    kind: Annotated[Literal["reward-model"], RESULT]
    path: Annotated[str, RESULT] = Field(description="Hub id or folder; weights load as safetensors only")
    revision: Annotated[str | None, RESULT] = Field(
        None, pattern=r"^[0-9a-f]{40}$", description="Commit on the hub, all 40 digits; a folder has none"
    )
    precision: Annotated[Literal["fp32", "bf16"], RESULT] = Field(
        "bf16", description="Number format of its weights"
    )
    context: Annotated[int, RESULT] = Field(
        4096, ge=64, description="Tokens; a longer conversation is a failure, not cut"
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], HOW] = Field(
        "auto", description="Where it runs; auto: on a GPU, if there is one"
    )
    batch: Annotated[int, HOW] = Field(8, ge=1, description="Conversations at once")


Scorer = Annotated[Rubric | Judge | RewardModel, Field(discriminator="kind")]


class Preference(Section):
    """One set of preference pairs, written in the form that Axolotl's ``chat_template.default`` reads."""

    label: Annotated[str | None, SHOWN] = Field(None, description="Its name in tables; null: its own")
    title: Annotated[str | None, SHOWN] = Field(None, description="One line for the card")
    model: Annotated[Slug, part("answers")] = Field(description="Who answers: one of the study's models")
    prompts: Annotated[int, part("draw")] = Field(
        ge=1, description="Prompts to draw from the study's: first user turns, by hash"
    )
    origins: Annotated[list[str], part("draw")] = Field(
        default_factory=list, exclude_if=not_, description="Sources of the prompts to draw from; empty: all"
    )
    samples: Annotated[int, part("answers")] = Field(
        5, ge=2, le=64, description="Answers to each prompt, each with a seed of its own"
    )
    sampling: Annotated[SamplingSettings, part("answers")] = Field(
        SamplingSettings(temperature=0.8, top_p=1.0, top_k=0), description="How the answers are sampled"
    )
    scorer: Annotated[Scorer, part("grades")] = Field(description="What grades an answer")
    unfinished: Annotated[Literal["keep", "drop"], part("grades")] = Field(
        "keep", description="An answer that the output limit cut off"
    )
    repetition: Annotated[Share | None, part("grades")] = Field(
        None, description="Highest share of repeated 4-grams in an answer; null: any"
    )
    garbled: Annotated[Share | None, part("grades")] = Field(
        None, description="Highest share of characters that are no text in an answer; null: any"
    )
    at_least: Annotated[int, part("pairs")] = Field(2, ge=2, description="Scored answers that a prompt needs")
    margin: Annotated[float, part("pairs")] = Field(
        0.0, ge=0, description="The best must be above the worst by more than this"
    )
    seed: Annotated[int | None, part("draw", "answers")] = Field(
        None, ge=0, description="Of the draw and the answers; null: the study's"
    )
    contamination: Annotated[Contamination | None, part("draw")] = Field(
        None, description="Prompts that repeat benchmarks are not drawn"
    )
    filters: Annotated[Conditions, part("draw")] = Field(
        default_factory=list,
        exclude_if=not_,
        description="Conditions on measures of first turns, prompts or the model's answers to them, or names "
        "of filters, in this order; what is left is drawn from",
    )
    licence: Annotated[str | None, SHOWN] = Field(None, description="Terms of the prompts, for the card")
    tokenizer: Annotated[Slug | None, SHOWN] = Field(
        None, description="Model whose tokenizer counts the card's tokens"
    )
    shards: Annotated[int, CUT] = Field(
        1, ge=1, le=9999, description="Jobs that the answering is cut into; changes no pair"
    )

    def subject_of(self, measure: Measure) -> str:
        """Whose values its filters take of a measure: those of prompts, or of its model's answers to them."""
        return self.model if measure.of == "responses" else PROMPTS

    def measured(self, measures: Mapping[str, Measure]) -> list[tuple[str, str]]:
        """What its filters read of the study's measures: (measure, subject), each once."""
        found = [(c.measure, self.subject_of(measures[c.measure])) for c in self.filters]
        return list(dict.fromkeys(found))


def preference_shards(preference: Preference) -> list[str]:
    """The names of its shards."""
    return [shard_name(index) for index in range(preference.shards)]


def grades_of(preference: Preference, models: Mapping[str, Model]) -> dict[str, object]:
    """What identifies the grades of a set; with a judge, who is asked: another snapshot grades otherwise."""
    found = identity(preference, "grades")
    if isinstance(preference.scorer, Judge):
        asked = asked_judge(preference.scorer.model, models)
        found |= {"asked": asked.identity, "reading": version("judging")}
    return found


def identity_of_pairs(preference: Preference) -> dict[str, object]:
    """The settings that a set's pairs depend on: of the draw, the answers, the grades and the pairing."""
    return identity(preference, "draw", "answers", "grades", "pairs")


def preference_benchmarks(preference: Preference, root: Path = Path()) -> list[str]:
    """The benchmark files that prompts are compared with, sorted, relative to ``root``."""
    check = preference.contamination
    return files_matching(check.files, root, "preferences") if check else []

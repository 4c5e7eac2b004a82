"""Settings of preference pairs: several answers to a prompt are scored, the best and the worst are kept.

The method is MAGPIE's (Xu et al., 2024, section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from rewild.config.base import Strict
from rewild.config.endpoint import EndpointUrl
from rewild.config.judging import READING, asked_judge
from rewild.config.mixes import Share
from rewild.config.models import Model, Slug
from rewild.config.prompts import Contamination, files_matching, shard_name
from rewild.config.responses import SamplingSettings


class Rubric(Strict):
    """A program that counts what an answer has, by a stated rubric. It is no language model."""

    kind: Literal["rubric"]


class Judge(Strict):
    """A language model behind an OpenAI-compatible endpoint, asked for a grade of each answer."""

    kind: Literal["judge"]
    model: str = Field(description="A judge of models.yaml, or the name that the endpoint knows it by")
    endpoint: EndpointUrl = Field(description="Base URL of the endpoint, ending in /v1")
    key: str = Field("OPENAI_API_KEY", description="Environment variable that holds the endpoint's key")
    concurrency: int = Field(16, ge=1, description="Requests at once")
    timeout: float = Field(300, gt=0, description="Seconds the endpoint may take for one grade")
    max_tokens: int = Field(512, ge=8, description="Longest judgment, in tokens")
    attempts: int = Field(3, ge=1, le=10, description="Calls per grade until its rating is clear")


class RewardModel(Strict):
    """A sequence-classification model that gives a conversation one number."""

    kind: Literal["reward-model"]
    path: str = Field(description="Hub id or folder; weights load as safetensors only")
    revision: str | None = Field(
        None, pattern=r"^[0-9a-f]{40}$", description="Commit on the hub, all 40 digits; a folder has none"
    )
    precision: Literal["fp32", "bf16"] = "bf16"
    context: int = Field(4096, ge=64, description="Tokens; a longer conversation is a failure, not cut")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch: int = Field(8, ge=1, description="Conversations at once")


Scorer = Annotated[Rubric | Judge | RewardModel, Field(discriminator="kind")]
COMPUTED = {"key", "concurrency", "timeout", "device", "batch"}
"""Settings of a scorer that change no score."""
GRADING = {"scorer", "unfinished", "repetition", "garbled"}
"""Settings of a set of pairs that its grades depend on."""


class Preference(Strict):
    """One set of preference pairs, written in the form that Axolotl's ``chat_template.default`` reads."""

    label: str | None = Field(None, description="Its name in tables; null: its own")
    title: str | None = Field(None, description="One line for the card")
    model: Slug = Field(description="Who answers: one of the study's models")
    prompts: int = Field(ge=1, description="Prompts to draw from the study's: first user turns, by hash")
    samples: int = Field(5, ge=2, le=64, description="Answers to each prompt, each with a seed of its own")
    sampling: SamplingSettings = Field(
        SamplingSettings(temperature=0.8, top_p=1.0, top_k=0), description="How the answers are sampled"
    )
    scorer: Scorer = Field(description="What grades an answer")
    unfinished: Literal["keep", "drop"] = Field("keep", description="An answer that the output limit cut off")
    repetition: Share | None = Field(
        None, description="Highest share of repeated 4-grams in an answer; null: any"
    )
    garbled: Share | None = Field(
        None, description="Highest share of characters that are no text in an answer; null: any"
    )
    at_least: int = Field(2, ge=2, description="Scored answers that a prompt needs")
    margin: float = Field(0.0, ge=0, description="The best must be above the worst by more than this")
    seed: int | None = Field(None, ge=0, description="Of the draw and the answers; null: the study's")
    contamination: Contamination | None = Field(
        None, description="Prompts that repeat benchmarks are not drawn"
    )
    licence: str | None = Field(None, description="Terms of the prompts, for the card")
    tokenizer: Slug | None = Field(None, description="Model whose tokenizer counts the card's tokens")
    shards: int = Field(1, ge=1, le=9999, description="Jobs that the answering is cut into; changes no pair")


def preference_shards(preference: Preference) -> list[str]:
    """The names of its shards."""
    return [shard_name(index) for index in range(preference.shards)]


def grading_of(preference: Preference) -> dict[str, object]:
    """What identifies the grades of a set: which answers are graded, and by what."""
    found = preference.model_dump(mode="json", include=GRADING)
    return found | {"scorer": preference.scorer.model_dump(mode="json", exclude=COMPUTED)}


def grades_of(preference: Preference, models: Mapping[str, Model]) -> dict[str, object]:
    """:func:`grading_of`, and who is asked where a judge is: another snapshot gives other grades."""
    found = grading_of(preference)
    if isinstance(preference.scorer, Judge):
        asked = asked_judge(preference.scorer.model, models)
        found |= {"asked": asked.identity, "reading": READING}
    return found


SHOWN = frozenset(("label", "title", "licence", "tokenizer"))
"""Settings of a set of pairs that only its card and tables show."""


def identity_of_pairs(preference: Preference) -> dict[str, object]:
    """The settings that a set's pairs depend on; nothing of how they are computed, or shown."""
    found = preference.model_dump(mode="json", exclude={*SHOWN, "shards"})
    return found | {"scorer": preference.scorer.model_dump(mode="json", exclude=COMPUTED)}


def presentation_of_pairs(preference: Preference) -> dict[str, object]:
    """The settings that only a set's card and tables show."""
    return preference.model_dump(mode="json", include=set(SHOWN))


def preference_benchmarks(preference: Preference, root: Path = Path()) -> list[str]:
    """The benchmark files that prompts are compared with, sorted, relative to ``root``."""
    check = preference.contamination
    return files_matching(check.files, root, "preferences") if check else []

"""What an OpenAI-compatible endpoint takes, and its address as it may be written down. Light to import."""

from __future__ import annotations

from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer, model_validator

from rewild.config.base import RESULT, Section
from rewild.core.errors import known_name

FIELDS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "logprobs",
    "top_logprobs",
)
"""Fields of a request that may be renamed or left out."""
OURS = ("model", "messages", "stream", "n")
"""Fields that are what is asked; nothing may stand in their place."""
NEUTRAL: dict[str, float] = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Sampling that does nothing. A served vLLM fills what a request leaves out from the model's own
``generation_config.json`` (``get_diff_sampling_param``, vLLM 0.32): left out is not neutral there."""


def without_secrets(url: str | None) -> str | None:
    """An address without user, password, query and fragment; what is no address is left out altogether."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        return "(not an address)"


EndpointUrl = Annotated[str, PlainSerializer(without_secrets, return_type=str)]
"""A base URL. What it holds of secrets is used where it is called, and never written: no resolved
configuration, no parameter of a rule, no record has it."""


class Takes(Section, marks=RESULT):
    """How requests to one model's endpoint differ from ``POST /chat/completions`` as it was in 2023."""

    rename: dict[str, str] = Field(
        default_factory=dict, description="Field → its name there, such as max_tokens: max_completion_tokens"
    )
    drop: list[str] = Field(default_factory=list, description="Fields that it refuses, such as temperature")
    add: dict[str, Any] = Field(
        default_factory=dict, description="Fields that it wants besides, such as reasoning_effort: low"
    )
    least_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Least limit of tokens; reasoning counts in it, so a smaller limit leaves no answer"
    )
    seed_bits: int = Field(63, ge=8, le=63, description="Bits of a seed; the highest ones of ours are sent")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for key, names in (("rename", list(self.rename)), ("drop", self.drop)):
            for name in names:
                known_name(name, FIELDS, f"{key}: unknown field", listed="fields", error=ValueError)
        if both := set(self.rename) & set(self.drop):
            raise ValueError(f"'{min(both)}' is both renamed and dropped")
        sent = {self.rename.get(name, name) for name in FIELDS if name not in self.drop}
        if len(sent) < len(FIELDS) - len(set(self.drop)):
            raise ValueError("rename: two fields have one name")
        for key, new in (("add", list(self.add)), ("rename", list(self.rename.values()))):
            if stray := set(new) & set(OURS):
                raise ValueError(f"{key}: '{min(stray)}' is what is asked, and cannot be set")
        if twice := set(self.add) & sent:
            raise ValueError(f"add: '{min(twice)}' is sent already; drop it first")
        return self

    @property
    def identity(self) -> dict[str, Any] | None:
        """What of it can change an answer; None if nothing does: plain endpoints keep their recipes."""
        return self.model_dump(mode="json", exclude_defaults=True) or None

    def limit(self, tokens: int) -> int:
        """The limit of tokens that is sent for a wanted one."""
        return max(tokens, self.least_tokens or 0)

    def body(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A request's fields as this endpoint takes them."""
        if "seed" in fields:
            fields = fields | {"seed": fold(fields["seed"], self.seed_bits)}
        if "max_tokens" in fields:
            fields = fields | {"max_tokens": self.limit(fields["max_tokens"])}
        kept = {self.rename.get(k, k): v for k, v in fields.items() if k not in self.drop}
        return kept | self.add


def fold(seed: int, bits: int) -> int:
    """The highest bits of a seed of 63, or all of one that is small enough."""
    return seed if seed < 1 << bits else seed >> max(seed.bit_length() - bits, 63 - bits)

"""The numbers that plans and estimates rest on: ``resources/cost/assumptions.yaml``, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from rewild import own
from rewild.config.base import Strict, validate
from rewild.config.responses import Tokens
from rewild.core.reading_yaml import read_yaml

FILE = Path("resources/cost/assumptions.yaml")
Kind = Literal["published", "measured", "assumed"]


class Stated(Strict):
    """Something that has a source."""

    kind: Kind
    source: str


class Number(Stated):
    """A number."""

    value: int | float = Field(gt=0)


class Choice(Stated):
    """A way of reckoning."""

    value: str


class Questions(Stated):
    """What a benchmark asks of a model: tokens are per request.

    A question whose options are scored is a request for each of them, and reads the whole prompt each time:
    vLLM does not look into its prefix cache for a request that wants the prompt's log-probabilities.
    """

    questions: int = Field(ge=1)
    requests: float = Field(default=1, ge=1)
    read: int = Field(ge=0)
    written: int = Field(ge=0)


class Calls(Stated):
    """What a benchmark asks of its judge, for one run: tokens are per call."""

    calls: int = Field(ge=1)
    read: int = Field(ge=0)
    written: int = Field(ge=0)


class Paper(Strict):
    """What papers say that their own studies took: all responses of WILDCHAT-50M; MAGPIE's sets, by name."""

    generation_gpu_hours: Number
    set_gpu_hours: dict[str, Number]


class Roofline(Strict):
    """What is reached of a data sheet, and what is not on it; see :mod:`rewild.engines.roofline`."""

    bandwidth: Number
    arithmetic: Number
    layer: Number
    sequence: Number
    latency: Number
    link: Number
    graphed: Number
    prefix: Number
    worth: Number


class Assumptions(Strict):
    """All of the file; see the comments there."""

    conversations: dict[str, Number]
    turns: Number
    prompt_tokens: Number
    answer_tokens: Number
    answer_spread: Number
    spread: Choice
    roofline: Roofline
    training_hours: Number
    training_conversations: Number
    training_parameters: Number
    pair_factor: Number
    start_minutes: Number
    load_gb_s: Number
    bytes_per_token: Number
    checkpoint_bytes: Number
    optimizer_bytes: Number
    gpu_hour: dict[str, Number]
    environments_gb: Number
    questions: dict[str, Questions]
    judged: dict[str, Calls]
    paper: Paper

    def tokens(self, turns: Mapping[int, int] | None = None) -> tuple[float, float]:
        """Tokens that a model reads and writes per conversation, with the conversation so far as context.

        With n turns, turn t reads t user turns and t - 1 answers: n (n + 1) / 2 and n (n - 1) / 2 in all. If
        n is geometric with mean m, their means are m² and m (m - 1), since then E[n²] = 2 m² - m.

        Args:
            turns: turns → conversations with so many, where they have been counted.
        """
        m = float(self.turns.value)
        mean, square = m, 2 * m * m - m
        if turns:
            all_of_them = sum(turns.values())
            mean = sum(n * count for n, count in turns.items()) / all_of_them
            square = sum(n * n * count for n, count in turns.items()) / all_of_them
        read = (square + mean) / 2 * self.prompt_tokens.value
        read += (square - mean) / 2 * self.answer_tokens.value
        return read, mean * self.answer_tokens.value

    def of(self, tokens: Tokens | None) -> Assumptions:
        """These, with what a study says of its conversations itself."""
        if tokens is None:
            return self
        stated = {"kind": "assumed", "source": "the study: responses.compute.tokens"}
        values = {
            "prompt_tokens": tokens.prompt,
            "answer_tokens": tokens.answer,
            "turns": tokens.turns,
        }
        return self.model_copy(
            update={k: Number.model_validate({"value": v, **stated}) for k, v in values.items()}
        )

    def start_hours(self, weights: float) -> float:
        """Hours until a job's engine takes its first request, with so many bytes of weights to read."""
        return float(self.start_minutes.value) / 60 + weights / float(self.load_gb_s.value) / 1e9 / 3600


@cache
def load_assumptions(root: Path | None = None) -> Assumptions:
    """Read and validate the file; a :class:`rewild.core.errors.ConfigError` names what is wrong."""
    return validate(Assumptions, read_yaml(root / FILE if root else Path(own(str(FILE)))), str(FILE))

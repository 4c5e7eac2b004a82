"""Settings of prompts that a model writes: which model, how many, how they are sampled, in which role.

A sample has a number, from 0. Its setting and its seed follow from the number alone, so more samples, other
shards or a job that was killed change none that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rewild import own
from rewild.config.base import CUT, HOW, RESULT, VERDICT, Section, part, table_of
from rewild.config.engines import EngineName, find_engine
from rewild.config.filters import Filtered
from rewild.config.models import Share, Slug
from rewild.config.responses import Compute, Limits, SamplingSettings
from rewild.core.errors import known_name, twice

ROLES = Path("resources/prompts/system.yaml")
ROLE = "conversation"
"""The row of :data:`ROLES` that keeps a model in the user's role in later turns."""

OF_ANOTHER = ("limits", "engine", "compute", "path", "precision", "chat_template")
"""Settings of ``answers`` that only another model has."""

Temperature = Annotated[float, Field(ge=0, le=2)]
Mass = Annotated[float, Field(gt=0, le=1)]


class SystemPrompt(Section, marks=RESULT):
    """What a model is told before it writes a prompt, and the language that follows from it."""

    text: str = Field(min_length=1, description="The system message")
    language: str | None = Field(None, description="In which prompts are to be, such as Chinese")


class Grid(Section, marks=RESULT):
    """Every temperature with every top-p; each pair is a setting, and gets its share of the samples."""

    temperature: list[Temperature] = Field(default=[1.0], description="0 takes the likeliest token")
    top_p: list[Mass] = Field(default=[1.0], description="Choose among the likeliest tokens with this mass")
    top_k: int = Field(default=0, ge=0, description="Choose among this many tokens; 0 is all")
    share: int = Field(
        default=1, ge=1, le=1000, description="Of the samples, for each pair, against other grids"
    )

    @model_validator(mode="after")
    def _some(self) -> Grid:
        for name in ("temperature", "top_p"):
            if not getattr(self, name):
                raise ValueError(f"the grid yields nothing: '{name}' is empty; give at least one")
        return self

    @property
    def settings(self) -> list[SamplingSettings]:
        """Its pairs, temperatures outside."""
        return [
            SamplingSettings(temperature=t, top_p=p, top_k=self.top_k)
            for t, p in product(self.temperature, self.top_p)
        ]


class AnswersBetween(Section, marks=RESULT):
    """How prompts are answered, so that the next one can be written: by the same model, or by another."""

    sampling: SamplingSettings = Field(
        default=SamplingSettings(temperature=0.0),
        description="Greedy by default, as in the paper's section E.1",
    )
    system: str | None = Field(default=None, description="System prompt of the answers; the paper's had none")
    model: Slug | None = Field(
        default=None, description="Another model, as for `model`; null: the one that writes"
    )
    limits: Limits | None = Field(default=None, description="Of another model's answers; null: the source's")
    engine: EngineName | None = Field(default=None, description="Of another model; null: the source's")
    compute: Annotated[Compute | None, HOW] = Field(
        default=None, description="Of another model; null: the source's"
    )
    path: str | None = Field(default=None, description="A folder with the other model")
    precision: Literal["fp32", "bf16", "fp8"] | None = Field(default=None, description="Of its weights")
    chat_template: str | None = Field(
        default=None, description="A file with a template, in place of the other's own"
    )

    @model_validator(mode="after")
    def _of_another(self) -> AnswersBetween:
        given = [key for key in OF_ANOTHER if getattr(self, key) is not None]
        if given and self.model is None:
            raise ValueError(f"'{given[0]}' is of another model's answers: name it as `model`, or remove it")
        return self


class SynthesisGates(Section, marks=VERDICT):
    """What a pilot may show at most: shares of its samples, 0 to 1. A sample counts for its first failure."""

    failed: Share = Field(default=0.7, description="Samples that are no prompt, for any reason")
    empty: Share = Field(default=0.1, description="Samples without text")
    cut_off: Share = Field(default=0.5, description="Samples that did not end within the limit")
    answers: Share = Field(default=0.3, description="Samples that answer instead of asking")
    role_confusion: Share = Field(default=0.2, description="Samples in which another role speaks")
    template_tokens: Share = Field(default=0.1, description="Samples that spell out the template's tokens")
    repetitive: Share = Field(default=0.1, description="Samples in which most of the 4-grams repeat")
    garbled: Share = Field(default=0.05, description="Samples with characters that are no text")
    wrong_language: Share = Field(default=0.3, description="Samples in another language than was asked for")
    open_fence: Share = Field(default=0.1, description="Samples with a code fence that is never closed")
    repeated: Share = Field(default=0.3, description="Samples that are an earlier one, letter by letter")
    barren: Share = Field(default=0.0, description="Settings of the grid that yield no prompt at all")


class SynthesisPilot(Section, marks=RESULT):
    """The small run that must pass before any full shard of prompts may be written."""

    samples: int = Field(default=128, ge=1, description="Samples, but at least four of each setting")
    gates: SynthesisGates = SynthesisGates()


class Synthesis(Filtered, marks=RESULT):
    """Prompts that a model writes: it gets its chat template up to a user's words, and goes on (Magpie)."""

    kind: Literal["synthesis"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="The source's name in the data")]
    model: Slug = Field(description="A row of models.yaml, or a model that the study makes")
    count: int = Field(ge=1, description="Samples; those that are no prompt are counted and left out")
    turns: int = Field(1, ge=1, le=20, description="User turns of each; between them the model answers")
    sampling: list[Grid] = Field(
        default_factory=lambda: [Grid()],
        min_length=1,
        description="Grids of temperature and top-p, one or more",
    )
    system: str | SystemPrompt | None = Field(
        None,
        description=f"What the model is told: a row of {ROLES}, or a text with a language; null: nothing",
    )
    role: str | SystemPrompt | None = Field(
        ROLE, description="Told besides where a later turn is written, as for `system`; null: nothing"
    )
    domain: str | None = Field(None, description="A name for what its prompts are about, such as math")
    language: str | None = Field(None, description="In which they are to be; null: that of `system`, or any")
    seed: int | None = Field(None, ge=0, description="Of its samples; null: the study's")
    answers: AnswersBetween = AnswersBetween()
    limits: Limits = Field(Limits(max_output=2048), description="Tokens of a prompt, and of an answer")
    repetition: Share = Field(0.6, description="Share of repeated 4-grams from which a prompt is repetitive")
    garbage: Share = Field(0.05, description="Share of characters that are no text from which it is garbled")
    near_copy: Share | None = Field(
        0.9, description="Share of common 3-word runs from which a prompt copies an earlier one; null: never"
    )
    engine: EngineName = Field("vllm", description="What generates; it must take token ids")
    compute: Annotated[Compute | None, HOW] = Field(None, description="null: that of the study's responses")
    path: str | None = Field(None, description="A folder with the model; its content identifies it")
    precision: Literal["fp32", "bf16", "fp8"] | None = Field(
        None, description="Of the weights; null is the paper's, or bf16 (fp32 for a folder)"
    )
    chat_template: str | None = Field(None, description="A file with a Jinja template, in place of its own")
    pilot: Annotated[SynthesisPilot, part("pilot")] = SynthesisPilot()
    shards: Annotated[int, CUT] = Field(1, ge=1, le=9999, description="Files it is cut into; a unit of work")

    @field_validator("sampling", mode="before", json_schema_input_type=Grid | list[Grid])
    @classmethod
    def _one_grid(cls, given: Any) -> Any:
        return [given] if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _fits(self) -> Synthesis:
        if find_engine(self.engine).remote:
            raise ValueError(
                f"engine: '{self.engine}' asks an endpoint, which takes messages and no tokens, so it cannot "
                "write a user's turn; take vllm or transformers"
            )
        settings = [s.model_dump_json() for grid in self.sampling for s in grid.settings]
        if double := twice(settings):
            raise ValueError(f"sampling: the setting {double} stands twice; use `share`")
        if self.count < len(self.pattern):
            raise ValueError(
                f"count: {self.count} samples are fewer than the {len(self.pattern)} of one round of its "
                "grids, so some setting would yield nothing; raise it, or take fewer settings or shares"
            )
        if self.answers.model == self.model:
            raise ValueError(
                f"answers.model: '{self.model}' writes the prompts; leave it out, and it answers"
            )
        if self.answers.model and self.turns == 1:
            raise ValueError(
                "answers.model: with one turn nothing is answered; take turns: 2, or leave it out"
            )
        if self.shards > self.count:
            raise ValueError(f"shards: {self.shards} are more than its {self.count} samples")
        for key in ("system", "role"):
            if isinstance(given := getattr(self, key), str):
                known_name(given, roles(), f"{key}: no row", after=f" in {ROLES}", error=ValueError)
        return self

    @property
    def pattern(self) -> list[SamplingSettings]:
        """The settings of one round of samples, by their numbers: each as often as its share says."""
        return [s for grid in self.sampling for s in grid.settings for _ in range(grid.share)]

    def setting(self, number: int) -> SamplingSettings:
        """The setting of a sample."""
        pattern = self.pattern
        return pattern[number % len(pattern)]

    def told(self, key: Literal["system", "role"]) -> SystemPrompt | None:
        """What the model is told, in words."""
        given = getattr(self, key)
        return roles()[given] if isinstance(given, str) else given

    @property
    def spoken(self) -> str | None:
        """The language in which prompts are to be; None: any."""
        system = self.told("system")
        return self.language or (system.language if system else None)

    @property
    def letters(self) -> float:
        """Characters that a model reads before a prompt, besides what it is told."""
        return 0.0

    @property
    def pool(self) -> tuple[list[str], float] | None:
        """Texts that no prompt may be like, and from which ROUGE-L on; None: it may."""
        return None

    @property
    def asked_with(self) -> dict[str, Any]:
        """What identifies a sample besides, of a source that asks otherwise."""
        return {}

    @property
    def steps(self) -> list[range]:
        """What is generated one after another, each by one model: prompts (0, 2, ...), answers (1, 3, ...).

        One step does it all, unless another model answers.
        """
        parts = range(2 * self.turns - 1)
        return [range(n, n + 1) for n in parts] if self.answers.model else [parts]

    def speaks(self, step: int) -> Synthesis | AnswersBetween:
        """Whose model is at work in a step: the source's, or that of ``answers``."""
        return self.answers if self.answers.model and step % 2 else self

    def numbers(self, shard: int) -> range:
        """The samples of a shard."""
        return range(self.count * shard // self.shards, self.count * (shard + 1) // self.shards)

    @property
    def pilot_samples(self) -> int:
        """Samples of the pilot."""
        return max(self.pilot.samples, 4 * len(self.pattern))


@cache
def roles() -> dict[str, SystemPrompt]:
    """The rows of :data:`ROLES`.

    Raises:
        ConfigError: the file is not what it should be.
    """
    return table_of(Path(own(str(ROLES))), SystemPrompt, "system prompt")

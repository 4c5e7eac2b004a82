"""Settings of the similarity and diversity of responses."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

from pydantic import Field, field_validator

from rewild.config.base import CUT, HOW, LISTED, RESULT, Section, part

Tokeniser = Literal["parity", "unicode"]


class Sampled(Section, marks=RESULT):
    """How the paper describes its measurement (appendix A)."""

    responses: int = Field(500, ge=1, description="Responses per model")
    references: int = Field(4, ge=1, description="Other models drawn for each model")


class Similarity(Section, marks=RESULT):
    """How alike the responses of models to the same prompt are."""

    blocks: Annotated[int, CUT] = Field(
        4, ge=1, le=9999, description="Jobs; the result does not depend on it"
    )
    prompts: int | None = Field(
        None, ge=1, description="Conversations to compare, drawn by the study's seed; null takes all"
    )
    turns: Literal["all", "first"] = Field("all", description="Which turns of a conversation to compare")
    tokenisers: list[Tokeniser] = Field(
        ["parity", "unicode"],
        description="parity: as the reference packages; unicode: words of any script (*_unicode)",
    )
    drawn: Annotated[list[Tokeniser], LISTED] = Field(
        ["parity", "unicode"], description="Which of the tokenisers' metrics are drawn; all are in tables"
    )
    synonyms: bool | Literal["if_available"] = Field(
        True,
        description="METEOR's third stage, with WordNet; without it the metric is called meteor_nosyn. "
        "if_available: with it where WordNet can be had when the study runs; the tables say which it was",
    )
    wordnet: Annotated[str | None, HOW] = Field(
        None,
        description="Folder or archive of WordNet 3.0; null looks on this machine, then where it is public. "
        "Its files are checked, so where it comes from changes no score",
    )
    sampled: Annotated[Sampled, part("summary")] = Field(default_factory=lambda: Sampled.model_validate({}))
    interval: Annotated[Literal["bootstrap", "normal"], part("summary")] = Field(
        "bootstrap", description="How the 95 % interval over conversations is made"
    )
    bootstrap: Annotated[int, part("summary")] = Field(
        1000, ge=100, le=100_000, description="Resamples of the bootstrap"
    )

    def metrics(self, tokenisers: list[Tokeniser] | None = None) -> list[str]:
        """The metrics of all tokenisers, or of those given, as result files name them."""
        plain = ("rouge1", "rouge2", "rougeL", "meteor" if self.synonyms else "meteor_nosyn", "bleu")
        chosen = self.tokenisers if tokenisers is None else tokenisers
        return [m if t == "parity" else f"{m}_{t}" for t in chosen for m in plain]

    def block_names(self) -> list[str]:
        """The blocks in order: ``0000``, ``0001``, …"""
        return [f"{i:04d}" for i in range(self.blocks)]

    def figures(self) -> list[str]:
        """The figures it promises, without suffix."""
        drawn = self.metrics([t for t in self.drawn if t in self.tokenisers])
        return [f"{kind}_{m}" for m in drawn for kind in ("heatmap", "distribution", "size")]

    def block_arguments(self, seed: int) -> str:
        """What ``rewild similarity`` must know, as arguments."""
        return shlex.join(
            [
                f"--blocks={self.blocks}",
                f"--seed={seed}",
                *([f"--prompts={self.prompts}"] if self.prompts else []),
                *(["--first-turn"] if self.turns == "first" else []),
                *(["--unicode"] if "unicode" in self.tokenisers else []),
                *([] if self.synonyms else ["--no-synonyms"]),
            ]
        )

    def wordnet_arguments(self) -> str:
        """What ``rewild wordnet`` must know of whether it may do without, as arguments."""
        return "--optional" if self.synonyms == "if_available" else ""

    def figure_arguments(self, metric: str) -> str:
        """What ``rewild plot-similarity`` draws where a metric could not be had, as arguments."""
        wanted = self.synonyms == "if_available" and metric.startswith("meteor")
        return "--instead=" + metric.replace("meteor", "meteor_nosyn") if wanted else ""

    def summary_arguments(self, seed: int) -> str:
        """What ``rewild merge-similarity`` must know, as arguments."""
        return shlex.join(
            [
                f"--seed={seed}",
                f"--responses={self.sampled.responses}",
                f"--references={self.sampled.references}",
                f"--interval={self.interval}",
                f"--resamples={self.bootstrap}",
            ]
        )

    @field_validator("tokenisers")
    @classmethod
    def _parity_first(cls, value: list[str]) -> list[str]:
        if "parity" not in value or len(set(value)) != len(value):
            raise ValueError("must hold parity, and each name once")
        return value


class Diversity(Section, marks=RESULT):
    """Vocabulary, length, refusals, truncation and language of responses, one model at a time."""

    prompts: int | None = Field(
        None, ge=1, description="Conversations to measure, drawn by the study's seed; null takes all"
    )
    window: int = Field(
        2000,
        ge=10,
        description="Tokens of each sample that distinct-n is computed on, so that models compare",
    )
    languages: bool = Field(True, description="Detect languages (about 1 ms per text)")
    bootstrap: int = Field(1000, ge=100, le=100_000, description="Resamples of the bootstrap")

    def arguments(self, seed: int) -> str:
        """What ``rewild diversity`` must know, as arguments."""
        return shlex.join(
            [
                f"--seed={seed}",
                *([f"--prompts={self.prompts}"] if self.prompts else []),
                f"--window={self.window}",
                f"--resamples={self.bootstrap}",
                *([] if self.languages else ["--no-languages"]),
            ]
        )

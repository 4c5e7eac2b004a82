"""The files of prompts that a model writes, and the contract of each. `SOURCE` is the source's name.

============================================================ ==============================================
``results/{study}/synthesis/SOURCE/pilot/report.json, .md``   the pilot's verdict (samples.parquet beside it)
``results/{study}/synthesis/SOURCE/{step}/{shard}.parquet``   :data:`SAMPLES`, a row per sample, failures too
``results/{study}/synthesis/SOURCE/{step}/{shard}.json``      :class:`Measured`: what it cost, its recipe
``results/{study}/synthesis/SOURCE/prompts.parquet``          :data:`WRITTEN`, a row per prompt: the source
``results/{study}/synthesis/SOURCE/manifest.json``            :class:`Manifest`: samples = prompts + failures
``results/{study}/work/synthesis/SOURCE/{step}/{shard}/``     finished chunks
============================================================ ==============================================

There is one step, 0, unless another model answers: then a step per turn and answer, each from the file of the
one before (:attr:`rewild.config.synthesis.Synthesis.steps`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.base import Strict
from rewild.core.conversations import MESSAGES
from rewild.core.errors import DataError
from rewild.core.reading import read_model
from rewild.core.table import Column, TableSchema, read_table
from rewild.generation.schema import Measurement
from rewild.generation.spec import digest_of

PROVENANCE = {
    "number": Column(pl.Int64, "The sample's number in its source, from 0; setting and seed follow from it"),
    "model": Column(pl.String, "Who wrote it: the model's slug"),
    "answers": Column(pl.String, "Who answers between its turns: the model's slug; null: one turn", True),
    "system": Column(pl.String, "What the model was told before the first turn; null: nothing", True),
    "temperature": Column(pl.Float64, "Of the sample's setting"),
    "top_p": Column(pl.Float64, "Of the sample's setting"),
    "top_k": Column(pl.Int64, "Of the sample's setting; 0 is all"),
    "seed": Column(pl.Int64, "Of the first turn; later turns' follow from the number too"),
    "engine": Column(pl.String, "What generated it"),
    "recipe": Column(pl.String, "Hash of all that identifies the samples; the manifest spells it out"),
}

SAMPLES = TableSchema(
    "synthesis-samples",
    1,
    {
        **PROVENANCE,
        "text": Column(pl.String, "What the model wrote as the first turn, kept or not", True),
        "conversation": Column(
            MESSAGES,
            "Prompts and answers between them; in the last step it ends in a prompt; null: there is none",
            nullable=True,
        ),
        "failure": Column(pl.String, "Why the first turn is no prompt, `reason: detail`; null: it is", True),
        "stopped": Column(pl.String, "Why it has fewer turns than were asked for; null: it has not", True),
        "language": Column(
            pl.String, "Of the first turn, by its name (English); null: too short to tell", True
        ),
        "finish_reason": Column(pl.String, "Of the first turn: stop, length, or the engine's own word", True),
        "input_tokens": Column(pl.Int64, "Read for all turns", True),
        "output_tokens": Column(pl.Int64, "Generated for all turns", True),
        "repetition": Column(pl.Float64, "Share of the first turn's 4-grams seen before in it, 0 to 1", True),
        "garbled": Column(pl.Float64, "Share of its characters that are no text, 0 to 1", True),
    },
    key=["number"],
)

WRITTEN = TableSchema(
    "synthesis",
    1,
    {
        "conversation_hash": Column(pl.String, "SOURCE/NUMBER: the conversation's name in its source"),
        "conversation": Column(MESSAGES, "User turns, the model's answers between them"),
        "language": Column(pl.String, "As English; null: nobody can tell", True),
        "domain": Column(pl.String, "What the source's prompts are about, as the study names it", True),
        **PROVENANCE,
    },
    key=["conversation_hash"],
)
"""WildChat's columns, so that prompts are prepared as all are, and where each comes from."""


class Measured(Measurement):
    """What one step of one shard cost, and what identifies its samples."""

    source: str
    step: int
    recipe: str
    identity: dict[str, Any]  # what `recipe` is the hash of; `before`: that of the step before


class Spent(Strict):
    """What one step took, over all shards."""

    step: int
    model: str
    gpus: int  # of each job
    input_tokens: int
    output_tokens: int
    load_seconds: float
    generate_seconds: float
    gpu_hours: float  # loading included


class Manifest(Strict):
    """What became of a source's samples: ``samples = prompts + sum(failures.values())``."""

    study: str
    source: str
    model: str
    recipe: str
    identity: dict[str, Any]  # what `recipe` is the hash of
    samples: int
    prompts: int
    failures: dict[str, int]  # by reason
    turns: dict[str, int]  # user turns → prompts
    stopped: dict[str, int]  # by reason, why prompts have fewer turns than were asked for
    settings: list[dict[str, Any]]  # each with its samples and prompts
    template: dict[str, Any]  # what was derived: before, after, between, end, traits
    input_tokens: int
    output_tokens: int
    spent: list[Spent]  # by step; what a pilot took is not among it


def read_step(samples: Path) -> tuple[pl.DataFrame, Measured]:
    """The samples of one step and shard, and what they are of.

    Raises:
        DataError: a file is missing or damaged, or the two are not of one recipe.
    """
    rows = read_table(samples, SAMPLES)
    about = read_model(samples.with_suffix(".json"), Measured, "the measurement of a shard")
    if rows["recipe"].unique().to_list() != [about.recipe] or digest_of(about.identity) != about.recipe:
        raise DataError(
            f"{samples}: its samples are not of the recipe of the .json beside it; write them again"
        )
    return rows, about

"""The files of a mix, and the contract of each.

================================================ ============================================================
``results/{study}/mixes/{mix}/train.parquet``    :data:`TRAIN`, a row per conversation, in training order
``results/{study}/mixes/{mix}/card.json, .md``   what is in it, where it comes from, under which terms
``results/{study}/mixes/{mix}/sources.csv``      :data:`SOURCES`: what became of all conversations of a source
================================================ ============================================================
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from rewild.config.mixes import Mix
from rewild.core.conversations import MESSAGES, REASONED
from rewild.core.table import Column, TableSchema

TRAIN = TableSchema(
    name="mix",
    version=1,
    columns={
        "id": Column(pl.String, "SOURCE/SOURCE_ID: names the conversation in the mix"),
        "source": Column(pl.String, "Name of the source in the mix"),
        "source_id": Column(pl.String, "The conversation's name in its source"),
        "language": Column(pl.String, "As the source names it, such as English; 'unknown' if it does not"),
        "n_turns": Column(pl.Int16, "User turns"),
        "characters": Column(pl.Int32, "Characters of all answers together, after any cut"),
        "cut": Column(pl.Boolean, "Whether length control, or a turn without an answer, made it shorter"),
        "contaminated": Column(pl.String, "A benchmark file that a user turn repeats; null: none", True),
        "messages": Column(MESSAGES, "Perhaps a system message, then user and assistant in turn"),
    },
    key=("id",),
)

REASONED_TRAIN = replace(
    TRAIN,
    name="mix-with-reasoning",
    columns={
        **TRAIN.columns,
        "messages": Column(REASONED, "As of a mix; an assistant's message may have its reasoning"),
    },
)
"""Of a mix that trains on reasoning."""


def train_of(mix: Mix) -> TableSchema:
    """The contract of a mix's conversations."""
    return REASONED_TRAIN if mix.reasons else TRAIN


def batch_of(mix: Mix) -> dict[str, Any]:
    """Columns of a mix's conversations on their way into it."""
    return BATCH | {"messages": REASONED} if mix.reasons else BATCH


BATCH: dict[str, Any] = {
    "source_id": pl.String,
    "language": pl.String,
    "n_turns": pl.Int16,
    "characters": pl.Int32,
    "cut": pl.Boolean,
    "reason": pl.String,
    "messages": MESSAGES,
}
"""Conversations on their way into a mix; ``reason`` is null if one may be drawn."""

SOURCES = TableSchema(
    name="mix-sources",
    version=1,
    columns={
        "source": Column(pl.String, "Name of the source in the mix"),
        "outcome": Column(pl.String, "read, drawn, not_drawn, or the first reason why one was dropped"),
        "conversations": Column(pl.Int64, "Conversations"),
    },
    key=("source", "outcome"),
)

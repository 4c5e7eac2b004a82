"""The contract of prepared prompts: what a shard holds, how a conversation is named, which shard it is in.

``results/{study}/prompts/shards/{shard}.parquet`` holds one row per kept conversation, sorted by
``conversation_id``. Shards are ranges of ids, so the shards of a study in order are sorted as a whole.
A shard may be empty: the list of shards follows from the study's configuration alone.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl

from rewild.config.prompts import shard_name
from rewild.core.conversations import MESSAGES
from rewild.core.table import Column, TableSchema, read_table

SHARD = TableSchema(
    name="prompts",
    version=1,
    columns={
        "conversation_id": Column(pl.String, "16 hexadecimal digits: a hash of the user turns"),
        "source": Column(pl.String, "Name of the source in the study"),
        "source_id": Column(pl.String, "The conversation's name in its source"),
        "shard": Column(pl.String, "The shard the row is in, such as 0003 (shard_of)"),
        "language": Column(pl.String, "As the source names it, such as English; 'unknown' if it does not"),
        "n_turns": Column(pl.Int16, "User turns"),
        "messages": Column(
            MESSAGES,
            "The original conversation: at most one system message, then user and assistant in turn, with "
            "the original assistant turns as reference; the last user turn may be unanswered. Tagged "
            "'unanswered', it is a list of questions: user turns only",
        ),
        "tags": Column(
            pl.List(pl.String),
            "Sorted: toxic, moderation, redacted (as the source says); markup, code (in user turns); "
            "unanswered (a list of questions)",
        ),
    },
    key=["conversation_id"],
)

FAILURES = TableSchema(
    name="prompt-failures",
    version=1,
    columns={
        "source": Column(pl.String, "Name of the source in the study"),
        "file": Column(pl.String, "The file, as the study names it"),
        "line": Column(pl.Int64, "Line of a text file, row of a table (1-based)"),
        "reason": Column(pl.String, "not_utf8, not_json, missing_key, not_a_conversation, roles or no_text"),
        "detail": Column(pl.String, "What was found there"),
    },
    key=["source", "file", "line"],
)

REPORT = TableSchema(
    name="prompt-report",
    version=1,
    columns={
        "source": Column(pl.String, "Name of the source in the study, or 'all'"),
        "outcome": Column(pl.String, "read, kept, or the first reason that applied for dropping a row"),
        "rows": Column(pl.Int64, "Conversations"),
    },
    key=["source", "outcome"],
)


def shard_of(identity: str, shards: int) -> str:
    """The shard a conversation is in: a function of its id and the number of shards, of nothing else.

    The ids are cut into ``shards`` equal ranges by their first 8 digits.
    """
    return shard_name((int(identity[:8], 16) * shards) >> 32)


def read_shard(path: Path | str, origins: Collection[str] = ()) -> pl.DataFrame:
    """Read one shard (it may have no rows) and check it against :data:`SHARD`.

    Args:
        path: the shard.
        origins: the sources whose conversations are wanted; none are all.
    """
    found = read_table(path, SHARD, allow_empty=True)
    return found.filter(pl.col("source").is_in(list(origins))) if origins else found

"""Small studies for the tests of mixes: responses as `rewild collect` leaves them, cut at will."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.base import validate
from rewild.config.mixes import Mix
from rewild.core.files import sha256, write_json
from rewild.core.table import write_table
from rewild.generation.schema import RESPONSES, Manifest, ShardCount
from rewild.prompts.schema import SHARD

LANGUAGES = ("English", "French", "Chinese")


def name_of(number: int) -> str:
    """The id of conversation ``number``."""
    return hashlib.sha256(f"c{number}".encode()).hexdigest()[:16]


def conversation(number: int, model: str, turns: int | None = None) -> list[dict[str, Any]]:
    """The responses of a model to one conversation: one, two or three turns, of lengths that vary."""
    rows = []
    for turn in range(turns or 1 + number % 3):
        rows.append(
            {
                "conversation_id": name_of(number),
                "turn": turn,
                "model": model,
                "history": "reference",
                "language": LANGUAGES[number % len(LANGUAGES)],
                "prompt": f"Question {number}, turn {turn}: what is a tree?",
                "response": f"{model} says {number}/{turn}: " + "leaf " * (1 + (number + len(model)) % 7),
                "finish_reason": "stop",
                "truncation": "none",
                "attempts": 1,
                "repetition": 0.1,
                "garbled": 0.0,
                "engine": "transformers",
                "recipe": "r" * 16,
            }
        )
    return rows


def write_responses(results: Path, model: str, rows: Sequence[Mapping[str, Any]], shards: int = 2) -> Path:
    """Write rows as a model's shards (by range of ids, as prompts are cut) and their manifest."""
    folder = results / "responses" / model
    frame = pl.DataFrame(list(rows), schema=dict(RESPONSES.dtypes)).sort("conversation_id", "turn")
    counts = []
    for index in range(shards):
        mine = frame.filter(
            pl.col("conversation_id").map_elements(
                lambda i: (int(i[:8], 16) * shards) >> 32, return_dtype=pl.Int64
            )
            == index
        )
        path = folder / f"{index:04d}.parquet"
        write_table(path, mine, RESPONSES, {})
        counts.append(
            ShardCount(
                shard=f"{index:04d}",
                sha256=sha256(path),
                conversations=mine["conversation_id"].n_unique(),
                rows=mine.height,
                failures=mine["failure"].drop_nulls().len(),
                input_tokens=0,
                output_tokens=0,
            )
        )
    manifest = Manifest(
        study="s",
        model=model,
        engine="transformers",
        history="reference",
        recipe="r" * 16,
        identity={},
        conversations=frame["conversation_id"].n_unique(),
        rows=frame.height,
        failures=frame["failure"].drop_nulls().len(),
        failures_by_reason={},
        input_tokens=0,
        output_tokens=0,
        shards=counts,
    )
    write_json(folder / "manifest.json", manifest.model_dump())
    return folder / "manifest.json"


def write_prompts(results: Path, chats: Mapping[str, list[tuple[str, str]]], shard: str = "0000") -> Path:
    """Write a shard of prompts: id → messages as (role, content)."""
    rows = [
        {
            "conversation_id": identity,
            "source": "test",
            "source_id": identity,
            "shard": shard,
            "language": "English",
            "n_turns": sum(role == "user" for role, _ in messages),
            "messages": [{"role": role, "content": content} for role, content in messages],
            "tags": [] if any(role == "assistant" for role, _ in messages) else ["unanswered"],
        }
        for identity, messages in sorted(chats.items())
    ]
    path = results / "prompts" / "shards" / f"{shard}.parquet"
    write_table(path, pl.DataFrame(rows, schema=dict(SHARD.dtypes)), SHARD, {})
    return path


def a_mix(**row: Any) -> Mix:
    """A row of ``mixes``, validated."""
    return validate(Mix, row, "mix")

"""A study whose data is described: prompts of two sources, and files of measures as kinds write them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl

from mixes_data import name_of
from rewild.core.measures import contract
from rewild.core.table import write_table
from rewild.prompts.schema import SHARD

QUALITY = ("very poor", "poor", "average", "good", "excellent")
DIFFICULTY = ("very easy", "easy", "medium", "hard", "very hard")
CATEGORIES = ("Information seeking", "Math", "Creative writing", "Coding & Debugging", "Others")
SOURCES = ("air", "pro")
Form = dict[str, tuple[str, str]]
COLUMNS: dict[str, Form] = {
    "quality": {"quality": ("text", ""), "explanation": ("text", "")},
    "difficulty": {"difficulty": ("text", ""), "intent": ("text", ""), "knowledge": ("text", "")},
    "category": {"category": ("text", ""), "other_categories": ("text", "")},
    "neighbour": {"distance": ("number", ""), "repeats": ("integer", "")},
    "difference": {"difference": ("number", "")},
    "reward": {"reward": ("number", "")},
    "length": {"words": ("integer", ""), "characters": ("integer", "")},
    "safety": {"unsafe": ("flag", ""), "categories": ("text", "")},
    "match": {
        "similarity": ("number", ""),
        "benchmark": ("text", ""),
        "question": ("text", ""),
        "contaminated": ("flag", ""),
    },
    "verbs": {"verb": ("text", ""), "object": ("text", "")},
}
"""What a file of each kind has: the columns that docs/measures.md promises."""


def write_prompts(folder: Path, count: int, sources: tuple[str, ...] = SOURCES, turns: int = 1) -> list[Path]:
    """Prompts of sources in turn, in one shard."""
    rows = [
        {
            "conversation_id": name_of(number),
            "source": sources[number % len(sources)],
            "source_id": f"{sources[number % len(sources)]}/{number // len(sources)}",
            "shard": "0000",
            "language": "English",
            "n_turns": turns,
            "messages": [{"role": "user", "content": f"Question {number}"}],
            "tags": [],
        }
        for number in range(count)
    ]
    path = folder / "prompts/shards/0000.parquet"
    write_table(path, pl.DataFrame(rows, schema=SHARD.dtypes).sort("conversation_id"), SHARD, {})
    return [path]


def write_measure(
    folder: Path,
    name: str,
    kind: str,
    said: Iterable[Iterable[dict[str, Any] | str]],
    subject: str = "prompts",
) -> Path:
    """A file of a measure.

    Args:
        folder: results/STUDY.
        name: the measure's.
        kind: a row of :data:`COLUMNS`.
        said: of each conversation by number, of each of its turns: the values, or a failure.
        subject: the model, or prompts.
    """
    rows = [
        {"conversation_id": name_of(number), "turn": turn, "sample": 0, "failure": None}
        | ({"failure": value} if isinstance(value, str) else value)
        for number, turns in enumerate(said)
        for turn, value in enumerate(turns)
    ]
    schema = contract(COLUMNS[kind])
    frame = pl.DataFrame(rows, schema=schema.dtypes).sort("conversation_id", "turn")
    failures = frame["failure"].drop_nulls().len()
    settings = {"measure": name, "subject": subject, "digest": "d" * 16, "identity": {}}
    path = folder / f"measures/{name}/{subject}/all.parquet"
    write_table(
        path, frame, schema, {"settings": settings | {"rows": frame.height, "failures": {"x": failures}}}
    )
    return path


def each(
    count: int, value: Callable[[int, random.Random], dict[str, Any] | str]
) -> list[list[dict[str, Any] | str]]:
    """One turn for each of some conversations, by their numbers and a fixed chance."""
    chance = random.Random(7)
    return [[value(number, chance)] for number in range(count)]

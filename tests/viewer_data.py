"""Responses to build viewers from, in the tests and in the benchmark. Everything is invented."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.conversations import conversation_id
from rewild.core.table import write_table
from rewild.generation.schema import RESPONSES
from rewild.report.viewer.schema import JUDGMENTS, PAIR

Row = dict[str, Any]


def answer(turns: list[str], turn: int, model: str, response: str | None, **other: Any) -> Row:
    """One row of a responses file: the answer of ``model`` to ``turns[turn]``."""
    return {
        "conversation_id": conversation_id(turns),
        "turn": turn,
        "model": model,
        "history": "reference",
        "language": "English",
        "prompt": turns[turn],
        "response": response,
        "failure": None if response is not None else "timeout",
        "finish_reason": None if response is None else "stop",
        "truncation": "none",
        "attempts": 1,
        "input_tokens": None,
        "output_tokens": None,
        "response_language": None,
        "repetition": None,
        "garbled": None,
        "seed": None,
        "engine": "imported",
        "recipe": "test",
    } | other


def write_responses(path: Path, rows: Iterable[Row]) -> Path:
    """A responses file, its rows in the order of its key."""
    frame = pl.DataFrame(list(rows), schema=RESPONSES.dtypes).sort(RESPONSES.key)
    write_table(path, frame, RESPONSES, {})
    return path


def write_judgments(path: Path, rows: Iterable[Row]) -> Path:
    """A judgments file."""
    write_table(path, pl.DataFrame(list(rows), schema=JUDGMENTS.dtypes), JUDGMENTS, {})
    return path


def write_similarity(path: Path, rows: Iterable[Row], metrics: Iterable[str]) -> Path:
    """A similarity file: a row per conversation, turn, model and reference."""
    types = (pl.String, pl.Int16, pl.String, pl.String)
    schema = dict(zip(PAIR, types, strict=True)) | dict.fromkeys(metrics, pl.Float32)
    pl.DataFrame(list(rows), schema=schema).write_parquet(path)
    return path


SYLLABLES = ["ba", "de", "fi", "go", "lu", "ma", "ne", "po", "ri", "su", "ta", "vo", "ze"]
WORDS = [a + b for a in SYLLABLES for b in ("ran", "lis", "mon", "tek", "dor")]


def _sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(6, 18))).capitalize() + "."


def _markdown(rng: random.Random) -> str:
    """An answer of about 250 words with headings, lists, bold words and code."""
    blocks = [" ".join(_sentence(rng) for _ in range(rng.randint(2, 4)))]
    for _ in range(rng.randint(1, 4)):
        blocks.append(f"## {_sentence(rng)}")
        blocks.append("\n".join(f"- **{rng.choice(WORDS)}**: {_sentence(rng)}" for _ in range(3)))
    if rng.random() < 0.2:
        blocks.append("```python\n" + "\n".join(f"{w} = {i}" for i, w in enumerate(WORDS[:8])) + "\n```")
    return "\n\n".join(blocks)


def synthetic(folder: Path, conversations: int, models: int, seed: int = 50, full: bool = True) -> list[Path]:
    """Responses files of ``models`` models to as many conversations of one to four turns.

    ``full`` answers are as long as real ones; else they are one line each, for tests.
    """
    languages = ["English", "Chinese", "Russian", "Arabic"]

    def rows(model: int) -> Iterator[Row]:
        rng = random.Random(seed)
        for number in range(conversations):
            turns = [f"Question {number}.{t}: {_sentence(rng)}" for t in range(1 + number % 4)]
            own = random.Random(f"{seed} {model} {number}")
            for turn in range(len(turns)):
                text = _markdown(own) if full else f"Answer of model {model} to **{number}.{turn}**."
                language = languages[number % len(languages)]
                yield answer(turns, turn, f"model-{model}", text, language=language)

    return [write_responses(folder / f"model-{m}.parquet", rows(m)) for m in range(models)]

"""Mixes of invented conversations."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl

from tiny import WORDS


def conversations(count: int, seed: int = 1, *, words: int = 12) -> list[list[dict[str, str]]]:
    """Invented conversations of one or two turns."""
    draw = random.Random(seed)
    chats = []
    for i in range(count):
        chat = []
        for _ in range(draw.choice((1, 1, 2))):
            chat.append({"role": "user", "content": f"{i} " + " ".join(draw.choices(WORDS, k=6))})
            answer = " ".join(draw.choices(WORDS, k=draw.randint(4, words)))
            chat.append({"role": "assistant", "content": answer})
        chats.append(chat)
    return chats


def write_mix(path: Path, chats: list[list[dict[str, str]]]) -> Path:
    rows = [{"id": f"invented/{i}", "source": "invented", "messages": chat} for i, chat in enumerate(chats)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(path)
    return path

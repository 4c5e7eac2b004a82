"""Conversations, the shape of text that all rooms share: messages, their names, their user turns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

Message = Mapping[str, str]
"""``{"role": "system" | "user" | "assistant", "content": text}``."""

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
THOUGHT = "reasoning_content"
"""The key of a message's reasoning here, and in most templates."""
REASONED = pl.List(pl.Struct({"role": pl.String, "content": pl.String, THOUGHT: pl.String}))
"""Messages of which some have reasoning."""


def conversation_id(turns: Iterable[str]) -> str:
    """Name a conversation by its user turns.

    The turns are written one after another as netstrings (length in bytes, ``:``, UTF-8 bytes, ``,``), which
    keeps ``["ab", "c"]`` and ``["a", "bc"]`` apart. The id is the first 16 hexadecimal digits of the SHA-256.

    >>> conversation_id(["Hello"])  # sha256(b"5:Hello,")
    'a2e6f2140a8a0939'
    """
    digest = hashlib.sha256()
    for turn in turns:
        encoded = turn.encode()
        digest.update(b"%d:%s," % (len(encoded), encoded))
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Turn:
    """One user turn to answer.

    Attributes:
        index: 0 for the first user turn.
        prompt: the messages up to and including this user turn, with the original assistant turns as context.
        reference: the original answer, or ``None`` where there is none (a last turn, a list of questions).
    """

    index: int
    prompt: tuple[Message, ...]
    reference: str | None


def iter_turns(messages: Sequence[Message]) -> Iterator[Turn]:
    """The user turns of a conversation in order, each with its context and its original answer."""
    index = 0
    for position, message in enumerate(messages):
        if message["role"] != "user":
            continue
        answer = messages[position + 1] if position + 1 < len(messages) else None
        reference = answer["content"] if answer and answer["role"] == "assistant" else None
        yield Turn(index, tuple(messages[: position + 1]), reference)
        index += 1

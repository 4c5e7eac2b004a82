"""Look at a batch of conversations: is each one, what is it called, how long is it, what is in it.

Everything is done on whole columns: the messages of a batch lie one after another, and each conversation is a
range of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import polars as pl

from rewild.prompts.contamination import utf8
from rewild.prompts.sources import Failure

TAGS = ("code", "markup", "moderation", "redacted", "toxic", "unanswered")
"""The tags, sorted; a conversation's are the bits of a number, the first tag the lowest."""

_SYSTEM, _USER, _ASSISTANT, _OTHER = range(4)
_MARKUP = r"<[A-Za-z/!][^<>]*>"
_CODE = "```"

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Examined:
    """The conversations of a batch that are well formed.

    Attributes:
        frame: columns ``line``, ``source_id``, ``language``, ``time`` and ``messages`` of the batch, only
            ``time`` null; with ``id`` and ``first`` (UInt64; ``first`` is the id the first user turn alone
            would have), ``n_turns``, ``characters`` (of all user turns, white space at their ends not
            counted) and ``tags`` (bits of :data:`TAGS`).
        turns: the user turns, one conversation's after another's.
        owner: for each of them the row in ``frame``.
    """

    frame: pl.DataFrame
    turns: pl.Series
    owner: Integers


def examine(batch: pl.DataFrame, *, questions: bool = False) -> tuple[Examined, list[Failure]]:
    """Check the structure of conversations and measure them.

    Args:
        batch: rows as :data:`rewild.prompts.sources.RAW` has them.
        questions: the conversations are lists of questions without answers.

    Returns:
        The well-formed conversations, and a failure for each of the others.
    """
    counts = batch["messages"].list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = batch.filter(counts > 0)["messages"].explode().struct.unnest()
    roles, contents = flat["role"], flat["content"]
    codes = np.full(len(flat), _OTHER, dtype=np.uint8)
    for code, role in ((_SYSTEM, "system"), (_USER, "user"), (_ASSISTANT, "assistant")):
        codes[(roles == role).fill_null(False).to_numpy()] = code
    owner = np.repeat(np.arange(len(batch)), counts)
    ordered = _ordered(codes, counts, owner, questions)
    textual = ~_any(contents.is_null().to_numpy(), owner, len(batch))
    good = (counts > 0) & ordered & textual
    failures = [
        _failure(batch, codes, counts, row, bool(textual[row])) for row in np.flatnonzero(~good).tolist()
    ]

    is_turn = (codes == _USER) & good[owner]
    turns = contents.filter(is_turn)
    owner = (np.cumsum(good) - 1)[owner[is_turn]]
    return _measure(batch.filter(good), turns, owner, questions), failures


def _ordered(codes: npt.NDArray[np.uint8], counts: Integers, owner: Integers, questions: bool) -> Mask:
    """Per conversation: at most one system message, first; then user, assistant, user, ... or users only."""
    starts = np.cumsum(counts) - counts
    leading = np.zeros(len(counts), dtype=np.int64)
    full = counts > 0
    leading[full] = codes[starts[full]] == _SYSTEM
    position = np.arange(len(codes)) - (starts + leading)[owner]
    expected = np.full(len(codes), _USER) if questions else np.where(position % 2 == 0, _USER, _ASSISTANT)
    expected[position < 0] = _SYSTEM
    return ~_any(codes != expected, owner, len(counts)) & (counts > leading)


def _any(flags: Mask, owner: Integers, rows: int) -> Mask:
    result = np.zeros(rows, dtype=bool)
    result[owner[flags]] = True
    return result


def _failure(
    batch: pl.DataFrame, codes: npt.NDArray[np.uint8], counts: Integers, row: int, textual: bool
) -> Failure:
    line = batch["line"][row]
    if counts[row] == 0:
        return Failure(line, "not_a_conversation", "no messages")
    if not textual:
        return Failure(line, "no_text", "a message without content")
    messages = batch["messages"][int(row)].to_list()
    names = [str(message["role"])[:20] for message in messages[:6]]
    return Failure(line, "roles", ", ".join(names) + (", ..." if counts[row] > 6 else ""))


def _measure(frame: pl.DataFrame, turns: pl.Series, owner: Integers, questions: bool) -> Examined:
    n_turns = np.bincount(owner, minlength=len(frame))
    ids, firsts = _identities(turns, n_turns)
    tags = np.full(len(frame), (1 << TAGS.index("unanswered")) * questions, dtype=np.uint8)
    for tag in ("toxic", "moderation", "redacted"):
        tags |= frame[tag].fill_null(False).to_numpy().astype(np.uint8) << TAGS.index(tag)
    seen = {"markup": turns.str.contains(_MARKUP), "code": turns.str.contains(_CODE, literal=True)}
    for tag, found in seen.items():
        tags |= _any(found.to_numpy(), owner, len(frame)).astype(np.uint8) << TAGS.index(tag)
    characters = turns.str.strip_chars().str.len_chars().to_numpy()
    frame = frame.select(
        "line",
        pl.coalesce("source_id", pl.Series("id", [f"{i:016x}" for i in ids.tolist()], dtype=pl.String))
        if frame["source_id"].has_nulls()
        else "source_id",
        pl.col("language").fill_null("unknown"),
        "time",
        "messages",
        pl.Series("id", ids),
        pl.Series("first", firsts),
        pl.Series("n_turns", n_turns, dtype=pl.Int64),
        pl.Series("characters", np.bincount(owner, characters, len(frame)).astype(np.int64)),
        pl.Series("tags", tags),
    )
    return Examined(frame, turns, owner)


def _identities(turns: pl.Series, n_turns: Integers) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """For each conversation its id and its first turn's, as numbers; ``schema.conversation_id`` says how."""
    netstrings = turns.str.len_bytes().cast(pl.String) + ":" + turns + ","
    text, bounds = utf8(netstrings)
    starts, ends = bounds[:-1], bounds[1:]
    last = np.cumsum(n_turns) - 1
    first = last - n_turns + 1
    ids = _hash(text, starts[first], ends[last])
    firsts = ids.copy()
    several = n_turns > 1
    firsts[several] = _hash(text, starts[first[several]], ends[first[several]])
    return ids, firsts


def _hash(text: memoryview, starts: Integers, ends: Integers) -> npt.NDArray[np.uint64]:
    digests = b"".join(
        sha256(text[a:b]).digest()[:8] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)

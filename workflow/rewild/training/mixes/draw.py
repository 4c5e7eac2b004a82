"""Which conversations are drawn: by hash, without replacement, the same whatever the files are cut into.

A conversation's priority is a hash of the mix's seed and its name, not of the mix's name or size. The lowest
priorities are drawn. So 100k are among the 250k, which are among the 500k, and mixes of different models hold
the same prompts as far as both models answered them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import lcm

import numpy as np
import numpy.typing as npt
import polars as pl

Numbers = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


def priorities(seed: int, salt: str, names: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Two independent 64-bit hashes per conversation: its priority in the draw, and its place in the order.

    Args:
        seed: the mix's.
        salt: keeps sources apart that shall draw independently.
        names: of the conversations in their source.
    """
    start = sha256(f"{seed}/{salt}/".encode())
    digests = bytearray()
    for name in names:
        one = start.copy()
        one.update(name.encode())
        digests += one.digest()[:16]
    both = np.frombuffer(bytes(digests), dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


@dataclass(frozen=True)
class Candidates:
    """The conversations of one source that may be drawn.

    Attributes:
        names: in their source.
        priority: the lowest are drawn first.
    """

    names: pl.Series
    priority: Numbers


def draw_lowest(found: Candidates, amount: int | None) -> Mask:
    """Draw from one source.

    Returns:
        Which of the candidates are drawn: all if ``amount`` is None or more than there are.
    """
    drawn = np.ones(len(found.priority), dtype=bool)
    if amount is not None and amount < len(drawn):
        order = np.lexsort((found.names.to_numpy(), found.priority))
        drawn[order[amount:]] = False
    return drawn


def draw_once(found: Sequence[Candidates], amounts: Sequence[int | None]) -> list[Mask]:
    """Draw from sources that share conversations, so that each conversation is drawn for one of them only.

    In the order of priorities, a conversation goes to the source that has it and has the smallest part of its
    amount so far (the first such source, if several have). A smaller draw in the same proportions is a part
    of a larger one.

    Returns:
        Per source which of its candidates are drawn. A source may have got fewer than its amount.
    """
    if len(found) == 1:
        return [draw_lowest(found[0], amounts[0])]
    drawn = [np.zeros(len(f.priority), dtype=bool) for f in found]
    frames = [
        pl.DataFrame({"name": f.names, "priority": f.priority, f"row{i}": np.arange(len(f.priority))})
        for i, f in enumerate(found)
    ]
    table = frames[0]
    for frame in frames[1:]:
        table = table.join(frame, on=["name", "priority"], how="full", coalesce=True)
    rows = [f"row{i}" for i in range(len(found))]
    table = table.sort("priority", "name").select(rows)
    # Parts as whole numbers: a sum of fractions would tie at one size and not at another.
    whole = lcm(*(amount or 1 for amount in amounts))
    parts = [1 if amount is None else whole // amount for amount in amounts]
    left = [len(f.priority) if amount is None else amount for f, amount in zip(found, amounts, strict=True)]
    used = [0] * len(found)
    for row in table.iter_rows():
        best = -1
        for i, place in enumerate(row):
            if place is not None and left[i] and (best < 0 or used[i] < used[best]):
                best = i
        if best >= 0:
            drawn[best][row[best]] = True
            left[best] -= 1
            used[best] += parts[best]
    return drawn

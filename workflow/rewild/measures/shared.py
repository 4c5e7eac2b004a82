"""Which turns models can be compared on: those that all of them were asked.

A model may answer some of a study's prompts only (``origins``), such as those that it wrote itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from rewild.core.errors import DataError

TURN = ("conversation_id", "turn")


def shared_turns(asked: Mapping[str, pl.DataFrame]) -> tuple[pl.DataFrame, dict[str, int]]:
    """The turns that every model was asked, answered or not.

    Args:
        asked: model → :data:`TURN` of its rows.

    Returns:
        :data:`TURN`, and of each model that was asked more, how many more.

    Raises:
        DataError: there is none.
    """
    tables = [frame.select(TURN).unique() for frame in asked.values()]
    shared = tables[0]
    for table in tables[1:]:
        shared = shared.join(table, on=TURN, how="semi")
    if shared.is_empty():
        raise DataError(f"no prompt was asked of all of {', '.join(asked)}: they cannot be compared")
    more = {m: t.height - shared.height for m, t in zip(asked, tables, strict=True)}
    return shared, {m: n for m, n in more.items() if n}


def left_out(more: Mapping[str, int]) -> str:
    """What was left out, in words; empty if nothing was."""
    if not more:
        return ""
    each = ", ".join(f"{n:,} of {model}" for model, n in more.items())
    return f"Compared on the turns that all were asked; left out: {each}."

"""Markdown (GitHub's), in which text stays text: escaped spans, blocks of code, tables."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rewild.core.escape import line, visible

_RULES = {"<": ":---", "-": "---", ">": "---:"}


class Markup(str):
    """Text of a cell that is Markdown already."""

    __slots__ = ()


def text(value: object) -> str:
    """Any value as Markdown that shows it literally: in a cell, in a heading, at the start of a line."""
    shown = re.sub(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line(value))  # a_b is a_b
    shown = html.escape(shown, quote=False)
    shown = re.sub(r"(?<!\S)#", r"\\#", shown)  # a heading's start, or its closing sequence
    return re.sub(r"^(?:(\d+)([.)])(?=\s|$)|([-+=])(?=\s|$|\3))", r"\1\\\2\3", shown)


def code(value: object) -> Markup:
    """Text as a code span, also in a cell of a table."""
    shown = line(value)
    if not shown:
        return Markup()
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    ticks = "`" * (longest + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return Markup(f"{ticks}{space}{shown}{space}{ticks}".replace("|", "\\|"))


def block(content: str, language: str = "text") -> list[str]:
    """Text as the lines of a code block that it cannot close, and an empty line."""
    shown = visible(content)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence + language, shown, fence, ""]


def as_json(value: Any) -> list[str]:
    """A value as the lines of a block of JSON, and an empty line."""
    return block(json.dumps(value, indent=2, ensure_ascii=False), "json")


def table(heads: str | Sequence[object], rows: Iterable[Sequence[object]], align: str = "->") -> list[str]:
    """The lines of a table: text is escaped, numbers have commas, None is an empty cell.

    Args:
        heads: of the columns, or one text of them: ``"model | n"``.
        rows: their cells; what is Markdown already is :class:`Markup`.
        align: per column ``<`` (left), ``-`` (as the reader's program has it) or ``>`` (right); the last
            stands for all that follow.
    """
    heads = heads.split(" | ") if isinstance(heads, str) else heads
    rules = (_RULES[sign] for sign in align.ljust(len(heads), align[-1])[: len(heads)])
    lines = ["| " + " | ".join(map(_cell, cells)) + " |" for cells in (heads, *rows)]
    lines.insert(1, f"|{'|'.join(rules)}|")
    return lines


def _cell(value: object) -> str:
    if isinstance(value, Markup) or value is None:
        return value or ""
    return f"{value:,}" if isinstance(value, int | float) else text(value)

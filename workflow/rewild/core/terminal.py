"""What the commands print: tables that fit the terminal, and any character on any terminal.

A table is as wide as the terminal (or ``COLUMNS``). Where it does not fit, whole columns go, the least
important first; no name is ever folded. Into a file or a pipe, a table is as wide as it needs, so that a row
stays a line.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rewild.core import escape

WIDE = 10_000
COMFORT = 40  # words of prose that are longer may break before a column goes
WORDS = (30, 20, 12)  # and these where no column is left to go

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("·•✓", "*"), **dict.fromkeys("–—−‐‑─━═╌", "-"), **dict.fromkeys("‘’", "'"),
        **dict.fromkeys("“”", '"'), **dict.fromkeys("│┃║", "|"), **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
        "…": "...", "→": "->", "≈": "~", "✗": "x", "×": "x", "±": "+-", "≤": "<=", "≥": ">=", "\xa0": " ",
    }
)  # fmt: skip


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def accept_any_character() -> None:
    """Let standard output and error print what their encoding lacks: a dash for a dash, else its code.

    An ASCII terminal (``LC_ALL=C``) then shows every message, and so does a name of a file that is not UTF-8.
    """
    codecs.register_error("rewild", _substitute)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="rewild")


@dataclass(frozen=True)
class Heading:
    """The heading of a column of a table in the terminal, and how the column is laid out.

    Attributes:
        name: its heading.
        rank: 0 always stays; of the others, the greatest goes first where there is no room.
        right: aligned to the right.
        prose: sentences; folded between words where there is no room.
    """

    name: str
    rank: int = 0
    right: bool = False
    prose: bool = False


def headings(text: str) -> list[Heading]:
    """``run | name 6 | steps 3>``: headings with their ranks; ``>`` is aligned to the right."""
    found = (re.fullmatch(r"(.*?)(?: (\d))?(>?)", part) for part in text.split(" | "))
    return [Heading(m[1], int(m[2] or 0), bool(m[3])) for m in found if m]


def output(console: Console | None = None) -> Console:
    """Where commands print. Without a terminal and without ``COLUMNS``, lines are as long as they are.

    ``COLUMNS`` and ``LINES`` together do not count then: GNU readline leaves both to a program's children.
    """
    if console is not None:
        return console
    console = Console(highlight=False)
    if console.is_terminal or (os.environ.get("COLUMNS") and not os.environ.get("LINES")):
        return console
    return Console(highlight=False, width=WIDE)


def print_table(
    columns: str | Sequence[Heading],
    rows: Sequence[Sequence[object]],
    *,
    title: str = "",
    styles: Sequence[str | None] = (),
    sections: Sequence[int] = (),
    rules: bool = True,
    console: Console | None = None,
) -> None:
    """Print a table; every cell is text, never markup.

    Args:
        columns: its columns, or one text of them (:func:`headings`). One at least should be of rank 0.
        rows: cells; a :class:`rich.text.Text` keeps its colours.
        title: a line above it.
        styles: a style for each row, or None.
        sections: indices of rows before which a line is drawn.
        rules: a line below the headings, and space around.
        console: where to; the terminal if None.
    """
    console = output(console)
    columns = headings(columns) if isinstance(columns, str) else columns
    cells = [[*map(_cell, row)] for row in rows]
    widths = _widths(columns, cells, console.width)
    looks: dict[str, Any] = {"box": box.SIMPLE_HEAD} if rules else {"box": None, "padding": (0, 3, 0, 0)}
    table = Table(**looks, pad_edge=False)
    for i, width in widths.items():
        table.add_column(
            Text(columns[i].name),
            justify="right" if columns[i].right else "left",
            no_wrap=not columns[i].prose,
            overflow="fold",
            width=width,
        )
    for number, row in enumerate(cells):
        if number in sections:
            table.add_section()
        table.add_row(*(row[i] for i in widths), style=styles[number] if styles else None)
    if title:
        console.print(Text(escape.line(title), style="italic"), soft_wrap=True)
    # What does not fit even so is wider than the terminal: a name is to be copied, so none is cut.
    room, console.width = console.width, max(_total(widths), console.width)
    console.print(table)
    console.width = room
    if len(widths) < len(columns) and console.is_terminal:
        names = ", ".join(c.name for i, c in enumerate(columns) if i not in widths)
        console.print(Text(f"No room for: {names}. A wider terminal or a pipe shows them.", style="dim"))


def fits(columns: Sequence[Heading], rows: Sequence[Sequence[object]], console: Console) -> bool:
    """Whether a table fits with all its columns."""
    return len(_widths(columns, [[*map(_cell, row)] for row in rows], console.width)) == len(columns)


def _cell(value: object) -> Text:
    return value if isinstance(value, Text) else Text("" if value is None else escape.line(value))


def _total(widths: Mapping[int, int]) -> int:
    """The width of a table with such columns: three spaces between them, one at either end."""
    return sum(widths.values()) + 3 * len(widths) - 1


def _widths(columns: Sequence[Heading], cells: Sequence[Sequence[Text]], room: int) -> dict[int, int]:
    """The columns that are shown, and the width of each.

    Where there is no room, prose is folded between words, then columns go; last, long words of prose break.
    """
    texts = [[column.name, *(row[i].plain for row in cells)] for i, column in enumerate(columns)]
    widths = {i: max(map(cell_len, texts[i])) for i in range(len(columns))}
    words = {i: max((cell_len(w) for t in texts[i] for w in t.split()), default=0) for i in widths}

    def narrow(*leasts: int) -> None:
        for i in sorted((i for i in widths if columns[i].prose), reverse=True):
            for least in leasts:
                lack = max(_total(widths) - room, 0)
                widths[i] = min(widths[i], max(widths[i] - lack, min(words[i], least), 1))

    narrow(COMFORT)
    while _total(widths) > room and any(columns[i].rank for i in widths):
        del widths[max(widths, key=lambda i: (columns[i].rank, i))]
    narrow(*WORDS)
    return widths

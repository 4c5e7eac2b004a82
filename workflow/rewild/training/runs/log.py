"""What the plugin inside Axolotl writes, for the command outside to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewild.core.errors import DataError
from rewild.core.reading import parse_json, read_lines

LOG = "log.jsonl"  # a line per logged step
MEASURED = "measured.json"  # written at the end
STOPPED = "stopped.json"  # why the plugin stopped the training
LEAST = 5  # steps that a mean at an end of a training is over, where there are so many


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines logged so far; a line that a kill cut short is left out."""
    lines = []
    if (folder / LOG).exists():
        for number, text in read_lines(folder / LOG):
            try:
                lines.append(parse_json(text, folder / LOG, line=number, nan=True))
            except DataError:
                continue
    return lines


def window(steps: int) -> int:
    """How many steps at each end of a training its first and its last loss are means of.

    A tenth; but a single step is noise, so :data:`LEAST` at least, or half of them where there are fewer.
    """
    return max(1, steps // 10, min(LEAST, steps // 2))


def ends(losses: Sequence[float]) -> tuple[float, float]:
    """``(first, last)``: the mean loss of the first and of the last :func:`window` of steps."""
    count = window(len(losses))
    return sum(losses[:count]) / count, sum(losses[-count:]) / count

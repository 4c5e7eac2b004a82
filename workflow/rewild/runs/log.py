"""What the plugin inside Axolotl writes, for the command outside to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOG = "log.jsonl"  # a line per logged step
MEASURED = "measured.json"  # written at the end
STOPPED = "stopped.json"  # why the plugin stopped the training


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines logged so far; a line that a kill cut short is left out."""
    lines = []
    if (folder / LOG).exists():
        for text in (folder / LOG).read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
    return lines

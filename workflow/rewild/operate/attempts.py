"""What a job's earlier attempts ended by, and what its next one asks for. Light: rules are parsed with it.

SLURM's log of an attempt says whether its memory or its time was up; the rule's log says whether its error
is one that another attempt meets again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

End = Literal["memory", "time", "other"]
LASTING = "(this does not pass by itself: the job is not tried again)"
LOGS = Path("logs/slurm")  # slurm-logdir of the profile
TAIL = 20_000  # bytes

# slurmd and slurmstepd, 20.11 to 25.05: cgroups, and JobAcctGatherParams=OverMemoryKill.
MEMORY = re.compile(rb"oom[-_ ]kill|out[- ]of[- ]memory|exceeded (?:job |step )?memory limit", re.IGNORECASE)
TIME = re.compile(rb"DUE TO TIME LIMIT", re.IGNORECASE)


def ended_by(log: Path) -> End:
    """What SLURM says at the end of an attempt's log."""
    text = _tail(log)
    # CUDA's out-of-memory is of the GPU: more main memory does not help it.
    lines = [
        line
        for line in text.splitlines()
        if line.startswith((b"slurm", b"srun", b"[")) or b"slurmstepd" in line
    ]
    said = b"\n".join(lines)
    if MEMORY.search(said):
        return "memory"
    return "time" if TIME.search(said) else "other"


def earlier(rule: str, wildcards: Iterable[str], attempt: int, logs: Path = LOGS) -> list[End]:
    """What the earlier attempts of a job ended by, oldest first.

    Args:
        rule: its name.
        wildcards: their values, in the rule's order: SLURM's logs lie in a folder of these.
        attempt: which attempt comes now, counted from 1.
        logs: the folder of SLURM's logs.
    """
    if attempt <= 1:
        return []
    folder = logs / f"rule_{rule}" / "_".join(wildcards).replace("/", "_")
    paths = list(folder.glob("*.log"))
    if not folder.is_dir():  # in a group: SLURM's log is the group's
        marks = [f"rule {rule}:".encode(), *(value.encode() for value in wildcards)]
        said = {path: path.read_bytes() for path in logs.glob("group_*/**/*.log")}
        paths = [path for path, text in said.items() if all(mark in text for mark in marks)]
    found = sorted((path for path in paths if path.stem.isdigit()), key=lambda path: int(path.stem))
    return [ended_by(path) for path in found[-(attempt - 1) :]]


def enough(base: float, ends: Iterable[End], more_after: End | None, most: float | None) -> int:
    """What an attempt asks for: ``base``, once more for each end of one kind; never more than there is."""
    asked = int(base * (1 + sum(end == more_after for end in ends)))
    return min(asked, int(most)) if most else asked


def is_lasting(log: Path) -> bool:
    """Whether a rule's log ends with an error that another attempt would meet again."""
    return LASTING.encode() in _tail(log)


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read()
    except OSError:
        return b""

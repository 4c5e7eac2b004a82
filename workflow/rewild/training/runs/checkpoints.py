"""Checkpoints to resume from: each is sealed when it is whole, and a seal that does not fit is not trusted.

A seal lists every file with its size and SHA-256. A checkpoint without one was being written when the job
died.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from rewild.core.errors import DataError
from rewild.core.files import sha256, write_json
from rewild.core.reading import read_json

SEAL = "sealed.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def step_of(folder: Path) -> int:
    """The optimiser step after which a checkpoint was made; -1 for any other folder."""
    match = _NAME.fullmatch(folder.name)
    return int(match.group(1)) if match else -1


def seal(folder: Path) -> None:
    """Say that a checkpoint is whole. Random states of other processes may still be on their way."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SEAL)
    listed = {
        str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": sha256(p)}
        for p in files
        if not p.name.startswith("rng_state_")
    }
    write_json(folder / SEAL, {"files": listed})


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint; None if it is as it was when it was sealed."""
    try:
        listed = dict(read_json(folder / SEAL)["files"])
    except (DataError, ValueError, KeyError, TypeError):
        return "it was not finished"
    for name, known in listed.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != known["bytes"]:
            return f"{name} has {path.stat().st_size} bytes, not {known['bytes']}"
        if sha256(path) != known["sha256"]:
            return f"the content of {name} has changed"
    return None


def last_sound(folder: Path, report: Callable[[str], None]) -> Path | None:
    """The newest sound checkpoint in ``folder``; newer ones that are damaged are removed, and said so."""
    found = [p for p in folder.glob("checkpoint-*") if step_of(p) >= 0] if folder.is_dir() else []
    for checkpoint in sorted(found, key=step_of, reverse=True):
        wrong = damage(checkpoint)
        if wrong is None:
            return checkpoint
        report(f"{checkpoint.name} is damaged ({wrong}): it is removed, the one before it is used")
        shutil.rmtree(checkpoint)
    return None

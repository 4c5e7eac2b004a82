"""What a study promises, and how much of it is there.

``results/STUDY/promised.txt`` has a path a line: every file that the workflow makes of it, written by
the rule ``list_results``. How far the study is, is told from which of them exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rewild.core.errors import DataError
from rewild.core.files import write_text
from rewild.core.reading import read_text

PROMISED = "promised.txt"
LABELS = {
    "prompts": "Prompts",
    "synthesis": "Prompts that models write",
    "imports": "Imported responses",
    "pilot": "Pilots",
    "responses": "Responses",
    "throughput": "Throughput",
    "style": "Style",
    "similarity": "Similarity",
    "diversity": "Diversity",
    "measures": "Measures",
    "coverage": "Coverage",
    "data": "What the data is like",
    "mixes": "Mixes",
    "preferences": "Preference pairs",
    "runs": "Fine-tunes",
    "inherited_style": "Inherited style",
    "benchmarks": "Benchmarks",
    "judgments": "Judgments",
    "win_rates": "Win rates",
    "scores": "Scores",
    "teachers": "Teachers",
    "findings": "Findings",
    "figures": "Figures",
    "viewer": "Viewer",
}
"""Folder of a study → what it is called, in the order of the phases. Folders of papers follow."""
WHOLE = ("responses", "imports", "mixes", "preferences", "runs", "benchmarks", "measures", "coverage")
"""Folders of whose things each has a folder of its own: all its files are one part."""


@dataclass
class Stage:
    """One folder of a study's results, and the parts that are to be in it.

    Attributes:
        folder: its name.
        parts: part → the files of it that are not there yet.
    """

    folder: str
    parts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What it is called."""
        return label(self.folder)

    @property
    def done(self) -> int:
        """How many parts are there."""
        return sum(not missing for missing in self.parts.values())

    @property
    def missing(self) -> list[str]:
        """The parts that are not."""
        return [part for part, missing in self.parts.items() if missing]


def label(folder: str) -> str:
    """What a folder of a study is called; one that is not known, such as a paper's, by its name."""
    return LABELS.get(folder, folder.replace("_", " "))


def order(folder: str) -> tuple[int, str]:
    """Where a folder stands among others: in the order of the phases, then papers and what else there is."""
    known = list(LABELS)
    return (known.index(folder) if folder in known else len(known), folder)


def write_promised(study: str, files: Sequence[str], out: Path) -> None:
    """Write the list of a study's files.

    Raises:
        DataError: a path that is not of the study, or that no line can hold.
    """
    lines = sorted({_below(study, name) for name in files})
    write_text(out, "".join(f"{line}\n" for line in lines))


def _below(study: str, name: str) -> str:
    """A file's path below the folder of its study, wherever results are stored."""
    parts = PurePosixPath(name).parts
    places = [i for i in range(len(parts) - 2) if parts[i : i + 2] == ("results", study)]
    if not places or "\n" in name:
        raise DataError(f"{name!r}: not a file of study {study}: results/{study}/... was expected")
    return "/".join(parts[places[-1] + 2 :])


def stages(folder: Path) -> list[Stage] | None:
    """How far a study is, by folders; None where nobody wrote down what it promises.

    Raises:
        DataError: the list cannot be read, or leads out of the study's folder.
    """
    path = folder / PROMISED
    if not path.exists():
        return None
    found: dict[str, Stage] = {}
    for line in read_text(path, "the list of a study's files").splitlines():
        name = PurePosixPath(line)
        if not line or name.is_absolute() or ".." in name.parts:
            raise DataError(f"{path}: '{line}' is no file below {folder.name}/; remove the list and rerun")
        if len(name.parts) < 2:
            continue
        place = name.parts[0]
        stage = found.setdefault(place, Stage(place))
        part = name.parent if place in WHOLE and len(name.parts) > 2 else name.with_suffix("")
        missing = stage.parts.setdefault("/".join(part.parts[1:]), [])
        if not (folder / name).exists():
            missing.append(line)
    return sorted(found.values(), key=lambda stage: order(stage.folder))


def count(found: Sequence[Stage]) -> tuple[int, int]:
    """Parts that are there, and all of them."""
    return sum(stage.done for stage in found), sum(len(stage.parts) for stage in found)

"""Every table, figure and page below a study's folder: what the home page links to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rewild.core.errors import RewildError
from rewild.core.table import about_table
from rewild.operate.home.parts import order

# Folders without tables or figures, of which some hold very many files.
PRUNED = (
    "work",
    "responses",
    "models",
    "checkpoint",
    "shards",
    "blocks",
    "benchmarks",
    "viewer",
    "questions",
)
KINDS = {".svg": "figure", ".html": "table", ".csv": "table", ".md": "note"}
ALSO = (".pdf", ".png", ".tex", ".json", ".xlsx")
VIEWER = "viewer/index.html"


@dataclass
class Shown:
    """One table, figure, note or page, in all its forms.

    Attributes:
        name: its path below the study's folder, without suffix.
        kind: ``figure``, ``table``, ``note`` or ``page``.
        files: suffix → its size in bytes.
        caption: what it shows, where somebody says.
        sha256: of its numbers (``.csv``), as the file beside them has it.
        rewild: the version that made it.
    """

    name: str
    kind: str
    files: dict[str, int] = field(default_factory=dict)
    caption: str = ""
    sha256: str = ""
    rewild: str = ""

    @property
    def folder(self) -> str:
        """The folder of the study that it is in."""
        return self.name.partition("/")[0]

    @property
    def paths(self) -> dict[str, str]:
        """Suffix without its dot → path below the study's folder."""
        return {suffix[1:]: self.name + suffix for suffix in sorted(self.files)}


def find_shown(study: Path, captions: Mapping[str, str], problems: list[str]) -> dict[str, list[Shown]]:
    """By folder, in the order of the phases; links are left out, and files that are not for readers.

    Args:
        study: the study's folder.
        captions: name without suffix, such as ``PAPER/tables/table2`` → what it shows.
        problems: what cannot be read is added.
    """
    found: dict[str, Shown] = {}
    for place, folders, names in os.walk(study):
        folders[:] = sorted(f for f in folders if f not in PRUNED and not f.startswith("."))
        here = Path(place)
        if here == study:
            continue
        for name in sorted(names):
            path = here / name
            if name.startswith(".") or path.suffix not in (*KINDS, *ALSO) or path.is_symlink():
                continue
            stem = path.relative_to(study).with_suffix("").as_posix()
            one = found.setdefault(stem, Shown(stem, ""))
            one.files[path.suffix] = path.stat().st_size
    groups: dict[str, list[Shown]] = {}
    for one in found.values():
        one.kind = next((KINDS[s] for s in KINDS if s in one.files), "")
        if one.kind == "table" and ".csv" not in one.files:
            one.kind = "page"
        if not one.kind or set(one.files) == {".json"}:
            continue
        one.caption = captions.get(one.name, "")
        if ".csv" in one.files:
            _describe(one, study / f"{one.name}.csv", problems)
        groups.setdefault(one.folder, []).append(one)
    return {name: groups[name] for name in sorted(groups, key=order)}


def _describe(one: Shown, path: Path, problems: list[str]) -> None:
    """What the file beside a table says of it."""
    try:
        about = about_table(path)
    except RewildError as error:
        problems.append(str(error))
        return
    made = about.get("provenance")
    one.sha256 = str(about.get("sha256") or "")
    one.rewild = str(made.get("rewild") or "") if isinstance(made, dict) else ""

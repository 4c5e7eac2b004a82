"""The page of a study's home, and the archive of it that people forward."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rewild.core.escape import page
from rewild.core.files import atomic, write_text
from rewild.operate.cost.report import size
from rewild.operate.home.gather import Home
from rewild.operate.home.parts import LABELS, label
from rewild.operate.home.shown import VIEWER

PAGE = "index.html"
LARGEST = 25  # MB of a file in an archive
WHEN = (1980, 1, 1, 0, 0, 0)  # of every file in an archive: the same files give the same bytes
OPEN = 12  # figures of a folder that are shown at once; more are folded away


@dataclass(frozen=True)
class Left:
    """What an archive leaves out, and why."""

    path: str
    why: str


def html(home: Home, left: Collection[Left] = (), *, archived: bool = False) -> str:
    """The page. It has no script, and asks for nothing but figures beside it.

    Args:
        home: what it shows.
        left: files that are not beside it: named, not linked to.
        archived: whether it is the copy in an archive, which says what was left out.
    """
    papers = set(home.papers) - {*LABELS}
    return page(
        "rewild.operate.home",
        home=home,
        left={one.path for one in left},
        left_out=sorted(left, key=lambda one: one.path),
        archived=archived,
        link=lambda path: "./" + quote(path),
        label=lambda folder: f"Paper {folder}" if folder in papers else label(folder),
        size=size,
        few=OPEN,
    )


def write_home(home: Home, out: Path) -> None:
    """Write the page; a page that is as it was stays untouched."""
    text = html(home)
    if not (out.is_file() and out.read_bytes() == text.encode()):
        write_text(out, text)


def write_archive(home: Home, folder: Path, out: Path, largest: float = LARGEST) -> list[Left]:
    """Write a zip of the page and of what it links to: ``STUDY/index.html`` and the rest below ``STUDY/``.

    Args:
        home: what the page shows.
        folder: the study's results.
        out: the archive.
        largest: megabytes of a file, or of the viewer with its data; what is larger is left out.

    Returns:
        What was left out, which the page says too.
    """
    most = largest * 1e6
    files, left = [], []
    paths = [
        (path, one.files[f".{kind}"])
        for group in home.shown.values()
        for one in group
        for kind, path in one.paths.items()
    ]
    paths += [("config.yaml", (folder / "config.yaml").stat().st_size)] if home.config else []
    for path, each in paths:
        if each > most:
            left.append(Left(path, f"{size(each)}, more than {largest:g} MB"))
        else:
            files.append(path)
    if home.viewer and home.viewer_size > most:
        left.append(Left(VIEWER, f"{size(home.viewer_size)} with its data, more than {largest:g} MB"))
    elif home.viewer:
        found = sorted(p for p in (folder / "viewer").rglob("*") if p.is_file() and not p.is_symlink())
        files += [p.relative_to(folder).as_posix() for p in found if not p.name.startswith(".")]
    with atomic(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, f"{home.name}/{PAGE}", html(home, left, archived=True).encode())
        for path in sorted(files):
            _add(archive, f"{home.name}/{path}", (folder / path).read_bytes())
    return left


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, WHEN)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    archive.writestr(entry, content)

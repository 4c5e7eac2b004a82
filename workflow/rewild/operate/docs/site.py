"""The site: which pages it has, the folder that it is built from, and MkDocs in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rewild import FOLDER, own
from rewild.core.errors import RewildError
from rewild.core.files import sha256
from rewild.operate.docs.commands import commands_page
from rewild.operate.docs.configuration import configuration_pages
from rewild.operate.docs.links import local_links, pages_linked
from rewild.operate.environments import build as build_environment

ROOT = FOLDER.parent
CONTENTS = Path("docs/README.md")
"""Its table is the order of the pages: a row a phase."""
ABOUT = ("config/README.md", "results/README.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages that lie elsewhere in the repository."""
REFERENCE = ("commands", "study", "config", "models", "benchmarks", "recipes", "site")
ASSETS = ("style.css", "iframe-worker.js", "icon.svg")
TOOL = "docs"
Report = Callable[[str], None]


def contents(root: Path = ROOT) -> dict[str, list[str]]:
    """Phases to their pages (paths in the repository), from the table of ``docs/README.md``.

    Raises:
        RewildError: a page of ``docs`` that is in no row, or in two.
    """
    text = (root / CONTENTS).read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| (.+) \|$", text, re.MULTILINE)[1:]
    found = {phase: [f"docs/{page}" for page in pages_linked(cell)] for phase, cell in rows}
    named = [page for pages in found.values() for page in pages]
    for page in sorted(path.name for path in (root / "docs").glob("*.md") if path.name != CONTENTS.name):
        if (times := named.count(f"docs/{page}")) != 1:
            raise RewildError(
                f"{CONTENTS}: {page} stands in its table {times} times; name it in the row of its phase"
            )
    return found


def navigation(root: Path = ROOT) -> list[object]:
    """The navigation, as MkDocs has it."""
    phases = [{phase[0].upper() + phase[1:]: pages} for phase, pages in contents(root).items()]
    reference = {"Reference": [f"reference/{name}.md" for name in REFERENCE]}
    return [{"Start": "README.md"}, str(CONTENTS), *phases, reference, {"The repository": [*ABOUT]}]


def lay_out(folder: Path, reference: Mapping[str, str], root: Path = ROOT) -> None:
    """Lay the site's sources out like the repository: links to its files, and the pages of the reference.

    Args:
        folder: an empty one.
        reference: names of pages to their Markdown.
        root: the repository.
    """
    pages = ["README.md", *ABOUT, *(f"docs/{path.name}" for path in (root / "docs").glob("*.md"))]
    linked = {link for page in pages for link in local_links(root, page)}
    for name in {*pages, *linked}:
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to((root / name).resolve())
    for name, text in reference.items():
        path = folder / "reference" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "site").mkdir()
    for name in ASSETS:
        text = files(__package__).joinpath(name).read_text(encoding="utf-8")
        (folder / "site" / name).write_text(text, encoding="utf-8")


def reference(program: Any) -> dict[str, str]:
    """The pages of the reference, name to Markdown: of the program, as typer makes it, and of sections."""
    return {"commands": commands_page(program)} | configuration_pages()


def check_port(port: int) -> None:
    """Refuse a port that cannot be served on.

    Raises:
        RewildError: another program has it, or it is not for this user.
    """
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise RewildError(f"port {port}: {error.strerror}; name another by --port") from error


def environment(report: Report) -> Path:
    """The Python of the site's environment, which is built if it is missing or of another lock.

    Raises:
        RewildError: it cannot be built here: no network, for example.
    """
    lock, folder = Path(own(f"envs/{TOOL}.txt")), Path(".envs") / TOOL
    ready = folder / "ready"
    if not ready.is_file() or not ready.read_text(encoding="utf-8").startswith(sha256(lock)):
        try:
            build_environment(lock, folder, report)
        except RewildError as error:
            raise RewildError(
                f"{error}\nWithout it, read the pages as they are: {ROOT / CONTENTS}"
            ) from error
    return folder / "bin/python"


def build(out: Path, reference: Mapping[str, str], report: Report) -> None:
    """Build the site into a folder, which appears when it is whole; a broken link is an error.

    Raises:
        RewildError: the folder is there already, or MkDocs found a fault.
    """
    if out.exists() or out.is_symlink():
        raise RewildError(f"{out}: exists already; name another folder, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=".docs-") as made:
        python = environment(report)
        words = ["build", "--strict", "--config-file", str(_configure(Path(made), reference))]
        run = subprocess.run(
            _mkdocs(python, *words), env=_environ(), capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise RewildError(f"the documentation could not be built:\n{(run.stdout + run.stderr).strip()}")
        Path(made, "built").rename(out)


def serve(port: int, reference: Mapping[str, str], report: Report) -> None:
    """Serve the site on this machine until it is stopped; a page that is changed is shown anew.

    Raises:
        RewildError: MkDocs ended by itself.
    """
    python = environment(report)
    with TemporaryDirectory(prefix="rewild-docs-") as made:
        address = f"127.0.0.1:{port}"
        words = ["serve", "--quiet", "--dev-addr", address]
        words += ["--config-file", str(_configure(Path(made), reference))]
        report(f"http://{address} in a few seconds (Ctrl-C ends it)")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # MkDocs ends, too
        with subprocess.Popen(_mkdocs(python, *words), env=_environ()) as process:
            try:
                status = process.wait()
            finally:
                process.terminate()
    raise RewildError(f"MkDocs ended with status {status}")


def _configure(folder: Path, reference: Mapping[str, str]) -> Path:
    """Lay the sources out in a folder; the file that says how they are built."""
    sources = folder / "sources"
    sources.mkdir()
    lay_out(sources, reference)
    base = folder / "base.yml"
    base.write_text(files(__package__).joinpath("mkdocs.yml").read_text(encoding="utf-8"), encoding="utf-8")
    given = {
        "INHERIT": base.name,
        "docs_dir": "sources",
        "site_dir": "built",
        "nav": navigation(),
        "watch": [str(ROOT / "docs"), str(ROOT / "README.md")],
    }
    config = folder / "mkdocs.yml"
    config.write_text(json.dumps(given), encoding="utf-8")
    return config


def _mkdocs(python: Path, *words: str) -> Sequence[str]:
    return [str(python), "-m", "mkdocs", *words]


def _environ() -> dict[str, str]:
    return os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": ""}

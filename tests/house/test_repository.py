"""What must not be in the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = [
    r"(?<![\w}\])])/(home|root|Users|work|farm|scratch)/\w",
    r"\bpypi\.org|files\.pythonhosted|deb\.debian|registry\.npmjs|download\.pytorch",
    r"/tmp/bash",
]


def tracked() -> list[Path]:
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip("needs a git checkout: the tracked files are not known here")
    return [ROOT / name for name in run.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_names_a_machine_or_a_registry() -> None:
    for path in tracked():
        if path == Path(__file__).resolve() or path.suffix in (".png", ".parquet", ".pdf"):
            continue
        text = path.read_text(encoding="utf-8")
        for pattern in FORBIDDEN:
            assert not (found := re.search(pattern, text)), f"{path.relative_to(ROOT)}: {found.group()}"


def test_no_two_test_files_have_one_name() -> None:
    """pytest and mypy know such a file by its name alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert {name for name in names if names.count(name) > 1} == set()


def test_no_large_file_is_tracked() -> None:
    assert [p.name for p in tracked() if p.stat().st_size > 1_000_000] == []


def test_generated_files_are_not_tracked() -> None:
    results = [p.relative_to(ROOT) for p in tracked() if "results" in p.relative_to(ROOT).parts[:1]]
    assert [str(p) for p in results] in ([], ["results/README.md"])

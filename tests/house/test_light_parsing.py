"""A dry run is light: all that the .smk files import needs pydantic and YAML only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "polars",
    "pandas",
    "numpy",
    "pyarrow",
    "scipy",
    "torch",
    "transformers",
    "matplotlib",
    "httpx",
    "regex",
)
FILES = [ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").rglob("*.smk"))]


def imports(path: Path) -> list[str]:
    """The statements of a file that import from our package, wherever they stand, each on one line."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(
        r"^\s*((?:from rewild[\w.]* import (?:\([^)]*\)|.*)|import rewild.*))", text, re.MULTILINE
    )
    return [ast.unparse(ast.parse(statement)) for statement in found]


def loaded(statements: list[str]) -> set[str]:
    code = "\n".join([*statements, "import sys", f"print(*(set({HEAVY}) & set(sys.modules)))"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_import_of_the_rules_is_looked_at() -> None:
    for path in FILES:
        said = len(
            re.findall(r"^\s*(?:from|import) rewild\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        )
        assert len(imports(path)) == said, path.name
    assert sum(len(imports(path)) for path in FILES) > 20


@pytest.mark.heavy
def test_parsing_imports_nothing_heavy() -> None:
    assert loaded([line for path in FILES for line in imports(path)]) == set()
    assert loaded(["import rewild.core.table"]) == {"polars"}, "what is heavy is seen"

"""pyproject.toml names each package that ours imports, and no other; each is in its environment's lock."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Where what is imported is not what is installed.
DISTRIBUTIONS = {
    **{"yaml": "pyyaml", "markdown_it": "markdown-it-py", "pynvml": "nvidia-ml-py"},
    **{"faiss": "faiss-cpu", "umap": "umap-learn", "openTSNE": "opentsne"},
}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!;\s]", text, maxsplit=1)[0] for text in requirements}


LIGHT = names(PROJECT["dependencies"])
EXTRAS = {extra: names(found) for extra, found in PROJECT["optional-dependencies"].items()}


def imported() -> dict[str, Path]:
    """The distributions that the package imports, anywhere in a module, and one module that does."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / "workflow/rewild").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            for top in {module.split(".")[0] for module in modules} - {"rewild"} - sys.stdlib_module_names:
                found.setdefault(DISTRIBUTIONS.get(top, top.replace("_", "-")), path.relative_to(ROOT))
    return found


def test_all_that_is_imported_is_named_and_nothing_else() -> None:
    found, named = imported(), LIGHT.union(*EXTRAS.values())
    assert {name: str(path) for name, path in found.items() if name not in named} == {}
    assert named - set(found) == set()


@pytest.mark.parametrize(("lock", "wanted"), [("workflow", LIGHT), *EXTRAS.items()])
def test_what_an_environment_needs_is_in_its_lock(lock: str, wanted: set[str]) -> None:
    text = (ROOT / f"envs/{lock}.txt").read_text(encoding="utf-8")
    assert wanted - set(re.findall(r"^([a-z0-9][a-z0-9.-]*)(?:\[.*\])?==", text, re.MULTILINE)) == set()

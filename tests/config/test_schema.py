"""The JSON schemas of config/: as the sections are, and every file of ours is written as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rewild.config.schema import schemas

CONFIG = Path(__file__).resolve().parents[2] / "config"
FILES = dict.fromkeys(sorted((CONFIG / "studies").glob("*.yaml")), "study.json") | {
    path: f"{path.stem}.json" for path in sorted(CONFIG.glob("*.yaml"))
}


@pytest.mark.parametrize("name", schemas())
def test_the_committed_schemas_are_as_the_sections(name: str) -> None:
    assert (CONFIG / "schemas" / name).read_text(encoding="utf-8") == schemas()[name], "run `rewild schema`"


def problems(value: Any, name: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(json.loads(schemas()[name]))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_as_its_schema_and_names_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert problems(yaml.safe_load(text), FILES[path]) == []
    there = "../schemas" if path.parent.name == "studies" else "schemas"
    assert text.startswith(f"# yaml-language-server: $schema={there}/{FILES[path]}\n")


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("study.json", {"title": "T", "source": "computed", "tabels": []}, "'tabels' was unexpected"),
        ("study.json", {"title": "T", "source": "computed", "name": "t"}, "'name' was unexpected"),
        ("study.json", {"title": "T", "source": "elsewhere"}, "'elsewhere' is not one of"),
        ("study.json", {"source": "computed"}, "'title' is a required property"),
        ("models.json", {"m": {"hub": "a/b", "famly": "x", "base": "n"}}, "'famly' was unexpected"),
        ("recipes.json", {"r": {"learning_rate": "fast"}}, "'fast' is not of type 'number'"),
    ],
)
def test_a_mistake_is_seen_in_the_editor(name: str, wrong: Any, said: str) -> None:
    assert any(said in problem for problem in problems(wrong, name))

"""JSON schemas of the files in ``config/``, from the sections: an editor completes and checks by them.

They say what a key may be. What holds between keys, or between rows, is for ``rewild validate``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from rewild.config.base import Strict
from rewild.config.benchmarks import Benchmark
from rewild.config.models import INHERITED, Model
from rewild.config.recipes import Recipe
from rewild.config.study import Defaults, Study
from rewild.config.templates import EACH, SECTIONS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """File name to text: one definition per line, in the order of their names."""
    return {name: _text(schema) for name, schema in files().items()}


def files(generator: type[GenerateJsonSchema] = GenerateJsonSchema) -> dict[str, dict[str, Any]]:
    """File name to schema, as pydantic's generator or another makes it."""
    return {
        "study.json": _study(generator),
        "config.json": Defaults.model_json_schema(schema_generator=generator),
        "models.json": _table(Model, generator, INHERITED),
        "benchmarks.json": _table(Benchmark, generator),
        "recipes.json": _table(Recipe, generator),
    }


def _study(generator: type[GenerateJsonSchema]) -> dict[str, Any]:
    """A study's file: its name is the file's, and rows may be written once for many (``each``)."""
    found = _without(Study.model_json_schema(schema_generator=generator), "name")
    for section in SECTIONS:
        rows = found["properties"][section]
        many = {"type": "object", "required": [EACH], "properties": {EACH: {"type": "object"}}}
        (slug, row), *_ = rows["patternProperties"].items()
        rows |= {"patternProperties": {slug: {"anyOf": [row, many]}}, "additionalProperties": many}
    return found


def _table(
    row: type[Strict], generator: type[GenerateJsonSchema], inherited: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A file of rows by slug; what rows may take from another row is not required of them."""
    schema = _without(row.model_json_schema(schema_generator=generator), "slug", *inherited)
    defs = schema.pop("$defs", {}) | {row.__name__: schema}
    return {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{row.__name__}"}, "$defs": defs}


def _without(schema: dict[str, Any], own: str, *inherited: str) -> dict[str, Any]:
    schema["properties"].pop(own)
    schema["required"] = [key for key in schema["required"] if key not in (own, *inherited)]
    return schema


def _text(schema: Mapping[str, Any]) -> str:
    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    parts = {"$schema": DIALECT, **{key: value for key, value in schema.items() if key != "$defs"}}
    keys = [f"{line(key)}: {line(value)}" for key, value in parts.items() if key != "properties"]
    for name in ("properties", "$defs"):
        rows = ",\n".join(f"  {line(key)}: {line(value)}" for key, value in schema.get(name, {}).items())
        keys += [f"{line(name)}: {{\n{rows}\n}}"] if rows else []
    return "{\n" + ",\n".join(keys) + "\n}\n"

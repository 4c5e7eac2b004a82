"""The reference of configuration, from the sections: the schemas of editors, and what each key identifies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from rewild.config.base import CUT, ENVIRONMENT, HOW, LISTED, RESULT, SHOWN, VERDICT, Mark
from rewild.config.schema import files
from rewild.config.site import Site
from rewild.config.templates import EACH
from rewild.core.markdown import Markup, code, table
from rewild.operate.docs.prose import prose, slug

MARK = "x-identifies"
WORDS = {
    RESULT: "result",
    CUT: "files",
    VERDICT: "verdict",
    SHOWN: "shown",
    LISTED: "which results",
    ENVIRONMENT: "environment",
    HOW: "–",
}
LEGEND = """\
From the code itself. **Identifies** says what a change of the key makes again:

- *result*: the section's result. A word in `code`: a part of it only, such as its grades.
- *which results*: which results there are; those that stay are not made again.
- *files*: into how many files the work is cut. *verdict*: what is said of a result, not the result.
- *shown*: cards and tables. *environment*: the environment that a job runs in.
- *–*: nothing. It says how something is computed.

In a section within another, *result* is what the key that holds it identifies. An unknown key is
refused, with the nearest match.
"""
PAGES = {
    "study": (
        "Keys of a study",
        "`config/studies/NAME.yaml`, which an editor completes by `config/schemas`.",
    ),
    "config": ("Keys of config.yaml", "`config/config.yaml`: what holds for all studies."),
    "models": ("Keys of a model", "Rows of `config/models.yaml`, each by its slug."),
    "benchmarks": ("Keys of a benchmark", "Rows of `config/benchmarks.yaml`, each by its slug."),
    "recipes": ("Keys of a recipe", "Rows of `config/recipes.yaml`, each by its slug."),
    "site": ("Keys of a SLURM site", "`profiles/slurm/site.yaml`, from `profiles/slurm/site.example.yaml`."),
}
COLUMNS = "key | meaning | type | default | identifies"
LONG = 60  # characters of a default that are shown


class _Marked(GenerateJsonSchema):
    """A schema in which each key of a section says what it identifies."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        found = super().model_schema(schema)
        for name, mark in getattr(schema["cls"], "marks", {}).items():
            if name in found.get("properties", {}):
                found["properties"][name][MARK] = _identifies(mark)
        return found


def _identifies(mark: Mark) -> str:
    known = WORDS.get(mark)
    return known or ", ".join(str(code(part)) for part in sorted(mark.parts))


def configuration_pages() -> dict[str, str]:
    """Name of a page to its Markdown: a file of the configuration each."""
    found = files(_Marked) | {"site.json": Site.model_json_schema(schema_generator=_Marked)}
    return {
        name: _Page(found[f"{name}.json"]).text(
            title, intro, rows=name in ("models", "benchmarks", "recipes")
        )
        for name, (title, intro) in PAGES.items()
    }


@dataclass
class _Page:
    """A page as it is written: each section once, under the first key that holds it."""

    schema: Mapping[str, Any]
    headings: dict[str, Markup] = field(default_factory=dict)
    """Sections by the names of their definitions; each is known before its tables are written."""

    def text(self, title: str, intro: str, rows: bool) -> str:
        root = self.definition(self.schema["additionalProperties"]["$ref"]) if rows else self.schema
        lines = [f"# {title}", "", intro, "", LEGEND, "## Keys", ""]
        found = {key: [*self.find({"properties": {key: value}})] for key, value in root["properties"].items()}
        lines += self.table(root)
        for key, names in found.items():
            if names:
                lines += ["", f"## {code(key)}"]
            for name in names:
                section = self.schema["$defs"][name]
                if self.headings[name] != code(key):
                    lines += ["", f"### {self.headings[name]}"]
                lines += ["", prose(section.get("description", "")), "", *self.table(section)]
        return "\n".join(lines) + "\n"

    def definition(self, reference: str) -> Mapping[str, Any]:
        return self.schema["$defs"][reference.rpartition("/")[2]]  # type: ignore[no-any-return]

    def find(self, section: Mapping[str, Any], path: str = "") -> Iterator[str]:
        """The sections within one, in the order of its keys, each only the first time; they get headings."""
        for key, value in section.get("properties", {}).items():
            for name, where in _held(value, f"{path}.{key}".lstrip(".")):
                if name not in self.headings:
                    self.headings[name] = self.heading(name, where)
                    yield name
                    yield from self.find(self.schema["$defs"][name], where)

    def heading(self, name: str, where: str) -> Markup:
        """Where a section stands, with its kind; or its own name, where another stands there too."""
        section = self.schema["$defs"][name]
        kind = section.get("properties", {}).get("kind", {}).get("const")
        if not kind and code(where) in self.headings.values():
            kind = section["title"]
        return Markup(f"{code(where)}: {kind}") if kind else code(where)

    def table(self, section: Mapping[str, Any]) -> list[str]:
        required = section.get("required", ())
        keys = section.get("properties", {})
        passed = [code(key) for key, value in keys.items() if set(value) <= {MARK}]  # of another program
        rows = [
            (
                Markup(code(key)),
                prose(value.get("description", "") or self.said(value)),
                Markup(self.kind(value)),
                _default(value, key in required),
                Markup(value.get(MARK, "")),
            )
            for key, value in keys.items()
            if code(key) not in passed
        ]
        return [
            *(table(COLUMNS, rows, align="-") if rows else ()),
            *(("", f"Passed on as they are: {', '.join(passed)}.") if passed else ()),
        ]

    def said(self, value: Mapping[str, Any]) -> str:
        """What is said of the section that a key holds."""
        names = [name for name, _ in _held(value, "")]
        return self.schema["$defs"][names[0]].get("description", "") if len(names) == 1 else ""

    def kind(self, value: Mapping[str, Any]) -> str:
        """The type of a value, in words and links."""
        if "$ref" in value:
            heading = self.headings[value["$ref"].rpartition("/")[2]]
            return f"[{heading.rpartition(': ')[2]}](#{slug(heading)})"
        if either := value.get("anyOf") or value.get("oneOf"):
            kinds = [*dict.fromkeys(self.kind(one) for one in either if not _is_template(one))]
            return " or ".join(filter(None, (", ".join(kinds[:-1]), kinds[-1])))
        if choices := value.get("enum") or [value[key] for key in ("const",) if key in value]:
            return ", ".join(map(code, choices))
        kind = value.get("type") or "any value"
        if kind == "array":
            each = value.get("prefixItems") or [value.get("items", {})]
            return f"list of {', '.join(map(self.kind, each))}"
        if kind == "object":
            inner = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
            kinds = [self.kind(one) for one in inner if isinstance(one, Mapping) and not _is_template(one)]
            return f"by name: {kinds[0]}" if kinds else "mapping"
        return kind + _bounds(value)


def _is_template(value: Mapping[str, Any]) -> bool:
    """Whether it is a row written once for many, which every table has."""
    return EACH in value.get("required", ())


def _held(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """The sections that a key holds: name, and where it stands (``mixes.NAME``, ``prompts.sources[]``)."""
    if not isinstance(value, Mapping):
        return
    if "$ref" in value:
        yield value["$ref"].rpartition("/")[2], path
    for many in ("anyOf", "oneOf", "prefixItems"):
        for one in value.get(many, ()):
            yield from _held(one, path)
    yield from _held(value.get("items"), f"{path}[]")
    for one in (*value.get("patternProperties", {}).values(), value.get("additionalProperties")):
        yield from _held(one, f"{path}.NAME")


def _bounds(value: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f" {sign} {value[key]:g}" for key, sign in signs.items() if key in value]
    return ",".join(found)


def _default(value: Mapping[str, Any], required: bool) -> Markup:
    if required:
        return Markup("**required**")
    if "default" not in value:
        empty = {"array": "[]", "object": "{}"}.get(value.get("type", ""))
        return code(empty) if empty else Markup("its own defaults")
    shown = json.dumps(value["default"], ensure_ascii=False)
    if isinstance(value["default"], str) and value["default"]:
        shown = value["default"]
    return code(shown if len(shown) <= LONG else f"{shown[:LONG]}…")

"""Strict configuration: unknown keys forbidden, one clear message, the nearest match named."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from rewild.errors import ConfigError, nearest

M = TypeVar("M", bound="Strict")
_QUOTE = "'"


class Strict(BaseModel):
    """A configuration section: unknown keys are errors, values are not coerced from other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _UniqueKeyLoader(yaml.CSafeLoader):
    """YAML in which a key that stands twice is an error, not silently the last one. Merges (``<<``) work."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._checked: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if id(node) not in self._checked:  # once, as written: what is merged in may be overridden
            self._checked.add(id(node))
            self._check(node)
        super().flatten_mapping(node)

    def _check(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key_node, _ in node.value:
            key = (
                key_node.value
                if key_node.tag.endswith(":merge")
                else self.construct_object(key_node, deep=True)
            )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping; the message gives file and line.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: a mapping of keys to values was expected, not a {type(value).__name__}")
    return value


def validate(model: type[M], value: Mapping[str, Any], where: str) -> M:
    """Validate ``value`` as ``model``; all problems in one :class:`ConfigError` starting with ``where``."""
    try:
        return model.model_validate(dict(value))
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(model, e, where) for e in error.errors())) from error


def validate_json(model: type[M], text: str, where: str) -> M:
    """:func:`validate` what a rule gave a command as JSON."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: an object was expected, not {text[:40]}")
    return validate(model, value, where)


def _explain(model: type[BaseModel], error: Any, where: str) -> str:
    location = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _keys_at(model, error["loc"][:-1])
        return f"{where}: unknown key '{location}'{nearest(str(error['loc'][-1]), known)}"
    if error["type"] == "union_tag_not_found":
        return f"{where}: the key '{location}.{error['ctx']['discriminator'].strip(_QUOTE)}' is missing"
    if error["type"] == "union_tag_invalid":
        tag, expected = error["ctx"]["tag"], error["ctx"]["expected_tags"]
        location = f"{location}.{error['ctx']['discriminator'].strip(_QUOTE)}"
        hint = nearest(tag, [choice.strip(_QUOTE) for choice in expected.split(", ")])
        return f"{where}: {location}: '{tag}' is not one of {expected}{hint}"
    if error["type"] == "missing":
        return f"{where}: the key '{location}' is missing"
    given = error["input"]
    if error["type"] == "literal_error":
        expected = error["ctx"]["expected"]
        choices = [c.strip().strip("'") for c in expected.replace(" or ", ", ").split(",")]
        return f"{where}: {location}: {given!r} is not one of {expected}{nearest(str(given), choices)}"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    shown = "" if error["type"] == "value_error" else f" (it is {given!r})"
    return f"{where}: {location + ': ' if location else ''}{message}{shown}"


def _keys_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys that a (nested) section knows, found by walking the annotations along ``location``."""
    annotation: Any = model
    for part in location:
        candidates = list(_models(annotation))
        fields = next((c.model_fields for c in candidates if part in c.model_fields), None)
        if fields is not None:
            annotation = fields[part].annotation
    return [key for m in _models(annotation) for key in m.model_fields]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        return [m for argument in typing.get_args(annotation) for m in _models(argument)]
    return []

"""YAML that others wrote: any fault is one error with file, line and reason (:mod:`rewild.core.reading`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rewild.core.errors import ConfigError, DataError, first_line
from rewild.core.reading import DEPTH, place_of, read_text

YAML_LIMIT, NODES = 8 << 20, 200_000
"""Bytes of a YAML file, and values in it with its aliases written out."""


def parse_yaml(text: str, where: object) -> Any:
    """Parse YAML. A key that stands twice is an error; merges (``<<``) work.

    Args:
        text: the YAML.
        where: what it is, for messages.

    Raises:
        ConfigError: with the line: not YAML; a tag, date or number that is none; a list
            as a key; a value that holds itself; nested or, with its aliases written out, larger than allowed.
    """
    loader = None
    try:
        _weigh(text, where)
        loader = _UniqueKeyLoader(text)
        return loader.get_single_data()
    except yaml.YAMLError as found:
        mark = getattr(found, "problem_mark", None) or getattr(found, "context_mark", None)
        problem = getattr(found, "problem", None) or first_line(found)
        raise ConfigError(
            f"{place_of(where, mark.line + 1 if mark else None)}: not valid YAML: {problem}"
        ) from found
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as found:
        # A value that looks like a date, a number or a tag's value and is none; a list as a key.
        problem = str(found) if isinstance(found, ValueError) else "the value does not fit its tag"
        raise ConfigError(
            f"{place_of(where, loader.at if loader else None)}: not valid YAML: {problem}"
        ) from found
    finally:
        if loader is not None:
            loader.dispose()


def _weigh(text: str, where: object) -> None:
    """Refuse YAML that is nested so deep that libyaml's tree overflows the stack, or grows by its aliases."""
    sizes: dict[str, int] = {}  # anchor → nodes, its aliases written out
    open_: list[tuple[str | None, int]] = []  # anchor, nodes before it
    nodes = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_):
                raise ConfigError(f"{where}, line {line}: not usable YAML: '{event.anchor}' holds itself")
            nodes += sizes.get(event.anchor or "", 0)
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, nodes))
            nodes += 1
            if len(open_) > DEPTH:
                raise ConfigError(f"{where}, line {line}: not usable YAML: nested more than {DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                sizes[anchor] = nodes - before
        if nodes > NODES:
            raise ConfigError(
                f"{where}, line {line}: not usable YAML: more than {NODES:,} values, aliases written out"
            )


class _UniqueKeyLoader(yaml.CSafeLoader):
    """YAML in which a key that stands twice is an error, not silently the last one. Merges (``<<``) work."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._checked: set[int] = set()
        self.at: int | None = None  # the line of the value that is read

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        self.at = node.start_mark.line + 1
        value = super().construct_object(node, deep)
        if isinstance(value, int) and value.bit_length() > 1000:
            raise ValueError(f"a number of {len(str(node.value))} digits")
        return value

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if id(node) not in self._checked:  # once, as written: what is merged in may be overridden
            self._checked.add(id(node))
            self._check(node)
        super().flatten_mapping(node)

    def _check(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                kind = "list" if isinstance(key_node, yaml.SequenceNode) else "mapping"
                raise yaml.constructor.ConstructorError(
                    None, None, f"a {kind} cannot be a key", key_node.start_mark
                )
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


def read_yaml(path: Path | str, what: str = "") -> dict[str, Any]:
    """A YAML file that holds a mapping; an empty file is an empty one.

    Raises:
        ConfigError: as :func:`read_text` and :func:`parse_yaml`; not a mapping.
    """
    try:
        text = read_text(path, what, limit=YAML_LIMIT)
    except DataError as found:
        raise ConfigError(str(found)) from found
    value = parse_yaml(text, path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: a mapping of keys to values was expected, not a {type(value).__name__}")
    return value

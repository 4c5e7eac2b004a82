"""Rows of a kind written once: a row with ``each`` stands for one row per combination of its variables.

    mixes:
      "{dgm}-{size}":
        each:
          dgm: {q72: qwen2.5-72b-instruct, l70: llama-3.3-70b-instruct}
          size: {100k: 100_000, 250k: 250_000}
        size: "{size}"
        sources: [{kind: responses, model: "{dgm}"}]

makes the rows ``q72-100k``, ``q72-250k``, ``l70-100k`` and ``l70-250k``. In the row's name, ``{dgm}`` is the
key (``q72``). In what is below it, ``{dgm}`` is the value, with its type if it stands alone, and
``{dgm.key}`` is the key. A list (``dgm: [a, b]``) names keys that are their own values. Other braces stay as
they are. Later variables vary fastest. No two rows may get one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from rewild.core.errors import ConfigError, known_name

EACH = "each"
SECTIONS = ("mixes", "preferences", "runs")
"""The sections of a study in which rows may have ``each``."""
_FIELD = re.compile(r"\{(\w+)(\.key)?\}")


def expand(study: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A study's raw values with every row that has ``each`` replaced by the rows it stands for.

    Args:
        study: as read from YAML, before validation.
        where: the study and its file, for messages.

    Raises:
        ConfigError: ``each`` is not a mapping of variables, a name lacks one of its variables, or two rows
            get one name.
    """
    made = dict(study)
    for section in SECTIONS:
        rows = study.get(section)
        if isinstance(rows, Mapping) and any(isinstance(r, Mapping) and EACH in r for r in rows.values()):
            made[section] = dict(_section(rows, f"{where}: {section}"))
    return made


def _section(rows: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    seen: dict[str, str] = {}
    for name, row in rows.items():
        for made, value in _row(str(name), row, f"{where}.{name}"):
            if made in seen:
                raise ConfigError(f"{where}: '{made}' is made twice: by '{seen[made]}' and by '{name}'")
            seen[made] = str(name)
            yield made, value


def _row(name: str, row: Any, where: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(row, Mapping) or EACH not in row:
        yield name, row
        return
    variables = _variables(row[EACH], where)
    used = {found[1] for found in _FIELD.finditer(name)}
    for variable in sorted(used):
        known_name(variable, variables, f"{where}: {EACH} has no variable", listed="variables")
    if unused := [v for v, values in variables.items() if v not in used and len(values) > 1]:
        raise ConfigError(
            f"{where}: the name must hold {{{unused[0]}}}, or its rows would all be called the same"
        )
    body = {key: value for key, value in row.items() if key != EACH}
    for chosen in product(*(values.items() for values in variables.values())):
        values = dict(zip(variables, chosen, strict=True))
        made = _FIELD.sub(lambda found, values=values: str(values[found[1]][0]), name)  # type: ignore[misc]
        yield made, _fill(body, values)


def _variables(each: Any, where: str) -> dict[str, dict[str, Any]]:
    """Variable → key → value."""
    if not isinstance(each, Mapping) or not each:
        raise ConfigError(f"{where}: {EACH} must be a mapping of variables to their values")
    found = {}
    for name, values in each.items():
        if isinstance(values, Mapping) and values:
            found[str(name)] = {str(key): value for key, value in values.items()}
        elif isinstance(values, list) and values:
            found[str(name)] = {str(value): value for value in values}
        else:
            raise ConfigError(f"{where}: {EACH}.{name} must be a list, or a mapping of keys to values")
    return found


def _fill(value: Any, values: Mapping[str, tuple[str, Any]]) -> Any:
    if isinstance(value, Mapping):
        return {key: _fill(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, values) for inner in value]
    if not isinstance(value, str):
        return value

    def pick(found: re.Match[str]) -> Any:
        key, given = values[found[1]]
        return key if found[2] else given

    alone = _FIELD.fullmatch(value)
    if alone and alone[1] in values:
        return pick(alone)
    return _FIELD.sub(lambda found: str(pick(found)) if found[1] in values else found[0], value)

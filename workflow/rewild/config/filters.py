"""Filters as rows: conditions under a name, to which sources, mixes and sets of preference pairs refer.

A study's section ``filters`` has rows of its own; those that all studies share are in :data:`TABLE`. Wherever
conditions stand, a name may stand too, or a name with what the study calls its measures. Names are replaced
by their conditions before a study is validated, so its resolved configuration, what identifies a result, and
a command's settings hold the conditions themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from glob import glob
from operator import not_
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from rewild import own
from rewild.config.base import RESULT, SHOWN, Section, part, table_of, validate
from rewild.config.measures.conditions import Condition
from rewild.config.models import Slug
from rewild.core.errors import ConfigError, known_name

TABLE = "resources/filters/*.yaml"


class Named(Section, marks=RESULT):
    """A filter by its name, with the study's own names of what it reads."""

    filter: Slug = Field(description=f"A row of the study's `filters`, or of {TABLE}")
    measures: dict[Slug, Slug] = Field(
        default_factory=dict, description="What the study calls its measures: the row's name → the study's"
    )
    top: int | None = Field(None, ge=1, description="In place of the number of the row's last `top`")


def _resolved(given: Any) -> Any:
    for one in given if isinstance(given, list) else []:
        if isinstance(one, str) or (isinstance(one, Mapping) and "filter" in one):
            raise ValueError(f"{one!r} is the name of a filter, which only a study can look up")
    return given


ConditionList = list[Slug | Named | Condition]
Conditions = Annotated[list[Condition], BeforeValidator(_resolved, json_schema_input_type=ConditionList)]
"""Conditions in their order; in a study's file, names of filters among them."""


class Filter(Section, marks=RESULT):
    """A row: conditions under one name."""

    conditions: list[Condition] = Field(min_length=1, description="In the order in which they apply")
    title: Annotated[str | None, SHOWN] = Field(None, description="One line")
    source: Annotated[str | None, SHOWN] = Field(None, description="Who filtered so, and where they say it")
    unstated: Annotated[dict[str, str], SHOWN] = Field(
        default_factory=dict, description="What the source does not state → what the row has in its place"
    )
    note: Annotated[str | None, SHOWN] = Field(None, description="Where the row differs from its source")

    @model_validator(mode="before")
    @classmethod
    def _list(cls, given: Any) -> Any:
        return {"conditions": given} if isinstance(given, list) else given


class Filtered(Section):
    """What may be left out of by measures, before anything else is done with it."""

    filters: Annotated[Conditions, part("filters")] = Field(
        default_factory=list,
        exclude_if=not_,
        description="Conditions on measures of prompts, or names of filters, in this order, once all prompts "
        "are prepared",
    )


def shared_filters() -> dict[str, Filter]:
    """The rows of :data:`TABLE`: name → row.

    Raises:
        ConfigError: a row that is none, with its file; a name that stands in two files.
    """
    found: dict[str, Filter] = {}
    for path in sorted(glob(own(TABLE))):  # noqa: PTH207 (Path.glob refuses absolute patterns)
        rows = table_of(Path(path), Filter, "filter")
        if twice := sorted(found.keys() & rows):
            raise ConfigError(
                f"filter {twice[0]} ({path}): another file has a filter of this name; rename one of them"
            )
        found |= rows
    return found


def with_filters(study: Mapping[str, Any]) -> dict[str, Any]:
    """A study's raw values with every name of a filter replaced by its conditions.

    Raises:
        ValueError: an unknown filter, with the nearest; a measure or a `top` that the filter does not have.
    """
    table, made = _Table(study.get("filters")), dict(study)
    if "prompts" in study:
        made["prompts"] = _looked_up(study["prompts"], "prompts", table)
    for section in ("mixes", "preferences"):
        if isinstance(study.get(section), Mapping):
            rows = study[section].items()
            made[section] = {name: _looked_up(row, f"{section}.{name}", table) for name, row in rows}
    return made


def _looked_up(row: Any, where: str, table: _Table) -> Any:
    """A row, and its sources, with their ``filters`` looked up: a list, or a section with ``measures``."""
    if not isinstance(row, Mapping):
        return row
    made, given = dict(row), row.get("filters")
    if isinstance(row.get("sources"), list):
        many = enumerate(row["sources"])
        made["sources"] = [_looked_up(one, f"{where}.sources.{n}", table) for n, one in many]
    if isinstance(given, list):
        made["filters"] = table.conditions(given, f"{where}.filters")
    elif isinstance(given, Mapping) and isinstance(given.get("measures"), list):
        found = table.conditions(given["measures"], f"{where}.filters.measures")
        made["filters"] = {**given, "measures": found}
    return made


class _Table:
    """A study's own filters, before the shared ones, which are read when a name is looked up."""

    def __init__(self, rows: Any) -> None:
        self._rows: dict[str, Any] = dict(rows) if isinstance(rows, Mapping) else {}
        self._read = False

    def conditions(self, given: list[Any], where: str) -> list[Any]:
        found: list[Any] = []
        for one in given:
            if isinstance(one, str):
                found += self._named(Named(filter=one, top=None), where)
            elif isinstance(one, Mapping) and "filter" in one:
                found += self._named(validate(Named, one, where), where)
            else:
                found.append(one)
        return found

    def _named(self, asked: Named, where: str) -> list[Any]:
        if asked.filter not in self._rows and not self._read:
            shared = {n: row.model_dump(exclude_unset=True) for n, row in shared_filters().items()}
            self._rows, self._read = {**shared, **self._rows}, True
        known_name(asked.filter, self._rows, f"{where}: unknown filter", listed="filters", error=ValueError)
        where = f"{where}: filter '{asked.filter}'"
        row = self._rows[asked.filter]
        conditions = row.get("conditions") if isinstance(row, Mapping) else row
        if not isinstance(conditions, list) or not all(isinstance(c, Mapping) for c in conditions):
            return []  # not a row: said where it stands, in the section `filters`
        found = [dict(condition) for condition in conditions]
        there = [c.get("measure") for c in found]
        for name in asked.measures:
            known_name(name, there, f"{where} reads no measure", listed="it reads", error=ValueError)
        for condition in found:
            condition["measure"] = asked.measures.get(str(condition.get("measure")), condition.get("measure"))
        if asked.top is not None:
            ranked = [condition for condition in found if "top" in condition]
            if not ranked:
                raise ValueError(f"{where} has no `top` to be replaced")
            ranked[-1]["top"] = asked.top
        return found

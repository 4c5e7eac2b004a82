"""What a filter asks of a measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import RESULT, Section
from rewild.config.measures.base import Row, Value
from rewild.config.models import Slug
from rewild.core.errors import nearest


class Condition(Section, marks=RESULT):
    """A condition on a measure: what does not meet it is left out."""

    measure: Slug = Field(description="A row of the study's `measures`")
    column: str | None = Field(None, description="One of its columns; null: its first")
    at_least: float | str | None = Field(None, description="Lowest value; a level, of a column with levels")
    at_most: float | str | None = Field(None, description="Highest value, or level")
    one_of: list[str | int | bool] | None = Field(None, min_length=1, description="One of these values")
    none_of: list[str | int | bool] | None = Field(None, min_length=1, description="None of these values")
    over: Literal["every", "any", "first", "last"] = Field(
        "every", description="Which turns of a conversation must meet it"
    )
    missing: Literal["drop", "keep", "stop"] = Field(
        "drop", description="A text that has no value (its measure failed): as if it did not meet it, or did"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.asked:
            raise ValueError("a condition needs at_least, at_most, one_of or none_of")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked of the value."""
        names = ("at_least", "at_most", "one_of", "none_of")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def sentence(self, measures: Mapping[str, Row]) -> str:
        """It in words, such as ``length.words at least 20``: the reason why a conversation was left out."""
        column = self.column or next(iter(measures[self.measure].columns()))
        said = [f"{name.replace('_', ' ')} {_said(value)}" for name, value in self.asked.items()]
        turns = "" if self.over == "every" else f" ({self.over} turn)"
        return f"{self.measure}.{column} {' and '.join(said)}{turns}"


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def check_condition(condition: Condition, measures: Mapping[str, Row], of: tuple[str, ...]) -> None:
    """Refuse a condition on what no measure of the study says.

    Args:
        condition: the condition.
        measures: the study's.
        of: what may be measured of the texts that it is about: ``responses``, ``prompts``, both or nothing.

    Raises:
        ValueError: no such measure or column, or a value that the column cannot have; with the nearest match.
    """
    name = condition.measure
    if name not in measures:
        known = ", ".join(measures) or "none"
        raise ValueError(f"'{name}' is not among the study's measures ({known}){nearest(name, measures)}")
    measure = measures[name]
    columns = measure.columns()
    column = condition.column or next(iter(columns))
    if column not in columns:
        known = ", ".join(columns)
        raise ValueError(f"the measure '{name}' has no column '{column}' ({known}){nearest(column, columns)}")
    if measure.of not in of:
        raise ValueError(f"the measure '{name}' is of {measure.of}, which this source has none of")
    value = columns[column]
    for asked, given in condition.asked.items():
        for one in given if isinstance(given, list) else [given]:
            _check_value(f"{name}.{column}", value, asked, one)


def _check_value(where: str, value: Value, asked: str, given: float | str | bool) -> None:
    ordered = asked in ("at_least", "at_most")
    if value.form == "text":
        if ordered and not value.levels:
            raise ValueError(f"{where} is a text without an order: it takes one_of or none_of, not {asked}")
        if not isinstance(given, str):
            raise ValueError(f"{where} is a text, and {asked} has {given!r}")
        if value.levels and given not in value.levels:
            levels = ", ".join(value.levels)
            raise ValueError(f"{where}: '{given}' is no level of it ({levels}){nearest(given, value.levels)}")
    elif value.form == "flag":
        if ordered or not isinstance(given, bool):
            raise ValueError(f"{where} is true or false: it takes one_of: [true] or [false]")
    elif isinstance(given, str | bool):
        raise ValueError(f"{where} is a number, and {asked} has {given!r}")

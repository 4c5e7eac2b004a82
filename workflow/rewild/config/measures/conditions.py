"""What a filter asks of a measure: conditions, which apply in the order in which they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import not_
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import RESULT, Section
from rewild.config.measures.base import Row, Value
from rewild.config.models import Slug
from rewild.core.errors import nearest

Part = Annotated[float, Field(gt=0, lt=1)]
BOUNDS = ("at_least", "at_most", "above", "below")
RANKS = ("quantile", "top", "bottom", "distinct")
"""What is asked of a value's place among those of all conversations that are left."""


class Quantile(Section, marks=RESULT):
    """The upper or the lower part of the conversations that are left, by a value; at its border ties stay."""

    upper: Part | None = Field(None, description="The part with the highest values, such as 0.25")
    lower: Part | None = Field(None, description="The part with the lowest values")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.upper is None) == (self.lower is None):
            raise ValueError("a quantile needs `upper` or `lower`, and not both")
        return self

    def __str__(self) -> str:
        return f"upper {self.upper:g}" if self.upper is not None else f"lower {self.lower:g}"


class Condition(Section, marks=RESULT):
    """A condition on a measure: what does not meet it is left out."""

    measure: Slug = Field(description="A row of the study's `measures`")
    column: str | None = Field(None, description="One of its columns; null: its first")
    at_least: float | str | None = Field(None, description="Lowest value; a level, of a column with levels")
    at_most: float | str | None = Field(None, description="Highest value, or level")
    above: float | str | None = Field(None, exclude_if=lambda v: v is None, description="Higher than this")
    below: float | str | None = Field(None, exclude_if=lambda v: v is None, description="Lower than this")
    one_of: list[str | int | bool] | None = Field(None, min_length=1, description="One of these values")
    none_of: list[str | int | bool] | None = Field(None, min_length=1, description="None of these values")
    quantile: Quantile | None = Field(
        None, exclude_if=not_, description="In this part of the conversations that are left"
    )
    top: int | None = Field(
        None, ge=1, exclude_if=not_, description="Among this many that have the highest values; ties by id"
    )
    bottom: int | None = Field(
        None, ge=1, exclude_if=not_, description="Among this many that have the lowest values; ties by id"
    )
    distinct: Literal["first"] | None = Field(
        None,
        exclude_if=not_,
        description="Of those that are left and have the same value (of all their turns, or of the one of "
        "`over`), the first by id: the others are its copies",
    )
    over: Literal["every", "any", "first", "last", "total", "mean"] = Field(
        "every",
        description="Which turns of a conversation must meet it; or their values' sum or mean must. Where "
        "values are ranked, `every` is the worst of them and `any` the best",
    )
    missing: Literal["drop", "keep", "stop"] = Field(
        "drop", description="A text that has no value (its measure failed): as if it did not meet it, or did"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.asked:
            names = ", ".join((*BOUNDS, "one_of", "none_of", *RANKS[:-1]))
            raise ValueError(f"a condition needs {names} or {RANKS[-1]}")
        if self.rank and len(self.asked) > 1:
            raise ValueError(
                f"{self.rank} ranks what is left, so it stands alone: put {' and '.join(self._plain)} in a "
                "condition of its own, before it or after it"
            )
        if self.distinct and self.over in ("any", "total", "mean"):
            raise ValueError(f"over: copies are alike in every turn, the first or the last, not {self.over}")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked of the value."""
        names = (*BOUNDS, "one_of", "none_of", *RANKS)
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def _plain(self) -> list[str]:
        return [name for name in self.asked if name != self.rank]

    @property
    def rank(self) -> str | None:
        """One of :data:`RANKS`, where it asks for a place among all; else None."""
        return next((name for name in RANKS if getattr(self, name) is not None), None)

    @property
    def highest(self) -> bool:
        """Of one that ranks: whether the highest values are kept."""
        return self.top is not None or (self.quantile is not None and self.quantile.upper is not None)

    def column_of(self, measures: Mapping[str, Row]) -> str:
        """The column that it is about."""
        return self.column or next(iter(measures[self.measure].columns()))

    def sentence(self, measures: Mapping[str, Row]) -> str:
        """It in words, such as ``length.words at least 20``: the reason why a conversation was left out."""
        said = [f"{name.replace('_', ' ')} {_said(value)}" for name, value in self.asked.items()]
        turns = {"every": "", "total": " (sum of turns)", "mean": " (mean of turns)"}
        over = turns.get(self.over, f" ({self.over} turn)")
        return f"{self.measure}.{self.column_of(measures)} {' and '.join(said)}{over}"


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def reasons_of(conditions: Sequence[Condition], measures: Mapping[str, Row]) -> list[tuple[str, str]]:
    """Per condition the reasons under which it leaves out: it is not met, and its value is missing.

    A reason that is given a second time (a quantile of a quantile) has its number, so that each counts apart.
    """
    seen: Counter[str] = Counter()

    def named(reason: str) -> str:
        seen[reason] += 1
        return reason if seen[reason] == 1 else f"{reason} ({seen[reason]})"

    return [
        (named(c.sentence(measures)), named(f"{c.measure}.{c.column_of(measures)} missing"))
        for c in conditions
    ]


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
    column = condition.column_of(measures)
    if column not in columns:
        known = ", ".join(columns)
        raise ValueError(f"the measure '{name}' has no column '{column}' ({known}){nearest(column, columns)}")
    if measure.of not in of:
        raise ValueError(f"the measure '{name}' is of {measure.of}, which this source has none of")
    value = columns[column]
    if condition.over in ("total", "mean") and value.form not in ("number", "integer"):
        raise ValueError(f"{name}.{column} is no number, so it has no {condition.over} (`over`)")
    for asked, given in () if condition.distinct else condition.asked.items():
        for one in given if isinstance(given, list) else [given]:
            _check_value(f"{name}.{column}", value, asked, one)


def _check_value(where: str, value: Value, asked: str, given: Any) -> None:
    ordered = asked in (*BOUNDS, *RANKS)
    if value.form == "text":
        if ordered and not (value.levels and value.ordered):
            raise ValueError(f"{where} is a text without an order: it takes one_of or none_of, not {asked}")
        if asked in RANKS:
            return
        if not isinstance(given, str):
            raise ValueError(f"{where} is a text, and {asked} has {given!r}")
        if value.levels and given not in value.levels:
            levels = ", ".join(value.levels)
            raise ValueError(f"{where}: '{given}' is no level of it ({levels}){nearest(given, value.levels)}")
    elif value.form == "flag":
        if ordered or not isinstance(given, bool):
            raise ValueError(f"{where} is true or false: it takes one_of: [true] or [false]")
    elif asked not in RANKS and isinstance(given, str | bool):
        raise ValueError(f"{where} is a number, and {asked} has {given!r}")

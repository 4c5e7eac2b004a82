"""Measures that are made from two other measures of the study: their difference, their ratio."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from pydantic import Field

from rewild.config.measures.base import PROMPTS, Kind, Row, Side, Value
from rewild.config.models import Slug
from rewild.core.errors import ConfigError, known_name

ENDS = ("left", "right")


class Derived(Row):
    """A number of one measure and a number of another, put together text by text."""

    left: Slug | Side = Field(description="A measure's name, or one with its column and subject")
    right: Slug | Side = Field(description="As `left`")

    @property
    def sides(self) -> tuple[Side, ...]:
        """Left and right."""
        given = (self.left, self.right)
        return tuple(Side(measure=s, column=None, subject=None) if isinstance(s, str) else s for s in given)


class Difference(Derived):
    """Left less right, such as a reward less that of the base model's answer to the same prompt."""

    row = Kind("rewild.measures.derived:Difference", {"difference": Value("number", "Left less right")})
    kind: Literal["difference"]


class Ratio(Derived):
    """Left over right, such as a perplexity given the prompt over that without it."""

    row = Kind("rewild.measures.derived:Ratio", {"ratio": Value("number", "Left over right")})
    kind: Literal["ratio"]


def subject_of_side(side: Side, measures: Mapping[str, Row], subject: str) -> str:
    """Whose values a side takes, where ``subject`` is measured."""
    return PROMPTS if measures[side.measure].of == PROMPTS else side.subject or subject


def named_subjects(name: str, measures: Mapping[str, Row]) -> set[str]:
    """The models that a measure rests on besides the one that is measured, through others too."""
    found: set[str] = set()
    for side in measures[name].sides:
        found |= named_subjects(side.measure, measures)
        if side.subject not in (None, PROMPTS):
            found.add(str(side.subject))
    return found


def rests_on(name: str, measures: Mapping[str, Row], of: str | None = None) -> set[str]:
    """A measure and all that it is made from.

    Args:
        name: the measure's.
        measures: the study's.
        of: what all of them must be of; None: anything.

    Raises:
        ValueError: one is of something else.
    """
    found = {name}
    if space := measures[name].vectors_of:  # of the same texts
        found.add(space)
    for side in measures[name].sides:
        other = measures[side.measure].of
        if of and other != of:
            raise ValueError(
                f"the measure '{name}' is made from '{side.measure}', which is of {other}: there are none "
                f"before the {of} are chosen"
            )
        found |= rests_on(side.measure, measures, of)
    return found


def check_subjects(where: str, measures: Mapping[str, Row], models: Collection[str]) -> None:
    """:func:`check_derived` of all, when it is known who answers.

    Raises:
        ConfigError: as there.
    """
    for name in measures:
        try:
            check_derived(name, measures, models)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error


def check_derived(name: str, measures: Mapping[str, Row], models: Collection[str] | None) -> None:
    """Refuse a measure that is made from what the study does not have.

    Args:
        name: the measure's.
        measures: the study's.
        models: who answers in the study; None where that is not known yet.

    Raises:
        ValueError: no such measure, column or subject, with the nearest match; a column that is no number; a
            measure that is made from itself.
    """
    measure = measures[name]
    for end, side in zip(ENDS, measure.sides, strict=False):
        where = f"measures.{name}.{end}"
        known_name(side.measure, measures, f"{where}: no measure", listed="measures", error=ValueError)
        other = measures[side.measure]
        columns = other.columns()
        column = known_name(
            side.column or next(iter(columns)),
            columns,
            f"{where}: the measure '{side.measure}' has no column",
            listed="columns",
            error=ValueError,
        )
        if columns[column].form not in ("number", "integer"):
            raise ValueError(f"{where}: {side.measure}.{column} is a {columns[column].form}, not a number")
        _check_subject(where, measure, side, other, models)
    _check_circle(name, measures, ())


def _check_subject(where: str, measure: Row, side: Side, other: Row, models: Collection[str] | None) -> None:
    if other.of == PROMPTS:
        if side.subject not in (None, PROMPTS):
            raise ValueError(
                f"{where}: '{side.measure}' is of prompts, which are nobody's: leave out 'subject'"
            )
    elif side.subject is None:
        if measure.of == PROMPTS:
            raise ValueError(
                f"{where}: '{side.measure}' is of responses, and this measure is of prompts: name whose as "
                "'subject'"
            )
    elif models is not None:
        known_name(
            side.subject, models, f"{where}: nobody who answers is called", listed="models", error=ValueError
        )


def _check_circle(name: str, measures: Mapping[str, Row], trail: tuple[str, ...]) -> None:
    if name in trail:
        circle = " → ".join((*trail[trail.index(name) :], name))
        raise ValueError(f"measures.{name}: it is made from itself ({circle})")
    for side in measures[name].sides:
        if side.measure in measures:
            _check_circle(side.measure, measures, (*trail, name))

"""Filters at work: conditions over measures, one after another, each with how many rows it left.

A row is a conversation. What is asked is in files of measures (:mod:`rewild.core.measures`). A condition sees
what those before it left: a share, or a number of the highest, is of what is left, so the order counts. The
order of rows and of files does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import reduce
from operator import and_, or_
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.measures import Measure
from rewild.config.measures.conditions import Condition, reasons_of
from rewild.core.errors import DataError
from rewild.core.markdown import table
from rewild.core.measures import read_measure

OVER = {
    "every": lambda: pl.col("ok").all(ignore_nulls=False),
    "any": lambda: pl.col("ok").any(ignore_nulls=False),
    "first": lambda: pl.col("ok").sort_by("turn").first(),
    "last": lambda: pl.col("ok").sort_by("turn").last(),
}
"""Verdicts of turns → that of a conversation; null where it depends on a turn without a value."""


@dataclass(frozen=True)
class Step:
    """What a condition did.

    Attributes:
        condition: in words.
        missing: rows that it left out because they have no value.
        dropped: all rows that it left out.
        kept: rows that are left after it.
    """

    condition: str
    missing: int
    dropped: int
    kept: int


@dataclass(frozen=True)
class Applied:
    """What conditions made of some rows.

    Attributes:
        reasons: per row the condition that left it out, in words; null of those that are left.
        steps: the conditions in their order.
    """

    reasons: pl.Series
    steps: list[Step]

    @property
    def plain(self) -> list[dict[str, Any]]:
        """The steps, as a report holds them."""
        return [asdict(step) for step in self.steps]

    def nothing_left(self, what: str, rows: int) -> DataError:
        """The error where no row is left; says how many each condition left."""
        return DataError(f"{what}: nothing is left of {rows:,} conversations ({told(self.steps)})")


def step_lines(by_source: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The steps of sources as a Markdown table, for a report or a card."""
    return table(
        "source | condition | dropped | of them without a value | kept",
        (
            (name, step["condition"], step["dropped"], step["missing"], step["kept"])
            for name, steps in by_source.items()
            for step in steps
        ),
        "-->",
    )


def told(steps: Sequence[Step]) -> str:
    """How many rows each condition left, in one line."""
    return "; ".join(f"{step.condition} left {step.kept:,}" for step in steps)


def apply_conditions(
    rows: pl.DataFrame,
    conditions: Sequence[Condition],
    *,
    measures: Mapping[str, Measure],
    files: Sequence[Path],
    subject_of: Callable[[Measure], str],
    where: str,
) -> Applied:
    """Apply conditions in their order.

    Args:
        rows: ``id`` of each conversation, no two the same, and ``n_turns``, how many of its turns count.
        conditions: of :mod:`rewild.config.measures.conditions`.
        measures: the study's.
        files: of measures, of others too; a file may say more than is asked.
        subject_of: whose values a measure has here: a model's slug, or ``prompts``.
        where: what the rows are, for messages.

    Raises:
        DataError: a measure's file is not among them, or is damaged; a conversation was not measured, or has
            no value where the condition says to stop.
    """
    left = rows.select("id", n_turns=pl.col("n_turns").cast(pl.Int64), row=pl.int_range(pl.len()))
    reasons = pl.Series([None] * rows.height, dtype=pl.String)
    steps = []
    for condition, (unmet, unknown) in zip(conditions, reasons_of(conditions, measures), strict=True):
        measure = measures[condition.measure]
        column = condition.column_of(measures)
        said = read_measure(files, condition.measure, subject_of(measure), [column])
        said = said.filter(pl.col("sample") == 0).select("turn", id="conversation_id", value=column)
        levels = measure.columns()[column].levels
        found = left.join(_verdicts(left, said, condition, levels, where), on="id", how="left")
        found = found.sort("row").with_columns(missing=pl.col("ok").is_null() & (pl.col("n_turns") > 0))
        missing = found.filter("missing")
        if condition.missing == "stop" and missing.height:
            raise DataError(
                f"{where}: conversation {missing['id'].sort()[0]} has no value of the measure "
                f"{condition.measure}, an error by the condition's `missing: stop`; `drop` or `keep` go on"
            )
        passed = pl.col("ok").fill_null(not missing.height or condition.missing != "drop")
        passed = passed | (pl.col("n_turns") == 0)
        lost = found.filter(~passed).select(
            "row", reason=pl.when("missing").then(pl.lit(unknown)).otherwise(pl.lit(unmet))
        )
        reasons = reasons.scatter(lost["row"], lost["reason"])
        left = found.filter(passed).select("id", "n_turns", "row")
        steps.append(
            Step(unmet, missing.height if condition.missing == "drop" else 0, lost.height, left.height)
        )
    return Applied(reasons, steps)


def _verdicts(
    left: pl.DataFrame, said: pl.DataFrame, condition: Condition, levels: Sequence[str], where: str
) -> pl.DataFrame:
    """``id`` and ``ok`` of the conversations that have turns; ``ok`` is null where a value is missing."""
    turns = left.join(said, on="id", how="inner").filter(pl.col("turn") < pl.col("n_turns"))
    counts = turns.group_by("id").agg(turns=pl.len())
    short = left.join(counts, on="id", how="left").filter(pl.col("turns").fill_null(0) != pl.col("n_turns"))
    if short.height:
        raise DataError(
            f"{where}: the measure {condition.measure} has not all turns of conversation "
            f"{short['id'].sort()[0]}; measure it again"
        )
    if condition.distinct:
        return _first_of_copies(turns, condition)
    if condition.rank or condition.over in ("total", "mean"):
        whole = turns.group_by("id").agg(value=_one_value(condition, _ordered(pl.col("value"), levels)))
        if condition.rank:
            return _ranked(whole, condition)
        return whole.select("id", ok=meets(condition, pl.col("value"), levels))
    verdict = turns.with_columns(ok=meets(condition, pl.col("value"), levels))
    return verdict.group_by("id").agg(ok=OVER[condition.over]())


def _one_value(condition: Condition, value: pl.Expr) -> pl.Expr:
    """One value for the turns of a conversation; null where it depends on one that is missing."""
    if condition.over in ("first", "last"):
        placed = value.sort_by("turn")
        return placed.first() if condition.over == "first" else placed.last()
    if condition.over in ("total", "mean"):
        one = value.sum() if condition.over == "total" else value.mean()
    else:
        worst = condition.over == "every"
        one = value.min() if worst == condition.highest else value.max()
    return pl.when(value.is_null().any()).then(None).otherwise(one)


def _first_of_copies(turns: pl.DataFrame, condition: Condition) -> pl.DataFrame:
    """Whether a conversation is the first by id of those with its value; null where a turn has none."""
    if condition.over in ("first", "last"):
        place = pl.col("turn").min() if condition.over == "first" else pl.col("turn").max()
        turns = turns.filter(pl.col("turn") == place.over("id"))
    said = turns.sort("id", "turn").group_by("id", maintain_order=True)
    whole = said.agg(value="value", known=pl.col("value").is_not_null().all())
    first = whole.filter("known").unique("value", keep="first", maintain_order=True)
    return whole.select("id", ok=pl.when("known").then(pl.col("id").is_in(first["id"].implode())))


def _ranked(values: pl.DataFrame, condition: Condition) -> pl.DataFrame:
    """Whether a conversation is among those with the highest or lowest values; ties as the condition says."""
    there = values.filter(pl.col("value").is_not_null())
    if condition.quantile:
        # Of a decimal number as it is written: 0.7 of 10 are 7, which a product of floats is above.
        share = Fraction(str(condition.quantile.upper or condition.quantile.lower))
        count = math.ceil(share * there.height)
    else:
        count = min(condition.top or condition.bottom or 0, there.height)
    ranked = there.sort("value", "id", descending=[condition.highest, False])
    if condition.quantile and there.height:
        border = ranked["value"][count - 1]
        best = pl.col("value") >= border if condition.highest else pl.col("value") <= border
    else:
        best = pl.int_range(pl.len()) < count
    verdict = ranked.select("id", ok=best)
    return pl.concat(
        [verdict, values.filter(pl.col("value").is_null()).select("id", ok=pl.lit(None, pl.Boolean))]
    )


def _ordered(value: pl.Expr, levels: Sequence[str]) -> pl.Expr:
    """A value as a number: of a text with levels, the place of its level; null where it is none of them."""
    ranks = {level: rank for rank, level in enumerate(levels)}
    return value.replace_strict(ranks, default=None, return_dtype=pl.Int32) if levels else value


def meets(condition: Condition, value: pl.Expr, levels: Sequence[str]) -> pl.Expr:
    """Whether a value meets a condition that ranks nothing; null where there is no value."""
    ordered = _ordered(value, levels)
    asked: list[pl.Expr] = []
    for name, given in condition.asked.items():
        border = levels.index(given) if given in levels else given
        match name:
            case "at_least":
                asked.append(ordered >= border)
            case "at_most":
                asked.append(ordered <= border)
            case "above":
                asked.append(ordered > border)
            case "below":
                asked.append(ordered < border)
            case _:
                there = reduce(or_, (value == one for one in given))  # the mean of integers is no integer
                asked.append(there if name == "one_of" else ~there)
    return reduce(and_, asked)

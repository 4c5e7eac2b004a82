"""Filters of a mix over measures: which conversations of a batch a condition leaves out, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.measures import Measure
from rewild.config.measures.conditions import Condition
from rewild.config.mixes import Filters, Mix, Source, subject_of
from rewild.core.errors import DataError
from rewild.core.measures import about_measure, read_measure

OVER = {
    "every": lambda: pl.col("ok").all(ignore_nulls=False),
    "any": lambda: pl.col("ok").any(ignore_nulls=False),
    "first": lambda: pl.col("ok").sort_by("turn").first(),
    "last": lambda: pl.col("ok").sort_by("turn").last(),
}
"""Verdicts of turns → that of a conversation; null where it depends on a turn without a value."""


class Verdicts:
    """The conditions of one source, with what the measures say of its conversations."""

    def __init__(
        self, source: Source, filters: Filters, measures: Mapping[str, Measure], files: Sequence[Path]
    ) -> None:
        """
        Args:
            source: of a mix.
            filters: that apply to it.
            measures: the study's.
            files: of measures; see :func:`rewild.core.measures.read_measure`.

        Raises:
            DataError: a measure's file is not among them, or is damaged.
        """
        self._label, self._conditions = source.label, filters.measures
        self._measures = measures
        self._said = []
        for condition in self._conditions:
            measure = measures[condition.measure]
            column = column_of(condition, measures)
            frame = read_measure(files, condition.measure, subject_of(measure, source), [column])
            value = measure.columns()[column]
            ok = _meets(condition, pl.col(column), value.levels)
            self._said.append(frame.filter(pl.col("sample") == 0).select("conversation_id", "turn", ok=ok))

    def reasons(self, batch: pl.DataFrame) -> list[tuple[str, pl.Series]]:
        """Reasons in their order, each with whether it applies, of conversations in the order of the batch.

        Args:
            batch: with ``source_id`` and ``n_turns``.

        Raises:
            DataError: a conversation was not measured, or has no value where the row says to stop.
        """
        found = []
        for condition, said in zip(self._conditions, self._said, strict=True):
            turns = batch.select("source_id", "n_turns").join(
                said, left_on="source_id", right_on="conversation_id", how="left", maintain_order="left"
            )
            within = turns.filter(pl.col("turn") < pl.col("n_turns"))
            verdict = within.group_by("source_id").agg(ok=OVER[condition.over](), turns=pl.len())
            all_of_them = batch.select("source_id", "n_turns").join(
                verdict, on="source_id", how="left", maintain_order="left"
            )
            unknown = all_of_them.filter(pl.col("turns").fill_null(0) != pl.col("n_turns"))
            if unknown.height:
                raise DataError(
                    f"source '{self._label}': the measure {condition.measure} has not all turns of "
                    f"conversation {unknown['source_id'][0]}; measure it again"
                )
            ok = all_of_them["ok"]
            missing = ok.is_null() & (all_of_them["n_turns"] > 0)
            if condition.missing == "drop":
                found.append((missing_of(condition, self._measures), missing))
            elif condition.missing == "stop":
                found.append((STOP, missing))
            found.append((condition.sentence(self._measures), ~ok.fill_null(True)))
        return found


STOP = "stop"
"""The reason of a conversation that has no value where the row says to stop; none is counted under it."""


def column_of(condition: Condition, measures: Mapping[str, Measure]) -> str:
    """The column that a condition is about."""
    return condition.column or next(iter(measures[condition.measure].columns()))


def missing_of(condition: Condition, measures: Mapping[str, Measure]) -> str:
    """The reason of a conversation that has no value."""
    return f"{condition.measure}.{column_of(condition, measures)} missing"


def digests(
    mix: Mix, source: Source, measures: Mapping[str, Measure], files: Sequence[Path]
) -> dict[str, str]:
    """Measure → digest of its settings, of those that a source is filtered by."""
    wanted = {
        (c.measure, subject_of(measures[c.measure], source)) for c in (source.filters or mix.filters).measures
    }
    said = [about_measure(file) for file in files] if wanted else []
    return {a["measure"]: a["digest"] for a in said if (a["measure"], a["subject"]) in wanted}


def kept(
    mix: Mix, measures: Mapping[str, Measure], outcomes: Mapping[str, Mapping[str, int]]
) -> dict[str, list[dict[str, Any]]]:
    """For the card: source → each condition in its order, and how many conversations it kept.

    Args:
        mix: the row.
        measures: the study's.
        outcomes: source → outcome → conversations (:func:`rewild.training.mixes.build.build`).
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for source in mix.sources:
        conditions = (source.filters or mix.filters).measures
        if not conditions:
            continue
        said = dict(outcomes[source.label])
        reasons = {r: n for r, n in said.items() if r not in ("read", "drawn", "not_drawn", "contaminated")}
        dropped = []
        for condition in conditions:
            names = (missing_of(condition, measures), condition.sentence(measures))
            dropped.append(sum(reasons.pop(name, 0) for name in names))
        left = said["read"] - sum(reasons.values())
        found[source.label] = []
        for condition, count in zip(conditions, dropped, strict=True):
            left -= count
            found[source.label].append(
                {"condition": condition.sentence(measures), "dropped": count, "kept": left}
            )
    return found


def _meets(condition: Condition, value: pl.Expr, levels: Sequence[str]) -> pl.Expr:
    """Whether a value meets a condition; null where there is no value."""
    if levels and (condition.at_least is not None or condition.at_most is not None):
        ranks = {level: rank for rank, level in enumerate(levels)}
        ordered = value.replace_strict(ranks, default=None, return_dtype=pl.Int32)
    else:
        ranks, ordered = {}, value
    asked: list[pl.Expr] = []
    for name, given in condition.asked.items():
        if name == "at_least":
            asked.append(ordered >= ranks.get(given, given))
        elif name == "at_most":
            asked.append(ordered <= ranks.get(given, given))
        else:
            there = value.is_in(given)
            asked.append(there if name == "one_of" else ~there)
    return reduce(and_, asked)

"""Measures made from two others: text by text, a number of each; a failure where one is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from rewild.config.measures import Measure
from rewild.config.measures.base import Side
from rewild.config.measures.derived import ENDS, subject_of_side
from rewild.config.stages import version
from rewild.core.measures import KEY, about_measure, read_measure
from rewild.generation.spec import digest_of
from rewild.measures.base import class_of
from rewild.measures.run import schema_of, write_measure


class Difference:
    """Left less right."""

    def value(self, left: pl.Expr, right: pl.Expr) -> pl.Expr:
        """Of each text; no finite number where there is none."""
        return left - right


class Ratio:
    """Left over right."""

    def value(self, left: pl.Expr, right: pl.Expr) -> pl.Expr:
        """Of each text; no finite number where there is none."""
        return left / right


def derive(
    name: str, subject: str, measures: Mapping[str, Measure], files: Sequence[Path], out: Path
) -> pl.DataFrame:
    """Make a measure of a subject from the files of others, and write it.

    The rows are those of the sides that name no subject; where both name one, the left side's. The other
    side's value is that of the same conversation, turn and sample; or of the same turn, where it has one
    sample of each: a base model that answered once, or a prompt.

    Args:
        name: of the measure.
        subject: a model, or ``prompts``.
        measures: the study's.
        files: of the measures that it is made from, of others too.
        out: the file to write.

    Returns:
        A row for each text: the value, or why there is none: ``left_failed``, ``left_missing`` (there is no
        such text), ``left_undefined`` (it is null), the same of the right, or ``not_a_number``.

    Raises:
        DataError: no file is of a side's measure and subject, one is damaged, or lacks the column.
    """
    measure = measures[name]
    subjects = [subject_of_side(side, measures, subject) for side in measure.sides]
    frames = [
        _read(end, side, measures, of, files)
        for end, side, of in zip(ENDS, measure.sides, subjects, strict=True)
    ]
    own = [frame for frame, of in zip(frames, subjects, strict=True) if of == subject] or frames[:1]
    rows = pl.concat([frame.select(*KEY) for frame in own]).unique().sort(*KEY)
    for frame in frames:
        once = frame["sample"].n_unique() <= 1
        on = ["conversation_id", "turn"] if once else list(KEY)
        given = frame.drop("sample") if once else frame
        rows = rows.join(given, on=on, how="left", maintain_order="left")
    left, right = (pl.col(end).cast(pl.Float64) for end in ENDS)
    (column,) = measure.columns()
    found = rows.with_columns(class_of(measure)().value(left, right).alias(column))
    failure = pl.coalesce(
        *(_why(end, side, of) for end, side, of in zip(ENDS, measure.sides, subjects, strict=True)),
        pl.when(~pl.col(column).is_finite()).then(pl.lit(f"not_a_number: {column}")),
    )
    made = found.with_columns(failure=failure).with_columns(
        pl.when(pl.col("failure").is_null()).then(pl.col(column))
    )
    schema = schema_of(measure)
    identity = {
        "stage": version("measures"),
        "settings": measure.identity,
        "sides": [_digest(files, side, of) for side, of in zip(measure.sides, subjects, strict=True)],
    }
    about = {"measure": name, "subject": subject, "digest": digest_of(identity), "identity": identity}
    frame = made.select(list(schema.columns))
    write_measure(out, frame, schema, files, about)
    return frame


def _read(
    end: str, side: Side, measures: Mapping[str, Measure], subject: str, files: Sequence[Path]
) -> pl.DataFrame:
    """The key, a side's value under the name of its end, why there is none, and that the text is there."""
    column = side.column or next(iter(measures[side.measure].columns()))
    frame = read_measure(files, side.measure, subject, [column])
    names = {column: end, "failure": f"{end}_failure"}
    return frame.rename(names).with_columns(pl.lit(True).alias(f"{end}_there"))


def _why(end: str, side: Side, subject: str) -> pl.Expr:
    """Why a side has no value; null where it has one."""
    whose = f"{side.measure} of {subject}"
    failed = pl.format(f"{end}_failed: {{}}", f"{end}_failure")
    return (
        pl.when(pl.col(f"{end}_there").is_null())
        .then(pl.lit(f"{end}_missing: {whose} has no such text"))
        .when(pl.col(f"{end}_failure").is_not_null())
        .then(failed)
        .when(pl.col(end).is_null())
        .then(pl.lit(f"{end}_undefined: {whose} has no value"))
    )


def _digest(files: Sequence[Path], side: Side, subject: str) -> str:
    """What the files of a side say that they are; they are of one making (see :func:`read_measure`)."""
    said = map(about_measure, files)
    return next(str(a["digest"]) for a in said if (a["measure"], a["subject"]) == (side.measure, subject))

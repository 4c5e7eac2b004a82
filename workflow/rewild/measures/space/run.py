"""Make a measure of a subject from its vectors: read them, measure, write the measure's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.measures import Measure
from rewild.core.measures import KEY
from rewild.generation.spec import digest_of
from rewild.measures.base import class_of
from rewild.measures.run import Say, identity_of, schema_of, write_measure
from rewild.measures.space.vectors import read_space
from rewild.measures.weights import Weights


@dataclass(frozen=True)
class InSpace:
    """What one job measures.

    Attributes:
        name: of the measure.
        measure: its row, which names the measure whose vectors it reads.
        subject: a model, or ``prompts``.
        files: tables of the embedding, the vectors beside them.
        others: further files that its kind reads: benchmarks.
        weights: the embedding's model, for kinds that make vectors of other texts.
        embedding: the row of the embedding.
    """

    name: str
    measure: Measure
    subject: str
    files: Sequence[Path]
    others: Sequence[Path] = ()
    weights: Weights | None = None
    embedding: Any = None


def measure_space(
    part: InSpace, out: Path, *, threads: int | None = None, say: Say = lambda line: None
) -> pl.DataFrame:
    """Measure all texts of a subject by their vectors, and write the result.

    Returns:
        A row for every text of the embedding; one that has no vector has a failure, ``no_vector``.

    Raises:
        DataError: a file is damaged, or not of this embedding; no text has a vector.
        EngineError: the embedding's model cannot be loaded.
    """
    assert part.measure.vectors_of is not None
    space = read_space(part.files, part.measure.vectors_of, part.subject)
    values, about = class_of(part.measure)(part, threads).measure(space, say)
    schema = schema_of(part.measure)
    failure = pl.when(pl.col("failure").is_not_null()).then(pl.format("no_vector: {}", "failure"))
    frame = space.rows.with_columns(failure.alias("failure")).join(values, on=[*KEY], how="left")
    frame = schema.check(frame.select(list(schema.columns)).sort(*KEY), out)
    identity = identity_of(part.measure, part.weights) | {"space": space.digest}
    about |= {"measure": part.name, "subject": part.subject}
    about |= {"digest": digest_of(identity), "identity": identity}
    write_measure(out, frame, schema, [*part.files, *part.others], about)
    return frame

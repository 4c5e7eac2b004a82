"""The file of a measure: what it holds, and how those that come later read it.

``results/{study}/measures/{measure}/{subject}/{part}.parquet`` has a row per conversation, turn and sample
(of a model's responses), or per conversation and turn (of prompts; the subject is ``prompts``). Whoever reads
it names the measure, and is given the files by its rule or its user; a file says itself what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.errors import DataError, known_name, nearest
from rewild.core.reading import faults, open_file
from rewild.core.table import Column, TableSchema, about_table, check_version

NAME, VERSION = "measure", 1
KEY = {
    "conversation_id": Column(pl.String, "The conversation"),
    "turn": Column(pl.Int16, "The user turn, or its answer, counted from 0"),
    "sample": Column(pl.Int16, "Which of several answers to the same turn, counted from 0"),
}
FAILURE = {
    "failure": Column(pl.String, "Why there are no values, as `reason: detail`; null where there are", True)
}
FORMS = {"number": pl.Float64, "integer": pl.Int64, "flag": pl.Boolean, "text": pl.String}


def contract(columns: Mapping[str, tuple[str, str]]) -> TableSchema:
    """The contract of a measure's file.

    Args:
        columns: name → (form, description); a form is a key of :data:`FORMS`.
    """
    values = {name: Column(FORMS[form], what, nullable=True) for name, (form, what) in columns.items()}
    return TableSchema(NAME, VERSION, {**KEY, **values, **FAILURE}, key=tuple(KEY))


def vectors_file(path: Path) -> Path:
    """Where the vectors lie that a measure makes: float32, one for each row that has no failure."""
    return path.with_suffix(".npy")


def about_measure(path: Path) -> dict[str, Any]:
    """What a file says of itself: ``measure``, ``subject``, ``digest``, ``identity``, ``rows``, ``failures``.

    Raises:
        DataError: it is no file of a measure, or of another version.
    """
    open_file(path, "a measure's table").close()
    about = about_table(path)
    settings = about.get("provenance", {}).get("settings", {}) if about else {}
    if not about or about["schema"] != NAME or not {"measure", "subject", "digest"} <= set(settings):
        held = f"it holds {about['schema']}" if about else "it says nothing of itself"
        raise DataError(f"{path}: not a measure's table ({held}); remove it and rerun")
    check_version(path, about, contract({}))
    return dict(settings)


def read_measure(
    paths: Iterable[Path], measure: str, subject: str, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """Read what a measure says of a subject.

    Args:
        paths: files of measures, of others too.
        measure: its name.
        subject: a model's slug, or ``prompts``.
        columns: of its values; None reads all.

    Returns:
        The key, the columns and ``failure``, sorted by the key.

    Raises:
        DataError: no file is of this measure and subject, one has no such column (with the nearest match), is
            damaged, or the files are not of one making.
    """
    known = {path: about_measure(path) for path in sorted(set(paths))}
    mine = {p: a for p, a in known.items() if (a["measure"], a["subject"]) == (measure, subject)}
    if not mine:
        there = sorted({f"{a['measure']} of {a['subject']}" for a in known.values()})
        wanted = f"{measure} of {subject}"
        listed = ", ".join(there) or "none"
        raise DataError(f"no file of the measure {wanted}{nearest(wanted, there)} (files given: {listed})")
    if len(digests := sorted({a["digest"] for a in mine.values()})) > 1:
        first, second = (next(p for p, a in mine.items() if a["digest"] == r) for r in digests[:2])
        raise DataError(
            f"{first} and {second}: of the measure {measure}, made with different settings; rerun"
        )
    frames = []
    for path in mine:
        with faults(path, "a measure's table"):
            held = pl.read_parquet_schema(path)
            values = [c for c in held if c not in KEY and c not in FAILURE]
            wanted_columns = values if columns is None else list(columns)
            for name in wanted_columns:
                known_name(name, values, f"{path}: no column", listed="it has", error=DataError)
            frame = pl.read_parquet(path, columns=[*KEY, *wanted_columns, *FAILURE])
        forms = {str(t()): f for f, t in FORMS.items()}
        schema = contract({n: (forms.get(str(held[n]), "text"), "") for n in wanted_columns})
        frames.append(schema.check(frame, path))
    whole = pl.concat(frames).sort(*KEY)
    if (twice := whole.select(*KEY).is_duplicated()).any():
        row = whole.filter(twice).row(0)
        raise DataError(f"{next(iter(mine))}: turn {row[1]} of {row[0]} was measured twice; prepare it again")
    return whole

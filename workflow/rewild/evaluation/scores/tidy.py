"""The scores a study computes itself: one run on one benchmark, item by item and summed up.

Every evaluator ends in a folder ``results/{study}/benchmarks/{run}/{benchmark}/`` with ``scores.csv``
(:data:`SCORES`) and ``items.parquet`` (:data:`ITEMS`), both written by :func:`write_scores`. The study's
table, ``results/{study}/scores/scores.csv``, is all of the former, one below the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.roster import Entry, Roster, most_frequent
from rewild.core.errors import DataError
from rewild.core.table import Column, TableSchema, write_table

ALL = "all"
"""The part that is the whole benchmark."""

_RUN = Column(pl.String, "The run that was evaluated (a key of the study's 'runs')")
_BENCHMARK = Column(pl.String, "The benchmark (a row of config/benchmarks.yaml)")
_METRIC = Column(
    pl.String, "The metric, named as the benchmark's runner does; benchmarks.yaml says which one counts"
)

SCORES = TableSchema(
    name="benchmark scores",
    version=1,
    columns={
        "study": Column(pl.String, "The study"),
        "run": _RUN,
        "model": Column(pl.String, "The model the run starts from (models.yaml, or the demo's)"),
        "benchmark": _BENCHMARK,
        "metric": _METRIC,
        "part": Column(pl.String, "all: the whole benchmark; else a subtask, turn or category of it"),
        "value": Column(
            pl.Float64, "The score, on the benchmark's own scale; null if not one item has a score", True
        ),
        "stderr": Column(
            pl.Float64, "Its standard error, on the same scale; null where there is no estimate", True
        ),
        "n": Column(pl.Int64, "Items that have a score"),
        "attempted": Column(pl.Int64, "Items that were asked; the others are failures, see items.parquet"),
        "empty": Column(
            pl.Int64, "Answers without any text; null where the model chooses and does not write", True
        ),
        "judge": Column(pl.String, "The judge and its version; null where none is needed", True),
        "template": Column(
            pl.String, "Judge prompts by name and hash; null where the benchmark's version fixes them", True
        ),
        "chat_template": Column(
            pl.String, "SHA-256 of the chat template the model was asked with; null without one", True
        ),
        "version": Column(
            pl.String,
            "What makes two scores comparable: version of task and scoring, hash of the questions, limit",
        ),
        "engine": Column(pl.String, "What ran the model, with its version", True),
        "seed": Column(pl.Int64, "The seed of every random choice"),
    },
    key=("run", "benchmark", "metric", "part"),
)
"""``scores.csv`` of one run and benchmark, and of a study. Rows of one benchmark can stand in one table if
they agree in ``version``, ``judge`` and ``template``; tables refuse others."""

ITEMS = TableSchema(
    name="item scores",
    version=1,
    columns={
        "run": _RUN,
        "benchmark": _BENCHMARK,
        "metric": _METRIC,
        "part": Column(pl.String, "The subtask, turn or category of the item; all where there are none"),
        "item": Column(
            pl.String,
            "The item's identifier, the same for every run, in every part its own; items that do share one "
            "(turn-1 and turn-2 of a question of MT-Bench) are drawn together when items are resampled",
        ),
        "score": Column(
            pl.Float64,
            "What the item adds, on the value's scale: a value is their mean, unless its metric is no mean",
            True,
        ),
        "failure": Column(pl.String, "Why there is no score; null where there is one", True),
    },
    key=("run", "benchmark", "metric", "part", "item"),
)
"""``items.parquet``: what paired comparisons between runs are computed from."""


def mean_score(scores: Sequence[float | None] | pl.Series, scale: float = 1.0) -> dict[str, Any]:
    """``value``, ``stderr``, ``n`` and ``attempted`` of a metric that is a mean over items.

    Args:
        scores: one per item asked; None where it failed.
        scale: multiplies value and standard error (100 for a percentage).

    Returns:
        The standard error is s / √n with n − 1 below s, as lm-eval's; None for fewer than two items.
    """
    present = [float(score) for score in scores if score is not None]
    n = len(present)
    value = sum(present) / n if n else None
    stderr = None
    if value is not None and n > 1:
        stderr = sqrt(sum((score - value) ** 2 for score in present) / (n - 1) / n)
    return {
        "value": None if value is None else scale * value,
        "stderr": None if stderr is None else scale * stderr,
        "n": n,
        "attempted": len(scores),
    }


def scores_frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows of :data:`SCORES`; a nullable column that a row lacks is null.

    Raises:
        DataError: a row has a key that is no column, or lacks one that must not be null.
    """
    return _frame(rows, SCORES)


def items_frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows of :data:`ITEMS`; a nullable column that a row lacks is null."""
    return _frame(rows, ITEMS)


def write_scores(folder: Path, scores: pl.DataFrame, items: pl.DataFrame, made_from: dict[str, Any]) -> None:
    """Check the scores of one run and benchmark against their items, and write both files.

    Args:
        folder: ``results/{study}/benchmarks/{run}/{benchmark}``.
        scores: :data:`SCORES`.
        items: :data:`ITEMS`. A score of the part ``all`` is over every item of its metric, any other over the
            items of its part; a metric without items is not checked.
        made_from: the result of :func:`rewild.core.table.provenance`.

    Raises:
        DataError: a violated schema, a number that is not finite, or counts that are not those of the items.
            Nothing is written then.
    """
    where = folder / "scores.csv"
    scores, items = SCORES.check(scores, where), ITEMS.check(items, folder / "items.parquet")
    _check_scores(scores, where)
    for i, item in enumerate(items.iter_rows(named=True), 1):
        if (item["score"] is None) == (item["failure"] is None):
            raise DataError(f"{folder / 'items.parquet'}, row {i}: an item has either a score or a failure")
        if item["score"] is not None and not isfinite(item["score"]):
            raise DataError(f"{folder / 'items.parquet'}, row {i}, column 'score': not a finite number")
    for i, row in enumerate(scores.iter_rows(named=True), 1):
        mine = items.filter(
            *(pl.col(key) == row[key] for key in ("run", "benchmark", "metric")),
            (pl.col("part") == row["part"]) | (row["part"] == ALL),
        )
        if mine.is_empty():
            continue
        counts = {"n": mine["score"].count(), "attempted": mine.height}
        for key, count in counts.items():
            if row[key] != count:
                raise DataError(f"{where}, row {i}: {key} is {row[key]}, but its items are {count}")
    write_table(folder / "items.parquet", items, ITEMS, made_from)
    write_table(where, scores, SCORES, made_from)


def _check_scores(scores: pl.DataFrame, where: Path) -> None:
    """Finite numbers, counts that can be, and a value exactly where something was scored."""
    for i, row in enumerate(scores.iter_rows(named=True), 1):
        at = f"{where}, row {i} ({row['run']}, {row['benchmark']}, {row['metric']}, {row['part']})"
        for column in ("value", "stderr"):
            if row[column] is not None and not isfinite(row[column]):
                raise DataError(f"{at}, column '{column}': {row[column]} is not a finite number")
        if not 0 <= row["n"] <= row["attempted"]:
            raise DataError(f"{at}: {row['n']} scored of {row['attempted']} attempted cannot be")
        if (row["n"] == 0) != (row["value"] is None):
            raise DataError(f"{at}: a value is given exactly where n is above 0 (n is {row['n']})")
        if row["stderr"] is not None and row["stderr"] < 0:
            raise DataError(f"{at}: a standard error is not negative")


def _frame(rows: Sequence[Mapping[str, Any]], schema: TableSchema) -> pl.DataFrame:
    for i, row in enumerate(rows, 1):
        lacks = [c for c, column in schema.columns.items() if not column.nullable and row.get(c) is None]
        if wrong := [key for key in row if key not in schema.columns] + lacks:
            raise DataError(f"{schema.name}, row {i}: the key '{wrong[0]}' is unknown or missing")
    return pl.DataFrame(
        [{column: row.get(column) for column in schema.columns} for row in rows],
        schema=schema.dtypes,
        orient="row",
        infer_schema_length=None,
    )


ROSTER = TableSchema(
    name="runs of a study",
    version=1,
    columns={
        "run": Column(pl.String, "Its key in the study's 'runs'"),
        "label": Column(pl.String, "Its name in tables, as the paper writes it: L8B : Q72 (500k)"),
        "kind": Column(
            pl.String,
            "none: a model as it is; dgm: fine-tuned on one model's responses; blend: on several models'; "
            "mixture: also on other data; other: neither (preference pairs, a fine-tune tuned again)",
        ),
        "model": Column(pl.String, "The model it starts from, a slug"),
        "base": Column(pl.String, "The same as tables name it"),
        "dgms": Column(pl.String, "The models whose responses it learned from, slugs joined by +", True),
        "dgm": Column(pl.String, "The same as tables name them, joined by ' + '", True),
        "size": Column(pl.Int64, "Conversations it was fine-tuned on; null where a mix takes all", True),
        "recipe": Column(pl.String, "How it was fine-tuned: a row of recipes.yaml", True),
        "truncated": Column(pl.Boolean, "Whether responses were cut to another model's length"),
        "related": Column(
            pl.Boolean, "Whether all models it learned from are of the base model's family", True
        ),
        "billions": Column(
            pl.Float64, "Parameters of the one model it learned from, or that it is; billions", True
        ),
        "roots": Column(
            pl.String, "The pretrained model that the run's model goes back to, a slug; null if unknown", True
        ),
        "baseline": Column(pl.Boolean, "Whether its model has the role baseline"),
    },
    key=("run",),
)
"""``results/{study}/scores/runs.csv``, in the order of the study's ``runs``."""


def roster_frame(roster: Roster) -> pl.DataFrame:
    """``ROSTER``."""
    rows = [
        {f.name: getattr(entry, f.name) for f in fields(Entry)} | {"dgms": "+".join(entry.dgms) or None}
        for entry in roster.entries
    ]
    return pl.DataFrame(rows, schema=ROSTER.dtypes, orient="row", infer_schema_length=None)


def read_roster(frame: pl.DataFrame, base: str | None = None, size: int | None = None) -> Roster:
    """The roster of a ``ROSTER`` table; ``base`` and ``size`` as the study's findings name them."""
    entries = []
    for row in frame.iter_rows(named=True):
        entries.append(Entry(**row | {"dgms": tuple((row["dgms"] or "").split("+")) if row["dgms"] else ()}))
    tuned = [e for e in entries if e.kind in ("dgm", "blend")]
    base = base or most_frequent(e.model for e in tuned)
    size = size or most_frequent(e.size for e in tuned if e.size)
    return Roster(tuple(entries), base, size, most_frequent(e.recipe for e in tuned))

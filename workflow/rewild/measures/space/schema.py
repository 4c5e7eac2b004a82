"""The tables of coverage."""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

COORDINATES = TableSchema(
    "coverage-coordinates",
    1,
    {
        "set": Column(pl.String, "The set"),
        "text": Column(pl.String, "A conversation's id, or FILE:ROW"),
        "x": Column(pl.Float64, "Across; without a unit"),
        "y": Column(pl.Float64, "Up; without a unit"),
    },
    key=("set", "text"),
)
SETS = TableSchema(
    "coverage-sets",
    1,
    {
        "set": Column(pl.String, "The set"),
        "texts": Column(pl.Int64, "First turns there are"),
        "unreadable": Column(pl.Int64, "Rows of its files that are no conversation"),
        "drawn": Column(pl.Int64, "Of the texts, by the seed"),
        "embedded": Column(pl.Int64, "Of the drawn, those that have a vector: they are projected"),
        "failures": Column(pl.String, "Why the others have none, with how many", True),
        "mean_cosine": Column(
            pl.Float64, "Topic diversity: mean cosine of all pairs of the embedded; less is more varied", True
        ),
    },
    key=("set",),
)

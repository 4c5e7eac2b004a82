"""The files of the win-rate analysis."""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

WIN_RATES = TableSchema(
    name="win rates",
    version=1,
    columns={
        "model": Column(pl.String, "The model, as the leaderboard names it"),
        "metric": Column(pl.String, "What was computed; see win_rates.md beside this file"),
        "value": Column(pl.Float64, "Percent; avg_length: characters"),
        "standard_error": Column(pl.Float64, "Of the value over instructions, percent", True),
        "n": Column(pl.Int64, "Instructions with a preference"),
        "n_wins": Column(pl.Int64, "Instructions on which the model is preferred to the baseline", True),
        "n_draws": Column(pl.Int64, "Instructions without a preference for either", True),
        "published": Column(pl.Float64, "The leaderboard's value of the same quantity", True),
        "difference": Column(pl.Float64, "value minus published", True),
        "matches_all_digits": Column(
            pl.Boolean,
            "Whether value, and where published the standard error and counts, equal the leaderboard's in "
            "every digit that a double-precision sum determines",
            True,
        ),
    },
    key=("model", "metric"),
)

AGREEMENT = TableSchema(
    name="agreement with the leaderboard",
    version=1,
    columns={
        "metric": Column(pl.String, "As in win_rates.csv"),
        "models": Column(pl.Int64, "Models that have both values"),
        "mean_abs_difference": Column(pl.Float64, "Mean absolute difference, in points"),
        "max_abs_difference": Column(pl.Float64, "Greatest absolute difference, in points"),
        "farthest": Column(pl.String, "The model of the greatest difference"),
        "all_digits": Column(pl.Int64, "Models that match in all digits"),
    },
    key=("metric",),
)

DIFFICULTIES = TableSchema(
    name="instruction difficulties",
    version=1,
    columns={
        "position": Column(pl.Int64, "Place of the instruction among the annotations, from 0"),
        "instruction_sha256": Column(pl.String, "SHA-256 of the instruction's text (UTF-8)"),
        "difficulty": Column(pl.Float64, "Its difficulty, on the scale of the published coefficients"),
    },
    key=("position",),
)

LIBRARY = TableSchema(
    name="win rates of the library",
    version=1,
    columns={
        "model": WIN_RATES.columns["model"],
        "metric": Column(pl.String, "The library's model: length_controlled_v1, or what can be run offline"),
        "value": Column(pl.Float64, "Percent, by the alpaca_eval library"),
        "standard_error": Column(pl.Float64, "By the library, percent"),
        "offline": Column(pl.Float64, "The nearest metric of win_rates.csv", True),
        "difference": Column(pl.Float64, "offline minus value, in points", True),
    },
    key=("model", "metric"),
)

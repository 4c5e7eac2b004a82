"""The numbers that figures show; each figure is written with them beside it."""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

RADAR = TableSchema(
    name="radar points",
    version=1,
    columns={
        "run": Column(pl.String, "Model, as the paper names it"),
        "benchmark": Column(pl.String, "Benchmark"),
        "value": Column(pl.Float64, "Score on the scale 0–1 (MT-Bench divided by 10, AlpacaEval by 100)"),
        "score": Column(pl.Float64, "Score on the benchmark's own scale"),
    },
    key=("run", "benchmark"),
)
"""Figure 1, ``figure1.csv``."""

SCALING = TableSchema(
    name="scaling points",
    version=1,
    columns={
        "dgm": Column(pl.String, "Data-generating model, abbreviated as in the paper"),
        "size": Column(pl.Int64, "Conversations fine-tuned on"),
        "variant": Column(pl.String, "Which average: a name of rewild.evaluation.scores.average.VARIANTS"),
        "value": Column(pl.Float64, "Average score, 0–1; null where the scores are not published", True),
        "bound": Column(
            pl.Float64, "How far the average can be off because its scores were rounded in print", True
        ),
        "source": Column(pl.String, "Where the scores are from", True),
    },
    key=("dgm", "size", "variant"),
)
"""Figure 2, ``figure2.csv``."""

OWN_SCALING = TableSchema(
    name="scaling points of a study",
    version=1,
    columns={
        "dgm": SCALING.columns["dgm"],
        "run": Column(pl.String, "The run (a key of the study's 'runs')"),
        "size": SCALING.columns["size"],
        "variant": Column(
            pl.String, "Which average: a name of rewild.evaluation.scores.average.VARIANTS, or avg_study"
        ),
        "value": Column(pl.Float64, "Average score, 0–1; null where a score is missing", True),
        "ci": Column(pl.Float64, "Half-width of its 95 % interval; null where a score has no error", True),
    },
    key=("dgm", "size", "variant"),
)
"""Figure 2 of a study's own runs, ``figure2.csv``."""

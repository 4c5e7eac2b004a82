"""The files: what is known before any training, and what the scores say of it.

============================================ ==========================================================
``results/{study}/teachers/values.csv``       :data:`VALUES`, a row per base, teacher and predictor
``results/{study}/teachers/ranking.csv``      :data:`RANKING`, a row per base and teacher
``results/{study}/teachers/performance.csv``  :data:`PERFORMANCE`, a row per base, teacher and benchmark
``results/{study}/teachers/correlation.csv``  :data:`CORRELATION`, a row per base, predictor, family left out
``results/{study}/teachers/beta.csv``         :data:`BETA`, a row per base and β
``results/{study}/teachers/findings.csv``     :data:`FINDINGS`, a row per statement
``results/{study}/teachers/views/*.csv``      :data:`POINTS`, a row per bar of a figure or cell of a table
============================================ ==========================================================
"""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

_BASE = Column(pl.String, "The base model, a slug")
_TEACHER = Column(pl.String, "The model whose answers it learns from, a slug")
_PREDICTOR = Column(
    pl.String, "What is known before: a predictor of the study, car, car-READING, other-bases"
)
MEAN = "mean"
"""In the place of a base: the mean over the bases; of a benchmark: the mean over the benchmarks."""

VALUES = TableSchema(
    "teacher-values",
    1,
    {
        "base": _BASE,
        "teacher": _TEACHER,
        "predictor": _PREDICTOR,
        "value": Column(pl.Float64, "Mean over the responses, on the measure's scale", True),
        "less": Column(pl.Boolean, "Whether less is better"),
        "responses": Column(pl.Int64, "Responses that the value is the mean of"),
        "failed": Column(pl.Int64, "Responses without it"),
        "why": Column(pl.String, "Why these have none: reason and number; null where none failed", True),
    },
    key=("base", "teacher", "predictor"),
)
RANKING = TableSchema(
    "teacher-ranking",
    1,
    {
        "base": _BASE,
        "teacher": _TEACHER,
        "by": Column(pl.String, "The predictor that ranks: car, or the study's first"),
        "reward": Column(
            pl.Float64, "Mean reward, of the responses that have a loss too; null without CAR", True
        ),
        "loss": Column(
            pl.Float64, "Loss under the base model in nats, as CAR reads it; null without CAR", True
        ),
        "value": Column(pl.Float64, "Of the predictor that ranks: CAR", True),
        "rank": Column(pl.Float64, "Predicted; 1 is the best, equal ones share the mean of theirs", True),
        "rank_low": Column(pl.Float64, "Lower end of its 95 % interval: resampled conversations", True),
        "rank_high": Column(pl.Float64, "Upper end of it", True),
        "first": Column(pl.Float64, "Share of the resamples in which it is first; equal ones share it", True),
        "responses": Column(pl.Int64, "Responses it rests on"),
        "failed": Column(pl.Int64, "Responses without what it rests on"),
        "left_out": Column(pl.Int64, "Its answers on turns that not all teachers were asked: not looked at"),
        "undefined": Column(
            pl.Float64, "Share of the resamples that have no ranking: not in the interval", True
        ),
        "licence": Column(pl.String, "Of the teacher, as models.yaml has it", True),
        "family": Column(pl.String, "Of the teacher; its slug where none is known"),
        "billions": Column(pl.Float64, "Parameters of the teacher", True),
        "gpu_hours": Column(pl.Float64, "To generate 100,000 answers", True),
        "dollars": Column(pl.Float64, "The same in US dollars", True),
        "basis": Column(pl.String, "Where that is from: measured, predicted; or why it is not known"),
        "why": Column(pl.String, "Why it has no rank, or why responses are left out", True),
    },
    key=("base", "teacher"),
)
PERFORMANCE = TableSchema(
    "teacher-performance",
    1,
    {
        "base": _BASE,
        "teacher": Column(pl.String, "The teacher, or a variant of the study"),
        "variant": Column(pl.Boolean, "Whether it is a variant"),
        "run": Column(pl.String, "The fine-tune"),
        "benchmark": Column(pl.String, "A benchmark; mean: of all, the paper's AP"),
        "value": Column(pl.Float64, "Score in percent; null where there is none", True),
        "stderr": Column(pl.Float64, "Standard error; of the mean, as of independent benchmarks", True),
        "why": Column(pl.String, "Why there is no score", True),
    },
    key=("base", "teacher", "variant", "benchmark"),
)
CORRELATION = TableSchema(
    "teacher-correlation",
    1,
    {
        "base": Column(pl.String, "The base model; mean: of ρ over the bases that have one"),
        "predictor": _PREDICTOR,
        "without": Column(pl.String, "The family of teachers that is left out; null: none", True),
        "teachers": Column(pl.Int64, "Teachers that have both the value and a score"),
        "rho": Column(pl.Float64, "Spearman's ρ by average ranks; null where there is none", True),
        "printed": Column(pl.Float64, "1 - 6 Σd² / (n (n² - 1)), which differs where there are ties", True),
        "low": Column(pl.Float64, "Lower end of the 95 % interval: resampled teachers", True),
        "high": Column(pl.Float64, "Upper end of it", True),
        "undefined": Column(pl.Float64, "Share of the resamples that have no ρ: not in the interval", True),
        "p": Column(pl.Float64, "Of a ρ as far from 0 by chance (permutations, two-sided)", True),
        "ties": Column(pl.Boolean, "Whether some teachers have the same value or the same score"),
        "regret": Column(pl.Float64, "Score of the best teacher less that of the one put first", True),
        "chosen": Column(pl.String, "The teachers put first, joined by +", True),
        "best": Column(pl.String, "The teacher with the highest score", True),
        "why": Column(pl.String, "Why there is no ρ", True),
    },
    key=("base", "predictor", "without"),
)
BETA = TableSchema(
    "teacher-beta",
    1,
    {
        "base": _BASE,
        "beta": Column(pl.Float64, "Weight of the loss; at 0, CAR is the reward"),
        "rho": Column(pl.Float64, "Spearman's ρ of CAR with the score", True),
        "low": Column(pl.Float64, "Lower end of its 95 % interval: resampled teachers", True),
        "high": Column(pl.Float64, "Upper end of it", True),
        "regret": Column(pl.Float64, "Score of the best teacher less that of the one put first", True),
    },
    key=("base", "beta"),
)
FINDINGS = TableSchema(
    "teacher-findings",
    1,
    {
        "finding": Column(pl.String, "paradox, family, agreement, sampling, rejection, baseline, choice"),
        "base": Column(pl.String, "The base model; null: all", True),
        "family": Column(pl.String, "The family of teachers; null: all", True),
        "statement": Column(pl.String, "What the numbers say, in a sentence; null where they cannot", True),
        "missing": Column(pl.String, "What it would need to say it", True),
        "value": Column(pl.Float64, "The number it rests on", True),
        "low": Column(pl.Float64, "Lower end of its 95 % interval", True),
        "high": Column(pl.Float64, "Upper end of it", True),
        "p": Column(pl.Float64, "Of the test that the statement names", True),
        "n": Column(pl.Int64, "What was counted: pairs, teachers, fine-tunes", True),
    },
)
POINTS = TableSchema(
    "teacher-view",
    1,
    {
        "panel": Column(pl.String, "A panel of the figure, or a part of the table's rows"),
        "row": Column(pl.String, "A bar, or a row"),
        "column": Column(pl.String, "What is shown of it"),
        "value": Column(pl.Float64, "The number; null where there is none", True),
        "low": Column(pl.Float64, "Lower end of its 95 % interval", True),
        "high": Column(pl.Float64, "Upper end of it", True),
        "text": Column(pl.String, "What stands there in place of a number", True),
        "group": Column(pl.String, "The teacher's family, for its colour", True),
    },
    key=("panel", "row", "column"),
)

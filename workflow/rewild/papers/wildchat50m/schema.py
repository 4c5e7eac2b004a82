"""The files of the released scores, and of the points of figures 1 and 2."""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

BENCHMARK_OF = {
    "MTBench": "mt-bench",
    "AlpacaEval": "alpaca-eval",
    "BBH": "bbh",
    "GPQA": "gpqa",
    "MATH": "math",
    "MUSR": "musr",
    "IFEval": "ifeval",
    "MMLU Pro": "mmlu-pro",
    "MixEval": "mixeval",
}
"""Column of the paper's tables → benchmark."""

_SHEET = Column(pl.String, "Sheet of the workbook")
_SHEET_ROW = Column(pl.Int64, "Row in that sheet, as a spreadsheet program counts")
_RUN = Column(
    pl.String, "Run label by the paper's conventions (L8B : Q72 (500k)); null where it has none", True
)

RUNS = TableSchema(
    name="run labels",
    version=1,
    columns={
        "sheet": Column(pl.String, "Sheet in which the name is used; * for every sheet"),
        "model": Column(pl.String, "Name in the workbook"),
        "base": Column(
            pl.String, "Base model, abbreviated as in the paper where it has an abbreviation", True
        ),
        "dgm": Column(
            pl.String, "Data-generating model or blend; null where there is none or it is not named", True
        ),
        "size": Column(pl.Int64, "Conversations it was fine-tuned on", True),
        "run": _RUN,
    },
    key=("sheet", "model"),
)
"""``data/runs.csv``: what the workbook's names stand for."""

SCORES = TableSchema(
    name="scores",
    version=1,
    columns={
        "sheet": _SHEET,
        "sheet_row": _SHEET_ROW,
        "model": Column(pl.String, "Name in the workbook"),
        "base": RUNS.columns["base"],
        "dgm": RUNS.columns["dgm"],
        "size": RUNS.columns["size"],
        "run": _RUN,
        "benchmark": Column(
            pl.String, "Benchmark, or sheet-average for the sheet's own average (over whichever columns)"
        ),
        "value": Column(
            pl.Float64, "Score: MT-Bench 0–10, AlpacaEval 0–100, all others 0–1; null where missing", True
        ),
        "printed": Column(pl.String, "The cell's number as stored", True),
        "rescaled_by": Column(pl.Float64, "value / printed, where the sheet uses another scale", True),
        "missing": Column(
            pl.String, "Why there is no value: blank, TBD, formula without a stored result", True
        ),
        "formula": Column(pl.String, "The cell's formula, if it is one", True),
        "origin": Column(pl.String, "The sheet's own remark on where the row comes from", True),
    },
    key=("sheet", "sheet_row", "benchmark"),
)
"""``results/{study}/scores/scores.csv``: every cell of every sheet that holds benchmark scores."""

SHEETS = TableSchema(
    name="other sheets",
    version=1,
    columns={
        "sheet": _SHEET,
        "cell": Column(pl.String, "Address, such as B4"),
        "row": Column(pl.String, "Text of the row's first cell"),
        "column": Column(pl.String, "Heading; 'column L' where the sheet has none"),
        "value": Column(pl.Float64, "The number; null if the cell holds text", True),
        "text": Column(pl.String, "The text; null if the cell holds a number", True),
        "formula": Column(pl.String, "The cell's formula, if it is one", True),
    },
    key=("sheet", "cell"),
)
"""``results/{study}/scores/sheets.csv``: the workbook's other sheets, cell by cell."""

STATED_AVERAGES = TableSchema(
    name="averages stated in the text",
    version=1,
    columns={
        "run": Column(pl.String, "Which model, in the text's terms"),
        "value": Column(pl.Float64, "The average, 0–1"),
        "digits": Column(pl.Int64, "Decimals given"),
        "printed": Column(pl.String, "What the text prints"),
        "place": Column(pl.String, "Where"),
        "note": Column(pl.String, "What it is the average of", True),
    },
    key=("run",),
)
"""``data/averages.csv``."""

AVERAGES = TableSchema(
    name="averages",
    version=1,
    columns={
        "place": Column(
            pl.String, "Where the published average stands: a table, the text, or a released sheet"
        ),
        "sheet": _SHEET,
        "sheet_row": _SHEET_ROW,
        "model": Column(pl.String, "Name in the workbook"),
        "run": _RUN,
        "variant": Column(pl.String, "Which average: a name of rewild.evaluation.scores.average.VARIANTS"),
        "value": Column(
            pl.Float64, "The average of that row's scores, 0–1; null if a score is missing", True
        ),
        "published": Column(pl.String, "The average as published"),
        "matches": Column(
            pl.Boolean, "Whether the value rounds to the published one; null without a value", True
        ),
    },
    key=("place", "sheet", "sheet_row", "variant"),
)
"""``results/{study}/scores/averages.csv``: every published average beside every variant of it."""

SUBSETS = TableSchema(
    name="benchmark subsets",
    version=1,
    columns={
        "place": AVERAGES.columns["place"],
        "averages": Column(pl.Int64, "Averages published there"),
        "matched": Column(pl.Int64, "How many of them the mean over these benchmarks gives to all digits"),
        "size": Column(pl.Int64, "Benchmarks in the subset"),
        "benchmarks": Column(pl.String, "The benchmarks, joined by +"),
        "variant": Column(pl.String, "The subset's name, if it has one", True),
    },
    key=("place", "benchmarks"),
)
"""``results/{study}/scores/subsets.csv``: of all subsets of benchmarks, those whose means give the most of a
place's averages."""


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

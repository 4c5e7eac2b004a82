"""A measure in a table: what each subject's values are like, with intervals over conversations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rewild.core.errors import DataError
from rewild.core.measures import FAILURE, KEY, about_measure, read_measure
from rewild.core.table import Column, TableSchema
from rewild.measures.diversity.schema import QUANTILES
from rewild.measures.similarity.summary import MOST_RESAMPLED, Options, interval

Values = NDArray[np.float64]

LABELS = 50
"""Different texts of a column that have a row each; all others have one together."""
OTHERS = "(others)"

SUMMARY = TableSchema(
    "measure-summary",
    1,
    {
        "measure": Column(pl.String, "The measure"),
        "subject": Column(pl.String, "The model that answered, or `prompts`"),
        "column": Column(pl.String, "A column of the measure; failure: why texts have no values"),
        "label": Column(pl.String, "One value of a text column, or one reason; null: of all values", True),
        "n": Column(pl.Int64, "Texts that have a value (of a label: this one)"),
        "value": Column(pl.Float64, "Mean of numbers; share of true, of a label, of failures; 0–1", True),
        "ci_low": Column(pl.Float64, "Lower end of its 95 % interval", True),
        "ci_high": Column(pl.Float64, "Upper end of it", True),
        **{
            name: Column(pl.Float64, f"{q:.0%} of the numbers do not exceed it", True)
            for name, q in QUANTILES.items()
        },
        "interval": Column(
            pl.String,
            "bootstrap (percentiles of resampled conversations) or normal (1.96 standard errors of a ratio "
            "of sums over conversations): turns of one conversation are not independent",
        ),
    },
)


def summarise(files: Sequence[Path], *, seed: int = 50, resamples: int = 1000) -> pl.DataFrame:
    """Rows of :data:`SUMMARY` for every measure and subject of some files.

    Args:
        files: of measures.
        seed, resamples: of the bootstrap.

    Raises:
        DataError: a file is no measure's, or is damaged.
    """
    options = Options(seed=seed, resamples=resamples)
    wanted = sorted({(a["measure"], a["subject"]) for a in map(about_measure, files)})
    if not wanted:
        raise DataError("no files of a measure were given")
    rows = [
        {"measure": measure, "subject": subject} | row
        for measure, subject in wanted
        for row in _rows(read_measure(files, measure, subject), options)
    ]
    return SUMMARY.check(
        pl.DataFrame(rows, schema=SUMMARY.dtypes).with_columns(pl.selectors.float().round(8)), "summary"
    )


def over_conversations(
    conversations: pl.Series, values: Values, options: Options
) -> tuple[Values, Values, Values, str]:
    """Means of columns, and their 95 % intervals over conversations.

    Args:
        conversations: of each text, its conversation; those of one stand together.
        values: texts × columns; NaN where there is none.
        options: of the bootstrap.

    Returns:
        Means, lower ends, upper ends, and which kind of interval it is.
    """
    clusters = conversations.rle_id().to_numpy().astype(np.int64)
    return *interval(values, clusters, options), _way(conversations)


def _way(conversations: pl.Series) -> str:
    return "bootstrap" if conversations.n_unique() <= MOST_RESAMPLED else "normal"


def _rows(frame: pl.DataFrame, options: Options) -> Iterator[dict[str, object]]:
    """Of one subject, column by column."""
    way = _way(frame["conversation_id"])

    def row(column: str, label: str | None, n: int, values: pl.Series, numbers: bool) -> dict[str, object]:
        given = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        found: dict[str, object] = {"column": column, "label": label, "n": n, "interval": way}
        known = given[~np.isnan(given)]
        if not len(known):
            return found
        *ends, _ = over_conversations(frame["conversation_id"], given[:, None], options)
        named = zip(("value", "ci_low", "ci_high"), (float(end[0]) for end in ends), strict=True)
        found |= {name: None if np.isnan(x) else x for name, x in named}
        if numbers:
            found |= {name: float(np.quantile(known, q)) for name, q in QUANTILES.items()}
        return found

    for column in [c for c in frame.columns if c not in KEY]:
        values = frame[column]
        if values.dtype != pl.String:
            yield row(column, None, len(values) - values.null_count(), values, values.dtype != pl.Boolean)
            continue
        if column in FAILURE:
            values = values.str.split(":").list.first()
        counts = values.drop_nulls().value_counts().sort(pl.col("count"), column, descending=[True, False])
        labels = counts[column].to_list()

        def shared(label: str, share: pl.Series, column: str = column) -> dict[str, object]:
            """Of the texts that have a value; of failures, of all texts."""
            share = share.fill_null(False) if column in FAILURE else share
            return row(column, label, int(share.sum()), share, False)

        for label in labels[:LABELS]:
            yield shared(label, values == label)
        if len(labels) > LABELS:
            yield shared(OTHERS, values.is_in(labels[LABELS:]))

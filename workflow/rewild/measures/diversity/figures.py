"""The figure of response lengths."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from rewild.measures.diversity.schema import QUANTILES
from rewild.measures.similarity.figures import quantile_bars


def lengths(diversity: pl.DataFrame, names: Mapping[str, str]) -> Figure:
    """How long each model's responses are, in words; models without responses are left out."""
    of = {f"words_{name}": name for name in QUANTILES}
    wide = (
        diversity.filter(pl.col("measure").is_in(list(of)), pl.col("value").is_not_null())
        .with_columns(pl.col("measure").replace_strict(of))
        .pivot(on="measure", index="model", values="value", on_columns=list(QUANTILES))
        .sort("median", "model")
    )
    return quantile_bars(wide, "Words per response", names)

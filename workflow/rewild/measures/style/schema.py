"""The files of the style analysis."""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

_MODEL = Column(pl.String, "The model, as Table 3 names it or by its slug")
_FEATURE = Column(pl.String, "An element (strong … p), len, responses, characters or words")

PER_1000_WORDS = "per_1000_words"

COUNTS = TableSchema(
    name="style counts",
    version=1,
    columns={
        "model": _MODEL,
        "scope": Column(pl.String, "page: the whole released HTML file; answer: the model's answer only"),
        "feature": _FEATURE,
        "value": Column(
            pl.Int64,
            "Elements, characters or words in all responses; len: mean characters of HTML per response",
        ),
    },
    key=("model", "scope", "feature"),
)

RATES = TableSchema(
    name="style rates",
    version=1,
    columns={
        "model": _MODEL,
        "scope": COUNTS.columns["scope"],
        "feature": _FEATURE,
        "per_1000_words": Column(pl.Float64, "Elements per 1,000 words of visible text", True),
        "per_response": Column(pl.Float64, "Elements per response"),
    },
    key=("model", "scope", "feature"),
)

SHARES = TableSchema(
    name="style shares",
    version=1,
    columns={
        "model": _MODEL,
        "feature": _FEATURE,
        "page": Column(pl.Int64, "Count over the whole pages"),
        "question": Column(pl.Int64, "Of these, in the user's question"),
        "answer": Column(pl.Int64, "Of these, in the model's answer"),
        "judgment": Column(pl.Int64, "Of these, in the judge's judgment"),
        "score": Column(pl.Int64, "Of these, in the line with the score"),
        "template": Column(
            pl.Int64, "Of these, in the page around the sections (its style sheet and markup)"
        ),
        "not_the_model": Column(pl.Float64, "Share of the page's count outside the answer, 0–1", True),
    },
    key=("model", "feature"),
)

PROPORTIONAL = TableSchema(
    name="proportional frequencies",
    version=1,
    columns={
        "source": Column(
            pl.String,
            "published: Table 3's counts; else the scope of computed counts; per_1000_words: counts of "
            "answers per 1,000 words of visible text",
        ),
        "a": Column(pl.String, "Model A"),
        "b": Column(pl.String, "Model B"),
        "feature": Column(
            pl.String,
            "An element or len; mean: over the features where it is defined; mean_paper: with 0 / 0 taken "
            "as 1, as Table 3 does",
        ),
        "count_a": Column(pl.Float64, "A's count", True),
        "count_b": Column(pl.Float64, "B's count", True),
        "value": Column(pl.Float64, "A's count divided by B's; null where B's is 0", True),
        "undefined": Column(pl.Int64, "Features left undefined (0 or 1; in means, how many)"),
        "published": Column(pl.Float64, "What Table 3 prints for this pair", True),
    },
    key=("source", "a", "b", "feature"),
)

"""The measures, each defined in one line with its source, and the files that hold them.

====================================================== =====================================================
``results/{study}/diversity/{group}/diversity.csv``           :data:`DIVERSITY`, a row per measure and model
``results/{study}/diversity/{group}/definitions.csv``           :data:`DEFINITIONS`, a row per measure
``results/{study}/diversity/{group}/lengths.svg`` (pdf, png)    how long each model's responses are
====================================================== =====================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rewild.core.table import Column, TableSchema

DIVERSITY = TableSchema(
    "diversity",
    1,
    {
        "measure": Column(pl.String, "Measure; definitions.csv says what it is"),
        "model": Column(pl.String, "The model"),
        "n": Column(pl.Int64, "Responses (or samples of text, or rows) it is computed from"),
        "value": Column(pl.Float64, "The value; null where nothing is known", True),
        "ci_low": Column(pl.Float64, "Lower end of its 95 % interval, where it is a mean", True),
        "ci_high": Column(pl.Float64, "Upper end of it", True),
    },
    key=("measure", "model"),
)

DEFINITIONS = TableSchema(
    "diversity definitions",
    1,
    {
        "measure": Column(pl.String, "Measure"),
        "unit": Column(pl.String, "Unit"),
        "definition": Column(pl.String, "What it is, in one line"),
        "source": Column(pl.String, "Who defined it"),
    },
    key=("measure",),
)


@dataclass(frozen=True)
class Measure:
    """One measure's unit, definition and source."""

    unit: str
    definition: str
    source: str


_OURS = "rewild"
_DISTINCT = (
    "Li et al. (2016), arXiv:1510.03055, section 5; in samples of equal size, since it falls with length"
)
QUANTILES = {"p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


def measures(window: int) -> dict[str, Measure]:
    """All measures, in the order of the tables. ``window``: tokens of a sample for distinct-n."""
    found = {
        f"distinct{n}": Measure(
            "share",
            f"Distinct {n}-grams of words (any script, lower case) over all, mean over samples of {window} "
            f"consecutive words of the model's responses",
            _DISTINCT,
        )
        for n in (1, 2, 3)
    }
    found["compression_ratio"] = Measure(
        "ratio",
        "Bytes of text over bytes after DEFLATE (level 9), mean over consecutive 64 KiB of the model's "
        "responses; more is more redundant",
        "Shaib et al. (2024), arXiv:2403.00553; in samples of equal size",
    )
    found["repetition"] = Measure(
        "share", "Share of a response's 4-grams of words that stood earlier in it, mean over responses", _OURS
    )
    for unit, what in (("words", "words of any script"), ("characters", "Unicode characters")):
        found[f"{unit}_mean"] = Measure(unit, f"Mean length of a response in {what}", _OURS)
        for name, q in QUANTILES.items():
            found[f"{unit}_{name}"] = Measure(
                unit, f"Length in {what} that {q:.0%} of the responses do not exceed", _OURS
            )
    found["tokens_mean"] = Measure(
        "tokens", "Mean of the engine's output tokens; null where none are recorded", _OURS
    )
    found["failure_rate"] = Measure("share", "Rows without a response over all rows", _OURS)
    found["refusal_zou2023"] = Measure(
        "share",
        "Responses that begin with one of the ten prefixes of the llm-attacks demonstration (English; the "
        "original looks for them anywhere)",
        "Zou et al. (2023), arXiv:2307.15043, github.com/llm-attacks/llm-attacks, demo.ipynb",
    )
    found["refusal_explicit"] = Measure(
        "share",
        "Responses whose first 200 characters say that the writer cannot or will not help, provide, create "
        "or the like (English; rewild.measures.diversity.refusals)",
        _OURS,
    )
    found["truncation_rate"] = Measure(
        "share", "Responses that ended at the output limit, of those whose end is recorded", _OURS
    )
    found["language_agreement"] = Measure(
        "share",
        "Responses in the prompt's language, where both are known (py3langid; close languages agree)",
        "langid.py: Lui and Baldwin (2012)",
    )
    return found

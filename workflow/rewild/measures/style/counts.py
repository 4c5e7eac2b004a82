"""From judged pages to counts, rates and shares."""

from __future__ import annotations

from functools import reduce
from operator import add

import polars as pl

from rewild.measures.style.markup import NOTHING, TAGS, Styling
from rewild.measures.style.pages import SECTIONS, Page
from rewild.measures.style.schema import RATES, SHARES


def page_scopes(pages: list[Page]) -> dict[str, Styling]:
    """Styling of whole pages and of answers alone, summed over pages."""
    return {
        "page": reduce(add, (page.whole for page in pages), NOTHING),
        "answer": reduce(add, (page.parts["answer"] for page in pages), NOTHING),
    }


def counts_frame(model: str, scopes: dict[str, Styling]) -> pl.DataFrame:
    """The rows of :data:`~rewild.measures.style.schema.COUNTS` for one model."""
    return pl.DataFrame(
        [
            {"model": model, "scope": scope, "feature": feature, "value": value}
            for scope, styling in scopes.items()
            for feature, value in styling.features().items()
        ]
    )


def rates_frame(model: str, scopes: dict[str, Styling]) -> pl.DataFrame:
    """Elements per 1,000 words and per response (:data:`~rewild.measures.style.schema.RATES`)."""
    return RATES.frame(
        [
            {
                "model": model,
                "scope": scope,
                "feature": tag,
                "per_1000_words": 1000 * styling.tags.get(tag, 0) / styling.words if styling.words else None,
                "per_response": styling.tags.get(tag, 0) / styling.responses,
            }
            for scope, styling in scopes.items()
            for tag in TAGS
        ],
        f"style rates of {model}",
    )


def shares_frame(model: str, pages: list[Page]) -> pl.DataFrame:
    """Which part of a page each count comes from (:data:`~rewild.measures.style.schema.SHARES`)."""
    whole = reduce(add, (page.whole for page in pages), NOTHING)
    parts = {name: reduce(add, (page.parts[name] for page in pages), NOTHING) for name in SECTIONS}

    def count(styling: Styling, feature: str) -> int:
        return styling.features()[feature]

    rows = []
    for feature in (*TAGS, "characters", "words"):
        page = count(whole, feature)
        split = {name: count(part, feature) for name, part in parts.items()}
        rows.append(
            {
                "model": model,
                "feature": feature,
                "page": page,
                **split,
                "template": page - sum(split.values()),
                "not_the_model": 1 - split["answer"] / page if page else None,
            }
        )
    return SHARES.frame(rows, f"style shares of {model}")

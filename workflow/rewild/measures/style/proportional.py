"""Proportional frequency: how near one model's styling is to another's (section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import polars as pl

from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import DataError
from rewild.measures.style.markup import TAGS
from rewild.measures.style.schema import PROPORTIONAL

FEATURES = (*TAGS, "len")
"""Table 3's ten columns."""
PAPER_COLUMNS = {f: f.capitalize() if f in ("strong", "em", "ol", "ul") else f for f in FEATURES}
"""Our features → Table 3's column labels."""
PAIR = "PF {a}, {b}"
"""How Table 3 labels the row of a pair."""


def proportional(a: float, b: float) -> float | None:
    """``a / b``, or None where ``b`` is 0: a ratio to nothing is undefined, also of nothing to nothing."""
    return a / b if b else None


def mean_proportional(a: Mapping[str, float], b: Mapping[str, float]) -> tuple[float | None, int]:
    """The mean proportional frequency (MPF) over the features where it is defined, and how many are not."""
    ratios = [proportional(a[f], b[f]) for f in FEATURES]
    defined = [r for r in ratios if r is not None]
    return (sum(defined) / len(defined) if defined else None), len(ratios) - len(defined)


def mean_as_paper(a: Mapping[str, float], b: Mapping[str, float]) -> tuple[float | None, int]:
    """The mean with 0 / 0 taken as 1, as Table 3 prints it; None where a count stands against 0."""
    ratios = [1.0 if a[f] == b[f] == 0 else proportional(a[f], b[f]) for f in FEATURES]
    undefined = sum(r is None for r in ratios)
    return (None if undefined else sum(r for r in ratios if r is not None) / len(ratios)), undefined


def published_counts(table3: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Table 3's rows of counts: model → feature → count.

    Args:
        table3: the transcription, with columns row, column and value.
    """
    wanted = {label: feature for feature, label in PAPER_COLUMNS.items()}
    counts: dict[str, dict[str, float]] = {}
    for row, column, value in table3.select("row", "column", "value").iter_rows():
        if column in wanted and not row.startswith("PF "):
            counts.setdefault(row, {})[wanted[column]] = value
    return counts


def computed_counts(counts: pl.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Our counts: scope → model → feature → value. ``len`` is not rounded here."""
    scopes: dict[str, dict[str, dict[str, float]]] = {}
    for model, scope, feature, value in counts.select("model", "scope", "feature", "value").iter_rows():
        scopes.setdefault(scope, {}).setdefault(model, {})[feature] = value
    for scope, models in scopes.items():
        for model, values in models.items():
            missing = [f for f in (*FEATURES, "characters", "responses") if f not in values]
            if missing:
                raise DataError(f"style counts of {model} ({scope}): the feature '{missing[0]}' is missing")
            if values["responses"]:
                values["len"] = values["characters"] / values["responses"]
    return scopes


def pairs(
    source: str, models: Mapping[str, Mapping[str, float]], printed: Mapping[tuple[str, str], float]
) -> pl.DataFrame:
    """Every ordered pair of models, its ten ratios and two means: rows of ``PROPORTIONAL``.

    Args:
        source: where the counts come from.
        models: model → feature → count.
        printed: (row, column) of Table 3 → what it prints.
    """
    rows: list[dict[str, object]] = []
    for a, b in permutations(models, 2):
        base: dict[str, object] = {"source": source, "a": a, "b": b}
        for feature in FEATURES:
            x, y = models[a][feature], models[b][feature]
            value = proportional(x, y)
            rows.append(
                base
                | {
                    "feature": feature,
                    "count_a": x,
                    "count_b": y,
                    "value": value,
                    "undefined": int(value is None),
                    "published": printed.get((PAIR.format(a=a, b=b), PAPER_COLUMNS[feature])),
                }
            )
        for name, mean in (("mean", mean_proportional), ("mean_paper", mean_as_paper)):
            value, undefined = mean(models[a], models[b])
            rows.append(base | {"feature": name, "value": value, "undefined": undefined})
    return PROPORTIONAL.frame(rows, f"proportional frequencies, {source}")


def table3_cells(
    table3: pl.DataFrame, scopes: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> pl.DataFrame:
    """Table 3 computed: counts from released pages where there are any, ratios from the counts it prints."""
    published = published_counts(table3)
    cells: list[tuple[str, str, float | None, str]] = []
    for model, values in scopes.get("page", {}).items():
        for feature in FEATURES if model in published else ():
            unit = (
                "mean characters of the HTML file" if feature == "len" else "counted in the whole HTML page"
            )
            cells.append((model, PAPER_COLUMNS[feature], float(values[feature]), unit))
    for row in table3["row"].unique(maintain_order=True):
        a, _, b = row.removeprefix("PF ").partition(", ")
        if row.startswith("PF ") and a in published and b in published:
            for feature in FEATURES:
                value = proportional(published[a][feature], published[b][feature])
                note = "from the counts printed above"
                if value is None:
                    note = f"{published[a][feature]:g} / 0 is undefined; the paper prints a number"
                cells.append((row, PAPER_COLUMNS[feature], value, note))
    return COMPUTED_CELLS.frame(((row, c, value, None, note) for row, c, value, note in cells), "table 3")

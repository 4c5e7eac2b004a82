"""Names and sizes of models for figures: the registry's, and of other models what their import says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rewild.config.models import Model
from rewild.core.table import read_table
from rewild.responses.imports.write import MODELS


def names_and_sizes(
    models: Mapping[str, Model], imported: Path | None = None
) -> tuple[dict[str, str], dict[str, float]]:
    """Slug → name and slug → parameters, where known.

    Args:
        models: the registry.
        imported: ``imports/models.csv``; its models are called as their release calls them, unless the
            registry has them.
    """
    names: dict[str, str] = {}
    sizes: dict[str, float] = {}
    if imported:
        for row in read_table(imported, MODELS).iter_rows(named=True):
            names[row["model"]] = row["released_name"]
            if row["parameters"] is not None:
                sizes[row["model"]] = row["parameters"] * 1e9
    names |= {slug: model.name for slug, model in models.items()}
    sizes |= {slug: float(model.parameters.total) for slug, model in models.items() if model.parameters}
    return names, sizes

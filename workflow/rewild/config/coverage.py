"""Coverage: several sets of prompts in one projection of an embedding's space (MAGPIE, figures 7 and 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import RESULT, SHOWN, File, Section
from rewild.config.measures.base import PROMPTS, Row
from rewild.config.models import Slug
from rewild.config.prompts import FormName
from rewild.core.errors import known_name

MOST_SETS = 7
"""As many as :func:`rewild.core.plotting.look` tells apart."""


class CoverageSet(Section, marks=RESULT):
    """Prompts that are drawn in one colour."""

    source: str | None = Field(None, description="A source of the study's prompts; null: all of them")
    files: list[File] = Field(
        default_factory=list,
        description="Files of other data, in any form of docs/formats.md, instead of the study's own: paths, "
        "patterns or `released:COLLECTION/ENDING`",
    )
    form: FormName = Field("auto", description="The form of their rows; auto: that of a file's first row")
    title: Annotated[str | None, SHOWN] = Field(None, description="What the figure calls it; null: its name")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.source and self.files:
            raise ValueError("a set is of a source or of files, not of both: remove 'source' or 'files'")
        return self


class Coverage(Section, marks=RESULT):
    """Sets of prompts, projected together onto a plane."""

    space: Slug = Field(description="A measure of kind `embedding`, of prompts")
    sets: dict[Slug, CoverageSet] = Field(
        min_length=1, max_length=MOST_SETS, description="What is laid side by side, by name"
    )
    method: Literal["tsne", "umap"] = Field("tsne", description="tsne: openTSNE; umap: umap-learn")
    sample: int = Field(
        10_000, ge=10, description="Prompts of each set: first turns, drawn by the study's seed"
    )
    neighbours: int | None = Field(
        None, ge=2, description="t-SNE's perplexity (30), or UMAP's neighbours (15); null: these"
    )
    min_dist: float = Field(0.1, ge=0, le=1, description="UMAP: the least distance of two points")

    @property
    def near(self) -> int:
        """Neighbours of each point that must be known."""
        return 3 * (self.neighbours or 30) if self.method == "tsne" else (self.neighbours or 15)


def check_coverage(
    name: str, coverage: Coverage, measures: Mapping[str, Row], sources: Sequence[str]
) -> None:
    """Refuse what the study does not have.

    Raises:
        ValueError: no such embedding or source, with the nearest match; an embedding of responses.
    """
    where = f"coverage.{name}"
    spaces = [other for other, row in measures.items() if row.row.vectors]
    missing = f"{where}.space: no measure of kind embedding is called"
    known_name(coverage.space, spaces, missing, error=ValueError)
    if measures[coverage.space].of != PROMPTS:
        raise ValueError(f"{where}.space: '{coverage.space}' is of responses; add 'of: prompts' to it")
    for slug, chosen in coverage.sets.items():
        if chosen.source:
            known_name(
                chosen.source,
                sources,
                f"{where}.sets.{slug}: no source of prompts is called",
                error=ValueError,
            )

"""Settings of the page that shows responses side by side."""

from __future__ import annotations

from pydantic import Field

from rewild.config.base import RESULT, Section


class Viewer(Section, marks=RESULT):
    """What `results/{study}/viewer` shows."""

    max_conversations: int = Field(
        default=10_000,
        ge=1,
        description="Conversations shown: those with the least ids, which are hashes, so a random sample",
    )
    models: list[str] = Field(
        default_factory=list, description="Models shown, in this order; empty shows all, by name"
    )
    judgments: list[str] = Field(
        default_factory=list,
        description="Files of judgments and scores to show beside the responses (docs/viewer.md has the "
        "columns); their conversations and models need not be all that are shown",
    )

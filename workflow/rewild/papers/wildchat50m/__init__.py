"""WILDCHAT-50M: its tables, claims and checks, and how studies come by its numbers."""

from __future__ import annotations

from rewild.papers.room import Paper
from rewild.papers.wildchat50m import contents

PAPER = Paper(
    __name__,
    title="WILDCHAT-50M: A Deep Dive Into the Role of Synthetic Data in Post-Training",
    cite="B. Feuer and C. Hegde, WILDCHAT-50M, ICML 2025",
    evidence="evidence:Evidence",
    supply=contents.evidence,
    cells=contents.CELLS,
    figures=contents.FIGURES,
    own=contents.OWN,
)

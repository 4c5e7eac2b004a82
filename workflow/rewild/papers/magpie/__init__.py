"""MAGPIE: its tables, claims and checks."""

from __future__ import annotations

from rewild.papers.room import Paper

PAPER = Paper(
    __name__,
    title="MAGPIE: Alignment Data Synthesis from Scratch by Prompting Aligned LLMs with Nothing",
    cite="Z. Xu et al., MAGPIE, ICLR 2025",
)

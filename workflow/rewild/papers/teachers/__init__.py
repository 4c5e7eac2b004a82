"""Stronger Models are NOT Stronger Teachers: its tables, claims and checks."""

from __future__ import annotations

from rewild.papers.room import Paper

PAPER = Paper(
    __name__,
    title="Stronger Models are NOT Stronger Teachers for Instruction Tuning",
    cite="Z. Xu et al., Stronger Models are NOT Stronger Teachers, 2024",
)

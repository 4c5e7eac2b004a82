"""What the paper publishes of its figures. Light to import: the workflow and the summary read it."""

from __future__ import annotations

NOT_PUBLISHED = {
    "figure1": "The paper prints no numbers for Figure 1 (it refers to the released files), so it cannot be "
    "drawn from published numbers. The study `released` draws it.",
    "figure2": "Of Figure 2's twelve points the paper prints scores for six (L8I, L70 and Q72 at 250k and "
    "500k, in Tables 2 and 7); those are drawn. GPT, and 100k of every model, are not published. The study "
    "`released` draws all twelve.",
    "figure3": "The judgments behind Figure 3 are not printed. The study `released` draws it.",
    "figure4": "The judgments behind Figure 4 are not printed. The study `released` draws it.",
}
"""Figure → what cannot be drawn from published numbers, and where it is drawn."""

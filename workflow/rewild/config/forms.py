"""The names of the forms of data files that every stage reads; their readers: :mod:`rewild.prompts.forms`."""

from __future__ import annotations

from typing import Literal

FormName = Literal[
    "auto",
    "wildchat",
    "sharegpt",
    "messages",
    "ultrachat",
    "magpie",
    "distilabel",
    "alpaca-eval",
    "alpaca",
    "mt-bench-questions",
    "mt-bench-answers",
    "arena-hard-questions",
    "arena-hard-answers",
    "wildbench",
    "prompt-response",
]
"""``auto``: the form that a file's first row has."""

"""Measures that a text is enough for: no model, or a tokenizer alone."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from rewild.config.measures.base import Kind, Row, Value

_HOW_OFTEN = "Elements {} of the HTML that the text renders to"


class Language(Row):
    """The language of a text (py3langid; code and addresses do not count)."""

    row = Kind(
        "rewild.measures.plain:Language",
        {"language": Value("text", "ISO 639-1 code; null where there is too little text, or too mixed")},
    )
    kind: Literal["language"]


class Length(Row):
    """How long a text is: in characters, in words, in tokens of a tokenizer that is named."""

    row = Kind(
        "rewild.measures.plain:Length",
        {
            "words": Value("integer", "Words of any script"),
            "characters": Value("integer", "Unicode characters"),
            "tokens": Value("integer", "Tokens of the text alone, without any that a tokenizer adds"),
        },
    )
    kind: Literal["length"]
    tokenizer: str | None = Field(
        None, description="A model (of models.yaml, or the study's own) whose tokenizer counts; null: none"
    )

    def columns(self) -> dict[str, Value]:
        """Tokens are a column where something counts them."""
        return {n: v for n, v in self.row.columns.items() if n != "tokens" or self.tokenizer}

    @property
    def named_model(self) -> str | None:
        """Whose tokenizer it is."""
        return self.tokenizer

    @property
    def environment(self) -> str | None:
        """A tokenizer needs its library."""
        return "engine-cpu" if self.tokenizer else None


class Style(Row):
    """Markdown styling: elements of the HTML that a text renders to, as Table 3 of WILDCHAT-50M counts."""

    row = Kind(
        "rewild.measures.plain:Style",
        {
            "per_1000_words": Value("number", "All styling elements but paragraphs, per 1,000 visible words"),
            **{
                t: Value("integer", _HOW_OFTEN.format(t))
                for t in ["strong", "em", "ol", "ul", "h1", "h2", "h3", "h4", "p"]
            },
            "words": Value("integer", "Words of the visible text"),
            "html_characters": Value("integer", "Characters of the HTML"),
        },
    )
    kind: Literal["style"]


class Diversity(Row):
    """How varied the words of one text are. All of it falls with length: compare texts of like length."""

    row = Kind(
        "rewild.measures.plain:Diversity",
        {
            **{f"distinct{n}": Value("number", f"Distinct {n}-grams of words over all") for n in (1, 2, 3)},
            "compression_ratio": Value("number", "Bytes over bytes after DEFLATE (level 9)"),
        },
    )
    kind: Literal["diversity"]


class Repetition(Row):
    """Whether a text repeats itself, or is no text."""

    row = Kind(
        "rewild.measures.plain:Repetition",
        {
            "repetition": Value("number", "Share of the 4-grams of words that stood earlier in the text"),
            "garbled": Value("number", "Share of the characters that are no text"),
        },
    )
    kind: Literal["repetition"]


class Refusal(Row):
    """Whether a response begins with a refusal (English)."""

    row = Kind(
        "rewild.measures.plain:Refusal",
        {
            "explicit": Value("flag", "The opening says that the writer cannot or will not help"),
            "zou2023": Value("flag", "It begins with one of the prefixes of Zou et al. (2023)"),
        },
    )
    kind: Literal["refusal"]
    of: Literal["responses"] = Field("responses", description="What is measured")


class Pattern(Row):
    """How often a text holds what a regular expression describes; of any text in linear time."""

    row = Kind(
        "rewild.measures.plain:Pattern",
        {
            "found": Value("flag", "It is there at least once"),
            "count": Value("integer", "How often it is there, counted without overlaps"),
        },
    )
    kind: Literal["pattern"]
    matches: str = Field(
        min_length=1,
        description="A regular expression without look-around and back references (the syntax of Rust's "
        r"crate regex, as polars has it), such as ':\s*$' for what ends in a colon",
    )

    @field_validator("matches")
    @classmethod
    def _expression(cls, given: str) -> str:
        if found := re.search(r"\(\?<?[=!]|\\[1-9]|\(\?P=", given):
            raise ValueError(f"'{found[0]}' in {given!r}: look-around and back references are not understood")
        try:
            re.compile(re.sub(r"\\[pP](\{[^}]*\}|\w)|\\z", r"\\w", given))
        except re.error as error:
            raise ValueError(f"{given!r} is no regular expression: {error}") from error
        return given

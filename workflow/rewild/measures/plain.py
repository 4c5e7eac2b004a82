"""Kinds of measures that need no model: language, length, styling, variety, repetition, refusal, pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from rewild.core.errors import ConfigError
from rewild.core.language import garbled, language, repetition
from rewild.engines.tokenizer import open_counter
from rewild.measures.base import Found, Measurer, Text
from rewild.measures.diversity.refusals import begins_as_zou2023, refuses_explicitly
from rewild.measures.similarity.tokens import unicode_tokens
from rewild.measures.style.markup import TAGS, count_markdown


class Language(Measurer):
    """The language of a text; none where it cannot be told, which is no failure."""

    def one(self, text: str) -> Found:
        """See :class:`Measurer`."""
        return {"language": language(text)}


class Length(Measurer):
    """Words, characters and, where a tokenizer is named, tokens."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        if self.weights:
            self._count = open_counter(self.weights.name, self.weights.path, self.weights.revision)

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """See :class:`Measurer`."""
        found = [{"words": len(unicode_tokens(t.text.lower())), "characters": len(t.text)} for t in texts]
        if self.weights:
            for row, tokens in zip(found, self._count([t.text for t in texts]), strict=True):
                row["tokens"] = tokens
        return [*found]


class Style(Measurer):
    """The elements of the HTML that a text renders to as Markdown."""

    def one(self, text: str) -> Found:
        """See :class:`Measurer`."""
        found = count_markdown(text)
        if found.failures:
            return "tangled: too long, or with too many open brackets, to be rendered"
        tags = {tag: found.tags.get(tag, 0) for tag in TAGS}
        elements = sum(tags.values()) - tags["p"]
        return {
            "per_1000_words": 1000 * elements / found.words if found.words else None,
            **tags,
            "words": found.words,
            "html_characters": found.characters,
        }


class Diversity(Measurer):
    """Distinct n-grams and compression of one text."""

    def one(self, text: str) -> Found:
        """See :class:`Measurer`."""
        from rewild.measures.diversity.measure import (
            compression,
            distinct,
        )  # needs scipy: not every environment

        words = unicode_tokens(text.lower())
        shares = {n: distinct([words], max(len(words), n), n) for n in (1, 2, 3)}
        sizes = compression([text])
        return {
            **{f"distinct{n}": float(share[0]) if len(share) else None for n, share in shares.items()},
            "compression_ratio": float(sizes.mean()) if len(sizes) else None,
        }


class Repetition(Measurer):
    """Repeated 4-grams, and characters that are no text."""

    def one(self, text: str) -> Found:
        """See :class:`Measurer`."""
        return {"repetition": repetition(text), "garbled": garbled(text)}


class Refusal(Measurer):
    """Refusals, by two lists of words."""

    def one(self, text: str) -> Found:
        """See :class:`Measurer`."""
        return {"explicit": refuses_explicitly(text), "zou2023": begins_as_zou2023(text)}


class Pattern(Measurer):
    """How often a regular expression fits."""

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """See :class:`Measurer`."""
        column = pl.Series([t.text for t in texts], dtype=pl.String)
        try:
            counts = column.str.count_matches(self.settings.matches).to_list()
        except pl.exceptions.ComputeError as error:
            lines = [line.strip() for line in str(error).splitlines()]
            why = next((line for line in lines if line.startswith("error:")), lines[0])
            raise ConfigError(f"the pattern {self.settings.matches!r}: {why}") from error
        return [{"found": count > 0, "count": count} for count in counts]

"""How likely a response is given its instruction, and alone, in one job; IFD by its conventions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from rewild.measures.base import Found, Text
from rewild.measures.perplexity import Pair, Scoring, said, values

NAMED = "### Response:"
"""What stands before a response in the convention ``cherry``, on both sides."""
SPARE = {"superfiltering": 1, "cherry": 4}
"""Tokens that a response alone may have beyond what the instruction leaves, in the programs of that name."""


class Likelihood(Scoring):
    """Both passes of every response; see the section's docstring."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given, chat=given[0].template == "chat")

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """See :class:`Measurer`. Both passes are one call: sequences of like length go together."""
        found = [self._encode(text) for text in texts]
        pairs = [pair for both in found if not isinstance(both, str) for pair in both]
        scores = iter(self.engine.score(pairs) if pairs else [])
        return [
            both if isinstance(both, str) else self._values(next(scores).logprobs, next(scores).logprobs)
            for both in found
        ]

    def _encode(self, text: Text) -> tuple[Pair, Pair] | str:
        """The response given its instruction, and alone; or why it cannot be scored."""
        try:
            if self.settings.convention == "same-tokens":
                before, tokens = self.before(text), self.chat.encode(text.text)
                return self.refused(before, tokens) or ((before, tokens), ([self.begin], tokens))
            return self._published(text)
        except ValueError as error:
            return f"template: {error}"

    def _published(self, text: Text) -> tuple[Pair, Pair] | str:
        """As the published programs encode and cut; but control tokens that a text spells are text."""
        answer, cherry = text.text, self.settings.convention == "cherry"
        if not answer:
            return "empty: the text has no token"
        head = said(text)
        instruction = head.removesuffix("\n") if cherry else head
        size = min(len(self._ids(instruction)), self.limit)
        room = max(0, self.limit - size + SPARE[self.settings.convention])
        if cherry:
            given = self._span(f"{instruction}\n\n{NAMED}{answer}", answer, self.limit)
            alone = self._span(f"{NAMED}{answer}", answer, room)
        else:
            given = self._span(head + answer, answer, self.limit)
            whole = self._ids(answer)[:room]
            alone = whole[:1], whole[1:]
        if not given[1] or (cherry and size + len(alone[1]) > self.limit):
            return f"too_long: the instruction has {size} tokens, and {self.limit} are the limit of both"
        if not alone[1] or not given[0]:
            return f"undefined: no token counts by the convention {self.settings.convention}"
        return given, alone

    def _span(self, text: str, answer: str, limit: int) -> Pair:
        """The last occurrence of an answer in a text, as tokens of the text."""
        ids, start = self._ids(text)[:limit], len(self._ids(text[: text.rfind(answer)]))
        return ids[:start], ids[start:]

    def _ids(self, text: str) -> list[int]:
        """A text's tokens, after what the tokenizer begins every text with."""
        return [*self._first, *self.chat.encode(text)]

    @cached_property
    def _first(self) -> list[int]:
        tokenizer = self.chat.tokenizer
        return [i for i in tokenizer("")["input_ids"] if i == tokenizer.bos_token_id][:1]

    def _values(self, *logprobs: Sequence[float]) -> Found:
        given, alone = map(values, logprobs)
        if isinstance(given, str) or isinstance(alone, str):
            return given if isinstance(given, str) else alone
        found = {
            f"{name}_{side}": of[name] for side, of in (("given", given), ("alone", alone)) for name in of
        }
        try:
            ifd = self._ifd(given["logprob"], alone["logprob"])
        except (OverflowError, ZeroDivisionError):
            return "undefined: the quotient is beyond what a number holds"
        tokens = found.pop("tokens_given")
        return {"ifd": ifd, **found, "tokens": tokens}

    def _ifd(self, given: float, alone: float) -> float:
        """Of perplexities; of losses by ``cherry``."""
        return given / alone if self.settings.convention == "cherry" else math.exp(alone - given)

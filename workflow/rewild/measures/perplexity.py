"""How likely a text is under a language model: through the engines' interface, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rewild.engines import make_engine
from rewild.engines.base import EngineError
from rewild.engines.chat import Chat
from rewild.engines.config_file import read_config
from rewild.measures.base import Found, Measurer, Text

Pair = tuple[list[int], list[int]]
"""What is given and what is counted, as token ids."""


class Scoring(Measurer):
    """A language model at work, and how texts become tokens of it."""

    chunk = 512

    def __init__(self, *given: Any, chat: bool) -> None:
        """
        Args:
            given: as of :class:`Measurer`.
            chat: whether the model's chat template is needed; a base model has none.
        """
        super().__init__(*given)
        assert self.weights
        path, name = self.weights.path, self.weights.name
        where: dict[str, Any] = {
            "revision": self.weights.revision,
            "trust_remote_code": self.weights.trust_remote_code,
        }
        thinks = self.weights.reasoning if chat else None
        self.chat = Chat.load(path, name, template=None if chat else "{{ '' }}", reasoning=thinks, **where)
        tokenizer = self.chat.tokenizer
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if begin is None:
            raise EngineError(
                f"{name}: its tokenizer has neither a beginning- nor an end-of-sequence token, from which "
                "the first token of a text could be predicted"
            )
        self.begin = int(begin)
        # A model with learned positions (GPT-2 has 1,024) has none beyond what its files state.
        stated = read_config(path, name, self.weights.revision).context or self.settings.context + 1
        generates = int(self.settings.engine == "vllm")  # a token, whatever it is asked for
        self.limit = min(self.settings.context, stated - generates)
        self.engine = make_engine(
            self.settings.engine,
            path=path,
            chat=self.chat,
            precision=self.settings.precision,
            context=self.limit + 1,
            **where,
            **self.how(),
        )

    def before(self, text: Text) -> list[int]:
        """What stands before a text, in tokens.

        Raises:
            ValueError: it cannot be written as a chat.
        """
        if self.settings.template == "chat":
            return list(self.chat.encode_chat(text.before, answer=True).tokens)
        return [self.begin, *self.chat.encode(said(text))] if text.before else [self.begin]

    def refused(self, before: Sequence[int], tokens: Sequence[int]) -> str | None:
        """Why a text cannot be scored."""
        if not tokens:
            return "empty: the text has no token"
        if (size := len(before) + len(tokens)) > self.limit:
            return f"too_long: {size} tokens, and {self.limit} are the limit"
        return None

    def close(self) -> None:
        """See :class:`Measurer`."""
        self.engine.close()


class Perplexity(Scoring):
    """Log-probabilities of the tokens of a text, given what stands before it; see the section's docstring."""

    def __init__(self, *given: Any) -> None:
        settings = given[0]
        super().__init__(*given, chat=settings.given == "conversation" and settings.template == "chat")

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """See :class:`Measurer`."""
        found = [self._encode(text) for text in texts]
        pairs = [pair for pair in found if not isinstance(pair, str)]
        scores = iter(self.engine.score(pairs) if pairs else [])
        return [pair if isinstance(pair, str) else values(next(scores).logprobs) for pair in found]

    def _encode(self, text: Text) -> Pair | str:
        """Context and continuation as token ids, or why there are none."""
        try:
            before = [self.begin] if self.settings.given == "nothing" else self.before(text)
            tokens = self.chat.encode(text.text)
        except ValueError as error:
            return f"template: {error}"
        return self.refused(before, tokens) or (before, tokens)


def said(text: Text) -> str:
    """What was said before a text, each message followed by a line break."""
    return "".join(f"{message['content']}\n" for message in text.before)


def values(logprobs: Sequence[float]) -> dict[str, Any] | str:
    """Mean, perplexity, sum and number of tokens' log-probabilities; or why they are none."""
    total = math.fsum(logprobs)
    mean = total / len(logprobs)
    if not math.isfinite(total):
        return "not_a_number: a token's log-probability"
    try:
        perplexity = math.exp(-mean)
    except OverflowError:
        return "not_a_number: the perplexity is beyond what a number holds"
    return {"logprob": mean, "perplexity": perplexity, "total": total, "tokens": len(logprobs)}

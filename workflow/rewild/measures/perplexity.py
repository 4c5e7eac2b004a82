"""How likely a text is under a language model: through the engines' interface, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rewild.engines import make_engine
from rewild.engines.base import EngineError
from rewild.engines.chat import Chat
from rewild.measures.base import Found, Measurer, Text


class Perplexity(Measurer):
    """Log-probabilities of the tokens of a text, given what stands before it; see the section's docstring."""

    chunk = 512

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        assert self.weights
        where: dict[str, Any] = {
            "revision": self.weights.revision,
            "trust_remote_code": self.weights.trust_remote_code,
        }
        chat = self.settings.given == "conversation" and self.settings.template == "chat"
        # A base model or GPT-2 has no chat template; a text without a template needs none.
        self._chat = Chat.load(
            self.weights.path, self.weights.name, template=None if chat else "{{ '' }}", **where
        )
        tokenizer = self._chat.tokenizer
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if begin is None:
            raise EngineError(
                f"{self.weights.name}: its tokenizer has neither a beginning- nor an end-of-sequence token, "
                "from which the first token of a text could be predicted"
            )
        self._begin = int(begin)
        self._engine = make_engine(
            self.settings.engine,
            path=self.weights.path,
            chat=self._chat,
            precision=self.settings.precision,
            context=self.settings.context + 1,  # vLLM generates a token, whatever it is asked for
            **where,
            **self.how(),
        )

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """See :class:`Measurer`."""
        found = [self._encode(text) for text in texts]
        pairs = [pair for pair in found if not isinstance(pair, str)]
        scores = iter(self._engine.score(pairs) if pairs else [])
        return [pair if isinstance(pair, str) else _values(next(scores).logprobs) for pair in found]

    def _encode(self, text: Text) -> tuple[list[int], list[int]] | str:
        """Context and continuation as token ids, or why there are none."""
        try:
            before, tokens = self._before(text), self._chat.encode(text.text)
        except ValueError as error:
            return f"template: {error}"
        if not tokens:
            return "empty: the text has no token"
        if len(before) + len(tokens) > self.settings.context:
            size = len(before) + len(tokens)
            return f"too_long: {size} tokens, and {self.settings.context} are the limit"
        return before, tokens

    def _before(self, text: Text) -> list[int]:
        if self.settings.given == "nothing" or (self.settings.template == "none" and not text.before):
            return [self._begin]
        if self.settings.template == "chat":
            return list(self._chat.encode_chat(text.before, answer=True).tokens)
        said = "".join(f"{message['content']}\n" for message in text.before)
        return [self._begin, *self._chat.encode(said)]

    def close(self) -> None:
        """See :class:`Measurer`."""
        self._engine.close()


def _values(logprobs: Sequence[float]) -> Found:
    total = math.fsum(logprobs)
    mean = total / len(logprobs)
    if not math.isfinite(total):
        return "not_a_number: a token's log-probability"
    try:
        perplexity = math.exp(-mean)
    except OverflowError:
        return "not_a_number: the perplexity is beyond what a number holds"
    return {"logprob": mean, "perplexity": perplexity, "total": total, "tokens": len(logprobs)}

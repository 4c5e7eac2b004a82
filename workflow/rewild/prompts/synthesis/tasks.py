"""A model writes a prompt when it is shown some (Self-Instruct), in place of a user's turn from nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Any

from rewild.config.self_instruct import SelfInstruct
from rewild.engines.base import Completion, Message, Request, cut_at
from rewild.generation.fit import fit
from rewild.generation.rows import check
from rewild.prompts.synthesis.checks import Wanted, what_is_wrong
from rewild.prompts.synthesis.copies import words_of
from rewild.prompts.synthesis.write import Draft, Scribe

_HEADING = re.compile(r"^\s*(?:[*#]+\s*)?(?:task\s*\d*\s*[:.)]|\d+\s*[.):])(?:\s*\**)\s*", re.IGNORECASE)
# What no text can be, as Self-Instruct leaves out by such words.
_NOT_TEXT = re.compile(
    r"\b(?:images?|pictures?|photos?|diagrams?|flow ?charts?|graphs?|charts?|maps?|videos?|audio|draw|plot|"
    r"attached|uploaded)\b",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "“": "”", "'": "'", "«": "»"}


@dataclass(frozen=True)
class Pupil(Scribe):
    """One model that writes the prompts of a source after examples; a request is a chat like any other."""

    @property
    def tasks(self) -> SelfInstruct:
        """The source's settings."""
        assert isinstance(self.source, SelfInstruct)
        return self.source

    def _possible(self) -> None:
        """Any template that takes a question will do; a system message is part of the chat."""

    def traits(self) -> list[str]:
        """Nothing is derived from the template."""
        return []

    def template(self) -> dict[str, Any]:
        """The request of the first sample."""
        return {"asked": self.chat.text(self.messages(self._seed(0, 0)))}

    def messages(self, seed: int) -> list[Message]:
        """What a sample is asked: the seed tasks that its seed draws, in the order in which it draws them."""
        tasks = self.tasks.seeds.tasks
        drawn = Random(seed).sample(sorted(tasks), self.tasks.shown)
        lines = [f"Task {n}: {tasks[name]}" for n, name in enumerate(drawn, start=1)]
        text = "\n\n".join([self.tasks.seeds.ask, *lines, f"Task {len(lines) + 1}:"])
        return [*self._told(0), {"role": "user", "content": text}]

    def _asked(self, draft: Draft, turn: int) -> tuple[Request | None, str | None]:
        """The request for a task; or why there is none."""
        (fitted,) = fit([self.messages(draft.seed)], self.chat, self.model.sizes[1], "skip")
        if fitted.failure is not None:
            return None, fitted.failure
        name = f"{self.source.name}/{draft.number}/{turn}"
        # One that goes on writes the task after this one: that ends it.
        stops = (f"\nTask {self.tasks.shown + 2}:", *self.chat.stops)
        size = self.model.sizes[2]
        return Request(name, fitted.messages, fitted.tokens, size, draft.seed, stops=stops), None

    def read(self, done: Completion, request: Request) -> tuple[str, str | None]:
        """The text of a task, without heading and quotation marks, and why it is none."""
        text, ended = cut_at(done.text or "", request.stops)
        text = _plain(text)
        if failure := check(done, request, self.chat):
            return text, failure
        if not text:
            return text, f"empty: no text in {done.output_tokens or 0} tokens"
        if not ended and done.finish_reason == "length":
            return text, f"cut_off: no end in {done.output_tokens} tokens"
        wanted = Wanted(self.source.spoken, self.source.repetition, self.source.garbage)
        return text, what_is_wrong(text, wanted) or self._no_task(text)

    def _no_task(self, text: str) -> str | None:
        words = len(words_of(text))
        if words < self.tasks.least_words:
            return f"few_words: {words}, and a task has {self.tasks.least_words}"
        if words > self.tasks.most_words:
            return f"many_words: {words}, and a task has {self.tasks.most_words} at most"
        found = _NOT_TEXT.search(text)
        return f"not_text: it asks for '{found.group()}'" if found else None


def _plain(text: str) -> str:
    text = _HEADING.sub("", text.strip(), count=1).strip()
    return text[1:-1].strip() if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] else text


def scribe_of(*given: Any) -> Scribe:
    """:meth:`Scribe.of`, of the kind that the source wants."""
    if isinstance(given[1], SelfInstruct):
        return Pupil.of(*given)
    return Scribe.of(*given)

"""Chat templates: messages to tokens, for the engines that take tokens, and what a template gets wrong.

User text is encoded as text: a control token that a user typed (``<|im_end|>``) becomes ordinary characters,
so that no prompt can end its own turn. Templates that print today's date print a fixed one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from rewild.engines.base import EngineError, Message
from rewild.errors import first_line

# Llama 3.1 and its kin write the date into the system prompt. This is the one their templates fall back on.
TODAY = datetime(2024, 7, 26)
_NOW = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
_MARK, _OPEN, _CLOSE = "\ue0ff", "\ue0fe", "\ue0fd"  # private use: stand-ins for control tokens in user text


class Chat:
    """A tokenizer and its chat template."""

    def __init__(
        self, tokenizer: Any, name: str, end_tokens: Iterable[int] = (), template: str | None = None
    ):
        """
        Args:
            tokenizer: a Hugging Face tokenizer.
            name: the model's name, for messages.
            end_tokens: ids that end a turn, besides those the tokenizer and the template tell.
            template: a chat template to use instead of the tokenizer's own.

        Raises:
            EngineError: there is no chat template, or it fails on the simplest conversation.
        """
        self.tokenizer, self.name = tokenizer, name
        self.template = template or tokenizer.chat_template
        if isinstance(self.template, dict):
            self.template = self.template.get("default")
        if not self.template:
            raise EngineError(
                f"{name}: its tokenizer has no chat template, so prompts cannot be written the way the model "
                "learned them; use the instruction-tuned model, or give the study's settings of this model a "
                "'chat_template' file"
            )
        self._dateless = _NOW.sub(lambda m: repr(TODAY.strftime(m.group(2))), self.template)
        special = set(tokenizer.all_special_tokens) | {
            str(token) for token in tokenizer.added_tokens_decoder.values() if token.special
        }
        special.add(_MARK)
        self._control = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))
        self._special_ids = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
        self._special_ids |= set(tokenizer.all_special_ids)
        self._extra_ends = tuple(end_tokens)

    @classmethod
    def load(
        cls,
        path: Path | str,
        name: str,
        *,
        revision: str | None = None,
        trust_remote_code: bool = False,
        template: str | None = None,
    ) -> Chat:
        """Load the tokenizer of a model folder or hub id, and the end tokens of its generation config.

        Raises:
            EngineError: no tokenizer there, or no chat template.
        """
        from transformers import AutoTokenizer, GenerationConfig

        where = {"revision": revision, "trust_remote_code": trust_remote_code}
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(path), **where)
        except Exception as error:
            raise EngineError(
                f"{name}: no tokenizer can be loaded from {path}: {first_line(error)}"
            ) from error
        try:
            ends = GenerationConfig.from_pretrained(str(path), revision=revision).eos_token_id
        except (OSError, ValueError):
            ends = None
        ids = [ends] if isinstance(ends, int) else list(ends or [])
        return cls(tokenizer, name, ids, template)

    @property
    def template_hash(self) -> str:
        """Identifies the template: SHA-256 of its text, in hexadecimal."""
        return sha256(str(self.template).encode()).hexdigest()

    def text(self, messages: Sequence[Message], *, answer: bool = True) -> str:
        """Render a chat, up to the assistant's header if ``answer``.

        Raises:
            ValueError: the template refuses this chat (roles out of order, no system role, ...).
        """
        from jinja2.exceptions import TemplateError

        try:
            return str(
                self.tokenizer.apply_chat_template(
                    list(messages),
                    chat_template=self._dateless,
                    tokenize=False,
                    add_generation_prompt=answer,
                    date_string=TODAY.strftime("%d %b %Y"),
                )
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise ValueError(f"the chat template refuses this conversation: {first_line(error)}") from error

    def render(self, chats: Sequence[Sequence[Message]]) -> list[tuple[int, ...] | ValueError]:
        """Each chat as token ids, up to the assistant's header; an error where the template refuses it."""
        texts: list[str] = []
        slots: list[int] = []
        rendered: list[tuple[int, ...] | ValueError] = [()] * len(chats)
        for i, chat in enumerate(chats):
            escaped = [_escape(m, self._control) for m in chat]
            try:
                text = self.text(escaped)
            except ValueError as error:
                rendered[i] = error
                continue
            if _MARK in text:
                rendered[i] = tuple(self._encode_escaped(text))
            else:
                texts.append(text)
                slots.append(i)
        # One call for all: the tokenizer's own threads are many times faster than a loop here.
        if texts:
            for i, ids in zip(
                slots, self.tokenizer(texts, add_special_tokens=False)["input_ids"], strict=True
            ):
                rendered[i] = tuple(ids)
        return rendered

    def encode(self, text: str) -> list[int]:
        """Token ids of a plain text; control tokens in it are encoded as text."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, without control tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _encode_escaped(self, text: str) -> list[int]:
        ids: list[int] = []
        for piece in re.split(f"({_MARK}{_OPEN}.*?{_CLOSE})", text):
            if piece.startswith(_MARK):
                literal = "".join(chr(int(c, 16)) for c in piece[2:-1].split(","))
                ids += self.encode(literal)
            elif piece:
                ids += self.tokenizer(piece, add_special_tokens=False)["input_ids"]
        return ids

    @cached_property
    def probe(self) -> tuple[str, str, str]:
        """``(prompt, before, after)``: a rendered prompt, and what is around the answer in a whole chat."""
        user, answer = {"role": "user", "content": "Hello there."}, "An ANSWER to look for."
        prompt = self.text([user])
        whole = self.text([user, {"role": "assistant", "content": answer}], answer=False)
        before, found, after = whole.partition(answer)
        if not found:
            raise ValueError("the chat template leaves out the assistant's answer")
        return prompt, before, after

    @cached_property
    def end_tokens(self) -> tuple[int, ...]:
        """Every id that ends an answer: by the generation config, the tokenizer and the template."""
        ends = set(self._extra_ends)
        if self.tokenizer.eos_token_id is not None:
            ends.add(int(self.tokenizer.eos_token_id))
        if (turn := self.end_of_turn) is not None:
            ends.add(turn)
        return tuple(sorted(ends))

    @cached_property
    def end_of_turn(self) -> int | None:
        """The control token that the template writes after an answer, if it writes one there."""
        try:
            after = self.probe[2].lstrip()
        except ValueError:
            return None
        ids = self.tokenizer(after, add_special_tokens=False)["input_ids"] if after else []
        return int(ids[0]) if ids and ids[0] in self._special_ids else None

    def problems(self, system: str | None = None) -> list[str]:
        """What is wrong with the template; an empty list if nothing is.

        A rendered prompt must end where the answer begins in a whole chat (the assistant's header); a system
        prompt must be in it; some token must end an answer.
        """
        try:
            prompt, before, _ = self.probe
        except ValueError as error:
            return [str(error)]
        found = []
        # Spaces at the seam differ between good templates; a header that is not there is more than spaces.
        if not (before.rstrip() == prompt.rstrip() or prompt.rstrip().startswith(before.rstrip())):
            found.append(
                f"a rendered prompt does not end in the assistant's header: it ends in {prompt[-40:]!r}, but "
                f"an answer follows {before[-40:]!r}"
            )
        if not self.end_tokens:
            found.append("no token ends an answer: neither the tokenizer nor the template has one")
        if system:
            try:
                if system not in self.text(
                    [{"role": "system", "content": system}, {"role": "user", "content": "Hi"}]
                ):
                    found.append("the template drops the system prompt")
            except ValueError as error:
                found.append(f"no system prompt is possible: {error}")
        return found


def _escape(message: Message, control: re.Pattern[str]) -> Message:
    def stand_in(match: re.Match[str]) -> str:
        return f"{_MARK}{_OPEN}{','.join(f'{ord(c):x}' for c in match.group())}{_CLOSE}"

    content = message["content"]
    if not control.search(content):
        return dict(message)
    return {**message, "content": control.sub(stand_in, content)}

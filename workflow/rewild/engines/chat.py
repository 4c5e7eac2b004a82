"""Chat templates: messages to tokens, for the engines that take tokens, and what a template gets wrong.

Contents are encoded as text (:mod:`rewild.engines.encoding`): a control token that a user typed
(``<|im_end|>``) becomes ordinary characters, so that no prompt can end its own turn. Templates that print
today's date print a fixed one.

For training as for generation: ``Chat.load(path, name).encode_chat(messages)`` gives the token ids of a whole
chat and which message each token belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from rewild.config.reasoning import Reasoning, arguments_of
from rewild.core.conversations import THOUGHT
from rewild.engines.base import Completion, EngineError, Message, Request, cut_at
from rewild.engines.encoding import Encoded, Encoder
from rewild.engines.template import Template
from rewild.engines.thinking import (
    A_THOUGHT,
    AN_ANSWER,
    Thinking,
    find_markers,
    keyed,
    never_stopped,
)
from rewild.engines.tokenizer import load_tokenizer


class Chat:
    """A tokenizer and its chat template."""

    def __init__(
        self,
        tokenizer: Any,
        name: str,
        end_tokens: Iterable[int] = (),
        template: str | None = None,
        reasoning: Reasoning | None = None,
    ):
        """
        Args:
            tokenizer: a Hugging Face tokenizer.
            name: the model's name, for messages.
            end_tokens: ids that end a turn, besides those the tokenizer and the template tell.
            template: a chat template to use instead of the tokenizer's own.
            reasoning: how the model reasons; None: nothing is told from its answers.

        Raises:
            EngineError: there is no chat template.
        """
        self.tokenizer, self.name, self.reasoning = tokenizer, name, reasoning
        self.template = template or tokenizer.chat_template
        if isinstance(self.template, dict):
            self.template = self.template.get("default")
        if not self.template:
            raise EngineError(
                f"{name}: its tokenizer has no chat template, so prompts cannot be written the way the model "
                "learned them; use the instruction-tuned model, or give the study's settings of this model a "
                "'chat_template' file"
            )
        special = {k: list(map(str, v)) if isinstance(v, list) else str(v) for k, v in _special(tokenizer)}
        self._template = Template(str(self.template), special | arguments_of(reasoning), name)
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
        reasoning: Reasoning | None = None,
    ) -> Chat:
        """Load the tokenizer of a model folder or hub id, and the end tokens of its generation config.

        Raises:
            EngineError: no tokenizer there, or no chat template.
        """
        from transformers import GenerationConfig

        tokenizer = load_tokenizer(path, name, revision=revision, trust_remote_code=trust_remote_code)
        try:
            ends = GenerationConfig.from_pretrained(str(path), revision=revision).eos_token_id
        except (OSError, ValueError):
            ends = None
        ids = [ends] if isinstance(ends, int) else list(ends or [])
        return cls(tokenizer, name, ids, template, reasoning)

    @property
    def template_hash(self) -> str:
        """Identifies the template: SHA-256 of its text, in hexadecimal."""
        return sha256(str(self.template).encode()).hexdigest()

    def on(self, day: datetime) -> Template:
        """The template on another day than it has here."""
        there = self._template
        return Template(there.template, there.variables, there.name, there.seconds, day)

    def text(self, messages: Sequence[Message], *, answer: bool = True) -> str:
        """Render a chat, up to the assistant's header if ``answer``, in a bounded process.

        Raises:
            ValueError: the template refuses this chat (roles out of order, no system role, ...).
        """
        return self._template.render(keyed(messages, str(self.template)), answer=answer)

    def render(self, chats: Sequence[Sequence[Message]]) -> list[tuple[int, ...] | ValueError]:
        """Each chat as token ids, up to the assistant's header; an error where the template refuses it."""
        texts: list[str] = []
        slots: list[int] = []
        rendered: list[tuple[int, ...] | ValueError] = [()] * len(chats)
        for i, chat in enumerate(chats):
            if not self.encoder.is_plain(chat):
                rendered[i] = self._tokens(chat)
                continue
            try:
                texts.append(self.text(chat))
                slots.append(i)
            except ValueError as error:
                rendered[i] = error
        for i, tokens in zip(slots, self.encoder.plain(texts), strict=True):
            rendered[i] = self._tokens(chats[i]) if tokens is None else tokens
        return rendered

    def encode_chat(self, messages: Sequence[Message], *, answer: bool = False) -> Encoded:
        """A whole chat as token ids, and whose each token is: for training, and wherever that matters.

        Contents are encoded as text: the ids are those of :meth:`render`, and where no content spells a
        marker they are those of ``apply_chat_template``.

        Args:
            messages: the chat.
            answer: end in the assistant's header.

        Raises:
            ValueError: the template refuses this chat, or the tokenizer cannot write it as text.
        """
        return self.encoder.marked(self.text(self.encoder.mark(messages), answer=answer))

    def _tokens(self, chat: Sequence[Message]) -> tuple[int, ...] | ValueError:
        try:
            return self.encode_chat(chat, answer=True).tokens
        except ValueError as error:
            return error

    def encode(self, text: str) -> list[int]:
        """Token ids of a plain text; control tokens in it are encoded as text."""
        return self.encoder.text(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, without control tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    @cached_property
    def encoder(self) -> Encoder:
        """What encodes this model's chats."""
        return Encoder(self.tokenizer, self.name, self._around)

    @cached_property
    def _around(self) -> list[str]:
        """What the template writes around contents, stretch by stretch, in chats with and without a system
        message, as long as it takes them; nothing where it refuses them."""
        turns = [("user", "QUESTION."), ("assistant", "ANSWER."), ("user", "AGAIN?")]
        found: list[str] = []
        for before in ([("system", "SYSTEM.")], []):
            for chat in (before + turns, before + turns[:2], before + turns[:1]):
                try:
                    text = self.text([{"role": role, "content": content} for role, content in chat])
                except ValueError:
                    continue
                found += re.split("|".join(re.escape(content) for _, content in chat), text)[1:]
                break
        return list(dict.fromkeys(found))

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
    def seam(self) -> str:
        """What the template writes between the assistant's header, as a prompt has it, and an answer: the
        markers of reasoning that was none, in some; empty in most, and where it cannot be told."""
        try:
            prompt, before, _ = self.probe
        except ValueError:
            return ""
        return before[len(prompt.rstrip()) :].strip() if before.startswith(prompt.rstrip()) else ""

    @cached_property
    def end_tokens(self) -> tuple[int, ...]:
        """Every id that ends an answer: by the generation config, the tokenizer and the template."""
        ends = set(self._extra_ends)
        if self.tokenizer.eos_token_id is not None:
            ends.add(int(self.tokenizer.eos_token_id))
        if (turn := self.end_of_turn) is not None:
            ends.add(turn)
        if self.thinking is not None:  # what ends reasoning ends no turn (`<|end|>` of gpt-oss)
            ends -= self.thinking.ids
        return tuple(sorted(ends))

    @cached_property
    def thinking(self) -> Thinking | None:
        """What tells its reasoning from its answers; None where its row has no ``reasoning``.

        Raises:
            EngineError: nothing says what ends its reasoning.
        """
        given = self.reasoning
        if given is None:
            return None
        user = {"role": "user", "content": "Hello there."}

        def render(thought: bool, answer: bool) -> str:
            said = {"role": "assistant", "content": AN_ANSWER} | ({THOUGHT: A_THOUGHT} if thought else {})
            return self.text([user, said], answer=False) if answer else self.text([user])

        ids: list[list[int]] = []
        if isinstance(given.end, list) and isinstance(given.end[0], int):  # ids: their texts are for messages
            ids = [[int(i) for i in given.end]]
            given = given.model_copy(update={"end": self._written(ids[0])})
        start = list(given.start) if isinstance(given.start, list) else None
        if start is not None:
            given = given.model_copy(update={"start": self._written(start)})
        found = find_markers(given, render, str(self.template), self._is_token)
        if found is None:
            raise EngineError(
                f"{self.name}: by its row it reasons, but its chat template does not say what ends that; "
                "give reasoning.end (and reasoning.start), such as </think>"
            )
        ids = ids or [self._marker(end) for end in found.ends]
        start = self._marker(found.start) if start is None else start
        in_tokens = all(ids) and (bool(start) or not found.start)
        try:
            opens = bool(found.start) and self.text([user]).rstrip().endswith(found.start)
        except ValueError:  # it refuses the simplest chat: that is told elsewhere
            opens = False
        return Thinking(
            found,
            tuple(start) if in_tokens else (),
            tuple(map(tuple, ids)) if in_tokens else (),
            opens,
            self.decode,
            given.budget,
        )

    def _written(self, ids: Sequence[int]) -> str:
        """The text of ids, control tokens included."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def _is_token(self, text: str) -> bool:
        return len(self._marker(text)) == 1

    def _marker(self, text: str) -> list[int]:
        """Ids of a marker; none where it is ordinary text, whose ids depend on what is around it."""
        ids = list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
        known = set(self.tokenizer.added_tokens_decoder) | set(self.tokenizer.all_special_ids)
        return ids if known.intersection(ids) else []

    def limit(self, request: Request) -> int:
        """The most tokens of what is generated for a request: its answer's, and those of the reasoning."""
        return (
            request.max_tokens
            if request.plain or not self.thinking
            else self.thinking.limit(request.max_tokens)
        )

    def apart(self, request: Request, said: Completion) -> Completion:
        """What a model said, its reasoning apart from its answer; as it is, of a model that does not reason.

        An answer that is longer than it may be, for there was reasoning left to spend, is cut.

        Args:
            request: what was asked.
            said: what was generated, with its token ids.
        """
        thinking = self.thinking
        if thinking is None or request.plain or said.failure is not None:
            return said
        ids, reason = said.tokens, said.finish_reason
        ended = bool(ids) and ids[-1] in (*self.end_tokens, *request.ends)
        told = thinking.tell(request.tokens, ids[:-1] if ended else ids)
        text, stopped = cut_at(told.answer, request.stops)
        if thinking.budget and len(told.rest) + ended > request.max_tokens:
            text, reason = self.decode(told.rest[: request.max_tokens]).strip(), "length"
        elif ended or stopped:
            reason = "stop"
        failure = never_stopped(told, thinking.budget, cut=reason == "length")
        return replace(
            said,
            text=None if failure else text,
            finish_reason=reason,
            failure=failure,
            logprobs=said.logprobs[told.tokens or 0 :],
            reasoning=told.reasoning,
            reasoning_tokens=told.tokens,
            limit=self.limit(request),
        )

    @cached_property
    def _after_answers(self) -> tuple[str, ...]:
        """What the template writes after the last answer, and between one and the next question."""
        user, answer = {"role": "user", "content": "Hello there."}, "An ANSWER to look for."
        try:
            after = self.probe[2]
        except ValueError:
            return ()
        try:
            said = {"role": "assistant", "content": answer}
            talk = self.text([user, said, {"role": "user", "content": "And THEN?"}], answer=False)
        except ValueError:  # one turn only
            return (after,)
        return after, talk.partition(answer)[2].partition("And THEN?")[0]

    @cached_property
    def end_of_turn(self) -> int | None:
        """The token that the template writes after an answer, if it writes one there, special or not.

        Some (GLM-4) write nothing there: the next turn's header ends an answer.
        """
        begins = self.tokenizer.bos_token_id
        for text in self._after_answers:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"] if text.strip() else []
            if ends := [i for i in ids if i in self.encoder.ids and i != begins]:
                return int(ends[0])
        return None

    @cached_property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer, of a template that writes no token there but text, such as the heading of
        the next question; empty where a token ends it."""
        if self.end_of_turn is not None:
            return ()
        for text in self._after_answers:
            if heading := text.strip():
                line = heading.splitlines()[0]
                return ("\n" + line if text.partition(heading)[0].endswith("\n") else line,)
        return ()

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
        seam = before.removeprefix(prompt.rstrip())
        if self.thinking:  # it may write the markers of reasoning that was none
            for marker in (*self.thinking.markers.ends, self.thinking.markers.start):
                seam = seam.replace(marker, "") if marker else seam
        if seam.strip() and not prompt.rstrip().startswith(before.rstrip()):
            found.append(
                f"a rendered prompt does not end in the assistant's header: it ends in {prompt[-40:]!r}, but "
                f"an answer follows {before[-40:]!r}"
                + ("; a model that reasons needs `reasoning: {}` in its row" if "think" in seam else "")
            )
        if not self.end_tokens and not self.stops:
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


def _special(tokenizer: Any) -> Iterator[tuple[str, Any]]:
    """The tokenizer's named tokens, as templates read them."""
    yield from dict(tokenizer.special_tokens_map).items()

"""Conversations to requests, completions to rows: turns, retries, checks on every answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from rewild.core.conversations import THOUGHT, Turn, iter_turns
from rewild.core.language import garbled, language, repetition
from rewild.engines.base import Completion, Message, Request, Sampling, cut_at
from rewild.engines.chat import Chat
from rewild.generation.feed import PIECE, Strand
from rewild.generation.fit import Fitted, fit
from rewild.generation.prepared import Prepared
from rewild.generation.spec import row_seed


@dataclass
class Slot:
    """One user turn under way: its row so far, and what was sent."""

    conversation: dict[str, Any]
    turn: int
    context: tuple[Message, ...]
    fitted: Fitted | None = None
    attempts: int = 0
    completion: Completion | None = None
    failure: str | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.conversation['conversation_id']}/{self.turn}"


@dataclass
class Talk:
    """One conversation under way: its user turns, in order."""

    conversation: dict[str, Any]
    slots: list[Slot]


@dataclass(frozen=True)
class Responder:
    """One model that answers conversations: as works of :func:`rewild.generation.feed.feed`."""

    model: Prepared

    def talks(self, conversations: Iterable[dict[str, Any]]) -> Iterator[tuple[Talk, list[Strand]]]:
        """Each conversation with what is asked for it.

        With the source's history its turns are asked side by side, and share a prefix; with the model's own,
        one after another.

        Args:
            conversations: rows of a prompt shard, as dictionaries.
        """
        made = (Talk(c, [Slot(c, t.index, t.prompt) for t in turns_of(c)]) for c in conversations)
        if self.model.spec.history == "self":
            for talk in made:
                yield talk, [self._one_by_one(talk)]
            return
        while piece := list(islice(made, PIECE)):
            slots = [slot for talk in piece for slot in talk.slots]
            for slot, fitted in zip(slots, self._fit(slots), strict=True):
                slot.fitted, slot.failure = fitted, fitted.failure
            for talk in piece:
                yield talk, [self._turn(slot) for slot in talk.slots]

    def rows(self, talk: Talk) -> list[dict[str, Any]]:
        """Rows of the responses table: a row for each of its turns, in order."""
        return [self._row(slot) for slot in talk.slots]

    def _fit(self, slots: Sequence[Slot]) -> list[Fitted]:
        spec = self.model.spec
        chats = [_with_system(slot.context, spec.system) for slot in slots]
        return fit(chats, self.model.chat, self.model.sizes[1], spec.over_long)

    def _turn(self, slot: Slot) -> Strand:
        """Ask, check; what failed is asked again, with another seed, up to the limit."""
        spec = self.model.spec
        sampling = Sampling(**spec.sampling.model_dump())
        if slot.failure is not None:
            return
        for attempt in range(1, spec.attempts + 1):
            request = self._request(slot, attempt)
            slot.completion = ended((yield request, sampling), request.stops)
            slot.attempts, slot.seed = attempt, request.seed
            slot.failure = check(slot.completion, request, self.model.chat)
            if slot.failure is None:
                return

    def _one_by_one(self, talk: Talk) -> Strand:
        for turn, slot in enumerate(talk.slots):
            self._with_own_history(talk.slots, turn)
            if slot.failure is None:
                (slot.fitted,) = self._fit([slot])
                slot.failure = slot.fitted.failure
            yield from self._turn(slot)

    def _said(self, completion: Completion) -> Message:
        """An answer as the next turn has it: its reasoning goes to the model's own template, which mostly
        leaves it out; an endpoint, whose template is not here, gets none."""
        thought = {THOUGHT: completion.reasoning} if completion.reasoning and self.model.chat else {}
        return {"role": "assistant", "content": completion.text or "", **thought}

    def _with_own_history(self, turns: list[Slot], turn: int) -> None:
        """Make the earlier assistant messages of a turn the model's own answers."""
        slot, context = turns[turn], list(turns[turn].context)
        answers = {s.turn: s for s in turns[:turn]}
        index = -1
        for position, message in enumerate(context):
            if message["role"] == "user":
                index += 1
            elif message["role"] == "assistant" and index in answers:
                earlier = answers[index]
                if earlier.failure is not None or earlier.completion is None:
                    slot.failure = f"earlier_turn: turn {index} has no answer to go on from"
                    return
                context[position] = self._said(earlier.completion)
        slot.context = tuple(context)

    def _request(self, slot: Slot, attempt: int) -> Request:
        assert slot.fitted is not None
        spec, identity = self.model.spec, slot.conversation["conversation_id"]
        seed = row_seed(spec.seed, spec.model, identity, slot.turn, attempt)
        stops = self.model.chat.stops if self.model.chat else ()
        return Request(
            slot.name, slot.fitted.messages, slot.fitted.tokens, self.model.sizes[2], seed, stops=stops
        )

    def _row(self, slot: Slot) -> dict[str, Any]:
        done = slot.completion if slot.failure is None else None
        text = done.text if done else None
        # Failed rows keep what was counted: a tired reader wants to know how far it came.
        last = slot.completion
        return {
            "conversation_id": slot.conversation["conversation_id"],
            "turn": slot.turn,
            "model": self.model.spec.model,
            "history": self.model.spec.history,
            "language": slot.conversation["language"],
            "prompt": slot.context[-1]["content"],
            "response": text,
            "reasoning": last.reasoning if last else None,
            "failure": slot.failure,
            "finish_reason": last.finish_reason if last else None,
            "truncation": slot.fitted.truncation if slot.fitted else "none",
            "attempts": slot.attempts,
            "input_tokens": last.input_tokens if last else None,
            "output_tokens": last.output_tokens if last else None,
            "reasoning_tokens": last.reasoning_tokens if last else None,
            "response_language": language(text) if text else None,
            "repetition": repetition(text) if text else None,
            "garbled": garbled(text) if text else None,
            "seed": slot.seed,
            "engine": self.model.spec.engine,
            "recipe": self.model.digest,
        }


def ended(completion: Completion, stops: Sequence[str]) -> Completion:
    """An answer without the text that ended it, nor spaces around it, where text ends answers."""
    if not stops or completion.text is None:
        return completion
    text, ended = cut_at(completion.text, stops)
    reason = "stop" if ended else completion.finish_reason
    return replace(completion, text=text.strip(), finish_reason=reason)


def turns_of(conversation: Mapping[str, Any]) -> list[Turn]:
    """The user turns to answer: all but the first ``given``, which belong to a question's context."""
    return list(iter_turns(conversation["messages"]))[conversation.get("given", 0) :]


def check(completion: Completion, request: Request, chat: Chat | None) -> str | None:  # noqa: PLR0911
    """What is wrong with a completion, as ``reason: detail``; None if it may be kept.

    Text must be there; the finish reason must be known and agree with the counts; the engine's token counts
    must agree with the tokenizer's.
    """
    if completion.failure is not None:
        return completion.failure
    if completion.text is None or not completion.text.strip():
        thought = completion.reasoning_tokens
        after = f", {thought} of them reasoning" if thought else ""
        return f"empty: no text in {completion.output_tokens or 0} tokens{after}"
    if completion.finish_reason not in ("stop", "length"):
        return f"finish_reason: {completion.finish_reason!r} is neither stop nor length"
    count, limit = completion.output_tokens, completion.limit or request.max_tokens
    # An answer may be cut at its own limit, before reasoning has spent its budget.
    if completion.finish_reason == "length" and count is not None and count < request.max_tokens:
        return f"finish_reason: length after {count} tokens, but the limit is {request.max_tokens}"
    if count is not None and count > limit:
        return f"token_count: {count} tokens, but the limit is {limit}"
    if request.tokens and completion.input_tokens not in (None, len(request.tokens)):
        read, sent = completion.input_tokens, len(request.tokens)
        return f"token_count: the engine read {read} tokens of a prompt of {sent}"
    if chat is not None and completion.tokens:
        if count != len(completion.tokens):
            return f"token_count: the engine counted {count} tokens but gave {len(completion.tokens)}"
        ids = completion.tokens
        if completion.finish_reason == "stop" and ids[-1] in (*chat.end_tokens, *request.ends):
            ids = ids[:-1]
        spelt, said = _letters(chat.decode(ids)), _letters(completion.text)
        # An engine that stops at a text gives what stands before it, and the tokens of all.
        if completion.reasoning_tokens is not None:  # markers and cuts are between them
            parts = (said, _letters(completion.reasoning or ""))
            return None if all(p in spelt for p in parts) else "token_count: the tokens do not spell the text"
        if spelt != said and not (request.stops and spelt.startswith(said)):
            return "token_count: the tokens do not spell the text"
    return None


def _letters(text: str) -> str:
    """What two decoders must agree on: not on white space, nor on how many marks stand for broken UTF-8."""
    return "".join(text.split()).replace("\ufffd", "")


def _with_system(messages: Sequence[Message], system: str | None) -> list[Message]:
    """The study's system prompt before a chat; one that the conversation brings itself stays."""
    kept = ("role", "content", THOUGHT)
    plain: list[Message] = [{key: m[key] for key in kept if key in m} for m in messages]
    if system is None or plain[0]["role"] == "system":
        return plain
    return [{"role": "system", "content": system}, *plain]


def reason_of(failure: str) -> str:
    """The reason of a failure without its details, for counting."""
    return failure.partition(":")[0]

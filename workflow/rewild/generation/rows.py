"""Conversations to requests, completions to rows: rounds of turns, retries, checks on every answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rewild.core.conversations import Turn, iter_turns
from rewild.core.language import garbled, language, repetition
from rewild.engines.base import Completion, Engine, EngineError, Message, Request, Sampling
from rewild.engines.chat import Chat
from rewild.generation.fit import Fitted, fit
from rewild.generation.prepared import Prepared
from rewild.generation.spec import row_seed

log = logging.getLogger("rewild")

# An engine that has answered nothing yet and fails this many requests, each alone, is dead: better stop than
# record failures. One that has answered is asked once more for what it answered then.
DEAD = 3


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
class Responder:
    """One model that answers conversations.

    Attributes:
        model: made ready.
        engine: loaded.
    """

    model: Prepared
    engine: Engine
    _failed: set[str] = field(default_factory=set, init=False)
    _good: Request | None = field(default=None, init=False)

    def answer(self, conversations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer every user turn of every conversation: rows of the responses table, in order.

        Args:
            conversations: rows of a prompt shard, as dictionaries.

        Raises:
            EngineError: the engine cannot go on; nothing is returned then.
        """
        slots = [[Slot(c, t.index, t.prompt) for t in turns_of(c)] for c in conversations]
        if self.model.spec.history == "reference":
            # All turns at once, each conversation's beside one another: they share a prefix.
            self._run([slot for turns in slots for slot in turns])
        else:
            for turn in range(max(map(len, slots), default=0)):
                self._run([self._with_own_history(turns, turn) for turns in slots if turn < len(turns)])
        return [self._row(slot) for turns in slots for slot in turns]

    def _with_own_history(self, turns: list[Slot], turn: int) -> Slot:
        """A turn whose earlier assistant messages are the model's own answers."""
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
                    return slot
                context[position] = {"role": "assistant", "content": earlier.completion.text or ""}
        slot.context = tuple(context)
        return slot

    def _run(self, slots: list[Slot]) -> None:
        """Fit, generate, check; what failed is tried again, with another seed, up to the limit."""
        spec = self.model.spec
        slots = [s for s in slots if s.failure is None]
        chats = [_with_system(s.context, spec.system) for s in slots]
        found = fit(chats, self.model.chat, self.model.sizes[1], spec.over_long)
        for slot, fitted in zip(slots, found, strict=True):
            slot.fitted, slot.failure = fitted, fitted.failure
        pending = [s for s in slots if s.failure is None]
        sampling = Sampling(**spec.sampling.model_dump())
        for attempt in range(1, spec.attempts + 1):
            if not pending:
                break
            requests = [self._request(slot, attempt) for slot in pending]
            for slot, request, completion in zip(
                pending, requests, self._generate(requests, sampling), strict=True
            ):
                slot.attempts, slot.completion, slot.seed = attempt, completion, request.seed
                slot.failure = check(completion, request, self.model.chat)
            pending = [s for s in pending if s.failure is not None]
            if pending and attempt < spec.attempts:
                log.info(
                    "%d of %d rows failed and are tried again, first: %s",
                    len(pending),
                    len(slots),
                    pending[0].failure,
                )

    def _request(self, slot: Slot, attempt: int) -> Request:
        assert slot.fitted is not None
        spec, identity = self.model.spec, slot.conversation["conversation_id"]
        seed = row_seed(spec.seed, spec.model, identity, slot.turn, attempt)
        return Request(slot.name, slot.fitted.messages, slot.fitted.tokens, self.model.sizes[2], seed)

    def _generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Generate; if the engine throws, halve the requests to find the one that it cannot take.

        Raises:
            EngineError: it is not the request, it is the engine.
        """
        try:
            completions = self.engine.generate(requests, sampling)
        except EngineError:
            raise
        except Exception as error:
            log.warning(
                "the engine failed on %d requests: %s", len(requests), error, exc_info=len(requests) == 1
            )
            if len(requests) > 1:
                half = len(requests) // 2
                return self._generate(requests[:half], sampling) + self._generate(requests[half:], sampling)
            self._failed.add(requests[0].name)
            if self._is_dead(sampling):
                name = self.model.spec.model
                raise EngineError(
                    f"{name}: the engine died; none of its last {len(self._failed)} requests "
                    f"was answered, the last for {type(error).__name__}: {error}. Finished chunks are kept; "
                    "run again to go on"
                ) from error
            return [Completion(None, failure=f"engine: {type(error).__name__}: {str(error)[:200]}")]
        if len(completions) != len(requests):
            raise EngineError(f"the engine gave {len(completions)} answers to {len(requests)} requests")
        self._failed.clear()
        self._good = requests[0]
        return completions

    def _is_dead(self, sampling: Sampling) -> bool:
        """Whether a request that was answered before is not answered any more."""
        if self._good is None:
            return len(self._failed) >= DEAD
        try:
            self.engine.generate([replace(self._good, max_tokens=1)], sampling)
        except EngineError:
            raise
        except Exception:
            return True
        return False

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
            "failure": slot.failure,
            "finish_reason": last.finish_reason if last else None,
            "truncation": slot.fitted.truncation if slot.fitted else "none",
            "attempts": slot.attempts,
            "input_tokens": last.input_tokens if last else None,
            "output_tokens": last.output_tokens if last else None,
            "response_language": language(text) if text else None,
            "repetition": repetition(text) if text else None,
            "garbled": garbled(text) if text else None,
            "seed": slot.seed,
            "engine": self.model.spec.engine,
            "recipe": self.model.digest,
        }


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
        return f"empty: no text in {completion.output_tokens or 0} tokens"
    if completion.finish_reason not in ("stop", "length"):
        return f"finish_reason: {completion.finish_reason!r} is neither stop nor length"
    count = completion.output_tokens
    if completion.finish_reason == "length" and count is not None and count < request.max_tokens:
        return f"finish_reason: length after {count} tokens, but the limit is {request.max_tokens}"
    if count is not None and count > request.max_tokens:
        return f"token_count: {count} tokens, but the limit is {request.max_tokens}"
    if request.tokens and completion.input_tokens not in (None, len(request.tokens)):
        read, sent = completion.input_tokens, len(request.tokens)
        return f"token_count: the engine read {read} tokens of a prompt of {sent}"
    if chat is not None and completion.tokens:
        if count != len(completion.tokens):
            return f"token_count: the engine counted {count} tokens but gave {len(completion.tokens)}"
        ids = completion.tokens
        if completion.finish_reason == "stop" and ids[-1] in chat.end_tokens:
            ids = ids[:-1]
        if _letters(chat.decode(ids)) != _letters(completion.text):
            return "token_count: the tokens do not spell the text"
    return None


def _letters(text: str) -> str:
    """What two decoders must agree on: not on white space, nor on how many marks stand for broken UTF-8."""
    return "".join(text.split()).replace("\ufffd", "")


def _with_system(messages: Sequence[Message], system: str | None) -> list[Message]:
    """The study's system prompt before a chat; one that the conversation brings itself stays."""
    plain: list[Message] = [{"role": m["role"], "content": m["content"]} for m in messages]
    if system is None or plain[0]["role"] == "system":
        return plain
    return [{"role": "system", "content": system}, *plain]


def reason_of(failure: str) -> str:
    """The reason of a failure without its details, for counting."""
    return failure.partition(":")[0]

"""The interface of engines: answers, judgments, perplexity and rewards go through it. Nothing heavy here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rewild.config.engines import Ability, engines_that
from rewild.core.errors import RewildError

Message = Mapping[str, str]
"""``{"role": "system" | "user" | "assistant", "content": text}``."""


SPENT = "the limit of {} tokens was used up before any text (a model that reasons needs more)"


class EngineError(RewildError):
    """The engine itself cannot go on (not: one request failed). Finished work is kept; a rerun resumes."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; the same for all requests of a call.

    Attributes:
        temperature: 0 takes the likeliest token.
        top_p: choose among the likeliest tokens whose probabilities sum to this.
        top_k: choose among this many tokens; 0 is all.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True)
class Request:
    """One text to generate.

    Attributes:
        name: for messages, such as ``CONVERSATION/TURN``.
        messages: the chat, for engines that render it themselves.
        tokens: the rendered prompt, for engines that take token ids; empty if there is no tokenizer.
        max_tokens: longest answer, in tokens, the end token included.
        seed: of this request alone.
        top_logprobs: ask an endpoint for the log-probabilities of this many likely tokens; 0 asks for none.
    """

    name: str
    messages: tuple[Message, ...]
    tokens: tuple[int, ...]
    max_tokens: int
    seed: int
    top_logprobs: int = 0


@dataclass(frozen=True)
class Completion:
    """What came of a request: a text, or the reason why there is none.

    Attributes:
        text: the answer without its end token; None if the request failed.
        tokens: the generated ids, the end token included; empty where the engine does not tell.
        input_tokens: tokens of the prompt, as the engine counted them.
        output_tokens: tokens generated, the end token included, as the engine counted them.
        finish_reason: ``stop`` (an end token), ``length`` (the limit), or the engine's own word.
        failure: why there is no text.
        logprobs: per generated token, likely alternatives → natural logarithm of their probability, where
            an endpoint was asked for them.
        model: the name that an endpoint gives itself.
    """

    text: str | None
    tokens: tuple[int, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    failure: str | None = None
    logprobs: tuple[Mapping[str, float], ...] = ()
    model: str | None = None


@dataclass(frozen=True)
class Score:
    """Log-probabilities of a text under the model.

    Attributes:
        tokens: the ids that were scored.
        logprobs: natural logarithm of each token's probability given all before it; as long as ``tokens``.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Classified:
    """What a classification model says of a chat.

    Attributes:
        outputs: label → logit, as the model names and gives them; empty if it failed. A reward model has one.
        failure: why there are none, as ``reason: detail``.
    """

    outputs: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass
class Usage:
    """What an engine has spent since it was made. Seconds of wall clock; bytes."""

    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    peak_memory: int | None = None


@dataclass(frozen=True)
class About:
    """What an engine is, for the record: no secrets in here."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)


class Engine:
    """What engines can do; the table (:mod:`rewild.config.engines`) says which of it each can.

    An engine keeps a model loaded from its making to :meth:`close`.
    """

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer every request, in order. A failed request is a Completion with a reason.

        Raises:
            EngineError: this engine cannot generate, or cannot go on.
        """
        raise self._cannot("generate")

    def score(self, sequences: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Score]:
        """Log-probabilities of each ``(context, continuation)``'s continuation, both as token ids.

        Raises:
            EngineError: this engine cannot score, or cannot go on.
        """
        raise self._cannot("score")

    def classify(self, chats: Sequence[Sequence[Message]]) -> list[Classified]:
        """The outputs of a classification model for each chat, in order.

        Raises:
            EngineError: this engine cannot classify, or cannot go on.
        """
        raise self._cannot("classify")

    def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """A vector for each text, in order; all of one length.

        Raises:
            EngineError: this engine cannot embed, or cannot go on.
        """
        raise self._cannot("embed")

    def about(self) -> About:
        """Name, arguments, versions and hardware."""
        raise NotImplementedError

    def usage(self) -> Usage:
        """What was spent so far."""
        return Usage()

    def close(self) -> None:
        """Free the model and its memory."""

    def _cannot(self, what: Ability) -> EngineError:
        able = ", ".join(engines_that(what)) or "none"
        return EngineError(f"the engine '{self.about().name}' cannot {what} (engines that can: {able})")


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of Python and ``packages``; those that are not installed are left out."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor and cores that this process may use."""
    import os
    import platform

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"machine": platform.machine(), "system": platform.system(), "cores": cores}

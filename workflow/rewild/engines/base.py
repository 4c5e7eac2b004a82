"""The interface of engines: answers, judgments, perplexity and rewards go through it. Nothing heavy here."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from rewild.config.engines import Ability, engines_that
from rewild.core.errors import RewildError

Message = Mapping[str, str]
"""``{"role": "system" | "user" | "assistant", "content": text}``."""


log = logging.getLogger("rewild")

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
        repetition_penalty: divides the logits, if positive, of tokens of prompt and answer so far, and
            multiplies them, if negative (Keskar et al., 2019, over both as transformers and vLLM do).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class Request:
    """One text to generate.

    Attributes:
        name: for messages, such as ``CONVERSATION/TURN``.
        messages: the chat, for engines that render it themselves.
        tokens: the rendered prompt, for engines that take token ids; empty if there is no tokenizer.
        max_tokens: longest answer, in tokens, the end token included.
        seed: of this request alone.
        top_logprobs: ask for the log-probabilities of this many likely tokens; 0 asks for none.
        ends: ids that end it, besides those that end an answer.
        stops: texts that end it, and do not belong to it.
        form: a JSON schema that vLLM holds it to; the other engines pass it over, and vLLM for a model that
            reasons, which would have to reason in that form.
        plain: nothing in it is reasoning: it is no answer of the assistant's.
    """

    name: str
    messages: tuple[Message, ...]
    tokens: tuple[int, ...]
    max_tokens: int
    seed: int
    top_logprobs: int = 0
    ends: tuple[int, ...] = ()
    stops: tuple[str, ...] = ()
    form: str | None = None
    plain: bool = False


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
        logprobs: per generated token, likely alternatives → natural logarithm of their probability at
            temperature 1, where they were asked for.
        model: the name that an endpoint gives itself.
        reasoning: what it reasoned before it answered; never part of ``text``.
        reasoning_tokens: of that with its markers, of ``output_tokens``; None where nobody counted.
        limit: the most tokens that it could have, reasoning included; None: the request's.
    """

    text: str | None
    tokens: tuple[int, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    failure: str | None = None
    logprobs: tuple[Mapping[str, float], ...] = ()
    model: str | None = None
    reasoning: str | None = None
    reasoning_tokens: int | None = None
    limit: int | None = None


def cut_at(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """A text up to the first of some texts that end it, and whether one did.

    One that begins with a line break ends a text that begins with its rest, too: nothing was said.
    """
    whole = f"\n{text}"
    places = [at for stop in stops if (at := whole.find(stop)) >= 0]
    return (whole[1 : max(1, min(places))], True) if places else (text, False)


def likely(tokens: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Texts of tokens → natural logarithm of their probability; tokens of the same text are one."""
    found: dict[str, list[float]] = {}
    for text, logprob in tokens:
        found.setdefault(text, []).append(logprob)
    return {t: v[0] if len(v) == 1 else math.log(sum(map(math.exp, v))) for t, v in found.items()}


def never_ended(seconds: float | None) -> Completion:
    """What became of a request that took longer than it may."""
    why = f"no end after {seconds or 0:g} s (compute.request_seconds)"
    return Completion(None, failure=f"too_slow: {why}")


@dataclass(frozen=True)
class Score:
    """Log-probabilities of a text under the model.

    Attributes:
        tokens: the ids that were scored.
        logprobs: natural logarithm of each token's probability given all before it; as long as ``tokens``.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


Asked = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Token ids of a sequence; places in it, from 0; and at each place a token: how likely does it follow the
tokens up to there? A place is given as often as it has tokens."""


@dataclass(frozen=True)
class Classified:
    """What a classification model says of a chat.

    Attributes:
        outputs: label → logit, as the model names and gives them; empty if it failed. A reward model has one.
        failure: why there are none, as ``reason: detail``.
    """

    outputs: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True)
class Embedded:
    """A text as a vector.

    Attributes:
        tokens: that the model's tokenizer finds in it, special ones included.
        vector: a numpy array of float32; None if it failed.
        truncated: whether the vector is of its first tokens only.
        failure: why there is none, as ``reason: detail``.
    """

    tokens: int
    vector: Any = None
    truncated: bool = False
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


class Session:
    """Requests under way in an engine: they go in at any time, and come out as they are finished.

    Attributes:
        together: whether :meth:`wait` takes on what is there when it begins, and nothing until it ends. Such
            a session is given all that there is before it; any other whatever comes, at once.
    """

    together: ClassVar[bool] = False

    def add(self, number: int, request: Request, sampling: Sampling) -> None:
        """Take a request on.

        Args:
            number: names it among those under way.
            request: what to answer.
            sampling: how.
        """
        raise NotImplementedError

    def wait(self) -> list[tuple[int, Completion]]:
        """Work for a moment: what is finished, by its number, in any order; it may be nothing.

        Raises:
            EngineError: the engine cannot go on.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give up what is under way."""

    def all(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer some requests, in order, and close."""
        found: dict[int, Completion] = {}
        with closing(self):
            for number, request in enumerate(requests):
                self.add(number, request, sampling)
            while len(found) < len(requests):
                found.update(self.wait())
        return [found[number] for number in range(len(requests))]


class Engine:
    """What engines can do; the table (:mod:`rewild.config.engines`) says which of it each can.

    An engine keeps a model loaded from its making to :meth:`close`.

    Attributes:
        batch: requests that :meth:`generate` answers at once; None is any number.
    """

    batch: int | None = None

    def stream(self) -> Session:
        """A session in which requests are answered; one at a time.

        An engine that answers call by call is called again and again, with as many as it answers at once.
        """
        return Batches(self)

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

    def following(self, asked: Sequence[Asked]) -> list[list[float]]:
        """Natural log-probabilities of tokens that may follow, where the engine can ``score``.

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

    def embed(self, texts: Sequence[str]) -> list[Embedded]:
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


# An engine that has answered nothing yet and fails this many requests, each alone, is dead: better stop than
# record failures. One that has answered is asked once more for what it answered then.
DEAD = 3


class Batches(Session):
    """The session of an engine that answers call by call: the oldest request, and those nearest in length.

    A call that fails is halved, to find the request that the engine cannot take.
    """

    together = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: list[tuple[int, Request, Sampling]] = []
        self._failed: set[str] = set()
        self._good: Request | None = None

    def add(self, number: int, request: Request, sampling: Sampling) -> None:
        """See :class:`Session`."""
        self._queue.append((number, request, sampling))

    def wait(self) -> list[tuple[int, Completion]]:
        """See :class:`Session`."""
        if not self._queue:
            return []
        _, oldest, sampling = self._queue[0]
        length = len(oldest.tokens)
        like = sorted(
            (asked for asked in self._queue if asked[2] == sampling),
            key=lambda asked: abs(len(asked[1].tokens) - length),
        )[: self._engine.batch]
        numbers = {number for number, _, _ in like}
        self._queue = [asked for asked in self._queue if asked[0] not in numbers]
        answers = self._generate([request for _, request, _ in like], sampling)
        return [(number, answer) for (number, _, _), answer in zip(like, answers, strict=True)]

    def _generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        try:
            completions = self._engine.generate(requests, sampling)
        except (EngineError, MemoryError):
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
                raise EngineError(
                    f"the engine died; none of its last {len(self._failed)} requests was answered, the last "
                    f"for {type(error).__name__}: {error}"
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
            self._engine.generate([replace(self._good, max_tokens=1)], sampling)
        except EngineError:
            raise
        except Exception:
            return True
        return False


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

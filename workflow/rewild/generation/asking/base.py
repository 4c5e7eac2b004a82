"""What is asked of a judge and what it says: requests, replies, verdicts, and who reads them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar

from rewild.engines.base import Message


@dataclass(frozen=True)
class JudgeRequest:
    """One question to the judge. ``question``, ``turn`` and ``part`` name it within the benchmark.

    Attributes:
        question, turn: what is judged.
        part: which of several judgments of it (game-1, game-2).
        messages: the chat that the judge reads.
        template: name of the judge prompt and a hash of it; :func:`template_of` makes it.
        max_tokens: longest reply.
        temperature: 0 takes the likeliest token.
        top_logprobs: ask for the log-probabilities of this many likely tokens; 0 asks for none.
        state: for :meth:`Reader.parse`; not sent.
        form: a JSON schema that an engine is to hold the reply to, if it can.
    """

    question: str
    turn: int
    part: str
    messages: tuple[Message, ...]
    template: str
    max_tokens: int = 2048
    temperature: float = 0.0
    top_logprobs: int = 0
    state: Mapping[str, Any] = field(default_factory=dict)
    form: str | None = None


@dataclass(frozen=True)
class Reply:
    """What the judge said.

    Attributes:
        text: raw.
        logprobs: per generated token, likely alternatives → natural logarithm of their probability.
    """

    text: str
    logprobs: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a reply says: ``label`` as the judge wrote it, ``value`` as a number on the benchmark's scale."""

    label: str
    value: float


class Reader(ABC):
    """Reads replies of one form.

    Attributes:
        unable: what :meth:`parse` raises where the judge gives no log-probabilities and they are needed:
            after a few such replies asking stops.
    """

    unable: ClassVar[str | None] = None

    @abstractmethod
    def parse(self, reply: Reply, request: JudgeRequest) -> Verdict | None:
        """The verdict of a reply; None if it is unclear (the judge is then asked again)."""

    def unclear(self, reply: Reply, request: JudgeRequest) -> str:
        """Why :meth:`parse` found no verdict, in a few words."""
        return "no verdict in its form"

    def again(self, request: JudgeRequest, reply: Reply) -> JudgeRequest:
        """What is asked after an unclear reply; the same once more (with another seed) unless overridden."""
        return request


def template_of(name: str, *texts: str) -> str:
    """``NAME@DIGITS``: 12 hexadecimal digits over the prompt's texts."""
    return f"{name}@{sha256(json.dumps(texts).encode()).hexdigest()[:12]}"

"""The rubric's server, misbehaving as it is told: by the number of the call.

``500@3-9`` answers calls 3 to 9 with status 500, ``slow@1`` only the first call slowly, ``malformed`` all of
them with something that is no JSON.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewild.engines.rubric import server
from rewild.engines.rubric.forms import judge_text

STATUSES = {"429": "too many requests", "500": "a server's error", "401": "the key has expired"}
TEXTS = {
    "refusing": "I'm sorry, but I can't help with evaluating these responses.",
    "language": "Die Antwort ist ordentlich gegliedert und weitgehend richtig. Meine Note: acht von zehn.",
}
KINDS = (*STATUSES, *TEXTS, "hangup", "slow", "malformed", "biased")
SPEC = re.compile(rf"(?P<kind>{'|'.join(KINDS)})(?:@(?P<first>\d+)(?P<to>-)?(?P<last>\d+)?)?")


@dataclass(frozen=True)
class Fault:
    """One way to misbehave, for calls ``first`` to ``last`` (from 1; None is for ever)."""

    kind: str
    first: int = 1
    last: int | None = None

    def applies(self, call: int) -> bool:
        return self.first <= call and (self.last is None or call <= self.last)


def parse_fault(text: str) -> Fault:
    """Read ``KIND``, ``KIND@N``, ``KIND@N-`` or ``KIND@N-M``."""
    found = SPEC.fullmatch(text)
    assert found, f"unknown fault '{text}'"
    if found["first"] is None:
        return Fault(found["kind"])
    first = int(found["first"])
    last = first if found["to"] is None else int(found["last"]) if found["last"] else None
    return Fault(found["kind"], first, last)


class RubricServer(server.RubricServer):
    """The first fault that applies to a call counts; faults may be set while it runs."""

    def __init__(self, faults: Sequence[Fault] = (), delay: float = 5.0) -> None:
        super().__init__(0, Handler)
        self.faults, self.delay = tuple(faults), delay


class Handler(server.Handler):
    """The rubric, with faults."""

    server: RubricServer

    def answer(self, asked: dict[str, Any], messages: list[dict[str, str]], call: int) -> None:
        fault = next((f.kind for f in self.server.faults if f.applies(call)), "")
        if fault in STATUSES:
            return self.send(int(fault), {"error": {"message": STATUSES[fault]}}, {"Retry-After": "0.05"})
        if fault == "hangup":
            self.close_connection = True
            return None
        if fault == "slow":
            time.sleep(self.server.delay)
        if fault == "malformed":
            return self.send_bytes(200, b'{"choices": [{"mess')
        text = TEXTS.get(fault) or judge_text(messages)
        if fault == "biased":  # it prefers whatever stands first, or rates it 10
            text = re.sub(r"\[\[[AB<>=]+\]\]", "[[A>B]]", re.sub(r"\[\[\d+\]\]", "[[10]]", text))
        return self.send(200, server.completion(asked, messages, text))

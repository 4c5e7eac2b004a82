"""`rewild rubric-judge`: the rubric behind OpenAI's chat protocol, here. It can misbehave on demand.

What it does wrong is said beforehand, by the number of the call: ``500@3-9`` answers calls 3 to 9 with status
500, ``slow@1`` only the first call slowly, ``malformed`` all of them with something that is no JSON.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rewild.core.errors import ConfigError, nearest
from rewild.engines.rubric.forms import judge_text
from rewild.engines.rubric.grades import NAME

FAULTS = {
    "429": "too many requests",
    "500": "a server's error",
    "401": "the key has expired",
    "hangup": "the connection is closed",
    "slow": "the reply comes after --delay seconds",
    "malformed": "the reply is no JSON",
    "refusing": "the judge will not judge",
    "language": "the judge writes in another language, and no verdict",
    "biased": "the judge prefers whatever stands first, or rates it 10",
}
REFUSAL = "I'm sorry, but I can't help with evaluating these responses."
ANOTHER_LANGUAGE = "Die Antwort ist ordentlich gegliedert und weitgehend richtig. Meine Note: acht von zehn."
log = logging.getLogger("rewild")
LARGEST = 2**26  # bytes of one request
_SPEC = re.compile(r"(?P<kind>[a-z0-9]+)(?:@(?P<first>\d+)(?P<to>-)?(?P<last>\d+)?)?")


@dataclass(frozen=True)
class Fault:
    """One way to misbehave, for calls ``first`` to ``last`` (from 1; None is for ever)."""

    kind: str
    first: int = 1
    last: int | None = None

    def applies(self, call: int) -> bool:
        """Whether it is this call's turn."""
        return self.first <= call and (self.last is None or call <= self.last)


def parse_fault(text: str) -> Fault:
    """Read ``KIND``, ``KIND@N``, ``KIND@N-`` or ``KIND@N-M``.

    Raises:
        ConfigError: another form, or an unknown kind.
    """
    found = _SPEC.fullmatch(text)
    if found is None or found["kind"] not in FAULTS:
        kinds = ", ".join(FAULTS)
        raise ConfigError(
            f"unknown fault '{text}'{nearest(text.partition('@')[0], FAULTS)} (faults: {kinds})"
        )
    if found["first"] is None:
        return Fault(found["kind"])
    first = int(found["first"])
    if found["to"] is None:
        return Fault(found["kind"], first, first)
    return Fault(found["kind"], first, int(found["last"]) if found["last"] else None)


class RubricServer(ThreadingHTTPServer):
    """The rubric at ``http://127.0.0.1:PORT/v1``."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0, faults: Sequence[Fault] = (), delay: float = 5.0):
        """
        Args:
            port: 0 takes a free one.
            faults: what it does wrong, and when; the first that applies to a call counts.
            delay: seconds that a slow reply takes.

        Raises:
            ConfigError: the port is taken.
        """
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise ConfigError(f"port {port} cannot be used: {error.strerror}") from error
        self.faults, self.delay = tuple(faults), delay
        self.calls = 0
        self.counting = threading.Lock()

    @property
    def url(self) -> str:
        """Base URL, ending in ``/v1``."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is its own affair; anything else is said, without what was asked."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            log.error("the rubric could not answer a call: %s", type(error).__name__)

    def next_call(self) -> tuple[int, str | None]:
        """The number of a call, from 1, and what goes wrong with it."""
        with self.counting:
            self.calls += 1
            call = self.calls
        return call, next((fault.kind for fault in self.faults if fault.applies(call)), None)


class _Handler(BaseHTTPRequestHandler):
    server: RubricServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Nothing: prompts and keys belong in no log."""

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/models"):
            self._send(
                200, {"object": "list", "data": [{"id": NAME, "object": "model", "owned_by": "rewild"}]}
            )
        else:
            self._send(404, {"error": {"message": "there is POST /v1/chat/completions and GET /v1/models"}})

    def do_POST(self) -> None:  # noqa: PLR0911 (one fault after another)
        length = self.headers.get("Content-Length") or "0"
        if not (length.isascii() and length.isdigit() and int(length[:12]) <= LARGEST):
            self.close_connection = True
            return self._send(
                413, {"error": {"message": f"a length of at most {LARGEST} bytes was expected"}}
            )
        body = self.rfile.read(int(length))
        if not self.path.rstrip("/").endswith("/chat/completions"):
            return self._send(404, {"error": {"message": "there is POST /v1/chat/completions"}})
        try:
            asked = json.loads(body)
            messages = [{"role": str(m["role"]), "content": str(m["content"])} for m in asked["messages"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._send(400, {"error": {"message": "a chat completion request was expected"}})
        _, fault = self.server.next_call()
        if fault in ("429", "500", "401"):
            status = int(fault)
            return self._send(status, {"error": {"message": FAULTS[fault]}}, {"Retry-After": "0.05"})
        if fault == "hangup":
            self.close_connection = True
            return None
        if fault == "slow":
            time.sleep(self.server.delay)
        if fault == "malformed":
            return self._send_bytes(200, b'{"choices": [{"mess')
        text = {"refusing": REFUSAL, "language": ANOTHER_LANGUAGE}.get(fault or "") or judge_text(messages)
        if fault == "biased":
            text = re.sub(r"\[\[[AB<>=]+\]\]", "[[A>B]]", re.sub(r"\[\[\d+\]\]", "[[10]]", text))
        return self._send(200, completion(asked, messages, text))

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send_bytes(status, json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), headers)

    def _send_bytes(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass


def completion(asked: dict[str, Any], messages: Sequence[dict[str, str]], text: str) -> dict[str, Any]:
    """A chat completion. It names itself, whatever model it was asked for; its tokens are words.

    A request for log-probabilities is granted: the rubric is sure of every word it writes.
    """
    words = text.split()
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    if asked.get("logprobs"):
        sure = [{"token": word, "logprob": 0.0} for word in words]
        choice["logprobs"] = {"content": [{**token, "top_logprobs": [token]} for token in sure]}
    return {
        "object": "chat.completion",
        "model": NAME,
        "choices": [choice],
        "usage": {
            "prompt_tokens": sum(len(m["content"].split()) for m in messages),
            "completion_tokens": len(words),
        },
    }


@contextmanager
def serving(faults: Sequence[Fault] = (), delay: float = 5.0) -> Iterator[str]:
    """Run the rubric's server on a free port while the block runs; its URL."""
    server = RubricServer(0, faults, delay)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""`rewild rubric-judge`: the rubric behind OpenAI's chat protocol, on this machine."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rewild.core.errors import ConfigError
from rewild.engines.rubric.forms import judge_text
from rewild.engines.rubric.grades import NAME

log = logging.getLogger("rewild")
LARGEST = 2**26  # bytes of one request


class RubricServer(ThreadingHTTPServer):
    """The rubric at ``http://127.0.0.1:PORT/v1``."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0, handler: type[Handler] | None = None):
        """
        Args:
            port: 0 takes a free one.
            handler: of calls; None answers them by the rubric.

        Raises:
            ConfigError: the port is taken.
        """
        try:
            super().__init__(("127.0.0.1", port), handler or Handler)
        except OSError as error:
            raise ConfigError(f"port {port} cannot be used: {error.strerror}") from error
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

    def next_call(self) -> int:
        """The number of a call, from 1."""
        with self.counting:
            self.calls += 1
            return self.calls


class Handler(BaseHTTPRequestHandler):
    """Answers calls by the rubric."""

    server: RubricServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Nothing: prompts and keys belong in no log."""

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/models"):
            self.send(
                200, {"object": "list", "data": [{"id": NAME, "object": "model", "owned_by": "rewild"}]}
            )
        else:
            self.send(404, {"error": {"message": "there is POST /v1/chat/completions and GET /v1/models"}})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length") or "0"
        if not (length.isascii() and length.isdigit() and int(length[:12]) <= LARGEST):
            self.close_connection = True
            return self.send(413, {"error": {"message": f"a length of at most {LARGEST} bytes was expected"}})
        body = self.rfile.read(int(length))
        if not self.path.rstrip("/").endswith("/chat/completions"):
            return self.send(404, {"error": {"message": "there is POST /v1/chat/completions"}})
        try:
            asked = json.loads(body)
            messages = [{"role": str(m["role"]), "content": str(m["content"])} for m in asked["messages"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return self.send(400, {"error": {"message": "a chat completion request was expected"}})
        return self.answer(asked, messages, self.server.next_call())

    def answer(self, asked: dict[str, Any], messages: list[dict[str, str]], call: int) -> None:
        """Answer one well-formed request, the ``call``-th."""
        self.send(200, completion(asked, messages, judge_text(messages)))

    def send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """Send a status and a value as JSON."""
        self.send_bytes(status, json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), headers)

    def send_bytes(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a status and a body; a client that is gone is its own affair."""
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
def serving(server: RubricServer | None = None) -> Iterator[str]:
    """Run a server while the block runs; its URL.

    Args:
        server: None is the rubric's, on a free port.
    """
    server = server or RubricServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A local endpoint that misbehaves on demand: each prompt says what its answer shall be."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

from local_server import Handler, running


class Server(ThreadingHTTPServer):
    """Answers each request by what its prompt asks for; remembers what it saw."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[dict] = []
        self.headers: list[dict] = []
        self.tries: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}
        self.now = self.most = 0
        self.always: list[tuple[int, bytes, dict[str, str]]] = []  # what is answered, whatever is asked
        self.after = 0  # requests that are answered as they ask, before that
        self.lock = threading.Condition()

    def gather(self, number: int) -> None:
        """Wait until ``number`` requests have been under way at once."""
        with self.lock:
            self.lock.wait_for(lambda: self.most >= number, timeout=30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def serving() -> Iterator[Server]:
    """A server in a thread of its own."""
    with running(Server()) as made:
        yield made


class _Handler(Handler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # noqa: N802
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.seen.append(body | {"path": self.path})
            self.server.headers.append(dict(self.headers))
            self.server.tries[prompt] += 1
            self.server.times.setdefault(prompt, []).append(time.monotonic())
            nth = self.server.tries[prompt]
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            self.server.lock.notify_all()
        try:
            self.answer(prompt, nth)
        finally:
            with self.server.lock:
                self.server.now -= 1

    def answer(self, prompt: str, nth: int) -> None:  # noqa: PLR0911 (one case after another)
        if self.server.always and len(self.server.seen) > self.server.after:
            return self.send(*self.server.always[0])
        kind, _, rest = prompt.partition(" ")
        if kind == "slow":
            time.sleep(float(rest))
        if kind == "meet":  # until so many have been here at once; then a moment for one more to come
            self.server.gather(int(rest))
            time.sleep(0.05)
        if kind == "busy":  # 429, 500, 503 in turn, then an answer
            if nth <= int(rest):
                return self.send((429, 500, 503)[nth % 3], b"{}", {"Retry-After": "0.01"})
        elif kind == "wait" and nth == 1:
            return self.send(429, b"{}", {"Retry-After": rest})
        elif kind == "status":
            return self.send(int(rest), b'{"error": {"message": "context length exceeded"}}')
        elif kind == "raw":
            return self.send(200, rest.encode("latin-1"))
        elif kind == "hangup":
            self.close_connection = True
            return None
        elif kind == "huge":
            return self.send(200, b" " * (33 * 2**20))
        good = {
            "choices": [
                {"message": {"role": "assistant", "content": f"echo: {prompt}"}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 5, "completion_tokens": 3},
        }
        return self.send(200, json.dumps(good).encode())

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass

"""A server that speaks the hub's API, as far as it is asked: commits, small files, and faults."""

from __future__ import annotations

import json
import time
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from local_server import Handler

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LATER = "89abcdef0123456789abcdef0123456789abcdef"


class HubServer(ThreadingHTTPServer):
    """Repositories by kind and name; ``faults`` are done first, one per request of a path that ends so.

    A fault is a status, ``half`` (of what is promised), ``slow``, ``rubbish`` or ``no commit``.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[tuple[str, str], dict[str, Any]] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def add(self, kind: str, name: str, files: dict[str, bytes] | None = None, **info: Any) -> None:
        """A repository: ``sha``, ``gated``, ``cardData`` and whatever else the hub says of it."""
        named = [{"rfilename": path} for path in files or {}]
        self.repositories[kind, name] = {"sha": COMMIT, "gated": False, "siblings": named} | info
        self.files |= {(name, path): content for path, content in (files or {}).items()}

    def answer(self, path: str) -> tuple[int, bytes]:
        """What is there."""
        parts = unquote(path).strip("/").split("/")
        if parts[0] == "api" and parts[4:5] == ["revision"]:
            found = self.repositories.get((parts[1], "/".join(parts[2:4])))
            return (200, json.dumps(found).encode()) if found else (404, b"{}")
        content = self.files.get(("/".join(parts[:2]), "/".join(parts[4:])))
        return (404, b"") if content is None or parts[2:3] != ["resolve"] else (200, content)


class _Handler(Handler):
    server: HubServer

    def do_GET(self) -> None:  # noqa: N802
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        listed = next((f for end, f in self.server.faults.items() if self.path.endswith(end) and f), [])
        fault = listed.pop(0) if listed else ""
        status, body = self.server.answer(self.path)
        if fault.isdigit():
            status, body = int(fault), b"{}"
        body = {"rubbish": b"<html>", "no commit": b'{"sha": "main"}'}.get(fault, body)
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "7")
        if status == 403:
            self.send_header("X-Error-Message", "Access to model is restricted")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "slow":
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.02)
        else:
            self.wfile.write(body[: len(body) // 2] if fault == "half" else body)
        self.close_connection = True

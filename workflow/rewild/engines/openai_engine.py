"""Any OpenAI-compatible endpoint: a served vLLM, a commercial model, a judge.

Requests run side by side, a bounded number at once. What may pass by itself (429, 5xx, no connection) is
tried again with growing pauses; an answer is never trusted to have the shape it should have.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from rewild.engines.base import About, Completion, EngineError, Request, Sampling, Score, Usage, versions

log = logging.getLogger("rewild")

TRIES = 6  # per request, before it counts as a failure of the endpoint
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds
DEAD = 3  # times in a row that a request fails all its tries, and no other is answered: the endpoint is down
LARGEST = 32 * 2**20  # bytes of one answer; more is nonsense
FATAL = {401: "it refuses the key", 403: "it refuses access", 404: "there is no such address or model"}


@dataclass(eq=False)
class _TryError(Exception):
    """One try failed; ``wait`` is what the endpoint asked for, in seconds."""

    why: str
    passing: bool
    wait: float | None = None


class OpenAIEngine:
    """Chat completions over HTTP."""

    def __init__(
        self,
        model: str,
        endpoint: str,
        *,
        key: str | None = None,
        concurrency: int = 16,
        timeout: float = 300,
        context: int | None = None,
        pause: float = FIRST_PAUSE,
    ):
        """
        Args:
            model: the name that the endpoint knows it by.
            endpoint: base URL, up to and including ``/v1``.
            key: sent as a bearer token, and kept out of messages, logs and records.
            concurrency: requests at once.
            timeout: seconds for one answer.
            context: not used; the endpoint has its own.
            pause: first pause before a request is tried again, in seconds; it doubles each time.

        Raises:
            EngineError: the endpoint is no HTTP address, or the key cannot be one.
        """
        key = (key or "").strip()  # a key read from a file brings its line end
        if not (key.isascii() and key.isprintable()):
            raise EngineError("the endpoint's key holds a character that no key can have")
        try:
            self.url = httpx.URL(endpoint.rstrip("/") + "/chat/completions")
        except (httpx.InvalidURL, TypeError) as error:
            raise EngineError(f"the endpoint is not a URL: {error}") from error
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise EngineError("the endpoint must be a URL that begins with http:// or https://")
        self.shown = str(self.url.copy_with(userinfo=b"", query=None))
        self.model, self.concurrency, self.timeout, self.pause = model, concurrency, timeout, pause
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._answered = self._down = 0
        self._refused: set[str] = set()  # requests that failed all their tries while others were answered

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer every request; see :class:`rewild.engines.base.Engine`.

        Raises:
            EngineError: the endpoint refuses the key or does not know the model, or is down.
        """
        return asyncio.run(self._all(requests, sampling))

    async def _all(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        gate = asyncio.Semaphore(self.concurrency)
        limits = httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        async with httpx.AsyncClient(headers=self._headers, timeout=self.timeout, limits=limits) as client:

            async def one(request: Request) -> Completion:
                async with gate:
                    return await self._patiently(client, request, sampling)

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(request)) for request in requests]
            except* EngineError as errors:
                raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _patiently(self, client: httpx.AsyncClient, request: Request, sampling: Sampling) -> Completion:
        """Try until it works, or cannot, or has been tried enough."""
        jitter = random.Random(request.seed)
        failed, answered = _TryError("", False), self._answered
        for attempt in range(TRIES):
            try:
                completion = await self._once(client, request, sampling)
            except _TryError as error:
                failed = error
                if not failed.passing:
                    self._is_up()
                    return Completion(None, failure=f"endpoint: {failed.why}")
                if attempt + 1 < TRIES:
                    longest = min(self.pause * 2**attempt, LONGEST_PAUSE)
                    wait = longest * jitter.uniform(0.5, 1) if failed.wait is None else failed.wait
                    log.info("%s: %s; trying again in %.1f s", request.name, failed.why, wait)
                    await asyncio.sleep(wait)
                continue
            self._is_up()
            return completion
        if self._answered > answered:
            self._refused.add(request.name)
        self._down += request.name not in self._refused
        if self._down >= DEAD:
            raise EngineError(
                f"{self.shown} is down: {DEAD} requests in a row failed {TRIES} times each, the last with: "
                f"{failed.why}. Finished chunks are kept; run again to go on"
            )
        return Completion(None, failure=f"endpoint: {failed.why}, {TRIES} times")

    def _is_up(self) -> None:
        self._answered += 1
        self._down = 0

    async def _once(self, client: httpx.AsyncClient, request: Request, sampling: Sampling) -> Completion:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(m) for m in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed,
        }
        if sampling.top_k:  # not in OpenAI's own interface; vLLM and others know it
            body["top_k"] = sampling.top_k
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        try:
            async with asyncio.timeout(self.timeout), client.stream("POST", self.url, json=body) as response:
                content = b""
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > LARGEST:
                        raise _TryError(f"an answer of more than {LARGEST} bytes", passing=False)
        except (TimeoutError, httpx.TimeoutException):
            raise _TryError(f"no answer within {self.timeout:g} s", passing=True) from None
        except httpx.TransportError as error:
            raise _TryError(f"no connection ({type(error).__name__})", passing=True) from None
        except httpx.DecodingError:
            raise _TryError("malformed answer: it cannot be decompressed", passing=False) from None
        status = response.status_code
        if status in FATAL:
            raise EngineError(f"{self.shown} answers {status}: {FATAL[status]} ({self.model})")
        if status == 429 or status >= 500:
            raise _TryError(
                f"HTTP {status}", passing=True, wait=retry_after(response.headers.get("retry-after"))
            )
        if status != 200:
            raise _TryError(f"HTTP {status}: {_excerpt(content)}", passing=False)
        return read_answer(content)

    def score(self, sequences: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Score]:
        """Not possible: chat endpoints do not give the probabilities of a given text."""
        raise EngineError("an endpoint cannot score texts; use the engine transformers or vllm")

    def about(self) -> About:
        """Name and arguments; the key is not among them."""
        arguments = {"endpoint": self.shown, "model": self.model, "concurrency": self.concurrency}
        return About("openai", arguments, versions("httpx"), {"device": "endpoint"})

    def usage(self) -> Usage:
        """Nothing is known of the endpoint's own time and memory."""
        return Usage()

    def close(self) -> None:
        """Connections are closed after each call already."""


def read_answer(content: bytes) -> Completion:
    """A chat completion's body as a Completion; anything of another shape is a failure with its reason."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return Completion(None, failure=f"endpoint: malformed answer: not JSON: {_excerpt(content)}")
    try:
        choice = answer["choices"][0]
        text, reason = choice["message"]["content"], choice["finish_reason"]
    except (KeyError, IndexError, TypeError):
        return Completion(None, failure=f"endpoint: malformed answer: no choices: {_excerpt(content)}")
    if text is not None and not isinstance(text, str):
        return Completion(None, failure=f"endpoint: malformed answer: the content is a {type(text).__name__}")
    usage = answer.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    if text is not None:
        # Half a surrogate pair is valid JSON but no text; it could not be written to a file.
        text = text.encode("utf-8", "replace").decode("utf-8")
    return Completion(
        text=text,
        input_tokens=_count(counts.get("prompt_tokens")),
        output_tokens=_count(counts.get("completion_tokens")),
        finish_reason=reason if isinstance(reason, str) else None,
        logprobs=_logprobs(choice.get("logprobs")),
        model=answer["model"] if isinstance(answer.get("model"), str) else None,
    )


def _logprobs(value: Any) -> tuple[dict[str, float], ...]:
    """Alternatives per token, of OpenAI's ``choices[].logprobs``; nothing if it has another shape."""
    try:
        return tuple(
            {str(other["token"]): float(other["logprob"]) for other in token["top_logprobs"]}
            for token in value["content"]
        )
    except (KeyError, TypeError, ValueError):
        return ()


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, a number or a date (RFC 9110); None if it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), 10 * LONGEST_PAUSE) if math.isfinite(seconds) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def _excerpt(content: bytes) -> str:
    text = content[:200].decode("utf-8", "replace")
    return repr(" ".join(text.split())) if text.strip() else "nothing"

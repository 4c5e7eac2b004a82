"""Any OpenAI-compatible endpoint: a served vLLM, a commercial model, a judge.

Requests run side by side, a bounded number at once. What may pass by itself (429, 5xx, no connection) is
tried again with growing pauses; an answer is never trusted to have the shape it should have. What concerns
every request (no credit, no access, no such field) stops the job after a few. Only an answered 200 is "up".
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx

from rewild.config.endpoint import NEUTRAL, Takes, without_secrets
from rewild.config.reasoning import Reasoning, arguments_of, tokens_of
from rewild.engines.base import (
    SPENT,
    About,
    Completion,
    Engine,
    EngineError,
    Request,
    Sampling,
    Session,
    versions,
)
from rewild.engines.thinking import Told, markers_of, never_stopped, tell_text
from rewild.engines.wire import (
    LARGEST,
    RefusalError,
    judge_status,
    make_client,
    read_answer,
    read_body,
    read_completion,
    retry_after,
)

__all__ = ["LARGEST", "OpenAIEngine", "read_answer", "retry_after"]

log = logging.getLogger("rewild")

TRIES = 6  # per request, before it counts as a failure of the endpoint
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds
DEAD = 3  # times in a row that a request fails all its tries, and no other is answered: the endpoint is down
FEW = {
    "request": 3,
    "answer": 6,
}  # refused, or answered with nothing usable, one after another: is it the endpoint?
AT_FIRST = 3  # requests under way before anything is known of the endpoint
MOMENT = 1.0  # seconds without any outcome, after which whoever waits may say something
PATIENCE = 2.0  # seconds without any outcome, after which one more is let through


class _Gate:
    """Lets few requests through until one is answered, then ``most`` at once."""

    def __init__(self, most: int, known: bool):
        self._most, self._free = most, most if known else min(AT_FIRST, most)
        self._let = self._free
        self._last = 0.0  # when one more was let through for want of news
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        time = asyncio.get_running_loop().time
        self._last = self._last or time()
        async with self._changed:
            while not self._free:
                try:
                    await asyncio.wait_for(self._changed.wait(), PATIENCE)
                except TimeoutError:
                    if time() - self._last >= PATIENCE:
                        self._last = time()
                        self._more(1)
            self._free -= 1

    async def __aexit__(self, error: object, *_: object) -> None:
        if error is not None:
            return  # all is being given up: nobody else goes through
        async with self._changed:
            self._free += 1
            self._changed.notify()

    def _more(self, number: int) -> None:
        number = min(number, self._most - self._let)
        self._free += number
        self._let += number

    async def open(self, number: int | None = None) -> None:
        """Let so many more through; None: as many as may be."""
        if self._let < self._most:
            async with self._changed:
                self._more(self._most if number is None else number)
                self._changed.notify_all()


class _Stream(Session):
    """Requests to an endpoint. Its event loop runs while somebody waits."""

    def __init__(self, engine: OpenAIEngine) -> None:
        self._engine = engine
        self._runner = asyncio.Runner()
        self._gate = _Gate(engine.concurrency, bool(engine._answered))
        self._checking = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None
        self._new: list[tuple[int, Request, Sampling]] = []
        self._tasks: dict[asyncio.Task[Completion], int] = {}
        self._fault: BaseException | None = None
        self._sampling = Sampling()  # of the last one

    def add(self, number: int, request: Request, sampling: Sampling) -> None:
        """See :class:`rewild.engines.base.Session`."""
        self._new.append((number, request, sampling))

    def wait(self) -> list[tuple[int, Completion]]:
        """See :class:`rewild.engines.base.Session`."""
        if self._fault is not None:
            raise self._fault
        return self._runner.run(self._some())

    async def _some(self) -> list[tuple[int, Completion]]:
        engine = self._engine
        if self._client is None:
            self._client = make_client(engine.url, engine._headers, engine.timeout, engine.concurrency)
        new, self._new = self._new, []
        for number, request, sampling in new:
            self._tasks[asyncio.create_task(self._one(self._client, request, sampling))] = number
            self._sampling = sampling
        if not self._tasks:
            return []
        done, _ = await asyncio.wait(self._tasks, timeout=MOMENT, return_when=asyncio.FIRST_COMPLETED)
        found = []
        for task in done:
            number = self._tasks.pop(task)
            if task.exception() is None:
                found.append((number, task.result()))
            else:
                self._fault = self._fault or task.exception()
        # Nothing was ever answered: that a request was refused says nothing of the request.
        streak = engine._streak.values()
        if (
            self._fault is None
            and not self._tasks
            and not engine._answered
            and any(r.about == "request" for _, r in streak)
        ):
            await engine._check(self._client, self._sampling)
        if self._fault is not None and not found:
            raise self._fault
        return found

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _one(self, client: httpx.AsyncClient, request: Request, sampling: Sampling) -> Completion:
        async with self._gate:
            return await self._engine._patiently(client, request, sampling, self._gate, self._checking)

    def close(self) -> None:
        """See :class:`rewild.engines.base.Session`."""
        self._runner.run(self._end())
        self._runner.close()


class OpenAIEngine(Engine):
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
        takes: Takes | None = None,
        neutral: bool = False,
        reasoning: Reasoning | None = None,
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
            takes: which fields it takes; None is all of ours.
            neutral: send every sampling field that a server of open weights would else fill by itself.
            reasoning: how the model reasons: arguments of its template are sent as ``chat_template_kwargs``
                (vLLM, SGLang), and what the server leaves in the answer is told from it by its markers.

        Raises:
            EngineError: the endpoint is no HTTP address, or the key cannot be one.
        """
        key = (key or "").strip()  # a key read from a file brings its line end
        if not (key.isascii() and key.isprintable()):
            raise EngineError("the endpoint's key holds a character that no key can have")
        try:
            base = httpx.URL(endpoint)
            self.url = base.copy_with(path=base.path.rstrip("/") + "/chat/completions")
        except (httpx.InvalidURL, TypeError, ValueError):
            # The reason may repeat the address, and with it a password.
            raise EngineError("the endpoint is not a URL") from None
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise EngineError("the endpoint must be a URL that begins with http:// or https://")
        self.shown = without_secrets(str(self.url)) or ""
        self.model, self.concurrency, self.timeout, self.pause = model, concurrency, timeout, pause
        self.takes = takes or Takes.model_validate({})
        self.neutral = dict(NEUTRAL) if neutral else {}
        self.reasoning = reasoning
        self.markers = markers_of(reasoning) if reasoning else ()
        self._key = key
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._answered = self._down = 0
        self._refused: set[str] = set()  # requests that were refused while others were answered
        self._streak: dict[str, tuple[Request, RefusalError]] = {}  # refused since the last answer, by name
        self._good: tuple[Request, Sampling] | None = None  # one that was answered
        self.billed = 0  # answers of status 200 so far

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer every request; see :class:`rewild.engines.base.Engine`.

        Raises:
            EngineError: the endpoint refuses every request, or is down.
        """
        return self.stream().all(requests, sampling)

    def stream(self) -> Session:
        """Requests side by side; see :class:`rewild.engines.base.Engine`."""
        return _Stream(self)

    async def _patiently(
        self,
        client: httpx.AsyncClient,
        request: Request,
        sampling: Sampling,
        gate: _Gate,
        checking: asyncio.Lock,
    ) -> Completion:
        """Try until it works, or cannot, or has been tried enough."""
        jitter = random.Random(request.seed)
        failed, answered = RefusalError("", "passing"), self._answered
        for attempt in range(TRIES):
            try:
                completion = await self._once(client, request, sampling)
            except RefusalError as refusal:
                failed = refusal.bare()
                if refusal.about == "all":
                    raise EngineError(f"{self.shown} {refusal.why} ({self.model})") from None
                if refusal.about != "passing":
                    async with checking:
                        await self._refuse(client, request, sampling, refusal)
                    return self._failure(refusal, f"endpoint: {refusal.why}")
                await gate.open(1)  # it says nothing of the others
                if attempt + 1 < TRIES:
                    longest = min(self.pause * 2**attempt, LONGEST_PAUSE)
                    wait = longest * jitter.uniform(0.5, 1) if refusal.wait is None else refusal.wait
                    log.info("%s: %s; trying again in %.1f s", request.name, refusal.why, wait)
                    await asyncio.sleep(wait)
                continue
            if self.reasoning is not None:
                completion = self._apart(request, completion)
            if completion.text is None and completion.finish_reason == "length" and self.reasoning is None:
                async with checking:
                    limit = self.takes.limit(request.max_tokens)
                    await self._refuse(client, request, sampling, RefusalError(SPENT.format(limit), "answer"))
                return completion
            self._is_up(request, sampling)
            await gate.open()
            return completion
        if self._answered > answered:
            self._refused.add(request.name)
        self._down += request.name not in self._refused
        if self._down >= DEAD:
            raise EngineError(
                f"{self.shown} is down: {DEAD} requests in a row failed {TRIES} times each, the last with: "
                f"{failed.why}"
            )
        return self._failure(failed, f"endpoint: {failed.why}, {TRIES} times")

    def _apart(self, request: Request, completion: Completion) -> Completion:
        """A completion of a model that reasons: without what of it the server left in the answer."""
        text, reasoning, budget = completion.text or "", completion.reasoning, tokens_of(self.reasoning)
        limit = self.takes.limit(request.max_tokens + budget)
        cut, count = completion.finish_reason == "length", completion.reasoning_tokens
        told = Told(reasoning, text, closed=bool(text.strip()) or not cut, tokens=count)
        if reasoning is None:
            for markers in self.markers:
                found = tell_text(text, markers)
                if found.begins or not found.closed:
                    told = replace(found, tokens=count)
                    break
        if not told.answer.strip() and told.reasoning:
            told = replace(told, closed=False)
        failure = never_stopped(told, budget or None, cut=cut)
        answer = None if failure else told.answer
        return replace(completion, text=answer, reasoning=told.reasoning, failure=failure, limit=limit)

    @staticmethod
    def _failure(refusal: RefusalError, failure: str) -> Completion:
        return replace(refusal.completion or Completion(None), text=None, failure=failure)

    def _is_up(self, request: Request, sampling: Sampling) -> None:
        self._answered += 1
        self._down = 0
        self._good = self._good or (request, sampling)
        self._refused.update(self._streak)
        self._streak.clear()

    async def _refuse(
        self, client: httpx.AsyncClient, request: Request, sampling: Sampling, refusal: RefusalError
    ) -> None:
        """Note that a request was refused; after a few in a row, find out whether it is the endpoint.

        Raises:
            EngineError: it is.
        """
        if request.name in self._refused:
            return
        self._streak[request.name] = request, refusal.bare()
        if len(self._streak) < FEW[refusal.about]:
            return
        same = {r.why for _, r in self._streak.values()}
        if not self._answered and len(same) == 1 and refusal.about == "request":
            raise self._hopeless(refusal)
        await self._check(client, sampling)

    async def _check(self, client: httpx.AsyncClient, sampling: Sampling) -> None:
        """Ask something that can be answered: what was answered before, else a greeting with the same fields.

        Raises:
            EngineError: it is not answered either.
        """
        refused, last = list(self._streak.values())[-1]
        greeting = replace(refused, name="a greeting", messages=({"role": "user", "content": "Hello!"},))
        request, how = self._good or (greeting, sampling)
        try:
            completion = await self._once(client, request, how)
        except RefusalError as refusal:
            if refusal.about == "passing":
                return  # nothing is known; the next one may tell
            raise self._hopeless(last) from None
        if completion.text is None:
            raise self._hopeless(last)
        self._is_up(request, how)

    def _hopeless(self, refusal: RefusalError) -> EngineError:
        hint = ""
        if refusal.about == "request":
            hint = "; a field that it does not take is named in models.yaml (endpoint: rename, drop, add)"
        elif "tokens was used up" in refusal.why:
            hint = "; raise the limit on answers, or endpoint.least_tokens in models.yaml"
        return EngineError(
            f"{self.shown} refuses every request, not only one ({self.model}): {refusal.why}{hint}"
        )

    def _body(self, request: Request, sampling: Sampling) -> bytes:
        fields: dict[str, Any] = {
            "max_tokens": request.max_tokens + tokens_of(self.reasoning),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed,
            **self.neutral,
        }
        if sampling.top_k:  # not in OpenAI's own interface; vLLM and others know it
            fields["top_k"] = sampling.top_k
        if sampling.repetition_penalty != 1:
            fields["repetition_penalty"] = sampling.repetition_penalty
        if request.top_logprobs:
            fields |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        asked: dict[str, Any] = {"model": self.model, "messages": [dict(m) for m in request.messages]}
        if told := arguments_of(self.reasoning):
            asked["chat_template_kwargs"] = told
        body = asked | self.takes.body(fields)
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    async def _once(self, client: httpx.AsyncClient, request: Request, sampling: Sampling) -> Completion:
        body = self._body(request, sampling)
        try:
            async with (
                asyncio.timeout(self.timeout),
                client.stream("POST", self.url, content=body) as response,
            ):
                content = await read_body(response)
        except (TimeoutError, httpx.TimeoutException):
            raise RefusalError(f"no answer within {self.timeout:g} s", "passing") from None
        except httpx.ProxyError as error:
            raise RefusalError(f"no way through the proxy ({str(error)[:80]})", "passing") from None
        except (httpx.TransportError, httpx.StreamError) as error:
            raise RefusalError(f"no connection ({type(error).__name__})", "passing") from None
        self.billed += response.status_code == 200
        if refusal := judge_status(response.status_code, response.headers, content, self._key):
            raise refusal
        return read_completion(content, self._key)

    def about(self) -> About:
        """Name and arguments; the key is not among them."""
        arguments: dict[str, Any] = {
            "endpoint": self.shown,
            "model": self.model,
            "concurrency": self.concurrency,
        }
        if self.neutral:
            arguments["sent"] = self.takes.body(self.neutral)
        if self.takes.identity:
            arguments["takes"] = self.takes.identity
        return About("openai", arguments, versions("httpx"), {"device": "endpoint"})

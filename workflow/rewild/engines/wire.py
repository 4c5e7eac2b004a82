"""Between us and an endpoint: the client, how much of an answer is read, and what is believed of it.

Nothing here knows of tries or pauses; :mod:`rewild.engines.openai_engine` does.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx

from rewild.core.hosts import proxied, proxies
from rewild.engines.base import Completion, EngineError

LARGEST = 32 * 2**20  # bytes of one answer, packed or not; more is nonsense
ENOUGH = 2**16  # bytes of an error's body that are read
MOST_PARTS = 4_000_000  # of an answer's JSON: each takes some 60 bytes of memory
LONGEST_WAIT = 600.0  # seconds that Retry-After may ask for
MOST_TOKENS = 2**27  # of one call; the sum over ten calls still fits a column
CERTAIN = 1e-3  # a logarithm of a probability above 0 by no more than this is rounding
PASSING = frozenset({408, 409, 425, 429})  # and 5xx: may pass by itself
MAYBE_OURS = frozenset({400, 413, 422})  # may be about this one request; every other status is about all
WORDS = {
    401: "it refuses the key",
    402: "it wants to be paid",
    403: "it refuses access",
    404: "there is no such address or model",
    405: "it takes no chat completions",
    407: "a proxy refuses access",
    410: "it is gone",
}
NAMED = {
    "passing": ("rate_limit", "overloaded", "server_error", "unavailable", "timeout", "too_many_requests"),
    "all": ("api_key", "authentication", "unauthorized", "permission", "model_not_found", "deactivated"),
}
"""What an error inside an answer of 200 is about, by words of its code or type, where it has no number."""
BROKE = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_credits"}
)


@dataclass(eq=False)
class RefusalError(Exception):
    """An endpoint answered, but not what was asked for.

    Attributes:
        why: for the record.
        about: ``passing`` (try again), ``request`` (perhaps this one), ``all`` (every request), ``answer``
            (it answered 200, with nothing that can be used).
        wait: seconds that it asks to wait.
        completion: what an error came with, such as tokens that are on the bill.
    """

    why: str
    about: str
    wait: float | None = None
    completion: Completion | None = None

    def bare(self) -> Self:
        """Itself, to be kept: without the traceback, whose frames hold the body of the answer."""
        self.__traceback__ = self.__context__ = None
        return self


def make_client(
    url: httpx.URL, headers: dict[str, str], timeout: float, connections: int
) -> httpx.AsyncClient:
    """A client for one endpoint.

    Raises:
        EngineError: a proxy or a certificate file of the environment that cannot be used.
    """
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    # Without a transport of its own, a client goes through what the environment names. A certificate of one's
    # own (SSL_CERT_FILE) counts either way.
    try:
        return httpx.AsyncClient(
            # Unpacking is ours: a small answer may unpack to gigabytes.
            headers={**headers, "Accept-Encoding": "identity", "Content-Type": "application/json"},
            timeout=timeout,
            limits=limits,
            transport=None
            if proxied(url.host)
            else httpx.AsyncHTTPTransport(verify=url.scheme == "https", limits=limits),
        )
    except (ImportError, ValueError, TypeError, httpx.InvalidURL) as error:
        kind = (
            "SOCKS proxies are not supported"
            if isinstance(error, ImportError)
            else "it is not the URL of one"
        )
        raise EngineError(
            f"the proxy of the environment ({', '.join(proxies())}) cannot be used: {kind}; give an "
            "http:// one, or name the endpoint in no_proxy"
        ) from None
    except OSError as error:
        raise EngineError(
            f"certificates cannot be read (SSL_CERT_FILE, SSL_CERT_DIR): {error.strerror}"
        ) from error


async def read_body(response: httpx.Response) -> bytes:
    """The body of an answer, as it was before it was packed; of an error, its beginning.

    Raises:
        RefusalError: it is too long, or packed in a way that was not asked for.
    """
    most = LARGEST if response.status_code == 200 else ENOUGH
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > most:
            if most == ENOUGH:
                return bytes(content[:most])
            raise RefusalError(f"an answer of more than {LARGEST} bytes", "answer")
    packed = response.headers.get("content-encoding", "").lower()
    for name in reversed([part.strip() for part in packed.split(",") if part.strip()]):
        if name == "identity":
            continue
        if name not in ("gzip", "x-gzip", "deflate"):
            raise RefusalError("malformed answer: an encoding that was not asked for", "answer")
        content = bytearray(_unpacked(bytes(content), most))
    return bytes(content)


def _unpacked(content: bytes, most: int) -> bytes:
    for bits in (47, -15):  # gzip or zlib by their headers, else bare deflate
        unpack = zlib.decompressobj(bits)
        try:
            found = unpack.decompress(content, most + 1)
        except zlib.error:
            continue
        if len(found) > most:
            del found
            raise RefusalError(f"an answer of more than {most} bytes", "answer")
        if not unpack.eof:
            break
        return found
    raise RefusalError("malformed answer: it cannot be decompressed", "answer")


def judge_status(status: int, headers: httpx.Headers, content: bytes, key: str = "") -> RefusalError | None:
    """What a status says; None only for 200. The endpoint's own words are part of it, but never the key."""
    if status == 200:
        return None
    said = words_of(content, key)
    because = f": {said}" if said else ""
    if error_code(content) in BROKE:
        return RefusalError(f"answers {status}: {WORDS[402]}{because}", "all")
    if status in PASSING or status >= 500:
        return RefusalError(f"HTTP {status}", "passing", retry_after(headers.get("retry-after")))
    if status in MAYBE_OURS:
        return RefusalError(f"HTTP {status}{because}", "request")
    if 300 <= status < 400:
        there = headers.get("location")
        where = f" ({clean(_place(there))})" if there else ""
        return RefusalError(
            f"answers {status}: it sends elsewhere{where}; give the address that answers itself", "all"
        )
    why = WORDS.get(status, "an answer to a chat completion is 200" if status < 300 else "it refuses")
    return RefusalError(f"answers {status}: {why}{because}", "all")


def _place(url: str) -> str:
    try:
        found = httpx.URL(url)
        return str(found.copy_with(userinfo=b"", query=None, fragment=None))[:200]
    except (httpx.InvalidURL, TypeError, ValueError):
        return "an address that is none"


def read_answer(content: bytes) -> Completion:
    """A chat completion's body as a Completion; anything of another shape is a failure with its reason."""
    try:
        return read_completion(content)
    except RefusalError as refusal:
        done = refusal.completion or Completion(None)
        return Completion(
            None,
            input_tokens=done.input_tokens,
            output_tokens=done.output_tokens,
            finish_reason=done.finish_reason,
            failure=f"endpoint: {refusal.why}",
            model=done.model,
        )


def read_completion(content: bytes, key: str = "") -> Completion:
    """A chat completion's body.

    Every field is cleaned: no text has half a surrogate pair, no number is NaN or beyond what can be stored.

    Raises:
        RefusalError: it is no completion, or an error inside an answer of status 200.
    """
    try:
        if sum(map(content.count, (b",", b"[", b"{"))) > MOST_PARTS:
            raise ValueError
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise RefusalError(f"malformed answer: not JSON: {excerpt(content, key)}", "answer") from None
    usage = answer.get("usage") if isinstance(answer, dict) else None
    counts = usage if isinstance(usage, dict) else {}
    details = found if isinstance(found := counts.get("completion_tokens_details"), dict) else {}
    about: dict[str, Any] = {
        "input_tokens": _count(counts.get("prompt_tokens")),
        "output_tokens": _count(counts.get("completion_tokens")),
        "model": clean(answer["model"])[:200]
        if isinstance(answer, dict) and isinstance(answer.get("model"), str)
        else None,
    }
    if error := _error_in(answer):
        raise _inner(error, content, Completion(None, **about), key)
    try:
        choice = answer["choices"][0]
        message, reason = choice["message"], choice.get("finish_reason")
        text = message["content"]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise RefusalError(
            f"malformed answer: no choices: {excerpt(content, key)}",
            "answer",
            completion=Completion(None, **about),
        ) from None
    if reason == "error":  # OpenRouter's way to say that a provider broke off
        raise RefusalError("an error ended the answer", "passing", completion=Completion(None, **about))
    thought = _thought(message)
    if parts := _text_parts(text):
        text = "".join(parts)
    if text is not None and not isinstance(text, str):
        raise RefusalError(
            f"malformed answer: the content is a {type(text).__name__}",
            "answer",
            completion=Completion(None, **about),
        )
    return Completion(
        text=None if text is None else clean(text),
        finish_reason=clean(reason)[:80] if isinstance(reason, str) else None,
        logprobs=_logprobs(choice.get("logprobs")),
        reasoning=clean(thought).strip() or None if thought else None,
        reasoning_tokens=_count(details.get("reasoning_tokens")),
        **about,
    )


def _thought(message: Any) -> str | None:
    """What was reasoned, where a server tells it from the answer: vLLM's and OpenRouter's ``reasoning``,
    ``reasoning_content`` of DeepSeek, SGLang and others, or parts of the content (Mistral)."""
    for key in ("reasoning_content", "reasoning"):
        if isinstance(message, dict) and isinstance(message.get(key), str) and message[key]:
            return str(message[key])
    parts = message.get("content") if isinstance(message, dict) else None
    if not isinstance(parts, list):
        return None
    thoughts = [p.get("thinking") for p in parts if isinstance(p, dict) and p.get("type") == "thinking"]
    texts = [
        part.get("text")
        for thought in thoughts
        for part in (thought if isinstance(thought, list) else [{"text": thought}])
        if isinstance(part, dict)
    ]
    return "".join(text for text in texts if isinstance(text, str)) or None


def _text_parts(content: Any) -> list[str]:
    """The texts of a content in parts, without what was thought (Mistral's way); empty for any other form."""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return []
    texts = [part.get("text") for part in content if part.get("type") == "text"]
    return [text for text in texts if isinstance(text, str)] if all(isinstance(t, str) for t in texts) else []


def _error_in(answer: Any) -> Any:
    """The error that an answer of status 200 holds, in place of a choice or in it."""
    if not isinstance(answer, dict):
        return None
    if answer.get("error"):
        return answer["error"]
    if answer.get("object") == "error":
        return answer
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return (first.get("error") or None) if isinstance(first, dict) else None


def _inner(error: Any, content: bytes, done: Completion, key: str) -> RefusalError:
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and re.fullmatch(r"[1-5][0-9]{2}", code):
        code = int(code)
    said = words_in(error, key) or "it does not say which"
    number = code if isinstance(code, int) and not isinstance(code, bool) else 400
    if error_code(content) in BROKE or number in (401, 402, 403, 404):
        return RefusalError(
            f"answers with an error: {WORDS.get(number, WORDS[402])}: {said}", "all", completion=done
        )
    about = "passing" if number in PASSING or 500 <= number < 600 else "request"
    if number == 400 and isinstance(error, dict):
        names = " ".join(str(error.get(key, "")) for key in ("code", "type", "status")).lower()
        about = next((a for a, words in NAMED.items() if any(word in names for word in words)), about)
    if about == "all":
        return RefusalError(f"answers with an error: {said}", about, completion=done)
    return RefusalError(f"an error in the answer: {said}", about, completion=done)


def error_code(content: bytes) -> str | None:
    """The code or type that an error names."""
    try:
        error = json.loads(content)["error"]
        names = [error.get("code"), error.get("type")]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return next((name for name in names if isinstance(name, str) and name in BROKE), None)


def words_of(content: bytes, key: str = "") -> str:
    """What an endpoint says of an error, in one line of plain characters; without the key."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = content[: 2000 + len(key)].decode("utf-8", "replace")
    return words_in(found, key)


def words_in(found: Any, key: str = "") -> str:
    """The same of an error that is read already."""
    for name in ("error", "message", "detail", "msg"):
        while isinstance(found, list) and found:
            found = found[0]
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    try:
        text = found if isinstance(found, str) else json.dumps(found) if found else ""
    except RecursionError:
        text = ""
    text = _without(clean(text[: 2000 + len(key)]), key)[:2000]  # before it is cut, the key whole
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def _without(text: str, key: str) -> str:
    return text.replace(key, "***") if len(key) > 3 else text


def clean(text: str) -> str:
    """A text that can be written to a file: half a surrogate pair is valid JSON but no text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _logprobs(value: Any) -> tuple[dict[str, float], ...]:
    """Alternatives per token, of OpenAI's ``choices[].logprobs``; nothing if it has another shape.

    A token with an alternative that is no logarithm of a probability has no alternatives: the odds of the
    others would be made up. Minus infinity is a probability of 0, and is left out.
    """
    try:
        return tuple(_alternatives(token["top_logprobs"]) for token in value["content"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return ()


def _alternatives(likely: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for other in likely:
        token, value = other["token"], other["logprob"]
        if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError
        number = float(value)
        if math.isnan(number) or number > CERTAIN:
            return {}
        if number > -math.inf:
            found[clean(token)] = min(number, 0.0)
    return found


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, a number or a date (RFC 9110); None if it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if math.isfinite(seconds) else None


def _count(value: Any) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if fits else None


def excerpt(content: bytes, key: str = "") -> str:
    """The beginning of a body, for messages; without the key."""
    text = _without(content[: 200 + len(key)].decode("utf-8", "replace"), key)[:200]
    return repr(" ".join(text.split())) if text.strip() else "nothing"

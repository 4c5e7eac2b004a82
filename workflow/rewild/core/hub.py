"""The hub's API: what a repository holds, its present commit, and small files of it.

Nothing that it says is believed: answers have a bound in size and time, and each refusal is a message that
says what to do. The token (``HF_TOKEN``, or the file that the hub's own tools keep) is shown nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal
from urllib.parse import quote

from rewild.core.errors import ConfigError, DataError, RewildError, first_line, masked
from rewild.core.hosts import proxied
from rewild.core.reading import decode, parse_json

PUBLIC = "https://huggingface.co"
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
TRIES, SECONDS, LONGEST = 4, 30, 300
"""Of one request: how often, seconds without a byte, seconds for the whole answer."""
WAIT = 60  # seconds at most that a hub which is asked too much (429) is waited for, each time
LARGEST = 64 << 20  # bytes; a tokenizer has up to 35 million
Kind = Literal["models", "datasets"]
ONE = {"models": "model", "datasets": "data set"}
COMMIT = re.compile(r"[0-9a-f]{40}")


class AwayError(RewildError):
    """The hub cannot be reached at all: nothing else needs to be asked."""


def check_name(name: str) -> str:
    """A name that a repository of the hub can have, given back.

    Raises:
        ConfigError: OWNER/NAME is expected, and these characters are not allowed.
    """
    owner, _, own = name.partition("/")
    for part in (owner, own):
        if not re.fullmatch(r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?", part, re.ASCII) or re.search(
            r"--|\.\.", part
        ):
            raise ConfigError(
                f"'{name[:120]}' is no folder, and no name of the hub: OWNER/NAME is expected, each of "
                "letters, digits, '-', '_' and '.', with neither '--' nor '..', and no '-' or '.' at its ends"
            )
    if len(name) > 96 or name.endswith(".git"):
        raise ConfigError(
            f"'{name[:120]}' is no name of the hub: it has more than 96 characters, or ends in .git"
        )
    return name


def hub_url(environ: Mapping[str, str] = os.environ) -> str:
    """The hub's address, or what the variable ``HF_ENDPOINT`` has in its place."""
    return (environ.get("HF_ENDPOINT") or PUBLIC).rstrip("/")


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the hub's own tools: ``HF_HOME``."""
    return Path(environ.get("HF_HOME") or Path.home() / ".cache/huggingface")


def find_token(environ: Mapping[str, str] = os.environ) -> str | None:
    """Who asks: a variable of the environment, or the file in which the hub's tools keep it."""
    given = next((value.strip() for name in TOKENS if (value := environ.get(name))), None)
    if given is None:
        try:
            given = (home(environ) / "token").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError):
            return None
    return given if given and given.isascii() and given.isprintable() else None


class Hub:
    """A connection to the hub; use it as a context."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        say: Callable[[str], None] = lambda line: None,
        longest: float = LONGEST,
    ):
        """
        Args:
            url: the hub's address; None is :func:`hub_url`.
            token: who asks; None is :func:`find_token`.
            say: called with a line when it waits.
            longest: seconds for one answer.

        Raises:
            RewildError: no connection can be made: the address, a proxy or certificates cannot be used.
        """
        import httpx

        self.url, self._say, self._longest = (url or hub_url()).rstrip("/"), say, longest
        token = token or find_token()
        self._known = token is not None
        try:
            place = httpx.URL(self.url)
            if place.scheme not in ("http", "https") or not re.fullmatch(rb"[\w.:-]+", place.raw_host):
                raise httpx.InvalidURL("the address begins with http:// or https:// and a host")
            self._client = httpx.Client(
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=SECONDS,
                follow_redirects=True,
                transport=None if proxied(place.host) else httpx.HTTPTransport(),
            )
        except (httpx.InvalidURL, ValueError, ImportError, OSError) as error:
            raise RewildError(
                f"the hub at {masked(self.url, self.url)} cannot be asked (HF_ENDPOINT, proxies, "
                f"certificates): {masked(first_line(error), self.url)}"
            ) from None

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def address(self, kind: Kind, name: str, revision: str = "main") -> str:
        """Where the present commit of a repository is asked for."""
        return f"{self.url}/api/{kind}/{quote(name)}/revision/{quote(revision, safe='')}"

    def info(self, kind: Kind, name: str, revision: str = "main") -> dict[str, Any]:
        """What the hub says of a repository: ``sha``, ``gated``, ``cardData``, ``safetensors``, ``siblings``.

        Raises:
            AwayError: the hub cannot be reached.
            RewildError: it refuses, or its answer is none; the message names the repository.
        """
        check_name(name)
        where = self.address(kind, name, revision)
        data = self._get(
            where, f"{ONE[kind]} {name}", f"{self.url}/{'datasets/' * (kind == 'datasets')}{name}"
        )
        try:
            found = parse_json(decode(data, where), where)
        except DataError as error:
            raise RewildError(f"{ONE[kind]} {name}: the hub's answer is no JSON: {error}") from error
        commit = found.get("sha") if isinstance(found, dict) else None
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise RewildError(
                f"{ONE[kind]} {name}: the hub gives no commit at {masked(where)} "
                f"(its 'sha' is {str(commit)[:60]!r})"
            )
        return dict(found)

    def file(self, name: str, revision: str, path: str) -> bytes:
        """A small file of a model's repository.

        Raises:
            AwayError, RewildError: as :meth:`info`; a file of more than :data:`LARGEST` bytes.
        """
        where = f"{self.url}/{quote(name)}/resolve/{quote(revision, safe='')}/{quote(path)}"
        return self._get(where, f"model {name}, {path}", f"{self.url}/{name}")

    def _get(self, where: str, what: str, page: str) -> bytes:
        import httpx

        for attempt in range(1, TRIES + 1):
            try:
                with self._client.stream("GET", where) as answer:
                    if answer.is_success:
                        return self._body(answer, what)
                    status, headers = answer.status_code, answer.headers
                why = _refusal(status, page, self._known, headers.get("X-Error-Message", ""))
                again = status in (408, 429) or status >= 500
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
                raise AwayError(
                    f"{what}: the hub at {masked(self.url, self.url)} cannot be reached: "
                    f"{masked(first_line(error), self.url)}"
                ) from None
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
                headers, again = httpx.Headers(), isinstance(error, httpx.TransportError)
                why = f"{type(error).__name__}: {masked(first_line(error), self.url)}"
            if not again or attempt == TRIES:
                raise RewildError(f"{what}: {why} (try {attempt} of {TRIES})")
            pause = _pause(headers.get("Retry-After", ""), attempt)
            self._say(f"{what}: {why}; again in {pause:.0f} s")
            sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _body(self, answer: Any, what: str) -> bytes:
        import httpx

        deadline, parts, size = monotonic() + self._longest, [], 0
        for block in answer.iter_bytes():
            parts.append(block)
            size += len(block)
            if size > LARGEST:
                raise RewildError(
                    f"{what}: more than {LARGEST >> 20} MiB come; nothing that is read here is so large"
                )
            if monotonic() > deadline:
                raise httpx.ReadTimeout(f"the hub is too slow: {size:,} bytes in {self._longest:.0f} s")
        return b"".join(parts)


def _refusal(status: int, page: str, known: bool, said: str) -> str:
    """What a status of the hub means, and what to do about it."""
    shown = masked(page)
    if status == 401:
        what = "does not take the token" if known else "wants to know who asks"
        return f"the hub {what} (401): set HF_TOKEN to a token of yours, unless {shown} does not exist"
    if status == 403:
        return (
            f"the token has no right to it (403): ask for access at {shown}, or give HF_TOKEN a token that "
            "may read gated repositories" + (f" (the hub says: {said[:200]})" if said else "")
        )
    if status == 404:
        return f"the hub has no such repository, revision or file (404): look at {shown}"
    if status == 429:
        return "the hub is asked too often (429)" + (
            "" if known else ": with a token (HF_TOKEN) it takes more"
        )
    return f"the hub answers {status}"


def _pause(asked: str, attempt: int) -> float:
    return float(min(int(asked[:9]) if asked.isdecimal() else 2**attempt / 2, WAIT))

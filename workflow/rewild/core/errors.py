"""Errors a user can act on. The command line prints them as one message, without a traceback."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable


class RewildError(Exception):
    """Something the user can mend: a bad file, a bad setting, a missing download."""


class ConfigError(RewildError):
    """A study or a table of models or benchmarks that cannot be used as written."""


class DataError(RewildError):
    """A data file that does not hold what it must; the message names the file and the row."""


def nearest(word: str, known: Iterable[object]) -> str:
    """A hint for a misspelt name: ``; did you mean 'x'?``, or the empty string if nothing is near."""
    matches = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def known_name(
    name: str,
    known: Collection[object],
    what: str,
    *,
    listed: str = "",
    after: str = "",
    error: type[Exception] = ConfigError,
) -> str:
    """A name that must be among those known, given back.

    Raises:
        error: ``WHAT 'NAME' AFTER; did you mean 'NEAR'? (LISTED: a, b)``; without ``listed``, no list.
    """
    if name not in known:
        names = f" ({listed}: {', '.join(map(str, known)) or 'none'})" if listed else ""
        raise error(f"{what} '{name}'{after}{nearest(name, known)}{names}")
    return name


def twice(names: Iterable[str]) -> str | None:
    """The first of some names that stands twice among them; None where all differ."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def errno_of(error: BaseException) -> int | None:
    """The operating system's number of an error, also where polars or pyarrow say it in words."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    home = type(error).__module__.partition(".")[0]
    if home in ("polars", "pyarrow", "pyo3_runtime") or isinstance(error, OSError):
        if found := re.search(r"(?:os error |\[Errno |errno:? )(\d{1,3})", str(error)):
            return int(found[1])
        return next((n for n in errno.errorcode if os.strerror(n) in str(error)), None)
    return None


def first_line(error: BaseException) -> str:
    """An error of another library in one line, for messages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def masked(text: str, *addresses: str) -> str:
    """A text with the user, password and query of every address in it left out, for messages and logs.

    Args:
        text: a URL, or a message that may hold one.
        addresses: URLs as they were given. Of one that is no good URL, any piece may stand in a message; the
            pieces of its user and password are left out too.
    """
    for address in addresses:
        if found := re.search(r"//(.+)@", address):
            for piece in sorted(re.split(r"[:/@?#]", found[1]), key=len, reverse=True):
                text = text.replace(piece, "***") if piece else text
    text = re.sub(r"(?<=://)\S*@", "***@", text)
    return re.sub(r"(://[^\s?'\"]*)\?[^\s'\"]+", r"\1?***", text)

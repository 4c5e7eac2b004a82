"""Errors a user can act on. The command line prints them as one message, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


def first_line(error: BaseException) -> str:
    """An error of another library in one line, for messages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]

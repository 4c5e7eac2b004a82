"""The date that chat templates write: the same one every day, so that results do not change with the day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

# Llama 3.1 and its kin write the date into the system prompt. This is the one their templates fall back on.
TODAY = datetime(2024, 7, 26)


@contextmanager
def fixed_clock(today: datetime = TODAY, written: set[str] | None = None) -> Iterator[None]:
    """Let ``strftime_now`` of every chat template that is rendered meanwhile write ``today``.

    transformers gives it to templates as a function of its own that reads the clock; one that is handed
    over in its place is turned into text first (``render_jinja_template``). So the clock is what is replaced.

    Args:
        today: the date.
        written: is given every text that a template asked for.
    """
    from transformers.utils import chat_template_utils

    class Now:
        @staticmethod
        def strftime(wanted: str) -> str:
            text = today.strftime(wanted)
            if written is not None:
                written.add(text)
            return text

    class Clock:
        @staticmethod
        def now(*_: Any) -> type[Now]:
            return Now

    module: Any = chat_template_utils
    wall = module.datetime
    module.datetime = Clock
    try:
        yield
    finally:
        module.datetime = wall

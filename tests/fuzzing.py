"""How fuzz tests run: the same few examples each time, or as many others as ``make fuzz`` asks for."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

MANY = int(os.environ.get("REWILD_FUZZ") or 0)
USUAL = 60


def fuzz(examples: int = USUAL) -> settings:
    """The settings of a fuzz test.

    Args:
        examples: how many `make test` tries, always the same; `make check` tries the first few of them. `make
            fuzz` tries others: as many as are asked for, or fewer, by the same share, where a test is so slow
            that it has fewer than usual.
    """
    return settings(
        max_examples=max(1, MANY * min(examples, USUAL) // USUAL) if MANY else examples,
        derandomize=MANY <= USUAL,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


FUZZ = fuzz()

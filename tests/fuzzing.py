"""How fuzz tests run: the same few examples each time, or as many others as ``make fuzz`` asks for."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

MANY = int(os.environ.get("REWILD_FUZZ") or 0)
FUZZ = settings(
    max_examples=MANY or 60, derandomize=not MANY, deadline=None, suppress_health_check=list(HealthCheck)
)

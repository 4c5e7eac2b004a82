"""Commands, one module per phase. They parse arguments and call the science; heavy imports come inside."""

from __future__ import annotations

from types import ModuleType

from rewild.cli import (
    evaluation,
    measures,
    operate,
    papers,
    prompts,
    release,
    report,
    responses,
    teachers,
    training,
)

PHASES: tuple[ModuleType, ...] = (
    operate,
    prompts,
    responses,
    measures,
    training,
    evaluation,
    report,
    teachers,
    papers,
    release,
)
"""In the order of ``rewild --help``, where each is a panel."""

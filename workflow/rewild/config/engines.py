"""The engines there are, in one table. Nothing heavy: names, environments and abilities, to plan with.

Another engine is a row here and a class of :class:`rewild.engines.base.Engine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rewild.core.errors import ConfigError, nearest

Ability = Literal["generate", "score", "classify", "embed"]


@dataclass(frozen=True)
class EngineRow:
    """One engine.

    Attributes:
        path: ``module:Class``; imported when the engine is made, not before.
        can: the methods of :class:`rewild.engines.base.Engine` that it has.
        environment: that it runs in (``envs/*.txt``); None is the workflow's own.
        remote: whether it asks an endpoint, which has the weights; else it loads them itself.
        takes: what its class is told of how to compute, beside the model (or the endpoint).
    """

    path: str
    can: tuple[Ability, ...]
    environment: str | None = None
    remote: bool = False
    takes: tuple[str, ...] = ()


ENGINES: dict[str, EngineRow] = {
    "transformers": EngineRow(
        "rewild.engines.transformers_engine:TransformersEngine",
        ("generate", "score"),
        environment="engine-cpu",
        takes=("device", "batch", "budget", "threads", "request_seconds"),
    ),
    "vllm": EngineRow(
        "rewild.engines.vllm_engine:VllmEngine",
        ("generate", "score"),
        environment="vllm",
        takes=("gpus", "memory_share", "enforce_eager", "batch_invariant", "request_seconds", "vllm", "plan"),
    ),
    "openai": EngineRow(
        "rewild.engines.openai_engine:OpenAIEngine",
        ("generate",),
        remote=True,
        takes=("concurrency", "timeout"),
    ),
    "classifier": EngineRow(
        "rewild.engines.classifier_engine:ClassifierEngine",
        ("classify",),
        environment="engine-cpu",
        takes=("device", "batch", "threads"),
    ),
    "sentence-transformers": EngineRow(
        "rewild.engines.embedding_engine:EmbeddingEngine",
        ("embed",),
        environment="measures",
        takes=("device", "batch", "threads"),
    ),
}


def engines_that(can: Ability) -> tuple[str, ...]:
    """The names of the engines that have an ability."""
    return tuple(name for name, row in ENGINES.items() if can in row.can)


def find_engine(name: str, can: Ability | None = None) -> EngineRow:
    """The row of an engine.

    Args:
        name: of the engine.
        can: what it must be able to do.

    Raises:
        ConfigError: there is none of this name, or it cannot; with the nearest match.
    """
    names = ENGINES if can is None else engines_that(can)
    if name in names:
        return ENGINES[name]
    known = ", ".join(names) or "none"
    if name in ENGINES:
        raise ConfigError(f"the engine '{name}' cannot {can} (engines that can: {known})")
    raise ConfigError(f"unknown engine '{name}'{nearest(name, names)} (engines: {known})")


if TYPE_CHECKING:
    EngineName = str
else:
    EngineName = Literal[engines_that("generate")]
"""An engine that generates, in a section."""

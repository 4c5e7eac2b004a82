"""Engines: what turns prompts into text, or texts into numbers, behind one interface (:mod:`.base`)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rewild.config.engines import find_engine
from rewild.engines.base import Classified, Completion, Engine, EngineError, Request, Sampling, Score
from rewild.engines.devices import take_gpus

__all__ = [
    "Classified",
    "Completion",
    "Engine",
    "EngineError",
    "Request",
    "Sampling",
    "Score",
    "make_engine",
]


def make_engine(name: str, **arguments: Any) -> Engine:
    """Make an engine of the table (:mod:`rewild.config.engines`). Heavy imports happen here.

    Args:
        name: its row.
        arguments: those of its class.

    Raises:
        ConfigError: no engine has this name. EngineError: it cannot start.
    """
    row = find_engine(name)
    if not row.remote and arguments.get("device") != "cpu":
        take_gpus(arguments.get("gpus", 1))
    module, _, made = row.path.partition(":")
    engine = getattr(import_module(module), made)(**arguments)
    assert isinstance(engine, Engine)
    return engine

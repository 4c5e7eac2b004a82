"""The papers, each in a room of its own, found by its name: ``PAPER`` of ``rewild.papers.NAME``.

Light to import (pydantic and YAML only): the workflow asks here what there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from rewild.core.errors import ConfigError, known_name
from rewild.papers.room import Paper

ALL = "all"
"""In a study, every paper that it does not name itself."""


@cache
def papers() -> Mapping[str, Paper]:
    """Every paper there is, by name.

    Raises:
        ConfigError: a folder here that does not say what it is.
    """
    found = {}
    for module in iter_modules(__path__):
        if module.ispkg:
            room = import_module(f"{__name__}.{module.name}")
            paper = getattr(room, "PAPER", None)
            if not isinstance(paper, Paper) or module.name == ALL:
                raise ConfigError(f"{room.__file__}: PAPER, a rewild.papers.room.Paper, was expected")
            found[module.name] = paper
    return found


def find_paper(name: str) -> Paper:
    """A paper by its name.

    Raises:
        ConfigError: there is none, with the nearest match.
    """
    return papers()[known_name(name, papers(), "unknown paper", listed="papers")]

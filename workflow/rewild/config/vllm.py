"""Arguments of vLLM's engine beside those that rewild sets; each says what it identifies.

What they are stands in ``resources/engines/vllm.yaml``, for the pinned vLLM: names are checked before there
is a job, where no vLLM is installed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, model_validator

from rewild import own
from rewild.config.base import HOW, RESULT, Mark, Section
from rewild.core.errors import nearest
from rewild.core.reading_yaml import read_yaml

TABLE = "resources/engines/vllm.yaml"
PICKLED = ("npcache", "pt")
"""Values of ``load_format`` that read pickles, which are code."""


@cache
def table() -> dict[str, Any]:
    """``version``; names of arguments, as ``how`` and ``result``; ``set``: name → what sets it instead."""
    found: dict[str, Any] = read_yaml(Path(own(TABLE)))
    return found | {"set": {name: place for place, names in found["set"].items() for name in names}}


def _listed(schema: dict[str, Any]) -> None:
    """The names, for an editor."""
    names = (*table()["how"], *table()["result"])
    schema |= {"properties": {name: {} for name in sorted(names)}, "additionalProperties": False}


class VllmArguments(Section, marks=RESULT):
    """Any argument of vLLM's engine that rewild does not set itself, by vLLM's name."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_listed)

    @property
    def given(self) -> dict[str, Any]:
        """Name → value."""
        return dict(self.model_extra or {})

    @property
    def marked(self) -> dict[str, Mark]:
        """The mark of each that is given: :data:`HOW` only where no result follows from it."""
        return {name: HOW if name in table()["how"] else RESULT for name in self.given}

    def over(self, others: VllmArguments) -> VllmArguments:
        """These laid over others."""
        return VllmArguments.model_validate(others.given | self.given)

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, value in self.given.items():
            if place := table()["set"].get(name):
                raise ValueError(f"'{name}' is not to be given: it is set by {place}")
            names = (*table()["how"], *table()["result"])
            if name not in names:
                hint = nearest(name, (*names, *table()["set"]))
                raise ValueError(f"'{name}' is no argument of vLLM {table()['version']}{hint}")
            if name == "load_format" and str(value).lower() in PICKLED:
                raise ValueError(f"load_format '{value}' reads pickled weights; only safetensors are loaded")
        return self

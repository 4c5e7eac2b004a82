"""Checks: the functions that decide on claims. Each paper has its own; who runs an audit passes them in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from rewild.audit.outcome import Outcome
from rewild.core.errors import nearest

Check = Callable[..., Outcome]
C = TypeVar("C", bound=Check)
_MARK = "_is_check"


def check(function: C) -> C:
    """Make a function a check. It takes the evidence, then the ``with`` keys of the claim."""
    setattr(function, _MARK, True)
    return function


class Checks(Mapping[str, Check]):
    """The checks that some modules define, by name."""

    def __init__(self, modules: Iterable[ModuleType] = ()) -> None:
        self._found: dict[str, Check] = {}
        for module in modules:
            for name, value in vars(module).items():
                if hasattr(value, _MARK) and value.__module__ == module.__name__:
                    if name in self._found:
                        places = f"{self._found[name].__module__} and {module.__name__}"
                        raise ValueError(f"two checks are called {name}: in {places}")
                    self._found[name] = value

    def __getitem__(self, name: str) -> Check:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def problem_with(self, name: str, given: Mapping[str, object]) -> str | None:
        """What is wrong with a claim's check and its ``with`` keys, or None."""
        if name not in self:
            return f"unknown check '{name}'{nearest(name, self)}"
        parameters = list(inspect.signature(self[name]).parameters.values())[1:]
        names = [p.name for p in parameters]
        for key in given:
            if key not in names:
                return (
                    f"the check {name} takes no '{key}'{nearest(key, names)} (it takes: "
                    f"{', '.join(names) or 'nothing'})"
                )
        missing = [p.name for p in parameters if p.default is p.empty and p.name not in given]
        return f"the check {name} needs '{missing[0]}' under 'with'" if missing else None

    def location(self, name: str) -> str:
        """Where the code of a check stands in its paper's room: ``checks_tables.py:12``."""
        function = self[name]
        return f"{Path(inspect.getsourcefile(function) or '').name}:{inspect.getsourcelines(function)[1]}"

"""What a test returns, and the register of tests."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Literal, TypeVar

from rewild import FOLDER
from rewild.core.errors import nearest

if TYPE_CHECKING:
    from rewild.papers.wildchat50m.evidence import Evidence

Verdict = Literal["reproduced", "reproduced_otherwise", "contradicted", "not_testable"]
VERDICTS: dict[Verdict, str] = {
    "contradicted": "Contradicted",
    "reproduced_otherwise": "Reproduced under another definition",
    "reproduced": "Reproduced",
    "not_testable": "Not testable here",
}


@dataclass(frozen=True)
class Fact:
    """One piece of evidence: what it is, what the source says, and where it stands, to be checked by hand."""

    what: str
    value: str
    source: str
    place: str


@dataclass(frozen=True)
class Outcome:
    """The result of one test.

    Attributes:
        verdict: one of :data:`VERDICTS`.
        computed: the number or comparison computed, for readers.
        definition: what was computed: the definition, criterion or tolerance that decided.
        explanation: why the verdict follows.
        evidence: the values that it was computed from.
    """

    verdict: Verdict
    computed: str
    definition: str
    explanation: str
    evidence: Sequence[Fact] = ()


Test = Callable[..., Outcome]
T = TypeVar("T", bound=Test)
_TESTS: dict[str, Test] = {}


def test(function: T) -> T:
    """Register a test under its name. It takes the :class:`Evidence` and the ``with`` keys of the claim."""
    if function.__name__ in _TESTS:
        raise ValueError(f"two tests are called {function.__name__}")
    _TESTS[function.__name__] = function
    return function


def tests() -> dict[str, Test]:
    """Every written test, by name: those of the modules ``checks_*`` of each paper's room."""
    import rewild.papers

    for module in walk_packages(rewild.papers.__path__, "rewild.papers."):
        if module.name.rpartition(".")[2].startswith("checks_"):
            import_module(module.name)
    return _TESTS


def problem_with(name: str, given: dict[str, object]) -> str | None:
    """What is wrong with a claim's test and its ``with`` keys, or None."""
    known = tests()
    if name not in known:
        return f"unknown test '{name}'{nearest(name, known)}"
    parameters = list(inspect.signature(known[name]).parameters.values())[1:]
    names = [p.name for p in parameters]
    for key in given:
        if key not in names:
            return (
                f"the test {name} takes no '{key}'{nearest(key, names)} (it takes: "
                f"{', '.join(names) or 'nothing'})"
            )
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in given]
    return f"the test {name} needs '{missing[0]}' under 'with'" if missing else None


def location(name: str) -> str:
    """Where the code of a test stands: ``rewild/papers/wildchat50m/checks_tables.py:12``."""
    function = tests()[name]
    source = Path(inspect.getsourcefile(function) or "")
    return f"workflow/{source.relative_to(FOLDER)}:{inspect.getsourcelines(function)[1]}"


def run(name: str, evidence: Evidence, given: dict[str, object]) -> Outcome:
    """Run a test."""
    return tests()[name](evidence, **given)


def decide(
    agreed: bool,
    computed: str,
    definition: str,
    explanation: str,
    evidence: Sequence[Fact] = (),
) -> Outcome:
    """Reproduced if ``agreed``, else contradicted."""
    return Outcome("reproduced" if agreed else "contradicted", computed, definition, explanation, evidence)

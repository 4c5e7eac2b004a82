"""What a paper's room says of itself, and what everything else asks of it.

A room is a package ``rewild/papers/NAME`` with ``PAPER = Paper(__name__, title=..., cite=...)`` and

* ``data/tables.yaml`` (:mod:`rewild.report.tables.spec`) and a ``data/TABLE.csv`` for each table in it
  (:data:`rewild.core.cells.PUBLISHED_CELLS`),
* ``data/claims.yaml`` (:mod:`rewild.audit.claims`), ``data/facts.yaml`` where checks need facts from others,
* ``checks_*.py``: functions marked ``@check`` that decide on claims.

That is enough for its tables and its audit. A paper whose numbers a study can compute says more: from which
files the cells of a table, a figure or a piece of evidence come, and which function of the room makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from pydantic import Field

from rewild import FOLDER
from rewild.audit.checks import Checks
from rewild.config.base import Strict, validate
from rewild.core.errors import ConfigError, DataError, known_name
from rewild.core.reading_yaml import read_yaml
from rewild.report.tables.own import OwnTables
from rewild.report.tables.spec import Specs, read_specs

if TYPE_CHECKING:
    from rewild.audit.evidence import Evidence
    from rewild.config.benchmarks import Benchmark
    from rewild.config.roster import Roster
    from rewild.config.study import Study

Files = Mapping[str, Sequence[str]]
"""Name → files, as the command gets them: ``NAME=PATH``, once per file."""


@dataclass(frozen=True)
class Case:
    """A study that shows papers, and what a room asks of it to name files.

    Attributes:
        study: the study.
        roster: what its runs are.
        benchmarks: the registry.
        released: collection, end of a name → paths of released files.
        config: the folder of the configuration.
    """

    study: Study
    roster: Roster
    benchmarks: Mapping[str, Benchmark]
    released: Callable[[str, str], list[str]] = lambda _collection, _suffix: []
    config: str = "config"

    @property
    def folder(self) -> str:
        """Where its results lie."""
        return f"results/{self.study.name}"


def _nothing(_case: Case) -> Any:
    return None


@dataclass(frozen=True)
class Part:
    """How studies of one source come by something of a paper: the cells of a table, or a figure.

    Attributes:
        make: the function of the room that makes it, ``module:function``. It gets a :class:`Job`. That of
            cells gives them (``COMPUTED_CELLS``) and their provenance; that of a figure gets also the path
            without suffix, to which it adds .svg, .pdf, .png and .csv.
        files: what it is made from.
        settings: of the study, what else decides on it: a change makes it anew.
        problem: why a study cannot have it, to follow the words "study NAME: "; None where it can.
    """

    make: str
    files: Callable[[Case], Files]
    settings: Callable[[Case], object] = _nothing
    problem: Callable[[Case], str | None] = _nothing


class FigureText(Strict):
    """What a figure shows, in words: an entry of a room's ``data/figures.yaml``."""

    shows: str = Field(description="What it shows, in a few words")
    captions: dict[str, str] = Field(
        default_factory=dict,
        description="Source of a study's numbers → what the report says below it (reStructuredText)",
    )
    own: str = Field("", description="Its caption on the page of findings, where runs are a study's own")
    unpublished: str = Field("", description="What of it cannot be drawn from published numbers, and why")


@dataclass(frozen=True)
class Figure:
    """How a figure of a paper is drawn; ``data/figures.yaml`` says what it shows.

    Attributes:
        parts: source of a study's numbers (published, released, computed) → how it is drawn from these.
        also: names of figures that are drawn wherever this one is.
    """

    parts: Mapping[str, Part]
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paper:
    """A paper's room.

    Attributes:
        package: its package, ``__name__``.
        title: of the paper.
        cite: authors, name, place and year, in a line.
        evidence: its class of evidence, ``module:class``; empty where tables, facts and models are all.
        supply: a study → files of its evidence beside these; of a folder read as a whole, all files.
        cells: source of a study's numbers (released, computed) → table → how its cells are computed.
        figures: its figures, by name.
        own: how its tables are laid out where the runs are a study's own.
    """

    package: str
    title: str
    cite: str
    evidence: str = ""
    supply: Callable[[Case], Files] = lambda _case: {}
    cells: Mapping[str, Mapping[str, Part]] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    own: OwnTables = field(default_factory=OwnTables)

    @property
    def name(self) -> str:
        """Its name: that of its folder."""
        return self.package.rpartition(".")[2]

    @property
    def data(self) -> Path:
        """The folder of its tables, claims and facts."""
        return FOLDER.joinpath(*self.package.split("."), "data")

    @cached_property
    def specs(self) -> Specs:
        """What its tables hold."""
        return read_specs(self.data / "tables.yaml")

    @cached_property
    def texts(self) -> Mapping[str, FigureText]:
        """What its figures show, in words.

        Raises:
            ConfigError: ``figures.yaml`` is not valid, or its figures are not the room's.
        """
        path = self.data / "figures.yaml"
        given = read_yaml(path) if self.figures else {}
        if odd := sorted(set(given) ^ set(self.figures)):
            raise ConfigError(f"{path}: the figure '{odd[0]}' is not in both, this file and the room's PAPER")
        return {name: validate(FigureText, of, f"{path}: {name}") for name, of in given.items()}

    @property
    def claims(self) -> Path:
        """Its claims."""
        return self.data / "claims.yaml"

    @property
    def has_facts(self) -> bool:
        """Whether it has facts from elsewhere."""
        return (self.data / "facts.yaml").is_file()

    def load(self, place: str) -> Any:
        """A function or class of the room by ``module:name``."""
        module, _, name = place.partition(":")
        return getattr(import_module(f"{self.package}.{module}"), name)

    def checks(self) -> Checks:
        """Its checks: those of the modules ``checks_*``."""
        path = import_module(self.package).__path__
        names = [module.name for module in iter_modules(path) if module.name.startswith("checks_")]
        return Checks(import_module(f"{self.package}.{name}") for name in names)

    def evidence_class(self) -> type[Evidence]:
        """The class of its evidence."""
        if self.evidence:
            found: type[Evidence] = self.load(self.evidence)
            return found
        from rewild.audit.evidence import Evidence as Shared

        return Shared

    def table(self, name: str) -> str:
        """The name of one of its tables.

        Raises:
            ConfigError: it has no such table, with the nearest match.
        """
        return self._known("table", name, self.specs.tables)

    def part(self, kind: str, name: str, source: str) -> Part:
        """How studies of a source come by a table's cells or by a figure.

        Args:
            kind: ``table`` or ``figure``.
            name: its name.
            source: of the study's numbers.

        Raises:
            ConfigError: the paper has no such table or figure, or it does not follow from such numbers.
        """
        if kind == "table":
            self.table(name)
            parts = {s: of[name] for s, of in self.cells.items() if name in of}
        else:
            parts = dict(self.figures[self._known("figure", name, self.figures)].parts)
        if source not in parts:
            reason = self.texts[name].unpublished if kind == "figure" and source == "published" else ""
            known = " or ".join(parts) or "no"
            raise ConfigError(
                reason or f"{name} of {self.name} follows from {known} numbers, not from {source} ones"
            )
        return parts[source]

    def _known(self, kind: str, name: str, known: Mapping[str, object]) -> str:
        return known_name(name, known, f"{self.name} has no {kind}", listed=f"{kind}s")


@dataclass(frozen=True)
class Job:
    """What a function of a room gets to make one table's cells or one figure.

    Attributes:
        paper: the paper.
        name: of the table or figure.
        study: the study's name, or its resolved configuration.
        config: the folder of the configuration.
        files: name → paths, as its :class:`Part` names them.
    """

    paper: Paper
    name: str
    study: str
    config: Path
    files: Mapping[str, Sequence[Path]]

    def file(self, name: str) -> Path:
        """The one file of a name.

        Raises:
            DataError: there is not one.
        """
        found = self.files.get(name, ())
        if len(found) != 1:
            raise DataError(
                f"{self.name} of {self.paper.name}: one file '{name}' is needed, not {len(found)}"
            )
        return found[0]

    def title(self, whose: str) -> str:
        """What a figure's file is called: the paper or study, then ``Figure`` and its number."""
        return f"{whose}, {self.name.replace('figure', 'Figure ')}"

    @property
    def published(self) -> Path:
        """The transcribed table."""
        return self.paper.data / f"{self.name}.csv"


def numbers_of(out: Path) -> Path:
    """Where the numbers of a figure go, whose path has no suffix."""
    return out.with_name(f"{out.name}.csv")


def named_files(given: Sequence[str], what: str) -> dict[str, list[Path]]:
    """``NAME=PATH`` words of a command line, by name.

    Raises:
        ConfigError: a word that is none.
    """
    files: dict[str, list[Path]] = {}
    for word in given:
        name, separator, path = word.partition("=")
        if not separator or not path:
            raise ConfigError(f"{what} '{word}': NAME=PATH was expected")
        files.setdefault(name, []).append(Path(path))
    return files

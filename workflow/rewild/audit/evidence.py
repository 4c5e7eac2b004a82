"""What claims are checked on, read when asked for: here what every paper has, tables, facts and models.

Every value is a :class:`Cell` that knows where it stands, so that a reader can look it up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rewild.audit.numbers import Range, decimal, exact, printed
from rewild.audit.outcome import Fact
from rewild.core.cells import PUBLISHED_CELLS
from rewild.core.errors import DataError, RewildError, known_name, nearest
from rewild.core.reading_yaml import read_yaml
from rewild.core.table import read_table

if TYPE_CHECKING:
    from rewild.config.models import Model


class MissingEvidenceError(RewildError):
    """Evidence that this study does not have. The claim is then not testable here."""


@dataclass(frozen=True)
class Cell:
    """A value in a source: ``range`` is the interval of numbers it can stand for."""

    what: str
    text: str
    source: str
    place: str
    range: Range

    @property
    def fact(self) -> Fact:
        """The cell as a line of evidence."""
        return Fact(self.what, self.text, self.source, self.place)


@dataclass(frozen=True)
class Table:
    """A transcribed table of a paper.

    Attributes:
        name: its name.
        rows: labels of rows, in the paper's order.
        columns: labels of columns.
        cells: numbers as the paper prints them.
        finest: numbers as the source with the most digits has them.
        intervals: half-widths that the paper prints.
        texts: every cell as it is printed, also where it is no number.
    """

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    finest: Mapping[tuple[str, str], Cell]
    intervals: Mapping[tuple[str, str], str]
    texts: Mapping[tuple[str, str], str]

    def cell(self, row: str, column: str, precise: bool = False) -> Cell:
        """A cell as the paper prints it, or (``precise``) as the source with the most digits does.

        Raises:
            DataError: there is no such number.
        """
        cells = self.finest if precise else self.cells
        if (row, column) not in cells:
            known = self.rows if row not in self.rows else self.columns
            raise DataError(f"{self.name} has no number at '{row}', '{column}'{nearest(row, known)}")
        return cells[row, column]

    def text(self, row: str, column: str) -> Fact:
        """A cell as it is printed, whatever it is.

        Raises:
            DataError: there is no such cell.
        """
        if (row, column) not in self.texts:
            known = self.rows if row not in self.rows else self.columns
            raise DataError(f"{self.name} has no cell '{row}', '{column}'{nearest(row, known)}")
        place = f"row {row}, column {column}"
        return Fact(f"{row}, {column}", self.texts[row, column], f"{self.name}.csv", place)

    def interval(self, row: str, column: str) -> str:
        """The half-width of the 95 % interval that the paper prints.

        Raises:
            DataError: it prints none.
        """
        if (row, column) not in self.intervals:
            raise DataError(f"{self.name} has no interval at '{row}', '{column}'")
        return self.intervals[row, column]


class Evidence:
    """The evidence a study has of one paper. What it lacks raises :class:`MissingEvidenceError`.

    A paper that is tested on more than its tables and facts has a class of its own, with more
    :attr:`SUPPLIERS`.
    """

    SUPPLIERS: ClassVar[Mapping[str, str]] = {
        "tables": "the transcribed tables of the paper",
        "facts": "published facts from other sources (facts.yaml)",
        "models": "the model registry (config/models.yaml)",
    }
    """Name of a piece of evidence → what it is, and where it comes from, in words."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        for name, path in files.items():
            known_name(name, self.SUPPLIERS, "unknown evidence", listed="known", error=RewildError)
            if not path.exists():
                raise RewildError(f"evidence '{name}': {path}: no such file")
        self.files = dict(files)
        self.used: set[str] = set()
        self._tables: dict[str, Table] = {}

    def has(self, name: str) -> bool:
        """Whether this study has it."""
        return name in self.files

    def path(self, name: str) -> Path:
        """Its file or folder."""
        self.used.add(name)
        if name not in self.files:
            raise MissingEvidenceError(f"this study does not have {self.SUPPLIERS[name]}")
        return self.files[name]

    def table(self, name: str) -> Table:
        """A transcribed table of the paper, by its name.

        Raises:
            DataError: the paper's folder has no such table.
        """
        folder = self.path("tables")
        if name not in self._tables:
            known = sorted(p.stem for p in folder.glob("*.csv"))
            known_name(name, known, f"{folder}: no table", error=DataError)
            self._tables[name] = read_published(folder / f"{name}.csv")
        return self._tables[name]

    @cached_property
    def notes(self) -> dict[str, Fact]:
        """Published facts from elsewhere, by name."""
        path = self.path("facts")
        found: dict[str, Fact] = {}
        for name, entry in read_yaml(path).items():
            if not isinstance(entry, dict) or set(entry) != {"value", "what", "source"}:
                raise DataError(f"{path}: {name}: the keys value, what and source were expected")
            found[name] = Fact(str(entry["what"]), str(entry["value"]), str(entry["source"]), name)
        return found

    def note(self, name: str) -> Fact:
        """One published fact from elsewhere."""
        return self.notes[known_name(name, self.notes, f"{self.path('facts')}: no fact", error=DataError)]

    def number(self, name: str) -> Cell:
        """One published fact that is a number."""
        note = self.note(name)
        return Cell(note.what, note.value, note.source, note.place, exact(decimal(note.value)))

    @cached_property
    def models(self) -> dict[str, Model]:
        """The model registry, by slug."""
        from rewild.config.models import load_models

        return load_models(self.path("models").parent)


def read_published(path: Path) -> Table:
    """Read a transcribed table (``rewild.core.cells.PUBLISHED_CELLS``).

    Two readings of a cell are kept: what the paper prints, and the one with the most digits of any source.
    """
    frame = read_table(path, PUBLISHED_CELLS)
    cells: dict[tuple[str, str], Cell] = {}
    finest: dict[tuple[str, str], Cell] = {}
    intervals: dict[tuple[str, str], str] = {}
    texts: dict[tuple[str, str], str] = {}
    for row in frame.iter_rows(named=True):
        key = row["row"], row["column"]
        texts[key] = row["printed"]
        if row["value"] is None:
            continue
        what, place = f"{row['row']}, {row['column']}", f"row {row['row']}, column {row['column']}"
        in_paper = row["printed"] if row["source"] == "paper" else row["also"]
        text = f"{row['value']:.{row['digits']}f}"
        finest[key] = Cell(what, text, path.name, place, printed(text))
        if in_paper:
            cells[key] = Cell(what, in_paper, path.name, place, printed(in_paper))
            if "±" in in_paper:
                intervals[key] = in_paper.split("±")[1].strip()
    rows = tuple(dict.fromkeys(frame["row"].to_list()))
    columns = tuple(dict.fromkeys(frame["column"].to_list()))
    return Table(path.stem, rows, columns, cells, finest, intervals, texts)

"""What claims are checked on beside the tables: released files, and what a study makes of them."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from rewild.audit import evidence as base
from rewild.audit.evidence import Cell, Table
from rewild.audit.numbers import decimal, exact
from rewild.audit.outcome import Fact
from rewild.core.errors import DataError, known_name, nearest
from rewild.core.reading import any_fault, read_csv

if TYPE_CHECKING:
    from openpyxl.workbook.workbook import Workbook as Book

BENCHMARKS = ("MTBench", "AlpacaEval", "BBH", "GPQA", "MATH", "MUSR", "IFEval", "MMLU Pro", "MixEval")
_HEADERS = {  # the workbook's sheets spell them in several ways
    "Alpaca Eval (LC)": "AlpacaEval",
    "IFEval (prompt-level, strict)": "IFEval",
    "IFEval (Prompt Level, Strict)": "IFEval",
    "IFEval (Inst Level, Loose)": "IFEval loose",
    "Average (WK, IF)": "Average",
}


class Workbook:
    """The released workbook: cells by sheet, row label and column header."""

    def __init__(self, path: Path) -> None:
        from openpyxl import load_workbook

        from rewild.papers.wildchat50m.workbook import check_archive

        try:
            check_archive(path)
            with any_fault(path, "a workbook"):
                self.values: Book = load_workbook(path, data_only=True)
                self.formulas: Book = load_workbook(path)
        except DataError as error:
            said = str(error).removeprefix(f"{path}: ")
            raise DataError(f"{path}: not a readable workbook: {said}") from error
        self.name = path.name

    def _sheet(self, sheet: str) -> Any:
        names = self.values.sheetnames
        return self.values[known_name(sheet, names, f"{self.name} has no sheet", error=DataError)]

    def headers(self, sheet: str) -> dict[str, int]:
        """Column name (one spelling for all sheets) → column number."""
        found: dict[str, int] = {}
        for cell in self._sheet(sheet)[1]:
            if cell.value is not None:
                found.setdefault(_HEADERS.get(str(cell.value), str(cell.value)), cell.column)
        return found

    def labels(self, sheet: str) -> dict[str, int]:
        """Row label → row number; of a label that stands twice, the first."""
        found: dict[str, int] = {}
        for row in self._sheet(sheet).iter_rows(min_row=2, max_col=1):
            if row[0].value is not None:
                found.setdefault(str(row[0].value), row[0].row)
        return found

    def cell(self, sheet: str, row: str | int, column: str) -> Cell:
        """A number of a sheet, by row label (or number) and column header.

        Raises:
            DataError: no such sheet, row or column, or no number there.
        """
        headers = self.headers(sheet)
        number = row if isinstance(row, int) else self.labels(sheet).get(row)
        if number is None:
            raise DataError(f"{self.name}, {sheet}: no row '{row}'{nearest(str(row), self.labels(sheet))}")
        known_name(column, headers, f"{self.name}, {sheet}: no column", error=DataError)
        cell = self._sheet(sheet).cell(number, headers[column])
        if isinstance(cell.value, bool) or not isinstance(cell.value, int | float):
            raise DataError(f"{self.name}, {sheet}!{cell.coordinate}: {cell.value!r} is not a number")
        label = self._sheet(sheet).cell(number, 1).value
        return Cell(
            f"{label}, {column}", repr(cell.value), self.name, f"{sheet}!{cell.coordinate}", exact(cell.value)
        )

    def has(self, sheet: str, row: str | int, column: str) -> bool:
        """Whether there is a number."""
        try:
            self.cell(sheet, row, column)
        except DataError:
            return False
        return True

    def text(self, sheet: str, place: str) -> Fact:
        """Any cell, by its coordinate, as the workbook shows it."""
        value = self._sheet(sheet)[place].value
        return Fact(place, "(empty)" if value is None else str(value), self.name, f"{sheet}!{place}")

    def formula(self, sheet: str, place: str) -> Fact:
        """The formula of a cell."""
        self._sheet(sheet)
        return Fact(
            f"formula of {place}", str(self.formulas[sheet][place].value), self.name, f"{sheet}!{place}"
        )


class Evidence(base.Evidence):
    """The evidence a study has of WILDCHAT-50M."""

    SUPPLIERS: ClassVar = {
        **base.Evidence.SUPPLIERS,
        "workbook": "the released workbook wc50m_results.xlsx (study released)",
        "preferences": "the released judgments combined_preferences.csv (study released)",
        "pages": "the released judged pages (study released)",
        "style": "style counts made from the judged pages (study released)",
        "words": "word counts made from the released judgments (study released)",
        "named_words": "counts of the words that the paper names (study released)",
        "leaderboard": "AlpacaEval's published leaderboard (study released)",
    }

    def table(self, name: str | int) -> Table:
        """A transcribed table, by its name or by its number in the paper."""
        return super().table(f"table{name}" if isinstance(name, int) else name)

    @cached_property
    def workbook(self) -> Workbook:
        """The released workbook."""
        return Workbook(self.path("workbook"))

    def style_counts(self, model: str) -> dict[tuple[str, str], Cell]:
        """A model's style counts, by scope and feature (in lower case)."""
        from rewild.core.table import read_table
        from rewild.measures.style.schema import COUNTS

        path = self.path("style")
        frame = read_table(path, COUNTS).filter(pl.col("model") == model)
        if frame.is_empty():
            raise DataError(f"{path}: no counts of '{model}'")
        return {
            (scope, feature.lower()): Cell(
                f"{model}, {feature}, {scope}",
                str(value),
                path.name,
                f"model {model}, scope {scope}, feature {feature}",
                exact(value),
            )
            for scope, feature, value in frame.select("scope", "feature", "value").iter_rows()
        }

    def named_word(self, word: str, model: str) -> dict[str, Any]:
        """How often a word that the paper names occurs in the judgments of each model."""
        from rewild.core.table import read_table
        from rewild.evaluation.judgments.schema import NAMED_TESTED

        path = self.path("named_words")
        frame = read_table(path, NAMED_TESTED).filter((pl.col("word") == word) & (pl.col("model") == model))
        if frame.is_empty():
            raise DataError(f"{path}: no row for '{word}' and {model}")
        return frame.row(0, named=True)

    def negated_words(self) -> tuple[int, int, list[str]]:
        """Occurrences of negated words, of all words, and the negated words (each by judgment)."""
        from rewild.core.table import read_table
        from rewild.evaluation.judgments.schema import WORDS

        frame = read_table(self.path("words"), WORDS).with_columns(n=pl.col("n_llama") + pl.col("n_qwen"))
        negated = frame.filter("negated").sort("n", "word", descending=[True, False])
        return int(negated["n"].sum()), int(frame["n"].sum()), [f"not {w}" for w in negated["word"]]

    @cached_property
    def preferences(self) -> list[dict[str, str]]:
        """The released judgments of L8B : Q72 (``qwen``) and L8B : L70 (``llama``), one row per question."""
        path = self.path("preferences")
        columns = ("question_id", "score_qwen", "score_llama", "judgment_qwen", "judgment_llama")
        rows = [row for _, row in read_csv(path, "the released judgments", columns=columns)]
        for number, row in enumerate(rows, start=1):
            for column in ("question_id", "score_qwen", "score_llama"):
                if not re.fullmatch(r"\d+", row[column] or ""):
                    raise DataError(
                        f"{path}, row {number}, column '{column}': {row[column]!r} is not a number"
                    )
        if not rows:
            raise DataError(f"{path}: the table is empty")
        return rows

    @cached_property
    def page_scores(self) -> dict[str, Cell]:
        """The judge's score on each released page of Q72 : None, by question."""
        from rewild.measures.style.markup import read_html
        from rewild.measures.style.pages import read_source

        found: dict[str, Cell] = {}
        for path in sorted(self.path("pages").glob("*.html"), key=_question):
            markup = read_html(read_source(path), path)
            text = next((markup.text(part) for part in markup.sections if part.name == "score"), "")
            match = re.search(r"[0-9]{1,9}(\.[0-9]{1,9})?(?![0-9])", text)
            if match is None:
                raise DataError(f"{path}: no score on this page")
            found[path.stem] = Cell(
                f"question {path.stem}", match[0], f"{path.parent.name}/{path.name}", "score", exact(match[0])
            )
        if not found:
            raise DataError(f"{self.path('pages')}: no judged pages in this folder")
        return found

    @cached_property
    def leaderboard(self) -> dict[str, Cell]:
        """AlpacaEval's published length-controlled win rates, by model."""
        path = self.path("leaderboard")
        column = "length_controlled_winrate"
        found = {}
        for _, row in read_csv(path, "AlpacaEval's leaderboard", columns=(column,)):
            name = next(iter(row.values()))
            if row[column]:
                value = exact(decimal(row[column], f"{path}, row {name}, column '{column}'"))
                found[name] = Cell(f"{name}, {column}", row[column], path.name, f"row {name}", value)
        return found


def _question(path: Path) -> int:
    if not re.fullmatch("[0-9]{1,9}", path.stem):
        raise DataError(f"{path}: a judged page is named by its question's number, as in 81.html")
    return int(path.stem)

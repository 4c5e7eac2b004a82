"""Judged pages: one HTML file per MT-Bench question with an answer, the judge's words and its score."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rewild.core.errors import DataError
from rewild.core.reading import read_bytes
from rewild.measures.style.markup import Styling, read_html

PAGE_LIMIT = 4 << 20  # bytes; released pages have 10 kB
SECTIONS = ("question", "answer", "judgment", "score")


@dataclass(frozen=True)
class Page:
    """One judged page.

    Attributes:
        question: MT-Bench's question number (the file's name).
        score: the judge's final score, 1–10.
        judgment: the judge's text, without markup.
        whole: styling of the page.
        parts: styling of each of :data:`SECTIONS`.
    """

    question: int
    score: float
    judgment: str
    whole: Styling
    parts: dict[str, Styling]


def read_source(path: Path) -> str:
    """The text of a judged page.

    Raises:
        DataError: the file is missing, too large, or not UTF-8.
    """
    if not path.exists():
        raise DataError(f"{path}: cannot be read: no such file (a judged page was expected)")
    try:
        return read_bytes(path, "a judged page", limit=PAGE_LIMIT).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error


def read_page(path: Path) -> Page:
    """Read one judged page, ``QUESTION.html``.

    Raises:
        DataError: the file is missing, is not UTF-8, is not named by a number, lacks a section or has one
            twice, or holds no score.
    """
    source = read_source(path)
    if not re.fullmatch("[0-9]{1,9}", path.stem):
        raise DataError(f"{path}: a judged page is named by its question's number, as in 81.html")
    markup = read_html(source, path)
    found = {section.name: section for section in markup.sections}
    for name in SECTIONS:
        times = sum(section.name == name for section in markup.sections)
        if times != 1:
            raise DataError(f"{path}: a judged page has one section '{name}', this one has {times}")
        if found[name].end < 0:
            raise DataError(f"{path}: the section '{name}' does not end; is the file cut short?")
    score = re.search(r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?![0-9])", markup.text(found["score"]))
    if score is None:
        raise DataError(f"{path}: the section 'score' holds no number")
    return Page(
        question=int(path.stem),
        score=float(score.group()),
        judgment=markup.text(found["judgment"]),
        whole=markup.styling(markup.whole),
        parts={name: markup.styling(found[name]) for name in SECTIONS},
    )


def read_pages(paths: list[Path]) -> list[Page]:
    """Read judged pages, sorted by question.

    Raises:
        DataError: no page, a bad page, or one question twice.
    """
    if not paths:
        raise DataError("no judged pages were given")
    pages: dict[int, tuple[Path, Page]] = {}
    for path in paths:
        page = read_page(path)
        if page.question in pages:
            raise DataError(f"{path}: question {page.question} stands in {pages[page.question][0]} already")
        pages[page.question] = (path, page)
    return [page for _, (_, page) in sorted(pages.items())]

"""Counting styling elements in HTML, and in Markdown by way of the HTML it renders to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from rewild.core.errors import DataError
from rewild.core.reading import any_fault

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

TAGS = ("strong", "em", "ol", "ul", "h1", "h2", "h3", "h4", "p")
"""The elements that Table 3 counts."""

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
"""A word: letters and digits of any script, held together by apostrophes and hyphens."""

_UNSEEN = frozenset({"style", "script", "title", "template"})
_VOIDS = "area base br col embed hr img input link meta source track wbr"
_VOID = frozenset(_VOIDS.split())


@dataclass(frozen=True)
class Styling:
    """Counts over one or more responses.

    Attributes:
        tags: elements by name, those of :data:`TAGS` only.
        characters: characters of the HTML (code points, markup included).
        words: words of the visible text (:data:`WORD`).
        responses: how many responses the counts are over.
        failures: how many of them were too long or tangled to be parsed; their words are counted, no element.
    """

    tags: Mapping[str, int] = field(default_factory=dict)
    characters: int = 0
    words: int = 0
    responses: int = 1
    failures: int = 0

    def __add__(self, other: Styling) -> Styling:
        return Styling(
            {tag: self.tags.get(tag, 0) + other.tags.get(tag, 0) for tag in TAGS},
            self.characters + other.characters,
            self.words + other.words,
            self.responses + other.responses,
            self.failures + other.failures,
        )

    def features(self) -> dict[str, int]:
        """Table 3's ten columns, then the totals they can be set against.

        ``len`` is the mean number of characters per response, to the nearest whole one, as in the paper.
        """
        return {
            **{tag: self.tags.get(tag, 0) for tag in TAGS},
            "len": round(self.characters / self.responses) if self.responses else 0,
            "responses": self.responses,
            "characters": self.characters,
            "words": self.words,
            **({"failures": self.failures} if self.failures else {}),
        }


NOTHING = Styling(responses=0)


class Section:
    """A part of a page that is counted by itself: an element, without the icon it may start with."""

    def __init__(self, name: str, depth: int, start: int) -> None:
        self.name, self.depth, self.start, self.end = name, depth, start, -1
        self.tags: Counter[str] = Counter()
        self.texts: list[str] = []


class Markup(HTMLParser):
    """One pass over HTML: elements and visible text of the whole, and of each section of a judged page.

    Sections are ``<div class="message question|answer|judgment">`` and ``<div class="score">``. Offsets are
    those of the source, so that a section's length is the length of what was written, not of a reserialised
    tree.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.whole = Section("page", 0, 0)
        self.sections: list[Section] = []
        self._open: list[str] = []
        self._count: Counter[str] = Counter()  # of the elements that are open
        self._active: list[Section] = [self.whole]
        self._lines = [0]
        for line in source.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._icon = 0  # depth of the icon being skipped
        self.feed(source)
        self.close()
        self.whole.end = len(source)

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def _after(self) -> int:
        """The offset just behind the tag at hand."""
        return self.source.index(">", self._offset()) + 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self._open.append(tag)
            self._count[tag] += 1
        classes = (dict(attrs).get("class") or "").split()
        if tag == "span" and "icon" in classes:
            self._icon = len(self._open)
        if tag == "div" and len(self._active) == 1 and classes and classes[0] in ("message", "score"):
            section = Section(
                classes[-1], len(self._open), self._offset() + len(self.get_starttag_text() or "")
            )
            self.sections.append(section)
            self._active.append(section)
        if tag in TAGS:
            for part in self._active:
                part.tags[tag] += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in TAGS:
            for part in self._active:
                part.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if not self._count[tag]:
            return
        while True:  # what was left open inside ends here
            last = self._open.pop()
            self._count[last] -= 1
            if last == tag:
                break
        depth = len(self._open)
        if self._icon > depth:
            self._icon = 0
            if len(self._active) > 1:
                self._active[-1].start = self._after()
        if len(self._active) > 1 and self._active[-1].depth > depth:
            self._active.pop().end = self._offset()

    def handle_data(self, data: str) -> None:
        if self._icon or any(self._count[tag] for tag in _UNSEEN):
            return
        for part in self._active:
            part.texts.append(data)

    def text(self, section: Section) -> str:
        """The visible text of a section."""
        return "".join(section.texts).strip()

    def styling(self, section: Section) -> Styling:
        """What a section holds; its surrounding white space is not counted."""
        source = self.source[section.start : section.end]
        return Styling(
            dict(section.tags),
            len(source if section is self.whole else source.strip()),
            len(WORD.findall("".join(section.texts))),
        )


LONGEST_TAG = 4_096
"""Characters of a tag. Python's parser needs quadratic time for one that never ends."""
LIMIT, TANGLED = 200_000, 1_000_000_000
"""Of a response in Markdown: characters, and characters times opening brackets (each one's end is sought)."""


def read_html(source: str, where: object) -> Markup:
    """Parse HTML of others, in time that grows with its length.

    Raises:
        DataError: a tag that does not end, or what the parser refuses.
    """
    at = 0
    for match in re.finditer("<[A-Za-z]", source):
        if match.start() < at:
            continue
        at = source.find(">", match.start(), match.start() + LONGEST_TAG)
        if at < 0:
            line = source.count("\n", 0, match.start()) + 1
            raise DataError(f"{where}, line {line}: a tag does not end within {LONGEST_TAG:,} characters")
    with any_fault(where, "HTML"):
        return Markup(source)


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table")


def count_markdown(text: str) -> Styling:
    """Styling of one response written in Markdown (CommonMark with tables).

    The response is rendered and its HTML counted, as the paper does. Raw HTML in a response is untrusted
    text: it is escaped, and so not counted as styling. A response beyond :data:`LIMIT` or :data:`TANGLED` is
    counted as a failure.
    """
    if len(text) > LIMIT or len(text) * text.count("[") > TANGLED:
        return Styling(characters=len(text), words=len(WORD.findall(text)), failures=1)
    markup = Markup(_markdown().render(text))
    return markup.styling(markup.whole)

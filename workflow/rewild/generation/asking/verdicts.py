"""Where a judge's reply says its verdict: last, and outside of reasoning and quotations.

Judges think aloud, quote what they judge, recite the scale and change their mind. What counts is the last
verdict that is the judge's own. One that cannot be told for sure is unclear: asking again costs a call, while
a wrong number costs the study. All judged forms read replies through this module.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

_TAGS = (
    r"(?:[a-z]{1,20}[:_])?(?:think|thinking|thought|thoughts|reason|reasoning)|analysis|reflection|scratchpad|"
    r"rationale|monologue|inner_monologue|deliberation"
)
_OPEN = re.compile(
    rf"<(?:{_TAGS})(?:\s[^<>]*)?>|<\|(?:start_|begin_of_)?(?:{_TAGS})\|>|\[THINK\]|◁think▷|<unused94>|"
    r"<\|channel\|?>\s*(?:analysis|commentary|thought)",
    re.IGNORECASE,
)
_CLOSE = re.compile(
    rf"</(?:{_TAGS})\s*>|<\|(?:/|end_|end_of_)(?:{_TAGS})\|>|\[/THINK\]|◁/think▷|<unused95>|"
    r"<\|channel\|?>\s*final|<channel\|>",
    re.IGNORECASE,
)
# A tag that the judge speaks of is none of its own.
_BEFORE, _AFTER = "`\"'“‘«", "`\"'”’»"
_SPOKEN_OF = re.compile(
    r"[\s*_]*(?:tag|block|section|marker|token|element|markup|part|delimiter)s?\b", re.IGNORECASE
)
_FENCE = re.compile(r"^[ \t]*(?P<mark>`{3,}|~{3,})[^\n]*$", re.MULTILINE)
_BLOCK_QUOTE = re.compile(r"^[ \t]*>[^\n]*$", re.MULTILINE)
_SECTION = re.compile(r"(?:\[|<\|)The (?P<side>Start|End) of [^\]|\n]{1,80}(?:\]|\|>)", re.IGNORECASE)
_HTML = re.compile(r"<(?P<end>/)?(?:q|quote|blockquote|cite|code|pre)(?:\s[^<>]*)?>", re.IGNORECASE)
_CODE = re.compile(r"(?<!`)(`+)(?!`)")
PAIRS = {"“": "”", "„": "“”", "«": "»", "‹": "›", "「": "」", "『": "』", "‘": "’"}
_MARK = re.compile(r"[\"“”„«»‹›「」『』‘’']")
_BRACKETS = re.compile(r"\[\[(?P<inside>[^\[\]\n]*)\]\]")
_SINGLE = re.compile(
    r"\b(?:(?:rating|score|verdict|option|grade|judge?ment)\b(?:\s+is)?|"
    r"(?:rating|score|verdict|option|answer|grade|judge?ment)\b[^\[\]\n:]{0,40}:)[\s\"'*_]*"
    r"\[(?P<inside>[^\[\]\n]*)\]",
    re.IGNORECASE,
)
# Between two verdicts that belong together: a scale, or a judge that does not decide.
_BETWEEN = re.compile(
    r"[\s*_]*(?:\([^()\n]{1,60}\)[\s*_]*)?(?:,[\s*_]*)?(?:to|through|until|and|or|nor|/|-|–|—)[\s*_]*",
    re.IGNORECASE,
)
_LISTED = re.compile(r"[\s*_]*,[\s*_,.…]*(?:(?:and|or)[\s*_]*)?", re.IGNORECASE)  # of three or more in a row
# Between a verdict and the best there is.
_OUT_OF = re.compile(r"[\s*_]*(?:out\s+)?of(?:\s+(?:a\s+)?(?:possible|maximum))?[\s*_]*", re.IGNORECASE)
_GIVE = r"(?:be|been|give|given|get|deserve|merit|warrant|justify|award|earn|reach|call|rate)"
_NOT = re.compile(
    rf"(?:(?:\bnot|\bcannot|\bnever|n[’']t)(?:\s+(?:quite|fully|really))?(?:\s+{_GIVE})?(?:\s+(?:it|this))?|"
    r"\brather than|\binstead of|\b(?:would|could|might|should)(?:\s+have|[’']ve)\s+(?:been|given|got|gotten)"
    r"(?:\s+it)?)"
    r"(?:\s+(?:a|an|the|be))?[\s*_]*$",
    re.IGNORECASE,
)
# Behind a verdict that was only thought of.
_TOO = re.compile(
    r"[\s*_]*(?:would\s+(?:be|have\s+been)|is|seems|feels)\s+(?:too|overly|harsh|unfair|unjust|generous|excessive|"
    r"lenient|extreme)\b",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^[ \t]*(?:\d+[.)]|[-*•+])[ \t]")
_NUMBER = re.compile(r"[0-9]{1,3}(?:\.[0-9]{0,20})?")


@dataclass(frozen=True)
class Said:
    """What a reply says: the text within the last bracket, or why there is none that counts."""

    label: str | None
    why: str = ""


def conclusion(reply: str) -> str:
    """A reply without its reasoning. Reasoning that never ends takes all that follows; nothing is left of it.

    The opening tag is missing where the chat template wrote it, so a closing tag alone ends what precedes it.
    """
    kept: list[str] = []
    end, opened = 0, None
    for mark in sorted([*_OPEN.finditer(reply), *_CLOSE.finditer(reply)], key=lambda m: m.start()):
        if opened is None and _is_spoken_of(reply, mark):
            continue
        if _CLOSE.fullmatch(mark[0]):
            if opened is None:  # what stood before was reasoning too
                kept.clear()
            opened, end = None, mark.end()
        elif opened is None:
            kept.append(reply[end : mark.start()])
            opened = mark.start()
    if opened is None:
        kept.append(reply[end:])
    return "".join(kept).strip()


def _is_spoken_of(reply: str, tag: re.Match[str]) -> bool:
    """Whether a tag is a word of a sentence, of a judge that says that an answer shows ``<think>`` tags."""
    before, after = reply[: tag.start()][-1:], reply[tag.end() : tag.end() + 1]
    if before and after and before in _BEFORE and after in _AFTER:
        return True
    return before not in ("", "\n") and _SPOKEN_OF.match(reply, tag.end()) is not None


def unquoted(text: str) -> str:
    """A text of the same length in which what is quoted, or code, is blanks (line ends stay)."""
    for spans in (_fenced, _quoted_lines, _sections, _html, _inline_code, _in_marks):
        text = _blank(text, spans(text))
    return text


def last_bracket(reply: str, *, single: bool = True) -> Said:  # noqa: PLR0911 (a reason each)
    """What the last ``[[...]]`` of a reply holds, by its own words: outside of reasoning and quotations.

    No verdict are brackets glued to a word (``nums[[1]]``), the two ends of a scale or a choice (``[[1]] to
    [[10]]``, ``[[7]] or [[8]]``), the best there is (``[[9]] out of [[10]]``), a verdict that is rejected
    (``not [[3]]``), and several items of a list (the labels recited, a rating per criterion).

    Args:
        reply: as the judge wrote it.
        single: where there are no double brackets, take single ones, which published code reads too: but only
            behind a word such as Rating, so that no footnote or index is taken for a verdict.
    """
    own = conclusion(reply)
    if not own:
        return Said(None, "its reasoning has no end" if reply.strip() else "it has no text")
    plain = unquoted(own)
    found = [mark for mark in _BRACKETS.finditer(plain) if not _glued(plain, mark.start())]
    if not found:
        if single and len(labelled := {mark["inside"] for mark in _SINGLE.finditer(plain)}) == 1:
            return Said(labelled.pop())
        if _BRACKETS.search(own):
            return Said(None, "a verdict stands only in what it quotes")
        if _BRACKETS.search(reply):
            return Said(None, "a verdict stands only in its reasoning")
        return Said(None, "no verdict in its form")
    together = _together(plain, found)
    alone = [mark for mark in found if mark.start() not in together]
    if not alone:
        return Said(None, "several verdicts, and no last one")
    own_words = [mark for mark in alone if not _is_rejected(plain, mark)]
    return Said(own_words[-1]["inside"]) if own_words else Said(None, "it only says which verdict it is not")


def _is_rejected(text: str, mark: re.Match[str]) -> bool:
    before = text[max(0, mark.start() - 60) : mark.start()]
    return _NOT.search(before) is not None or _TOO.match(text, mark.end()) is not None


def number_within(label: str | None, lowest: float, highest: float) -> float | None:
    """The number that a label is, in a few plain digits; None if it is none, or outside."""
    if label is None or not _NUMBER.fullmatch(label):
        return None
    return value if lowest <= (value := float(label)) <= highest else None


def _together(text: str, found: list[re.Match[str]]) -> set[int]:
    """Starts of the brackets that are a scale, a choice of two, or several items of one list."""
    together: set[int] = set()
    for one, other in pairwise(found):
        if one["inside"] != other["inside"] and _BETWEEN.fullmatch(text, one.end(), other.start()):
            together |= {one.start(), other.start()}
        elif _OUT_OF.fullmatch(text, one.end(), other.start()):
            together.add(other.start())
    for one, other, third in zip(found, found[1:], found[2:], strict=False):
        pairs = [(one, other), (other, third)]
        if all(_LISTED.fullmatch(text, a.end(), b.start()) for a, b in pairs):
            together |= {one.start(), other.start(), third.start()}
    items: list[re.Match[str]] = []

    def close() -> None:
        if len({mark["inside"].strip() for mark in items}) > 1:
            together.update(mark.start() for mark in items)
        items.clear()

    number = -2
    lines = list(_lines(text))
    at = 0
    for mark in found:
        while lines[at][1] < mark.end():
            at += 1
        start, end = lines[at]
        if _ITEM.match(text[start:end]):
            # Items follow one another, at most a blank line between them.
            if items and any(text[a:b].strip() for a, b in lines[number + 1 : at]):
                close()
            items.append(mark)
            number = at
    close()
    return together


def _lines(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for line in text.split("\n"):
        yield start, start + len(line)
        start += len(line) + 1


def _glued(text: str, start: int) -> bool:
    before = text[start - 1] if start else " "
    return before in "_])}" or (before.isascii() and before.isalnum())


def _blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    made, end = [], 0
    for start, stop in spans:
        if start < end:
            continue
        made += [text[end:start], re.sub(r"[^\n]", " ", text[start:stop])]
        end = stop
    return "".join([*made, text[end:]])


def _fenced(text: str) -> Iterator[tuple[int, int]]:
    """Code blocks; one that is never closed goes to the end, as in Markdown."""
    opened: re.Match[str] | None = None
    for mark in _FENCE.finditer(text):
        if opened is None:
            opened = mark
        elif mark["mark"].startswith(opened["mark"]) and mark[0].strip() == mark["mark"]:
            yield opened.start(), mark.end()
            opened = None
    if opened is not None:
        yield opened.start(), len(text)


def _quoted_lines(text: str) -> Iterator[tuple[int, int]]:
    return (mark.span() for mark in _BLOCK_QUOTE.finditer(text))


def _sections(text: str) -> Iterator[tuple[int, int]]:
    """Parts of the judge's own prompt that it repeats: from [The Start of ...] to [The End of ...]."""
    start = None
    for mark in _SECTION.finditer(text):
        if mark["side"].lower() == "start":
            start = mark.start() if start is None else start
        elif start is not None:
            yield start, mark.end()
            start = None


def _html(text: str) -> Iterator[tuple[int, int]]:
    start = None
    for mark in _HTML.finditer(text):
        if mark["end"] is None:
            start = mark.start() if start is None else start
        elif start is not None:
            yield start, mark.end()
            start = None


def _inline_code(text: str) -> Iterator[tuple[int, int]]:
    """Code in a line, between as many backticks as it began with; not over a blank line."""
    opened: dict[int, int] = {}
    end = 0  # of the last code, or of the last mark
    for mark in _CODE.finditer(text):
        if "\n\n" in text[end : mark.start()]:
            opened.clear()
        end = mark.end()
        size = len(mark[1])
        if size in opened:
            yield opened[size], end
            opened.clear()
        else:
            opened[size] = mark.start()


def _in_marks(text: str) -> Iterator[tuple[int, int]]:
    """What stands between quotation marks. An apostrophe within or behind a word opens nothing."""
    unclosed: set[str] = set()  # signs that open something and are never closed: no quotation from there on
    at: int | None = 0
    while at is not None:
        at = yield from _in_marks_from(text, at, unclosed)


def _in_marks_from(text: str, begin: int, unclosed: set[str]) -> Generator[tuple[int, int], None, int | None]:
    """Quotations from ``begin``; where to go on if one is never closed, else None."""
    sign_open, start, closing, line_end = "", -1, "", 0
    for mark in _MARK.finditer(text, begin):
        at, sign = mark.start(), mark[0]
        before = text[at - 1] if at else " "
        after = text[at + 1] if at + 1 < len(text) else " "
        if closing == "'" and at > line_end:
            closing = ""  # it was an apostrophe
        if closing:
            if sign in closing and not (sign in "\"'’" and (after.isalnum() or before.isspace())):
                yield start, at + 1
                closing = ""
        elif sign not in unclosed and (
            sign in PAIRS or (sign in "\"'" and not after.isspace() and not before.isalnum())
        ):
            sign_open, start, closing = sign, at, PAIRS.get(sign, sign)
            line_end = text.find("\n", at) if sign == "'" else 0
            line_end = len(text) if line_end < 0 else line_end
    if not closing:
        return None
    unclosed.add(sign_open)
    return start + 1

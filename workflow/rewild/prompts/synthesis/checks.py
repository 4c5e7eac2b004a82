"""What is wrong with a text that a model wrote as a user: the first reason that applies."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rewild.core.language import disagree, garbled, language, language_code, repetition

REASONS = (
    "empty",
    "cut_off",
    "role_confusion",
    "template_tokens",
    "answers",
    "repetitive",
    "garbled",
    "wrong_language",
    "open_fence",
    "repeated",
    "near_copy",
)
"""In the order in which they are tried; the last two need the other samples."""

_ROLE = re.compile(r"^\s*(?:#+ *)?\**(?:user|human|assistant|ai)\**\s*[:：]", re.IGNORECASE | re.MULTILINE)
# How assistants begin, and users do not.
_ANSWER = re.compile(
    r"(?:sure|certainly|absolutely|of course)\s*[,!.]"
    r"|here(?:'s| is| are) (?:your|(?:some|a few|several) (?:ideas|tips|suggestions|examples|ways|steps)"
    r"|an? (?:list of|possible|sample|simple|step|recipe|rewritten|revised)"
    r"|the (?:answer|solution|code|revised))\b"
    r"|(?:i'd be|i'm|i am|i would be) (?:happy|glad|delighted) to (?:help|assist)"
    r"|i (?:apologi[sz]e|cannot|can't|can not|am unable to|'m unable to) "
    r"|(?:i'm|i am) sorry,? (?:but )?(?:i|as)\b"
    r"|as an ai\b|great question|you're welcome|thank you for (?:your|asking|providing|sharing)"
    r"|(?:hello|hi)(?: there)?[!,.] (?:how (?:can|may) i|i'm here to|what can i)"
    r"|当然(?:可以)?[，,！!。]|作为一[个名]|很高兴(?:为您|为你|能)|もちろん(?:です)?[。、！!]",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^\s*(```+|~~~+)", re.MULTILINE)


@dataclass(frozen=True)
class Wanted:
    """What a source's prompts are to be.

    Attributes:
        language: in which; None: any.
        repetition, garbage: shares from which a prompt is repetitive, or garbled.
    """

    language: str | None = None
    repetition: float = 0.6
    garbage: float = 0.05


def what_is_wrong(text: str, wanted: Wanted) -> str | None:
    """Why a text is no prompt, as ``reason: detail``; None if it is one.

    Args:
        text: what a model wrote, without what ended it and spaces around it.
        wanted: what it is to be.
    """
    return next((wrong for check in _CHECKS if (wrong := check(text, wanted))), None)


def _role_confusion(text: str, _: Wanted) -> str | None:
    role = _ROLE.search(text)
    return f"role_confusion: a line begins with {role.group().strip()!r}" if role else None


def _answers(text: str, _: Wanted) -> str | None:
    opening = _ANSWER.match(text)
    return f"answers: it begins with {opening.group()!r}" if opening else None


def _repetitive(text: str, wanted: Wanted) -> str | None:
    share = repetition(text)
    return f"repetitive: {share:.0%} of its 4-grams stood before" if share >= wanted.repetition else None


def _garbled(text: str, wanted: Wanted) -> str | None:
    share = garbled(text)
    return f"garbled: {share:.0%} of its characters are no text" if share >= wanted.garbage else None


def _wrong_language(text: str, wanted: Wanted) -> str | None:
    asked = language_code(wanted.language)
    if asked and disagree(asked, found := language(text)):
        return f"wrong_language: {found} where {asked} was asked for"
    return None


def _open_fence(text: str, _: Wanted) -> str | None:
    """One is closed by as many of its marks, or more."""
    fence = ""
    for found in _FENCE.finditer(text):
        marks = found.group(1)
        if not fence:
            fence = marks
        elif marks[0] == fence[0] and len(marks) >= len(fence):
            fence = ""
    return "open_fence: a code fence is never closed" if fence else None


_CHECKS = (_role_confusion, _answers, _repetitive, _garbled, _wrong_language, _open_fence)

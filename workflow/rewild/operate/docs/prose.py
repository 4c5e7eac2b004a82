"""Text of the code (docstrings, descriptions, help) as Markdown: what is code there is code here."""

from __future__ import annotations

import re

from rewild.core.markdown import Markup, code, text

_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")


def prose(written: str) -> Markup:
    """One line of Markdown; spans between backticks are code, all else is text."""
    plain = _ROLE.sub(r"`\1`", written).replace("``", "`")
    parts = re.split(r"`([^`]*)`", " ".join(plain.split()))
    return Markup("".join(code(part) if n % 2 else _text(part) for n, part in enumerate(parts)))


def _text(part: str) -> str:
    """The same with its outer spaces, which :func:`text` takes away."""
    inner = part.strip()
    if not inner:
        return part
    start, end = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
    return f"{start}{text(inner)}{end}"


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and our site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")

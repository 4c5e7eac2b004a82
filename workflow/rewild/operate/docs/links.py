"""Links of a page of Markdown: where they lead, and the anchors that a page has."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from markdown_it.token import Token

_IN_HTML = re.compile(r"""<(?:img|a)\b[^>]*?\b(?:src|href)\s*=\s*["']([^"']+)["']""")
_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def tokens(text: str) -> list[Token]:
    """A page as GitHub reads it, its spans after the block that holds them."""
    from markdown_it import MarkdownIt

    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        found += [token, *(token.children or ())]
    return found


def links(text: str) -> Iterator[str]:
    """The addresses of a page's links and images, Markdown's and HTML's, in their order."""
    for token in tokens(text):
        if token.type == "link_open":
            yield str(token.attrs["href"])
        elif token.type == "image":
            yield str(token.attrs["src"])
        elif token.type in ("html_block", "html_inline"):
            yield from _IN_HTML.findall(token.content)


def pages_linked(text: str) -> list[str]:
    """The pages of Markdown that a text links to, in their order."""
    return [link for link in links(text) if link.endswith(".md") and not _OUTSIDE.match(link)]


def target(page: str, link: str) -> tuple[str, str] | None:
    """Where a link leads: path in the repository and anchor; None if it leads outside of it.

    Args:
        page: the page that it stands on, as a path in the repository.
    """
    if _OUTSIDE.match(link):
        return None
    path, _, anchor = link.partition("#")
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(path))) if path else page
    return whole, unquote(anchor)


def local_links(root: Path, page: str) -> Iterator[str]:
    """The files of the repository that one of its pages links to."""
    for link in links((root / page).read_text(encoding="utf-8")):
        if found := target(page, link):
            yield found[0]

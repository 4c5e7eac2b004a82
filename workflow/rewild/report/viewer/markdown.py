"""Markdown from models made into HTML that is safe to show, in which nothing stays hidden.

The text is untrusted. Raw HTML is escaped; links lead to the web or to mail and nowhere else; images become
links; no attribute takes a model's text but a link's address, which markdown-it percent-encodes. Characters
that are not seen but act (bidirectional overrides, control characters) are written out as their code points.
What parsers drop from view (link definitions, cells beyond a table's width, deep nesting) is shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import escapedSplit, getLine, table
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from rewild.core.escape import HIDDEN_PATTERN, code_points
from rewild.measures.style.markup import TAGS, WORD

LIMIT, TANGLED = 50_000, 100_000_000
"""Characters, and characters times opening brackets (the end of each is sought in all that follows), from
which a response is shown as plain text: the parser may need quadratic time."""
PIECE = 12_000
"""Characters of HTML from which a response is cut between blocks; the page shows the first piece at first."""
DEPTH = 60

_SAFE = re.compile(r"(https?://|mailto:)[^\s\x00-\x20]+", re.IGNORECASE)
_ALIGN = re.compile(r"text-align:(left|center|right)")
_ELEMENTS = (*TAGS, "table", "code", "pre", "blockquote", "hr")


@dataclass(frozen=True)
class Rendered:
    """A response made ready for the page.

    Attributes:
        pieces: HTML, cut between top-level blocks.
        words: words of the visible text (:data:`rewild.measures.style.markup.WORD`).
        characters: characters of the source.
        elements: how often each styling element stands in it, those that do; None for plain text.
        plain: why it is not rendered as Markdown: "long", "tangled", "deep" or None.
    """

    pieces: list[str]
    words: int
    characters: int
    elements: dict[str, int] | None
    plain: str | None = None


def show_hidden(text: str) -> str:
    """Escape ``text`` for HTML and write the characters that act unseen as code points, isolated."""
    shown = escape(text, quote=True)
    return HIDDEN_PATTERN.sub(
        lambda m: "".join(f'<bdi class="ctl">{code_points(c)}</bdi>' for c in m[0]), shown
    )


def render(text: str) -> Rendered:
    """Render one response. Never fails: what cannot be formatted is shown as plain text."""
    text = re.sub(r"\r\n?", "\n", text)
    if len(text) > LIMIT:
        return _plain(text, "long")
    if len(text) * text.count("[") > TANGLED:
        return _plain(text, "tangled")
    # The parser turns NUL into U+FFFD; its picture says what was there.
    source = text.replace("\0", "\u2400")
    markdown = _markdown()
    tokens = markdown.parse(source)
    if any(t.nesting == 1 and t.level >= DEPTH - 1 for t in tokens):
        return _plain(text, "deep")  # the parser drops what is nested deeper
    pieces, size, block = [""], 0, []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting < 1:
            html = markdown.renderer.render(block, markdown.options, {})
            block = []
            if size + len(html) > PIECE and size:
                pieces.append("")
                size = 0
            pieces[-1] += html
            size += len(html)
    elements = Counter(
        "pre" if t.type in ("fence", "code_block") else t.tag
        for t in _walk(tokens)
        if t.nesting >= 0 and not t.hidden
    )
    return Rendered(
        [p for p in pieces if p],
        len(WORD.findall(" ".join(_visible(tokens)))),
        len(text),
        {tag: elements[tag] for tag in _ELEMENTS if elements[tag]},
    )


def _plain(text: str, why: str) -> Rendered:
    pieces = [
        f'<pre class="plain">{show_hidden(text[i : i + PIECE])}</pre>' for i in range(0, len(text), PIECE)
    ]
    return Rendered(pieces, len(WORD.findall(text)), len(text), None, why)


def _walk(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _visible(tokens: Sequence[Token]) -> Iterator[str]:
    """The text of each block."""
    for token in tokens:
        if token.type == "inline":
            yield "".join(
                " " if child.type in ("softbreak", "hardbreak") else child.content
                for child in token.children or ()
                if child.type != "image"
            )
        elif token.type in ("fence", "code_block"):
            yield token.content


class _Renderer(RendererHTML):
    """HTML in which every text goes through :func:`show_hidden` and every attribute is ours."""

    def renderToken(  # noqa: N802 (markdown-it's name)
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        token = tokens[idx]
        if token.hidden:
            return ""
        break_ = "\n" if token.block and token.nesting != 1 else ""
        tag = token.tag
        if token.type.startswith("heading"):
            # Below the page's own headings, but as large as the model meant them.
            level = int(tag[1])
            tag = f"h{min(level + 3, 6)}"
            return f"</{tag}>\n" if token.nesting < 0 else f'<{tag} class="h{level}">'
        if token.nesting < 0:
            return f"</{tag}>{break_}"
        attributes = ""
        if token.type == "link_open":
            href = escape(str(token.attrGet("href") or ""), quote=True)
            attributes = f' href="{href}" title="{href}" rel="noopener noreferrer nofollow" target="_blank"'
        elif token.type == "ordered_list_open" and token.attrGet("start") is not None:
            attributes = f' start="{int(token.attrGet("start") or 0)}"'
        elif token.type in ("th_open", "td_open") and (
            align := _ALIGN.fullmatch(str(token.attrGet("style") or ""))
        ):
            attributes = f' class="{align[1]}"'  # the page's policy forbids style attributes
        return f"<{tag}{attributes}>{break_}"

    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return show_hidden(tokens[idx].content)

    text_special = html_block = html_inline = text

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<code>{show_hidden(tokens[idx].content)}</code>"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<pre><code>{show_hidden(tokens[idx].content)}</code></pre>\n"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        info = show_hidden(token.info.strip())
        label = f'<span class="info">{info}</span>' if info else ""
        return f"<pre>{label}<code>{show_hidden(token.content)}</code></pre>\n"

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Never loaded: a link to it, with its alternative text."""
        token = tokens[idx]
        href = escape(str(token.attrGet("src") or ""), quote=True)
        label = show_hidden(token.content) or "untitled"
        return (
            f'<a class="image" href="{href}" title="{href}" rel="noopener noreferrer nofollow"'
            f' target="_blank">image: {label}</a>'
        )


def is_safe_link(url: str) -> bool:
    """Whether a link may be followed: http, https or mailto, spelled plainly. Relative ones may not."""
    return bool(_SAFE.fullmatch(url))


def _whole_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table with all its cells: GFM drops those beyond the header's number."""
    first = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    if silent:
        return True
    rows = state.tokens[first:]
    del state.tokens[first:]
    line = width = cells = 0
    for token in rows:
        if token.type == "tr_open" and token.map:
            line, cells = token.map[0], 0
        cells += token.type in ("th_open", "td_open")
        if token.type == "tr_close":
            width = width or cells
            columns = escapedSplit(getLine(state, line).strip())
            columns = columns[columns[:1] == [""] : len(columns) - (columns[-1:] == [""])]
            for content in columns[width:]:
                state.tokens += [
                    Token("td_open", "td", 1, level=token.level + 1, block=True),
                    Token("inline", "", 0, level=token.level + 2, block=True, content=content, children=[]),
                    Token("td_close", "td", -1, level=token.level + 1, block=True),
                ]
        state.tokens.append(token)
    return True


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": DEPTH}, renderer_cls=_Renderer)
    # Tables as in the style counts. Definitions of links would vanish from view, so they stay text.
    markdown.enable("table").disable("reference")
    markdown.block.ruler.at("table", _whole_table, {"alt": ["paragraph", "reference"]})
    markdown.validateLink = is_safe_link  # type: ignore[method-assign]
    return markdown

"""Text as text in every format: what users, models and files wrote is never markup.

One function per format. Each shows the text literally, on one line, and writes the characters that act unseen
(control characters, overrides of the direction of writing, halves of surrogate pairs) as their code points,
``U+001B``. Where a format is not named here, text does not go in; Markdown is in
:mod:`rewild.core.markdown`.

CSV needs none: readers and writers quote. A cell that begins like a formula stays as it is, so that a file
gives back what went in (``results/README.md`` says how to open one in a spreadsheet).
"""

from __future__ import annotations

import html as _html
import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

HIDDEN = (
    "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f"  # control characters but for tab and line feed
    "\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069"  # separators; embeddings, overrides, isolates
    "\\u206a-\\u206f\\ufeff\\ufff9-\\ufffb]"  # deprecated format characters, byte order mark, annotations
    "|(?<![\\u{1f3f4}\\u{e0020}-\\u{e007f}])[\\u{e0000}-\\u{e007f}]+"  # tags, which write invisible ASCII
)
"""Characters that act unseen, as a regular expression of JavaScript (flag ``u``): the viewer uses it too.

Joiners and the plain direction marks stay: Persian, Hindi and emoji need them. Tags after a black flag are
the flags of England, Scotland and Wales.
"""
HIDDEN_PATTERN = re.compile(re.sub(r"\\u\{([0-9a-f]+)\}", lambda m: rf"\U{int(m[1], 16):08x}", HIDDEN))
_HALVES = re.compile("[\ud800-\udfff]")


def code_points(text: str) -> str:
    """``U+001B`` for each character."""
    return " ".join(f"U+{ord(c):04X}" for c in text)


def visible(text: str) -> str:
    """Text whose hidden characters are written as code points; line feeds and tabs stay.

    The result is always UTF-8: halves of surrogate pairs are written out, too.
    """
    text = re.sub(r"\r\n?", "\n", text)
    for pattern in (HIDDEN_PATTERN, _HALVES):
        text = pattern.sub(lambda m: code_points(m[0]), text)
    return text


def line(text: object) -> str:
    """Any value as one line of visible text; runs of white space become a space."""
    return " ".join(visible(re.sub("[\x1c-\x1f\x85\u2028\u2029]", " ", str(text))).split())


def html(text: object) -> str:
    """Text as HTML, in an element or in a quoted attribute."""
    return _html.escape(visible(str(text)), quote=True)


def templates() -> Environment:
    """Jinja that escapes like :func:`html` whatever a template is given."""
    from jinja2 import Environment

    def shown(value: Any) -> Any:
        return visible(value) if type(value) is str else value  # Markup stays

    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=shown)


def page(package: str, more_style: str = "", *, styled: str = "", **given: Any) -> str:
    """One page of a package's ``report.html`` and ``report.css``: no script, no outside resource.

    Args:
        package: such as ``rewild.audit``.
        more_style: rules of CSS beside those of the file.
        styled: the package whose ``report.css`` it is; its own if none is named.
        given: what the template shows; beside it, it gets ``style`` and the ``digest`` that allows it.
    """
    folder = files(package)
    style = files(styled or package).joinpath("report.css").read_text(encoding="utf-8").strip() + more_style
    digest = b64encode(sha256(style.encode()).digest()).decode()
    template = templates().from_string(folder.joinpath("report.html").read_text(encoding="utf-8"))
    return template.render(style=style, digest=digest, **given)


def comment(text: str) -> str:
    """Lines for within ``<!--`` and ``-->``, each mark on a line of its own: they cannot end the comment."""
    return re.sub("-(?=-)", "- ", visible(text))


# LaTeX

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # a bracket at the start of a row would be an argument of the \\ before it
    "]": "{]}",
    "*": "{*}",  # and so would a star
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "‖": r"$\Vert$",
    "→": r"$\rightarrow$",
    "≈": r"$\approx$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "'": "{'}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "…": r"\dots{}",
    "·": r"\textperiodcentered{}",
    "•": r"\textbullet{}",
}
LATEX_PREAMBLE = (
    r"\providecommand{\rewildchar}[2]{\ifdefined\Umathchardef#1\else\texttt{U+#2}\fi}",
    r"\providecommand{\textquotedbl}{\char34 }",
)
"""What the output of :func:`latex` needs before it: a character without a glyph in pdfTeX is its code point
there, and itself in XeTeX and LuaTeX."""
# Latin letters that every LaTeX has in the encoding T1.
_T1 = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ"
    "ĂăĄąĆćČčĎďĐđĒēĘęĚěĞğĪīİıĹĺĽľŁłŃńŇňŌōŐőŒœŔŕŘřŚśŞşŠšŢţŤťŪūŮůŰűŸŹźŻżŽž"
)


def _latex(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii() or character in _T1:
        return character
    return rf"\rewildchar{{{character}}}{{{ord(character):04X}}}"


def latex(text: object) -> str:
    """Text as LaTeX (T1, UTF-8) that shows it literally; :data:`LATEX_PREAMBLE` stands before it."""
    shown = "".join(map(_latex, line(text)))
    return re.sub(r"([-,<>!?])(?=\1|`)", r"\1{}", shown)  # ligatures: two hyphens would become a dash


def latex_comment(text: str) -> list[str]:
    """Lines of LaTeX that are comments."""
    return [f"% {part}".rstrip() for part in visible(text).split("\n")]

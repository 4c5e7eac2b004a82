"""Names that are markup somewhere: what users, models and files could call themselves."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

HOSTILE = (
    "<script>alert(1)</script>",
    "English | 9 |\n| injected | 1",
    "[x](javascript:alert(1)) ![y](http://a.example/z.png)",
    "`code` ``two`` ``` ~~~",
    "--> <b>out</b> ---> <!-- --!>",
    "# heading #\n\n- item\n1. one\n> quote\n=====",
    "&lt;b&gt; &#x41; &amp",
    r"\input{/etc/passwd} \write18{id} $x$ $$ % & ^^M # _ ~ {",
    "$$", "$\\frac$", "a $b$ $", "^^41", "]* [2em] *",
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=cmd|' /C calc'!A0",
    "null\x00 bell\x07 escape\x1b[31m delete\x7f c1\x9b vertical\x0b feed\x0c",
    "line\u2028paragraph\u2029end", "\u202eevil\u202c \u2066iso\u2069", "\ufeffmark \U000e0041 tag",
    "half \ud800 and \udfff", "carriage\rreturn\r\n", "日本語 Ελλάδα русский 🎉 e\u0301 ﷽",
    "", "   ",
)  # fmt: skip
"""Each is text, and nothing else."""

_ACTIVE = "\\`*_[]<>|~&$#%^{}()!'\"=+-.:/@,? 01ab\n\t\r\x00\x1b\x85\u2028\u202e\ufeff\ud800é日"
hostile_text = st.sampled_from(HOSTILE) | st.text(st.sampled_from(_ACTIVE) | st.characters(), max_size=30)
"""Such names, and others made of what acts somewhere."""

ODD = """a b/{c}/$(touch ran)'"é;&`d`"""
"""A folder, of three parts, whose name holds what a shell, Make and Snakemake read."""
TRAP = "$(touch ran) `touch ran`; touch ran; {c} {study}'\""
"""A text that would make a file ``ran``."""


def nothing_ran(folder: Path) -> bool:
    """Whether no such file was made: below a folder, in the repository or here."""
    return not [*folder.rglob("ran"), *Path(__file__).parents[1].glob("ran"), *Path().glob("ran")]

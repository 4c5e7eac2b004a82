"""Control tokens that a release left in its texts, and which of a turn's texts is the user's.

The program that made WILDCHAT-50M encodes every message with the model's tokenizer, cuts it to a number of
tokens, appends the end token if it was cut, and decodes it. So a user's turn differs by model: a token at its
beginning or end, a cut, a space lost before a question mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TOKEN = (
    r"<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|<(?:bos|eos|pad|eod|sop|eop|start_of_turn|end_of_turn|"
    r"BOS_TOKEN|EOS_TOKEN|PAD|EOS|BOS)>|\[(?:gMASK|BOS|EOS|PAD)\]"
)
_LEADING = re.compile(rf"\s*(?:{TOKEN}|<s>(?!.*</s>.*\S) ?)", re.DOTALL)
_TRAILING = re.compile(rf"(?:{TOKEN}|</s>)\s*\Z")


def strip_tokens(text: str) -> tuple[str, list[str]]:
    """A text without control tokens at its beginning and end, and those tokens.

    ``<s>`` and ``</s>`` are HTML as well: ``</s>`` goes only where no ``<s>`` before it is left open.

    >>> strip_tokens("<|begin_of_text|>Why ?<|eot_id|>")
    ('Why ?', ['<|begin_of_text|>', '<|eot_id|>'])
    """
    found: list[str] = []
    while match := _LEADING.match(text):
        found.append(match.group().strip())
        text = text[match.end() :]
    trailing: list[str] = []
    while match := _TRAILING.search(text, max(0, len(text) - 80)):
        if match.group().strip() == "</s>" and text.count("<s>") >= text.count("</s>"):
            break
        trailing.insert(0, match.group().strip())
        text = text[: match.start()]
    return text, found + trailing


def original(variants: Iterable[tuple[str, bool]]) -> str:
    """Which of the texts of one turn, as several models' files have it, is the user's.

    What a tokenizer does to a text makes it shorter: it is cut, and spaces before punctuation are lost. So
    the longest text is taken (white space at its ends not counted), first of those that had no control token,
    because a token says that the text was encoded, and cut perhaps. Of equally long ones the one that most
    files have; then the first in the order of characters.

    Args:
        variants: per file the text without its tokens, and whether it had any.
    """
    given = list(variants)
    clean = [text for text, marked in given if not marked]
    longest = max(len(text.strip()) for text, _ in given)
    # A file without a token may be cut as well: then the longest of all counts.
    if not clean or max(len(text.strip()) for text in clean) < longest - max(8, longest // 20):
        clean = [text for text, _ in given]
    return min(set(clean), key=lambda text: (-len(text.strip()), -clean.count(text), len(text), text))

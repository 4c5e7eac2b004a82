"""A rendered chat as token ids, where what users and models wrote is never read as markup.

A tokenizer finds its added tokens (``<|im_end|>``) wherever their spelling stands: in what the template
writes and in what a user typed. Here only the template's are found. The trick is one copy of the tokenizer in
which each of these tokens has a secret name; the template's are then spelt by their secret names, and content
keeps its letters. All else (normalisation, merges, spaces at seams) is the tokenizer's own, so decoding gives
back what was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from rewild.core.conversations import THOUGHT
from rewild.engines.base import Message

# Private use: they enclose stand-ins for content while a template is at work.
_MARK, _END = "\ue0ff", "\ue0fd"
_STAND_IN = re.compile(f"{_MARK}([^{_END}]*){_END}")
_BRACKETED = re.compile(r"^[<\[{(«｜|].*\w.*[>\]})»｜|]$", re.DOTALL)
WRITTEN = ("content", THOUGHT)
"""Keys of a message whose texts users and models wrote."""
TEMPLATE = -1
"""The owner of a token that the template writes."""


@dataclass(frozen=True)
class Encoded:
    """A chat as token ids.

    Attributes:
        tokens: the ids.
        owners: per token, the index of the message whose content it is (also in part), or :data:`TEMPLATE`.
    """

    tokens: tuple[int, ...]
    owners: tuple[int, ...]


@dataclass
class _Written:
    """A rendered chat with the template's markers under their secret names."""

    text: str = ""
    markers: int = 0  # how many of them the template wrote
    regions: list[tuple[int, int, int]] = field(default_factory=list)  # from, to (characters), message


class Encoder:
    """Token ids of rendered chats, for one tokenizer and one template."""

    def __init__(self, tokenizer: Any, name: str, written: Sequence[str] = ()):
        """
        Args:
            tokenizer: a Hugging Face tokenizer.
            name: the model's name, for messages.
            written: what the template writes around contents, in some chats: tokens of the vocabulary and
                spellings such as ``[/INST]`` that are not added tokens are found there.
        """
        self.tokenizer, self.name = tokenizer, name
        self.markers = _markers(tokenizer, written)
        """Each marker's spelling → its token id."""
        self.ids = frozenset(self.markers.values())
        unknown = getattr(tokenizer, "unk_token_id", None)
        others = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}
        # The unknown token stands for letters that the vocabulary lacks: it may come of content.
        self._counted = self.ids - ({unknown} - others)
        self.spelt = tuple(sorted(_spelt(written, self.markers)))
        """Markers that are several tokens of ordinary text, such as ``[/INST]`` of Llama 2."""
        self._found = _any_of(self.markers)
        self._covered = _any_of([*self.markers, *self.spelt, _MARK])
        self._edges = _edges(self.markers)
        self._copy: _Secret | None = None

    def is_plain(self, messages: Sequence[Message]) -> bool:
        """Whether no content spells a marker, nor could at a seam with what the template writes."""
        return not any(
            self._covered.search(text) or self._at_edge(text) for m in messages for text in _texts(m)
        )

    def _at_edge(self, content: str) -> bool:
        begins, ends, longest = self._edges
        text = content.strip()
        return any(text[:n] in begins or text[-n:] in ends for n in range(2, min(len(text), longest) + 1))

    def mark(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        """Messages for the template: contents between stand-ins, and their markers as stand-ins.

        Spaces around a content stay outside, so that a template can still trim them.
        """
        return [
            {
                key: self._mark(i, text) if key in WRITTEN else text
                for key, text in m.items()
                if text is not None
            }
            for i, m in enumerate(messages)
        ]

    def _mark(self, index: int, content: str) -> str:
        core = content.strip()
        if not core:
            return content
        start = content.index(core[0])
        escaped = self._covered.sub(lambda m: _stand_in(",".join(f"{ord(c):x}" for c in m.group())), core)
        begin, end = _stand_in(f"({index}"), _stand_in(")")
        return f"{content[:start]}{begin}{escaped}{end}{content[start + len(core) :]}"

    def plain(self, texts: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Ids of rendered chats whose contents are plain; None where a content became a marker all the same.

        That happens where a tokenizer looks for its tokens in normalised text (``＜|im_end|＞``).
        """
        if not texts:
            return []
        # One call for all: the tokenizer's own threads are many times faster than a loop here.
        found = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [
            tuple(ids) if self._count(ids) == len(self._found.findall(text)) else None
            for text, ids in zip(texts, found, strict=True)
        ]

    def marked(self, text: str) -> Encoded:
        """Ids of a chat that was rendered from :meth:`mark`'s messages, and whose they are.

        Raises:
            ValueError: this tokenizer cannot write some content as text.
        """
        if not getattr(self.tokenizer, "is_fast", False):
            return self._piecewise(text)
        if self._copy is None:
            self._copy = _Secret(self.tokenizer, self.name, self.markers, self.spelt)
        written = self._write(text, self._copy)
        ids, spans = self._copy.encode(written.text)
        self._check(ids, written.markers)
        return Encoded(tuple(ids), tuple(_owner(span, written.regions) for span in spans))

    def text(self, content: str) -> list[int]:
        """Ids of a content alone: no marker in it is read as one."""
        return list(self.marked(self._mark(0, content)).tokens)

    def _write(self, rendered: str, secret: _Secret) -> _Written:
        made, inside, began = _Written(), TEMPLATE, 0
        for i, piece in enumerate(_STAND_IN.split(rendered)):
            if i % 2 == 0:
                if inside != TEMPLATE:
                    made.text += piece
                    continue
                text, count = self._found.subn(lambda m: secret.names[m.group()], piece)
                made.text += text
                made.markers += count
            elif piece.startswith("("):
                inside, began = int(piece[1:]), len(made.text)
            elif piece == ")":
                if inside != TEMPLATE:
                    made.regions.append((began, len(made.text), inside))
                inside = TEMPLATE
            else:
                made.text += secret.literal(_literal(piece))
        return made

    def _piecewise(self, text: str) -> Encoded:
        """For tokenizers without a backend that can be copied: stretches between markers, one by one."""
        ids: list[int] = []
        owners: list[int] = []
        expected = 0
        for stretch, owner, is_template in _stretches(text):
            if is_template:
                expected += len(self._found.findall(stretch))
            some = self.tokenizer(
                stretch, add_special_tokens=False, split_special_tokens=not is_template, verbose=False
            )["input_ids"]
            ids += some
            owners += [owner] * len(some)
        self._check(ids, expected)
        whole = "".join(stretch for stretch, *_ in _stretches(text))
        if self.tokenizer.decode(ids) != self.tokenizer.decode(
            self.tokenizer(whole, add_special_tokens=False, verbose=False)["input_ids"]
        ):
            raise ValueError(f"the tokenizer of {self.name} cannot write this conversation as text")
        return Encoded(tuple(ids), tuple(owners))

    def _count(self, ids: Iterable[int]) -> int:
        return sum(map(self._counted.__contains__, ids))

    def _check(self, ids: Sequence[int], expected: int) -> None:
        """What the template writes, and not one marker more."""
        if (found := self._count(ids)) > expected:
            raise ValueError(
                f"the tokenizer of {self.name} cannot write this conversation as text: it makes {found} "
                f"control tokens where the template writes {expected}"
            )


class _Secret:
    """A copy of a fast tokenizer in which markers have secret names."""

    def __init__(self, tokenizer: Any, name: str, markers: Mapping[str, int], spelt: Sequence[str]):
        from tokenizers import Tokenizer

        key = token_hex(8)  # no text can know it; no id depends on it
        self.names = {marker: f"zq{key}x{i}q" for marker, i in markers.items()}
        self._break = f"zq{key}bq"
        data = json.loads(tokenizer.backend_tokenizer.to_str())
        data |= {"post_processor": None, "truncation": None, "padding": None}
        data["added_tokens"] = [
            {**t, "content": self.names.get(t["content"], t["content"])} for t in data["added_tokens"]
        ]
        there = {t["content"] for t in data["added_tokens"]}
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        data["added_tokens"] += [
            {"id": markers[m], "content": n, **plain} for m, n in self.names.items() if n not in there
        ]
        data["model"] = _renamed(data["model"], self.names)
        self._backend = Tokenizer.from_str(json.dumps(data))
        wrong = [m for m, n in self.names.items() if self._backend.token_to_id(n) != markers[m]]
        if wrong:
            raise ValueError(f"the tokenizer of {name} cannot be copied: {wrong[0]!r} would be another token")
        self._backend.add_special_tokens([self._break])
        self._break_id = self._backend.token_to_id(self._break)
        self._spaces = {self._backend.token_to_id("▁"), self._backend.token_to_id("Ġ")}
        self._broken = {m: self._breakable(tokenizer, m) for m in spelt}

    def literal(self, text: str) -> str:
        """A marker in content, as the text to encode."""
        return self._broken.get(text, text)

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids, and the characters that each is for."""
        made = self._backend.encode(text, add_special_tokens=False)
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        broken = False
        for i, span in zip(made.ids, made.offsets, strict=True):
            # Some tokenizers begin every stretch with a space; after a break it is nobody's.
            if i != self._break_id and not (broken and i in self._spaces):
                ids.append(i)
                spans.append(span)
            broken = i == self._break_id
        return ids, spans

    def _breakable(self, tokenizer: Any, marker: str) -> str:
        """A marker of several tokens with a break in it that makes them others; unchanged where none can."""
        native = self.encode(f"a {marker} b")[0]
        for at in range(1, len(marker)):
            broken = f"{marker[:at]}{self._break}{marker[at:]}"
            ids = self.encode(f"a {broken} b")[0]
            if ids != native and tokenizer.decode(ids) == tokenizer.decode(native):
                return broken
        return marker


def _markers(tokenizer: Any, written: Sequence[str]) -> dict[str, int]:
    """Spelling → id of every added token, and of every token in brackets that the template writes.

    Added tokens of nothing but spaces (OLMo's, Gemma's) are text.
    """
    found = {str(t): int(i) for i, t in tokenizer.added_tokens_decoder.items()}
    found |= dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    for ids in tokenizer(list(written), add_special_tokens=False)["input_ids"] if written else ():
        for i in set(ids) - set(found.values()):
            token = tokenizer.convert_ids_to_tokens(i)
            if is_bracketed(token) and any(token in text for text in written):
                found[token] = int(i)
    return {marker: i for marker, i in found.items() if marker.strip().strip("▁")}


def _spelt(written: Sequence[str], markers: Mapping[str, int]) -> set[str]:
    """Spellings of several tokens that a template writes around contents: ``[/INST]``, ``### Response:``."""
    found: set[str] = set()
    splits = _any_of(markers)
    for text in written:
        for line in splits.sub("\n", text).splitlines():
            words = [word for word in line.split() if is_bracketed(word)]
            found |= set(words) or {line.strip()}
    return {m for m in found if len(m) > 2 and not re.fullmatch(r"[\w\s]*", m)}


def is_bracketed(text: str) -> bool:
    """Whether a text is in brackets, as markers are: ``[/INST]``, ``<|user|>``."""
    return bool(_BRACKETED.match(text))


def _texts(message: Message) -> Iterable[str]:
    return (text for key in WRITTEN if (text := message.get(key)))


def _any_of(literals: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(set(literals), key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _edges(markers: Iterable[str]) -> tuple[frozenset[str], frozenset[str], int]:
    """How a content begins, or ends, that could be part of a marker together with the template's letters.

    Two characters at least: one alone (``<``) would need a template that writes all the rest.
    """
    begins = frozenset(m[at:] for m in markers for at in range(1, len(m) - 1))
    ends = frozenset(m[:at] for m in markers for at in range(2, len(m)))
    return begins, ends, max(map(len, begins | ends), default=0)


def _stand_in(text: str) -> str:
    return f"{_MARK}{text}{_END}"


def _literal(piece: str) -> str:
    try:
        return "".join(chr(int(c, 16)) for c in piece.split(","))
    except ValueError:  # a template changed it
        raise ValueError("the chat template changes the text of messages") from None


def _stretches(text: str) -> Iterable[tuple[str, int, bool]]:
    """``(text, owner, whether tokens may be found in it)``, in order."""
    inside = TEMPLATE
    for i, piece in enumerate(_STAND_IN.split(text)):
        if i % 2 == 0:
            if piece:
                yield piece, inside, inside == TEMPLATE
        elif piece.startswith("("):
            inside = int(piece[1:])
        elif piece == ")":
            inside = TEMPLATE
        else:
            yield _literal(piece), inside, False


def _renamed(model: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A model of the `tokenizers` library whose markers cannot be reached from text."""
    made = dict(model)
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        made["vocab"] = {names.get(token, token): i for token, i in vocabulary.items()}
    elif isinstance(vocabulary, list):
        made["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
    if isinstance(model.get("unk_token"), str):
        made["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if model.get("merges"):
        pairs = (m.split(" ", 1) if isinstance(m, str) else m for m in model["merges"])
        made["merges"] = [
            [a, b] for a, b in pairs if a not in names and b not in names and a + b not in names
        ]
    return made


def _owner(span: tuple[int, int], regions: Sequence[tuple[int, int, int]]) -> int:
    """The message of which a token has characters."""
    start, end = span
    for begin, stop, message in regions:
        if start < stop and max(end, start + 1) > begin:
            return message
    return TEMPLATE

"""Tokens, once per distinct word: what each score sees of a text.

Three tokenisations, each as its reference package has it:

``rouge``
    google ``rouge_score``, default tokeniser, stemmer on: the text is lower-cased, every run of characters
    other than a–z and 0–9 is a separator, tokens of more than three letters are stemmed (Porter). ASCII
    only: a Chinese or Russian text has no tokens at all.
``meteor``
    the released notebook's call of nltk: the text is split at white space, tokens are lower-cased,
    punctuation stays on the words. Stages two and three compare Porter stems.
``bleu``
    the same split, letters as they are.

And one that reads any script, used in place of all three (:class:`Tokeniser` ``unicode``): a token is a run
of letters, marks and digits; in scripts that put no space between words (Han, kana, Thai, Lao, Khmer,
Burmese, Tibetan) every letter with its marks is a token, as in common practice for Chinese BLEU.

All three parity tokenisations keep within the white space: the tokens of a text are those of its words, one
after another. So a text is split once, each distinct word is numbered, and everything else (lower case,
stems, ROUGE's tokens) is worked out once per distinct word of a block.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from rewild.config.similarity import Tokeniser
from rewild.measures.similarity.porter import stem
from rewild.measures.similarity.wordnet import WordNet

Ids = NDArray[np.int32]

_ROUGE_TOKEN = re.compile(r"[a-z0-9]+")
_ASCII_TOKEN = re.compile(
    r"[A-Za-z0-9]+"
)  # what the pattern below finds in ASCII text, in a third of the time
# Zero-width joiners stand inside words of Indic scripts and Persian.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_UNICODE_TOKEN = regex.compile(
    rf"(?V1)[[{_UNSPACED}]&&[\p{{L}}\p{{N}}]]\p{{M}}*|(?:[[\p{{L}}\p{{N}}]--[{_UNSPACED}]][\p{{M}}\u200c\u200d]*)+"
)


def unicode_tokens(text: str) -> list[str]:
    """Words of any script; single letters where the script has no spaces. Letter case is kept."""
    found: list[str] = (_ASCII_TOKEN if text.isascii() else _UNICODE_TOKEN).findall(text)
    return found


class _Numbers:
    """Numbers distinct strings from 0 in the order they are met."""

    def __init__(self) -> None:
        self._ids: defaultdict[str, int] = defaultdict()
        self._ids.default_factory = self._ids.__len__

    def __len__(self) -> int:
        return len(self._ids)

    def of(self, strings: Iterable[str]) -> Ids:
        return np.array([self._ids[s] for s in strings], np.int32)

    def of_tokens(self, tokens: Sequence[str]) -> Ids:
        return np.fromiter(map(self._ids.__getitem__, tokens), np.int32, len(tokens))

    def strings(self) -> list[str]:
        return list(self._ids)


@dataclass(frozen=True)
class Ragged:
    """Lists of numbers, one per word, end to end: that of word ``w`` is ``flat[start[w]:start[w + 1]]``."""

    flat: Ids
    start: NDArray[np.int64]

    @classmethod
    def of(cls, lists: Sequence[Sequence[str]], numbers: _Numbers) -> Ragged:
        start = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(part) for part in lists], out=start[1:])
        return cls(numbers.of(token for part in lists for token in part), start)

    @property
    def count(self) -> NDArray[np.int64]:
        """How many numbers each word has."""
        return np.diff(self.start)

    def expand(self, words: Ids) -> tuple[Ids, NDArray[np.int64]]:
        """The numbers of ``words`` in order, and how many each word gave."""
        first = self.start[words]
        count = self.start[words + 1] - first
        end = np.cumsum(count)
        index = np.arange(end[-1] if len(end) else 0) + np.repeat(first - (end - count), count)
        return self.flat[index], count


@dataclass(frozen=True)
class Stream:
    """The tokens of several texts, end to end. ``ids[bounds[i]:bounds[i + 1]]`` are those of text ``i``."""

    ids: Ids
    bounds: NDArray[np.int64]


@dataclass(frozen=True)
class Item:
    """The responses of all models to one prompt and turn, as each score sees them."""

    rouge: Stream
    meteor: Stream
    bleu: Stream


@dataclass(frozen=True)
class Seen:
    """Per text: the tokens that a Unicode-aware reader finds, and how many of them a score can tell apart.

    ROUGE sees a token made of ASCII letters and digits. METEOR and BLEU see one token per white-space word
    that holds any (so "re-read." counts 1 of 2, and a Chinese sentence 1 of its length).
    """

    tokens: NDArray[np.int64]
    rouge: NDArray[np.int64]
    words: NDArray[np.int64]


class Corpus:
    """Texts, tokenised: add them with :meth:`add`, call :meth:`close`, then take :class:`Item` s.

    Args:
        wordnet: where METEOR's synonyms come from; null leaves that stage out.
    """

    def __init__(self, wordnet: WordNet | None) -> None:
        self._wordnet = wordnet
        self._words = _Numbers()
        self._texts: list[Ids] = []
        self._unicode: Tables | None = None

    def add(self, text: str) -> int:
        """Take a text in; returns its number."""
        self._texts.append(self._words.of_tokens(text.split()))
        return len(self._texts) - 1

    def close(self, tokenisers: Iterable[Tokeniser] = ("parity",)) -> None:
        """Work out stems, synonyms and tokens of every distinct word. No text can be added afterwards."""
        words = self._words.strings()
        self._parity = _parity_tables(words, self._wordnet)
        splits = [[w] if w.isascii() and w.isalnum() else unicode_tokens(w) for w in words]
        self._n_tokens = np.array([len(s) for s in splits], np.int64)
        self._n_rouge = np.array(
            [len(s) if w.isascii() else sum(map(str.isascii, s)) for w, s in zip(words, splits, strict=True)],
            np.int64,
        )
        if "unicode" in tokenisers:
            self._unicode = _unicode_tables(splits, self._wordnet)

    def tables(self, tokeniser: Tokeniser) -> Tables:
        """What METEOR needs to know about the block's words."""
        tables = self._parity if tokeniser == "parity" else self._unicode
        assert tables is not None, "close() was not asked for this tokeniser"
        return tables

    def item(self, texts: Sequence[int], tokeniser: Tokeniser = "parity") -> Item:
        """The streams of some texts."""
        tables = self.tables(tokeniser)
        parts = [self._texts[t] for t in texts]
        words = Stream(
            np.concatenate(parts) if parts else np.empty(0, np.int32), _bounds([len(p) for p in parts])
        )
        rouge = _expand(words, tables.rouge)
        bleu = words if tables.bleu is None else _expand(words, tables.bleu)
        return Item(rouge, Stream(tables.lower[bleu.ids], bleu.bounds), bleu)

    def seen(self, texts: Sequence[int]) -> Seen:
        """How much of each text each score can see."""
        parts = [self._texts[t] for t in texts]
        return Seen(
            np.array([self._n_tokens[p].sum() for p in parts], np.int64),
            np.array([self._n_rouge[p].sum() for p in parts], np.int64),
            np.array([np.count_nonzero(self._n_tokens[p]) for p in parts], np.int64),
        )


@dataclass(frozen=True)
class Tables:
    """Per distinct word of a block.

    Attributes:
        rouge: word → ROUGE tokens.
        bleu: word → BLEU tokens; null where a word is its own token.
        lower: BLEU token → METEOR token.
        stem: METEOR token → stem.
        synonyms: stem → stems that WordNet lists as synonyms, itself left out.
    """

    rouge: Ragged
    bleu: Ragged | None
    lower: Ids
    stem: Ids
    synonyms: Ragged


def _parity_tables(words: Sequence[str], wordnet: WordNet | None) -> Tables:
    lowers = _Numbers()
    lower = lowers.of(w.lower() for w in words)
    distinct = lowers.strings()
    stems: dict[str, str] = {}
    cut = _stemmer(stems)
    per_lower = Ragged.of(
        [
            [cut(w)] if w.isascii() and w.isalnum() else [cut(t) for t in _ROUGE_TOKEN.findall(w)]
            for w in distinct
        ],
        _Numbers(),
    )
    flat, count = per_lower.expand(lower)
    rouge = Ragged(flat, _bounds(count))
    return Tables(rouge, None, lower, *_stem_tables(distinct, stems, wordnet))


def _unicode_tables(splits: Sequence[Sequence[str]], wordnet: WordNet | None) -> Tables:
    tokens = _Numbers()
    bleu = Ragged.of(splits, tokens)
    lowers = _Numbers()
    lower = lowers.of(t.lower() for t in tokens.strings())
    distinct = lowers.strings()
    stems: dict[str, str] = {}
    cut = _stemmer(stems)
    rouge_of = _Numbers().of(map(cut, distinct))
    rouge = Ragged(rouge_of[lower[bleu.flat]], bleu.start)
    return Tables(rouge, bleu, lower, *_stem_tables(distinct, stems, wordnet))


def _stemmer(memory: dict[str, str]) -> Callable[[str], str]:
    """ROUGE's use of the stemmer: words of more than three letters only."""

    def cut(word: str) -> str:
        if len(word) <= 3:
            return word
        if (known := memory.get(word)) is None:
            known = memory[word] = stem(word)
        return known

    return cut


def _stem_tables(
    lowers: Sequence[str], memory: dict[str, str], wordnet: WordNet | None
) -> tuple[Ids, Ragged]:
    numbers = _Numbers()
    stem_of = numbers.of(memory.get(w) or stem(w) for w in lowers)
    stems = numbers.strings()
    if wordnet is None:
        return stem_of, Ragged(np.empty(0, np.int32), np.zeros(len(stems) + 1, np.int64))
    number = {s: i for i, s in enumerate(stems)}
    lists = [[number[w] for w in wordnet.synonyms(s) if w in number and w != s] for s in stems]
    start = _bounds([len(found) for found in lists])
    flat = np.array([i for found in lists for i in sorted(found)], np.int32)
    return stem_of, Ragged(flat, start)


def _bounds(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds


def _expand(words: Stream, table: Ragged) -> Stream:
    ids, count = table.expand(words.ids)
    ends = np.concatenate(([0], np.cumsum(count)))
    return Stream(ids, ends[words.bounds])

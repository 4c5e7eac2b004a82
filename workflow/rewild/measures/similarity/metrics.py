"""ROUGE-1, ROUGE-2, ROUGE-L, METEOR and BLEU of every pair of responses to one prompt, exactly.

Row ``h``, column ``r`` of a result is the score of response ``h`` (hypothesis) against response ``r``
(reference).

* ROUGE: F1, as google ``rouge_score`` with the stemmer on (symmetric).
* METEOR: as nltk ``meteor_score`` (alpha 0.9, beta 3, gamma 0.5): ``F = P R / (0.9 P + 0.1 R)``, so
**recall has
  nine times the weight of precision** (the paper's appendix A says the reverse). Not symmetric.
* BLEU: as nltk ``sentence_bleu`` with smoothing method 1. Not symmetric.

How it is fast. A clipped count of common n-grams is the size of an intersection of sets, once the k-th
occurrence of an n-gram is a thing of its own; so every response becomes a row of bits and a pair costs a
few ``and`` and ``popcount``. n-grams that only one response has are left out first, which is most of them.
nltk's alignment for METEOR pairs the k-th occurrence *from the end*, so its exact stage is such an
intersection too, and so are its chunks, but for the few words matched by stem or synonym; only these are
looked at one by one (in :mod:`rewild.measures.similarity.meteor`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from rewild.measures.similarity.tokens import Stream

Matrix = NDArray[np.float64]
Counts = NDArray[np.int64]
Index = NDArray[np.int64]

BLEU_ORDER = 4
_CHUNK = 2048  # words of 64 bits looked at together: bounds the memory
EPSILON = 0.1
"""What nltk's smoothing method 1 puts in place of a count of zero."""


@dataclass(frozen=True)
class Occurrences:
    """Tokens (or n-grams) of several texts, sorted by value and, for equal values, by position.

    Attributes:
        order: the positions, so sorted.
        owner: the text of each.
        groups: indices at which a new value starts.
        runs: indices at which a new value, or the same value in another text, starts.
        group: per index, where its value starts: a number per distinct value, below the number of positions.
    """

    order: Index
    owner: Index
    groups: Index
    runs: Index
    group: Index

    @property
    def lengths(self) -> Index:
        """Length of each run: how often a value stands in a text."""
        return np.diff(self.runs, append=len(self.order))

    def from_start(self) -> Index:
        """Units, per index: the k-th occurrence of a value in its text has the same number in every text."""
        return self.group + np.arange(len(self.order)) - np.repeat(self.runs, self.lengths)

    def from_end(self) -> Index:
        """Units counted from the end of the text."""
        lengths = self.lengths
        return self.group + np.repeat(self.runs + lengths - 1, lengths) - np.arange(len(self.order))

    def back(self, values: Index) -> Index:
        """``values``, given per index, in the order of positions."""
        positions = np.empty_like(values)
        positions[self.order] = values
        return positions


def occurrences(values: Index, owner: Index) -> Occurrences:
    """Group positions by value. ``owner`` (the text of each position) must not decrease."""
    n = len(values)
    bits = max(n - 1, 1).bit_length()
    if n and int(values.max()) >> (63 - bits):
        order = np.argsort(values, kind="stable")
        key = values[order]
    else:  # one sort of plain numbers instead of a slower sort of indices
        packed = np.sort((values << bits) | np.arange(n))
        order = packed & ((1 << bits) - 1)
        key = packed >> bits
    owner = owner[order]
    new_group = np.ones(n, bool)
    np.not_equal(key[1:], key[:-1], out=new_group[1:])
    new_run = new_group.copy()
    new_run[1:] |= owner[1:] != owner[:-1]
    groups = np.flatnonzero(new_group)
    group = np.repeat(groups, np.diff(groups, append=n))
    return Occurrences(order, owner, groups, np.flatnonzero(new_run), group)


def overlap(units: Index, owner: Index, n_texts: int) -> Counts:
    """How many units each two texts have in common.

    Args:
        units: numbers below ``len(units)``; a text must not hold one twice.
        owner: the text of each.
        n_texts: number of texts.

    Returns:
        ``n_texts`` × ``n_texts``, symmetric; the diagonal is not meaningful.
    """
    shared = np.bincount(units, minlength=1) > 1
    column = np.cumsum(shared) - 1
    keep = shared[units]
    width = -(-int(shared.sum()) // 64) * 64
    present = np.zeros((n_texts, width), bool)
    present[owner[keep], column[units[keep]]] = True
    bits = np.packbits(present, axis=1).view(np.uint64)
    one, other = np.triu_indices(n_texts, 1)
    both = np.zeros(len(one), np.int64)
    for part in np.split(bits, range(_CHUNK, bits.shape[1], _CHUNK), axis=1):
        both += np.bitwise_count(part[one] & part[other]).sum(axis=1, dtype=np.int64)
    counts = np.zeros((n_texts, n_texts), np.int64)
    counts[one, other] = counts[other, one] = both
    return counts


def ngram_overlaps(stream: Stream, orders: int) -> list[Counts]:
    """Clipped counts of common n-grams of every pair of texts, for n = 1 to ``orders``."""
    n_texts = len(stream.bounds) - 1
    owner = owners(stream)
    values = stream.ids.astype(np.int64)
    position = np.arange(len(values))
    tokens = values
    found = []
    for n in range(1, orders + 1):
        seen = occurrences(values, owner)
        found.append(overlap(seen.from_start(), seen.owner, n_texts))
        if n == orders:
            break
        # A longer n-gram can be common only if both its halves are, and it stays within one text.
        texts_with = np.diff(np.searchsorted(seen.runs, np.append(seen.groups, len(values))))
        group = seen.back(seen.group)
        common = seen.back(np.repeat(texts_with > 1, np.diff(seen.groups, append=len(values))))
        follows = np.zeros(len(values), bool)
        follows[:-1] = (
            (position[1:] == position[:-1] + 1) & (owner[1:] == owner[:-1]) & common[:-1] & common[1:]
        )
        if n == 1:
            tokens = group
        values = group[follows] * (len(tokens) + 1) + tokens[position[follows] + n]
        position, owner = position[follows], owner[follows]
    return found


def owners(stream: Stream) -> Index:
    """The text of each position."""
    return np.repeat(np.arange(len(stream.bounds) - 1), np.diff(stream.bounds))


def lcs_lengths(stream: Stream) -> Counts:
    """Length of the longest common subsequence of tokens of every pair of texts.

    Tokens become characters, the most frequent first: rapidfuzz has a fast path for characters below 256.
    """
    n_texts = len(stream.bounds) - 1
    seen = occurrences(stream.ids.astype(np.int64), owners(stream))
    frequency = np.diff(seen.groups, append=len(seen.order))
    rank = np.empty_like(frequency)
    rank[np.argsort(-frequency, kind="stable")] = np.arange(len(frequency))
    letters = seen.back(np.repeat(rank, frequency))
    letters += (letters >= 0xD800) * 0x800  # no surrogates
    texts = [
        letters[a:b].astype("<u4").tobytes().decode("utf-32-le")
        for a, b in zip(stream.bounds[:-1].tolist(), stream.bounds[1:].tolist(), strict=True)
    ]
    lengths = cdist(texts, texts, scorer=LCSseq.similarity, dtype=np.int32, workers=1)
    return np.asarray(lengths, np.int64).reshape(n_texts, n_texts)


def f1(common: Counts, size: Counts) -> Matrix:
    """ROUGE's F measure, with its order of operations.

    Args:
        common: clipped counts of common n-grams, or lengths of common subsequences.
        size: per text, how many n-grams (or tokens) it has.
    """
    share = common / np.maximum(size, 1)[:, None]
    other = share.T
    total = share + other
    return np.divide(2 * share * other, total, out=np.zeros_like(total), where=total > 0)


def rouge(stream: Stream) -> dict[str, Matrix]:
    """ROUGE-1, ROUGE-2 and ROUGE-L F1."""
    size = np.diff(stream.bounds)
    one, two = ngram_overlaps(stream, 2)
    return {
        "rouge1": f1(one, size),
        "rouge2": f1(two, np.maximum(size - 1, 0)),
        "rougeL": f1(lcs_lengths(stream), size),
    }


def bleu(stream: Stream) -> Matrix:
    """Sentence BLEU-4 with uniform weights and smoothing method 1 (Chen and Cherry, 2014)."""
    size = np.diff(stream.bounds)
    found = ngram_overlaps(stream, BLEU_ORDER)
    log_precision = np.zeros((len(size), len(size)))
    for n, common in enumerate(found):
        total = np.maximum(size - n, 1)[:, None]
        log_precision += 0.25 * np.log(np.where(common > 0, common, EPSILON) / total)
    longer = size[:, None] > size[None, :]
    brevity = np.where(longer, 1.0, np.exp(1 - size[None, :] / np.maximum(size, 1)[:, None]))
    return np.where(found[0] > 0, brevity * np.exp(log_precision), 0.0)

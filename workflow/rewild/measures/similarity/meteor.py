"""METEOR's alignment, for all pairs of texts at once, as nltk makes it.

nltk walks the hypothesis from its end. Stage one gives each token the last free reference token that is
equal; stage two does the same with stems among what is left; stage three gives each remaining hypothesis
stem the last free reference stem that WordNet lists as its synonym. The score needs the number of matches
and of chunks (runs of matches that are adjacent in both texts).

Stages one and two pair the k-th occurrence from the end, so who is matched with whom is symmetric and
follows from counts. Stage one's matches are never listed: their number is an overlap of occurrences, and
the number of adjacent pairs of them an overlap of neighbouring occurrences. What stages two and three match
is listed and joined to its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewild.measures.similarity.metrics import Index, Matrix, Occurrences, occurrences, overlap, owners
from rewild.measures.similarity.tokens import Stream, Tables

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
_CELLS = 1 << 23  # elements of a temporary array: bounds the memory
_EMPTY = np.empty(0, np.int64)


@dataclass(frozen=True)
class Matches:
    """Matched tokens of ordered pairs of texts: pair ``h * n_texts + r``, and the position of each token."""

    pair: Index
    hypothesis: Index
    reference: Index


_NONE = Matches(_EMPTY, _EMPTY, _EMPTY)


@dataclass(frozen=True)
class _Text:
    """The tokens of all texts, and where each word stands.

    ``count[w, t]`` occurrences of word ``w`` in text ``t`` are ``place[first[w, t]:]``, in order. Words are
    sorted by stem; those of stem ``s`` start at row ``rows[s]``.
    """

    n_texts: int
    count: NDArray[np.int32]
    first: Index
    place: Index
    rows: Index
    stems: NDArray[np.int32]  # count of each stem in each text

    def leftover(self, stem: Index, of: Index, against: Index) -> tuple[Index, Index]:
        """Tokens of some stems that stage one leaves over in text ``of`` when it is aligned with ``against``.

        Returns:
            For each token: which of the requests it answers, and its position; sorted by request and
            position.
        """
        width = self.rows[stem + 1] - self.rows[stem]
        request = np.repeat(np.arange(len(stem)), width)
        word = _ranges(self.rows[stem], width)
        excess = self.count[word, of[request]] - self.count[word, against[request]]
        some = excess > 0
        request, word, excess = request[some], word[some], excess[some]
        place = self.place[_ranges(self.first[word, of[request]], excess)]
        request = np.repeat(request, excess)
        bits = max(len(self.place), 1).bit_length()
        packed = np.sort((request << bits) | place)
        return packed >> bits, packed & ((1 << bits) - 1)


def meteor(stream: Stream, tables: Tables) -> Matrix:
    """METEOR of every ordered pair of texts: row = hypothesis, column = reference."""
    n_texts = len(stream.bounds) - 1
    owner = owners(stream)
    size = np.diff(stream.bounds)
    seen = occurrences(stream.ids.astype(np.int64), owner)
    matches = overlap(seen.from_end(), seen.owner, n_texts)
    unit = seen.back(seen.from_end())
    adjacent = _adjacent_units(unit, owner, n_texts)

    by_stem, edges = _index(stream, seen, tables, n_texts)
    found = _stem_matches(by_stem), _synonym_matches(by_stem, edges)
    extra, joined = _count(found, unit, owner, n_texts)
    return score(matches + extra, adjacent + joined, size)


def score(matches: NDArray[np.int64], adjacent: NDArray[np.int64], size: Index) -> Matrix:
    """METEOR from the numbers of matches and of adjacent pairs of them, in nltk's order of operations."""
    some = matches > 0
    count = np.where(some, matches, 1).astype(np.float64)
    precision = count / np.maximum(size, 1)[:, None]
    recall = count / np.maximum(size, 1)[None, :]
    mean = (precision * recall) / (ALPHA * precision + (1 - ALPHA) * recall)
    penalty = GAMMA * ((count - adjacent) / count) ** BETA
    return np.where(some, (1 - penalty) * mean, 0.0)


def _adjacent_units(unit: Index, owner: Index, n_texts: int) -> NDArray[np.int64]:
    """Neighbouring tokens that both texts have, as the same occurrences: adjacent matches of stage one."""
    shared = (np.bincount(unit, minlength=1) > 1)[unit]
    both = shared[:-1] & shared[1:] & (owner[1:] == owner[:-1])
    key = unit[:-1][both] * (len(unit) + 1) + unit[1:][both]
    owner = owner[:-1][both]
    seen = occurrences(key, owner)
    return overlap(seen.group, seen.owner, n_texts)


def _index(
    stream: Stream, seen: Occurrences, tables: Tables, n_texts: int
) -> tuple[_Text, tuple[Index, Index]]:
    """Where words and stems stand, and the synonyms among the stems that occur."""
    words = stream.ids[seen.order[seen.groups]]
    by_stem = np.argsort(tables.stem[words], kind="stable")
    stems = tables.stem[words][by_stem]
    row_of = np.empty(len(words), np.int64)
    row_of[by_stem] = np.arange(len(words))
    row = row_of[np.searchsorted(seen.groups, seen.runs, side="right") - 1]
    owner = seen.owner[seen.runs]
    count = np.zeros((len(words), n_texts), np.int32)
    first = np.zeros((len(words), n_texts), np.int64)
    count[row, owner] = seen.lengths
    first[row, owner] = seen.runs
    rows = np.flatnonzero(np.diff(stems, prepend=-1))
    distinct = stems[rows]
    width = np.diff(rows, append=len(words))
    per_stem = _sum_rows(count, rows, width)
    rows = np.append(rows, len(words))
    text = _Text(n_texts, count, first, seen.order, rows, per_stem)

    target, degree = tables.synonyms.expand(distinct)
    source = np.repeat(np.arange(len(distinct)), degree)
    at = np.searchsorted(distinct, target)
    known = at < len(distinct)
    known[known] = distinct[at[known]] == target[known]
    return text, (source[known], at[known])


def _stem_matches(text: _Text) -> Matches:
    """Stage two, for every pair once and then both ways round."""
    width = np.diff(text.rows)
    several = np.flatnonzero(width > 1)
    one, other = np.triu_indices(text.n_texts, 1)
    if not len(several) or not len(one):
        return _NONE
    width = width[several]
    words = _small(text.count[_ranges(text.rows[several], width)])
    stems = _small(text.stems[several])
    words = words.astype(stems.dtype)  # sums over a stem's words fit
    starts = np.cumsum(width) - width
    found_stem, found_pair, times = [], [], []
    step = max(1, _CELLS // len(words))
    for at in range(0, len(one), step):
        a, b = one[at : at + step], other[at : at + step]
        exact = _sum_rows(np.minimum(words[:, a], words[:, b]), starts, width)
        more = np.minimum(stems[:, a], stems[:, b]) - exact
        some = np.flatnonzero(more > 0)
        found_stem.append(several[some // len(a)])
        found_pair.append(some % len(a) + at)
        times.append(more.ravel()[some].astype(np.int64))
    stem, pair, k = np.concatenate(found_stem), np.concatenate(found_pair), np.concatenate(times)
    a, b = one[pair], other[pair]
    left = _last(*text.leftover(stem, a, b), k)
    right = _last(*text.leftover(stem, b, a), k)
    a, b = np.repeat(a, k), np.repeat(b, k)
    return Matches(
        np.concatenate((a * text.n_texts + b, b * text.n_texts + a)),
        np.concatenate((left, right)),
        np.concatenate((right, left)),
    )


def _small(counts: NDArray[np.int32]) -> NDArray[Any]:
    """The same counts in one byte each, if they fit: most of this module's time is memory traffic."""
    return counts.astype(np.uint8) if counts.size and counts.max() < 256 else counts


def _sum_rows(values: NDArray[Any], starts: Index, width: Index) -> NDArray[Any]:
    """Sums of consecutive rows (``np.add.reduceat`` along the first axis, twenty times faster)."""
    sums = values[starts]
    for k in range(1, int(width.max(initial=0))):
        wide = np.flatnonzero(width > k)
        sums[wide] += values[starts[wide] + k]
    return sums


def _ranges(start: Index, length: Index) -> Index:
    """``start[i], start[i] + 1, …`` for ``length[i]`` numbers, one range after another."""
    end = np.cumsum(length)
    ranges: Index = np.arange(end[-1] if len(end) else 0) + np.repeat(start - (end - length), length)
    return ranges


def _last(request: Index, place: Index, k: Index) -> Index:
    """The last ``k[i]`` tokens of each request ``i`` (which must have as many)."""
    end = np.cumsum(np.bincount(request, minlength=len(k)))
    return place[_ranges(end - k, k)]


def _active(text: _Text, edges: tuple[Index, Index]) -> tuple[Index, Index]:
    """Synonyms that can match: the hypothesis has more of the one stem, the reference more of the other.

    Returns:
        Numbers of edges and ordered pairs, sorted by edge.
    """
    source, target = edges
    n = text.n_texts
    used, at = np.unique(np.concatenate(edges), return_inverse=True)
    source, target = at[: len(source)], at[len(source) :]
    found_edges, found_pairs = [], []
    count = _small(text.stems[used])
    step = max(1, _CELLS // (n * n))
    more = np.packbits((count[:, :, None] > count[:, None, :]).reshape(len(used), n * n), axis=1)
    less = np.packbits((count[:, :, None] < count[:, None, :]).reshape(len(used), n * n), axis=1)
    for first in range(0, len(source), step):
        part = slice(first, first + step)
        active = np.unpackbits(more[source[part]] & less[target[part]], axis=1, count=n * n)
        edge, pair = np.divmod(np.flatnonzero(active.view(bool)), n * n)
        found_edges.append(edge + first)
        found_pairs.append(pair)
    if not found_edges:
        return _EMPTY, _EMPTY
    return np.concatenate(found_edges), np.concatenate(found_pairs)


def _distinct(keys: Index) -> tuple[Index, Index]:
    """The distinct keys, sorted, and for each key the number of its own among them."""
    bits = max(len(keys) - 1, 1).bit_length()
    packed = np.sort((keys << bits) | np.arange(len(keys)))
    order = packed & ((1 << bits) - 1)
    values = packed >> bits
    new = np.ones(len(keys), bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    inverse = np.empty(len(keys), np.int64)
    inverse[order] = np.cumsum(new) - 1
    return values[new], inverse


class _Nodes:
    """Tokens that stage two leaves over in some stems of some texts: stacks, the last position on top."""

    def __init__(self, text: _Text, stem: Index, of: Index, against: Index) -> None:
        self.left = (text.stems[stem, of] - text.stems[stem, against]).astype(np.int64)
        request, self._place = text.leftover(stem, of, against)
        size = np.bincount(request, minlength=len(stem))
        self._start = np.cumsum(size) - size  # stage two took the last ones; `left` are the first

    def top(self, node: Index) -> Index:
        """Position of the last token left in each node."""
        top: Index = self._place[self._start[node] + self.left[node] - 1]
        return top

    def pop(self, node: Index, times: Index) -> Index:
        """Take the last ``times`` tokens off each node (no node twice); their positions, ascending."""
        self.left[node] -= times
        return self._place[_ranges(self._start[node] + self.left[node], times)]


def _synonym_matches(text: _Text, edges: tuple[Index, Index]) -> Matches:
    """Stage three.

    nltk serves the hypothesis tokens from the last to the first, and each takes the last free synonym. Both
    sides rank by position, so a stem and a synonym whose last tokens are each other's best choice are
    matched in any
    order of service: all such pairs are taken at once, until none is left.
    """
    n = text.n_texts
    edge, pair = _active(text, edges)
    if not len(edge):
        return _NONE
    keys, source = _distinct(edges[0][edge] * (n * n) + pair)
    stem, ordered = np.divmod(keys, n * n)
    givers = _Nodes(text, stem, ordered // n, ordered % n)
    keys, target = _distinct(edges[1][edge] * (n * n) + pair)
    stem, ordered = np.divmod(keys, n * n)
    takers = _Nodes(text, stem, ordered % n, ordered // n)

    pairs, hypothesis, reference = [], [], []
    while len(source):
        own, others = givers.top(source), takers.top(target)
        best_other = np.zeros(len(givers.left), np.int64)
        np.maximum.at(best_other, source, others)
        best_own = np.zeros(len(takers.left), np.int64)
        np.maximum.at(best_own, target, own)
        chosen = np.flatnonzero((others == best_other[source]) & (own == best_own[target]))
        giver, taker = source[chosen], target[chosen]
        alone = (np.bincount(source)[giver] == 1) & (np.bincount(target)[taker] == 1)
        times = np.where(alone, np.minimum(givers.left[giver], takers.left[taker]), 1)
        pairs.append(np.repeat(pair[chosen], times))
        hypothesis.append(givers.pop(giver, times))
        reference.append(takers.pop(taker, times))
        open_ = (givers.left[source] > 0) & (takers.left[target] > 0)
        source, target, pair = source[open_], target[open_], pair[open_]
    return Matches(np.concatenate(pairs), np.concatenate(hypothesis), np.concatenate(reference))


def _count(
    found: tuple[Matches, Matches], unit: Index, owner: Index, n_texts: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Matches of stages two and three, and their adjacencies to each other and to those of stage one.

    Returns:
        Two ``n_texts`` × ``n_texts`` arrays.
    """
    pair = np.concatenate([m.pair for m in found])
    # One free place between texts, so that neighbours never reach into another text.
    gap = len(unit) + n_texts + 1
    at = np.arange(len(unit)) + owner + 1
    units = -1 - np.arange(gap)
    units[at] = unit
    i = at[np.concatenate([m.hypothesis for m in found])]
    j = at[np.concatenate([m.reference for m in found])]
    joined = (units[i - 1] == units[j - 1]).astype(np.int64) + (units[i + 1] == units[j + 1])
    order = np.argsort(pair * gap + i)
    key, j_sorted = (pair * gap + i)[order], j[order]
    follows = (key[1:] == key[:-1] + 1) & (j_sorted[1:] == j_sorted[:-1] + 1)
    joined[order[1:]] += follows
    cells = n_texts * n_texts
    shape = (n_texts, n_texts)
    return (
        np.bincount(pair, minlength=cells).reshape(shape),
        np.bincount(pair, weights=joined, minlength=cells).astype(np.int64).reshape(shape),
    )

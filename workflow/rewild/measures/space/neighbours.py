"""Minimum neighbour distance: of each text, how far the nearest other text is (MAGPIE, section 3.2).

Equal vectors are taken together first, so a million copies of a text cost what one does. The nearest of
the distinct vectors are then found with FAISS, block by block: what is held is two blocks, whatever the
number of vectors. FAISS computes a distance as ``|a|² + |b|² - 2ab`` in single precision, which is wrong by
about 1e-7 of the squared length: too much to tell a copy from what is like one. So it only names
candidates, and distances are computed again, as the length of the difference, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from rewild.core.errors import DataError
from rewild.core.measures import KEY
from rewild.measures.run import Say
from rewild.measures.space.run import InSpace
from rewild.measures.space.vectors import Distinct, Floats, Indices, Space, Vectors, distinct

ASKED, HELD = 16_384, 65_536
"""Vectors of a block of questions, and of a block that is searched."""
CANDIDATES = 3
"""Nearest that FAISS names of each: itself, and two."""
SLACK = 4e-6
"""How wrong a squared distance of FAISS may be, over the greatest squared length."""
PAIRS = 1 << 24
"""Distances that are held at once when repeats are counted."""
FEW = 4096
"""So few vectors are searched exactly, whatever is asked for."""
SEED = 50
Doubles = npt.NDArray[np.float64]
Search = Callable[[Floats], tuple[Floats, Indices]]


@dataclass(frozen=True)
class Found:
    """What is said of each vector, in order.

    Attributes:
        squared: squared distance to the nearest other; NaN where there is no other.
        repeats: others within the tolerance.
        group: a number that near copies share; None if it was not asked what is near.
        distinct: how many distinct vectors there are.
        recall: of a sample, how many nearest neighbours the search found; None if it is exact.
    """

    squared: Doubles
    repeats: Indices
    group: Indices | None
    distinct: int
    recall: float | None


class Neighbour:
    """The measure at work."""

    def __init__(self, part: InSpace, threads: int | None = None) -> None:
        self.settings: Any = part.measure
        if threads:
            import faiss

            faiss.omp_set_num_threads(threads)

    def measure(self, space: Space, say: Say) -> tuple[pl.DataFrame, dict[str, Any]]:
        """The key and values of the texts that have a vector; what the file says of the search.

        Raises:
            DataError: an approximate search found too few.
        """
        s = self.settings
        power = 1 if s.metric == "squared" else 2
        within = None if s.within is None else s.within**power
        probes = s.probes if s.search == "approximate" else None
        found = nearest(
            space.vectors, s.tolerance**power, within=within, probes=probes, sample=s.sample, say=say
        )
        if found.recall is not None and found.recall < s.least_recall:
            raise DataError(
                f"the approximate search found {found.recall:.1%} of the nearest neighbours of {s.sample:,} "
                f"texts, and least_recall is {s.least_recall:.1%}: raise `probes` ({s.probes}), or "
                "`search: exact`"
            )
        distance = found.squared if s.metric == "squared" else np.sqrt(found.squared)
        frame = space.there.select(*KEY).with_columns(
            distance=pl.Series(distance).fill_nan(None), repeats=pl.Series(found.repeats)
        )
        about: dict[str, Any] = {"distinct": found.distinct, "recall": found.recall}
        if found.group is not None:
            frame = frame.with_columns(group=pl.Series(found.group)).sort(*KEY)
            name = pl.concat_str("conversation_id", "turn", "sample", separator="/").first().over("group")
            about["groups"] = frame["group"].n_unique()
            frame = frame.with_columns(group=name)
        return frame, about


def nearest(
    vectors: Vectors,
    limit: float,
    *,
    within: float | None = None,
    probes: int | None = None,
    sample: int = 1000,
    say: Say = lambda line: None,
) -> Found:
    """The nearest other vector of each, and how many lie within a limit.

    Args:
        vectors: of one width, finite.
        limit: squared distance up to which another is a repeat.
        within: squared distance up to which two are near copies; None asks for no groups.
        probes: search this many of the nearest cells only; None searches all.
        sample: vectors whose neighbours are found exactly too, to measure the recall of such a search.
        say: called with a line of progress at a time.
    """
    same = distinct(vectors)
    n = len(same.first)
    say(f"{len(vectors):,} vectors, {n:,} of them distinct")
    approximate = probes is not None and n > FEW
    if approximate:
        assert probes is not None
        near = _refined(vectors, same, _partition(vectors, same.first, probes, say), say)
        recall: float | None = _recall(vectors, same, near, sample)
        say(f"recall {recall:.4f}, of {min(sample, n):,} vectors")
    else:
        near = _exact(vectors, same, np.arange(n), say)
        recall = 1.0 if probes is not None else None
    repeats = same.count - 1 + _close(vectors, same, near, limit)
    group = None if within is None else _groups(vectors, same, near, within)[same.group]
    squared = np.where(same.count > 1, 0.0, near)[same.group]
    return Found(np.where(np.isfinite(squared), squared, np.nan), repeats[same.group], group, n, recall)


def _exact(vectors: Vectors, same: Distinct, asked: Indices, say: Say) -> Doubles:
    """Squared distance of some distinct vectors to the nearest other one; infinite if there is none."""
    import faiss

    n = len(same.first)
    best = np.full((len(asked), CANDIDATES), np.inf, np.float32)
    who = np.full((len(asked), CANDIDATES), -1, np.int64)
    for low in range(0, n, HELD):
        held = vectors.take(same.first[low : low + HELD])
        for start in range(0, len(asked), ASKED):
            part = slice(start, start + ASKED)
            questions = vectors.take(same.first[asked[part]])
            distances, places = faiss.knn(questions, held, min(CANDIDATES, len(held)))
            both = np.hstack([best[part], distances])
            names = np.hstack([who[part], places + low])
            order = np.argpartition(both, CANDIDATES - 1, axis=1)[:, :CANDIDATES]
            best[part] = np.take_along_axis(both, order, 1)
            who[part] = np.take_along_axis(names, order, 1)
        say(f"neighbours: {min(low + HELD, n):,} of {n:,} vectors searched")
    return _again(vectors, same, asked, who)


def _again(vectors: Vectors, same: Distinct, asked: Indices, who: Indices) -> Doubles:
    """The least squared distance to one of the candidates other than itself, in double precision."""
    found = np.full(len(asked), np.inf)
    for start in range(0, len(asked), ASKED):
        part = slice(start, start + ASKED)
        own = vectors.take(same.first[asked[part]]).astype(np.float64)
        for column in range(who.shape[1]):
            other = who[part, column]
            good = np.flatnonzero((other >= 0) & (other != asked[part]))
            difference = own[good] - vectors.take(same.first[other[good]])
            rows = start + good
            found[rows] = np.minimum(found[rows], np.einsum("nd,nd->n", difference, difference))
    return found


def _close(vectors: Vectors, same: Distinct, near: Doubles, limit: float) -> Indices:
    """Of each distinct vector, how many rows of others lie within the limit."""
    counts = np.zeros(len(near), np.int64)
    for some, others, within in _within(vectors, same, near, limit):
        times = same.count[others].astype(np.float64)
        counts[some] += (within.astype(np.float64) @ times).round().astype(np.int64)
    found = counts > 0
    counts[found] -= same.count[found]  # each was found near itself
    return counts


def _groups(vectors: Vectors, same: Distinct, near: Doubles, limit: float) -> Indices:
    """Of each distinct vector, the lowest place of those that a chain of steps within the limit leads to."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group = np.arange(len(near))
    for some, others, within in _within(vectors, same, near, limit):
        rows, columns = np.nonzero(within)
        ends = np.stack([group[some[rows]], group[others[columns]]])
        if not (ends := ends[:, ends[0] != ends[1]]).size:
            continue
        known, places = np.unique(ends, return_inverse=True)
        edges = tuple(places.reshape(2, -1))
        graph = coo_array((np.ones(len(edges[0]), bool), edges), shape=(len(known), len(known)))
        _, label = connected_components(graph, directed=False)
        _, lowest = np.unique(label, return_index=True)
        renamed = np.arange(len(near))
        renamed[known] = known[lowest[label]]
        group = renamed[group]
    return group


def _within(
    vectors: Vectors, same: Distinct, near: Doubles, limit: float
) -> Iterator[tuple[Indices, Indices, npt.NDArray[np.bool_]]]:
    """Blocks of distinct vectors that have another within the limit: some, others, which of them are near."""
    import faiss

    slack = SLACK * _greatest(vectors, same)
    among = np.flatnonzero(
        near <= limit + slack
    )  # who is near another has it for a neighbour, or a nearer one
    for low in range(0, len(among), HELD):
        others = among[low : low + HELD]
        held = vectors.take(same.first[others])
        size = PAIRS // len(held)
        for start in range(0, len(among), size):
            some = among[start : start + size]
            own = vectors.take(same.first[some])
            distances = faiss.pairwise_distances(own, held)
            within = distances <= limit - slack
            rows, columns = np.nonzero(np.abs(distances - limit) <= slack)
            for part in range(0, len(rows), ASKED):
                row, column = rows[part : part + ASKED], columns[part : part + ASKED]
                difference = own[row].astype(np.float64) - held[column]
                within[row, column] = np.einsum("nd,nd->n", difference, difference) <= limit
            yield some, others, within


def _greatest(vectors: Vectors, same: Distinct) -> float:
    """The greatest squared length of a vector."""
    most = 0.0
    for start in range(0, len(same.first), HELD):
        part = vectors.take(same.first[start : start + HELD])
        most = max(most, float(np.einsum("nd,nd->n", part, part).max()))
    return most


def _partition(vectors: Vectors, first: Indices, probes: int, say: Say) -> Search:
    """A search in the nearest cells only (FAISS's IndexIVFFlat, which holds all vectors)."""
    import faiss

    cells = max(1, int(4 * np.sqrt(len(first))))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(vectors.width), vectors.width, cells)
    index.cp.seed = SEED
    drawn = np.random.default_rng(SEED).choice(len(first), min(len(first), 64 * cells), replace=False)
    index.train(vectors.take(first[np.sort(drawn)]))
    for start in range(0, len(first), HELD):
        index.add(vectors.take(first[start : start + HELD]))
    index.nprobe = min(probes, cells)
    say(f"a partition of {cells:,} cells, {index.nprobe} of which are searched")

    def search(questions: Floats) -> tuple[Floats, Indices]:
        distances, places = index.search(questions, CANDIDATES)
        return distances, places

    return search


def _refined(vectors: Vectors, same: Distinct, search: Search, say: Say) -> Doubles:
    n = len(same.first)
    who = np.empty((n, CANDIDATES), np.int64)
    for start in range(0, n, ASKED):
        who[start : start + ASKED] = search(vectors.take(same.first[start : start + ASKED]))[1]
        say(f"neighbours: {min(start + ASKED, n):,} of {n:,} vectors asked")
    return _again(vectors, same, np.arange(n), who)


def _recall(vectors: Vectors, same: Distinct, near: Doubles, sample: int) -> float:
    """Of a sample, the share whose nearest neighbour was found."""
    drawn = np.random.default_rng(SEED).choice(len(near), min(sample, len(near)), replace=False)
    exact = _exact(vectors, same, np.sort(drawn), lambda line: None)
    return float(np.mean(near[np.sort(drawn)] <= exact * (1 + 1e-9)))

"""Coverage: sets of prompts in one projection, and how varied each is.

All sets are projected together, so that a place means the same for each: what is near what is seen; how far
apart two groups are, and how large, is not. Nearest neighbours are FAISS's, exact, in double precision; the
libraries begin from principal components, run in one thread and by a seed: the same points come out again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from rewild.config.coverage import Coverage
from rewild.core.errors import DataError
from rewild.measures.run import Say
from rewild.measures.space.embedding import open_model
from rewild.measures.space.schema import COORDINATES, SETS
from rewild.measures.space.vectors import Floats, Space, Vectors, distinct
from rewild.measures.weights import Weights
from rewild.prompts.forms.rows import BadRow
from rewild.prompts.forms.table import read_form
from rewild.prompts.schema import read_shard


@dataclass
class Drawn:
    """What was drawn of a set.

    Attributes:
        texts: texts there are.
        unreadable: rows that are no conversation.
        names: of the drawn that have a vector.
        vectors: of these: shape (names, width).
        failures: reason → how many of the drawn.
    """

    texts: int
    names: list[str]
    vectors: Floats
    unreadable: int = 0
    failures: Counter[str] = field(default_factory=Counter)


def draw(
    coverage: Coverage,
    space: Space,
    shards: Sequence[Path],
    files: Mapping[str, Sequence[Path]],
    *,
    seed: int,
    embedding: Any,
    weights: Weights | None,
    threads: int | None,
    say: Say = lambda line: None,
) -> dict[str, Drawn]:
    """Draw every set's prompts; those of files become vectors by the space's model.

    Args:
        coverage: the row.
        space: the embedding of the study's prompts.
        shards: of these prompts, which say what source each is of.
        files: set → its files, of those that have some.
        seed: of the study; what is drawn of a set does not depend on the others.
        embedding: the row of the space.
        weights: its model.
        threads: CPU threads.
        say: called with a line of progress at a time.

    Raises:
        DataError: a file cannot be read, or a set has no text with a vector.
        EngineError: the model cannot be loaded.
    """
    model = open_model(embedding, weights, threads) if files else None
    sources = dict(
        pl.concat([read_shard(path).select("conversation_id", "source") for path in shards]).iter_rows()
        if shards
        else ()
    )
    found: dict[str, Drawn] = {}
    for name, chosen in coverage.sets.items():
        rng = np.random.default_rng([seed, *name.encode()])
        if name in files:
            assert model
            one = _of_files(files[name], chosen.form, coverage.sample, rng, model)
        else:
            one = _of_source(space, sources, chosen.source, coverage.sample, rng)
        say(f"{name}: {one.texts:,} texts, {len(one.names):,} of those drawn have a vector")
        if not one.names:
            why = ", ".join(f"{n} {reason}" for reason, n in sorted(one.failures.items())) or "it has no text"
            raise DataError(f"the set '{name}' has nothing to project: {why}")
        found[name] = one
    if model:
        model.close()
    return found


def _of_source(
    space: Space, sources: Mapping[str, str], source: str | None, sample: int, rng: np.random.Generator
) -> Drawn:
    """Of the study's own prompts; of one source, or of all."""
    place = (pl.col("failure").is_null().cum_sum() - 1).alias("place")
    rows = space.rows.with_columns(place).filter(pl.col("turn") == 0).sort("conversation_id", "sample")
    if source:
        rows = rows.filter(pl.col("conversation_id").replace_strict(sources, default=None) == source)
    some = rows[_some(rows.height, sample, rng)]
    there = some.filter(pl.col("failure").is_null())
    why = Counter(str(f).partition(":")[0] for f in some["failure"].drop_nulls())
    vectors = space.vectors.take(there["place"].to_numpy().astype(np.int64))
    return Drawn(rows.height, there["conversation_id"].to_list(), vectors, failures=why)


def _of_files(files: Sequence[Path], form: str, sample: int, rng: np.random.Generator, model: Any) -> Drawn:
    """Of files of other data: the first user turn of each row."""
    texts: list[tuple[str, str]] = []
    bad = 0
    for path in files:
        for number, record in read_form(path, "prompts", form):
            turn = (
                None
                if isinstance(record, BadRow)
                else next((t for t in record.turns if t.role == "user"), None)
            )
            if turn is None or turn.content is None:
                bad += 1
            else:
                texts.append((f"{path.name}:{number}", turn.content))
    some = [texts[n] for n in _some(len(texts), sample, rng)]
    found = list(zip(some, model.embed([text for _, text in some]), strict=True))
    good = [(name, one.vector) for (name, _), one in found if one.vector is not None]
    why = Counter(str(one.failure).partition(":")[0] for _, one in found if one.failure)
    vectors = np.stack([v for _, v in good]) if good else np.empty((0, 0), np.float32)
    return Drawn(len(texts), [name for name, _ in good], vectors, bad, why)


def _some(there: int, sample: int, rng: np.random.Generator) -> list[int]:
    """Places of a sample, ascending; all, if there are no more."""
    return sorted(rng.permutation(there)[:sample].tolist())


def mean_cosine(vectors: Floats) -> float | None:
    """Mean cosine of all pairs of different rows; None where there is no pair.

    Of vectors of length 1, the sum over pairs is that of all products less the products with themselves:
    ``(|sum of all|² - n) / n (n - 1)``, so no pair is left out, however many there are.
    """
    n = len(vectors)
    if n < 2:
        return None
    whole = vectors.astype(np.float64)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    total = whole.sum(0)
    return float((total @ total - n) / (n * (n - 1)))


def project(coverage: Coverage, drawn: Mapping[str, Drawn], seed: int) -> npt.NDArray[np.float64]:
    """Coordinates of all sets' points, set after set: shape (points, 2).

    Raises:
        DataError: there are too few points for so many neighbours, or nearly all are the same.
    """
    vectors = np.concatenate([one.vectors for one in drawn.values()])
    near, apart = coverage.near, len(distinct(Vectors([vectors])).first)
    if apart <= near:
        raise DataError(
            f"{len(vectors):,} points, {apart:,} of them distinct: a projection of {near} neighbours needs "
            "more; raise `sample`, add prompts, or lower `neighbours`"
        )
    places, distances = _neighbours(vectors, near)
    method = _tsne if coverage.method == "tsne" else _umap
    return np.asarray(method(vectors, places, distances, coverage, seed), np.float64)


def _neighbours(vectors: Floats, near: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The nearest of each, itself left out, by distance and then by place."""
    import faiss

    _, found = faiss.knn(vectors, vectors, near + 1)
    places = np.empty((len(vectors), near), np.int64)
    distances = np.empty((len(vectors), near))
    for n, candidates in enumerate(found):
        others = candidates[candidates != n][:near]
        length = np.linalg.norm(vectors[others].astype(np.float64) - vectors[n], axis=1)
        order = np.lexsort((others, length))
        places[n], distances[n] = others[order], length[order]
    return places, distances


def _tsne(vectors: Floats, places: Any, distances: Any, coverage: Coverage, seed: int) -> Any:
    from openTSNE import TSNEEmbedding, affinity, initialization
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    likeness = affinity.PerplexityBasedNN(
        perplexity=coverage.neighbours or 30,
        knn_index=PrecomputedNeighbors(places, distances),
        n_jobs=1,
        random_state=seed,
    )
    start = initialization.pca(vectors.astype(np.float64), random_state=seed)
    made = TSNEEmbedding(start, likeness, n_jobs=1, random_state=seed)
    made = made.optimize(250, exaggeration=12, momentum=0.5)  # openTSNE's own two phases
    return np.asarray(made.optimize(500, momentum=0.8))


def _umap(vectors: Floats, places: Any, distances: Any, coverage: Coverage, seed: int) -> Any:
    from umap import UMAP

    own = np.arange(len(vectors))[:, None]  # UMAP counts a point among its neighbours
    near = coverage.near
    known = (
        np.hstack([own, places])[:, :near].astype(np.int32),
        np.hstack([np.zeros((len(vectors), 1)), distances])[:, :near].astype(np.float32),
    )
    made = UMAP(
        n_neighbors=near,
        min_dist=coverage.min_dist,
        precomputed_knn=known,
        init="pca",
        random_state=seed,
        n_jobs=1,
        force_approximation_algorithm=True,
    )
    return np.asarray(made.fit_transform(vectors), np.float64)


def tables(drawn: Mapping[str, Drawn], points: Any, sample: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of :data:`COORDINATES` and of :data:`SETS`."""
    names = [(name, text) for name, one in drawn.items() for text in one.names]
    coordinates = [(*key, float(x), float(y)) for key, (x, y) in zip(names, points, strict=True)]
    sets = [
        {
            "set": name,
            "texts": one.texts,
            "unreadable": one.unreadable,
            "drawn": min(one.texts, sample),
            "embedded": len(one.names),
            "failures": "; ".join(f"{n} {why}" for why, n in sorted(one.failures.items())) or None,
            "mean_cosine": mean_cosine(one.vectors),
        }
        for name, one in drawn.items()
    ]
    places = pl.DataFrame(coordinates, schema=COORDINATES.dtypes, orient="row").with_columns(
        pl.selectors.float().round(4)
    )
    about = pl.DataFrame(sets, schema=SETS.dtypes).with_columns(pl.selectors.float().round(6))
    return COORDINATES.check(places, "coordinates"), SETS.check(about, "sets")

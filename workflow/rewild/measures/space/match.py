"""Contamination by embedding: the benchmark prompt that each text is most like (MAGPIE, appendix D)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from rewild.core.errors import DataError
from rewild.core.measures import KEY
from rewild.engines.base import Embedded
from rewild.measures.run import Say
from rewild.measures.space.embedding import open_model
from rewild.measures.space.run import InSpace
from rewild.measures.space.vectors import Floats, Space
from rewild.prompts.contamination import read_benchmark

BLOCK = 8192


class Match:
    """The measure at work."""

    def __init__(self, part: InSpace, threads: int | None = None) -> None:
        """
        Raises:
            DataError: a benchmark's file cannot be read, or asks nothing.
        """
        self._part, self._threads = part, threads
        self._asked = {str(path): read_benchmark(path) for path in part.others}

    def measure(self, space: Space, say: Say) -> tuple[pl.DataFrame, dict[str, Any]]:
        """The key and values of the texts that have a vector; how many questions were compared, file by file.

        Raises:
            DataError: no question has a vector.
        """
        questions = [(file, text) for file, texts in self._asked.items() for text in dict.fromkeys(texts)]
        model = open_model(self._part.embedding, self._part.weights, self._threads)
        found = model.embed([text for _, text in questions])
        model.close()
        about = {file: _counted(found, [f == file for f, _ in questions]) for file in self._asked}
        for file, counted in about.items():
            say(f"{file}: {counted['compared']:,} of {counted['asked']:,} questions compared")
        good = [n for n, one in enumerate(found) if one.vector is not None]
        if not good:
            raise DataError(f"{', '.join(self._asked)}: no question has a vector ({found[0].failure})")
        known = _unit(np.stack([found[n].vector for n in good]))
        similarity, nearest = [], []
        for part in space.vectors.blocks(BLOCK):
            cosines = _unit(part) @ known.T
            best = cosines.argmax(1)
            nearest.append(best)
            similarity.append(cosines[np.arange(len(best)), best])
        place = np.array(good)[np.concatenate(nearest)] if nearest else np.zeros(0, np.int64)
        cosine = np.clip(np.concatenate(similarity), -1, 1) if similarity else np.zeros(0)
        above: float = self._part.measure.above  # type: ignore[union-attr]
        frame = space.there.select(*KEY).with_columns(
            similarity=pl.Series(cosine, dtype=pl.Float64),
            benchmark=pl.Series([questions[n][0] for n in place], dtype=pl.String),
            question=pl.Series([questions[n][1] for n in place], dtype=pl.String),
            contaminated=pl.Series(cosine > above, dtype=pl.Boolean),
        )
        return frame, {"questions": about}


def _counted(found: Sequence[Embedded], mine: Sequence[bool]) -> dict[str, int]:
    """Of a file's questions: how many there are, how many were compared, and by first tokens only."""
    of = [one for one, own in zip(found, mine, strict=True) if own]
    return {
        "asked": len(of),
        "compared": sum(one.failure is None for one in of),
        "truncated": sum(one.truncated for one in of),
    }


def _unit(vectors: Floats) -> Floats:
    """Each vector over its length; a vector of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)

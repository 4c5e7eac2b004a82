"""Exact nearest neighbours, block by block, beside scikit-learn's brute force on the same vectors.

    PYTHONPATH=workflow .envs/measures/bin/python benchmarks/neighbours.py --rows 40000 [--threads 1]

Each side is a process of its own, whose memory is what it had at most. Time grows with the square of the
rows: each line says what 300,000 would take at the speed that was measured.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

GOAL = 300_000


def ours(file: Path, threads: int) -> Any:
    """Distances to the nearest other, from a file that is mapped into memory."""
    import faiss

    from rewild.measures.space.neighbours import nearest
    from rewild.measures.space.vectors import Vectors

    faiss.omp_set_num_threads(threads)
    return np.sqrt(nearest(Vectors([np.load(file, mmap_mode="r")]), 1e-8, say=print).squared)


def theirs(file: Path, threads: int) -> Any:
    """The same by scikit-learn, which holds all vectors."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    vectors = np.load(file)
    with threadpool_limits(threads):
        found = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(vectors)
        return found.kneighbors(vectors)[0][:, 1]


def measured(side: Callable[[Path, int], Any], file: Path, out: Path, threads: int, sent: Any) -> None:
    """Run one side; send its seconds by the clock and of the processor, and its memory in MB."""
    start, busy = time.perf_counter(), time.process_time()
    np.save(out, side(file, threads))
    took = time.perf_counter() - start, time.process_time() - busy
    sent.send((*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    """Make the vectors, run both sides, print what each took and how far they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vectors.npy")
        vectors = np.random.default_rng(1).normal(size=(given.rows, given.width)).astype(np.float32)
        np.save(file, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        del vectors
        found = {}
        for name, side in (("ours", ours), ("scikit-learn", theirs)):
            receives, sends = context.Pipe(duplex=False)
            out = Path(folder, f"{name}.npy")
            process = context.Process(target=measured, args=(side, file, out, given.threads, sends))
            process.start()
            process.join()
            clock, busy, memory = receives.recv()
            found[name] = np.load(out)
            whole = busy * (GOAL / given.rows) ** 2 / 60
            print(
                f"{name}: {clock:.1f} s by the clock, {busy:.1f} s of processor, {memory:,.0f} MB; "
                f"{GOAL:,} rows at this speed: {whole:.1f} minutes of processor"
            )
    apart = np.abs(found["ours"] - found["scikit-learn"]).max()
    print(f"greatest difference of a distance: {apart:.2g}")


if __name__ == "__main__":
    main()

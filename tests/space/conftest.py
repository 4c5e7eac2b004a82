"""Vectors, neighbours, verbs: with the real libraries and the small model that a Python package carries.

The tests of this folder run in the environment .envs/measures; elsewhere each module is skipped.
"""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """On a busy machine threads wait for one another."""
    torch = pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/measures")
    torch.set_num_threads(1)
    pytest.importorskip("faiss").omp_set_num_threads(1)

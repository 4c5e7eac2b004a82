"""Pieces of work in this process or in several, with the same result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from rewild.core.errors import RewildError

T = TypeVar("T")
Run = Callable[[Callable[..., T], Iterable[tuple[Any, ...]]], list[T]]
"""Call a function with each of many argument tuples; the results in their order."""


@contextmanager
def processes(number: int, shared: Any) -> Iterator[Run[Any]]:
    """Yield a :data:`Run` over ``number`` processes.

    Args:
        number: 1 stays in this process.
        shared: sent to each process once; functions get it as their first argument.

    Raises:
        RewildError: a process was killed.
    """
    if number == 1:
        yield lambda function, arguments: [function(shared, *a) for a in arguments]
        return
    # A fresh interpreter each: forking one in which polars has threads can hang. One thread each, in turn.
    with (
        _environment(POLARS_MAX_THREADS="1", OMP_NUM_THREADS="1"),
        ProcessPoolExecutor(number, get_context("spawn"), _keep, (shared,)) as pool,
    ):

        def run(function: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> list[T]:
            jobs = [pool.submit(_call, function, a) for a in arguments]
            return [job.result() for job in jobs]

        try:
            yield run
        except BrokenProcessPool as error:
            raise RewildError(
                "a process was killed from outside, probably for want of memory: use fewer cores"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_shared: list[Any] = []


def _keep(shared: Any) -> None:
    _shared[:] = [shared]


def _call(function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    return function(_shared[0], *arguments)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    old = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

"""The judged benchmarks there are: what each does, by its runner."""

from __future__ import annotations

from importlib import import_module

from rewild.config.runners import find_runner
from rewild.evaluation.judged.base import JudgedBenchmark


def judged_benchmark(runner: str) -> JudgedBenchmark:
    """The benchmark of a runner. Its module is imported here, not before: it may bring a library of its own.

    Raises:
        ConfigError: no judged benchmark has this runner.
    """
    module, _, name = find_runner(runner).module.partition(":")
    made = getattr(import_module(module), name)()
    assert isinstance(made, JudgedBenchmark)
    return made

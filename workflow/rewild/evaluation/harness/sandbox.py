"""Programs that a model wrote, run where there are no files and no network.

lm-eval's tasks of this kind (MBPP, HumanEval) hand a program to ``code_eval`` of the package evaluate: a
metric that is downloaded as it is asked for, and runs the program in a child process with the machine's files
and network; its own source says that this is no sandbox. Here the same metric is computed, with every program
in namespaces of its own (:mod:`rewild.evaluation.harness.confined`): an empty file system but for Python's
own library, read-only; no network, no other processes, no new ones; bounds on memory, time and output.
"""

from __future__ import annotations

import json
import logging
import secrets
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from math import comb
from pathlib import Path
from typing import Any

from rewild.core.errors import ConfigError

log = logging.getLogger(__name__)
SECONDS = 3.0  # code_eval's own limit
STARTING = 20.0  # seconds that Python and the namespaces may take besides, on a busy machine
CHILD = Path(__file__).with_name("confined.py")


def run(program: str, seconds: float = SECONDS, confined: bool = True) -> str:
    """Run one program.

    Args:
        program: Python, with the assertions that it must pass.
        seconds: wall clock and CPU.
        confined: in namespaces; else with the machine's files and network, bounds only.

    Returns:
        ``passed``, ``timed out``, ``failed: …`` with the error's name, or ``no sandbox: …``.
    """
    word = secrets.token_hex(16)
    job = json.dumps({"program": program, "seconds": seconds, "confined": confined, "word": word})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(CHILD)],
            input=job.encode("utf-8", "surrogatepass"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds + STARTING,
            env={},
            cwd="/",
            close_fds=True,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "timed out"
    said = done.stdout.decode("utf-8", "replace")[-1000:].strip()
    if said == f"{word} passed":
        return "passed"
    if said.startswith(f"{word} "):
        return said.removeprefix(f"{word} ")
    return "timed out" if said == "timed out" else "failed: it ended without a word"


def why_not() -> str | None:
    """Why this machine allows no sandbox; None if it does."""
    said = run("assert 1 + 1 == 2", seconds=10)
    return None if said == "passed" else said.removeprefix("no sandbox: ")


class CodeEval:
    """``code_eval`` of the package evaluate, as lm-eval's tasks call it."""

    def __init__(self, confined: bool = True, workers: int = 2) -> None:
        self._confined, self._workers = confined, workers

    def compute(
        self,
        *,
        references: Sequence[str],
        predictions: Sequence[Sequence[str]],
        k: Sequence[int] = (1, 10, 100),
        timeout: float = SECONDS,
        **_: Any,
    ) -> tuple[dict[str, float], dict[int, list[tuple[int, dict[str, Any]]]]]:
        """pass@k (Chen et al., 2021, equation 1) of candidates against tests.

        Args:
            references: the tests of each task.
            predictions: each task's candidate programs.
            k: how many tries.
            timeout: seconds of one program.

        Returns:
            ``pass@k`` per k, and per task what became of each candidate.
        """
        jobs = [
            (task, number, f"{candidate}\n{test}")
            for task, (candidates, test) in enumerate(zip(predictions, references, strict=True))
            for number, candidate in enumerate(candidates)
        ]
        with ThreadPoolExecutor(self._workers) as pool:
            said = list(pool.map(lambda job: run(job[2], timeout, self._confined), jobs))
        results: dict[int, list[tuple[int, dict[str, Any]]]] = {}
        for (task, number, _program), result in zip(jobs, said, strict=True):
            if result.startswith("no sandbox"):
                raise ConfigError(_refused(result.removeprefix("no sandbox: ")))
            about = {
                "task_id": task,
                "passed": result == "passed",
                "result": result,
                "completion_id": number,
            }
            results.setdefault(task, []).append((number, about))
        counts = [(len(r), sum(about["passed"] for _, about in r)) for r in results.values()]
        return {
            f"pass@{tries}": sum(_pass_at(n, right, tries) for n, right in counts) / len(counts)
            for tries in k
            if counts and all(n >= tries for n, _ in counts)
        }, results


def take_over(confined: bool) -> None:
    """Let lm-eval's tasks compute ``code_eval`` here. Call it before such a task is loaded.

    Raises:
        ConfigError: the machine allows no sandbox, and the study does not do without.
    """
    if confined and (why := why_not()) is not None:
        raise ConfigError(_refused(why))
    if not confined:
        log.warning("programs that the model wrote run with this machine's files and network (allow_code)")
    evaluate: Any = import_module("evaluate")
    original = evaluate.load

    def load(path: str, *arguments: Any, **named: Any) -> Any:
        return CodeEval(confined) if path == "code_eval" else original(path, *arguments, **named)

    evaluate.load = load


def _refused(why: str) -> str:
    return (
        f"programs that the model wrote need a sandbox, and this machine allows none: {why}. Use one "
        "with unprivileged user namespaces (outside a container, as a rule), leave the benchmark out, or, on "
        "one that may be lost, set evaluation.allow_code: unconfined"
    )


def _pass_at(n: int, right: int, k: int) -> float:
    return 1.0 if n - right < k else 1.0 - comb(n - right, k) / comb(n, k)

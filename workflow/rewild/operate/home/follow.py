"""While the workflow runs, a study's page is made again as jobs finish: once a minute at most, beside it.

Snakemake logs what happens by Python's own ``logging``; :class:`Follower` is one more handler there. A page
that cannot be made stops nothing. The last page of a run that completes is the rule's, ``make_home``.
"""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

APART = 60.0
"""Seconds between two pages of a run, and before its first: a short run gets the rule's page only."""
HOME = "make_home"
"""The rule's name; who uses the workflow as a module may put a prefix before it."""


class Follower(logging.Handler):
    """Starts ``rewild home STUDY`` when a job has finished or failed.

    Args:
        command: that makes a page, without the study's name.
        environ: of it.
        results: the folder of results.
        apart: seconds between two pages.
        clock: gives seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        results: Path = Path("results"),
        apart: float = APART,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._command, self._environ, self._results = list(command), dict(environ), results
        self._apart, self._clock = apart, clock
        self._first = self._next = clock() + apart
        self._jobs: dict[object, tuple[str, str]] = {}
        self._pending: set[str] = set()
        self._running: list[subprocess.Popen[bytes]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note which study a job is of; when it ends, make the study's page again if it is time."""
        event = str(getattr(record, "event", None) or "")
        job = getattr(record, "jobid", getattr(record, "job_id", None))
        if event == "job_info":
            study = (getattr(record, "wildcards", None) or {}).get("study")
            rule = str(getattr(record, "rule_name", ""))
            if study:
                self._jobs[job] = (rule, str(study))
            if rule.endswith(HOME):
                self._wait()  # an earlier page is not written over the rule's
        elif event in ("job_finished", "job_error"):
            rule, study = self._jobs.pop(job, ("", ""))
            if rule.endswith(HOME) and event == "job_finished":
                self._pending.discard(study)
            elif study:
                self._pending.add(study)
            if self._pending and self._clock() >= self._next:
                self._start()

    def _start(self) -> None:
        self._running = [one for one in self._running if one.poll() is None]
        if self._running:
            return
        for study in sorted(self._pending):
            if (self._results / study).is_dir():
                try:
                    self._running.append(
                        subprocess.Popen(
                            [*self._command, study],
                            env=self._environ,
                            stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL,
                        )
                    )
                except OSError:
                    continue  # the page is a convenience; the next one may succeed
        self._pending.clear()
        self._next = self._clock() + self._apart

    def close(self) -> None:
        """At the end of a run that was long enough, the page shows what ended last: a failure, perhaps."""
        if self._pending and self._clock() >= self._first:
            self._wait()
            self._start()
        super().close()

    def _wait(self) -> None:
        for one in self._running:
            one.wait()

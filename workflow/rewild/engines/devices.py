"""GPUs of this process: as many as its engine needs, of those that its job or its machine has."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from pathlib import Path
from typing import Any, TextIO

from rewild.engines.base import EngineError

VARIABLE = "CUDA_VISIBLE_DEVICES"
_held: list[TextIO] = []  # locks, which end with this process

log = logging.getLogger("rewild")


def visible() -> list[str]:
    """The GPUs that this process may use, as CUDA's variable names them: numbers, or identifiers."""
    if (listed := os.environ.get(VARIABLE)) is not None:
        return [name.strip() for name in listed.split(",") if name.strip()]
    try:
        import pynvml

        pynvml.nvmlInit()
        return [str(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no driver, or an environment for CPUs
        return []


def handles(driver: Any) -> list[Any]:
    """The same as the driver's own, which does not read that variable."""
    return [
        driver.nvmlDeviceGetHandleByIndex(int(name))
        if name.isdecimal()
        else driver.nvmlDeviceGetHandleByUUID(name)
        for name in visible()
    ]


def take_gpus(count: int) -> None:
    """Leave this process so many GPUs that no other engine of the job has; call it before CUDA starts.

    Engines that share a job, or a machine without a scheduler, would all begin with the first GPU. Each locks
    a file per GPU, among the engines of its SLURM job or of its user. A process that sees no more than it
    needs has them for itself.

    Raises:
        EngineError: fewer are free.
    """
    seen = visible()
    if len(seen) <= count:
        return
    job = os.environ.get("SLURM_JOB_ID", "")
    folder = Path(tempfile.gettempdir()) / f"rewild-gpus-{os.getuid()}-{job}"
    mine: dict[str, TextIO] = {}
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in seen:
            file = (folder / name.replace("/", "_")).open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            mine[name] = file
            if len(mine) == count:
                break
    except OSError as error:
        raise EngineError(f"{folder}: GPUs cannot be shared out: {error}") from error
    if len(mine) < count:
        for lock in mine.values():
            lock.close()
        raise EngineError(
            f"{count} GPUs are needed, and {len(mine)} of {len(seen)} ({', '.join(seen)}) are free: other "
            f"engines have the rest. Run fewer at once, on one machine with `--resources gpu={len(seen)}`"
        )
    _held.extend(mine.values())
    os.environ[VARIABLE] = ",".join(mine)
    log.info("GPU %s of %s", ", ".join(mine), ", ".join(seen))

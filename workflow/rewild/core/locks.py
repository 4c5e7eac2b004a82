"""One process at a time in a folder. The lock goes with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from rewild.core.errors import RewildError


@contextmanager
def locked(folder: Path, work: str | None = None) -> Iterator[int]:
    """Hold the folder's lock; gives its handle. A child that inherits the handle holds the lock too.

    Args:
        folder: made if it is not there.
        work: what another process that holds it is doing, to be said; without it the lock is waited for.

    Raises:
        RewildError: another process holds it.
    """
    with lock_file(folder / "lock", work) as handle:
        yield handle


@contextmanager
def lock_file(path: Path, work: str | None = None) -> Iterator[int]:
    """Hold a lock that is a file of its own. It stays: others may wait for it. See :func:`locked`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if work else 0))
        except BlockingIOError as error:
            raise RewildError(f"{path.parent}: another process is {work}; wait for it or stop it") from error
        yield handle
    finally:
        os.close(handle)


@contextmanager
def scratch_folder(folder: Path, name: str) -> Iterator[Path]:
    """A folder ``.{name}-...`` for unfinished files in ``folder``, gone at the end.

    What a killed process left, gigabytes perhaps, goes first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stray in folder.glob(f".{name}-*"):
        if not is_locked(stray):
            shutil.rmtree(stray, ignore_errors=True)
    path = Path(mkdtemp(prefix=f".{name}-", dir=folder))
    try:
        with locked(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def claim(path: Path) -> int | None:
    """Lock a temporary file or folder itself, so that nobody sweeps it; gives a handle, to be closed.

    Returns None where it is another's, or was swept in this moment. A file system without locks gives a
    handle too: nothing is swept there.
    """
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        return handle
    try:
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except FileNotFoundError:
        pass
    os.close(handle)
    return None


def sweep(folder: Path, prefix: str, suffix: str = "") -> None:
    """Remove the temporary files and folders that killed processes left: those with nobody's lock on them.

    Args:
        folder: where to look.
        prefix, suffix: of their names; between them are the eight letters of :mod:`tempfile`.
    """
    named = re.compile(re.escape(prefix) + "[a-z0-9_]{8}" + re.escape(suffix))
    for stray in folder.iterdir():
        if not named.fullmatch(stray.name):
            continue
        try:
            handle = os.open(stray, os.O_RDONLY if stray.is_dir() else os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stray.is_dir():
                shutil.rmtree(stray, ignore_errors=True)
            else:
                stray.unlink(missing_ok=True)
        except OSError:
            continue  # at work, or no locks here
        finally:
            os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a process is at work in the folder."""
    path = folder / "lock"
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False

"""Errors of the operating system as messages: what could not be done, with which path, and what to do."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator

from rewild.core.errors import errno_of, first_line

KEPT = "What was finished is kept"
WHAT_TO_DO: dict[int, str] = {
    errno.ENOSPC: f"free some space there and run again. {KEPT}",
    errno.EDQUOT: f"the quota is used up: free some space, or have it raised, and run again. {KEPT}",
    errno.EFBIG: f"the file is larger than a limit allows (`ulimit -f`, or the file system's). {KEPT}",
    errno.EROFS: "the file system can only be read: write to another folder, or have it mounted for writing",
    errno.EACCES: "you may not read or write there: check who owns it (`ls -ld`), or take another folder",
    errno.EPERM: "it belongs to somebody else, or is protected: check who owns it (`ls -ld`, `lsattr -d`)",
    errno.ENOTDIR: "a part of the path is a file where a folder is needed: move it away",
    errno.EEXIST: "something is in the way: a file or a link where a folder is needed; move it away",
    errno.EISDIR: "a folder is in the way, where a file is to be: move it away",
    errno.ENOTEMPTY: "a folder is in the way and is not empty: move it away",
    errno.ENOENT: "it is not there: check the path; a link may lead to nowhere",
    errno.ENAMETOOLONG: "the name is too long: use shorter names, or a folder nearer to the root",
    errno.ELOOP: "links lead in a circle: remove one of them",
    errno.EMFILE: "this process has too many files open: raise the limit (`ulimit -n 4096`) and run again",
    errno.ENFILE: "the machine has too many files open: wait, or ask who keeps the machine",
    errno.ENOMEM: "there is not enough memory: free some, or ask for more, and run again",
    errno.EIO: f"the disk or its network fails: ask who keeps the machine, then run again. {KEPT}",
    errno.ESTALE: f"a network disk lost the file: run again. {KEPT}",
    errno.ETIMEDOUT: f"a network disk or a server does not answer: run again. {KEPT}",
    errno.EBUSY: "another process uses it: wait for it, and run again",
    errno.ETXTBSY: "another process uses it: wait for it, and run again",
    errno.ENOLCK: "the file system has no locks: write to another one",
    errno.EXDEV: "two folders are on different file systems where one is needed",
}


def explain(error: BaseException) -> str | None:
    """A message for an error that the machine, not the program, is to blame for; None for any other."""
    for found in _chain(error):
        if isinstance(found, MemoryError):
            return f"not enough memory: {WHAT_TO_DO[errno.ENOMEM]}"
        if type(found).__name__ == "BrokenProcessPool":
            return (
                "a process that worked for this command ended abruptly; most often there was not enough "
                f"memory: free some, ask for more, or use fewer workers, and run again. {KEPT}"
            )
        if isinstance(found, ModuleNotFoundError) and (found.name or "rewild").partition(".")[0] != "rewild":
            return (
                f"'{found.name}' is not installed in this environment ({sys.prefix}). Snakemake runs this "
                "command in another, .envs/NAME (`conda_of(NAME)` in workflow/rules); by hand: "
                "PYTHONPATH=workflow .envs/NAME/bin/python -m rewild ..."
            )
        code = errno_of(found)
        if code is None:
            if isinstance(found, OSError) and type(found).__module__ == "builtins":
                return first_line(found)  # of Python itself, as of a link that rmtree will not follow
            continue
        names = [str(n) for n in (getattr(found, "filename", None), getattr(found, "filename2", None)) if n]
        where = f"{' → '.join(names)}: " if names else ""
        reason = os.strerror(code)
        told = "" if names or isinstance(found, OSError) else f" ({first_line(found)})"
        hint = WHAT_TO_DO.get(code, "")
        return f"{where}{reason}{told}{f'; {hint}' if hint else ''}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, those of its group, and what each came from."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        found = todo.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        if isinstance(found, BaseExceptionGroup):
            todo += found.exceptions
        if found.__cause__ is not None:
            todo.append(found.__cause__)

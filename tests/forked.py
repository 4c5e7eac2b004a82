"""Snakemake's dry runs without its start: a process that has imported it forks for each of them.

An import costs as much as laying out a small study. Nothing of the package is imported here: each folder's
Snakefile brings its own. Run as a program it serves; :func:`dry_run` starts it once and asks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any


@cache
def _server() -> subprocess.Popen[str]:
    """The serving process; it ends with this one, whose end of the pipe is then closed."""
    return subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def dry_run(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """``snakemake ARGUMENTS`` in a folder, with this process's environment; both outputs together."""
    server = _server()
    assert server.stdin
    assert server.stdout
    with NamedTemporaryFile() as said:
        command = [str(Path(sys.executable).parent / "snakemake"), *map(str, arguments)]
        asked = {"folder": str(folder), "command": command, "output": said.name}
        asked["environment"] = dict(os.environ)
        print(json.dumps(asked), file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(command, status, said.read().decode(), None)


def _serve() -> None:
    import pydantic  # noqa: F401 - each Snakefile's package imports these two
    import snakemake.cli
    import yaml  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(json.loads(line), snakemake.cli.main)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(asked: dict[str, Any], main: Any) -> None:
    """What the process would have been if it had been started so."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    output = os.open(asked["output"], os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(ours, theirs)
    sys.argv = asked["command"]
    main()


if __name__ == "__main__":
    _serve()

"""Starts of heavy tools without their imports: a process that has imported them forks for each start.

torch, transformers and Axolotl take ten seconds of a processor to import. :func:`interpreter` gives a program
that is called as Python is: what it starts (``-m rewild``, ``-m axolotl...``) is a fork of a process that has
the libraries already, and gets the caller's folder, environment, outputs and limits. Anything else is handed
to the environment's Python.

A start dies with the program that was called, a moment later; signals but SIGKILL do not reach it. Hashes of
strings differ from those of the tests' process, but not among starts. What an import reads from the
environment is as the tests have it.

``python warm.py serve SOCKET MODULE...`` serves; ``python warm.py call SOCKET PYTHON WORD...`` calls.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from shutil import copy2, rmtree
from tempfile import mkdtemp
from typing import Any

WARM = ("rewild", "axolotl.")
LIBRARIES = {
    "engine-cpu": (
        *("numpy", "polars", "pydantic", "typer", "torch", "torch._dynamo", "tokenizers"),
        *("transformers.models.llama.modeling_llama", "transformers.models.auto.modeling_auto"),
    ),
    "axolotl-cpu": (
        *("polars", "pydantic", "torch._dynamo", "transformers.models.llama.modeling_llama", "datasets"),
        *("axolotl.cli.main", "axolotl.cli.train", "axolotl.core.builders", "axolotl.loaders"),
    ),
    "lm-eval-cpu": (
        *("polars", "pydantic", "typer", "torch._dynamo", "transformers.models.llama.modeling_llama"),
        *("datasets", "lm_eval", "lm_eval.models.huggingface", "lm_eval.tasks"),
    ),
}
"""Environment → what is imported ahead; nothing of the package, of which a workflow has its own."""


@cache
def interpreter(environment: Path, *more: str) -> Path:
    """A program in the place of an environment's Python; it ends with this process.

    Args:
        environment: its folder; its name says what is imported.
        more: modules that are imported, too: of the package, where every start is of this repository.
    """
    from rewild.core.quiet import VARIABLES

    place = Path(mkdtemp(prefix="warm-"))
    atexit.register(rmtree, place)
    python, called = environment.absolute() / "bin/python", place / "python"
    modules = [*LIBRARIES.get(environment.name, ()), *more]
    server = subprocess.Popen(
        [python, "-P", __file__, "serve", str(place / "socket"), *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | VARIABLES | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert server.stdout
    while (line := server.stdout.readline()) != b"ready\n":  # after what libraries have to say
        assert line, f"{python} cannot import {modules}"
    atexit.register(server.communicate)  # closes its end of a pipe
    for program in python.parent.iterdir():  # what is called by its name is found beside it
        if program != python:
            there = called if program.name.startswith("python") else program
            (place / program.name).symlink_to(there)
    called.write_text(f'#!/bin/sh\nexec "{python}" -IS "{__file__}" call "{place}/socket" "{python}" "$@"\n')
    called.chmod(0o755)
    return called


def link(environment: Path, there: Path) -> None:
    """An environment of a workflow, piece by piece, with :func:`interpreter` as its Python."""
    there.mkdir(parents=True)
    for piece in environment.iterdir():
        if piece.name not in ("bin", "ready"):
            (there / piece.name).symlink_to(piece.absolute())
    (there / "bin").symlink_to(interpreter(environment).parent)
    copy2(environment / "ready", there)


def _serve(path: str, modules: list[str]) -> None:
    for name in modules:
        __import__(name)
    gc.collect()
    gc.freeze()  # what is here is no garbage: looking would copy its memory into each fork
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    print("ready", flush=True)
    while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
        caller = listening.accept()[0]
        if not os.fork():
            listening.close()
            _attend(caller)
        caller.close()
        with suppress(ChildProcessError):  # there is none that has ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _attend(caller: socket.socket) -> None:
    """Start what a caller asks for, and tell it the exit status; kill it if the caller is gone."""
    text, files, *_ = socket.recv_fds(caller, 1 << 20, 20)
    while not text.endswith(b"\n"):
        text += caller.recv(1 << 20)
    ended, ends = os.pipe()
    if not (child := os.fork()):
        caller.close()
        os.close(ended)
        os.set_inheritable(ends, False)
        _become(json.loads(text), files)
        return
    os.close(ends)
    if caller in select.select([caller, ended], [], [])[0]:
        with suppress(ProcessLookupError):  # it has no group of its own yet
            os.killpg(child, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    caller.send(f"{status}\n".encode())
    os._exit(0)


def _become(asked: dict[str, Any], files: list[int]) -> None:
    """What the process would have been if it had been started so."""
    import importlib
    import runpy

    os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    held = [os.dup2(file, 1000 + file) for file in files]  # none of which is a number that is asked for
    for file, number in zip(held, asked["numbers"], strict=True):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = open(0, encoding="utf-8"), open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_FSIZE, asked["limit"])
    _, module, *words = asked["words"]
    sys.executable = os.environ.setdefault("PYTHON_EXEC", asked["called"])  # torchrun starts that
    here = [] if os.environ.get("PYTHONSAFEPATH") else [asked["folder"]]
    sys.path[:0] = [*here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [module, *words]
    sys.modules.pop("sitecustomize", None)
    with suppress(ImportError):  # there is seldom one
        importlib.import_module("sitecustomize")
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


def _call(path: str, python: str, words: list[str]) -> None:
    while words[:1] in (["-u"], ["-W"]):  # of no account here
        words = words[1 + (words[0] == "-W") :]
    if words[:1] != ["-m"] or not words[1].startswith(WARM):
        os.execv(python, [python, *words])
    asked: dict[str, Any] = {"words": words, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    asked["called"] = str(Path(path).with_name("python"))
    given = [Path(word) for word in words if word.startswith("/dev/fd/")]  # a shell's <(...)
    asked["numbers"] = [0, 1, 2, *(int(path.name) for path in given)]
    asked["limit"] = resource.getrlimit(resource.RLIMIT_FSIZE)
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    text = json.dumps(asked).encode() + b"\n"
    sent = socket.send_fds(server, [text], asked["numbers"])
    server.sendall(text[sent:])
    status = int(server.recv(100) or b"-9")
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    what, path, *rest = sys.argv[1:]
    if what == "serve":
        _serve(path, rest)
    else:
        _call(path, rest[0], rest[1:])

"""Environments of the heavier tools: ``.envs/{tool}`` from the lock ``envs/{tool}.txt``.

The ``.in`` file beside a lock says, in comments, what to try importing at the end (``# imports: torch vllm``)
and what to take out again after the installation (``# remove: ...``).

Nothing is installed but files whose checksum stands in a lock. Torch is pip's: which build of it fits a
machine is a matter of pip's configuration, and what it brings besides (CUDA's libraries, or none) is in
``torch-cuda.txt`` where it is not in the tool's own lock. All else is in the lock, to the last package, and
is put in place by uv, whose cache makes an environment in seconds that pip needs minutes for; where uv is
missing or cannot reach what pip can, pip does that too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from rewild.core.errors import RewildError
from rewild.core.files import sha256, write_text

EVERY = 10  # packages per line of progress


def build(lock: Path, folder: Path, report: Callable[[str], None]) -> None:
    """Make a virtual environment; its file ``ready`` is the last thing written.

    Args:
        lock: a requirements file; its ``.in`` stands beside it.
        folder: where to; what is there without being ready is removed first.
        report: called with lines of progress.

    Raises:
        RewildError: the lock lacks a checksum, pip failed (for example at a file of another checksum), or a
            package cannot be imported afterwards.
    """
    wanted, unwanted = directives(lock.with_suffix(".in"))
    pins = requirements(lock)
    bare = [pin for pin, checksums in pins.items() if not checksums]
    if bare:
        raise RewildError(f"{lock}: {bare[0]} has no checksum; envs/hash_locks.py adds it")
    if folder.exists():
        shutil.rmtree(folder)
    report(f"{folder}: {len(pins)} packages from {lock}, once; this can take minutes")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)], f"no virtual environment in {folder}")
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    exactly = [*pip, "install", "--no-deps", "--require-hashes", "-r"]
    torch = {pin: checksums for pin, checksums in pins.items() if pin.startswith("torch==")}
    for pin, checksums in torch.items():
        _torch(pip, pin, checksums, report)
        pins = {pin: pins[pin] for pin in pins if pin not in torch} | _brought(folder, lock, pins)
    with _requirements(pins) as file:
        if not _uv(python, file, report):
            _progress([*exactly, file], report, f"pip could not install {lock}")
    if unwanted:
        _run([*pip, "uninstall", "--yes", *unwanted], f"pip could not remove {', '.join(unwanted)}")
    for name in wanted:
        _run(
            [str(python), "-c", f"import {name}"], f"{folder}: '{name}' was installed but cannot be imported"
        )
        report(f"  {name} works")
    write_text(folder / "ready", f"{sha256(lock)}  {lock.name}\n")


def directives(wanted: Path) -> tuple[list[str], list[str]]:
    """``(imports, remove)`` of a ``.in`` file."""
    found: dict[str, list[str]] = {"imports": [], "remove": []}
    for line in wanted.read_text(encoding="utf-8").splitlines():
        for key in found:
            if line.startswith(f"# {key}:"):
                found[key] += line.partition(":")[2].split()
    return found["imports"], found["remove"]


def hand_over(folder: Path, module: str, arguments: list[str]) -> None:
    """Run a command of ``rewild`` in a tool's environment, and end as it ends, where this one lacks a module.

    Args:
        folder: the environment; where it is not there, nothing is done.
        module: what the command imports.
        arguments: the command's.
    """
    if find_spec(module) is not None or not (folder / "ready").is_file():
        return
    places = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    found = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    command = [str(folder / "bin" / "python"), "-m", "rewild", *arguments]
    sys.exit(subprocess.run(command, env=found, check=False).returncode)


def requirements(lock: Path) -> dict[str, list[str]]:
    """The requirements of a lock: ``name==version ; marker`` → its checksums (``sha256:...``)."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(" --hash=") for line in text.splitlines() if line.strip() and line[0] != "#"]
    return {pin.strip(): [checksum.strip() for checksum in checksums] for pin, *checksums in lines}


def _torch(pip: list[str], pin: str, checksums: list[str], report: Callable[[str], None]) -> None:
    """Install the build of torch that pip finds, if it is one of the lock's.

    Not by ``--require-hashes``: pip then prefers builds whose address states a checksum, which those of a
    local folder do not, and a machine for CPUs would get CUDA's.
    """
    with TemporaryDirectory() as folder:
        found = [*pip, "download", "--no-deps", "--only-binary=:all:", "-d", folder, pin]
        _progress(found, report, f"pip could not install {pin}")
        (wheel,) = Path(folder).iterdir()
        if (checksum := f"sha256:{sha256(wheel)}") not in checksums:
            raise RewildError(
                f"pip could not install {pin}: {wheel.name} is {checksum}, which is not in the lock; if you "
                "trust that build, add it to envs/torch-builds.txt and run envs/hash_locks.py"
            )
        _progress([*pip, "install", "--no-deps", str(wheel)], report, f"pip could not install {pin}")


def _brought(folder: Path, lock: Path, pins: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What the torch that was installed asks for and ``pins`` lacks: CUDA's libraries, or nothing."""
    asked = "".join(
        file.read_text(encoding="utf-8") for file in folder.glob("lib/*/site-packages/torch-*/METADATA")
    )
    if "nvidia-" not in asked:
        return {}
    known = {_name(pin) for pin in pins}
    cuda = requirements(lock.with_name("torch-cuda.txt"))
    return {pin: checksums for pin, checksums in cuda.items() if _name(pin) not in known}


def _name(pin: str) -> str:
    return pin.partition("==")[0].strip()


@contextmanager
def _requirements(pins: Mapping[str, list[str]]) -> Iterator[str]:
    with NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for pin, checksums in pins.items():
            file.write(" ".join([pin, *(f"--hash={checksum}" for checksum in checksums)]) + "\n")
        file.flush()
        yield file.name


def _uv(python: Path, file: str, report: Callable[[str], None]) -> bool:
    """Install with uv, if it is there and can; whether it did."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        return False
    command = [uv, "pip", "install", "--no-deps", "--require-hashes", "--python", str(python), "-r", file]
    done = subprocess.run(command, text=True, capture_output=True, check=False, env=_environment())
    if done.returncode:
        report(f"  uv could not install them, so pip will:\n{_tail(done.stderr.splitlines())}")
    return not done.returncode


def _run(command: list[str], complaint: str) -> None:
    done = subprocess.run(command, text=True, capture_output=True, check=False, env=_environment())
    if done.returncode:
        raise RewildError(f"{complaint}:\n{_tail((done.stderr or done.stdout).splitlines())}")


def _progress(command: list[str], report: Callable[[str], None], complaint: str) -> None:
    process = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=_environment()
    )
    assert process.stdout is not None
    lines, found = [], 0
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("Collecting"):
            found += 1
            if found % EVERY == 0:
                report(f"  {found} packages found")
        elif line.startswith("Installing collected"):
            report("  installing")
    if process.wait():
        raise RewildError(f"{complaint}:\n{_tail(lines)}")


def _tail(lines: Iterable[str]) -> str:
    kept = [line for line in lines if line.strip() and not line.startswith("WARNING")]
    return "\n".join(f"  {line}" for line in kept[-8:])


def _environment() -> dict[str, str]:
    # The package itself must not shadow what is being installed.
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}


if __name__ == "__main__":  # in a container, whose Python has nothing but its standard library
    try:
        build(Path(sys.argv[1]), Path(sys.argv[2]), lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201
    except RewildError as problem:
        sys.exit(f"error: {problem}")

"""Adds to the locks beside this file the checksum of every file that may be installed; versions stay.

    .venv/bin/python envs/hash_locks.py [LOCK ...]

uv asks the package index for the checksums. Builds of torch that the index lacks are in torch-builds.txt.
"""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
UV = "uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-deps"
BUILDS = HERE / "torch-builds.txt"
TORCH = re.compile(r"^torch==([^\s+]+)(\+\S+)?(.*(?:\n    --hash=.*)*)", re.MULTILINE)


def hashed(lock: Path) -> str:
    """The text of a lock, with checksums."""
    pins = lock.read_text(encoding="utf-8")
    torch = TORCH.search(pins)
    local = (torch and torch[2]) or ""  # "+cpu": the index knows only the version before it
    with TemporaryDirectory() as folder:
        plain, made = Path(folder, "plain.txt"), Path(folder, "hashed.txt")
        plain.write_text(re.sub(rf"^(torch==\S+){re.escape(local)}(?=\s)", r"\1", pins, flags=re.MULTILINE))
        subprocess.run([*UV.split(), "--generate-hashes", plain, "-o", made], check=True)
        text = made.read_text(encoding="utf-8")
    return TORCH.sub(lambda found: _torch(found[1], local, found[3]), text)


def _torch(version: str, local: str, rest: str) -> str:
    """The entry of torch. ``==2.13.0`` also takes ``2.13.0+cpu``; ``==2.13.0+cpu`` takes nothing else."""
    builds = [line.split()[:2] for line in BUILDS.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    index = [] if local else re.findall(r"--hash=(\S+)", rest)
    own = [checksum for build, checksum in builds if build.startswith(f"{version}{local or '+'}")]
    return " \\\n    ".join(
        [f"torch=={version}{local}", *(f"--hash={item}" for item in sorted({*index, *own}))]
    )


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(HERE.glob("*.txt")):
        if path.name != BUILDS.name:
            path.write_text(hashed(path), encoding="utf-8")

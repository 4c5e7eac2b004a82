"""A copy of the workflow that runs on the tests' SLURM."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import yaml

from cluster import alive, end

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ENGINE = ROOT / ".envs/engine-cpu/bin/python"
TRAINER = ROOT / ".envs/axolotl-cpu/bin/python"
OURS = ("SNAKEMAKE_", "REWILD_", "SLURM_")  # variables that would change what is tested
MODEL = "results/slurm/responses/small"
SHARDS = ("0000", "0001", "0002", "0003")

# tests/conftest.py by its path: this folder has a module of that name too.
spec = spec_from_file_location("shared_conftest", ROOT / "tests/conftest.py")
assert spec
assert spec.loader
shared = module_from_spec(spec)
spec.loader.exec_module(shared)
SITE = shared.SITE | {"account": "testers", "setup": ["export FROM_THE_SITE='{yes}'"]}


class Project:
    """A copy of the workflow, with the study of these tests, as somebody's who set it up for this cluster."""

    def __init__(self, folder: Path, partition: str = "gpu", preemptible: bool = False, **own: object):
        self.folder = shared.copy_workflow(folder)
        shutil.copy2(HERE / "study.yaml", folder / "config/studies/slurm.yaml")
        (folder / "slurm").symlink_to("profiles/slurm")
        partitions = {"cpu": SITE["partitions"]["cpu"], partition: SITE["partitions"]["gpu"]}
        site = SITE | {"partitions": partitions, "preemptible": preemptible} | own
        (folder / "profiles/slurm/site.yaml").write_text(yaml.safe_dump(site, sort_keys=False))
        self.install("engine-cpu", f'exec {ENGINE} {HERE / "engine.py"} "$@"')
        self.install("axolotl-cpu", f'exec {TRAINER} "$@"')
        self.install("axolotl", "sleep 3600")
        self.faults = folder / "faults"
        self.faults.mkdir()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "snakemake.log"

    def install(self, tool: str, script: str) -> None:
        """An environment whose Python is a script for the shell."""
        environment = self.folder / f".envs/{tool}"
        (environment / "bin").mkdir(parents=True)
        (environment / "bin/python").write_text(f"#!/bin/sh\n{script}\n")
        (environment / "bin/python").chmod(0o755)
        (environment / "ready").touch()

    def begin_with(self, other: Project) -> Project:
        """Prompts, model and pilots of a project that has them; no responses."""
        for name in ("config.yaml", "prompts", "models", "pilot"):
            source, target = other.folder / "results/slurm" / name, self.folder / "results/slurm" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        shutil.copytree(other.folder / ".snakemake/metadata", self.folder / ".snakemake/metadata")
        return self

    def start(self, *words: str) -> None:
        """Start ``snakemake --profile slurm``, asking more often than the profile does."""
        snakemake = Path(sys.executable).parent / "snakemake"
        impatient = ["--slurm-init-seconds-before-status-checks=3", "--max-status-checks-per-second=1"]
        impatient += ["--seconds-between-status-checks=1", "--latency-wait=10"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [snakemake, "--profile", "slurm", "--config", "study=slurm", *impatient, *words],
                cwd=self.folder,
                env={
                    k: v
                    for k, v in os.environ.items()
                    if not k.startswith(("SNAKEMAKE_", "REWILD_", "SLURM_"))
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self, seconds: float = 900) -> int:
        """Wait for Snakemake; its exit status."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"Snakemake did not end in {seconds} s:\n{self.said()[-3000:]}") from None

    def kill(self) -> None:
        """Kill Snakemake as a crash of the login node would; its jobs go on."""
        assert self.process is not None
        end(self.process.pid, signal.SIGKILL)
        self.process.wait(20)

    def stop(self) -> None:
        if self.process is not None and alive(self.process.pid):
            self.kill()

    def going(self, true: Callable[[], bool]) -> Callable[[], bool]:
        """``true``, to be waited for only as long as Snakemake is at work."""

        def seen() -> bool:
            done = true()
            assert done or self.process is None or self.process.poll() is None, self.said()[-3000:]
            return done

        return seen

    def said(self) -> str:
        """What Snakemake printed."""
        return self.log.read_text() if self.log.exists() else ""

    def written(self) -> list[dict]:
        """Every chunk of a shard of the small model that was kept, in order."""
        path = self.folder / "written.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["model"] == "small" and line["shard"].isdigit()]

    def twice(self) -> list[str]:
        """Conversations that were kept more than once."""
        counted = Counter(c for line in self.written() for c in line["conversations"])
        return [c for c, n in counted.items() if n > 1]

    def responses(self) -> dict[str, bytes]:
        """Shard → its file."""
        return {s: (self.folder / MODEL / f"{s}.parquet").read_bytes() for s in SHARDS}

"""Environments of the heavier tools: built whole or not ready, and tried before they count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewild.environments import build, directives, split
from rewild.errors import RewildError
from rewild.files import sha256

ROOT = Path(__file__).resolve().parent.parent


def lock(folder: Path, comments: str, requirements: str = "") -> Path:
    (folder / "tool.in").write_text(comments)
    (folder / "tool.txt").write_text(requirements)
    return folder / "tool.txt"


def test_ready_is_written_last_and_names_the_lock(tmp_path):
    made = lock(tmp_path, "# imports: json\n", "# nothing to install\n")
    stale = tmp_path / "env" / "left-behind"
    stale.mkdir(parents=True)
    lines: list[str] = []
    build(made, tmp_path / "env", lines.append)
    assert (tmp_path / "env/ready").read_text() == f"{sha256(made)}  tool.txt\n"
    assert not stale.exists(), "what was there without being ready is made anew"
    assert "  json works" in lines


def test_what_cannot_be_imported_is_not_ready(tmp_path):
    made = lock(tmp_path, "# imports: json no_such_module\n")
    with pytest.raises(
        RewildError, match=r"'no_such_module' was installed but cannot be imported:\n.*"
    ) as caught:
        build(made, tmp_path / "env", lambda _: None)
    assert "ModuleNotFoundError" in str(caught.value)
    assert not (tmp_path / "env/ready").exists()


def test_pips_complaint_is_shown(tmp_path):
    made = lock(tmp_path, "", "./no/such/folder\n")
    with pytest.raises(RewildError, match=r"pip could not install .*tool\.txt") as caught:
        build(made, tmp_path / "env", lambda _: None)
    assert "no/such/folder" in str(caught.value)


def test_every_environment_of_the_repository_is_tried():
    locks = {p.stem for p in (ROOT / "envs").glob("*.txt")} - {"workflow", "dev"}
    assert {"engine-cpu", "vllm", "vllm-cpu"} <= locks
    for name in locks:
        imports, _ = directives(ROOT / f"envs/{name}.in")
        assert imports, f"envs/{name}.in names nothing to import"
    assert directives(ROOT / "envs/vllm-cpu.in")[1] == ["torchvision", "torchaudio", "torchcodec"]


@pytest.mark.parametrize("tool", ["engine-cpu", "axolotl-cpu"])
def test_the_locks_for_cpus_bring_no_cuda(tool):
    """On a CPU it must not pull gigabytes; where torch needs CUDA's libraries, pip adds them by itself."""
    names = [line.split("==")[0] for line in (ROOT / f"envs/{tool}.txt").read_text().splitlines()]
    assert "torch" in names
    assert not [n for n in names if n.startswith(("nvidia-", "cuda-", "xformers"))]


def test_axolotls_two_locks_differ_in_what_only_gpus_use():
    ours, theirs = ((ROOT / f"envs/{t}.txt").read_text().splitlines() for t in ("axolotl-cpu", "axolotl"))
    assert ours == [line for line in theirs if not line.startswith(("nvidia-", "cuda-", "xformers"))]


def test_torch_is_left_to_pip(tmp_path):
    made = lock(tmp_path, "", "# a comment\npolars==1\ntorch==2.13.0\ntorchao==0.17.0\n\n")
    assert split(made) == (["torch==2.13.0"], ["polars==1", "torchao==0.17.0"])


@pytest.mark.parametrize("uv", ["missing", "failing"])
def test_without_a_uv_that_works_pip_installs_all(tmp_path, monkeypatch, uv):
    tool = tmp_path / "uv"
    tool.write_text("#!/bin/sh\necho cannot reach it >&2; exit 2\n")
    tool.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None if uv == "missing" else str(tool))
    lines: list[str] = []
    made = lock(tmp_path, "# imports: json\n", "# nothing\n")
    build(made, tmp_path / "env", lines.append)
    assert (tmp_path / "env/ready").exists()
    assert any("cannot reach it" in line for line in lines) == (uv == "failing")


def test_engines_and_workflow_write_with_the_same_versions():
    """Bytes of Parquet files depend on polars: every environment has the workflow's."""
    lines = (ROOT / "envs/workflow.txt").read_text().splitlines()
    pins = dict(line.split("==", 1) for line in lines if "==" in line)
    for name in ("engine-cpu", "vllm", "vllm-cpu"):
        text = (ROOT / f"envs/{name}.txt").read_text().splitlines()
        for package in ("polars", "pyarrow", "pydantic", "py3langid"):
            assert f"{package}=={pins[package]}" in text, (name, package)


def test_a_bare_python_can_build_one(tmp_path):
    """In a container there is nothing but the standard library."""
    made = lock(tmp_path, "# imports: json\n", "# nothing to install\n")
    command = [sys.executable, "-S", "-m", "rewild.environments", str(made), str(tmp_path / "env")]

    def run() -> subprocess.CompletedProcess[str]:
        there = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
        return subprocess.run(command, env=there, text=True, capture_output=True, check=False)

    assert run().returncode == 0
    assert (tmp_path / "env/ready").exists()
    made.with_suffix(".in").write_text("# imports: no_such_module\n")
    again = run()
    assert again.returncode == 1
    assert "error: " in again.stderr
    assert again.stderr.splitlines()[-1].strip() == "ModuleNotFoundError: No module named 'no_such_module'"

"""Environments of the heavier tools: built whole or not ready, and tried before they count."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rewild.core.errors import RewildError
from rewild.core.files import sha256
from rewild.operate.environments import build, directives, requirements

ROOT = Path(__file__).resolve().parents[2]


def lock(folder: Path, comments: str, requirements: str = "") -> Path:
    (folder / "tool.in").write_text(comments)
    (folder / "tool.txt").write_text(requirements)
    return folder / "tool.txt"


@pytest.mark.heavy
def test_ready_is_written_last_and_names_the_lock(tmp_path):
    made = lock(tmp_path, "# imports: json\n", "# nothing to install\n")
    stale = tmp_path / "env" / "left-behind"
    stale.mkdir(parents=True)
    lines: list[str] = []
    build(made, tmp_path / "env", lines.append)
    assert (tmp_path / "env/ready").read_text() == f"{sha256(made)}  tool.txt\n"
    assert not stale.exists(), "what was there without being ready is made anew"
    assert "  json works" in lines


@pytest.mark.heavy
def test_what_cannot_be_imported_is_not_ready(tmp_path):
    made = lock(tmp_path, "# imports: json no_such_module\n")
    with pytest.raises(
        RewildError, match=r"'no_such_module' was installed but cannot be imported:\n.*"
    ) as caught:
        build(made, tmp_path / "env", lambda _: None)
    assert "ModuleNotFoundError" in str(caught.value)
    assert not (tmp_path / "env/ready").exists()


@pytest.mark.heavy
def test_pips_complaint_is_shown(tmp_path):
    made = lock(tmp_path, "", f"./no/such/folder --hash=sha256:{'0' * 64}\n")
    with pytest.raises(RewildError, match=r"pip could not install .*tool\.txt") as caught:
        build(made, tmp_path / "env", lambda _: None)
    assert "no/such/folder" in str(caught.value)


def test_a_lock_without_checksums_installs_nothing(tmp_path):
    made = lock(tmp_path, "", f"one==1 \\\n    --hash=sha256:{'0' * 64}\ntwo==2\n")
    with pytest.raises(RewildError, match=r"tool\.txt: two==2 has no checksum"):
        build(made, tmp_path / "env", lambda _: None)
    assert not (tmp_path / "env").exists()


@pytest.mark.heavy
@pytest.mark.parametrize(("uv", "name"), [("there", "tiny"), ("missing", "tiny"), ("there", "torch")])
def test_a_file_of_another_checksum_is_not_installed(tmp_path, monkeypatch, uv, name):
    """Whoever installs it: uv, pip in its place, and pip for torch."""
    tiny_wheel(tmp_path, name)
    only_from(tmp_path, monkeypatch)
    if uv == "missing":
        monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    wrong = lock(tmp_path, f"# imports: {name}\n", f"{name}==1.0 --hash=sha256:{'0' * 64}\n")
    said = "not in the lock" if name == "torch" else "0" * 64
    with pytest.raises(RewildError, match=f"pip could not install .*(?s:.)*{said}"):
        build(wrong, tmp_path / "env", lambda _: None)
    assert not (tmp_path / "env/ready").exists()


def only_from(folder: Path, monkeypatch) -> None:
    """Package clients see nothing but the wheels of a folder."""
    for tool, offline in (("PIP", "PIP_NO_INDEX"), ("UV", "UV_OFFLINE")):
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
        monkeypatch.setenv(offline, "1")


def tiny_wheel(folder: Path, name: str, needs: str = "", version: str = "1.0") -> Path:
    wheel, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(f"{name}.py", "")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.mark.heavy
def test_the_torch_is_the_one_that_pip_prefers(tmp_path, monkeypatch):
    """A local build (2.13.0+cpu) goes before that of the index, though only the latter states a checksum."""
    index = tmp_path / "index" / "torch"
    index.mkdir(parents=True)
    plain = tiny_wheel(index, "torch")
    (index / "index.html").write_text(f'<a href="{plain.name}#sha256={sha256(plain)}">{plain.name}</a>')
    local = tiny_wheel(tmp_path, "torch", version="1.0+cpu")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    hashes = " ".join(f"--hash=sha256:{sha256(wheel)}" for wheel in (plain, local))
    made = lock(tmp_path, "# imports: torch\n", f"torch==1.0 {hashes}\n")
    build(made, tmp_path / "env", lambda _: None)
    assert [path.name for path in (tmp_path / "env").glob("lib/*/site-packages/torch-*")] == [
        "torch-1.0+cpu.dist-info"
    ]


@pytest.mark.heavy
@pytest.mark.parametrize("cuda", [True, False])
def test_the_libraries_of_a_torch_with_cuda_come_from_their_own_lock(tmp_path, monkeypatch, cuda):
    torch = tiny_wheel(tmp_path, "torch", "Requires-Dist: nvidia-tiny==1.0\n" * cuda)
    library = tiny_wheel(tmp_path, "nvidia_tiny")
    only_from(tmp_path, monkeypatch)
    (tmp_path / "torch-cuda.txt").write_text(f"nvidia-tiny==1.0 --hash=sha256:{sha256(library)}\n")
    made = lock(tmp_path, "# imports: torch\n", f"torch==1.0 --hash=sha256:{sha256(torch)}\n")
    build(made, tmp_path / "env", lambda _: None)
    found = {path.name for path in (tmp_path / "env").glob("lib/*/site-packages/*.py")}
    assert found == ({"torch.py", "nvidia_tiny.py"} if cuda else {"torch.py"})


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.txt")), ids=lambda path: path.stem)
def test_every_lock_names_the_checksums_of_all_it_installs(path):
    if path.name == "torch-builds.txt":
        assert re.fullmatch(r"(#.*\n|[\w.+]+  sha256:[0-9a-f]{64}  .+\n)+", path.read_text())
        return
    pins = requirements(path)
    assert len(pins) > 10
    for pin, checksums in pins.items():
        assert checksums, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", checksum) for checksum in checksums), pin


def test_every_environment_of_the_repository_is_tried():
    locks = {p.stem for p in (ROOT / "envs").glob("*.txt")} - {
        "workflow",
        "dev",
        "torch-cuda",
        "torch-builds",
    }
    assert {"engine-cpu", "vllm", "vllm-cpu"} <= locks
    for name in locks:
        imports, _ = directives(ROOT / f"envs/{name}.in")
        assert imports, f"envs/{name}.in names nothing to import"
    assert directives(ROOT / "envs/vllm-cpu.in")[1] == ["torchvision", "torchaudio", "torchcodec"]


@pytest.mark.parametrize("tool", ["engine-cpu", "axolotl-cpu", "measures"])
def test_the_locks_for_cpus_bring_no_cuda(tool):
    """On a CPU it must not pull gigabytes; where torch needs CUDA's libraries, pip adds them by itself."""
    names = [pin.split("==")[0] for pin in requirements(ROOT / f"envs/{tool}.txt")]
    assert "torch" in names
    assert not [n for n in names if n.startswith(("nvidia-", "cuda-", "xformers"))]


def test_axolotls_two_locks_differ_in_what_only_gpus_use():
    ours, theirs = (requirements(ROOT / f"envs/{tool}.txt") for tool in ("axolotl-cpu", "axolotl"))
    gpus = ("nvidia-", "cuda-", "xformers")
    assert ours == {pin: checksums for pin, checksums in theirs.items() if not pin.startswith(gpus)}


@pytest.mark.heavy
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
    pins = dict(pin.split("==", 1) for pin in requirements(ROOT / "envs/workflow.txt"))
    for name in ("engine-cpu", "vllm", "vllm-cpu", "measures"):
        theirs = requirements(ROOT / f"envs/{name}.txt")
        for package in ("polars", "pyarrow", "pydantic", "py3langid"):
            assert f"{package}=={pins[package]}" in theirs, (name, package)


@pytest.mark.heavy
def test_a_bare_python_can_build_one(tmp_path):
    """In a container there is nothing but the standard library."""
    made = lock(tmp_path, "# imports: json\n", "# nothing to install\n")
    command = [sys.executable, "-S", "-m", "rewild.operate.environments", str(made), str(tmp_path / "env")]

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

"""The script for a GPU: its small mode in full, and what it says where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from workspace import ROOT

torch = pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "benchmarks/gpu/respond.sh"), *arguments],
        env=os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"} | environment,
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_small_mode_prints_what_was_measured_beside_the_plan() -> None:
    done = run("--small")
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[0][-2:] == ["peak memory, GB", "predicted, GB"]
    assert [row[0] for row in rows[2:]] == ["1", "4"]
    assert all(float(cell.replace(",", "")) > 0 for row in rows[2:] for cell in row[1:4])
    assert "1,024 bytes of KV cache per token" in done.stdout, "2 layers x 2 x 2 heads x 64 x 2 bytes"
    assert f"torch {torch.__version__}" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 1
    assert done.stderr.startswith(f"no NVIDIA GPU is visible to torch {torch.__version__} ")
    assert "Traceback" not in done.stderr


def test_a_python_without_torch_is_told_what_it_lacks(tmp_path: Any) -> None:
    (tmp_path / "torch.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    )
    done = run(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert f"{sys.executable} has no 'torch': with `-m pip install torch transformers" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gpu_that_is_full_is_said_before_the_model_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/gpu"))
    from respond import LLAMA_8B, find_gpu

    about = SimpleNamespace(name="An old one", total_memory=32 * 2**30, major=7)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: about)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(9e9), 32 * 2**30))
    with pytest.raises(SystemExit, match=r"An old one has 9\.0 GB free of 34\.4, but .* take 16\.1 GB"):
        find_gpu(LLAMA_8B.weight_bytes)
    gpu, name = find_gpu(int(8e9))
    assert (gpu.memory_gib, name) == (32.0, "An old one")
    assert "An old one has no bf16 of its own" in capsys.readouterr().out

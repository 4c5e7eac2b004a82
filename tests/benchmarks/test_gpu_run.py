"""The half hour on a GPU: what its one file says of what worked, failed, hung or was left out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {
    "plan": (
        "import json, sys; name = sys.argv[1]; out = sys.argv[sys.argv.index('--out') + 1]\n"
        "json.dump({'kv_tokens': 7}, open(out, 'w'))\n"
        "if name == 'bad':\n    raise ValueError('no room for a KV cache')\n"
    ),
    "speed": (
        "import json, subprocess, sys, time; out = sys.argv[sys.argv.index('--out') + 1]\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "json.dump({'child': child.pid}, open(out, 'w')); print('step 3 of 9', flush=True); time.sleep(600)\n"
    ),
    "sft": "import sys; print('skipped: it has no axolotl', file=sys.stderr); sys.exit(77)\n",
    "lm_eval": "print('fine')\n",
}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The runner, in a folder with scripts that do as they are told."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from gpu import run

    (tmp_path / "benchmarks/gpu").mkdir(parents=True)
    for name, text in SCRIPTS.items():
        (tmp_path / f"benchmarks/gpu/{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHON", sys.executable)
    cases = (
        run.Case("plan", "good", ("good",), 60),
        run.Case("plan", "bad", ("bad",), 60),
        run.Case("speed", "slow one", (), 2),
        run.Case("sft", "sft", (), 60),
        run.Case("lm_eval", "all", (), 60),
    )
    monkeypatch.setattr(run, "ON_GPU", cases)
    return run


def ended(pid: int) -> bool:
    """Whether a process is gone, or only waits to be collected."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def main(run: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["run.py", "--out", "out", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        run.main()
    return json.loads(Path("out/gpu.json").read_text()) | {"status": ended.value.code}


def test_each_outcome_is_told_apart_and_keeps_what_was_found(bench, monkeypatch) -> None:
    found = main(bench, monkeypatch)
    parts = found["parts"]
    assert found["status"] == 1
    assert parts["plan"]["good"] == {
        "state": "worked",
        "seconds": parts["plan"]["good"]["seconds"],
        "log": "out/cases/plan-good.log",
        "found": {"kv_tokens": 7},
    }
    bad = parts["plan"]["bad"]
    assert (bad["state"], bad["found"]) == ("failed", {"kv_tokens": 7})
    assert bad["why"] == "exit status 1: ValueError: no room for a KV cache"
    slow = parts["speed"]["slow one"]
    assert (slow["state"], slow["why"]) == (
        "timed out",
        "stopped after its limit of 2 s; it said: step 3 of 9",
    )
    assert ended(slow["found"]["child"]), "what the script started would hold the GPU"
    assert parts["sft"]["sft"]["state"] == "skipped"
    assert parts["sft"]["sft"]["why"] == "it has no axolotl"
    assert parts["lm_eval"]["all"]["state"] == "worked"


def test_a_part_by_itself_leaves_the_others_as_they_were(bench, monkeypatch) -> None:
    assert main(bench, monkeypatch, "plan")["status"] == 1
    found = main(bench, monkeypatch, "lm_eval")
    assert found["status"] == 0
    assert found["parts"]["plan"]["bad"]["state"] == "failed"
    assert found["parts"]["lm_eval"]["all"]["state"] == "worked"
    assert "speed" not in found["parts"]


def test_what_is_not_reached_is_said(bench, monkeypatch) -> None:
    """Ctrl-C in the second measurement: it failed, and the rest has not run."""
    real = bench.time.sleep

    def pressed(seconds: float) -> None:
        real(seconds)
        if Path("out/cases/plan-bad.log").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(bench.time, "sleep", pressed)
    monkeypatch.setattr(sys, "argv", ["run.py", "--out", "out"])
    with pytest.raises(KeyboardInterrupt):
        bench.main()
    parts = json.loads(Path("out/gpu.json").read_text())["parts"]
    assert parts["plan"]["good"]["state"] == "worked"
    assert parts["plan"]["bad"] == parts["plan"]["bad"] | {
        "state": "failed",
        "why": "stopped: KeyboardInterrupt",
    }
    assert [parts[p][c] for p, c in (("speed", "slow one"), ("sft", "sft"))] == [{"state": "not run"}] * 2


def test_all_of_it_takes_25_minutes_at_most_and_names_shapes_that_are_there() -> None:
    done = subprocess.run(
        ["bash", "benchmarks/gpu/run.sh", "--list"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    *cases, total = done.stdout.splitlines()
    assert int(total.split()[0]) <= 25 * 60
    told = " ".join(cases)
    for shape in ("llama-3.1-8b-instruct", "qwen2.5-coder-32b-instruct"):
        assert f"plan: {shape}" in told
        assert f"speed: {shape}" in told


def test_a_machine_without_a_gpu_or_a_tool_says_so(tmp_path: Path) -> None:
    """With this Python, which has no torch: every part is skipped, and says what it misses."""
    done = subprocess.run(
        ["bash", str(ROOT / "benchmarks/gpu/run.sh"), "--out", str(tmp_path), "plan", "sft", "lm_eval"],
        env=os.environ | {"PYTHON": sys.executable},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert parts["plan"]["qwen2.5-coder-32b-instruct"]["why"].startswith(
        f"{sys.executable} has no 'vllm' (docs/gpu.md"
    )
    assert "has no 'axolotl'" in parts["sft"]["dpo"]["why"]
    assert "has no 'lm_eval'" in parts["lm_eval"]["log-likelihoods"]["why"]
    assert parts["plan"]["constants"]["found"]["write_back"] == [
        "no shape was measured on a GPU: nothing to write back"
    ]

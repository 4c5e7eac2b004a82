"""See run.sh. Needs nothing but Python: what is missing is said by the measurement that misses it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu.common import SKIPPED, read_json, why, write_json

TOOLS = {"plan": "vllm", "speed": "vllm", "sft": "axolotl", "lm_eval": "lm-eval"}  # part → its environment


@dataclass(frozen=True)
class Case:
    """One start of one script.

    Attributes:
        part: its script, without `.py`.
        name: names it in the results.
        arguments: of the script.
        seconds: it is stopped then.
    """

    part: str
    name: str
    arguments: tuple[str, ...]
    seconds: int


LLAMA, QWEN = "llama-3.1-8b-instruct", "qwen2.5-coder-32b-instruct"
FP8 = ("--precision", "fp8")
ON_GPU = (  # 1,500 s together. What matters most comes first. vLLM starts in 100 s (8B) to 170 s (32B in FP8)
    Case("speed", f"{LLAMA} bf16", (LLAMA,), 260),
    Case("speed", f"{QWEN} fp8", (QWEN, *FP8), 330),
    Case("plan", LLAMA, (LLAMA,), 150),
    Case("plan", QWEN, (QWEN,), 200),
    Case("plan", "constants", ("--constants", "{json}"), 10),
    Case("sft", "sft", ("sft",), 260),
    Case("sft", "dpo", ("dpo",), 130),
    Case("lm_eval", "log-likelihoods", (), 160),
)
SMALL = (
    Case("plan", "small", ("small", "--small"), 180),
    Case("plan", "constants", ("--constants", "{json}"), 60),
    Case("speed", "small bf16", ("small", "--small"), 240),
    Case("sft", "sft", ("sft", "--small"), 300),
    Case("sft", "dpo", ("dpo", "--small"), 300),
    Case("lm_eval", "log-likelihoods", ("--small",), 600),
)


def python_of(part: str, small: bool) -> str:
    """`PYTHON`, or the environment of the part's tool, or this Python."""
    folder = Path(".envs") / (TOOLS[part] + ("-cpu" if small else "")) / "bin/python"
    return os.environ.get("PYTHON") or (str(folder) if folder.exists() else sys.executable)


class Results:
    """The one JSON: part → case → state, why, seconds, log and what was found."""

    def __init__(self, folder: Path, cases: Sequence[Case]) -> None:
        self.folder, self.path = folder, folder / "gpu.json"
        (folder / "cases").mkdir(parents=True, exist_ok=True)
        self.all: dict[str, Any] = read_json(self.path) or {"parts": {}}
        for case in cases:  # also what is not reached has a row
            self.all["parts"].setdefault(case.part, {}).setdefault(case.name, {"state": "not run"})
        write_json(self.path, self.all)

    def file(self, case: Case, suffix: str) -> Path:
        """A file of one case alone."""
        return self.folder / "cases" / f"{case.part}-{case.name.replace(' ', '-')}{suffix}"

    def put(self, case: Case, state: str, **more: Any) -> None:
        """Write a case's row, with all that it has found so far."""
        row = {"state": state, **more, "log": str(self.file(case, ".log"))}
        self.all["parts"][case.part][case.name] = row | {"found": read_json(self.file(case, ".json")) or {}}
        write_json(self.path, self.all)


def run(case: Case, results: Results, small: bool) -> str:
    """Run one case to its end or its time limit; its state."""
    out, log = results.file(case, ".json"), results.file(case, ".log")
    out.unlink(missing_ok=True)
    arguments = [a.format(json=results.path) for a in case.arguments]
    command = [python_of(case.part, small), f"benchmarks/gpu/{case.part}.py", *arguments, "--out", str(out)]
    started, seen, late = time.monotonic(), 0.0, False
    results.put(case, "running")
    with log.open("w", encoding="utf-8") as file:
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while child.poll() is None and not late:
                time.sleep(0.2)
                late = time.monotonic() - started > case.seconds
                if out.exists() and (changed := out.stat().st_mtime) != seen:
                    seen = changed
                    results.put(case, "running")
        except BaseException as stopped:  # Ctrl-C, or a time limit around all of this
            end(child)
            results.put(case, "failed", why=f"stopped: {type(stopped).__name__}")
            raise
        finally:
            end(child)
    more: dict[str, Any] = {"seconds": round(time.monotonic() - started, 1)}
    state = "worked"
    if late:
        state, more["why"] = "timed out", f"stopped after its limit of {case.seconds} s; it said: {why(log)}"
    elif child.returncode == SKIPPED:
        state, more["why"] = "skipped", why(log).removeprefix("skipped: ")
    elif child.returncode:
        state, more["why"] = "failed", f"exit status {child.returncode}: {why(log)}"
    results.put(case, state, **more)
    return f"{state} ({more['seconds']:.0f} s){': ' + more['why'] if 'why' in more else ''}"


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill it and what it started: an engine that is left behind holds the GPU's memory."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def main() -> None:
    """Run the cases that are wanted, and say what came of them."""
    parser = argparse.ArgumentParser(description="All measurements on one GPU, in order")
    parser.add_argument("parts", nargs="*", choices=[*TOOLS, []], help="only these (default: all)")
    parser.add_argument("--small", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--out", type=Path, default=Path("logs/gpu"), help="folder of gpu.json and logs")
    parser.add_argument("--list", action="store_true", help="only say what would run")
    options = parser.parse_args()
    cases = [c for c in (SMALL if options.small else ON_GPU) if not options.parts or c.part in options.parts]
    if options.list:
        for case in cases:
            print(f"{case.seconds:5} s  {case.part}: {case.name}  ({python_of(case.part, options.small)})")
        print(f"{sum(case.seconds for case in cases):5} s at most")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    results = Results(options.out, cases)
    bad = False
    for case in cases:
        print(f"{case.part}: {case.name} … ", end="", flush=True)
        said = run(case, results, options.small)
        print(said, flush=True)
        bad = bad or said.startswith(("failed", "timed out"))
    print(f"→ {results.path}")
    sys.exit(bad)


if __name__ == "__main__":
    main()

"""What stands in for the engine's Python in these tests: the real command, and the faults a test asks for.

``python engine.py -m rewild respond STUDY MODEL SHARD ...`` runs that command in this process. Files in
``faults/`` say what goes wrong; ``written.jsonl`` gets a line for every chunk that was kept.

- ``faults/hold``: after a chunk a shard stands still, while the file is there
- ``faults/pace``: seconds that every chunk takes longer, while the file is there
- ``faults/hang-SHARD``: the first job of the shard stands still after its second chunk
- ``faults/fail-SHARD``: the engine of the shard breaks as it is to write a chunk, once
- ``faults/truncate-SHARD``: the job succeeds, and its file is cut in half afterwards, once
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

FAULTS = Path("faults")


def once(name: str) -> bool:
    """Whether a fault is asked for; it then happens this time only."""
    try:
        (FAULTS / name).unlink()
    except FileNotFoundError:
        return False
    return True


def main() -> None:
    assert sys.argv[1:3] == ["-m", "rewild"]
    sys.argv[:] = ["rewild", *sys.argv[3:]]
    command, model, shard = sys.argv[1], *(*sys.argv[3:5], "", "")[:2]
    shard = Path(shard).stem if command == "respond" else ""  # it is given the file of its prompts

    from rewild.__main__ import main as rewild
    from rewild.engines.base import EngineError
    from rewild.generation.store import Store

    write, count = Store.write, 0
    hangs = command == "respond" and once(f"hang-{shard}")  # this job, however far it comes

    def slow_write(self, rows, about=None) -> None:
        nonlocal count
        if command == "respond" and once(f"fail-{shard}"):
            raise EngineError(f"{model}: the engine of shard {shard} broke")
        write(self, rows, about)
        count += 1
        job = os.environ.get("SLURM_JOB_ID")
        names = list(dict.fromkeys(row["conversation_id"] for row in rows))
        line = {
            "model": model,
            "shard": shard,
            "job": job,
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "conversations": names,
        }
        with Path("written.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        if command == "respond":
            while (FAULTS / "hold").exists():
                time.sleep(0.1)
            if hangs and count == 2:
                time.sleep(3600)
            with suppress(FileNotFoundError):
                time.sleep(float((FAULTS / "pace").read_text()))

    Store.write = slow_write  # type: ignore[method-assign]
    try:
        rewild()
    except SystemExit as end:
        if end.code:
            raise
    if command == "respond" and once(f"truncate-{shard}"):
        path = Path(f"results/{sys.argv[2]}/responses/{model}/{shard}.parquet")
        os.truncate(path, path.stat().st_size // 2)


if __name__ == "__main__":
    main()

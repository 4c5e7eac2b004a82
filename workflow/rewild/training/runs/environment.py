"""The process environment in which Axolotl behaves."""

from __future__ import annotations

import os
from pathlib import Path

from rewild import FOLDER
from rewild.core import quiet

QUIET = quiet.VARIABLES | {"TOKENIZERS_PARALLELISM": "false"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def variables(*, local: bool, gpus: int, threads: int, work: Path) -> dict[str, str]:
    """What to set for a process that runs Axolotl.

    Args:
        local: whether all files are here, so that nothing may be asked of a network.
        gpus: how many it may see; 0 hides them.
        threads: CPU threads (per process).
        work: where caches of data sets go: a run's own, so that no run reads another's.
    """
    found = QUIET | {
        "OMP_NUM_THREADS": str(threads),
        "AXOLOTL_DATASET_NUM_PROC": str(threads if threads > 1 else 0),  # 0: no other processes
        "HF_DATASETS_CACHE": str((work / "cache").resolve()),
        "PYTHONPATH": os.pathsep.join(
            dict.fromkeys([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
        ),
    }
    if local:
        found |= OFFLINE
    if gpus == 0:
        found["CUDA_VISIBLE_DEVICES"] = ""
    return found

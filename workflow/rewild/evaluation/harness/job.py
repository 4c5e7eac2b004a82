"""One run's job: from a study's name to results, with progress in the log."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rewild.config import load_benchmarks, load_defaults, read_study
from rewild.config.gpus import Gpu
from rewild.config.models import load_models
from rewild.config.study import Study
from rewild.core.weights import hash_folder
from rewild.evaluation.harness.evaluate import Runner, evaluate
from rewild.evaluation.harness.run import Harness, Settings, versions
from rewild.evaluation.harness.settings import (
    Target,
    Task,
    context_of,
    evaluation_of,
    gpus_of,
    memory_share,
    precision_of,
    seed_of,
    shared_identity,
    target_of,
    tasks_of,
)

EVERY = 15  # seconds between two lines of progress


def run_job(
    study: str, run: str, results: Path, config: Path, *, threads: int | None, out: Path | None = None
) -> dict[str, str]:
    """Run a study's ground-truth benchmarks on one run.

    Args:
        study: a study's name, or its resolved configuration.
        results, config: folders.
        threads: of the CPU; None is all.
        out: the run's folder; None is its place in ``results``.

    Returns:
        Benchmark → what was done (see :func:`rewild.evaluation.harness.evaluate.evaluate`).
    """
    chosen = read_study(study, config)
    models = load_models(config, chosen)
    section, target = evaluation_of(chosen), target_of(chosen, run, models)
    tasks = tasks_of(chosen, load_benchmarks(config))
    settings = settings_for(chosen, target, load_defaults(config).gpus)
    shared = shared_identity(chosen, target) | {
        "sentences": section.sentences,
        "versions": versions(),
        "weights": hash_folder(Path(target.path)) if target.local else None,
    }

    def open_runner(scratch: Path, missing: Sequence[Task]) -> Runner:
        if threads:
            import torch

            torch.set_num_threads(threads)
        return Harness(target, settings, scratch, missing)

    folder = out or results / chosen.name / "benchmarks" / run
    with progress(offline=target.local and all(task.files for task in tasks)):
        return evaluate(run, tasks, shared, folder, open_runner)


def settings_for(study: Study, target: Target, gpus: Mapping[str, Gpu]) -> Settings:
    """How a run's model is loaded and asked: with what its engine plan was made with."""
    section = evaluation_of(study)
    return Settings(
        backend=section.backend,
        precision=precision_of(section),
        gpus=gpus_of(study, target, gpus),
        seed=seed_of(study),
        max_length=context_of(section, target),
        batch=section.compute.batch,
        system=section.system,
        sentences=section.sentences,
        memory_share=memory_share(section, gpus),
        without_system_role=section.without_system_role,
        confined=section.allow_code != "unconfined",
        vllm=section.compute.vllm.given,
    )


@contextmanager
def progress(offline: bool) -> Iterator[None]:
    """A log that can be read while it grows: our lines with the time, lm-eval's warnings, its bars as lines.

    Args:
        offline: whether nothing of the hub is needed; then nothing asks it.
    """
    os.environ.setdefault("TQDM_MININTERVAL", str(EVERY))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("rewild").setLevel(logging.INFO)
    # What these warn of is wanted, or is counted in the results.
    for name in ("lm_eval.tasks._index", "lm_eval.evaluator", "lm_eval.models.huggingface"):
        logging.getLogger(name).setLevel(logging.ERROR)
    bars = sys.stderr
    sys.stderr = _Lines(bars)
    try:
        yield
    finally:
        sys.stderr = bars


class _Lines(io.TextIOBase):
    """A stream in which a bar that is drawn over itself becomes one line after the other."""

    def __init__(self, under: TextIO) -> None:
        self._under = under

    def write(self, text: str) -> int:
        kept = text.replace("\r", "\n").lstrip("\n") if text.startswith("\r") else text
        if kept and text.startswith("\r"):
            kept += "\n"
        self._under.write(kept)
        return len(text)

    def flush(self) -> None:
        self._under.flush()

    def isatty(self) -> bool:
        return False

"""A tiny base model, made here, and mixes of invented conversations: real Axolotl, no download.

The tests of this folder run in the environment .envs/axolotl-cpu; elsewhere they are not collected. A start
of Axolotl takes many seconds, so tests share what one start gives.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.extend(str(Path(__file__).resolve().parents[1] / r) for r in (".", "engine", "prompts", "training"))

from invented import conversations, write_mix
from rewild.config.base import validate
from rewild.config.models import Model
from rewild.config.recipes import Recipe
from rewild.config.trainings import Training, Weights
from rewild.core.quiet import report_nothing
from rewild.training.runs.layout import RunFiles
from tiny import TEMPLATE, make_model
from warm import interpreter

report_nothing()  # as the command line does: else Axolotl hangs at the end where there is no network
try:
    import axolotl  # noqa: F401
except ImportError:
    collect_ignore_glob = ["test_*.py"]

RECIPE = {
    "title": "Tiny",
    "learning_rate": 1e-2,
    "sequence_length": 96,
    "packing": True,
    "micro_batch": 2,
    "precision": "fp32",
    "attention": "sdpa",
    "optimizer": "adamw_torch",
    "checkpoints": 4,
    "gates": {"cut": 0.2},
    "source": "a test",
}


class Bench:
    """A folder to train in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = make_model(folder / "base", template=None, context=128)
        (folder / "chat.jinja").write_text(TEMPLATE)
        self.mix = write_mix(folder / "train.parquet", conversations(96))

    def training(self, run: str, base: Path | None = None, *, end: str = "<|end|>", **over: Any) -> Training:
        templates = {"tiny": {"file": str(self.folder / "chat.jinja"), "end_of_turn": end}}
        recipe = validate(Recipe, {**RECIPE, "slug": "tiny", "templates": templates, **over}, "recipe")
        row = Model(slug="base", family="tiny", roles=["base"], kind="pretrained", chat_template=False)
        start = Weights(str(base or self.base), None, True, False, row)
        return Training("s", run, "m", recipe, 7, start, recipe.templates["tiny"])

    def files(self, run: str) -> RunFiles:
        return RunFiles(self.folder / "results", "s", run)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings begin as forks of a process that has imported Axolotl."""
    monkeypatch.setattr(sys, "executable", str(interpreter(Path(sys.prefix))))


@pytest.fixture
def say() -> Callable[[str], None]:
    return lambda line: print(line, file=sys.stderr)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a preflight sets for its own process must not reach the next test."""
    for name in ("AXOLOTL_IS_PREPROCESS",):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))

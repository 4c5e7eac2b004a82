"""Where the files of a run are: ``results/{study}/runs/{run}``, and what is in progress in ``work``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFiles:
    """The paths of one run: those that its rule gives, or those in a folder of results.

    What a rule declares lies in ``folder``; a killed job leaves only ``work``.
    """

    root: Path
    study: str
    run: str
    own_folder: Path | None = None
    own_work: Path | None = None

    @property
    def folder(self) -> Path:
        """What is published of a run."""
        return self.own_folder or self.root / self.study / "runs" / self.run

    @property
    def work(self) -> Path:
        """Prepared data, checkpoints to resume from: removed when the run is trained."""
        return self.own_work or self.root / self.study / "work" / "runs" / self.run

    def config(self) -> Path:
        """The rendered Axolotl config."""
        return self.folder / "axolotl.yaml"

    def report(self, flight: str) -> Path:
        """``preflight.json`` or ``postflight.json``."""
        return self.folder / f"{flight}.json"

    def checkpoint(self) -> Path:
        """The fine-tuned model: safetensors, tokenizer, chat template."""
        return self.folder / "checkpoint"

    def training(self) -> Path:
        """What the training measured."""
        return self.folder / "training.json"

    def passed(self) -> Path:
        """Written if the post-flight passed."""
        return self.folder / "passed"

"""Where the files of this phase are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The paths of one study: ``{root}/{study}/...``; see :mod:`rewild.generation.schema`."""

    root: Path
    study: str

    @property
    def study_folder(self) -> Path:
        """All of a study."""
        return self.root / self.study

    def prompts(self, shard: str) -> Path:
        """A shard of prompts, by its name; a path stays as it is."""
        return (
            Path(shard)
            if shard.endswith(".parquet")
            else self.study_folder / "prompts" / "shards" / f"{shard}.parquet"
        )

    def responses(self, model: str) -> Path:
        """The folder of a model's responses."""
        return self.study_folder / "responses" / model

    def pilot(self, model: str) -> Path:
        """The folder of a model's pilot."""
        return self.study_folder / "pilot" / model

    def work(self, model: str, part: str) -> Path:
        """Finished chunks of a shard (or of the ``pilot``)."""
        return self.study_folder / "work" / "responses" / model / part

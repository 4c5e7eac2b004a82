"""A folder with a configuration, a study of one tiny model, and prompts: what the engine tests work in."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from rewild.config import load_study
from rewild.config.load import merge
from rewild.core.conversations import conversation_id
from rewild.core.table import provenance, write_table
from rewild.generation.prepared import open_model
from rewild.prompts.schema import SHARD
from rewild.responses.layout import Layout
from rewild.responses.shard import run_shard
from rewild.responses.spec import make_spec
from tiny import WORDS
from warm import interpreter

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ("rewild.cli", "rewild.responses.shard", "rewild.responses.pilot", "rewild.generation.prepared")
TOPICS = ["water", "light", "code", "music", "rivers", "cities", "numbers", "words"]


def make_prompts(
    path: Path, count: int = 24, seed: int = 3, *, turns: int = 3, shard: str = "0000"
) -> pl.DataFrame:
    """A shard of invented conversations with one to ``turns`` user turns."""
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        users = [
            f"{i} " + " ".join(draw.choices(TOPICS, k=draw.randint(3, 25)))
            for _ in range(draw.randint(1, turns))
        ]
        messages = []
        for user in users:
            messages.append({"role": "user", "content": user})
            messages.append({"role": "assistant", "content": " ".join(draw.choices(WORDS, k=12))})
        if draw.random() < 0.5:
            messages.pop()  # the last user turn is unanswered
        rows.append(
            {
                "conversation_id": conversation_id(users),
                "source": "invented",
                "source_id": str(i),
                "shard": shard,
                "language": "English",
                "n_turns": len(users),
                "messages": messages,
                "tags": [],
            }
        )
    frame = pl.DataFrame(rows, schema=SHARD.dtypes).sort("conversation_id")
    write_table(path, frame, SHARD, provenance())
    return frame


class Workspace:
    """A folder with a configuration, a study of one tiny model, and prompts."""

    def __init__(self, folder: Path, model: Path, **responses: object):
        self.folder = folder
        self.results = folder / "results"
        settings = {
            "models": ["tiny"],
            "engine": "transformers",
            "over_long": "truncate_left",
            "limits": {"context": 200, "max_output": 24, "max_input": 150},
            "compute": {"chunk": 4, "batch": 8, "device": "cpu"},
            "pilot": {
                "conversations": 8,
                "gates": {"unfinished": 1.0, "repetitive": 1.0, "garbled": 1.0, "wrong_language": 1.0},
            },
            "overrides": {"tiny": {"path": str(model)}},
        }
        study = {"title": "Tiny", "source": "computed", "seed": 7, "responses": merge(settings, responses)}
        (folder / "config" / "studies").mkdir(parents=True, exist_ok=True)
        (folder / "config" / "config.yaml").write_text("study: tiny\n")
        (folder / "config" / "models.yaml").write_text("{}\n")
        (folder / "config" / "studies" / "tiny.yaml").write_text(yaml.safe_dump(study))
        self.layout = Layout(self.results, "tiny")

    @property
    def study(self):
        return load_study(self.folder / "config", "tiny")

    @property
    def job(self):
        return make_spec(self.study, "tiny", {})

    @property
    def out(self) -> Path:
        return self.layout.responses("tiny") / "0000.parquet"

    def respond(self, model=None, shard: str = "0000"):
        out = self.layout.responses("tiny") / f"{shard}.parquet"
        with model or open_model(self.job) as made:
            work = self.layout.work("tiny", shard)
            return run_shard(made, self.layout.prompts(shard), work, out, out.with_suffix(".json"))

    @cached_property
    def python(self) -> Path:
        """What a command is started with: a Python that has torch and transformers already."""
        return interpreter(Path(sys.prefix), *PACKAGE)

    def command(self, *words: str) -> list[str]:
        return [str(self.python), "-m", "rewild", *words]

    def run(self, *words: str, check: bool = True, **keywords: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            check=False,
            text=True,
            capture_output=True,
            **keywords,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "HF_HUB_OFFLINE": "1", "COLUMNS": "160"}

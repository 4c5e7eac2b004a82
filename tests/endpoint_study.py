"""A study of two models behind an endpoint, in a folder of its own, and prompts for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import yaml

from rewild.config import load_study
from rewild.core.conversations import conversation_id
from rewild.core.table import provenance, write_table
from rewild.prompts.schema import SHARD
from rewild.responses.layout import Layout

ROOT = Path(__file__).resolve().parents[1]


def prompts(path: Path, talks: list[list[str]]) -> pl.DataFrame:
    """A shard of conversations given by their user turns."""
    rows = []
    for i, users in enumerate(talks):
        messages = []
        for user in users:
            messages += [
                {"role": "user", "content": user},
                {"role": "assistant", "content": f"reference {user}"},
            ]
        rows.append(
            {
                "conversation_id": conversation_id(users),
                "source": "invented",
                "source_id": str(i),
                "shard": path.stem,
                "language": "English",
                "n_turns": len(users),
                "messages": messages,
                "tags": [],
            }
        )
    frame = pl.DataFrame(rows, schema=SHARD.dtypes).sort("conversation_id")
    write_table(path, frame, SHARD, provenance())
    return frame


class Place:
    """A folder with a study of two models behind an endpoint."""

    def __init__(self, folder: Path, url: str = "http://127.0.0.1:9/v1", **responses: object):
        self.folder, self.layout = folder, Layout(folder / "results", "talk")
        settings = {
            "models": ["m1", "m2"],
            "engine": "openai",
            "attempts": 2,
            "limits": {"context": 4096},
            "compute": {"endpoint": url, "chunk": 3, "timeout": 5.0, "concurrency": 4},
            "overrides": {"m1": {"path": "m1"}, "m2": {"path": "m2"}},
            **responses,
        }
        study = {"title": "Talk", "source": "computed", "seed": 3, "responses": settings}
        (folder / "config/studies").mkdir(parents=True)
        (folder / "config/config.yaml").write_text("study: talk\n")
        (folder / "config/models.yaml").write_text("{}\n")
        (folder / "config/studies/talk.yaml").write_text(yaml.safe_dump(study))

    @property
    def study(self):
        return load_study(self.folder / "config", "talk")

    def run(self, *words: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "rewild", *words],
            cwd=self.folder,
            text=True,
            capture_output=True,
            check=False,
            env={
                "PYTHONPATH": str(ROOT / "workflow"),
                "PATH": "/usr/bin:/bin",
                "COLUMNS": "140",
                **environment,
            },
        )
        assert not check or done.returncode == 0, done.stderr
        return done

"""Hub datasets: streamed batches become one file that the preparation reads."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewild.config.base import validate
from rewild.config.prompts import Hub, Prompts, hub_file
from rewild.core.errors import DataError, RewildError
from rewild.prompts.hub import COLUMNS, stream, write_batches
from rewild.prompts.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = [ROOT / ".envs" / name / "bin/python" for name in ("data", "lm-eval-cpu")]


def rows(start: int, stop: int) -> list[dict[str, Any]]:
    return [
        {
            "conversation_hash": f"{i:032x}",
            "model": "gpt-4",
            "timestamp": datetime(2024, 1, 1, tzinfo=UTC),
            "conversation": [{"content": f"Question {i}", "role": "user", "hashed_ip": "x", "toxic": False}],
            "language": "English",
            "openai_moderation": [{"flagged": i == 3, "categories": {"hate": False}}],
            "toxic": False,
            "redacted": False,
            "hashed_ip": "x",
        }
        for i in range(start, stop)
    ]


HUB = validate(Hub, {"kind": "hub", "repository": "owner/name", "revision": "a" * 40}, "test")


def test_batches_become_one_file_without_what_is_not_needed(tmp_path: Path) -> None:
    path = tmp_path / hub_file(HUB)
    batches = iter([pa.Table.from_pylist(rows(0, 5)), pa.Table.from_pylist(rows(5, 7))])
    assert write_batches(batches, path, "owner/name") == 7
    assert pq.read_schema(path).names == list(COLUMNS)
    prompts = validate(Prompts, {"sources": [HUB.model_dump()], "shards": 2}, "test")
    report = prepare("test", prompts, tmp_path / "out", root=tmp_path)
    assert (report["rows_in"], report["kept"], report["dropped"]) == (7, 6, {"moderation": 1})


def test_a_stream_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        yield pa.Table.from_pylist(rows(0, 5))
        raise OSError("the connection was lost")

    with pytest.raises(OSError, match="lost"):
        write_batches(broken(), tmp_path / "x.parquet", "owner/name")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("batches", "message"),
    [([], "owner/name: the dataset has no rows"), ([pa.table({"text": ["a"]})], "no column 'conversation'")],
)
def test_a_dataset_that_is_none(tmp_path: Path, batches: list[pa.Table], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_batches(iter(batches), tmp_path / "x.parquet", "owner/name")
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_breaks_in_the_middle_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error is of whatever library `datasets` uses for HTTP, and no OSError."""

    class Stream:
        def with_format(self, _: str) -> Stream:
            return self

        def iter(self, batch_size: int) -> Any:
            yield pa.Table.from_pylist(rows(0, 5))
            raise RuntimeError("peer closed connection without sending complete message body")

    fake = SimpleNamespace(load_dataset=lambda *_, **__: Stream())
    monkeypatch.setitem(sys.modules, "datasets", fake)
    with pytest.raises(RewildError, match=r"^owner/name at a{40}, split train: peer closed connection"):
        stream(HUB, tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
def test_a_real_dataset_folder_is_streamed(tmp_path: Path) -> None:
    """The rule's command with `datasets` itself, from a folder of data files in place of a hub repository."""
    python = next((p for p in PYTHONS if (p.parents[1] / "ready").exists()), None)
    if python is None:
        pytest.skip("needs the package datasets: .envs/lm-eval-cpu (make test builds it) or .envs/data")
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    for part in range(2):
        pq.write_table(
            pa.Table.from_pylist(rows(10 * part, 10 * part + 10)), folder / f"train-{part}.parquet"
        )
    offline = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT / "workflow"),
    }
    run = subprocess.run(
        [python, "-m", "rewild", "fetch-hub", HUB.repository, HUB.revision, "--out", hub_file(HUB)],
        cwd=tmp_path,
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "wildchat: 20 rows in " in run.stderr
    prompts = validate(Prompts, {"sources": [HUB.model_dump()], "shards": 2}, "test")
    report = prepare("test", prompts, tmp_path / "out", root=tmp_path)
    assert (report["rows_in"], report["kept"], report["dropped"]) == (20, 19, {"moderation": 1})


def test_without_datasets_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RewildError, match=r"needs the package `datasets` \(envs/data.txt\)"):
        stream(HUB, tmp_path / "x.parquet")

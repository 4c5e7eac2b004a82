"""Chunks know whether they are whole: whatever bit is flipped, no other data is loaded."""

from __future__ import annotations

import random
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewild.core.sealed import SEAL
from rewild.generation.asking.store import RAW, Replies
from rewild.generation.respond import CHUNK, Cost, answers_in, cost_of

FLIPS = 200


def response(i: int) -> dict[str, Any]:
    return {
        "conversation_id": f"c{i}",
        "turn": 0,
        "model": "m",
        "history": "reference",
        "language": "English",
        "prompt": f"question {i}",
        "response": f"answer {i} " * 20,
        "failure": None,
        "finish_reason": "stop",
        "truncation": "none",
        "attempts": 1,
        "input_tokens": 10 + i,
        "output_tokens": 20 + i,
        "response_language": "en",
        "repetition": 0.25,
        "garbled": 0.0,
        "seed": i,
        "engine": "transformers",
        "recipe": "r",
    }


def judgment(i: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(RAW.columns)
    for name, column in RAW.columns.items():
        if column.dtype == pl.String:
            row[name] = None if column.nullable else f"{name} {i}"
        elif isinstance(column.dtype, pl.List):
            row[name] = []
        elif column.dtype == pl.Boolean:
            row[name] = False
        elif column.dtype.is_numeric():
            row[name] = i
    return row


def write_responses(folder: Path) -> None:
    rows = [response(i) | {"content": f"hash{i}"} for i in range(20)]
    answers_in(folder).write(rows, {"cost": asdict(Cost(conversations=20, rows=20))})


def write_judgments(folder: Path) -> None:
    Replies(folder).write([judgment(i) for i in range(20)])


def load_responses(folder: Path) -> Any:
    chunks = answers_in(folder)
    found = [(frame.to_dicts(), cost_of(about, folder)) for frame, about in chunks.load()]
    return found, sorted(chunks.done)


def load_judgments(folder: Path) -> Any:
    store = Replies(folder)
    store.load(mend=True)
    return store.rows


KINDS = {"responses": (write_responses, load_responses), "judgments": (write_judgments, load_judgments)}


def nothing(found: Any) -> bool:
    return found in (([], []), {})


def chunk_in(folder: Path) -> Path:
    (path,) = folder.glob("*.parquet")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_loads_no_other_data(tmp_path: Path, kind: str) -> None:
    write, load = KINDS[kind]
    tmp_path.mkdir(exist_ok=True)
    write(tmp_path)
    path = chunk_in(tmp_path)
    good = path.read_bytes()
    whole = load(tmp_path)
    assert not nothing(whole)
    drawn = random.Random(20)
    for bit in drawn.sample(range(8 * len(good)), FLIPS):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        assert nothing(load(tmp_path)), f"bit {bit}"
        assert not path.exists()
        aside = path.with_suffix(".unreadable")
        assert aside.read_bytes() == bad
        aside.unlink()
    path.write_bytes(good)
    assert load(tmp_path) == whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "empty", "longer", "zeros", "another's"])
def test_a_damaged_chunk_is_set_aside_and_made_again(
    tmp_path: Path, kind: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    write, load = KINDS[kind]
    tmp_path.mkdir(exist_ok=True)
    write(tmp_path)
    path, whole = chunk_in(tmp_path), load(tmp_path)
    good = path.read_bytes()
    path.write_bytes(
        {
            "cut": good[:-20],
            "empty": b"",
            "longer": good + b"\0",
            "zeros": bytes(len(good)),
            "another's": good.replace(b"PAR1", b"PAR2"),
        }[damage]
    )
    assert nothing(load(tmp_path))
    assert f"{path}: damaged: its checksum is not the one it was written with" in caplog.text
    assert "set aside as" in caplog.text
    write(tmp_path)
    assert load(tmp_path) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_of_before_there_were_seals_is_made_again_or_was_paid_for(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    write, load = KINDS[kind]
    write(tmp_path)
    path, whole = chunk_in(tmp_path), load(tmp_path)
    old = path.with_name(SEAL.sub("", path.stem) + ".parquet")
    path.rename(old)
    found = load(tmp_path)
    if kind == "judgments":  # they were paid for
        assert found == whole
        assert f"{old}: has no checksum (made by an earlier version); it is taken as it is" in caplog.text
        return
    assert nothing(found)
    assert f"{old}: has no checksum (made by an earlier version); it is set aside" in caplog.text
    assert [p.suffix for p in tmp_path.iterdir()] == [".unreadable"]


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_that_earlier_versions_wrote_are_read(tmp_path: Path, kind: str) -> None:
    """Each kind had a mechanism of its own; their bytes are in ``stored``."""
    write, load = KINDS[kind]
    write(tmp_path / "new")
    shutil.copytree(Path(__file__).parents[1] / "generation/stored" / kind, tmp_path / "old")
    assert load(tmp_path / "old") == load(tmp_path / "new")
    assert not nothing(load(tmp_path / "old"))
    assert [p.suffix for p in (tmp_path / "old").iterdir()] == [".parquet"], "nothing was set aside"


def test_what_a_killed_job_had_half_written_is_swept(tmp_path: Path) -> None:
    write_responses(tmp_path)
    half = tmp_path / ".c0.abcdefgh.parquet"
    half.write_bytes(b"PAR1")
    assert len(answers_in(tmp_path).load(mend=False)) == 1
    assert half.exists()
    assert len(answers_in(tmp_path).load()) == 1
    assert not half.exists()


def test_a_chunk_that_does_not_say_what_it_cost_is_made_again(tmp_path: Path) -> None:
    rows = [response(0) | {"content": "hash0"}]
    answers_in(tmp_path).write(rows, {"cost": {"dollars": 3}})
    store = answers_in(tmp_path)
    assert store.load() == []
    assert store.done == set()
    assert [p.suffix for p in tmp_path.iterdir()] == [".unreadable"]


def test_who_only_looks_sets_nothing_aside(tmp_path: Path) -> None:
    write_judgments(tmp_path)
    path = chunk_in(tmp_path)
    path.write_bytes(b"PAR1")
    store = Replies(tmp_path)
    store.load()
    assert store.rows == {}
    assert path.exists()


def test_chunks_are_parquet_files_that_others_can_read(tmp_path: Path) -> None:
    write_responses(tmp_path)
    frame = pl.read_parquet(chunk_in(tmp_path))
    assert frame.columns == list(CHUNK.columns)
    assert frame.height == 20

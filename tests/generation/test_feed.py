"""The stream of requests: the engine is never idle, rows are always the same, what is finished stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from rewild.core.errors import RewildError
from rewild.engines.base import Engine, EngineError, Request, Sampling
from rewild.generation.feed import feed
from rewild.generation.respond import Cost, answers_in, respond
from rewild.generation.store import Store
from streams import Stream, Streaming, model, talks

ROOT = Path(__file__).resolve().parents[2]


class Drained(Engine):
    """Answers call by call, and remembers how many requests each call had."""

    batch = 5

    def __init__(self) -> None:
        self.calls: list[list[Request]] = []

    def generate(self, requests, sampling):
        self.calls.append(list(requests))
        return Streaming().stream().all(requests, sampling)

    about = Streaming.about


@pytest.mark.heavy
@pytest.mark.parametrize("history", ["reference", "self"])
def test_the_rows_are_the_same_however_they_are_computed(tmp_path: Path, history: str) -> None:
    """Another window, another chunk, one call after another: the rows are those of one request at a time."""
    shard = talks(30)
    alone, _ = respond(model(Streaming(at_once=1), history=history, window=1), shard, tmp_path / "alone")
    assert alone["conversation_id"].to_list() == [
        c["conversation_id"] for c in shard for m in c["messages"] if m["role"] == "user"
    ]
    assert alone["attempts"].max() > 1
    for number, (engine, chunk, window) in enumerate(
        [(Streaming(), 7, 8), (Streaming(at_once=50), 1, 1000), (Drained(), 4, 12)]
    ):
        made, _ = respond(
            model(engine, history=history, chunk=chunk, window=window), shard, tmp_path / str(number)
        )
        assert made.equals(alone)


def test_the_engine_is_never_short_of_requests_while_there_are_any(tmp_path: Path) -> None:
    """At every step but those at the beginning and at the end it runs as many as it can."""
    seen: list[tuple[int, int]] = []

    def step(stream: Stream) -> None:
        seen.append((len(stream.running), len(stream.queue)))
        time.sleep(0.001)

    engine = Streaming(step=step, at_once=6)
    respond(model(engine, window=200, chunk=25), talks(120), tmp_path)
    last = max(i for i, (_, waiting) in enumerate(seen) if waiting)
    full = [running == 6 for running, _ in seen[20 : last + 1]]
    assert len(full) > 200
    assert sum(full) >= 0.99 * len(full)


def test_no_more_is_under_way_than_the_window(tmp_path: Path) -> None:
    seen: list[int] = []
    engine = Streaming(step=lambda stream: seen.append(len(stream.running) + len(stream.queue)), at_once=50)
    respond(model(engine, window=9), talks(40), tmp_path)
    assert 7 <= max(seen) <= 9 + 2, "the turns of one conversation may go beyond it"


def test_calls_are_whole_and_of_like_length() -> None:
    """An engine that answers call by call gets the oldest request, and those nearest to it in length."""
    engine = Drained()
    session = engine.stream()
    for number in range(12):
        length = 10 if number % 2 else 1000 + number
        session.add(number, Request(str(number), (), (0,) * length, 5, number), Sampling())
    found = [session.wait() for _ in range(3)]
    assert [sorted(int(r.name) for r in call) for call in engine.calls] == [
        [0, 2, 4, 6, 8],
        [1, 3, 5, 7, 9],
        [10, 11],
    ]
    assert sorted(n for part in found for n, _ in part) == list(range(12))
    assert session.wait() == []


def test_an_engine_that_dies_with_600_in_flight(tmp_path: Path) -> None:
    """What was finished is kept, the error says how many were under way, the next run asks for the rest."""
    steps = 0

    def die(stream: Stream) -> None:
        nonlocal steps
        steps += 1
        if steps == 40:
            raise EngineError("the process died")

    shard = talks(400)
    count = sum(m["role"] == "user" for c in shard for m in c["messages"])
    assert count > 700
    prepared = model(Streaming(step=die, at_once=100), window=650, chunk=64)
    with pytest.raises(
        EngineError, match=r"^m: the process died\. (\d+) requests were in flight; .*run again"
    ):
        respond(prepared, shard, tmp_path)
    chunks = answers_in(tmp_path / prepared.digest)
    chunks.load()
    kept = {name for name, _ in chunks.done}
    assert len(kept) > 20
    asked: list[Request] = []
    rows, _ = respond(model(Streaming(asked.append), chunk=64), shard, tmp_path)
    assert {r.name.partition("/")[0] for r in asked} == {c["conversation_id"] for c in shard} - kept
    whole, _ = respond(model(Streaming(), chunk=64), shard, tmp_path / "whole")
    assert rows.equals(whole)


def test_a_full_disk_stops_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found at the desk, while the engine is at work, and is the error that is told."""
    write, steps = Store.write, []

    def full(self: Store, rows: object, about: object = None) -> None:
        if len(self.done) > 10:
            raise RewildError("no space left")
        write(self, rows, about)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "write", full)
    engine = Streaming(step=lambda stream: steps.append(1))
    with pytest.raises(RewildError, match="no space left"):
        respond(model(engine, chunk=2), talks(2000), tmp_path)
    assert len(steps) < 5000
    assert len(list(tmp_path.glob("*/[!.]*.parquet"))) == 6


def test_memory_that_is_short_is_said_with_what_to_change(tmp_path: Path) -> None:
    def short(stream: Stream) -> None:
        raise MemoryError

    with pytest.raises(
        EngineError, match=r"out of memory with 8 requests in flight and a window of 8; lower"
    ):
        respond(model(Streaming(step=short)), [t for t in talks(90) if len(t["messages"]) == 2], tmp_path)


def test_seconds_are_counted_once(tmp_path: Path) -> None:
    """Chunks overlap; their costs add up to the session's."""
    shard = talks(40)
    rows, cost = respond(model(Streaming(), chunk=6, window=30), shard, tmp_path)
    files = list(tmp_path.glob("*/[!.]*.parquet"))
    parts = [Cost(**json.loads(pl.read_parquet_metadata(f)["rewild"])["cost"]) for f in files]
    assert sorted(p.conversations for p in parts) == [4, 6, 6, 6, 6, 6, 6]
    assert cost.conversations == 40
    assert cost.rows == rows.height
    assert cost.output_tokens == rows["output_tokens"].sum()
    assert cost.generate_seconds == pytest.approx(sum(p.generate_seconds for p in parts))
    ends = [p.finished for p in parts]
    assert cost.generate_seconds <= max(ends) - min(ends) + max(p.generate_seconds for p in parts) + 0.1


def test_works_may_wait_for_others() -> None:
    """None says that there is nothing for now: what is under way is answered first."""
    answered: list[str] = []

    def strand(name: str):
        yield Request(name, (), (), 9, 1), Sampling()
        answered.append(name)

    def works():
        yield "a", [strand("a1"), strand("a2")]
        while len(answered) < 2:
            yield None
        yield "b", []
        yield "c", [strand("c1")]

    done: list[str] = []
    feed(Streaming(), works(), done.append, window=10, who="m")
    assert done == ["a", "b", "c"]
    assert sorted(answered) == ["a1", "a2", "c1"]


def test_a_mistake_at_the_desk_is_raised_where_it_was_called() -> None:
    def strand():
        yield Request("a", (), (), 9, 1), Sampling()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        feed(Streaming(), [("a", [strand()])], lambda work: None, window=1, who="m")


@pytest.mark.heavy
def test_killed_at_a_hundred_random_moments(tmp_path: Path) -> None:
    """SIGKILL: at most the window is asked for again, and the rows are those of a run that nobody stopped."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests/generation/streams.py", tmp_path, "100", str(os.getpid())],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
        text=True,
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["killed"]) == 100
    assert {k["again"] for k in found["killed"]} == {0}, "what was finished is not asked for again"
    assert {k["gone"] for k in found["killed"]} == {0}
    assert max(k["lost"] for k in found["killed"]) <= 8, "the window"
    assert sum(k["lost"] > 0 for k in found["killed"]) > 30, "the kills came too late or too early"
    assert all(found["same"])
    assert len(found["same"]) >= 2

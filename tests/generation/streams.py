"""An engine that answers in a stream, of no model: what it says follows from the request alone.

``python streams.py FOLDER KILLS SEED`` answers a shard again and again in a process that it kills with
SIGKILL at random moments, and prints as JSON what survived each time.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from rewild.config.responses import Compute, Limits, SamplingSettings
from rewild.core.language import language
from rewild.engines.base import About, Completion, Engine, Request, Sampling, Session, Usage
from rewild.generation.prepared import Loaded, Prepared
from rewild.generation.respond import content_hash, respond
from rewild.generation.spec import Source, Spec

AT_ONCE = 4
WORDS = ("water", "light", "code", "music", "rivers", "cities", "numbers", "words")


def digits(request: Request) -> int:
    """A number of a request: its text, seed and history decide."""
    told = json.dumps([[dict(m) for m in request.messages], request.seed])
    return int(sha256(told.encode()).hexdigest(), 16)


def answer(request: Request) -> Completion:
    """Some words; nothing at all for one request in seven, which is then asked again."""
    n = digits(request)
    size = 2 + n % 19
    text = " ".join(WORDS[n >> (3 * i) & 7] for i in range(size)) if n % 7 else " "
    return Completion(text, (), 10, size, "stop")


class Stream(Session):
    """Runs a few requests at a time; each takes as many steps as its answer has words."""

    def __init__(self, engine: Streaming) -> None:
        self.engine = engine
        self.queue: list[tuple[int, Request]] = []
        self.running: dict[int, list[Any]] = {}

    def add(self, number: int, request: Request, sampling: Sampling) -> None:
        self.engine.asked(request)
        self.queue.append((number, request))

    def wait(self) -> list[tuple[int, Completion]]:
        while self.queue and len(self.running) < self.engine.at_once:
            number, request = self.queue.pop(0)
            self.running[number] = [request, 2 + digits(request) % 19]
        self.engine.step(self)
        done = []
        for number, state in list(self.running.items()):
            state[1] -= 1
            if not state[1]:
                done.append((number, answer(state[0])))
                del self.running[number]
        return done


class Streaming(Engine):
    """The engine. ``asked`` hears of each request, ``step`` of each step."""

    def __init__(
        self,
        asked: Callable[[Request], None] = lambda request: None,
        step: Callable[[Stream], None] = lambda stream: None,
        at_once: int = AT_ONCE,
    ) -> None:
        self.asked, self.step, self.at_once = asked, step, at_once

    def stream(self) -> Session:
        return Stream(self)

    def about(self) -> About:
        return About("streaming")

    def usage(self) -> Usage:
        return Usage()


def model(engine: Engine, *, history: str = "reference", chunk: int = 1, window: int = 8) -> Prepared:
    """A model that is made ready, of that engine."""
    spec = Spec(
        study="try",
        seed=1,
        model="m",
        source=Source("m", None, "bf16", 0.0, None),
        engine="openai",
        sampling=SamplingSettings(),
        limits=Limits(context=4096),
        compute=Compute(chunk=chunk, window=window),
        history=history,  # type: ignore[arg-type]
    )
    identity = {"sampling": {}, "history": history}
    return Prepared(spec, None, (4096, 3000, 800), identity, Loaded(lambda: engine))


def talks(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Conversations of one to three user turns."""
    draw = random.Random(seed)
    made = []
    for i in range(count):
        messages = []
        for turn in range(draw.randint(1, 3)):
            messages.append({"role": "user", "content": f"{i} {turn} {draw.choice(WORDS)}"})
            messages.append({"role": "assistant", "content": "well"})
        made.append({"conversation_id": f"c{i:03d}", "language": "English", "messages": messages})
    return made


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    draw, shard = random.Random(seed), talks(30)
    language("The detector is loaded once, before there are children.")
    # A chunk of one conversation is named by it.
    files = {
        sha256((c["conversation_id"] + content_hash(c)).encode()).hexdigest()[:16]: c["conversation_id"]
        for c in shard
    }

    def child(history: str, heard: Path, out: Path | None = None) -> int:
        pid = os.fork()  # nothing here has used threads yet: polars starts its own in the children
        if pid:
            return pid
        try:
            log = os.open(heard, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            engine = Streaming(
                lambda request: os.write(log, f"{request.name}\n".encode()) and None,
                lambda stream: time.sleep(0.0005),
            )
            rows, _ = respond(model(engine, history=history), shard, folder / "work")
            if out:
                rows.write_parquet(out)
            os._exit(0)
        finally:
            os._exit(1)

    def whole(history: str, out: Path) -> bytes:
        assert os.waitpid(child(history, folder / "heard", out), 0)[1] == 0
        shutil.rmtree(folder / "work")
        return out.read_bytes()

    expected = {h: whole(h, folder / "whole.parquet") for h in ("reference", "self")}
    killed: list[dict[str, int]] = []
    rounds: list[bool] = []
    while len(killed) < kills:
        history, before = draw.choice(list(expected)), set[str]()
        while len(before) < len(shard) and len(killed) < kills:
            (heard := folder / "heard").write_text("")
            pid = child(history, heard)
            if draw.random() < 0.9:  # not while it starts
                while not heard.stat().st_size and not os.waitpid(pid, os.WNOHANG)[0]:
                    time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.1))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
            now = {files[f.name[:16]] for f in folder.glob("work/*/[!.]*.parquet")}
            asked = {line.partition("/")[0] for line in heard.read_text().split()}
            killed.append({"again": len(asked & before), "lost": len(asked - now), "gone": len(before - now)})
            before = now
        rounds.append(whole(history, folder / "after.parquet") == expected[history])
    print(json.dumps({"killed": killed, "same": rounds}))


if __name__ == "__main__":
    main()

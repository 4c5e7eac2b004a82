"""What durability and validation cost: the bare engine against the code of the rule, A B A B in one process.

    PYTHONPATH=workflow:tests/engine .envs/engine-cpu/bin/python benchmarks/generate.py [--rounds 9]

A: the engine alone, given the same rendered requests in the same chunks.
B: `respond`: rendering, fitting, generating, checking every row, and a durable file per chunk.

On a machine that is busy with other things A and B vary more by the clock than they differ. The same ratio by
processor time, and the processor time that B spends outside the engine, are therefore printed as well.

Needs nothing but the engine's environment: the model is a Llama with random weights, made here.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from statistics import median

from rewild.config.responses import Compute, Limits, SamplingSettings
from rewild.core.conversations import conversation_id, iter_turns
from rewild.engines import Completion, Request, Sampling, make_engine
from rewild.engines.chat import Chat
from rewild.generation.prepared import Prepared, prepare
from rewild.generation.respond import respond
from rewild.generation.spec import Source, Spec, row_seed
from tiny import WORDS, make_model

CHUNK = 256


def conversations(count: int, seed: int) -> list[dict]:
    """Invented conversations of one to three user turns, 10 to 120 words each."""
    draw = random.Random(seed)
    words = [*WORDS, *("then", "again", "slowly", "in", "a", "small", "town")]
    made = []
    for i in range(count):
        turns = draw.randint(1, 3)
        users = [f"{i} " + " ".join(draw.choices(words, k=draw.randint(10, 120))) for _ in range(turns)]
        messages = []
        for user in users:
            messages.append({"role": "user", "content": user})
            messages.append({"role": "assistant", "content": " ".join(draw.choices(words, k=60))})
        identity = conversation_id(users)
        made.append(
            {"conversation_id": identity, "language": "English", "n_turns": turns, "messages": messages}
        )
    return sorted(made, key=lambda c: c["conversation_id"])


class Timed:
    """An engine that knows how much processor time was spent in it."""

    def __init__(self, engine: object):
        self.engine, self.seconds = engine, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    def generate(self, requests: list[Request], sampling: Sampling) -> list[Completion]:
        """As the engine does."""
        started = time.process_time()
        answers = self.engine.generate(requests, sampling)
        self.seconds += time.process_time() - started
        return answers

    def close(self) -> None:
        """Stay open: the next round uses it."""


def requests_of(talks: list[dict], chat: Chat, tokens: int) -> list[list[Request]]:
    """What B sends to the engine, chunk by chunk."""
    chunks = []
    for start in range(0, len(talks), CHUNK):
        part = [
            (c["conversation_id"], t) for c in talks[start : start + CHUNK] for t in iter_turns(c["messages"])
        ]
        rendered = chat.render([t.prompt for _, t in part])
        chunk = [
            Request("", (), ids, tokens, row_seed(1, "bench", name, turn.index))
            for (name, turn), ids in zip(part, rendered, strict=True)
        ]
        chunks.append(chunk)
    return chunks


def compare(model: Prepared, engine: Timed, talks: list[dict], rounds: int, work: Path) -> None:
    """Run A B A B and print what came of it."""
    chunks = requests_of(talks, model.chat, model.sizes[2])
    # Warm: kernels, the template, the language detector (half a second, once per process).
    respond(model, talks[:16], work / "warm")
    speeds: dict[str, list[float]] = {"bare": [], "ours": []}
    processor: dict[str, list[float]] = {"bare": [], "ours": []}
    outside: list[float] = []
    for turn in range(rounds):
        started, worked = time.perf_counter(), time.process_time()
        answers = [a for chunk in chunks for a in engine.generate(chunk, Sampling())]
        tokens = sum(a.input_tokens + a.output_tokens for a in answers)
        speeds["bare"].append(tokens / (time.perf_counter() - started))
        processor["bare"].append(time.process_time() - worked)

        engine.seconds, started, worked = 0.0, time.perf_counter(), time.process_time()
        rows, _ = respond(model, talks, work / str(turn))
        speeds["ours"].append(tokens / (time.perf_counter() - started))
        processor["ours"].append(time.process_time() - worked)
        outside.append(1 - engine.seconds / processor["ours"][-1])
        assert int(rows["input_tokens"].sum() + rows["output_tokens"].sum()) == tokens, "not the same work"
        print(f"bare {speeds['bare'][-1]:,.0f}, ours {speeds['ours'][-1]:,.0f} tokens/s", flush=True)
    share = median(speeds["ours"]) / median(speeds["bare"])
    cost = median(processor["bare"]) / median(processor["ours"])
    parameters = sum(p.numel() for p in engine.model.parameters())
    print(
        f"{parameters / 1e6:.1f} M parameters, {len(answers)} rows, {tokens:,} tokens: "
        f"ours keeps {share:.1%} of the bare throughput by the clock, {cost:.1%} by processor time "
        f"(medians of {rounds}); "
        f"of its processor time {median(outside):.2%} is outside the engine"
    )


def main() -> None:
    """Read the options, make the model, compare."""
    parser = argparse.ArgumentParser(description="What durability and validation cost beside the bare engine")
    parser.add_argument("--conversations", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--threads", type=int, default=1)
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = make_model(Path(temporary) / "model", context=2048, hidden=o.hidden, layers=o.layers)
        chat = Chat.load(folder, "bench")
        engine = Timed(make_engine("transformers", path=folder, chat=chat, device="cpu", threads=o.threads))
        spec = Spec(
            study="bench",
            seed=1,
            model="bench",
            source=Source(str(folder), None, "fp32", 0.0, 2048),
            engine="transformers",
            sampling=SamplingSettings(),
            limits=Limits(context=2048, max_output=o.tokens, max_input=1500),
            compute=Compute(chunk=CHUNK),
            attempts=1,
        )
        model = prepare(spec, chat, 2048, lambda context: engine)
        compare(model, engine, conversations(o.conversations, 0), o.rounds, Path(temporary) / "work")


if __name__ == "__main__":
    main()

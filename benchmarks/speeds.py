"""Published speeds beside the roofline of the engine plan: which ones it explains, and which it does not.

    PYTHONPATH=workflow python benchmarks/speeds.py        # the table of docs/plan.md, in seconds; no GPU

Each row is somebody else's measurement: what ran, how long requests were, how fast it was, and where that
stands. The roofline's constants were fitted to docs/gpu.md alone, to none of these.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from rewild.config import load_models  # noqa: E402
from rewild.config.assumptions import load_assumptions  # noqa: E402
from rewild.config.gpus import GPUS  # noqa: E402
from rewild.engines.plan import Architecture, architecture_of, plan_on  # noqa: E402
from rewild.engines.roofline import Forecast, Traffic, forecast, traffic  # noqa: E402

TRT = "TensorRT-LLM 1.0 perf-overview (00f37686)"
OLD = "TensorRT-LLM 0.6.1 performance.md (138f96d4)"
LAMBDA = "LambdaLabsML/vllm-benchmark, benchmark_v0.md (0e8fc5d0)"
H100_FP8 = {  # prompt / answer → answer tokens per second of the job: 8B on one, 70B on two, 405B on eight
    (128, 2048): (22_714, 6651, 4340),
    (128, 4096): (14_325, 4199, 3116),
    (500, 2000): (17_660, 5222, 3994),
    (1000, 1000): (15_220, 4205, 2919),
    (2048, 128): (3450, 762, 453),
    (2048, 2048): (9305, 3082, 2296),
    (5000, 500): (3459, 898, 610),
    (20_000, 2000): (1351, 437, 345),
}
A100_FP16 = [  # model, GPUs, sequences, prompt, answer, answer tokens per second and GPU
    ("llama-2-7b-hf", 1, 384, 128, 128, 5586),
    ("llama-2-7b-hf", 1, 60, 128, 2048, 1928),
    ("llama-2-7b-hf", 1, 52, 2048, 128, 591),
    ("meta-llama-3-70b", 4, 240, 128, 2048, 525),
    ("meta-llama-3-70b", 4, 120, 2048, 128, 79),
]
PER_GPU = {  # answer tokens per second of the job on 1, 2, 4, 8 GPUs: vLLM 0.5.4, 320 short prompts, drained
    "H100-80": (418.92, 1727.69, 2242.99, 2572.8),
    "A100-80": (208.79, 662.64, 956.53, 1162.78),
}


@dataclass(frozen=True)
class Row:
    """One published speed and the prediction of the same."""

    what: str
    unit: str
    published: float
    predicted: float
    source: str

    @property
    def ratio(self) -> float:
        """Predicted over published."""
        return self.predicted / self.published

    @property
    def verdict(self) -> str:
        """Whether the roofline explains it."""
        off = max(self.ratio, 1 / self.ratio)
        return "yes" if off <= 1.25 else "roughly" if off <= 2 else "no"


def shape_of(slug: str, precision: str) -> Architecture:
    """A model of models.yaml."""
    return architecture_of(load_models(ROOT / "config")[slug], precision)


def fixed(read: int, written: int) -> Traffic:
    """Requests of one length, of which nothing is in a cache."""
    return Traffic(read, read, written, read + written / 2)


def others() -> Iterator[Row]:
    """Of engines beside vLLM: TensorRT-LLM, with FP8 caches on H100, and graphs for any batch."""
    for at, (slug, gpus) in enumerate((("llama-3.1-8b", 1), ("llama-3.1-70b", 2), ("llama-3.1-405b", 8))):
        shape = shape_of(slug, "fp8")
        made = plan_on(shape, GPUS["H100-80"], gpus)
        for (read, written), speeds in H100_FP8.items():
            use = fixed(read, written)
            many = made.cache_bytes / (shape.sequence_bytes(use.held, gpus) / 2)
            found = forecast(shape, GPUS["H100-80"], made, use, at_once=many, cache_bytes=1)
            what = f"{slug} FP8, {gpus} H100, {read}/{written}"
            yield Row(what, "answer tokens/s", speeds[at], written / found.seconds, TRT)
    for slug, gpus, many, read, written, speed in A100_FP16:
        shape, use = shape_of(slug, "bf16"), fixed(read, written)
        found = forecast(shape, GPUS["A100-80"], plan_on(shape, GPUS["A100-80"], gpus), use, at_once=many)
        what = f"{slug} FP16, {gpus} A100, {many} at once, {read}/{written}"
        yield Row(what, "answer tokens/s/GPU", speed, written / found.seconds / gpus, OLD)


def papers() -> Iterator[Row]:
    """Of the papers at hand."""
    assumed = load_assumptions(ROOT)
    for slug, context, plans, speed in (
        ("llama-2-7b-chat-hf", 2048, (1, 8), 37_357),
        ("qwen2.5-72b-instruct", 20_000, (2, 4), 3163),
    ):
        use = traffic(assumed, round(0.75 * context), round(0.2 * context))
        shape = shape_of(slug, "bf16")
        for gpus in plans:
            made = plan_on(shape, GPUS["H100-80"], gpus)
            found = forecast(shape, GPUS["H100-80"], made, use)
            what = f"{slug}, context {context:,}, {gpus} H100"
            yield Row(what, "tokens/s, read and written", speed, found.rate, "papers/000, section 2.2")
    for slug, name, many, hours in (
        ("meta-llama-3-8b", "Air", 3_000_000, 50),
        ("meta-llama-3-70b", "Pro", 1_000_000, 150),
    ):
        shape = shape_of(slug, "bf16")
        count = 4 if "70b" in slug else 1
        made = plan_on(shape, GPUS["A100-80"], count)
        found = forecast(shape, GPUS["A100-80"], made, MAGPIE)
        taken = many * found.seconds / 3600 / (4 / count)
        what = f"MAGPIE-{name}: {many:,} answers by {slug} on 4 A100"
        yield Row(what, "hours", hours, taken, "papers/003, section 3.4")
    shape = shape_of("llama-3.1-8b", "bf16")
    made = plan_on(shape, GPUS["H100-80"].model_copy(update={"utilization": 0.9}), 1)
    use = Traffic(296, 296, 441, 296 + 441 * math.exp(0.9**2) / 2)
    found = forecast(shape, GPUS["H100-80"], made, use)
    what = "llama-3.1-8b, 1 H100, 2,560 requests, drained"
    yield Row(what, "answer tokens/s", 9785, 441 / found.seconds, "docs/gpu.md")
    slow = GPUS["A100-80"].model_copy(update={"memory_gib": 39.4, "bandwidth_tb": 1.555})
    one = forecast(shape, slow, plan_on(shape, slow, 1), fixed(1024, 128), at_once=1)
    what = "llama-3.1-8b, 1 A100-40, vLLM 0.23, one at a time"
    yield Row(what, "answer tokens/s", 75, 1 / sum(one.parts.values()), "johnmusgrave.com, sweep on an A100")


MAGPIE = Traffic(60, 60, 400, 60 + 400 * math.exp(0.5**2) / 2)
"""Its table 4 is not in our text: 426 and 478 tokens of instruction and answer, as remembered."""


def numbers_of_gpus() -> Iterator[tuple[str, list[float], list[float]]]:
    """Per GPU, Llama-3.1-70B FP8 on 1, 2, 4, 8: published, and predicted for short requests."""
    shape = shape_of("llama-3.1-70b", "fp8")
    for name, speeds in PER_GPU.items():
        found = []
        for gpus in (1, 2, 4, 8):
            made = plan_on(shape, GPUS[name].model_copy(update={"utilization": 0.95}), gpus)
            if not made.fits:  # vLLM 0.5.4 kept less free
                made = replace(made, cache_bytes=4096 * made.kv_bytes)
            many = min(256.0, made.cache_bytes / shape.sequence_bytes(300, gpus))
            at_work: Forecast = forecast(shape, GPUS[name], made, fixed(200, 200), at_once=many)
            found.append(200 / at_work.seconds / gpus)
        yield name, [speed / gpus for speed, gpus in zip(speeds, (1, 2, 4, 8), strict=True)], found


def main() -> None:
    """Print the tables."""
    rows = [*papers(), *others()]
    print("| what | unit | published | predicted | ratio | explained | source |")
    print("|---|---|---:|---:|---:|---|---|")
    for row in rows:
        numbers = f"{row.published:,.0f} | {row.predicted:,.0f} | {row.ratio:.2f}"
        print(f"| {row.what} | {row.unit} | {numbers} | {row.verdict} | {row.source} |")
    print("\n| Llama-3.1-70B FP8, answer tokens/s/GPU | 1 | 2 | 4 | 8 |\n|---|---:|---:|---:|---:|")
    for name, published, predicted in numbers_of_gpus():
        for who, speeds in (("published", published), ("predicted", predicted)):
            print(f"| {name}, {who} | " + " | ".join(f"{speed:,.0f}" for speed in speeds) + " |")
    print(f"\nvLLM 0.5.4: {LAMBDA}")


if __name__ == "__main__":
    main()

"""Answers as unequal as WildChat's: our stream beside one bare call of vLLM, and both beside the roofline.

    benchmarks/gpu/run.sh speed                              the plan's shapes that fit on one GPU
    … python benchmarks/gpu/speed.py SHAPE [--precision fp8] one of them

Also a step of decoding by the number of sequences, and prefill: what the roofline's constants are made of.
Weights have random values, so nothing is rendered, checked or written: benchmarks/feed.py has that part.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from feed import Lengths, lengths_of_gpu
from gpu.common import KINDS, Found, before_vllm, gpu_at_hand, make_config, parser_for
from gpu.plan import LONGEST, SHARE, gpu_type, planned, start

WINDOW = 2048  # requests in the engine's queue, as a study has it by default
PREFILL = (8, 4096)  # prompts, and the tokens of each
MEASURED = (1, 8, 64, 128, 256, 512, 1024)  # sequences at once
SHORT, LONG = 8, 72  # tokens: the difference is of decoding alone
HELD = 300  # tokens of a sequence while a step is measured: 256 and half of what is written


def requests_of(lengths: Lengths, vocabulary: int, seed: int) -> list[Any]:
    """Random prompts of these lengths, with answers of these lengths."""
    from rewild.engines.base import Request

    draw = random.Random(seed)
    return [
        Request(str(i), (), tuple(draw.randrange(3, vocabulary) for _ in range(read)), written, seed=i)
        for i, (read, written) in enumerate(lengths)
    ]


def written_as_asked(requests: Sequence[Any], counts: Sequence[int]) -> None:
    """Stop if an answer has another length than it was to have: the two ways would not do the same work."""
    other = [r.name for r, count in zip(requests, counts, strict=True) if count != r.max_tokens]
    assert not other, f"{len(other)} of {len(requests)} answers are not as long as was asked: {other[:3]}"


def bare(engine: Any, requests: Sequence[Any]) -> float:
    """Seconds of one ``LLM.generate`` of everything."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    prompts = [{"prompt_token_ids": list(r.tokens)} for r in requests]
    final = RequestOutputKind.FINAL_ONLY
    settings = [SamplingParams(max_tokens=r.max_tokens, seed=r.seed, output_kind=final) for r in requests]
    engine.llm.reset_prefix_cache()
    started = time.perf_counter()
    done = engine.llm.generate(prompts, settings, use_tqdm=False)
    spent = time.perf_counter() - started
    written_as_asked(requests, [len(output.outputs[0].token_ids) for output in done])
    return spent


def ours(engine: Any, requests: Sequence[Any]) -> float:
    """Seconds of the same through the loop that feeds every engine."""
    from rewild.engines.base import Sampling
    from rewild.generation.feed import feed

    counts = [0] * len(requests)

    def strand(number: int) -> Any:
        done = yield requests[number], Sampling()
        counts[number] = done.output_tokens or 0

    works = ((number, [strand(number)]) for number in range(len(requests)))
    engine.llm.reset_prefix_cache()
    started = time.perf_counter()
    feed(engine, works, lambda _: None, window=WINDOW, who="speed")
    spent = time.perf_counter() - started
    written_as_asked(requests, counts)
    return spent


class Roofline:
    """What :mod:`rewild.engines.roofline` expects of one shape on one GPU."""

    def __init__(self, row: Any, precision: str, gpu: Any, lengths: Lengths) -> None:
        from rewild.engines.plan import architecture_of
        from rewild.engines.roofline import Traffic, forecast

        shape, made = architecture_of(row, precision), planned(row, precision, gpu)
        self.vocabulary = shape.vocabulary
        read = sum(p for p, _ in lengths) / len(lengths)
        wrote = sum(a for _, a in lengths) / len(lengths)
        held = read + sum(a * a for _, a in lengths) / len(lengths) / (2 * wrote)
        self.whole = forecast(shape, gpu, made, Traffic(read, read, wrote, held))
        self.answer_tokens_per_s = wrote / self.whole.seconds
        long = float(PREFILL[1])
        self.prefill_tokens_per_s = long / forecast(shape, gpu, made, Traffic(long, long, 1, long)).prefill
        self._step = lambda n: forecast(shape, gpu, made, Traffic(HELD, HELD, 1, HELD), at_once=float(n))

    def step_ms(self, sequences: int) -> float:
        """Of a step of decoding, for so many sequences."""
        return 1000 * sum(self._step(sequences).parts.values())


def beside(found: dict[str, Any]) -> list[str]:
    """A Markdown table of what was measured and expected."""
    expected = found["expected"]
    rows = [("prefill, tokens/s", found.get("prefill_tokens_per_s"), expected["prefill_tokens_per_s"])]
    for n, ms in found.get("step_ms", {}).items():
        rows.append((f"a step of {n} sequences, ms", ms, expected["step_ms"][n]))
    for name, way in (("one bare call", "bare"), ("ours", "ours")):
        rate = found.get(f"{way}_answer_tokens_per_s")
        rows.append((f"{name}, answer tokens/s", rate, expected["answer_tokens_per_s"]))
    lines = ["| | measured | roofline | measured / roofline |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {m:,.4g} | {e:,.4g} | {m / e:.2f} |" for name, m, e in rows if m is not None]
    if found["precision"] == "bf16" and "prefill_tokens_per_s" in found:
        more = found["prefill_tokens_per_s"] / expected["prefill_tokens_per_s"]
        lines.append(f"resources/cost/assumptions.yaml, roofline, arithmetic: times {more:.3f}")
    return [*lines, f"ours keeps {found['share']:.1%} of the bare call"] if "share" in found else lines


def measure(shape: str, precision: str, small: bool, seconds: float, out: Path | None) -> None:
    """Start the engine on one shape, and measure."""
    before_vllm()
    from rewild.engines.plan import architecture_of

    with TemporaryDirectory() as name:
        row = make_config(Path(name), shape, LONGEST)
        about = gpu_at_hand(small, architecture_of(row, precision).weight_bytes)
        kind, gpu = gpu_type(about, SHARE)
        context = min(planned(row, precision, gpu).context or LONGEST, row.native_context, LONGEST)
        make_config(Path(name), shape, context)
        most = min(4096, context // 2 - 8)
        sample = [(min(p, most), min(a, most)) for p, a in lengths_of_gpu(2560)]
        expected = Roofline(row, precision, gpu, sample)
        count = 48 if small else round(min(2560, max(64, seconds / expected.whole.seconds)))
        # vLLM's CPU build cannot draw with a seed for a prompt that two steps share: short ones there.
        lengths = [(min(p, 64), min(a, 64)) for p, a in sample[:count]] if small else sample[:count]
        found = Found(out, shape=shape, precision=precision, type=kind, context=context, **about)
        started = time.perf_counter()
        engine = start(Path(name), precision, context, **({"enforce_eager": True} if small else {}))
        try:
            found.add(start_s=round(time.perf_counter() - started, 1))
            run(engine, expected, lengths, found, small)
        finally:  # its process would be waited for
            engine.close()
        print("\n".join(beside(found.all)), flush=True)


def run(engine: Any, expected: Roofline, lengths: Lengths, found: Found, small: bool) -> None:
    """Steps, prefill, then everything at once in both ways."""
    settings = engine.llm.llm_engine.vllm_config
    kv_tokens = settings.cache_config.num_gpu_blocks * settings.cache_config.block_size
    at_once, vocabulary = settings.scheduler_config.max_num_seqs, expected.vocabulary
    found.add(
        kv_tokens=kv_tokens,
        max_num_seqs=at_once,
        requests=len(lengths),
        expected={
            "sequences": round(expected.whole.sequences),
            "answer_tokens_per_s": round(expected.answer_tokens_per_s),
            "prefill_tokens_per_s": round(expected.prefill_tokens_per_s),
            "step_ms": {},
        },
    )

    def once(number: int, read: int, written: int, seed: int) -> float:
        return bare(engine, requests_of([(read, written)] * number, vocabulary, seed))

    once(8, 64, 8, 0)  # warm
    long = 256 if small else min(PREFILL[1], found.all["context"] - 8)
    found.add(prefill_tokens_per_s=round(PREFILL[0] * long / once(PREFILL[0], long, 1, 1)))
    steps: dict[int, float] = {}
    for n in (1, 8) if small else MEASURED:
        if n * (256 + LONG) > kv_tokens or n > at_once:
            break
        least, greatest = (once(n, 256, written, written) for written in (SHORT, LONG))
        steps[n] = round(1000 * (greatest - least) / (LONG - SHORT), 3)
        found.all["expected"]["step_ms"][n] = round(expected.step_ms(n), 3)
        found.add(step_ms=steps)
    requests, wrote = requests_of(lengths, vocabulary, 2), sum(a for _, a in lengths)
    found.add(answer_tokens=wrote)
    for way, answer in (("bare", bare), ("ours", ours)):
        spent = answer(engine, requests)
        found.add(**{f"{way}_s": round(spent, 2), f"{way}_answer_tokens_per_s": round(wrote / spent)})
    found.add(share=round(found.all["bare_s"] / found.all["ours_s"], 4))


def main() -> None:
    """Read the options."""
    parser = parser_for(__doc__)
    parser.add_argument("shape", choices=[*KINDS, "small"])
    parser.add_argument("--precision", choices=["bf16", "fp8"], default="bf16")
    parser.add_argument(
        "--seconds", type=float, default=20, help="that a bare call should take, by the roofline"
    )
    options = parser.parse_args()
    measure(options.shape, options.precision, options.small, options.seconds, options.out)


if __name__ == "__main__":
    main()

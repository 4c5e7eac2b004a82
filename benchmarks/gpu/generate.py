"""Generation with vLLM on one GPU and weights of no meaning: times and memory are real, texts are not.

    python benchmarks/gpu/generate.py SHAPE [--precision fp8] [--requests 2560] [--out FILE]

For a shape of the study: how long the engine takes to start, what room it leaves for its KV cache, how long a
step of decoding takes by the number of sequences, and how many tokens a second come of requests with answers
as unequal as WildChat's, all at once and in chunks that are each waited for. It needs vLLM and no network.
Prints one JSON object; docs/gpu.md has what was measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # the engine's own figures are read below
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from vllm import LLM, SamplingParams

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu"}
QWEN = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu"}
GEMMA = {
    "model_type": "gemma2",
    "architectures": ["Gemma2ForCausalLM"],
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "tie_word_embeddings": True,
}
KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
SHAPES: dict[str, tuple[dict[str, Any], tuple[int, ...], int, int]] = {
    # family, (KEYS), head size, vocabulary: as in config/models.yaml
    "llama-3.1-8b-instruct": (LLAMA, (4096, 14336, 32, 32, 8), 128, 128_256),
    "gemma-2-9b-it": (GEMMA, (3584, 14336, 42, 16, 8), 256, 256_000),
    "qwen2.5-coder-32b-instruct": (QWEN, (5120, 27648, 64, 40, 8), 128, 152_064),
    "yi-1.5-34b-chat": (LLAMA, (7168, 20480, 60, 56, 8), 128, 64_000),
    "small": (LLAMA, (128, 128, 2, 4, 2), 32, 512),
}
CHUNK = 640  # requests of the 256 conversations of a chunk


def make(folder: Path, shape: str, context: int) -> None:
    family, numbers, head, vocabulary = SHAPES[shape]
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "rms_norm_eps": 1e-5}
    config = (
        family | dict(zip(KEYS, numbers, strict=True)) | ends | {"head_dim": head, "vocab_size": vocabulary}
    )
    config |= {"max_position_embeddings": context, "rope_theta": 500_000.0, "torch_dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def lengths(count: int, mean: float, sigma: float, most: int, seed: int) -> list[int]:
    """Lognormal lengths of a given mean, in tokens."""
    draw = random.Random(seed)
    scale = mean / math.exp(sigma**2 / 2)
    return [min(most, max(4, round(scale * math.exp(sigma * draw.gauss(0, 1))))) for _ in range(count)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--precision", choices=["bf16", "fp8"], default="bf16")
    parser.add_argument("--context", type=int, default=16_384)
    parser.add_argument("--requests", type=int, default=2560)
    parser.add_argument("--share", type=float, default=0.9, help="of the GPU's memory")
    parser.add_argument("--sequences", type=int, help="at once, at most; vLLM's own number by default")
    parser.add_argument("--eager", action="store_true", help="no CUDA graphs")
    parser.add_argument("--seeds", action="store_true", help="also with a seed of its own for each request")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    found: dict[str, Any] = {k: v for k, v in vars(options).items() if k != "out"}

    def report(**more: Any) -> None:
        found.update(more)
        print(json.dumps(more), file=sys.stderr, flush=True)
        if options.out:
            options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")

    with TemporaryDirectory() as name:
        make(Path(name), options.shape, options.context)
        started = time.perf_counter()
        llm = LLM(
            model=name,
            skip_tokenizer_init=True,
            load_format="dummy",
            dtype="bfloat16",
            max_model_len=options.context,
            gpu_memory_utilization=options.share,
            quantization="fp8" if options.precision == "fp8" else None,
            enforce_eager=options.eager,
            max_num_seqs=options.sequences,
            enable_prefix_caching=False,
            seed=0,
        )
        settings = llm.llm_engine.vllm_config
        report(
            start_s=round(time.perf_counter() - started, 1),
            kv_tokens=settings.cache_config.num_gpu_blocks * settings.cache_config.block_size,
            max_num_seqs=settings.scheduler_config.max_num_seqs,
            max_num_batched_tokens=settings.scheduler_config.max_num_batched_tokens,
            memory=memory(),
        )
        vocabulary = SHAPES[options.shape][3]
        draw = random.Random(0)

        def run(asked: list[int], answered: list[int], seeded: bool = False) -> float:
            prompts = [{"prompt_token_ids": [draw.randrange(3, vocabulary) for _ in range(n)]} for n in asked]
            wanted = [
                SamplingParams(max_tokens=n, ignore_eos=True, detokenize=False, seed=i if seeded else None)
                for i, n in enumerate(answered)
            ]
            begun = time.perf_counter()
            done = llm.generate(prompts, wanted, use_tqdm=False)
            spent = time.perf_counter() - begun
            assert [len(output.outputs[0].token_ids) for output in done] == answered
            return spent

        run([64] * 8, [8] * 8)
        steps = {}
        for sequences in (1, 8, 64, 256, 512, 1024):
            if sequences * 400 > found["kv_tokens"] or sequences > found["max_num_seqs"]:
                break
            short, long = (run([256] * sequences, [n] * sequences) for n in (8, 72))
            steps[sequences] = round(1000 * (long - short) / 64, 3)
            report(step_ms=steps)
        begun = run([4096] * 8, [1] * 8)
        report(prefill_tokens_per_s=round(8 * 4096 / begun))
        asked = lengths(options.requests, 296, 1.2, 4096, 1)
        answered = lengths(options.requests, 441, 0.9, 4096, 2)
        at_once = run(asked, answered)
        report(answer_tokens=sum(answered), prompt_tokens=sum(asked), at_once_s=round(at_once, 2))
        if options.seeds:
            seeded = run(asked, answered, seeded=True)
            report(seeded_s=round(seeded, 2), seeded_tokens_per_s=round(sum(answered) / seeded))
        drained = 0.0
        for i in range(0, options.requests, CHUNK):
            drained += run(asked[i : i + CHUNK], answered[i : i + CHUNK])
        report(
            chunks_s=round(drained, 2),
            at_once_tokens_per_s=round(sum(answered) / at_once),
            chunks_tokens_per_s=round(sum(answered) / drained),
            lost_by_chunks=round(1 - at_once / drained, 4),
        )
    print(json.dumps(found))


def memory() -> dict[str, float]:
    """GiB on the GPU; nothing on a CPU."""
    import torch

    if not torch.cuda.is_available():
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"used_gib": round((total - free) / 2**30, 2), "total_gib": round(total / 2**30, 2)}


if __name__ == "__main__":
    main()

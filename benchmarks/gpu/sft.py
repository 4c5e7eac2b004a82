"""See sft.sh. Prints a Markdown table, for docs/."""

from __future__ import annotations

import argparse
import random
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rewild.config.models import Model
from rewild.config.recipes import ChatTemplate, Recipe, load_recipes
from rewild.config.trainings import Training, Weights
from rewild.training.runs.checks import as_markdown
from rewild.training.runs.gates import first_preference_loss, precision
from rewild.training.runs.layout import RunFiles
from rewild.training.runs.preflight import preflight
from rewild.training.runs.train import train
from tiny import TEMPLATE, WORDS, make_tokenizer

# The dimensions of Llama-3.2-1B.
LLAMA_1B = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "vocab_size": 128_256}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 512}


def make_base(folder: Path, shape: dict[str, int], context: int) -> Path:
    """A Llama with random weights, and a tiny tokenizer: its words are all that the conversations use."""
    heads = shape["hidden_size"] // (64 if shape["hidden_size"] > 64 else 16)
    config = LlamaConfig(
        **shape,
        num_attention_heads=heads,
        num_key_value_heads=max(2, heads // 4),
        max_position_embeddings=context,
        rope_theta=500_000.0,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=6,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config)
    model.to(torch.bfloat16 if shape is LLAMA_1B else torch.float32).save_pretrained(folder)
    make_tokenizer(None).save_pretrained(folder)
    return folder


def make_mix(path: Path, tokens: int, words: int) -> Path:
    """Invented conversations of one turn, about so many tokens in all."""
    draw = random.Random(0)
    rows = []
    for i in range(tokens // words + 2):
        length = draw.randint(words // 2, words)
        texts = [" ".join(draw.choices(WORDS, k=k)) for k in (max(4, length // 4), length)]
        chat = [{"role": r, "content": t} for r, t in zip(("user", "assistant"), texts, strict=True)]
        rows.append({"id": f"invented/{i}", "messages": chat})
    pl.DataFrame(rows).write_parquet(path)
    return path


def make_pairs(path: Path, count: int, words: int) -> Path:
    """Invented pairs of answers, each about so many tokens with its prompt."""
    draw = random.Random(1)

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(least, most)))

    rows = []
    for i in range(count):
        prompt, better, worse = text(4, words // 4), text(words // 2, words), text(words // 2, words)
        rows.append(
            {
                "id": f"invented/{i}",
                "messages": [{"role": "user", "content": prompt}],
                "chosen": {"role": "assistant", "content": better},
                "rejected": {"role": "assistant", "content": worse},
            }
        )
    pl.DataFrame(rows).write_parquet(path)
    return path


def recipe_of(kind: str, small: bool, attention: str) -> Recipe:
    """The study's recipe of this kind on one GPU; the demo's on a CPU."""
    recipes = load_recipes(Path("config"))
    if small:
        name = "demo" if kind == "sft" else "demo-dpo"
        return recipes[name].model_copy(update={"epochs": 1, "sequence_length": 128})
    name = "wildchat50m" if kind == "sft" else "magpie-dpo"
    return recipes[name].model_copy(update={"gpus": 1, "fsdp": None, "attention": attention})


def main() -> None:
    parser = argparse.ArgumentParser(
        description="The recipes on one GPU: tokens per second, memory, and where a preference loss begins"
    )
    parser.add_argument("--small", action="store_true", help="a tiny shape on the CPU, to try this script")
    parser.add_argument("--steps", type=int, default=12, help="optimiser steps")
    flash = "flash_attention_2" if find_spec("flash_attn") else "sdpa"
    parser.add_argument(
        "--attention", default=flash, help="flash_attention_2 or sdpa (default: what is installed)"
    )
    parser.add_argument("--kind", choices=("sft", "dpo", "both"), default="both", help="what to train")
    options = parser.parse_args()
    if not options.small and not torch.cuda.is_available():
        sys.exit("no NVIDIA GPU is visible to torch; `--small` tries the script on the CPU")
    shape = SMALL if options.small else LLAMA_1B
    threads = 1 if options.small else 8
    kinds = ("sft", "dpo") if options.kind == "both" else (options.kind,)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "chat.jinja").write_text(TEMPLATE, encoding="utf-8")
        recipes = {kind: recipe_of(kind, options.small, options.attention) for kind in kinds}
        base = make_base(folder / "base", shape, max(r.sequence_length for r in recipes.values()))
        wrong = [
            said
            for kind, recipe in recipes.items()
            if (said := measure(folder, base, shape, kind, recipe, steps=options.steps, threads=threads))
        ]
    if wrong:
        sys.exit("\n".join(wrong))


def measure(
    folder: Path, base: Path, shape: dict[str, int], kind: str, recipe: Recipe, *, steps: int, threads: int
) -> str:
    """Train for some steps and print what was measured; what is wrong with it, or nothing."""
    data = folder / f"{kind}.parquet"
    words = recipe.sequence_length // 8
    if kind == "sft":
        make_mix(data, steps * recipe.batch * recipe.sequence_length, words)
    else:
        make_pairs(data, steps * recipe.batch, words)
    row = Model(slug="base", family="tiny", roles=["base"], kind="pretrained", chat_template=False)
    template = ChatTemplate(file=str(folder / "chat.jinja"), end_of_turn="<|end|>", pad=None)
    start = Weights(str(base), None, True, False, row)
    training = Training("benchmark", kind, "invented", recipe, 0, start, template)
    files = RunFiles(folder / "results", "benchmark", kind)

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    print(as_markdown(preflight(training, data, files, threads, say)))
    done = train(training, data, files, threads, say)
    machine = done.hardware.get("gpu", "CPU")
    print(f"{recipe.title} ({recipe.attention}, {recipe.precision}) on {machine}, {done.versions}\n")
    print(
        "| parameters | sequence | per step | steps | tokens/s | trained tokens/s | peak memory, GB | loss |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    parameters = shape["vocab_size"] * shape["hidden_size"] + shape["num_hidden_layers"] * (
        3 * shape["hidden_size"] * shape["intermediate_size"] + 5 * shape["hidden_size"] ** 2 // 2
    )
    print(
        f"| {parameters / 1e6:,.1f} M | {recipe.sequence_length:,} | {recipe.batch} | {done.steps} "
        f"| {done.tokens_per_second or 0:,.0f} | {done.trained_tokens_per_second or 0:,.0f} "
        f"| {done.peak_memory / 1e9:.1f} | {done.first_loss:.4f} → {done.last_loss:.4f} |"
    )
    checks = [precision(done.parameters, done.optimizer, done.compute, recipe.precision)]
    checks += [first_preference_loss(done.first_loss)] if kind == "dpo" else []
    print(f"\n{'; '.join(check.found for check in checks)}; stored: {done.saved}\n")
    return "; ".join(check.remedy for check in checks if not check.passed)


if __name__ == "__main__":
    main()

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
from tiny import TEMPLATE, WORDS, make_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from rewild.config.models import Model
from rewild.config.recipes import ChatTemplate, Recipe, load_recipes
from rewild.config.runs import Training, Weights
from rewild.runs.checks import as_markdown
from rewild.runs.gates import precision
from rewild.runs.layout import RunFiles
from rewild.runs.preflight import preflight
from rewild.runs.train import train

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


def recipe_of(small: bool, attention: str) -> Recipe:
    """The paper's recipe on one GPU; the demo's on a CPU."""
    recipes = load_recipes(Path("config"))
    if small:
        return recipes["demo"].model_copy(update={"epochs": 1, "sequence_length": 128})
    return recipes["wildchat50m"].model_copy(update={"gpus": 1, "fsdp": None, "attention": attention})


def main() -> None:
    parser = argparse.ArgumentParser(
        description="The paper's recipe on one GPU: tokens per second and memory"
    )
    parser.add_argument("--small", action="store_true", help="a tiny shape on the CPU, to try this script")
    parser.add_argument("--steps", type=int, default=12, help="optimiser steps")
    flash = "flash_attention_2" if find_spec("flash_attn") else "sdpa"
    parser.add_argument(
        "--attention", default=flash, help="flash_attention_2 or sdpa (default: what is installed)"
    )
    options = parser.parse_args()
    if not options.small and not torch.cuda.is_available():
        sys.exit("no NVIDIA GPU is visible to torch; `--small` tries the script on the CPU")
    recipe = recipe_of(options.small, options.attention)
    shape = SMALL if options.small else LLAMA_1B
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "chat.jinja").write_text(TEMPLATE, encoding="utf-8")
        base = make_base(folder / "base", shape, recipe.sequence_length)
        words = recipe.sequence_length // 8
        mix = make_mix(folder / "train.parquet", options.steps * recipe.batch * recipe.sequence_length, words)
        row = Model(slug="base", family="tiny", roles=["base"], kind="pretrained", chat_template=False)
        template = ChatTemplate(file=str(folder / "chat.jinja"), end_of_turn="<|end|>", pad=None)
        start = Weights(str(base), None, True, False, row)
        training = Training("benchmark", "sft", "invented", recipe, 0, start, template)
        files = RunFiles(folder / "results", "benchmark", "sft")

        def say(line: str) -> None:
            print(line, file=sys.stderr)

        report = preflight(training, mix, files, 1 if options.small else 8, say)
        print(as_markdown(report))
        done = train(training, mix, files, 1 if options.small else 8, say)
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
        f"| {done.peak_memory / 1e9:.1f} | {done.first_loss:.2f} → {done.last_loss:.2f} |"
    )
    check = precision(done.parameters, done.optimizer, done.compute, recipe.precision)
    print(f"\n{check.found}; stored: {done.saved}")
    if not check.passed:
        sys.exit(check.remedy)


if __name__ == "__main__":
    main()

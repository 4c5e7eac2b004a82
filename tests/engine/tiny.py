"""Tiny Llamas with random weights and a tokenizer trained here: real transformers, no download.

``python tiny.py FOLDER [SEED]`` makes one.
"""

from __future__ import annotations

import random
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

WORDS = [
    *("the", "a", "model", "answers", "question", "with", "words", "and"),
    *("numbers", "about", "rivers", "cities", "music", "code", "light", "water"),
]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def make_tokenizer(template: str | None = TEMPLATE):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<|bos|>", "<|eos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|pad|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    draw = random.Random(0)
    text = [" ".join(draw.choices(WORDS, k=20)) for _ in range(200)]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(text, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|eos|>", pad_token="<|pad|>"
    )
    fast.chat_template = template
    return fast


def make_model(
    folder: Path,
    seed: int = 0,
    *,
    template: str | None = TEMPLATE,
    context: int = 512,
    hidden: int = 64,
    layers: int = 2,
) -> Path:
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(template)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=6,
    )
    model = LlamaForCausalLM(config)
    # Sharper than chance, so that answers have different lengths and greedy ones are stable.
    model.lm_head.weight.data.mul_(12)
    model.lm_head.weight.data[[1, 2, 5]] *= 1.6  # end tokens come up early and late
    model.generation_config = GenerationConfig(eos_token_id=[1, 5], pad_token_id=6, bos_token_id=0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def parrot(folder: Path, *pieces: str, template: str = TEMPLATE, context: int = 2048) -> Path:
    """A tiny model that says one thing, whatever it is asked: each token alone decides which one follows."""
    from transformers import AutoTokenizer

    make_model(folder, context=context, template=template)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(pieces))
    (first,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    said = tokenizer.convert_tokens_to_ids([*pieces, "<|end|>"])
    return recite(folder, tokenizer, [first, *said])


def recite(folder: Path, tokenizer: Any, chain: list[int], sharp: float = 1) -> Path:
    """Make the model in a folder say a chain of tokens: each follows the one before it."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for layer in model.model.layers:  # what stands in the text plays no part
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        known = model.model.embed_tokens.weight
        known.copy_(torch.nn.functional.normalize(torch.randn(known.shape), dim=1))
        model.lm_head.weight.zero_()
        for token, following in pairwise(chain):
            model.lm_head.weight[following] += sharp * known[token]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    make_model(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)

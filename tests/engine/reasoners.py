"""Tiny models that reason: templates of our own with the markers of some families, models made to think."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rewild.config.base import validate
from rewild.config.reasoning import Reasoning
from rewild.engines.chat import Chat
from tiny import make_model, make_tokenizer, recite

_PLAIN = "{% for m in messages %}<|{{ m['role'] }}|>\n"
# Reasoning is a key of a message, and kept in the last turn only; it can be told not to reason (Qwen3).
SWITCH = (
    _PLAIN + "{% if m['role'] == 'assistant' and loop.last %}<think>\n{{ m.get('reasoning_content', '') }}\n"
    "</think>\n\n{% endif %}{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
# The header begins reasoning, and what an answer has of it is cut off (DeepSeek-R1).
HEADED = (
    _PLAIN + "{% if '</think>' in m['content'] %}{{ m['content'].split('</think>')[-1] }}{% else %}"
    "{{ m['content'] }}{% endif %}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n<think>\n"
    "{% endif %}"
)
# Channels, each a message of its own; an answer without reasoning begins otherwise (gpt-oss).
CHANNELS = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{% if m.thinking and loop.last %}"
    "<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}<|end|>{% endif %}"
    "<|start|>assistant<|channel|>final<|message|>{{ m['content'] }}"
    "{{ '<|return|>' if loop.last else '<|end|>' }}{% else %}<|start|>"
    "{{ m['role'] }}<|message|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
# Headings in ordinary words, which the system prompt asks for where it is told to (Granite 3.2).
WORDED = (
    "{% if thinking %}<|system|>\nThink first, after 'Here is my thought process:', and answer after "
    "'Here is my response:'.<|end|>\n{% endif %}" + _PLAIN + "{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TOKENS = {
    SWITCH: ["<think>", "</think>"],
    HEADED: ["<think>", "</think>"],
    CHANNELS: ["<|start|>", "<|channel|>", "<|message|>", "<|return|>"],
    WORDED: [],
}
ASKED = [{"role": "user", "content": "water"}]


def tokenizer_of(template: str) -> Any:
    tokenizer = make_tokenizer(template)
    tokenizer.add_tokens(TOKENS[template])
    return tokenizer


def chat_of(template: str, **reasoning: Any) -> Chat:
    return Chat(tokenizer_of(template), "r", reasoning=validate(Reasoning, reasoning, "reasoning"))


def thinker(folder: Path, template: str, said: str, *, endless: bool = False, hidden: int = 64) -> Path:
    """A tiny model that says one thing to everything, each token by the one before it; these must differ.

    Args:
        folder: where it is made.
        template: its chat template, whose prompts end in a line break.
        said: markers and words, with the spaces between them.
        endless: say its last token for ever.
        hidden: its width; vLLM on a CPU wants 256.
    """
    make_model(folder, context=512, template=template, hidden=hidden)
    tokenizer = tokenizer_of(template)
    ids = tokenizer(said, add_special_tokens=False)["input_ids"]
    (first,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    chain = [first, *ids, ids[-1] if endless else tokenizer.convert_tokens_to_ids("<|end|>")]
    assert len(set(chain[:-1])) == len(chain) - 1, tokenizer.convert_ids_to_tokens(chain)
    return recite(folder, tokenizer, chain, sharp=30)

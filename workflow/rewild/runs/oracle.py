"""What should be trained, worked out without Axolotl: which tokens of a conversation are the assistant's.

The chat is rendered a message at a time, as an engine renders it when it serves the model. What a message
adds after the assistant's header, up to and with the end of the turn, is the assistant's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Message = dict[str, str]


def spans(
    tokenizer: Any, template: str, messages: Sequence[Message], end: str
) -> tuple[str, list[tuple[int, int]]]:
    """``(text, spans)``: the rendered chat, and where in it the assistant's turns are, in characters.

    Args:
        tokenizer: a Hugging Face tokenizer.
        template: the chat template.
        messages: the conversation.
        end: the end-of-turn token; it belongs to its turn.
    """

    def render(count: int, answer: bool) -> str:
        return str(
            tokenizer.apply_chat_template(
                list(messages[:count]), chat_template=template, tokenize=False, add_generation_prompt=answer
            )
        )

    found = []
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            start, whole = len(render(index, True)), render(index + 1, False)
            stop = whole.rfind(end)
            found.append((start, stop + len(end) if stop >= start else len(whole)))
    return render(len(messages), False), found


def prompt(tokenizer: Any, template: str, messages: Sequence[Message]) -> list[int]:
    """The tokens that an engine gives the model before its first answer."""
    first = next((i for i, m in enumerate(messages) if m["role"] == "assistant"), len(messages))
    text = tokenizer.apply_chat_template(
        list(messages[:first]), chat_template=template, tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def expected(
    tokenizer: Any, template: str, messages: Sequence[Message], end: str
) -> tuple[list[int], list[bool]]:
    """``(ids, trained)``: the conversation's tokens, and for each whether it is to be trained."""
    text, assistant = spans(tokenizer, template, messages, end)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    trained, at = [], 0
    for start, stop in encoded["offset_mapping"]:
        while at < len(assistant) and start >= assistant[at][1]:
            at += 1
        trained.append(at < len(assistant) and start >= assistant[at][0] and stop <= assistant[at][1])
    return list(encoded["input_ids"]), trained

"""What should be trained, worked out without Axolotl: which tokens of a conversation are the assistant's.

The chat is rendered a message at a time, as an engine renders it when it serves the model. What a message
adds after the assistant's header, up to and with the end of the turn, is the assistant's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewild.engines.chat import Chat
from rewild.engines.thinking import keyed

Message = dict[str, str]
NOTHING: Mapping[str, Any] = {}


def spans(
    tokenizer: Any, template: str, messages: Sequence[Message], end: str, told: Mapping[str, Any] = NOTHING
) -> tuple[str, list[tuple[int, int]]]:
    """``(text, spans)``: the rendered chat, and where in it the assistant's turns are, in characters.

    Args:
        tokenizer: a Hugging Face tokenizer.
        template: the chat template.
        messages: the conversation.
        end: the end-of-turn token; it belongs to its turn.
        told: what the template is told besides.
    """

    def render(count: int, answer: bool) -> str:
        return str(
            tokenizer.apply_chat_template(
                keyed(messages[:count], template),
                chat_template=template,
                tokenize=False,
                add_generation_prompt=answer,
                **told,
            )
        )

    found, whole, last = [], render(len(messages), False), len(messages) - 1
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            # An earlier answer may be written otherwise than the last one (without its reasoning).
            start = len(render(index, True))
            stop = whole.rfind(end) if index == last else whole.find(end, start)
            until = len(whole) if index == last else len(render(index + 1, False))
            found.append((start, stop + len(end) if stop >= start else until))
    return whole, found


def prompt(chat: Chat, messages: Sequence[Message]) -> list[int]:
    """The tokens that an engine gives the model before its first answer.

    Raises:
        ValueError: the template refuses the conversation.
    """
    first = next((i for i, m in enumerate(messages) if m["role"] == "assistant"), len(messages))
    tokens = chat.render([messages[:first]])[0]
    if isinstance(tokens, ValueError):
        raise tokens
    return list(tokens)


def expected(
    tokenizer: Any, template: str, messages: Sequence[Message], end: str, told: Mapping[str, Any] = NOTHING
) -> tuple[list[int], list[bool]]:
    """``(ids, trained)``: the conversation's tokens, and for each whether it is to be trained.

    Of a conversation whose contents spell no control token: text and characters say it. See :func:`as_text`.
    """
    text, assistant = spans(tokenizer, template, messages, end, told)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    trained, at = [], 0
    for start, stop in encoded["offset_mapping"]:
        while at < len(assistant) and start >= assistant[at][1]:
            at += 1
        trained.append(at < len(assistant) and start >= assistant[at][0] and stop <= assistant[at][1])
    return list(encoded["input_ids"]), trained


def as_text(chat: Chat, messages: Sequence[Message], end: int) -> tuple[list[int], list[bool]]:
    """As :func:`expected`, where contents may spell control tokens: turn by turn, as an engine would ask.

    A turn is what comes after the prompt that an engine would give for it, up to the first token that ends it
    and is not content.
    """
    made = chat.encode_chat(messages)
    trained = [False] * len(made.tokens)
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        asked = chat.render([messages[:i]])[0]
        if isinstance(asked, ValueError):
            raise asked
        at = len(asked)
        while at < len(made.tokens):
            trained[at] = True
            if made.tokens[at] == end and made.owners[at] != i:
                break
            at += 1
    return list(made.tokens), trained

"""Prompts that fit: what to do with a chat that is longer than a model may read.

The policies are named in the study and recorded per row:

``skip``                  the row is a failure, ``too_long``
``truncate_left``         the oldest turns go first, then the beginning of the last user message
``truncate_per_message``  every message keeps its beginning, an equal number of tokens each

The released code cut every message, as here, but then also cut the end off the rendered prompt, and the
assistant's header with it. Here a rendered prompt always ends in the header.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rewild.config.responses import OverLong
from rewild.engines.base import Message
from rewild.engines.chat import Chat

LEAST = 256  # tokens that a message keeps at least, if the limit allows it (released code)
SHARE = 0.95  # of the limit that goes to the messages; the rest is for the template (released code)


@dataclass(frozen=True)
class Fitted:
    """A chat as it is sent: its messages after truncation, rendered; or why it cannot be sent."""

    messages: tuple[Message, ...]
    tokens: tuple[int, ...]
    truncation: str = "none"
    failure: str | None = None


def fit(chats: Sequence[Sequence[Message]], chat: Chat | None, limit: int, policy: OverLong) -> list[Fitted]:
    """Render each chat in at most ``limit`` tokens.

    Args:
        chats: messages up to the user turn to answer.
        chat: the model's template; None for an endpoint without a tokenizer here, where nothing can be cut.
        limit: tokens of a prompt, the template's own included.
        policy: what to do with a longer one.
    """
    if chat is None:
        return [Fitted(tuple(messages), ()) for messages in chats]
    fitted = []
    for messages, tokens in zip(chats, chat.render(chats), strict=True):
        if isinstance(tokens, ValueError):
            fitted.append(Fitted(tuple(messages), (), failure=f"template: {tokens}"))
        elif len(tokens) <= limit:
            fitted.append(Fitted(tuple(messages), tokens))
        else:
            fitted.append(_shorten(messages, tokens, chat, limit, policy))
    return fitted


def _shorten(
    messages: Sequence[Message], tokens: tuple[int, ...], chat: Chat, limit: int, policy: OverLong
) -> Fitted:
    too_long = f"too_long: the prompt has {len(tokens)} tokens, the limit is {limit}"
    if policy == "skip":
        return Fitted(tuple(messages), (), "skipped", too_long)
    cut = _left(messages, chat, limit) if policy == "truncate_left" else _per_message(messages, chat, limit)
    name = policy.removeprefix("truncate_")
    if cut is None:
        return Fitted(tuple(messages), (), "skipped", f"{too_long}, and no cut makes it fit")
    return Fitted(cut[0], cut[1], name)


Cut = tuple[tuple[Message, ...], tuple[int, ...]]


def _try(messages: Sequence[Message], chat: Chat, limit: int) -> Cut | None:
    tokens = chat.render([messages])[0]
    if isinstance(tokens, ValueError) or len(tokens) > limit:
        return None
    return tuple(messages), tokens


def _per_message(messages: Sequence[Message], chat: Chat, limit: int) -> Cut | None:
    lengths = [_offsets(m["content"], chat) for m in messages]
    budget = max(LEAST, int(SHARE * limit / len(messages)))
    while budget > 0:
        cut = [
            {**m, "content": m["content"][: offsets[budget]] if len(offsets) > budget else m["content"]}
            for m, offsets in zip(messages, lengths, strict=True)
        ]
        if (found := _try(cut, chat, limit)) is not None:
            return found
        budget = int(budget * 0.8)
    return None


def _left(messages: Sequence[Message], chat: Chat, limit: int) -> Cut | None:
    system = [m for m in messages[:1] if m["role"] == "system"]
    turns = list(messages[len(system) :])
    starts = [i for i, m in enumerate(turns) if m["role"] == "user"]
    # Fewer turns are shorter: find the first start from which the rest fits.
    low, high = 0, len(starts) - 1
    best: Cut | None = None
    while low <= high:
        middle = (low + high) // 2
        found = _try([*system, *turns[starts[middle] :]], chat, limit)
        if found is None:
            low = middle + 1
        else:
            best, high = found, middle - 1
    if best is not None:
        return best
    last = turns[-1]
    offsets = _offsets(last["content"], chat)
    keep = min(len(offsets), int(SHARE * limit))
    while keep > 0:
        cut = {**last, "content": last["content"][offsets[-keep] :]}
        if (found := _try([*system, cut], chat, limit)) is not None:
            return found
        keep = int(keep * 0.8)
    return None


def _offsets(text: str, chat: Chat) -> list[int]:
    """Where each token of a text begins, in characters."""
    if chat.tokenizer.is_fast:
        encoded = chat.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        return [start for start, _ in encoded["offset_mapping"]]
    # A tokenizer that cannot tell: as if every token had the same length.
    count = max(1, len(chat.encode(text)))
    return [i * len(text) // count for i in range(count)]

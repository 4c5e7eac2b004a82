"""Training data as token ids in which contents are text, as the engines encode them when they generate.

Axolotl renders a chat and tokenises the result, so a user's or a model's text that spells a control token
(``<|end|>``, a role's header) becomes one, and teaches the model to speak as somebody else. Here such
conversations are encoded by the engines' own encoder (:meth:`rewild.engines.chat.Chat.encode_chat`); all
others are Axolotl's as before. :func:`install` puts this in the place of Axolotl's two ways to read chats;
the config stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewild.config.base import validate
from rewild.config.reasoning import Reasoning
from rewild.core.conversations import THOUGHT
from rewild.engines.chat import Chat

Message = dict[str, str]
MASKED = -100
IDS = ("prompt_ids", "chosen_ids", "rejected_ids")


def written(messages: Sequence[Mapping[str, str | None]]) -> list[Message]:
    """Messages of a mix as a template reads them: without reasoning that is none."""
    kept = ("role", "content", THOUGHT)
    return [{k: v for k in kept if (v := m.get(k)) is not None} for m in messages]


def told_to(arguments: Mapping[str, Any] | None) -> Reasoning | None:
    """What a template is told besides, for a chat that renders only."""
    return validate(Reasoning, {"arguments": dict(arguments)}, "chat_template_kwargs") if arguments else None


def is_plain(chat: Chat, messages: Sequence[Message]) -> bool:
    """Whether a rendered chat can be tokenised as it is: no content becomes a control token."""
    if not chat.encoder.is_plain(messages):
        return False
    return chat.encoder.plain([chat.text(messages, answer=False)])[0] is not None


def conversation(chat: Chat, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    """``(ids, labels)`` of a conversation: the assistant's turns with the token that ends each are trained.

    Raises:
        ValueError: the template refuses it, or the tokenizer cannot write it as text.
    """
    made = chat.encode_chat(messages)
    ids, labels = list(made.tokens), [MASKED] * len(made.tokens)
    end = ending(chat)
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        owned = [at for at, owner in enumerate(made.owners) if owner == i]
        asked = list(chat.encode_chat(messages[:i], answer=True).tokens)
        start = len(asked) if ids[: len(asked)] == asked else min(owned, default=len(ids))
        after = max(owned, default=start - 1) + 1
        stop = next((at + 1 for at in range(after, len(ids)) if ids[at] == end), after)
        labels[start:stop] = ids[start:stop]
    return ids, labels


def pair(
    chat: Chat, messages: Sequence[Message], chosen: Message, rejected: Message, longest: int
) -> dict[str, list[int]]:
    """``prompt_ids``, ``chosen_ids``, ``rejected_ids`` of a preference pair.

    An answer ends in the token that ends a turn, unless it had to be cut.

    Args:
        chat: tokenizer and template.
        messages: what is asked.
        chosen, rejected: the answers.
        longest: tokens of prompt and answer; an answer is cut to fit.

    Raises:
        ValueError: as :func:`conversation`.
    """
    asked = list(chat.encode_chat(messages, answer=True).tokens)
    found, end = {IDS[0]: asked}, ending(chat)
    for name, answer in zip(IDS[1:], (chosen, rejected), strict=True):
        ids = list(chat.encode_chat([*messages, answer]).tokens)[len(asked) :]
        if end in ids:
            ids = ids[: len(ids) - ids[::-1].index(end)]
        elif end is not None:
            ids.append(end)
        found[name] = ids[: max(longest - len(asked), 0)]
    return found


def ending(chat: Chat) -> int | None:
    """The token that ends a turn and is trained: the template's, else the tokenizer's."""
    turn = chat.end_of_turn
    return turn if turn is not None else chat.tokenizer.eos_token_id


def install() -> None:
    """Let Axolotl, in this process, encode contents as text: conversations and preference pairs."""
    from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer
    from axolotl.prompt_strategies import chat_template
    from axolotl.prompt_strategies.dpo import chat_template as pairs

    if getattr(pairs.default, "encodes_text", False):
        return
    _install_conversations(chat_template)
    pairs.default = _pairs(pairs.default)
    prepare = AxolotlDPOTrainer._prepare_dataset

    def prepared(self: Any, dataset: Any, *words: Any, **named: Any) -> Any:
        """TRL would tokenise the texts once more."""
        if set(IDS) <= set(dataset.column_names):
            return dataset
        return prepare(self, dataset, *words, **named)

    AxolotlDPOTrainer._prepare_dataset = prepared


def _install_conversations(module: Any) -> None:
    class AsText(module.ChatTemplateStrategy):  # type: ignore[misc]  # Axolotl has no types here
        """Axolotl's reader of chats, but for conversations in which a content spells a control token, and
        for templates that write reasoning."""

        def _tokenize_single_prompt(self, prompt: dict[str, Any]) -> dict[str, Any]:
            if not hasattr(self, "chat"):
                told = told_to(self.prompter.chat_template_kwargs)
                template = self.prompter.chat_template
                self.chat = Chat(self.tokenizer, "the base model", template=template, reasoning=told)
            messages = written(prompt["messages"])
            # Axolotl masks what a template writes before an answer, such as the markers of reasoning that was
            # none; a model is not given that when it is served, and has to write it.
            if not self.chat.seam and is_plain(self.chat, messages):
                found: dict[str, Any] = super()._tokenize_single_prompt(prompt)
                return found
            ids, labels = conversation(self.chat, messages)
            return {"input_ids": ids, "labels": labels, "attention_mask": [1] * len(ids)}

    def strategy(self: Any, cfg: Any) -> type:
        return AsText

    module.StrategyLoader._get_strategy_cls = strategy


def _pairs(axolotls: Callable[..., Any]) -> Callable[..., Any]:
    """Axolotl's reader of pairs: their texts, by which it drops what is too long, and here their ids."""

    def default(cfg: Any, dataset_idx: int = 0, **named: Any) -> Any:
        read, settings = axolotls(cfg, dataset_idx=dataset_idx, **named)
        chats: dict[int, Chat] = {}

        def transform(sample: dict[str, Any], tokenizer: Any = None) -> dict[str, Any]:
            chat = chats.get(id(tokenizer))
            if chat is None:
                template = cfg["chat_template_jinja"] if cfg.get("chat_template_jinja") else None
                told = told_to(cfg.get("chat_template_kwargs"))
                chat = Chat(tokenizer, "the base model", template=template, reasoning=told)
                chats[id(tokenizer)] = chat
            messages, chosen, rejected = (sample[side] for side in ("messages", "chosen", "rejected"))
            texts: dict[str, Any] = read(sample, tokenizer=tokenizer)
            if not all(is_plain(chat, [*messages, answer]) for answer in (chosen, rejected)):
                # It looks for an answer's text in a rendered chat, and would find it in a control token.
                asked = chat.text(messages)
                for side, answer in (("chosen", chosen), ("rejected", rejected)):
                    texts[side] = chat.text([*messages, answer], answer=False)[len(asked) :].rstrip()
            return texts | pair(chat, messages, chosen, rejected, int(cfg["sequence_len"]))

        return transform, settings

    default.encodes_text = True  # type: ignore[attr-defined]
    default.axolotls = axolotls  # type: ignore[attr-defined]
    return default

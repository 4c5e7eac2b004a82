"""Sequence-classification models with torch and transformers: reward models, safety classifiers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from rewild.engines.base import About, Classified, Engine, Message, hardware, versions
from rewild.engines.chat import Chat
from rewild.engines.transformers_engine import load

TOKENS = 1024
"""Of a batch, padding included, for each of the chats that go at once."""
PADDING = 1.1
"""A CPU gains little from a larger batch: chats go together only up to this many times their own tokens."""
WINDOW = 256
"""Chats that are encoded, sorted and fetched together."""


class ClassifierEngine(Engine):
    """A model that gives a whole chat one number per label, loaded from safetensors."""

    batch: int

    def __init__(
        self,
        path: Path | str,
        chat: Chat,
        *,
        revision: str | None = None,
        precision: str = "bf16",
        device: str = "auto",
        batch: int = 8,
        threads: int | None = None,
        trust_remote_code: bool = False,
        context: int | None = None,
    ):
        """
        Args:
            path: a model folder or hub id.
            chat: its tokenizer and template.
            revision: commit on the hub.
            precision: ``fp32`` or ``bf16``.
            device: ``cpu``, ``cuda`` or ``auto``.
            batch: chats of :data:`TOKENS` at once; of shorter ones more, of longer ones fewer.
            threads: CPU threads.
            trust_remote_code: run the modelling code that the repository ships.
            context: tokens; a longer chat is a failure, not cut. What the model was made for is a limit, too.

        Raises:
            EngineError: the model cannot be loaded, or not in this precision, or is no classifier.
        """
        form = AutoModelForSequenceClassification
        self.model, device = load(form, path, chat, precision, device, threads, revision, trust_remote_code)
        self.chat, self.device, self.batch, self.context = chat, torch.device(device), batch, context
        names = self.model.config.id2label
        self.labels = tuple(names[i] for i in range(self.model.config.num_labels))
        text = self.model.config.get_text_config()
        self._pad = text.pad_token_id
        longest = getattr(text, "max_position_embeddings", None)
        if longest and longest < (context or math.inf):
            self.context = longest
        self._arguments: dict[str, Any] = {"precision": precision, "device": device, "batch": batch}

    def classify(self, chats: Sequence[Sequence[Message]]) -> list[Classified]:
        """The logits of every chat; see :class:`.base.Engine`.

        Chats of like length go together. While some are at work, the next are rendered and encoded.
        """
        found: list[Classified] = []
        parts = [chats[start : start + WINDOW] for start in range(0, len(chats), WINDOW)]
        with ThreadPoolExecutor(1) as ahead, torch.inference_mode():
            coming = [ahead.submit(lambda part: [self._encode(chat) for chat in part], p) for p in parts]
            for encoded in coming:
                found += self._window(encoded.result())
        return found

    def _window(self, encoded: Sequence[list[int] | Classified]) -> list[Classified]:
        """Some chats, the longest first: if the memory is short it is so at once."""
        done: list[Any] = list(encoded)
        order = [n for n, ids in enumerate(encoded) if not isinstance(ids, Classified)]
        order.sort(key=lambda n: -len(done[n]))
        run: list[tuple[list[int], torch.Tensor]] = []
        for batch in self._batches(order, done):
            for part, logits in self._resilient(batch, done):
                if logits is None:
                    done[part[0]] = Classified(failure="out_of_memory: the GPU's does not hold this chat")
                else:
                    run.append((part, logits))
        # Fetched once: a look at each batch would make the GPU wait for the next.
        rows = torch.cat([logits for _, logits in run]).float().cpu().tolist() if run else []
        for n, logits in zip((n for part, _ in run for n in part), rows, strict=True):
            finite = all(map(math.isfinite, logits))
            done[n] = (
                Classified(dict(zip(self.labels, logits, strict=True)))
                if finite
                else Classified(failure="not_a_number: an output of the model")
            )
        return done

    def _batches(self, order: Sequence[int], ids: Sequence[list[int]]) -> Iterator[list[int]]:
        """Numbers of chats that go together: within the budget of tokens, on a CPU with little padding."""
        batch: list[int] = []
        own = 0
        for n in order:
            width = len(ids[batch[0]]) if batch else 0
            padded = (len(batch) + 1) * width
            wasteful = self.device.type == "cpu" and padded > PADDING * (own + len(ids[n]))
            if batch and (padded > self.batch * TOKENS or wasteful):
                yield batch
                batch, own = [], 0
            batch.append(n)
            own += len(ids[n])
        if batch:
            yield batch

    def _resilient(
        self, batch: list[int], ids: Sequence[list[int]]
    ) -> Iterator[tuple[list[int], torch.Tensor | None]]:
        """A batch's logits, by halves where the GPU's memory is short; None of a chat that it cannot hold."""
        try:
            yield batch, self._logits([ids[n] for n in batch])
            return
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        half = len(batch) // 2
        if not half:
            yield batch, None
            return
        yield from self._resilient(batch[:half], ids)
        yield from self._resilient(batch[half:], ids)

    def _encode(self, chat: Sequence[Message]) -> list[int] | Classified:
        try:
            ids = list(self.chat.encode_chat(chat).tokens)
        except ValueError as error:
            return Classified(failure=f"template: {error}")
        if self.context is not None and len(ids) > self.context:
            return Classified(failure=f"too_long: {len(ids)} tokens, and {self.context} are the limit")
        return ids or Classified(failure="empty: the chat has no token")

    def _logits(self, ids: list[list[int]]) -> torch.Tensor:
        """``(chats, labels)``, on the device."""
        width = max(map(len, ids))
        pad = self._pad if self._pad is not None else self._fill(ids)
        tokens = torch.tensor([row + [pad] * (width - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        logits = self.model(input_ids=tokens.to(self.device), attention_mask=mask.to(self.device)).logits
        return logits

    def _fill(self, ids: list[list[int]]) -> int:
        """What fills rows up where the model has no padding token.

        Such a model answers at a row's last token. transformers finds it as the last that is no padding, so
        that the end token, which often serves as padding, would hide the end of the chat itself.
        """
        last = {row[-1] for row in ids}
        pad = next(i for i in range(len(last) + 1) if i not in last)
        self.model.config.get_text_config().pad_token_id = pad
        return pad

    def about(self) -> About:
        """Name, arguments, versions and hardware."""
        found = versions("torch", "transformers", "tokenizers")
        return About("classifier", self._arguments | {"labels": self.labels}, found, hardware())

    def close(self) -> None:
        """Free the model."""
        del self.model

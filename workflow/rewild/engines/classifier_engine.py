"""Sequence-classification models with torch and transformers: reward models, safety classifiers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from rewild.engines.base import About, Classified, Engine, Message, hardware, versions
from rewild.engines.chat import Chat
from rewild.engines.transformers_engine import load


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
            batch: chats at once.
            threads: CPU threads.
            trust_remote_code: run the modelling code that the repository ships.
            context: tokens; a longer chat is a failure, not cut. None is no limit.

        Raises:
            EngineError: the model cannot be loaded, or not in this precision.
        """
        form = AutoModelForSequenceClassification
        self.model, device = load(form, path, chat, precision, device, threads, revision, trust_remote_code)
        self.chat, self.device, self.batch, self.context = chat, torch.device(device), batch, context
        names = self.model.config.id2label
        self.labels = tuple(names[i] for i in range(self.model.config.num_labels))
        tokenizer = chat.tokenizer
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        if self.model.config.pad_token_id is None:
            self.model.config.pad_token_id = tokenizer.pad_token_id
        self._arguments: dict[str, Any] = {"precision": precision, "device": device, "batch": batch}

    def classify(self, chats: Sequence[Sequence[Message]]) -> list[Classified]:
        """The logits of every chat; chats of like length go together. See :class:`.base.Engine`."""
        found = [self._encode(chat) for chat in chats]
        order = sorted(
            (n for n, ids in enumerate(found) if not isinstance(ids, Classified)),
            key=lambda n: len(found[n]),  # type: ignore[arg-type]
        )
        done: list[Any] = list(found)
        for start in range(0, len(order), self.batch):
            part = order[start : start + self.batch]
            for n, logits in zip(part, self._logits([done[n] for n in part]), strict=True):
                finite = all(map(math.isfinite, logits))
                done[n] = (
                    Classified(dict(zip(self.labels, logits, strict=True)))
                    if finite
                    else Classified(failure="not_a_number: an output of the model")
                )
        return done

    def _encode(self, chat: Sequence[Message]) -> list[int] | Classified:
        try:
            ids = list(self.chat.encode_chat(chat).tokens)
        except ValueError as error:
            return Classified(failure=f"template: {error}")
        if self.context is not None and len(ids) > self.context:
            return Classified(failure=f"too_long: {len(ids)} tokens, and {self.context} are the limit")
        return ids

    def _logits(self, ids: list[list[int]]) -> list[list[float]]:
        padded = self.chat.tokenizer.pad({"input_ids": ids}, return_tensors="pt", padding_side="right")
        with torch.inference_mode():
            logits = self.model(**{k: v.to(self.device) for k, v in padded.items()}).logits
        return [[float(x) for x in row] for row in logits.float().cpu()]

    def about(self) -> About:
        """Name, arguments, versions and hardware."""
        found = versions("torch", "transformers", "tokenizers")
        return About("classifier", self._arguments | {"labels": self.labels}, found, hardware())

    def close(self) -> None:
        """Free the model."""
        del self.model

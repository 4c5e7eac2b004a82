"""Log-probabilities of token sequences with torch: batches by a budget of tokens, logits only where scored.

Rows of like length go together, padded on the right. No attention mask is given: a causal model does not look
ahead, so padding changes nothing before it, and positions count from the first token in every architecture.
Without a mask, attention takes its fastest kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from rewild.engines.base import Asked

Pair = tuple[Sequence[int], Sequence[int]]
"""Context and continuation, as token ids."""
TOKENS = {"cpu": 256, "cuda": 16_384}
"""Tokens of a batch with its padding; a longer sequence goes alone (measured: ``benchmarks/score.py``)."""
LOGITS = {"cpu": 2**28, "cuda": 2**32}
"""Bytes of a batch's logits, in the model's precision."""
SLICE = {"cpu": 256, "cuda": 1024}
"""Positions whose logits are at once in single precision."""
PADDING, SPARE = 0.03, 8
"""A CPU gains little from a larger batch: of a batch, so large a share, or so many tokens, may be padding."""


class Scorer:
    """A causal language model, and what fits into a batch of it."""

    def __init__(self, model: Any, device: torch.device, tokens: int | None = None):
        """
        Args:
            model: of transformers, on the device.
            device: where it is.
            tokens: of a batch; None is :data:`TOKENS`.
        """
        self._model, self._device = model, device
        self._head = model.get_output_embeddings()
        kind = device.type if device.type in TOKENS else "cuda"
        self._tokens = tokens or TOKENS[kind]
        vocabulary = model.config.get_text_config().vocab_size
        self._scored = max(1, LOGITS[kind] // (vocabulary * model.dtype.itemsize))
        self._slice, self._padding = SLICE[kind], PADDING if kind == "cpu" else math.inf

    def __call__(self, pairs: Sequence[Pair]) -> list[list[float]]:
        """Natural log-probabilities of each continuation's tokens.

        Raises:
            torch.cuda.OutOfMemoryError: the memory does not hold one sequence.
        """
        asked: list[Asked] = []
        for context, continuation in pairs:
            ids = [*context, *continuation[:-1]]  # the last token predicts none
            asked.append((ids, range(len(context) - 1, len(ids)), continuation))
        return self.following(asked)

    def following(self, asked: Sequence[Asked]) -> list[list[float]]:
        """Natural log-probabilities of the tokens asked for, each after the tokens up to its place.

        Raises:
            torch.cuda.OutOfMemoryError: the memory does not hold one sequence.
        """
        numbers = [n for n, (_, _, tokens) in enumerate(asked) if tokens]
        order = sorted(numbers, key=lambda n: -len(asked[n][0]))
        done: list[tuple[list[int], torch.Tensor]] = []
        with torch.inference_mode():
            for batch in self._batches(order, asked):
                done += self._resilient(batch, asked)
        found: list[list[float]] = [[] for _ in asked]
        if done:
            # Fetched once: a look at each batch would make the GPU wait for the next.
            values = iter(torch.cat([part for _, part in done]).tolist())
            for n in (n for batch, _ in done for n in batch):
                found[n] = [next(values) for _ in asked[n][2]]
        return found

    def _batches(self, order: Sequence[int], asked: Sequence[Asked]) -> Iterator[list[int]]:
        """Numbers of sequences that go together; the longest first: memory is short at once or never."""
        batch: list[int] = []
        width = own = scored = 0
        for n in order:
            length, wanted = len(asked[n][0]), len(asked[n][2])
            padded = (len(batch) + 1) * width
            if batch and (
                padded > self._tokens
                or padded - own - length > max(self._padding * (own + length), SPARE)
                or scored + wanted > self._scored
            ):
                yield batch
                batch, own, scored = [], 0, 0
            width = width if batch else length
            batch.append(n)
            own, scored = own + length, scored + wanted
        if batch:
            yield batch

    def _resilient(self, batch: list[int], asked: Sequence[Asked]) -> list[tuple[list[int], torch.Tensor]]:
        try:
            return [(batch, self._score([asked[n] for n in batch]))]
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return self._resilient(batch[:half], asked) + self._resilient(batch[half:], asked)

    def _score(self, asked: Sequence[Asked]) -> torch.Tensor:
        """``(all tokens asked for,)``, row after row."""
        width = max(len(ids) for ids, _, _ in asked)
        rows: list[list[int]] = []
        where: list[int] = []
        for row, (ids, places, _) in enumerate(asked):
            where += [row * width + place for place in places]
            rows.append([*ids, *[ids[-1]] * (width - len(ids))])
        tokens = torch.tensor(rows).to(self._device, non_blocking=True)
        wanted = torch.tensor([token for _, _, some in asked for token in some])
        at, wanted = torch.tensor(where).to(self._device), wanted.to(self._device)
        with self._only(at, tokens.shape):
            logits = self._model(input_ids=tokens, use_cache=False).logits
        if logits.shape[:2] == tokens.shape:
            logits = logits.flatten(0, 1)[at]
        parts = zip(
            logits.reshape(-1, logits.shape[-1]).split(self._slice), wanted.split(self._slice), strict=True
        )
        return torch.cat(
            [-torch.nn.functional.cross_entropy(x.float(), y, reduction="none") for x, y in parts]
        )

    @contextmanager
    def _only(self, at: torch.Tensor, shape: torch.Size) -> Iterator[None]:
        """Let the output layer see these positions only, as ``(1, positions, hidden)``.

        transformers' ``logits_to_keep`` takes a mask by row in its newest versions only, and not in models
        that come with code. What a model does to its logits afterwards (caps, scales) it does to these.
        """

        def select(_: Any, given: tuple[Any, ...]) -> Any:
            hidden, *more = given
            return (hidden.flatten(0, 1)[at][None], *more) if hidden.shape[:-1] == shape else None

        hook = self._head.register_forward_pre_hook(select) if self._head is not None else None
        try:
            yield
        finally:
            if hook:
                hook.remove()

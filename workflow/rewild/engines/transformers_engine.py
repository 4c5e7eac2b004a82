"""Generation with torch and transformers: a CPU or one GPU.

Prompts are batched with padding on the left; a batch shrinks as its rows finish. Each row draws from a random
stream of its own, so what it becomes does not depend on its neighbours (but for the rounding of batched
kernels).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from rewild.core.errors import first_line
from rewild.engines.base import (
    About,
    Asked,
    Completion,
    Engine,
    EngineError,
    Request,
    Sampling,
    Score,
    Usage,
    cut_at,
    hardware,
    likely,
    never_ended,
    versions,
)
from rewild.engines.chat import Chat
from rewild.engines.scoring import Scorer

Likely = tuple[list[int], list[float]]  # of one step: ids of likely tokens, and their log-probabilities
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SLACK = 8  # tokens that are looked at for a text that ends a row, beyond its bytes
SHRINK = 0.75  # finished rows leave the batch when this share of it, or less, is still at work


def load(  # noqa: PLR0917 (what an engine is told)
    form: Any,
    path: Path | str,
    chat: Chat,
    precision: str,
    device: str,
    threads: int | None,
    revision: str | None,
    trust_remote_code: bool,
) -> tuple[Any, str]:
    """A model from safetensors, and the device it is for.

    Args:
        form: one of transformers' ``AutoModelFor…``.
        path, chat, precision, device, threads, revision, trust_remote_code: as of
            :class:`TransformersEngine`.

    Raises:
        EngineError: the model cannot be loaded, or not in this precision.
    """
    if precision not in DTYPES:
        raise EngineError(f"{chat.name}: transformers cannot run {precision} weights here; use vllm")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if threads:
        torch.set_num_threads(threads)
    how = {"revision": revision, "use_safetensors": True, "trust_remote_code": trust_remote_code}
    try:
        model, about = form.from_pretrained(
            str(path), dtype=DTYPES[precision], output_loading_info=True, **how
        )
    except Exception as error:
        raise EngineError(
            f"{chat.name}: the model cannot be loaded from {path}: {first_line(error)}"
        ) from error
    if lacking := sorted(about["missing_keys"]):
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise EngineError(
            f"{chat.name}: {path} has no weights for '{lacking[0]}'{more}, which would be random: its files "
            f"are not whole, or it is no {type(model).__name__}"
        )
    return model.to(device).eval(), device


class TransformersEngine(Engine):
    """A causal language model, loaded from safetensors."""

    batch: int
    budget: int | None = None
    request_seconds: float | None = None

    def __init__(
        self,
        path: Path | str,
        chat: Chat,
        *,
        revision: str | None = None,
        precision: str = "fp32",
        device: str = "auto",
        batch: int = 32,
        budget: int | None = None,
        threads: int | None = None,
        request_seconds: float | None = None,
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
            batch: rows at once; halved when the GPU's memory is short.
            budget: tokens that are scored at once; None is what suits the device (:mod:`.scoring`).
            threads: CPU threads.
            request_seconds: that a request may take; then it has failed.
            trust_remote_code: run the modelling code that the repository ships.
            context: not used here; prompts and limits already fit.

        Raises:
            EngineError: the model cannot be loaded.
        """
        model, found = load(
            AutoModelForCausalLM, path, chat, precision, device, threads, revision, trust_remote_code
        )
        self.chat, self.device, self.batch = chat, torch.device(found), batch
        self.budget, self.request_seconds = budget, request_seconds
        self._take(model, {"precision": precision, "device": found, "batch": batch})

    def _take(self, model: Any, arguments: dict[str, Any]) -> None:
        self.model = model.to(self.device).eval()
        self._arguments = arguments
        self._usage = Usage(0.0, 0.0)

    @classmethod
    def of(cls, model: Any, chat: Chat, device: str = "cpu", batch: int = 32) -> TransformersEngine:
        """An engine around a model that is already there (the SFT stage's, a benchmark's)."""
        engine = cls.__new__(cls)
        engine.chat, engine.device, engine.batch = chat, torch.device(device), batch
        engine._take(model, {"device": device, "batch": batch})
        return engine

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer every request, longest prompts first; see :class:`rewild.engines.base.Engine`."""
        done: list[Completion | None] = [None] * len(requests)
        order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].tokens), i))
        with torch.inference_mode():
            for rows in self._batches(order):
                for i, completion in self._resilient([(i, requests[i]) for i in rows], sampling):
                    done[i] = completion
        if self.device.type == "cuda":
            self._usage.peak_memory = torch.cuda.max_memory_allocated(self.device)
        else:
            self._usage.peak_memory = _resident_peak()
        return [c for c in done if c is not None]

    def _batches(self, order: list[int]) -> Iterator[list[int]]:
        for start in range(0, len(order), self.batch):
            yield order[start : start + self.batch]

    def _resilient(self, rows: list[tuple[int, Request]], sampling: Sampling) -> list[tuple[int, Completion]]:
        try:
            answers = self._batch([r for _, r in rows], sampling)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            if len(rows) == 1:
                return [(rows[0][0], Completion(None, failure="the GPU's memory does not hold this prompt"))]
            half = len(rows) // 2
            return self._resilient(rows[:half], sampling) + self._resilient(rows[half:], sampling)
        return [(i, answer) for (i, _), answer in zip(rows, answers, strict=True)]

    def _batch(self, requests: list[Request], sampling: Sampling) -> list[Completion]:
        """One batch from prompt to last end token."""
        started = time.perf_counter()
        width = max(len(r.tokens) for r in requests)
        longest = max(map(self.chat.limit, requests))
        tokens = torch.zeros((len(requests), width), dtype=torch.long)
        mask = torch.zeros((len(requests), width + longest), dtype=torch.long)
        for row, request in enumerate(requests):
            tokens[row, width - len(request.tokens) :] = torch.tensor(request.tokens)
            mask[row, width - len(request.tokens) :] = 1
        tokens, mask = tokens.to(self.device), mask.to(self.device)
        draws = torch.from_numpy(_draws(requests, longest)).to(self.device)
        limits = torch.tensor([*map(self.chat.limit, requests)], device=self.device)
        ends = _padded([(*self.chat.end_tokens, *r.ends) for r in requests]).to(self.device)

        watched = any(r.stops for r in requests)
        heard = max(r.top_logprobs for r in requests)
        said: list[list[Likely]] = [[] for _ in requests]

        position = (mask[:, :width].cumsum(1) - 1).clamp(min=0)
        out = self.model(
            input_ids=tokens,
            attention_mask=mask[:, :width],
            position_ids=position,
            use_cache=True,
            logits_to_keep=1,
        )
        known = _Known(requests, out.logits[:, -1], sampling.repetition_penalty)
        chosen = choose(known.penalised(out.logits[:, -1], slice(None)), draws[:, 0], sampling)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        prefilled = time.perf_counter()

        written = torch.full((len(requests), longest), -1, dtype=torch.long, device=self.device)
        active = torch.arange(len(requests), device=self.device)  # rows of `requests` still in the batch
        live = torch.ones(len(requests), dtype=torch.bool, device=self.device)
        for step in range(longest):
            written[active[live], step] = chosen[live]
            if heard:
                top = out.logits[live, -1].float().log_softmax(-1).topk(heard)
                each = zip(active[live].tolist(), top.indices.tolist(), top.values.tolist(), strict=True)
                for row, ids, values in each:
                    said[row].append((ids, values))
            live = live & ~(chosen[:, None] == ends[active]).any(1) & (step + 1 < limits[active])
            if watched:
                self._stop(requests, written[:, : step + 1], active, live)
            remaining = int(live.sum())
            late = self.request_seconds is not None and time.perf_counter() - started > self.request_seconds
            if not remaining or step + 1 == longest or late:
                break
            if remaining <= SHRINK * len(live):
                keep = live.nonzero()[:, 0]
                out.past_key_values.batch_select_indices(keep)
                active, chosen, live = active[keep], chosen[keep], live[keep]
            known.add(active, chosen)
            length = width + step + 1
            seen = mask[active, :length]
            out = self.model(
                input_ids=chosen[:, None],
                attention_mask=seen,
                position_ids=seen.sum(1, keepdim=True) - 1,
                past_key_values=out.past_key_values,
                use_cache=True,
            )
            chosen = choose(known.penalised(out.logits[:, -1], active), draws[active, step + 1], sampling)
        rows = written.cpu().tolist()
        endless = set(active[live].tolist()) if late else set()
        self._usage.prefill_seconds = (self._usage.prefill_seconds or 0) + prefilled - started
        self._usage.decode_seconds = (self._usage.decode_seconds or 0) + time.perf_counter() - prefilled
        return [
            never_ended(self.request_seconds) if i in endless else self._completion(request, rows[i], said[i])
            for i, request in enumerate(requests)
        ]

    def _stop(
        self, requests: Sequence[Request], written: torch.Tensor, active: torch.Tensor, live: torch.Tensor
    ) -> None:
        """Take rows out of ``live`` that have just written a text that ends them."""
        for place, row in zip(live.nonzero()[:, 0].tolist(), active[live].tolist(), strict=True):
            stops = requests[row].stops
            # A token is a byte at least; what stands before the first of these may be half a character.
            tail = max((len(stop.encode()) for stop in stops), default=0) + SLACK
            ids = written[row, -tail:].tolist()
            text = self.chat.decode(ids)
            if any(stop in text for stop in stops) or (len(ids) < tail and cut_at(text, stops)[1]):
                live[place] = False

    def _completion(self, request: Request, row: list[int], said: Sequence[Likely]) -> Completion:
        ids = tuple(row[: row.index(-1)] if -1 in row else row)
        ended = bool(ids) and ids[-1] in (*self.chat.end_tokens, *request.ends)
        text, stopped = cut_at(self.chat.decode(ids[:-1] if ended else ids), request.stops)
        ended = ended or stopped
        plain = Completion(
            text=text,
            tokens=ids,
            input_tokens=len(request.tokens),
            output_tokens=len(ids),
            finish_reason="stop" if ended else "length",
            logprobs=tuple(
                likely(zip(map(self.chat.tokenizer.decode, known[:wanted]), values, strict=False))
                for known, values in said
            )
            if (wanted := request.top_logprobs)
            else (),
        )
        return self.chat.apart(request, plain)

    def score(self, sequences: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Score]:
        """Log-probabilities of continuations; see :class:`rewild.engines.base.Engine`."""
        if any(not context for context, _ in sequences):
            raise EngineError("a text cannot be scored without a token before it: begin with BOS")
        found = self._scored(lambda scorer: scorer(sequences))
        return [Score(tuple(text), tuple(row)) for (_, text), row in zip(sequences, found, strict=True)]

    def following(self, asked: Sequence[Asked]) -> list[list[float]]:
        """Log-probabilities of tokens that may follow; see :class:`rewild.engines.base.Engine`."""
        return self._scored(lambda scorer: scorer.following(asked))

    def _scored(self, score: Callable[[Scorer], list[list[float]]]) -> list[list[float]]:
        try:
            return score(Scorer(self.model, self.device, self.budget))
        except torch.cuda.OutOfMemoryError as error:
            raise EngineError(
                f"{self.chat.name}: the GPU's memory does not hold one text (a shorter `context` makes long "
                f"ones failures): {first_line(error)}"
            ) from error

    def about(self) -> About:
        """Name, arguments, versions and hardware."""
        machine = hardware() | {"threads": torch.get_num_threads()}
        if self.device.type == "cuda":
            properties = torch.cuda.get_device_properties(self.device)
            machine |= {"gpu": properties.name, "gpu_memory": properties.total_memory}
        return About(
            "transformers", self._arguments, versions("torch", "transformers", "tokenizers"), machine
        )

    def usage(self) -> Usage:
        """Seconds and bytes so far."""
        return self._usage

    def close(self) -> None:
        """Free the model."""
        del self.model
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class _Known:
    """Which tokens each row has read or written, where they are penalised."""

    def __init__(self, requests: Sequence[Request], logits: torch.Tensor, penalty: float) -> None:
        self.penalty = penalty
        if penalty != 1:
            self._there = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
            for row, request in enumerate(requests):
                self._there[row, list(request.tokens)] = True

    def add(self, rows: torch.Tensor, tokens: torch.Tensor) -> None:
        """What rows have written."""
        if self.penalty != 1:
            self._there[rows, tokens] = True

    def penalised(self, logits: torch.Tensor, rows: torch.Tensor | slice) -> torch.Tensor:
        """Logits of rows, less of what is known (transformers' ``RepetitionPenaltyLogitsProcessor``)."""
        if self.penalty == 1:
            return logits
        logits = logits.float()  # as transformers and vLLM do: two penalised logits in bf16 are soon the same
        less = torch.where(logits < 0, logits * self.penalty, logits / self.penalty)
        return torch.where(self._there[rows], less, logits)


def _padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Ids of unequal number as one tensor, filled up with -1, which is no id."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows])


def _draws(requests: Sequence[Request], count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Uniform numbers in [0, 1), one per row and step: a stream per request, from its own seed."""
    return np.stack([np.random.Generator(np.random.Philox(key=r.seed)).random(count) for r in requests])


def choose(logits: torch.Tensor, draws: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Choose a token per row by inverting the cumulative distribution at that row's draw.

    Args:
        logits: ``(rows, vocabulary)``.
        draws: ``(rows,)``, uniform in [0, 1).
        sampling: temperature, top-p, top-k.

    Returns:
        ``(rows,)`` token ids.
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    logits = logits.float() / sampling.temperature
    order = None
    if sampling.top_k or sampling.top_p < 1:
        logits, order = torch.sort(logits, dim=-1, descending=True, stable=True)
        if sampling.top_k:
            logits = logits[:, : sampling.top_k]
    probabilities = logits.softmax(-1).double()
    if sampling.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    cumulative = probabilities.cumsum(-1)
    points = draws[:, None] * cumulative[:, -1:]
    picked = torch.searchsorted(cumulative, points, right=True).clamp(max=logits.shape[-1] - 1)
    return (picked if order is None else order.gather(1, picked))[:, 0]


def _resident_peak() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

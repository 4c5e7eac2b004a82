"""Judgments that survive a crash: a folder of finished chunks per run and benchmark.

A judgment is found again by the hash of its request. So a changed answer, prompt or judge is asked about
anew, and everything else never is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.table import Column, TableSchema
from rewild.generation.asking.base import JudgeRequest
from rewild.generation.store import Store

RAW = TableSchema(
    "judgment chunk",
    version=1,
    columns={
        "request": Column(pl.String, "Hash of the first request: judge, messages, limits, seed"),
        "judge_said": Column(pl.String, "The name that its replies give; null if there was none", True),
        "reply": Column(pl.String, "The judge's last reply, raw; null if there was none", True),
        "earlier": Column(pl.List(pl.String), "Its replies before that one, raw, whose verdict was unclear"),
        "logprobs": Column(pl.String, "JSON: per token its likely alternatives, where they were asked", True),
        "failure": Column(
            pl.String,
            "Why there is no verdict, as 'reason: detail' (unclear, empty, endpoint); null when there is one",
            True,
        ),
        "attempts": Column(pl.Int16, "Calls of the judge"),
        "input_tokens": Column(pl.Int32, "Tokens the judge read, over all calls"),
        "output_tokens": Column(pl.Int32, "Tokens the judge wrote, over all calls"),
        "estimated": Column(pl.Boolean, "Whether the token counts are estimates: the endpoint gave none"),
    },
    key=("request",),
)
"""What a call gave. The verdict is not stored: it is read from the reply again, which costs nothing."""


def request_hash(judge: str, request: JudgeRequest, attempts: int, seed: int) -> str:
    """20 hexadecimal digits over all that a judgment depends on.

    Args:
        judge: who is asked (:attr:`rewild.evaluation.judged.task.Task.identity`), not the study's name for
            it.
        request: what is asked.
        attempts: how often.
        seed: of the study.
    """
    asked = [
        judge,
        [dict(m) for m in request.messages],
        request.max_tokens,
        request.temperature,
        request.top_logprobs,
        attempts,
        seed,
        *([request.form] if request.form else []),
    ]
    return sha256(json.dumps(asked, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:20]


class Replies:
    """The finished judgments in a folder: what was paid for, by the hash of its request."""

    def __init__(self, folder: Path) -> None:
        self.chunks = Store(folder, RAW, ("request",), paid=True)
        self.rows: dict[str, dict[str, Any]] = {}

    def load(self, *, mend: bool = False) -> None:
        """Read every chunk. Of a judgment that was asked for again, the one that did not fail is taken.

        Args:
            mend: see :meth:`rewild.generation.store.Store.load`.
        """
        for frame, _ in self.chunks.load(mend=mend):
            for row in frame.iter_rows(named=True):
                known = self.rows.get(row["request"])
                if known is None or known["failure"] is not None:
                    self.rows[row["request"]] = row

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write one chunk, atomically; errors as of :meth:`rewild.generation.store.Store.write`."""
        self.chunks.write(rows)
        self.rows |= {row["request"]: dict(row) for row in rows}

    def forget_failures(self) -> int:
        """Remove chunks' failed judgments from what is known, so that they are asked again; how many."""
        failed = [key for key, row in self.rows.items() if row["failure"] is not None]
        for key in failed:
            del self.rows[key]
        return len(failed)

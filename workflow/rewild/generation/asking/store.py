"""Judgments that survive a crash: a folder of finished chunks per run and benchmark.

A judgment is found again by the hash of its request. So a changed answer, prompt or judge is asked about
anew, and everything else never is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.errors import DataError
from rewild.core.sealed import read_sealed, set_aside, write_sealed
from rewild.core.table import TableSchema
from rewild.generation.asking.base import JudgeRequest
from rewild.generation.asking.schema import JUDGMENTS
from rewild.generation.chunks import disk_errors

RAW = TableSchema(
    "judgment chunk",
    JUDGMENTS.version,
    {
        name: JUDGMENTS.columns[name]
        for name in (
            "request",
            "judge_said",
            "reply",
            "earlier",
            "logprobs",
            "failure",
            "attempts",
            "input_tokens",
            "output_tokens",
            "estimated",
        )
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
    ]
    return sha256(json.dumps(asked, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:20]


@dataclass
class Store:
    """The finished judgments in a folder."""

    folder: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def load(self, *, mend: bool = False) -> None:
        """Read every chunk. Of a judgment that was asked for again, the one that did not fail is taken.

        Args:
            mend: only for who holds the folder's lock: what a killed job had half written is removed, and a
                file that was damaged is set aside. Else both are passed over.
        """
        for path in sorted(self.folder.glob("*.parquet")):
            if path.name.startswith("."):
                if mend:
                    path.unlink(missing_ok=True)
                continue
            try:
                frame, _ = read_sealed(path, RAW, paid=True)
            except DataError as error:
                if mend:
                    set_aside(path, error)
                continue
            for row in frame.iter_rows(named=True):
                known = self.rows.get(row["request"])
                if known is None or known["failure"] is not None:
                    self.rows[row["request"]] = row

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write one chunk, atomically.

        Raises:
            RewildError: the disk is full; what was finished before is untouched.
        """
        frame = pl.DataFrame(rows, schema=RAW.dtypes, orient="row", infer_schema_length=None)
        name = sha256("".join(sorted(row["request"] for row in rows)).encode()).hexdigest()[:16]
        about = json.dumps({"schema": RAW.name, "version": RAW.version})
        with disk_errors(self.folder / f"{name}.parquet"):
            write_sealed(self.folder, name, frame, RAW, about)
        self.rows |= {row["request"]: dict(row) for row in rows}

    def forget_failures(self) -> int:
        """Remove chunks' failed judgments from what is known, so that they are asked again; how many."""
        failed = [key for key, row in self.rows.items() if row["failure"] is not None]
        for key in failed:
            del self.rows[key]
        return len(failed)

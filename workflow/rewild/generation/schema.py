"""The files of this phase, and the contract of each.

======================================================= ==================================================
``results/{study}/pilot/{model}/report.json``, ``.md``   the pilot's verdict (responses.parquet beside it)
``results/{study}/responses/{model}/{shard}.parquet``    :data:`RESPONSES`, a row per conversation and turn
``results/{study}/responses/{model}/{shard}.json``       :class:`Measurement`: what the shard cost
``results/{study}/responses/{model}/manifest.json``      :class:`Manifest`: what `rewild collect` counted
``results/{study}/work/responses/{model}/{shard}/``      finished chunks; safe to delete once collected
======================================================= ==================================================

Readers of a model's responses depend on its manifest and call :func:`scan`.
"""

from __future__ import annotations

from operator import not_
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from rewild.config.base import Strict
from rewild.config.responses import History
from rewild.core.errors import DataError
from rewild.core.reading import read_model
from rewild.core.table import Column, TableSchema, check_parquet

RESPONSES = TableSchema(
    "responses",
    1,
    {
        "conversation_id": Column(pl.String, "The conversation: a hash of its user turns"),
        "turn": Column(pl.Int16, "The user turn that is answered, counted from 0"),
        "model": Column(pl.String, "The model's slug"),
        "history": Column(
            pl.String, "Whose earlier answers the model saw: reference (the source's) or self (its own)"
        ),
        "language": Column(pl.String, "Language of the conversation, as its source names it (English)", True),
        "prompt": Column(pl.String, "The user's text of this turn, before any truncation"),
        "response": Column(pl.String, "The model's answer; null when it failed, never blank", True),
        "reasoning": Column(
            pl.String, "What it reasoned before the answer, without markers; null: nothing", True, True
        ),
        "failure": Column(pl.String, "Why there is no answer; null when there is one", True),
        "finish_reason": Column(pl.String, "stop (an end token) or length (the output limit)", True),
        "truncation": Column(pl.String, "How an over-long prompt was cut: none, left, per_message, skipped"),
        "attempts": Column(pl.Int16, "How often generation was tried"),
        "input_tokens": Column(pl.Int32, "Tokens of the rendered prompt, after truncation", True),
        "output_tokens": Column(pl.Int32, "Tokens generated, reasoning and the end token included", True),
        "reasoning_tokens": Column(
            pl.Int32,
            "Of these, reasoning and its markers; null: it does not reason, or none counted",
            True,
            True,
        ),
        "response_language": Column(pl.String, "Language detected in the answer (ISO 639-1)", True),
        "repetition": Column(pl.Float64, "Share of the answer's 4-grams seen before in it, 0 to 1", True),
        "garbled": Column(
            pl.Float64,
            "Share of the characters that are no text (U+FFFD, control, private use), 0 to 1",
            True,
        ),
        "seed": Column(pl.Int64, "The seed of this row alone", True),
        "engine": Column(pl.String, "What generated it: transformers, vllm, openai, or imported"),
        "recipe": Column(pl.String, "Hash of all that identifies the result; the manifest spells it out"),
    },
    key=("conversation_id", "turn", "model"),
)


class Measurement(Strict):
    """What one shard cost. Sums over its chunks, so a shard that was resumed is measured whole.

    Times are seconds of wall clock; memory is bytes. ``prefill`` and ``decode`` are null where the engine
    cannot tell them apart.
    """

    study: str
    model: str
    shard: str
    engine: str
    engine_arguments: dict[str, Any]
    sampling: dict[str, Any]
    context: int
    parameters: float  # billions
    gpus: int
    conversations: int
    rows: int
    failures: int
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int = Field(default=0, exclude_if=not_)  # of the output tokens
    load_seconds: float
    generate_seconds: float
    prefill_seconds: float | None
    decode_seconds: float | None
    peak_memory: int | None
    tokens_per_second: float | None  # (input + output) / generate: the paper's Tok/s
    seconds_per_1000_conversations: float | None  # the paper's Time
    # Input speed over output speed. `input_output_ratio` divides both token counts by the same wall time, as
    # vLLM's progress bar does (so it is input tokens over output tokens); `prefill_decode_ratio` divides each
    # by the time it really took.
    input_output_ratio: float | None
    prefill_decode_ratio: float | None
    versions: dict[str, str]
    hardware: dict[str, Any]


class ShardCount(Strict):
    """One shard file, as `collect` found it."""

    shard: str
    sha256: str
    conversations: int
    rows: int
    failures: int
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int = Field(default=0, exclude_if=not_)  # of the output tokens


class Manifest(Strict):
    """All responses of one model in one study: which files, how many rows, how many failures and why."""

    study: str
    model: str
    engine: str
    history: History
    recipe: str
    identity: dict[str, Any]  # what `recipe` is the hash of: every setting that identifies a response
    conversations: int
    rows: int
    failures: int
    failures_by_reason: dict[str, int]
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int = Field(default=0, exclude_if=not_)  # of the output tokens
    shards: list[ShardCount]


def read_manifest(path: Path | str) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        DataError: missing, not JSON, or not a manifest.
    """
    manifest = read_model(path, Manifest, "the manifest of responses that `rewild collect` makes")
    for shard in manifest.shards:
        if Path(shard.shard).name != shard.shard:
            raise DataError(f"{path}: '{shard.shard}' is no name of a shard beside the manifest")
    return manifest


def scan(manifest: Path | str, *, failures: bool = False) -> pl.LazyFrame:
    """The responses that a manifest lists, lazily, in the order of shards. Failed rows only if asked for."""
    path = Path(manifest)
    files = [path.parent / f"{s.shard}.parquet" for s in read_manifest(path).shards]
    if not files:
        raise DataError(f"{path}: lists no shards")
    for file in files:
        check_parquet(file, RESPONSES)
    frame = RESPONSES.scan(files)
    return frame if failures else frame.filter(pl.col("failure").is_null())

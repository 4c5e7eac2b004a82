"""One model answers one shard: chunk by chunk, durably, and the file at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.errors import DataError, RewildError
from rewild.core.files import write_json
from rewild.core.locks import locked
from rewild.core.reading import read_json
from rewild.core.table import provenance, write_table
from rewild.engines.base import About, Usage
from rewild.generation.chunks import Chunks, Cost, content_hash, disk_errors
from rewild.generation.prepared import Kitchen
from rewild.generation.rows import Responder, turns_of
from rewild.generation.schema import RESPONSES, Measurement
from rewild.prompts.schema import read_shard

log = logging.getLogger("rewild")


def respond(
    kitchen: Kitchen, conversations: Sequence[dict[str, Any]], work: Path
) -> tuple[pl.DataFrame, Cost]:
    """Answer conversations chunk by chunk; finished chunks in ``work`` are loaded, the rest is generated.

    Args:
        kitchen: the model.
        conversations: rows of a prompt shard.
        work: the folder of chunks; the recipe's own folder is made in it.

    Returns:
        The rows in the order of the conversations, and what they cost.

    Raises:
        EngineError: the engine cannot go on. RewildError: the disk is full, or another process is at work.
    """
    job, folder = kitchen.job, work / kitchen.recipe
    with disk_errors(folder / "lock"), locked(folder, "at work on these responses"):
        chunks = Chunks(folder)
        chunks.sweep()
        found = chunks.load()
        contents = {c["conversation_id"]: content_hash(c) for c in conversations}
        size = job.settings.compute.chunk
        plan = [conversations[i : i + size] for i in range(0, len(conversations), size)]
        missing = set(contents.items()) - chunks.done
        parts = [
            [c for c in chunk if (c["conversation_id"], contents[c["conversation_id"]]) in missing]
            for chunk in plan
        ]
        todo = [part for part in parts if part]
        if found:
            log.info("%d of %d chunks are already there", len(plan) - len(todo), len(plan))
        if todo:
            _generate(kitchen, todo, contents, chunks, len(plan))
            found = chunks.load()
    wanted = pl.DataFrame(
        {"conversation_id": list(contents), "content": list(contents.values())},
        schema={"conversation_id": pl.String, "content": pl.String},
    ).with_row_index("order")
    rows = pl.concat(
        [frame for frame, _ in found] or [pl.DataFrame(schema={**RESPONSES.dtypes, "content": pl.String})]
    )
    rows = (
        rows.join(wanted, on=["conversation_id", "content"], how="inner")
        .sort("order", "turn")
        .drop("order", "content")
    )
    expected = sum(len(turns_of(c)) for c in conversations)
    if rows.height != expected:
        raise RewildError(
            f"{folder}: {rows.height} rows for {expected} user turns; remove this folder and run again"
        )
    used = [cost for frame, cost in found if frame["conversation_id"].is_in(list(contents)).any()]
    return rows, reduce(Cost.__add__, used, Cost())


def _generate(
    kitchen: Kitchen, todo: list[list[dict[str, Any]]], contents: dict[str, str], chunks: Chunks, planned: int
) -> None:
    started = time.perf_counter()
    engine = kitchen.make_engine()
    load_seconds = time.perf_counter() - started
    log.info("%s is loaded (%.1f s)", kitchen.job.model, load_seconds)
    write_json(chunks.folder / "engine.json", asdict(engine.about()))
    _, longest_input, longest_output = kitchen.sizes
    responder = Responder(kitchen.job, engine, kitchen.chat, longest_input, longest_output, kitchen.recipe)
    try:
        for number, chunk in enumerate(todo, planned - len(todo) + 1):
            before, started = replace(engine.usage()), time.perf_counter()
            rows = responder.answer(chunk)
            cost = _cost(rows, len(chunk), time.perf_counter() - started, before, engine.usage())
            cost = replace(cost, load_seconds=load_seconds)
            load_seconds = 0.0
            chunks.write(rows, {c["conversation_id"]: contents[c["conversation_id"]] for c in chunk}, cost)
            log.info(
                "chunk %d of %d: %d rows, %d failures, %.0f tokens/s",
                number,
                planned,
                cost.rows,
                cost.failures,
                (cost.input_tokens + cost.output_tokens) / max(cost.generate_seconds, 1e-9),
            )
    finally:
        engine.close()


def _cost(
    rows: list[dict[str, Any]], conversations: int, seconds: float, before: Usage, after: Usage
) -> Cost:
    def spent(name: str) -> float | None:
        now = getattr(after, name)
        return None if now is None else now - (getattr(before, name) or 0.0)

    return Cost(
        conversations=conversations,
        rows=len(rows),
        failures=sum(row["failure"] is not None for row in rows),
        input_tokens=sum(row["input_tokens"] or 0 for row in rows),
        output_tokens=sum(row["output_tokens"] or 0 for row in rows),
        generate_seconds=seconds,
        prefill_seconds=spent("prefill_seconds"),
        decode_seconds=spent("decode_seconds"),
        peak_memory=after.peak_memory,
        finished=time.time(),
    )


def run_shard(kitchen: Kitchen, prompts: Path, work: Path, out: Path, measured: Path) -> Measurement:
    """Answer a prompt shard and write its file and its measurement.

    Args:
        kitchen: the model.
        prompts: ``results/{study}/prompts/shards/{shard}.parquet``; it may be empty.
        work: the folder of this shard's chunks.
        out: ``results/{study}/responses/{model}/{shard}.parquet``.
        measured: the ``.json`` beside it.
    """
    conversations = read_shard(prompts).to_dicts()
    rows, cost = respond(kitchen, conversations, work)
    with disk_errors(out):
        made_from = provenance([prompts], recipe=kitchen.recipe)
        write_table(out, rows, RESPONSES, made_from)
        measurement = measure(kitchen, prompts.stem, cost, work)
        write_json(measured, measurement.model_dump())
    return measurement


def read_about(path: Path) -> About | None:
    """``engine.json``: what made the chunks beside it; None where it is not there.

    Raises:
        DataError: it cannot be read.
    """
    if not path.exists():
        return None
    hint = "; remove it and run again"
    found = read_json(path, "what an engine says of itself", hint=hint)
    try:
        return About(**found)
    except TypeError as error:
        raise DataError(f"{path}: not what an engine says of itself{hint}") from error


def measure(kitchen: Kitchen, shard: str, cost: Cost, work: Path) -> Measurement:
    """What a shard cost, summed over its chunks."""
    known = work / kitchen.recipe / "engine.json"  # left by the engine that made the chunks
    about = read_about(known) or About(kitchen.job.settings.engine)
    tokens, seconds = cost.input_tokens + cost.output_tokens, cost.generate_seconds
    return Measurement(
        study=kitchen.job.study,
        model=kitchen.job.model,
        shard=shard,
        engine=about.name,
        engine_arguments=about.arguments,
        sampling=kitchen.identity["sampling"],
        context=kitchen.sizes[0],
        parameters=kitchen.job.source.parameters,
        gpus=kitchen.job.gpus,
        conversations=cost.conversations,
        rows=cost.rows,
        failures=cost.failures,
        input_tokens=cost.input_tokens,
        output_tokens=cost.output_tokens,
        load_seconds=cost.load_seconds,
        generate_seconds=seconds,
        prefill_seconds=cost.prefill_seconds,
        decode_seconds=cost.decode_seconds,
        peak_memory=cost.peak_memory,
        tokens_per_second=_ratio(tokens, seconds),
        seconds_per_1000_conversations=_ratio(1000 * seconds, cost.conversations),
        input_output_ratio=_ratio(cost.input_tokens, cost.output_tokens),
        prefill_decode_ratio=_ratio(
            _ratio(cost.input_tokens, cost.prefill_seconds), _ratio(cost.output_tokens, cost.decode_seconds)
        ),
        versions=about.versions,
        hardware=about.hardware,
    )


def _ratio(over: float | None, under: float | None) -> float | None:
    return over / under if over is not None and under else None

"""One model answers one shard of prompts: the file of its responses, and what they cost."""

from __future__ import annotations

from pathlib import Path

from rewild.core.files import write_json
from rewild.core.table import provenance, write_table
from rewild.engines.base import About
from rewild.generation.prepared import Prepared
from rewild.generation.respond import Cost, read_about, respond
from rewild.generation.schema import RESPONSES, Measurement
from rewild.generation.store import disk_errors
from rewild.prompts.schema import read_shard


def run_shard(model: Prepared, prompts: Path, work: Path, out: Path, measured: Path) -> Measurement:
    """Answer a prompt shard and write its file and its measurement.

    Args:
        model: made ready.
        prompts: ``results/{study}/prompts/shards/{shard}.parquet``; it may be empty.
        work: the folder of this shard's chunks.
        out: ``results/{study}/responses/{model}/{shard}.parquet``.
        measured: the ``.json`` beside it.
    """
    conversations = read_shard(prompts, model.spec.origins).to_dicts()
    rows, cost = respond(model, conversations, work)
    with disk_errors(out):
        made_from = provenance([prompts], recipe=model.digest)
        write_table(out, rows, RESPONSES, made_from)
        measurement = measure(model, prompts.stem, cost, work)
        write_json(measured, measurement.model_dump())
    return measurement


def measure(model: Prepared, shard: str, cost: Cost, work: Path) -> Measurement:
    """What a shard cost, summed over its chunks."""
    known = work / model.digest / "engine.json"  # left by the engine that made the chunks
    about = read_about(known) or About(model.spec.engine)
    tokens, seconds = cost.input_tokens + cost.output_tokens, cost.generate_seconds
    return Measurement(
        study=model.spec.study,
        model=model.spec.model,
        shard=shard,
        engine=about.name,
        engine_arguments=about.arguments,
        sampling=model.identity["sampling"],
        context=model.sizes[0],
        parameters=model.spec.source.parameters,
        gpus=model.spec.gpus,
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

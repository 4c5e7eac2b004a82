"""One model answers one shard of prompts: the file of its responses, and what they cost."""

from __future__ import annotations

from pathlib import Path

from rewild.core.files import write_json
from rewild.core.table import provenance, write_table
from rewild.generation.prepared import Prepared
from rewild.generation.respond import measure, respond
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
        measurement = measure(model, prompts.stem, cost, work / model.digest, model.identity["sampling"])
        write_json(measured, measurement.model_dump())
    return measurement

"""Collection: count what every shard of a model holds, and refuse if it does not add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from rewild.core.errors import DataError
from rewild.core.files import sha256, write_json
from rewild.core.table import read_table
from rewild.generation.pilot import PilotReport
from rewild.generation.rows import reason_of
from rewild.generation.schema import RESPONSES, Manifest, ShardCount
from rewild.generation.spec import Spec
from rewild.prompts.schema import read_shard


def collect(spec: Spec, pilot: PilotReport, prompts: Sequence[Path], folder: Path, out: Path) -> Manifest:
    """Check every shard of a model against its prompts and write the manifest. One shard at a time in memory.

    Args:
        spec: the model in the study.
        pilot: its pilot's report; every row must be made by the recipe that was piloted.
        prompts: the shards of prompts.
        folder: ``results/{study}/responses/{model}``, with a file per shard.
        out: ``manifest.json``.

    Raises:
        DataError: rows that are missing, too many, blank, or made by another recipe; names file and row.
    """
    shards, reasons = [], Counter[str]()
    for path in sorted(prompts, key=lambda p: p.name):
        count, failed = _count(pilot, read_shard(path, spec.origins), folder / path.name)
        shards.append(count)
        reasons.update(failed)
    manifest = Manifest(
        study=spec.study,
        model=spec.model,
        engine=spec.engine,
        history=spec.history,
        recipe=pilot.recipe,
        identity=pilot.settings,
        conversations=sum(s.conversations for s in shards),
        rows=sum(s.rows for s in shards),
        failures=sum(s.failures for s in shards),
        failures_by_reason=dict(sorted(reasons.items())),
        input_tokens=sum(s.input_tokens for s in shards),
        output_tokens=sum(s.output_tokens for s in shards),
        reasoning_tokens=sum(s.reasoning_tokens for s in shards),
        shards=shards,
    )
    write_json(out, manifest.model_dump())
    return manifest


def _count(pilot: PilotReport, prompts: pl.DataFrame, file: Path) -> tuple[ShardCount, list[str]]:
    wanted = prompts.select("conversation_id", "n_turns")
    try:
        rows = read_table(file, RESPONSES, allow_empty=True)
    except DataError as error:
        # A job may report success with a file cut short: a full disk, a node that was lost.
        raise DataError(f"{error}; remove the file and run again (its chunks are kept)") from error
    found = rows.group_by("conversation_id").agg(pl.len().alias("found"), pl.col("turn").max().alias("last"))
    both = wanted.join(found, on="conversation_id", how="full", coalesce=True).fill_null(0)
    wrong = both.filter((pl.col("n_turns") != pl.col("found")) | (pl.col("last") + 1 != pl.col("n_turns")))
    if wrong.height:
        first = wrong.sort("conversation_id").row(0, named=True)
        raise DataError(
            f"{file}: conversation {first['conversation_id']} has {first['found']} rows for "
            f"{first['n_turns']} user turns ({wrong.height} conversations do not add up); "
            "remove the file and run again"
        )
    for text, bad in (
        (
            "holds an answer and a failure at once, or neither",
            pl.col("response").is_null() == pl.col("failure").is_null(),
        ),
        ("holds a blank answer", pl.col("response").str.strip_chars() == ""),
        (f"is of another model than {pilot.model}", pl.col("model") != pilot.model),
        (
            f"was made by another recipe than {pilot.recipe}; remove the file and run again",
            pl.col("recipe") != pilot.recipe,
        ),
    ):
        at = rows.select(bad.fill_null(False).arg_true()).to_series()
        if at.len():
            raise DataError(f"{file}, row {at[0] + 1}: the row {text}")
    failures = rows["failure"].drop_nulls()
    count = ShardCount(
        shard=file.stem,
        sha256=sha256(file),
        conversations=wanted.height,
        rows=rows.height,
        failures=failures.len(),
        input_tokens=int(rows["input_tokens"].sum() or 0),
        output_tokens=int(rows["output_tokens"].sum() or 0),
        reasoning_tokens=int(rows["reasoning_tokens"].sum() or 0),
    )
    return count, [reason_of(f) for f in failures]

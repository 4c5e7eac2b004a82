"""Prompts and several answers to each: the engines' usual way, with a seed for every sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from rewild.config.preferences import Preference, preference_benchmarks
from rewild.core.conversations import iter_turns
from rewild.core.errors import DataError
from rewild.core.table import provenance, read_table, write_table
from rewild.generation.prepared import Prepared
from rewild.generation.respond import respond
from rewild.generation.store import disk_errors
from rewild.prompts.contamination import Benchmarks, load_benchmarks
from rewild.prompts.filters import Step, apply_conditions, told
from rewild.prompts.schema import SHARD, read_shard, shard_of
from rewild.training.mixes.build import repeated
from rewild.training.mixes.draw import Candidates, draw_lowest, priorities
from rewild.training.mixes.read import Place
from rewild.training.preference_schema import ANSWERS


def draw_prompts(name: str, preference: Preference, place: Place, out: Path, *, seed: int) -> dict[str, int]:
    """Draw prompts by hash and write them, each cut to its first user turn.

    Args:
        name: the set's name, for messages.
        preference: its row.
        place: where the study's shards of prompts are, and its measures.
        out: ``prompts.parquet``.
        seed: of the draw.

    Returns:
        What became of the study's conversations: read, contaminated, filtered (if it has filters), drawn.

    Raises:
        DataError: fewer prompts than asked for; says how many there are, and how many each condition left.
    """
    check = preference.contamination
    files = preference_benchmarks(preference, place.root)
    benchmarks = load_benchmarks(files, check.words, place.root) if check else None
    applied = _filtered(name, preference, place, benchmarks) if preference.filters else None
    kept, read, dirty = [], 0, 0
    for path in place.shards:
        frame = first_turns(read_shard(path, preference.origins))
        read += frame.height
        clean = _clean(frame, benchmarks)
        dirty += frame.height - clean.height
        if applied:
            clean = clean.join(applied[0], on="conversation_id", how="semi", maintain_order="left")
        # A shard's lowest are all that can be among the lowest of all.
        kept.append(_lowest(clean, seed, preference.prompts))
    frame = _lowest(pl.concat(kept), seed, preference.prompts)
    steps = applied[1] if applied else []
    if frame.height < preference.prompts:
        lost = f", {dirty:,} repeat a benchmark" if dirty else ""
        lost += f"; {told(steps)}" if steps else ""
        raise DataError(
            f"preferences {name}: {preference.prompts:,} prompts are asked for, but there are "
            f"{frame.height:,} ({read:,} were read{lost})"
        )
    outcomes = {"read": read, "contaminated": dirty}
    outcomes |= {"filtered": sum(step.dropped for step in steps)} if steps else {}
    outcomes["drawn"] = frame.height
    said = {"filters": [asdict(step) for step in steps]} if steps else {}
    made_from = provenance(
        [*place.shards, *(place.measured if steps else ())],
        seed=seed,
        prompts=preference.prompts,
        outcomes=outcomes,
        **said,
    )
    write_table(out, frame.sort("conversation_id"), SHARD, made_from)
    return outcomes


def _filtered(
    name: str, preference: Preference, place: Place, benchmarks: Benchmarks | None
) -> tuple[pl.DataFrame, list[Step]]:
    """The ids of the prompts that a set's filters leave, of those that repeat no benchmark."""
    shards = (first_turns(read_shard(path, preference.origins)) for path in place.shards)
    ids = pl.concat([_clean(frame, benchmarks).select("conversation_id", "n_turns") for frame in shards])
    where = f"preferences {name}"
    found = apply_conditions(
        ids.rename({"conversation_id": "id"}),
        preference.filters,
        measures=place.measures,
        files=place.measured,
        subject_of=preference.subject_of,
        where=where,
    )
    if ids.height and not found.reasons.null_count():
        raise found.nothing_left(where, ids.height)
    return ids.filter(found.reasons.is_null()).select("conversation_id"), found.steps


def _clean(frame: pl.DataFrame, benchmarks: Benchmarks | None) -> pl.DataFrame:
    """The prompts that repeat no benchmark."""
    if benchmarks is None or not frame.height:
        return frame
    return frame.filter(repeated(benchmarks, frame["messages"]) < 0)


def first_turns(shard: pl.DataFrame) -> pl.DataFrame:
    """Prompts cut after their first user turn."""
    cut = [[dict(m) for m in next(iter_turns(messages)).prompt] for messages in shard["messages"].to_list()]
    return shard.with_columns(
        messages=pl.Series(cut, dtype=SHARD.columns["messages"].dtype),
        n_turns=pl.lit(1, dtype=pl.Int16),
    )


def _lowest(frame: pl.DataFrame, seed: int, amount: int) -> pl.DataFrame:
    names = frame["conversation_id"]
    priority, _ = priorities(seed, "", names.to_list())
    return frame.filter(draw_lowest(Candidates(names, priority), amount))


def sample_name(conversation: str, sample: int) -> str:
    """What one sample is called where answers are made: a conversation of its own, so a seed of its own."""
    return f"{conversation}.{sample:02d}"


def sample_answers(
    model: Prepared, preference: Preference, prompts: Path, *, shard: str, work: Path, out: Path
) -> pl.DataFrame:
    """Answer one shard's prompts several times each, chunk by chunk, durably, and write the answers.

    Args:
        model: made ready from :func:`.job.preference_spec`.
        preference: the set's row.
        prompts: ``prompts.parquet``.
        shard: which part of the prompts, such as 0000.
        work: the folder of this shard's chunks.
        out: ``answers/{shard}.parquet``.

    Returns:
        The rows of :data:`ANSWERS`, failures too.
    """
    conversations = [
        row | {"conversation_id": sample_name(row["conversation_id"], sample)}
        for row in mine(prompts, preference.shards, shard).to_dicts()
        for sample in range(preference.samples)
    ]
    rows, _ = respond(model, conversations, work)
    name = pl.col("conversation_id").str.split_exact(".", 1).struct
    frame = rows.with_columns(
        conversation_id=name.field("field_0"), sample=name.field("field_1").cast(pl.Int16)
    ).select(list(ANSWERS.columns))
    with disk_errors(out):
        write_table(out, frame, ANSWERS, provenance([prompts], recipe=model.digest, shard=shard))
    return frame


def mine(prompts: Path, shards: int, shard: str) -> pl.DataFrame:
    """The prompts of one shard, by range of their ids."""
    frame = read_table(prompts, SHARD)
    here = [shard_of(i, shards) == shard for i in frame["conversation_id"].to_list()]
    return frame.filter(pl.Series(here, dtype=pl.Boolean))


def answers_of(folder: Path, shards: Sequence[str]) -> pl.DataFrame:
    """The answers of all shards."""
    files = [folder / "answers" / f"{shard}.parquet" for shard in shards]
    found: pl.DataFrame = pl.concat([read_table(f, ANSWERS, allow_empty=True) for f in files])
    return found

"""Prompts that the filters of their sources leave, of all that were prepared.

Prompts are prepared as ever, but into ``prompts/prepared`` and without the limit; the measures that filters
read are of these; and here the shards of the study are written. So nothing is prepared or measured again when
a filter changes, and no measure waits for what it decides on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.measures.base import PROMPTS
from rewild.config.prompts import shard_names
from rewild.config.study import Study
from rewild.core.errors import ConfigError
from rewild.core.reading import read_json
from rewild.core.table import provenance, read_table
from rewild.prompts.filters import apply_conditions
from rewild.prompts.passes import Settled, count_kept, write_shard
from rewild.prompts.prepare import move_in, scratch_in
from rewild.prompts.report import MEASURED, REASONS, counts_of, summary, write_about
from rewild.prompts.schema import FAILURES, read_shard


def filter_prompts(
    study: Study,
    prepared: Path,
    measured: Sequence[Path],
    folder: Path,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Write ``shards/*.parquet``, ``failures.parquet`` and ``report.*`` of what filters and the limit leave.

    Args:
        study: whose prompts.
        prepared: the folder of prepared prompts, with their shards and report.
        measured: files of the measures that its sources' filters read.
        folder: where the results go, usually ``results/{study}/prompts``.
        say: called with a line of progress at a time.

    Returns:
        The report: that of the preparation, with what was left out here; ``filters`` has each condition of a
        source, and how many conversations it left.

    Raises:
        DataError: a file is missing or damaged, a conversation was not measured, or a source has none left.
    """
    prompts = study.prompts
    if prompts is None or not prompts.filtered:
        raise ConfigError(
            f"study {study.name}: no source of its prompts has `filters`; `rewild prepare` is all"
        )
    names = shard_names(prompts)
    files = [prepared / "shards" / f"{name}.parquet" for name in names]
    rows = pl.concat([read_shard(f).select("source", "n_turns", id="conversation_id") for f in files])
    dropped: dict[str, Counter[str]] = {source.name: Counter() for source in prompts.sources}
    steps, lost = {}, []
    for source in prompts.sources:
        mine = rows.filter(pl.col("source") == source.name)
        if not source.filters:
            continue
        where = f"study {study.name}: the filters of source '{source.name}'"
        found = apply_conditions(
            mine,
            source.filters,
            measures=study.measures,
            files=measured,
            subject_of=lambda measure: PROMPTS,
            where=where,
        )
        if mine.height and not found.reasons.null_count():
            raise found.nothing_left(where, mine.height)
        steps[source.name] = found.plain
        out = mine.filter(found.reasons.is_not_null())
        lost.append(out.select("id"))
        dropped[source.name][MEASURED] += out.height
    kept = rows.join(pl.concat(lost), on="id", how="anti").sort("id")
    for source, count in kept.slice(prompts.limit or kept.height).group_by("source").len().iter_rows():
        dropped[source]["limit"] += count
    kept = kept.head(prompts.limit or kept.height).select(conversation_id="id")
    made_from = provenance([*files, *measured], prompts=prompts.model_dump())
    with scratch_in(folder) as unfinished:
        settled = Settled()
        for name, file in zip(names, files, strict=True):
            frame = read_shard(file).join(kept, on="conversation_id", how="semi", maintain_order="left")
            write_shard(unfinished / f"{name}.parquet", frame, made_from)
            settled.shards[name] = frame.height
            count_kept(frame, settled)
        report = _account(read_json(prepared / "report.json"), dropped, settled) | {MEASURED: steps}
        malformed = read_table(prepared / "failures.parquet", FAILURES, allow_empty=True)
        write_about(unfinished, report, malformed, made_from)
        move_in(unfinished, folder, names)
    say(f"{study.name}: {summary(report)}")
    return report


def _account(before: dict[str, Any], dropped: dict[str, Counter[str]], settled: Settled) -> dict[str, Any]:
    """The report of a preparation, less what was left out since.

    Raises:
        RuntimeError: rows are missing or counted twice.
    """
    sources = {}
    for name, one in before["sources"].items():
        both = Counter(one["dropped"]) + dropped[name]
        reasons = {reason: both[reason] for reason in REASONS if both[reason]}
        sources[name] = {"read": one["read"], "kept": settled.kept[name], "dropped": reasons}
        if one["read"] != settled.kept[name] + sum(reasons.values()):
            raise RuntimeError(f"the rows of '{name}' do not add up: {sources[name]}")
    whole = Counter(before["dropped"]) + sum(dropped.values(), Counter())
    found = {
        "kept": settled.kept.total(),
        "dropped": {reason: whole[reason] for reason in REASONS if whole[reason]},
        "sources": sources,
        **counts_of([settled]),
    }
    return {key: found.get(key, value) for key, value in before.items() if key != "provenance"}

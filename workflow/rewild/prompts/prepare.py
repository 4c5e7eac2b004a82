"""Prepare a study's prompts: filter, deduplicate, cut into shards, and account for every row.

Two conversations are duplicates if their first user messages (or all their user turns) are the same. Which
one is kept does not depend on the order of files or rows: the one of the source that stands first in the
study, then the earliest, then the one with the lowest name in its source. So data that are newer, or of a
source further down the list, never replace a conversation that is there already.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rewild.config.prompts import Prompts, benchmark_files, input_files, shard_names
from rewild.core.errors import DataError
from rewild.core.files import sha256
from rewild.core.locks import scratch_folder
from rewild.core.table import provenance
from rewild.prompts.contamination import load_benchmarks
from rewild.prompts.passes import Mask, Piece, Sifted, Work, settle, sift, spill_file
from rewild.prompts.processes import processes
from rewild.prompts.report import FILES, account, failures, summary, write_about
from rewild.prompts.sources import Task, plan

WORTH_A_PROCESS = 32 << 20
"""Bytes of input that justify one more process."""


def prepare(
    study: str,
    prompts: Prompts,
    folder: Path,
    *,
    root: Path = Path(),
    cores: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Read a study's sources and write ``shards/*.parquet``, ``failures.parquet`` and ``report.*``.

    Everything is written beside its place first and moved there at the end, so that a failure leaves what was
    there before.

    Args:
        study: its name, for messages and the report.
        prompts: its settings.
        folder: where the results go, usually ``results/{study}/prompts``.
        root: the repository, to which the paths in the settings are relative.
        cores: processes to use; the result does not depend on it.
        say: called with a line of progress at a time.

    Returns:
        The report, as in ``report.json``.

    Raises:
        DataError: a source or benchmark cannot be read, nothing is left, or the disk is full.
    """
    tasks = plan(prompts, root, study)
    if not tasks:
        raise DataError(f"study {study}: the sources have no rows")
    inputs = input_files(prompts, root, study)
    benchmarks = None
    if prompts.contamination:
        benchmarks = load_benchmarks(benchmark_files(prompts, root), prompts.contamination.words, root)
    with scratch_in(folder) as unfinished:
        work = Work(prompts, benchmarks, unfinished)
        with processes(_useful(cores, [root / file for file in inputs]), work) as run:
            say(f"{study}: reading {len(inputs)} files in {len(tasks)} parts")
            checksums = run(_checksum, [(root / file,) for file in inputs])
            made_from = provenance(prompts=prompts.model_dump())
            made_from["inputs"] = dict(zip(inputs, checksums, strict=True))
            sifted: list[Sifted] = run(sift, enumerate(tasks))
            keep, duplicates = choose(prompts, tasks, sifted)
            say(
                f"{study}: writing {sum(int(k.sum()) for k in keep)} conversations in {prompts.shards} shards"
            )
            pieces = _pieces(work, tasks, sifted, keep)
            settled = run(settle, ((cell, pieces[cell], made_from) for cell in range(work.cells)))
        report = {"study": study} | account(work, tasks, sifted, duplicates, settled)
        malformed = failures(prompts, tasks, sifted)
        if not report["kept"]:
            raise DataError(f"study {study}: no conversation is left ({summary(report)}){_first(malformed)}")
        write_about(unfinished, report, malformed, made_from)
        move_in(unfinished, folder, shard_names(prompts))
    say(f"{study}: {summary(report)}")
    return report


def _first(malformed: pl.DataFrame) -> str:
    """What is wrong with the first row that is no conversation, where no table will say so."""
    for row in malformed.head(1).iter_rows(named=True):
        return f"; the first malformed: {row['file']}, line {row['line']}: {row['reason']}: {row['detail']}"
    return ""


def choose(
    prompts: Prompts, tasks: Sequence[Task], sifted: Sequence[Sifted]
) -> tuple[list[Mask], dict[int, Counter[str]]]:
    """Which survivors of the first pass are kept: one of each group of duplicates, up to the limit.

    Rows that are the same conversation by the same name at the same time all stay; the second pass sees what
    is in them.

    Returns:
        Per task the rows to keep, and per source the rows dropped, by reason.
    """
    sizes = [len(part.keys) for part in sifted]
    keys = pl.concat([part.keys for part in sifted]).with_columns(
        source=pl.Series(np.repeat([task.source for task in tasks], sizes), dtype=pl.Int32),
        row=pl.int_range(pl.len()),
    )
    group = "first" if prompts.duplicates == "first-message" else "id"
    order = ["source", "time", "source_id", "id"]
    # A row is its own group's only member nearly always, so only the rest is sorted.
    rivals = keys.filter(pl.col(group).is_duplicated()).sort(group, *order, nulls_last=True)
    best = rivals.group_by(group, maintain_order=True).agg(
        pl.col(c).first().alias(f"{c}_best") for c in order
    )
    same = [pl.col(c).eq_missing(pl.col(f"{c}_best")) for c in order if c != group]
    lost = rivals.join(best, on=group).filter(~pl.all_horizontal(same))
    keep = np.ones(len(keys), dtype=bool)
    keep[lost["row"].to_numpy()] = False
    dropped: dict[int, Counter[str]] = {source: Counter() for source in range(len(prompts.sources))}
    for source, copy, rows in lost.group_by("source", pl.col("id") == pl.col("id_best")).len().iter_rows():
        dropped[source]["duplicate_conversation" if copy else "duplicate_first_message"] += rows
    ids = keys["id"].to_numpy()
    lowest = np.unique(ids[keep])
    if prompts.limit is not None and len(lowest) > prompts.limit:
        over = keep & (ids >= lowest[prompts.limit])
        for source, rows in keys.filter(over).group_by("source").len().iter_rows():
            dropped[source]["limit"] += rows
        keep &= ~over
    return np.split(keep, np.cumsum(sizes)[:-1]), dropped


def _pieces(
    work: Work, tasks: Sequence[Task], sifted: Sequence[Sifted], keep: Sequence[Mask]
) -> dict[int, list[Piece]]:
    """Per cell, where its rows lie."""
    pieces: dict[int, list[Piece]] = {cell: [] for cell in range(work.cells)}
    for number, (task, part, kept) in enumerate(zip(tasks, sifted, keep, strict=True)):
        source = work.prompts.sources[task.source].name
        cells = part.keys["cell"].to_numpy()
        for cell, batches in part.batches.items():
            pieces[cell].append(Piece(spill_file(work, number), batches, source, kept[cells == cell]))
    return pieces


def _useful(cores: int, inputs: Sequence[Path]) -> int:
    """Processes that earn the second that each takes to start."""
    return min(cores, 1 + sum(path.stat().st_size for path in inputs) // WORTH_A_PROCESS)


def _checksum(_: Work, path: Path) -> str:
    return sha256(path)


def move_in(unfinished: Path, folder: Path, names: Sequence[str]) -> None:
    """Put finished files in their places; shards of an earlier, finer cut go."""
    shards = folder / "shards"
    shards.mkdir(exist_ok=True)
    for old in shards.glob("*.parquet"):
        if old.stem not in names:
            old.unlink()
    for name in names:
        (unfinished / f"{name}.parquet").replace(shards / f"{name}.parquet")
    for file in FILES:
        (unfinished / file).replace(folder / file)


_FULL = {errno.ENOSPC: "is full", errno.EDQUOT: "is over its quota", errno.EFBIG: "takes no larger file"}


@contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """A folder for unfinished files in ``folder``, gone at the end. A full disk is said in plain words."""
    try:
        with scratch_folder(folder, "prepare") as path:
            yield path
    except (OSError, pl.exceptions.PolarsError) as error:
        for code, what in _FULL.items():
            if getattr(error, "errno", None) == code or os.strerror(code) in str(error):
                raise DataError(
                    f"{folder}: the disk {what}. Preparing prompts needs room for the text of the sources "
                    "and for the shards. Nothing there was changed"
                ) from error
        raise

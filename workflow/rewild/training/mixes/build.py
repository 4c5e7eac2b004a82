"""Make a mix: read its sources twice, draw in between, write in the order of hashes, in bounded memory.

First pass: every conversation's name and the reason, if any, why it may not be drawn. Then the draw, on names
alone. Second pass: the conversations drawn are laid aside in cells of :data:`CELL` neighbours of the final
order, and each cell is sorted and written. So memory holds names and a shard, never all of the text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rewild import __version__
from rewild.config.base import identity
from rewild.config.measures.conditions import Condition
from rewild.config.mixes import (
    FromFiles,
    FromHub,
    FromPrompts,
    FromResponses,
    FromSamples,
    Mix,
    Source,
    benchmark_files,
    data_files,
    subject_of,
)
from rewild.config.stages import version
from rewild.core.conversations import THOUGHT
from rewild.core.errors import DataError
from rewild.core.files import atomic, filling, sha256
from rewild.core.locks import scratch_folder
from rewild.core.table import TableSchema
from rewild.generation.schema import read_manifest
from rewild.prompts.contamination import Benchmarks, load_benchmarks
from rewild.prompts.filters import apply_conditions
from rewild.training.mixes.draw import Candidates, draw_lowest, draw_once, priorities
from rewild.training.mixes.measured import digests
from rewild.training.mixes.read import Place, check_sums, read_source, sample_inputs
from rewild.training.mixes.schema import BATCH, SOURCES, train_of

CELL = 8192
Say = Callable[[str], None]
Mask = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.int64]


@dataclass
class Scanned:
    """What the first pass found in a source: a row per conversation, in the order of its stream.

    Attributes:
        frame: ``source_id``, ``reason`` (null if it may be drawn), ``priority``, ``order``.
        drawn: which are drawn; set by the draw.
    """

    frame: pl.DataFrame
    drawn: Mask

    @property
    def free(self) -> Mask:
        """Which may be drawn."""
        return self.frame["reason"].is_null().to_numpy()


def build(
    name: str, mix: Mix, place: Place, folder: Path, *, study: str, seed: int, say: Say = lambda line: None
) -> dict[str, dict[str, int]]:
    """Make a mix's ``train.parquet``; everything else about it is made from that file (:mod:`.card`).

    Args:
        name: the mix's name.
        mix: its row.
        place: where its sources' files are.
        folder: ``results/{study}/mixes/{mix}``.
        study: the study's name.
        seed: the study's, if the row has none.
        say: called with a line of progress at a time.

    Returns:
        What became of every source's conversations: source → outcome → conversations.

    Raises:
        DataError: a source cannot be read, or has too few conversations. Nothing is written then.
    """
    seed = mix.seed if mix.seed is not None else seed
    benchmarks = _benchmarks(mix, place)
    removing = benchmarks if mix.contamination and mix.contamination.action == "remove" else None
    for model in mix.models():
        check_sums(place.manifest(model))
    scanned = []
    for number, source in enumerate(mix.sources):
        scanned.append(_scan(mix, number, seed, place, removing, name=name))
        found = scanned[-1]
        say(f"{name}: {source.label}: {found.frame.height:,} read, {int(found.free.sum()):,} of use")
    _draw(name, mix, scanned)
    ranks = _ranks(mix, scanned)
    reporting = benchmarks if removing is None else None
    made_from = {
        "rewild": __version__,
        "stage": version("mixes"),
        "study": study,
        "mix": name,
        "seed": seed,
        "settings": identity(mix),
        "sources": {source.label: source_identity(mix, n, place) for n, source in enumerate(mix.sources)},
    }
    with scratch_folder(folder, "mix") as scratch:
        with filling(scratch):
            _spill(mix, place, scanned, ranks, reporting=reporting, scratch=scratch)
        total = sum(int(s.drawn.sum()) for s in scanned)
        say(f"{name}: writing {total:,} conversations")
        _write(folder / "train.parquet", scratch, total, made_from, mix)
    return {s.label: _outcomes(f) for s, f in zip(mix.sources, scanned, strict=True)}


def source_identity(mix: Mix, number: int, place: Place) -> dict[str, Any]:
    """What identifies the data of a source, whatever files they are cut into."""
    source = mix.sources[number]
    by = digests(mix, source, place.measures, place.measured)
    return _data_of(source, place) | ({"measures": by} if by else {})


def _data_of(source: Source, place: Place) -> dict[str, Any]:
    if isinstance(source, FromResponses):
        found: dict[str, Any] = {"recipe": read_manifest(place.manifest(source.model)).recipe}
        if source.length_control:
            other = source.length_control.model
            found["length_control_recipe"] = read_manifest(place.manifest(other)).recipe
        return found
    if isinstance(source, FromSamples):
        return {"files": {path.name: sha256(path) for path in sample_inputs(source, place)}}
    if isinstance(source, FromHub):
        return {"repository": source.repository, "revision": source.revision}
    if isinstance(source, FromFiles):
        return {"files": {file: sha256(place.root / file) for file in data_files(source, place.root)}}
    return {}


def sources_frame(outcomes: dict[str, dict[str, int]]) -> pl.DataFrame:
    """The result of :func:`build` as a table."""
    rows = [(s, outcome, n) for s, found in outcomes.items() for outcome, n in found.items()]
    return pl.DataFrame(rows, schema=SOURCES.dtypes, orient="row")


def outcomes_of(sources: pl.DataFrame) -> dict[str, dict[str, int]]:
    """:func:`sources_frame`, read back."""
    found: dict[str, dict[str, int]] = {}
    for source, outcome, conversations in sources.iter_rows():
        found.setdefault(source, {})[outcome] = conversations
    return found


def _outcomes(found: Scanned) -> dict[str, int]:
    reasons = Counter(found.frame["reason"].drop_nulls().to_list())
    drawn = int(found.drawn.sum())
    left = int(found.free.sum()) - drawn
    return {"read": found.frame.height, "drawn": drawn, "not_drawn": left, **dict(sorted(reasons.items()))}


def _benchmarks(mix: Mix, place: Place) -> Benchmarks | None:
    if mix.contamination is None:
        return None
    return load_benchmarks(benchmark_files(mix, place.root), mix.contamination.words, place.root)


def repeated(benchmarks: Benchmarks, messages: pl.Series) -> npt.NDArray[np.int64]:
    """Per conversation the index of the first benchmark file that one of its user turns repeats, or -1."""
    turns = (
        pl.DataFrame({"messages": messages})
        .with_row_index("row")
        .explode("messages")
        .select("row", pl.col("messages").struct.unnest())
        .filter(pl.col("role") == "user")
    )
    found = np.full(len(messages), len(benchmarks.files), dtype=np.int64)
    if turns.height:
        hits = benchmarks.match(turns["content"])
        np.minimum.at(found, turns["row"].to_numpy()[hits >= 0], hits[hits >= 0])
    return np.where(found == len(benchmarks.files), -1, found)


# First pass and draw


def _scan(
    mix: Mix, number: int, seed: int, place: Place, removing: Benchmarks | None, *, name: str
) -> Scanned:
    parts = []
    for batch in read_source(mix, number, place):
        reason = batch["reason"]
        if removing is not None and batch.height:
            dirty = pl.Series(repeated(removing, batch["messages"]) >= 0) & reason.is_null()
            reason = reason.set(dirty, "contaminated")
        parts.append(batch.select("source_id", "n_turns", reason=reason))
    source = mix.sources[number]
    columns = {name: BATCH[name] for name in ("source_id", "n_turns", "reason")}
    frame = pl.concat(parts) if parts else pl.DataFrame(schema=columns)
    free = frame.filter(pl.col("reason").is_null())["source_id"]
    if (twice := free.is_duplicated()).any():
        raise DataError(
            f"source '{source.label}': conversation {free.filter(twice)[0]} stands in two files; "
            "prepare and collect again"
        )
    if conditions := (source.filters or mix.filters).measures:
        frame = _measured(frame, conditions, source, place, f"mix {name}: source '{source.label}'")
    shared = isinstance(source, FromResponses | FromPrompts | FromSamples)
    salt = "" if shared and mix.draw == "once" else source.label
    priority, order = priorities(seed, salt, frame["source_id"].to_list())
    frame = frame.with_columns(priority=pl.Series(priority), order=pl.Series(order))
    return Scanned(frame, np.zeros(frame.height, dtype=bool))


def _measured(
    frame: pl.DataFrame, conditions: Sequence[Condition], source: Source, place: Place, where: str
) -> pl.DataFrame:
    """The conversations of a source with the conditions on measures as the last reasons against them."""
    rows = frame.with_row_index("row")
    free = rows.filter(pl.col("reason").is_null())
    found = apply_conditions(
        free.rename({"source_id": "id"}),
        conditions,
        measures=place.measures,
        files=place.measured,
        subject_of=lambda measure: subject_of(measure, source),
        where=where,
    )
    if free.height and found.reasons.null_count() == 0:
        raise found.nothing_left(where, free.height)
    late = free.select("row", late=found.reasons)
    whole = rows.join(late, on="row", how="left", maintain_order="left")
    return whole.select("source_id", reason=pl.coalesce("reason", "late"))


def _draw(name: str, mix: Mix, scanned: Sequence[Scanned]) -> None:
    """Set what is drawn of every source.

    Raises:
        DataError: a source has too few conversations; says how many there are, and what became of the rest.
    """
    amounts = mix.amounts()
    found = []
    for one in scanned:
        free = one.frame.filter(pl.col("reason").is_null())
        found.append(Candidates(free["source_id"], free["priority"].to_numpy()))
    together = [
        n
        for n, s in enumerate(mix.sources)
        if isinstance(s, FromResponses | FromPrompts | FromSamples) and mix.draw == "once"
    ]
    masks = {n: draw_lowest(found[n], amounts[n]) for n in range(len(found)) if n not in together}
    if together:
        shared = draw_once([found[n] for n in together], [amounts[n] for n in together])
        masks |= dict(zip(together, shared, strict=True))
    for n, (one, wanted) in enumerate(zip(scanned, amounts, strict=True)):
        got = int(masks[n].sum())
        if got == 0 or (wanted is not None and got < wanted):
            raise DataError(_too_few(name, mix.sources[n].label, one, wanted, got))
        one.drawn[np.flatnonzero(one.free)] = masks[n]


def _too_few(name: str, source: str, one: Scanned, wanted: int | None, got: int) -> str:
    lost = Counter(one.frame["reason"].drop_nulls().to_list())
    free = int(one.free.sum())
    why = f"{one.frame.height:,} were read"
    why += "".join(f", {n:,} dropped as {reason}" for reason, n in sorted(lost.items()))
    asked = f"{wanted:,} are asked for" if wanted is not None else "at least one is needed"
    text = f"mix {name}: source '{source}' has {free:,} conversations to draw from, but {asked} ({why})"
    if got < free:
        text += (
            f". Only {got:,} were left for it, because each conversation is drawn for one source; "
            "`draw: independently` lets a prompt occur twice"
        )
    return text


def _ranks(mix: Mix, scanned: Sequence[Scanned]) -> list[Ranks]:
    """Per source the place in the mix of each of its drawn conversations, in the order of its stream."""
    drawn = [one.frame.filter(one.drawn) for one in scanned]
    keys = pl.concat(
        [
            f.select("source_id", "order", number=pl.lit(n, dtype=pl.Int32), row=pl.int_range(pl.len()))
            for n, f in enumerate(drawn)
        ]
    )
    by = ["number", "order", "source_id"] if mix.order == "by-source" else ["order", "number", "source_id"]
    placed = keys.sort(by).with_columns(rank=pl.int_range(pl.len())).sort("number", "row")
    return [placed.filter(pl.col("number") == n)["rank"].to_numpy() for n in range(len(scanned))]


# Second pass


def _spill(
    mix: Mix,
    place: Place,
    scanned: Sequence[Scanned],
    ranks: Sequence[Ranks],
    *,
    reporting: Benchmarks | None,
    scratch: Path,
) -> None:
    """Lay the drawn conversations aside, each in the file of its cell, with its rank."""
    with ExitStack() as stack:
        writers: dict[int, Any] = {}
        for number, (source, one, rank) in enumerate(zip(mix.sources, scanned, ranks, strict=True)):
            start = taken = 0
            for batch in read_source(mix, number, place):
                mine = one.drawn[start : start + batch.height]
                start += batch.height
                rows = batch.filter(mine)
                if not rows.height:
                    continue
                rows = _finished(rows, source.label, reporting, train_of(mix))
                rows = rows.with_columns(rank=pl.Series(rank[taken : taken + rows.height]))
                taken += rows.height
                cells = rows.with_columns(cell=pl.col("rank") // CELL)
                for (cell,), part in cells.partition_by("cell", as_dict=True, include_key=False).items():
                    table = part.to_arrow(compat_level=pl.CompatLevel.oldest())
                    if cell not in writers:
                        path = _cell_file(scratch, int(cell))
                        writers[cell] = stack.enter_context(pa.ipc.new_file(str(path), table.schema))
                    writers[cell].write_table(table)
            if start != len(one.drawn) or taken != len(rank):
                raise DataError(f"source '{source.label}' changed while it was read; run again")


def _finished(
    rows: pl.DataFrame, label: str, reporting: Benchmarks | None, schema: TableSchema
) -> pl.DataFrame:
    """Drawn conversations in the shape of a mix's schema."""
    named = pl.Series([None] * rows.height, dtype=pl.String)
    if reporting is not None:
        files = [*reporting.files, None]
        named = pl.Series([files[i] for i in repeated(reporting, rows["messages"])], dtype=pl.String)
    rows = rows.with_columns(
        id=pl.concat_str(pl.lit(f"{label}/"), "source_id"), source=pl.lit(label), contaminated=named
    )
    return rows.select(list(schema.columns))


def _write(path: Path, scratch: Path, total: int, made_from: dict[str, Any], mix: Mix) -> None:
    """Write the cells one after another, a row group each."""
    contract, thoughts = train_of(mix), 0
    about = {"schema": contract.name, "version": contract.version, "provenance": made_from}
    with atomic(path) as temporary, ExitStack() as stack:
        writer = None
        for cell in range(-(-total // CELL)):
            with pa.OSFile(str(_cell_file(scratch, cell))) as handle, pa.ipc.open_file(handle) as reader:
                frame = pl.DataFrame(pl.from_arrow(reader.read_all()))
            frame = contract.check(frame.sort("rank").drop("rank"), path)
            if mix.reasons:
                thoughts += frame["messages"].explode().struct.field(THOUGHT).count()
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
            if writer is None:
                schema = table.schema.with_metadata({"rewild": json.dumps(about, ensure_ascii=False)})
                writer = stack.enter_context(
                    pq.ParquetWriter(
                        temporary,
                        schema,
                        compression="zstd",
                        compression_level=1,
                        use_dictionary=["source", "language", "contaminated"],
                    )
                )
            writer.write_table(table.cast(writer.schema), row_group_size=CELL)
        if mix.reasons and not thoughts:
            raise DataError(
                f"mix {made_from['mix']}: reasoning is to be trained on, and no conversation that was drawn "
                "has any; its models need `reasoning` in their rows, or remove `reasoning: train`"
            )


def _cell_file(scratch: Path, cell: int) -> Path:
    return scratch / f"{cell:05d}.arrow"

"""Readers: every source of a mix becomes a stream of batches of one shape.

A conversation that may not be drawn stays in its batch, with the first reason that applies, so that all of a
source's conversations are counted. Memory holds one shard of responses, or one batch of a file, at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from rewild.config.measures import Measure
from rewild.config.mixes import (
    Filters,
    FromFiles,
    FromHub,
    FromPrompts,
    FromResponses,
    FromSamples,
    LengthControl,
    Mix,
    sample_files,
)
from rewild.core.conversations import THOUGHT
from rewild.core.errors import DataError
from rewild.core.files import sha256
from rewild.core.reading import faults, open_file
from rewild.core.table import read_table
from rewild.generation.schema import RESPONSES, read_manifest
from rewild.prompts.schema import SHARD, read_shard
from rewild.training.mixes.foreign import read_foreign
from rewild.training.mixes.schema import batch_of
from rewild.training.preference_schema import ANSWERS, PAIRS

_COLUMNS = [
    "conversation_id",
    "turn",
    "language",
    "prompt",
    "response",
    "finish_reason",
    "repetition",
    "garbled",
]
_UNREASONED = pl.struct(
    *(pl.element().struct.field(name) for name in ("role", "content")),
    pl.lit(None, dtype=pl.String).alias(THOUGHT),
)


@dataclass(frozen=True)
class Place:
    """Where the files of a mix are.

    Attributes:
        root: the repository, to which the paths in the settings are relative.
        results: ``results/{study}``.
        measures: the study's, for filters over them.
        measured: files of these measures.
        manifests: model → the manifest of its responses, where it is given; else it is in ``results``.
        shards: shards of the study's prompts; none given are all that are in ``results``.
        cut: set of pairs → the names of its shards: files of other shards may be there from before.
    """

    root: Path
    results: Path
    measures: Mapping[str, Measure] = field(default_factory=dict)
    measured: Sequence[Path] = ()
    manifests: Mapping[str, Path] = field(default_factory=dict)
    shards: Sequence[Path] = ()
    cut: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def manifest(self, model: str) -> Path:
        """The manifest of a model's responses."""
        return self.manifests.get(model) or self.results / "responses" / model / "manifest.json"


def read_source(mix: Mix, number: int, place: Place) -> Iterator[pl.DataFrame]:
    """The conversations of source ``number`` of a mix, in batches of :data:`.schema.BATCH`.

    Raises:
        DataError: a file is missing, empty, corrupt, without a column, or holds a row that is no
            conversation; the message names the file and the row.
    """
    source = mix.sources[number]
    filters = source.filters or mix.filters
    match source:
        case FromResponses():
            batches = _responses(source, filters, place, reasons=mix.reasons)
        case FromPrompts():
            batches = _prompts(place, source.origins)
        case FromSamples():
            batches = _samples(source, filters, place)
        case FromHub() | FromFiles():
            batches = read_foreign(source, place.root)
    for batch in batches:
        found = _filtered(batch, filters)
        if mix.reasons and "reasoning" not in batch.columns:  # no model of this study's answered
            found = found.with_columns(messages=pl.col("messages").list.eval(_UNREASONED))
        yield found.select(pl.col(name).cast(dtype, strict=True) for name, dtype in batch_of(mix).items())


# Responses


def _responses(
    source: FromResponses, filters: Filters, place: Place, *, reasons: bool
) -> Iterator[pl.DataFrame]:
    path = place.manifest(source.model)
    control = source.length_control
    others = _shards(place.manifest(control.model)) if control else {}
    asked = {file.stem: file for file in _prompt_files(place)} if source.origins else {}
    for shard, file in _shards(path).items():
        rows = _read(file, [*_COLUMNS, "reasoning"] if reasons else _COLUMNS)
        if source.origins:
            if shard not in asked:
                raise DataError(f"{path} has a shard '{shard}' of which there are no prompts; collect again")
            wanted = read_shard(asked[shard], source.origins)["conversation_id"]
            rows = rows.filter(pl.col("conversation_id").is_in(wanted.implode()))
        if control:
            if shard not in others:
                raise DataError(
                    f"{place.manifest(control.model)}: no shard '{shard}', which {path} has: answers to the "
                    "same prompts are needed to control length"
                )
            rows = control_length(
                rows, _read(others[shard], ["conversation_id", "turn", "prompt", "response"]), control
            )
        yield _conversations(rows, filters, file)


def _shards(manifest: Path) -> dict[str, Path]:
    """The files that a manifest lists, each looked at: missing or altered files are errors."""
    files = {}
    for shard in read_manifest(manifest).shards:
        file = manifest.parent / f"{shard.shard}.parquet"
        if not file.is_file():
            raise DataError(f"{file}: no such file, but {manifest} lists it; run `rewild collect` again")
        files[shard.shard] = file
    return files


def check_sums(manifest: Path) -> None:
    """Refuse shards that are not the ones that were collected.

    Raises:
        DataError: names the shard.
    """
    for shard in read_manifest(manifest).shards:
        file = manifest.parent / f"{shard.shard}.parquet"
        if file.is_file() and sha256(file) != shard.sha256:
            raise DataError(f"{file}: not the file that {manifest} counted; run `rewild collect` again")


def _read(file: Path, columns: list[str]) -> pl.DataFrame:
    open_file(file, "a responses table").close()
    with faults(file, "a responses table"):
        rows = RESPONSES.completed(pl.scan_parquet(file)).select(columns).collect()
        return rows.sort("conversation_id", "turn")


def control_length(rows: pl.DataFrame, other: pl.DataFrame, control: LengthControl) -> pl.DataFrame:
    """Cut answers to the length, in characters, of another model's answers to the same turns.

    Args:
        rows: a shard of responses, with the columns ``conversation_id``, ``turn``, ``prompt``, ``response``.
        other: the same shard of the other model.
        control: how. ``released_script`` follows ``src/util/length_control.py`` of the release, which takes
            every second message from the first, so the user's, of conversations that have as many turns in
            both; the other half, the answers, stays as it is.

    Returns:
        ``rows`` with ``response`` (or ``prompt``) cut, and the columns ``cut``, whether a text became
        shorter, and ``counterpart``, whether the other model answered the turn.
    """
    found = other.select(
        "conversation_id",
        "turn",
        other_prompt=pl.col("prompt").str.len_chars(),
        other_length=pl.col("response").str.len_chars(),
        other_turns=pl.len().over("conversation_id"),
    )
    rows = rows.join(found, on=["conversation_id", "turn"], how="left", maintain_order="left")
    if control.behaviour == "truncate":
        column, length, applies = "response", pl.col("other_length"), pl.lit(True)
        counterpart = pl.col("other_length").is_not_null()
    else:
        column, length = "prompt", pl.col("other_prompt")
        applies = pl.col("other_turns") == pl.len().over("conversation_id")
        counterpart = pl.col("other_prompt").is_not_null()
    longer = (applies & (pl.col(column).str.len_chars() > length)).fill_null(False)
    return rows.with_columns(
        pl.when(longer).then(pl.col(column).str.head(length)).otherwise(pl.col(column)).alias(column),
        cut=longer,
        counterpart=counterpart,
    ).drop("other_prompt", "other_length", "other_turns")


def _conversations(rows: pl.DataFrame, filters: Filters, file: Path) -> pl.DataFrame:
    """Rows of one shard, sorted by conversation and turn, as conversations with their reasons."""
    if "cut" not in rows.columns:
        rows = rows.with_columns(cut=False, counterpart=True)
    # Rows of a conversation lie together, so counting from its first row is cheaper than a window over it.
    begins = pl.col("conversation_id").ne_missing(pl.col("conversation_id").shift())
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    wrong = rows.filter(row - pl.when(begins).then(row).forward_fill() != pl.col("turn"))
    if wrong.height:
        raise DataError(
            f"{file}: the turns of conversation {wrong['conversation_id'][0]} are not 0, 1, 2, ...: turn "
            f"{wrong['turn'][0]} is missing one before it or stands twice; run `rewild collect` again"
        )
    answered = pl.col("response").is_not_null()
    if filters.incomplete == "cut":
        kept = answered.cast(pl.UInt8).cum_min().over("conversation_id").cast(pl.Boolean)
    else:
        kept = pl.lit(True)
    rows = rows.with_columns(kept=kept)
    blank = answered & (pl.col("response").str.strip_chars() == "")
    worst = {"repetition": filters.repetition, "garbled": filters.garbled}
    used = pl.col("kept")
    found = (
        rows.group_by("conversation_id", maintain_order=True)
        .agg(
            language=pl.col("language").first().fill_null("unknown"),
            n_turns=used.sum(),
            characters=pl.col("response").filter(used).str.len_chars().sum(),
            cut=(pl.col("cut") & used).any() | ~used.all(),
            no_answer=(~answered & used).any() | ~used.any(),
            no_counterpart=(~pl.col("counterpart") & used).any(),
            blank=(blank & used).any(),
            unfinished=((pl.col("finish_reason") == "length") & used).any(),
            **{
                name: (pl.col(name) > limit).fill_null(False).filter(used).any()
                if limit is not None
                else pl.lit(False)
                for name, limit in worst.items()
            },
        )
        .rename({"conversation_id": "source_id"})
    )
    if "reasoning" in rows.columns:
        found = found.with_columns(reasoning=True)
    return found.join(_messages(rows.filter("kept")), on="source_id", how="left", maintain_order="left")


def _messages(rows: pl.DataFrame) -> pl.DataFrame:
    """Each conversation's messages, from its rows in the order of turns: columns ``source_id``, ``messages``.

    Prompts and answers are interleaved as one column; lists made row by row would take three times as long.
    """
    twice = np.repeat(np.arange(rows.height), 2)
    content = pl.concat([rows["prompt"], rows["response"]]).gather(
        twice + np.tile([0, rows.height], rows.height)
    )
    role = pl.Series(["user", "assistant"], dtype=pl.String).gather(np.tile([0, 1], rows.height))
    made = {"source_id": rows["conversation_id"].gather(twice), "role": role, "content": content}
    if "reasoning" in rows.columns:
        none = pl.Series([None] * rows.height, dtype=pl.String)
        made[THOUGHT] = pl.concat([none, rows["reasoning"]]).gather(
            twice + np.tile([0, rows.height], rows.height)
        )
    return (
        pl.DataFrame(made)
        .group_by("source_id", maintain_order=True)
        .agg(messages=pl.struct(name for name in made if name != "source_id"))
    )


# Prompts with their original answers


def _prompts(place: Place, origins: Collection[str]) -> Iterator[pl.DataFrame]:
    for file in _prompt_files(place):
        yield original_conversations(read_shard(file, origins))


def _prompt_files(place: Place) -> list[Path]:
    folder = place.results / "prompts" / "shards"
    files = sorted(place.shards or folder.glob("*.parquet"))
    if not files:
        raise DataError(f"{folder}: no shards of prompts there; `rewild prepare` makes them")
    return files


def original_conversations(shard: pl.DataFrame) -> pl.DataFrame:
    """A shard of prompts as conversations with their original answers; an unanswered last turn is cut off.

    Args:
        shard: :data:`rewild.prompts.schema.SHARD`.
    """
    role, content = (pl.element().struct.field(name) for name in ("role", "content"))
    open_end = pl.col("messages").list.last().struct.field("role") == "user"
    answer = role == "assistant"
    blank = answer & (content.str.strip_chars() == "")
    return shard.select(
        source_id="conversation_id",
        language="language",
        cut=open_end,
        messages=pl.when(open_end)
        .then(pl.col("messages").list.head(pl.col("messages").list.len() - 1))
        .otherwise("messages"),
        unanswered=pl.col("tags").list.contains("unanswered"),
    ).with_columns(
        n_turns=pl.col("messages").list.eval(answer).list.sum(),
        characters=pl.col("messages")
        .list.eval(pl.when(answer).then(content.str.len_chars()).otherwise(0))
        .list.sum(),
        no_answer=pl.col("unanswered")
        | (pl.col("messages").list.len() == 0)
        | ~pl.col("messages").list.eval(answer).list.any(),
        blank=pl.col("messages").list.eval(blank).list.any(),
    )


# Samples of pairs


def sample_inputs(source: FromSamples, place: Place) -> list[Path]:
    """The files that a source of samples reads."""
    return [Path(name) for name in sample_files(str(place.results), source, place.cut[source.of])]


def _samples(source: FromSamples, filters: Filters, place: Place) -> Iterator[pl.DataFrame]:
    """Prompts with one of their answers; prompts without a pair are in ``dropped.csv`` of the set."""
    first, *answers = sample_inputs(source, place)
    if source.choose != "sampled":
        chosen = "chosen" if source.choose == "best" else "rejected"
        rows = read_table(first, PAIRS).select(
            "language", "messages", source_id="id", answer=pl.col(chosen).struct.field("content")
        )
        yield _answered(rows.with_columns(unfinished=False))
        return
    prompts = read_table(first, SHARD)
    limits = {"repetition": filters.repetition, "garbled": filters.garbled}
    worst = {name: pl.col(name) > limit for name, limit in limits.items() if limit is not None}
    for file in answers:
        mine = read_table(file, ANSWERS).filter(pl.col("sample") == 0)
        rows = mine.join(prompts, on="conversation_id", how="left", maintain_order="left")
        if lost := rows.filter(pl.col("messages").is_null()).height:
            raise DataError(f"{file}: {lost} answers are to no prompt of {first}; make the set again")
        yield _answered(
            rows.select(
                "language", "messages", source_id="conversation_id", answer="response",
                unfinished=pl.col("finish_reason") == "length", **worst,
            )
        )  # fmt: skip


def _answered(rows: pl.DataFrame) -> pl.DataFrame:
    """Prompts and their answer as conversations with flags; only the last answer is the set's."""
    last = pl.struct(role=pl.lit("assistant"), content=pl.col("answer").fill_null(""))
    users = pl.element().struct.field("role") == "user"
    return rows.with_columns(
        messages=pl.concat_list("messages", pl.concat_list(last)),
        n_turns=pl.col("messages").list.eval(users).list.sum(),
        characters=pl.col("answer").str.len_chars().fill_null(0),
        cut=False,
        no_answer=pl.col("answer").is_null(),
        blank=(pl.col("answer").str.strip_chars() == "").fill_null(False),
    )


# Filters


def _filtered(batch: pl.DataFrame, filters: Filters) -> pl.DataFrame:
    """The batch with the first reason against each conversation; those by measures come later."""
    flags = batch.columns
    reasons: list[tuple[str, pl.Expr]] = []
    if "reason" in flags:
        reasons.append(("", pl.col("reason").is_not_null()))  # it has one already
    reasons += [(name, pl.col(name)) for name in ("no_answer", "no_counterpart", "blank") if name in flags]
    if "unanswered" in flags and filters.incomplete == "drop":
        reasons.append(("no_answer", pl.col("cut")))
    if filters.languages is not None:
        reasons.append(("language", ~pl.col("language").is_in(filters.languages)))
    for name, column, allowed in (
        ("turns", "n_turns", filters.turns),
        ("length", "characters", filters.characters),
    ):
        top = pl.col(column) > allowed.max if allowed.max is not None else pl.lit(False)
        reasons.append((name, (pl.col(column) < allowed.min) | top))
    if filters.unfinished == "drop" and "unfinished" in flags:
        reasons.append(("unfinished", pl.col("unfinished")))
    reasons += [(f"too_{word}", pl.col(name)) for name, word in _WORST.items() if name in flags]
    chosen = pl.lit(None, dtype=pl.String)
    for name, condition in reversed(reasons):
        chosen = (
            pl.when(condition.fill_null(False))
            .then(pl.lit(name) if name else pl.col("reason"))
            .otherwise(chosen)
        )
    return batch.with_columns(reason=chosen)


_WORST = {"repetition": "repetitive", "garbled": "garbled"}

"""A source's samples together: copies left out, all accounted for, the prompts as a source's file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.synthesis import Synthesis
from rewild.core.errors import DataError
from rewild.core.files import write_json
from rewild.core.language import language_name
from rewild.core.reading import read_model
from rewild.core.table import provenance, write_table
from rewild.generation.pilot import PilotReport
from rewild.generation.rows import reason_of
from rewild.generation.spec import digest_of
from rewild.prompts.synthesis.copies import nearly, similar
from rewild.prompts.synthesis.schema import WRITTEN, Manifest, Measured, Spent, read_step


def without_copies(
    samples: pl.DataFrame, near: float | None, pool: tuple[Sequence[str], float] | None = None
) -> pl.DataFrame:
    """Samples whose first turn is that of an earlier one, or nearly, with that as their failure.

    Args:
        samples: rows of :data:`SAMPLES`, by number.
        near: the share of runs of words in common from which a prompt is a near copy; None: never.
        pool: other texts that came before, and the ROUGE-L above which a prompt is like one of them, or like
            an earlier prompt; None: it may be.
    """
    earliest = pl.col("number").first().over("text")
    good = samples.filter(pl.col("failure").is_null()).select("number", "text", earliest.alias("first"))
    single = pl.col("first") == pl.col("number")
    left = good.filter(single)
    why = [good.filter(~single).select("number", pl.format("repeated: {}", "first").alias("copy"))]
    if near is not None:
        earlier = pl.Series("earlier", nearly(left["text"].to_list(), near))
        found = left.with_columns(earlier).filter(pl.col("earlier") >= 0)
        of = left["number"].gather(found["earlier"])
        why.append(found.select("number", pl.format("near_copy: {}", of).alias("copy")))
        left = left.filter(earlier < 0)
    if pool is not None:
        numbers, alike = left["number"].to_list(), {}
        for number, (other, score) in zip(numbers, similar(left["text"].to_list(), *pool), strict=True):
            if other is not None:
                like = f"seed {-other}" if other < 0 else numbers[other]
                alike[number] = f"similar: {like} ({score:.2f})"
        rows = {"number": list(alike), "copy": list(alike.values())}
        why.append(pl.DataFrame(rows, schema={"number": pl.Int64, "copy": pl.String}))
    copies = pl.concat(why)
    if copies.is_empty():
        return samples
    joined = samples.join(copies, on="number", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("failure", "copy").alias("failure")).drop("copy")


def collect(
    source: Synthesis, report: PilotReport, shards: Sequence[Path], earlier: Sequence[Path], out: Path
) -> Manifest:
    """Read every shard of a source, and write ``prompts.parquet`` and ``manifest.json``.

    Args:
        source: its settings.
        report: its pilot's, whose recipe the first step's samples have.
        shards: the files of the last step, in order, with their ``.json`` beside them.
        earlier: what earlier steps measured, a ``.json`` for each shard.
        out: ``results/{study}/synthesis/SOURCE``.

    Raises:
        DataError: samples are missing or of another recipe, or none is a prompt.
    """
    found = [read_step(path) for path in shards]
    samples, last = pl.concat([rows for rows, _ in found]), found[0][1]
    if samples["number"].to_list() != list(range(source.count)):
        raise DataError(
            f"{out}: {samples.height:,} samples in {len(shards)} shards are not the numbers 0 to "
            f"{source.count - 1:,}; write the shards again"
        )
    first = last.identity
    while "before" in first:
        first = first["before"]
    if {about.recipe for _, about in found} != {last.recipe} or digest_of(first) != report.recipe:
        raise DataError(
            f"{out}: samples of another recipe than the pilot's ({report.recipe}): the model, its template "
            "or the source's settings changed meanwhile; run the pilot and the shards again"
        )
    samples = without_copies(samples, source.near_copy, source.pool)
    measured = [read_model(path, Measured, "the measurement of a shard") for path in earlier]
    manifest = _count(source, report, samples, [*measured, *(about for _, about in found)])
    if not manifest.prompts:
        raise DataError(
            f"{out}: none of {source.count:,} samples is a prompt ({_told(manifest.failures)}); read the "
            "pilot's report.md"
        )
    kept = samples.filter(pl.col("failure").is_null())
    frame = kept.with_columns(
        pl.format("{}/{}", pl.lit(source.name), "number").alias("conversation_hash"),
        pl.lit(source.domain, dtype=pl.String).alias("domain"),
        pl.coalesce("language", pl.lit(_named(source.spoken), dtype=pl.String)).alias("language"),
    ).select(list(WRITTEN.columns))
    write_table(out / "prompts.parquet", frame, WRITTEN, provenance(shards, recipe=last.recipe))
    write_json(out / "manifest.json", manifest.model_dump())
    return manifest


def _named(language: str | None) -> str | None:
    return language and (language_name(language) or language)


def _count(
    source: Synthesis, report: PilotReport, samples: pl.DataFrame, measured: Sequence[Measured]
) -> Manifest:
    kept = samples.filter(pl.col("failure").is_null())
    turns = [sum(m["role"] == "user" for m in talk) for talk in kept["conversation"].to_list()]
    keys = ["temperature", "top_p", "top_k"]
    settings = samples.group_by(keys).agg(
        samples=pl.len(), prompts=pl.col("failure").is_null().sum()
    )  # fmt: skip
    return Manifest(
        study=report.study,
        source=source.name,
        model=source.model,
        recipe=measured[-1].recipe,
        identity=measured[-1].identity,
        samples=samples.height,
        prompts=kept.height,
        failures=by_reason(samples["failure"]),
        turns={str(n): count for n, count in sorted(Counter(turns).items())},
        stopped=by_reason(kept["stopped"]),
        settings=settings.sort(keys).to_dicts(),
        template=report.profile["template"],
        input_tokens=int(samples["input_tokens"].sum()),
        output_tokens=int(samples["output_tokens"].sum()),
        spent=[_spent(list(some)) for _, some in groupby(measured, lambda m: m.step)],
    )


def _spent(shards: list[Measured]) -> Spent:
    load, seconds = sum(m.load_seconds for m in shards), sum(m.generate_seconds for m in shards)
    return Spent(
        step=shards[0].step,
        model=shards[0].model,
        gpus=shards[0].gpus,
        input_tokens=sum(m.input_tokens for m in shards),
        output_tokens=sum(m.output_tokens for m in shards),
        load_seconds=load,
        generate_seconds=seconds,
        gpu_hours=shards[0].gpus * (load + seconds) / 3600,
    )


def by_reason(failures: pl.Series) -> dict[str, int]:
    """Failures counted by their reasons, the most frequent first."""
    found = Counter(reason_of(failure) for failure in failures.drop_nulls())
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _told(counts: dict[str, Any]) -> str:
    return ", ".join(f"{reason}: {count:,}" for reason, count in counts.items())

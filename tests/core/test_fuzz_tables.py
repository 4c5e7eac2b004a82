"""Tables of responses as anybody might hand them over: rows, or one error that names the file.

``make fuzz`` tries many more examples than the suite does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzzing import FUZZ
from rewild.core.errors import RewildError
from rewild.core.table import collect, provenance, read_table, write_table
from rewild.generation.schema import RESPONSES, read_manifest, scan
from rewild.measures.similarity.read import conversation_ids, read_responses
from rewild.measures.style.responses import count_answers
from rewild.report.viewer.read import choose, collect_prompts, find_models
from rewild.report.viewer.read import read_responses as read_for_viewer
from rewild.training.mixes.read import _read as read_for_mixes
from test_sealed import response

ROWS = pl.DataFrame([response(i) for i in range(12)], schema=RESPONSES.dtypes)


def in_viewer(path: Path) -> object:
    source = find_models([path])
    ids = choose(source, 5)
    collect_prompts(source, ids)
    return [read_for_viewer(source, model, ids) for model in source.models]


def by_manifest(path: Path) -> object:
    """Through a manifest that lists the table."""
    manifest = path.with_name("manifest.json")
    counts = {"conversations": 12, "rows": 12, "failures": 0, "input_tokens": 1, "output_tokens": 1}
    shard = {"shard": path.stem, "sha256": "0", **counts}
    about = {"study": "s", "model": "m", "engine": "e", "history": "self", "recipe": "r", "identity": {}}
    manifest.write_text(json.dumps({**about, **counts, "failures_by_reason": {}, "shards": [shard]}))
    return collect(scan(manifest), path)


READERS: dict[str, Callable[[Path], object]] = {
    "read_table": lambda path: read_table(path, RESPONSES),
    "viewer": in_viewer,
    "similarity": lambda path: (conversation_ids([path]), read_responses([path])),
    "mixes": lambda path: read_for_mixes(path, ["conversation_id", "turn", "response"]),
    "style": count_answers,
    "scan": by_manifest,
}


def attempt(path: Path) -> None:
    """Try every reader; an error is ours, on one line, and names the file or the folder."""
    for read in READERS.values():
        try:
            read(path)
        except RewildError as error:
            found = str(error)
        else:
            continue
        assert str(path.parent) in found or "no responses to show" in found, found
        assert "\n" not in found, found


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "0000.parquet"
    write_table(path, ROWS, RESPONSES, provenance())
    return path.read_bytes()


def test_every_reader_reads_a_good_table(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "0000.parquet"
    path.write_bytes(good)
    for read in READERS.values():
        read(path)


@FUZZ
@given(st.integers(0), st.sampled_from(["bit", "byte", "cut", "hole", "swap"]))
def test_damaged_bytes_are_rows_or_one_error(
    good: bytes, tmp_path_factory: pytest.TempPathFactory, seed: int, how: str
) -> None:
    path, drawn = tmp_path_factory.getbasetemp() / "0000.parquet", random.Random(seed)
    data = bytearray(good)
    at = drawn.randrange(len(data))
    if how == "bit":
        data[at] ^= 1 << drawn.randrange(8)
    elif how == "byte":
        data[at] = drawn.randrange(256)
    elif how == "cut":
        del data[at:]
    elif how == "hole":
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    else:
        other = drawn.randrange(len(data) - 16)
        data[at : at + 16] = data[other : other + 16][: len(data[at : at + 16])]
    path.write_bytes(data)
    attempt(path)


SIMPLE = (
    pl.Int8,
    pl.Float64,
    pl.Boolean,
    pl.Date,
    pl.Binary,
    pl.Null,
    pl.UInt64,
    pl.Categorical,
    pl.Time,
    pl.Duration("us"),
)
NESTED = (pl.List(pl.String), pl.Struct({"a": pl.String}), pl.Array(pl.Int8, 2), pl.Decimal(10, 2))
KINDS = st.sampled_from((*SIMPLE, *NESTED))
NAMES = st.sampled_from(sorted(RESPONSES.columns))


@FUZZ
@example({"conversation_id": pl.Binary}, False)
@given(st.dictionaries(NAMES, KINDS, min_size=1, max_size=3), st.booleans())
def test_columns_of_another_type_are_rows_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, changed: dict[str, Any], drop: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "0000.parquet"
    frame = ROWS
    for name, kind in changed.items():
        try:
            values = ROWS[name].cast(kind, strict=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            values = pl.Series(name, [None] * ROWS.height, dtype=kind)
        frame = frame.drop(name) if drop else frame.with_columns(values.alias(name))
    frame.write_parquet(path)
    attempt(path)


@FUZZ
@given(
    st.sampled_from(
        ["{", "[]", "null", '"x"', "{}", '{"rewild": 1}', "[" * 3000, "1" * 5000, '"\\ud800"', "NaN"]
    )
    | st.just('{"schema": 1, "version": []}')
    | st.just('{"schema": "responses", "version": "1"}')
)
def test_damaged_metadata_are_rows_or_one_error(tmp_path_factory: pytest.TempPathFactory, about: str) -> None:
    path = tmp_path_factory.getbasetemp() / "0000.parquet"
    ROWS.write_parquet(path, metadata={"rewild": about})
    attempt(path)


TEXTS = st.sampled_from(
    ["", "x", "1e400", "-1", "NaN", "inf", "9" * 400, "true", '"', "\0", "\ud800", "x" * 140_000]
)


@FUZZ
@given(st.dictionaries(NAMES, TEXTS, max_size=3), st.binary(max_size=4))
def test_csv_tables_are_rows_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, cells: dict[str, str], tail: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "0000.csv"
    out = BytesIO()
    ROWS.head(2).write_csv(out)
    row = ",".join(cells.get(name, "1") for name in RESPONSES.columns)
    path.write_bytes(out.getvalue() + row.encode("utf-8", "surrogatepass") + tail)
    try:
        read_table(path, RESPONSES)
    except RewildError as error:
        found = str(error)
        assert str(path) in found


KEYS = st.sampled_from(["model", "shards", "rows", "identity", "failures_by_reason", "history", "more"])
WRONG = st.recursive(
    st.sampled_from([None, True, 0, -1, 2**70, 1.5, "", "x", "../../x", "\0", "0000"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


@FUZZ
@given(KEYS, WRONG)
def test_manifests_are_read_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "0000.parquet"
    ROWS.write_parquet(path)
    by_manifest(path)
    manifest = path.with_name("manifest.json")
    about = json.loads(manifest.read_text())
    about[key] = value
    if key == "shards" and isinstance(value, str):
        about[key] = [json.loads(manifest.read_text())["shards"][0] | {"shard": value}]
    manifest.write_text(json.dumps(about))
    for read in (read_manifest, lambda p: collect(scan(p), p), in_viewer):
        try:
            read(manifest)
        except RewildError as error:
            found = str(error)
            assert str(path.parent) in found or "no responses to show" in found

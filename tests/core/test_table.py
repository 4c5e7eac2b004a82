"""Typed tables: what is refused, and that nothing half-written is left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewild.core.errors import DataError
from rewild.core.files import atomic, sha256, write_json
from rewild.core.table import Column, TableSchema, provenance, read_table, write_table

SCORES = TableSchema(
    "scores",
    2,
    {
        "model": Column(pl.String, "the model"),
        "n": Column(pl.Int64, "questions"),
        "value": Column(pl.Float64, "mean score, 0 to 1", nullable=True),
    },
    key=("model",),
)
FRAME = pl.DataFrame({"model": ["a", "b"], "n": [3, 4], "value": [0.1, None]})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_comes_back_as_it_went(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scores.{suffix}"
    write_table(path, FRAME, SCORES, provenance(seed=1))
    assert read_table(path, SCORES).equals(FRAME)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1),
            st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        unique_by=lambda row: row[0],
    )
)
def test_any_text_and_number_survives_csv_and_parquet(tmp_path_factory: pytest.TempPathFactory, rows) -> None:
    frame = pl.DataFrame(rows, schema=SCORES.dtypes, orient="row")
    folder = tmp_path_factory.mktemp("tables")
    for suffix in ("csv", "parquet"):
        path = folder / f"scores.{suffix}"
        write_table(path, frame, SCORES, provenance())
        assert read_table(path, SCORES).equals(frame)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model,n,valu\na,1,2\n",
            "scores.csv: column 'value' is missing from this scores table; did you mean 'valu'?",
        ),
        ("model,n,value,extra\na,1,2,3\n", "unknown column 'extra'"),
        (
            "model,n,value\na,1,0.5\nb,many,0.5\n",
            "scores.csv, row 2, column 'n': 'many' is not of type Int64",
        ),
        ("model,n,value\na,1,0.5\nb,2,NaN\n", "scores.csv, row 2, column 'value': not a number (NaN)"),
        ("model,n,value\na,1,0.5\nb,,0.5\n", "scores.csv, row 2, column 'n': the value is missing"),
        ("model,n,value\na,1,0.5\na,2,0.5\n", "row 1: this scores row stands twice (model='a')"),
        ("model,n,value\n", "this scores table has no rows"),
        ("", "cannot be read as a scores table"),
    ],
)
def test_a_bad_file_is_named_with_the_row(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_table(path, SCORES)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scores\.csv: no such file \(a scores table was expected\)"):
        read_table(tmp_path / "scores.csv", SCORES)


def test_a_corrupt_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_table(path, FRAME, SCORES, provenance())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"scores\.parquet: cannot be read"):
        read_table(path, SCORES)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_another_version_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scores.{suffix}"
    write_table(path, FRAME, TableSchema("scores", 1, SCORES.columns), provenance())
    with pytest.raises(DataError, match="holds scores version 1, but scores version 2 is needed"):
        read_table(path, SCORES)


def test_a_bad_frame_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with pytest.raises(DataError):
        write_table(path, FRAME.with_columns(n=None), SCORES, provenance())
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("old")

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_refuses_what_is_not_a_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_provenance_names_inputs_by_content_not_by_place(tmp_path: Path) -> None:
    one, two = tmp_path / "one/data.csv", tmp_path / "two/data.csv"
    for path in (one, two):
        path.parent.mkdir()
        path.write_text("same")
    assert provenance([one], seed=1) == provenance([two], seed=1)
    assert provenance([one])["inputs"] == {"data.csv": sha256(one)}


def test_provenance_keeps_inputs_of_one_name_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "annotations.json").write_text(name)
    inputs = [tmp_path / name / "annotations.json" for name in ("b", "a", "a")]
    assert list(provenance(inputs)["inputs"]) == ["a/annotations.json", "b/annotations.json"]


def test_the_metadata_beside_a_csv_describes_it(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_table(path, FRAME, SCORES, provenance(seed=1))
    about = json.loads((tmp_path / "scores.csv-metadata.json").read_text())
    assert about["url"] == "scores.csv"
    assert [c["name"] for c in about["tableSchema"]["columns"]] == ["model", "n", "value"]
    assert about["tableSchema"]["primaryKey"] == ["model"]
    assert about["rewild"]["sha256"] == sha256(path)
    assert about["rewild"]["rows"] == 2
    assert about["rewild"]["provenance"]["settings"] == {"seed": 1}

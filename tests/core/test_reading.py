"""Files that others wrote: every fault is one message with file, place and reason."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from fuzzing import FUZZ
from rewild.core import reading
from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.core.reading import (
    faults,
    parse_json,
    read_bytes,
    read_csv,
    read_json,
    read_lines,
    read_model,
    read_rows,
    read_text,
)
from rewild.core.reading_yaml import parse_yaml, read_yaml


def said(call: Callable[..., object], *given: object) -> str:
    """The message of the error, or, where it is none, its last argument."""
    try:
        call(*given)
    except RewildError as error:
        return str(error)
    return str(given[-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1,\n 2,,]", "f.json, line 2, column 4: not JSON: Expecting value"),
        ('{"a": 1} x', "f.json, column 10: not JSON: Extra data"),
        ("", "f.json, column 1: not JSON"),
        ("[NaN]", "f.json: not usable JSON: NaN is no JSON number"),
        ("-Infinity", "-Infinity is no JSON number"),
        ("1e400", "a number out of range (1e400)"),
        ("-" + "1" * 400, "a number of 400 digits"),
        ("1" * 5000, "a number of 5000 digits"),
        ("[" * 3000, "more than 100 deep"),
        ("[" * 3000 + "]" * 3000, "more than 100 deep"),
        ('{"a":' * 101 + "1" + "}" * 101, "more than 100 deep"),
        ('["\\ud83d"]', "'\\ud83d' is half of a surrogate pair"),
        ('["\\uDE00\\ud83d"]', "'\\ude00' is half of a surrogate pair"),
        ('{"\\uDC00": 1}', "'\\udc00' is half of a surrogate pair"),
        (b'["\n\xed\xa0\x80"]', "f.json, line 2: not UTF-8 text (byte 1 of the line is 0xed)"),
        (b"\xff\xfe[\0]\0", "f.json, line 1: not UTF-8 text (byte 1 of the line is 0xff)"),
    ],
)
def test_bad_json_is_named_with_its_place(text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        parse_json(text, "f.json")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_line_of_json_lines_is_named_with_its_number() -> None:
    for text in ("[NaN]", b"[\xff]", "[" * 3000, '["\\ud800"]'):
        with pytest.raises(DataError, match=r"^f\.jsonl, line 7: "):
            parse_json(text, "f.jsonl", line=7)
    with pytest.raises(DataError, match=r"^f\.jsonl, line 7, column 2: not JSON"):
        parse_json("[", "f.jsonl", line=7)


def test_what_is_good_json_comes_through() -> None:
    text = '\ufeff{"a": ["\\ud83d\\ude00", "\\\\ud83d", -0.5e3, 12345678901234567890, null, true]}'
    assert parse_json(text, "x") == {"a": ["😀", "\\ud83d", -500.0, 12345678901234567890, None, True]}
    assert parse_json(text.encode(), "x") == parse_json(text, "x")
    assert parse_json("[" * 100 + "]" * 100, "x")
    assert parse_json("[-Infinity]", "x", nan=True) == [float("-inf")]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Every character, halves of surrogate pairs too.
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@FUZZ
@given(JSON, st.booleans())
def test_json_is_read_as_it_was_written_or_refused(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        whole = json.dumps(value, ensure_ascii=False).encode() is not None
    except UnicodeEncodeError:
        whole = False
    if whole:
        assert parse_json(text, "x") == value
    else:
        with pytest.raises(DataError):
            parse_json(text if ascii_only else text.encode("utf-8", "surrogatepass"), "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [", "f.yaml, line 3: not valid YAML"),
        ("a: 1\na: 2", "f.yaml, line 2: not valid YAML: the key 'a' stands twice"),
        ("[a]: 1", "line 1: not valid YAML: a list cannot be a key"),
        ("b: 1\n{a: b}: 1", "line 2: not valid YAML: a mapping cannot be a key"),
        ("a: &x [1]\nb: {? *x : 3}", "line 1: not valid YAML: a list cannot be a key"),
        ("a:\n  2024-13-45", "line 2: not valid YAML: month must be in 1..12"),
        ("a: 2024-01-01 99:00:00", "hour must be in 0..23"),
        ("a: 0x_", "invalid literal"),
        ("a: " + "1" * 400, "line 1: not valid YAML: a number of 400 digits"),
        ("a: " + "1" * 5000, "line 1: not valid YAML"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a: !mine x", "could not determine a constructor for the tag '!mine'"),
        ("a: !!bool x", "the value does not fit its tag"),
        ("a: !!timestamp x", "the value does not fit its tag"),
        ("a: !!int x", "line 1: not valid YAML"),
        ("a: !!binary x@", "line 1: not valid YAML"),
        ('a: "\\ud800"', "invalid Unicode character"),
        ("a: \0", "control characters are not allowed"),
        ("a: &a [*a]", "line 1: not usable YAML: 'a' holds itself"),
        ("a: &a {b: [*a]}", "'a' holds itself"),
        ("a: " + "[" * 100_000, "nested more than 100 deep"),  # libyaml's tree would overflow the stack
        ("- " * 100_000, "nested more than 100 deep"),
        ("--- a\n--- b", "but found another document"),
    ],
)
def test_bad_yaml_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "f.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("f.yaml")


@pytest.mark.parametrize("form", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_that_grow_are_refused(form: str) -> None:
    lines = ["a: &a {k: v}"]
    for name, before in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{name}: &{name} " + form.format(", ".join([f"*{before}"] * 9)))
    with pytest.raises(ConfigError, match="more than 200,000 values, aliases written out"):
        parse_yaml("\n".join(lines), "f.yaml")


def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    for text, kind in (("2024-01-01", "date"), ("- a", "list"), ("word", "str"), ("1", "int")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=f"not a {kind}"):
            read_yaml(path)
    path.write_text("# nothing\n")
    assert read_yaml(path) == {}
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")
    assert read_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}


@FUZZ
@given(st.text("ab:-[]{}&*!?<>|'\"%@`,# \n\t01.eE~=\\/x", max_size=60))
@example("? ? ?")
def test_any_yaml_is_a_value_or_one_error(text: str) -> None:
    assert said(parse_yaml, text, "f.yaml").startswith("f.yaml")


def test_lists_and_lines_are_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b'\xef\xbb\xbf\r\n{"a": 1}\r\n  \n\n{"a": 2}')
    assert list(read_rows(path)) == [(2, {"a": 1}), (5, {"a": 2})]
    path.write_bytes(b'\xef\xbb\xbf \n [{"a": 1},\n\n {"a": 2}]\n')
    assert list(read_rows(path)) == [(1, {"a": 1}), (2, {"a": 2})]
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match=r"rows, line 2, column 7: not JSON"):
        list(read_rows(path))


@pytest.mark.parametrize("size", [1, 70_000])  # small and large pieces
def test_packed_lines_are_unpacked(tmp_path: Path, size: int) -> None:
    path = tmp_path / "rows.jsonl.gz"
    one, two = b'"' + b"x" * size + b'"\n\n', b'"' + b"y" * size
    path.write_bytes(gzip.compress(one + two) + gzip.compress(b'"\n') + bytes(9))
    assert list(read_rows(path)) == [(1, "x" * size), (3, "y" * size)]
    assert read_bytes(path) == one + two + b'"\n'
    path.write_bytes(path.read_bytes()[:40])
    for read in (read_bytes, lambda p: list(read_lines(p))):
        with pytest.raises(DataError, match=r"rows\.jsonl\.gz: the gzip file is cut off"):
            read(path)
    path.write_bytes(reading.GZIP + b"\x08\0\0\0\0\0\0\0" + b"\xff" * 9)
    with pytest.raises(DataError, match=r"gzip file is damaged after 0 bytes"):
        read_bytes(path)


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FREE", 1 << 20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(8 << 20)))
    for read in (read_bytes, lambda p: list(read_lines(p))):
        with pytest.raises(DataError, match=r"unpacked, more than the 1\.0 MB allowed"):
            read(path)


def test_limits_are_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 101)
    assert read_text(path, limit=101) == "x" * 101
    with pytest.raises(DataError, match=r"101 bytes, more than the 100 bytes that are read at once"):
        read_text(path, limit=100)
    path.write_bytes(b"a\n" + b"x" * 101)
    with pytest.raises(DataError, match="line 2: more than 100 bytes"):
        list(read_lines(path, limit=100))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("", "a folder, not a file (a list was expected)"),
        ("none", "no such file (a list was expected)"),
        ("pipe", "not a regular file"),
        ("a\0b", "cannot be read (a list was expected): embedded null byte"),
        ("n" * 300, "File name too long"),
        ("file/below", "Not a directory"),
    ):
        (tmp_path / "file").write_text("")
        for read in (
            read_json,
            read_yaml,
            lambda p, w: list(read_rows(p, w)),
            lambda p, w: list(read_csv(p, w)),
        ):
            with pytest.raises(RewildError) as error:
                read(tmp_path / name, "a list")
            assert message in str(error.value)
    with pytest.raises(DataError, match=r"file: empty \(a list was expected\)"):
        read_json(tmp_path / "file", "a list")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.csv: empty"),
        ("a,b\n1\n", "f.csv, line 2: 2 values were expected, not 1"),
        ("a,b\n1,2\n\n1,2,3\n", "f.csv, line 4: 2 values were expected, not 3"),
        ("a,b,a\n", "line 1: the column 'a' stands twice"),
        ("a,bb\n", "line 1: the column 'b' is missing; did you mean 'bb'? (it has: a, bb)"),
        ('a,b\n1,"2\n', "line 2: not CSV: unexpected end of data"),
    ],
)
def test_bad_csv_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        list(read_csv(path, columns=["b"]))
    assert message in str(error.value)


def test_csv_cells_may_be_long_and_hold_lines(tmp_path: Path) -> None:
    path, long = tmp_path / "f.csv", "x" * 300_000
    path.write_bytes(f'\ufeffa,b\r\n"{long}\n\u2028""",2\r\n'.encode())
    assert list(read_csv(path)) == [(3, {"a": long + '\n\u2028"', "b": "2"})]


class Report(BaseModel):
    score: float
    names: tuple[str, ...]


def test_a_model_is_read_or_refused_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b'\xef\xbb\xbf{"score": 1, "names": ["a"]}')
    assert read_model(path, Report, "a report") == Report(score=1, names=("a",))
    for text, message in (
        ('{"score": "x", "names": []}', "not a report: score: "),
        ("[]", "not a report: "),
        ('{"score": NaN, "names": []}', "NaN is no JSON number"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_model(path, Report, "a report")


def test_faults_of_polars_are_one_error_wherever_they_come(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pl.DataFrame({"a": ["x"]}).write_parquet(path)
    lazy = pl.scan_parquet(path).select(pl.col("a").cast(pl.Int64))
    with pytest.raises(DataError, match=r"^f: cannot be read as a table: "), faults("f", "a table"):
        lazy.collect()
    with pytest.raises(DataError, match=r"^f: cannot be read: a panic$"), faults("f"):
        raise pl.exceptions.PanicException("a panic")
    with pytest.raises(AttributeError), faults("f"):  # a broken program is no bad file
        raise AttributeError("x")
    with pytest.raises(KeyboardInterrupt), faults("f"):
        raise KeyboardInterrupt


@FUZZ
@given(st.binary(max_size=80))
@example(b"\x1f\x8b")
@example(b"[" * 50_000)
@example(b'"\xed\xa0\x80"')
def test_any_bytes_are_rows_or_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(data)
    for read in (read_rows, read_csv, lambda p: [read_json(p)], lambda p: [read_yaml(p)]):
        assert str(path) in said(lambda read, path: list(read(path)), read, path)

"""Bad input and a full disk: a clear error or a recorded failure, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewild.config.base import validate
from rewild.config.prompts import Prompts
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.prompts import passes
from rewild.prompts.prepare import prepare
from rewild.prompts.schema import FAILURES

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "conversation_hash": "g",
    "conversation": [
        {"role": "user", "content": "A question."},
        {"role": "assistant", "content": "An answer."},
    ],
    "language": "English",
    "openai_moderation": [],
    "toxic": False,
    "redacted": False,
}


def attempt(folder: Path, *files: str, cores: int = 1, **more: Any) -> dict[str, Any]:
    given = {"sources": [{"kind": "wildchat-file", "files": list(files)}], "shards": 2} | more
    return prepare("test", validate(Prompts, given, "test"), folder / "out", root=folder, cores=cores)


def left(folder: Path) -> list[str]:
    """What lies in the results folder, hidden files too."""
    return sorted(str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*"))


def lines(*parts: bytes) -> bytes:
    return b"\n".join([json.dumps(GOOD).encode(), *parts]) + b"\n"


def changed(**more: Any) -> bytes:
    return json.dumps(GOOD | more).encode()


# Rows that cannot be read are failures with their line


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (changed()[:70], "not_json", "column"),
        (b"\xff\xfe" + changed(), "not_utf8", "byte 1 of the line"),
        (changed().replace(b"A question.", b"A \xe9 question"), "not_utf8", "is 0xe9"),
        (changed().replace(b"A question.", b"\\ud83d alone"), "not_utf8", "half of a surrogate pair"),
        (b'["a", "list"]', "not_a_conversation", '["a", "list"]'),
        (b"null", "not_a_conversation", "null"),
        (b"[" * 5000, "not_json", ""),
        (b'{"language": ' + b"1" * 5000 + b"}", "not_json", "a number of 5000 digits"),
        (b'{"language": "English"}', "missing_key", "no 'conversation'"),
        (
            b'{"conversatoin": [], "openai_moderation": [], "toxic": false, "redacted": false}',
            "missing_key",
            "did you mean 'conversatoin'?",
        ),
        (changed(conversation="hello"), "not_a_conversation", "'conversation' is \"hello\""),
        (changed(conversation=[1]), "not_a_conversation", "[1]"),
        (changed(conversation=None), "not_a_conversation", "no messages"),
        (
            changed(conversation=[{"role": "user", "content": 5}]),
            "no_text",
            "the content of message 1 is 5, not text",
        ),
        (changed(conversation=[{"role": "user"}]), "no_text", "message 1 has no text"),
        (changed(conversation=[{"content": "who?"}]), "roles", "message 1 has no role"),
        (changed(toxic="no"), "not_a_conversation", "'toxic' is \"no\""),
        (changed(language=5), "not_a_conversation", "'language' is 5"),
    ],
)
def test_a_bad_line_is_recorded_and_the_others_go_on(
    tmp_path: Path, line: bytes, reason: str, detail: str
) -> None:
    other = changed(conversation=[{"role": "user", "content": "Another."}])
    (tmp_path / "data.jsonl").write_bytes(lines(line, b"", other))
    report = attempt(tmp_path, "data.jsonl")
    assert (report["rows_in"], report["kept"], report["dropped"]) == (3, 2, {"malformed": 1})
    ((source, file, number, why, what),) = read_table(tmp_path / "out/failures.parquet", FAILURES).rows()
    assert (source, file, number, why) == ("wildchat", "data.jsonl", 2, reason)
    assert detail in what
    assert len(what) < 200


def test_a_file_cut_off_in_its_last_line_loses_that_line_only(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(lines(changed())[:-30])
    report = attempt(tmp_path, "data.jsonl")
    assert (report["kept"], report["dropped"]) == (1, {"malformed": 1})
    assert report["failures"] == {"not_json": 1}


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(b"\xef\xbb\xbf" + lines().replace(b"\n", b"\r\n"))
    assert attempt(tmp_path, "data.jsonl")["kept"] == 1


def test_lines_are_counted_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewild.prompts.sources.BATCH_BYTES", 300)
    monkeypatch.setattr("rewild.prompts.sources.BATCH_ROWS", 2)
    (tmp_path / "data.jsonl").write_bytes(lines(*[b"{" if i % 7 == 0 else changed() for i in range(2, 40)]))
    attempt(tmp_path, "data.jsonl")
    found = read_table(tmp_path / "out/failures.parquet", FAILURES)
    assert found["line"].to_list() == [7, 14, 21, 28, 35]


def test_parquet_rows_that_are_not_utf8_are_failures(tmp_path: Path) -> None:
    message = pa.struct([("role", pa.binary()), ("content", pa.binary())])
    rows = [[{"role": b"user", "content": content}] for content in (b"good", b"bad \xff", b"fine", b"\xc3")]
    flags = pa.array([False] * 4)
    table = pa.table(
        {
            "conversation": pa.array(rows, pa.list_(message)),
            "toxic": flags,
            "redacted": flags,
            "openai_moderation": pa.array([[]] * 4, pa.list_(pa.struct([("flagged", pa.bool_())]))),
        }
    )
    # Binary columns that say they are text: the bytes are as a broken writer leaves them.
    text = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    column = pa.Array.from_buffers(
        text,
        4,
        table["conversation"].chunk(0).buffers()[:2],
        children=[_relabelled(table["conversation"].chunk(0).values, text.value_type)],
    )
    pq.write_table(table.set_column(0, "conversation", column), tmp_path / "data.parquet")
    report = attempt(tmp_path, "data.parquet")
    assert (report["rows_in"], report["kept"], report["failures"]) == (4, 2, {"not_utf8": 2})
    assert read_table(tmp_path / "out/failures.parquet", FAILURES)["line"].to_list() == [2, 4]


def _relabelled(values: pa.StructArray, kind: pa.StructType) -> pa.StructArray:
    """The same bytes under another type, unchecked."""
    fields = [
        pa.Array.from_buffers(pa.string(), len(f), f.buffers()) for f in (values.field(0), values.field(1))
    ]
    return pa.StructArray.from_arrays(fields, fields=list(kind))


# Files that cannot be read are errors that name them


def parquet(path: Path, **columns: Any) -> None:
    rows = [GOOD | {"conversation_hash": str(i)} | columns for i in range(2000)]
    rng = random.Random(0)
    for row in rows:
        row["conversation"] = [{"role": "user", "content": rng.randbytes(20).hex()}]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=500)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def scramble_pages(path: Path) -> None:
    scramble(path, 2000, path.stat().st_size // 2)


def scramble_footer(path: Path) -> None:
    scramble(path, path.stat().st_size - 2000, path.stat().st_size - 8)


def scramble(path: Path, start: int, stop: int) -> None:
    content = bytearray(path.read_bytes())
    for i in range(start, stop, 50):
        content[i] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"data.parquet: cannot be read as Parquet \(cut off or corrupt\?\)"),
        (scramble_footer, r"data.parquet: cannot be read as Parquet"),
        (scramble_pages, r"data.parquet: corrupt after row \d+ \(cut off or damaged; fetch it again\)"),
        (lambda p: p.write_bytes(b""), r"data.parquet: the file is empty \(source 'wildchat'\)"),
        (lambda p: p.write_bytes(b"PAR1 no PAR1"), r"data.parquet: cannot be read as Parquet"),
        (lambda p: p.unlink(), r"data.parquet: no such file \(source 'wildchat' was expected\)"),
    ],
)
@pytest.mark.parametrize("cores", [1, 2])
def test_a_damaged_parquet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any, message: str, cores: int
) -> None:
    monkeypatch.setattr("rewild.prompts.prepare.WORTH_A_PROCESS", 1)
    parquet(tmp_path / "data.parquet")
    damage(tmp_path / "data.parquet")
    with pytest.raises(DataError, match=message):
        attempt(tmp_path, "data.parquet", cores=cores)
    assert not (tmp_path / "out").exists() or left(tmp_path) == []


@pytest.mark.parametrize(
    ("drop", "more", "message"),
    [
        ("conversation", {}, "the column 'conversation' is missing"),
        ("toxic", {}, r"the column 'toxic' is missing and the study has `drop: \[toxic\]`"),
        ("openai_moderation", {}, r"'openai_moderation' is missing and the study has `drop: \[moderation\]`"),
        ("language", {"languages": ["English"]}, "'language' is missing and the study has `languages`"),
    ],
)
def test_a_missing_column_is_an_error_where_it_matters(
    tmp_path: Path, drop: str, more: dict[str, Any], message: str
) -> None:
    table = pa.Table.from_pylist([GOOD]).drop_columns([drop])
    pq.write_table(table, tmp_path / "data.parquet")
    with pytest.raises(DataError, match=message):
        attempt(tmp_path, "data.parquet", **more)
    if drop != "conversation":
        assert attempt(tmp_path, "data.parquet", drop=[])["kept"] == 1


def test_a_conversation_column_of_another_type(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([GOOD | {"conversation": "user: hello"}])
    pq.write_table(table, tmp_path / "data.parquet")
    with pytest.raises(DataError, match=r"'conversation' must be a list of \{role, content\}, not string"):
        attempt(tmp_path, "data.parquet")


def test_flags_of_another_type(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([GOOD | {"toxic": "maybe"}]), tmp_path / "data.parquet")
    with pytest.raises(DataError, match="do not have the types of the WildChat schema"):
        attempt(tmp_path, "data.parquet")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "data.jsonl: the file is empty"),
        (b"\n\n", "data.jsonl: the file is empty"),
        (
            b"{\n}\n",
            r"no conversation is left \(2 rows = 0 kept \+ dropped: malformed 2\); the first malformed: "
            r"data\.jsonl, line 1: not_json: not JSON: Expecting property name",
        ),
    ],
)
def test_a_file_without_conversations(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "data.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        attempt(tmp_path, "data.jsonl")
    assert not (tmp_path / "out").exists() or left(tmp_path) == []


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([GOOD])
    for name, groups in (("groups.parquet", 1), ("none.parquet", 0)):
        with pq.ParquetWriter(tmp_path / name, table.schema) as writer:
            for _ in range(groups):
                writer.write_table(table.slice(0, 0))
        with pytest.raises(
            DataError, match=r"study test: (the sources have no rows|no conversation is left)"
        ):
            attempt(tmp_path, name)
    pq.write_table(table, tmp_path / "some.parquet")
    assert attempt(tmp_path, "groups.parquet", "none.parquet", "some.parquet")["kept"] == 1


def test_a_hub_dataset_that_was_not_fetched(tmp_path: Path) -> None:
    hub = {"kind": "hub", "repository": "owner/name", "revision": "a" * 40}
    with pytest.raises(
        DataError, match=r"no such file .*; the rule fetch_hub or `rewild fetch-hub` brings it"
    ):
        attempt(tmp_path, sources=[hub])


def test_a_conversation_with_more_turns_than_the_table_can_count(tmp_path: Path) -> None:
    long = [{"role": role, "content": "x"} for role in ("user", "assistant") * 40_000]
    (tmp_path / "data.jsonl").write_bytes(lines(changed(conversation=long)))
    assert attempt(tmp_path, "data.jsonl", turns={"max": 10**6})["dropped"] == {"turns": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n"instruction": "x"}', "one JSON object .with instruction., but rows were expected"),
        (b"[", "row 1: not JSON: Expecting value; is the file cut off"),
        (b"\xff", "the first malformed: a.json, line 1: not_utf8"),
        (b"[" * 100_000, "row 1: not JSON: lists and objects within each other"),
        (b"[" + b"1" * 5000 + b"]", "not_json: not usable JSON: a number of 5000 digits"),
    ],
)
def test_a_bad_alpaca_eval_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        attempt(tmp_path, sources=[{"kind": "alpaca-eval", "file": "a.json"}])


def test_an_alpaca_eval_instruction_that_is_no_text_is_a_failure(tmp_path: Path) -> None:
    items = [{"instruction": "Do this."}, {"instruction": "half \ud83d"}, {"output": "other half \ude00"}]
    (tmp_path / "a.json").write_text(json.dumps(items))
    report = attempt(tmp_path, sources=[{"kind": "alpaca-eval", "file": "a.json"}])
    assert (report["kept"], report["failures"]) == (1, {"not_utf8": 2})
    details = read_table(tmp_path / "out/failures.parquet", FAILURES)["detail"].to_list()
    assert [d[-33:] for d in details] == ["of a surrogate pair, no character"] * 2


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    from rewild.core.locks import locked

    (tmp_path / "data.jsonl").write_bytes(lines())
    killed, working = (tmp_path / "out" / f".prepare-{name}" for name in ("killed", "working"))
    killed.mkdir(parents=True)
    (killed / "000000.arrow").write_bytes(b"x" * 1000)
    with locked(working):
        attempt(tmp_path, "data.jsonl")
        assert working.exists(), "another process is at work in it"
    assert not killed.exists()


# A disk that fills


@pytest.fixture
def earlier(tmp_path: Path) -> dict[str, bytes]:
    """Results of an earlier run, which a failure must leave alone."""
    (tmp_path / "data.jsonl").write_bytes(lines())
    attempt(tmp_path, "data.jsonl")
    return {name: (tmp_path / "out" / name).read_bytes() for name in left(tmp_path) if "." in name}


def unchanged(folder: Path, earlier: dict[str, bytes]) -> None:
    assert [n for n in left(folder) if "." in n] == sorted(earlier)
    for name, content in earlier.items():
        assert (folder / "out" / name).read_bytes() == content


@pytest.mark.parametrize("where", ["spill", "shard", "report"])
def test_a_full_disk_says_so_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: dict[str, bytes], where: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = {"spill": (passes.pa, "OSFile"), "shard": (passes.pq, "write_table")}
    if where == "report":
        monkeypatch.setattr("rewild.prompts.report.write_json", full)
    else:
        monkeypatch.setattr(*target[where], full)
    with pytest.raises(DataError, match=r"out: the disk is full\. .* Nothing there was changed"):
        attempt(tmp_path, "data.jsonl", shards=1)
    unchanged(tmp_path, earlier)


LIMITED = """
import sys
from pathlib import Path

from rewild.config.base import validate
from rewild.config.prompts import Prompts
from rewild.core.errors import DataError
from rewild.prompts import prepare as module
from rewild.prompts.prepare import prepare

module.WORTH_A_PROCESS = 1
if __name__ == "__main__":
    given = {"sources": [{"kind": "wildchat-file", "files": ["data.parquet"]}]}
    try:
        prepare("x", validate(Prompts, given, "x"), Path("out"), cores=int(sys.argv[1]))
    except DataError as error:
        sys.exit(str(error))
"""


@pytest.mark.heavy
@pytest.mark.parametrize("cores", [1, 2])
def test_a_real_limit_on_file_size(tmp_path: Path, earlier: dict[str, bytes], cores: int) -> None:
    """The kernel refuses to let a file grow past 20 kB, as a full disk would."""
    parquet(tmp_path / "data.parquet")
    (tmp_path / "run.py").write_text(LIMITED)
    run = subprocess.run(
        [sys.executable, "run.py", str(cores)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.strip().startswith("out: the disk takes no larger file."), run.stderr
    assert "Traceback" not in run.stderr
    unchanged(tmp_path, earlier)


@pytest.mark.heavy
def test_a_killed_process_is_named(tmp_path: Path) -> None:
    from rewild.core.errors import RewildError
    from rewild.prompts.processes import processes

    with pytest.raises(RewildError, match="a process was killed from outside"), processes(2, None) as run:
        run(_die, [(1,), (2,)])


def _die(_: None, number: int) -> None:
    os.kill(os.getpid(), 9)


# The command


def test_the_command_has_one_message_and_no_traceback(tmp_path: Path, rewild: Any) -> None:
    (tmp_path / "data.jsonl").write_bytes(b"{}\n")
    settings = {"sources": [{"kind": "wildchat-file", "files": ["data.jsonl"]}]}
    run = rewild(tmp_path, "prepare", "mine", "--settings", json.dumps(settings), "--out", "out")
    assert run.returncode == 1
    assert "error: study mine: no conversation is left (1 rows = 0 kept + dropped: malformed 1)" in run.stdout
    assert "Traceback" not in run.stdout
    run = rewild(tmp_path, "prepare", "mine", "--settings", '{"sourcs": []}', "--out", "out")
    assert "--settings: unknown key 'sourcs'; did you mean 'sources'?" in run.stdout
    for given, said in (
        ("{bad", ", column 2: not JSON: Expecting property name"),
        ("[1]", ": an object was expected, not [1]"),
    ):
        run = rewild(tmp_path, "prepare", "mine", "--settings", given, "--out", "out")
        assert f"error: --settings{said}" in run.stdout
        assert "Traceback" not in run.stdout
    run = rewild(ROOT, "prepare", "paper", "--out", str(tmp_path / "out"))
    assert "error: study paper has no section `prompts`" in run.stdout

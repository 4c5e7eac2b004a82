"""Preparation: every reason for a drop, the account, what stays put, agreement with a slow oracle."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewild.config.base import validate
from rewild.config.prompts import Prompts
from rewild.core.conversations import conversation_id, iter_turns
from rewild.core.table import read_table
from rewild.prompts import sources
from rewild.prompts.prepare import prepare
from rewild.prompts.schema import FAILURES, REPORT, read_shard, shard_of

ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, Any]


def conversation(*contents: str | None, roles: str = "", **more: Any) -> Row:
    """A row in the WildChat schema; contents of user and assistant in turn, or of ``roles`` (s, u, a, x)."""
    names = {"s": "system", "u": "user", "a": "assistant", "x": "tool"}
    order = roles or ("ua" * len(contents))[: len(contents)]
    return {
        "conversation_hash": more.pop("name", "name"),
        "timestamp": "2024-01-01T00:00:00+00:00",
        "conversation": [{"role": names[r], "content": c} for r, c in zip(order, contents, strict=True)],
        "language": "English",
        "openai_moderation": [],
        "toxic": False,
        "redacted": False,
    } | more


def write(path: Path, rows: list[Row]) -> None:
    """Write rows as JSON Lines, or as Parquet with a real timestamp."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return
    message = pa.struct([("content", pa.string()), ("language", pa.string()), ("role", pa.string())])
    schema = pa.schema(
        [
            ("conversation_hash", pa.string()),
            ("timestamp", pa.timestamp("us", "UTC")),
            ("conversation", pa.list_(message)),
            ("language", pa.string()),
            ("openai_moderation", pa.list_(pa.struct([("flagged", pa.bool_()), ("score", pa.float64())]))),
            ("toxic", pa.bool_()),
            ("redacted", pa.bool_()),
        ]
    )
    typed = [r | {"timestamp": datetime.fromisoformat(r["timestamp"])} for r in rows]
    pq.write_table(pa.Table.from_pylist(typed, schema), path, row_group_size=3)


def run(folder: Path, rows: list[Row], **more: Any) -> tuple[dict[str, Any], pl.DataFrame]:
    """Prepare one file of rows: the report and the kept rows, shard after shard."""
    write(folder / "data.jsonl", rows)
    return run_files(folder, ["data.jsonl"], **more)


def run_files(
    folder: Path, files: list[str], *, cores: int = 1, **more: Any
) -> tuple[dict[str, Any], pl.DataFrame]:
    given = {"sources": [{"kind": "wildchat-file", "files": files}], "shards": 3} | more
    report = prepare("test", validate(Prompts, given, "test"), folder / "out", root=folder, cores=cores)
    return report, shards(folder / "out")


def shards(out: Path) -> pl.DataFrame:
    return pl.concat([read_shard(path) for path in sorted((out / "shards").glob("*.parquet"))])


# Every reason


GOOD = conversation("A question that is fine.", "An answer.")


@pytest.mark.parametrize(
    ("row", "more", "reason"),
    [
        (conversation("q", "a", language="French"), {"languages": ["English"]}, "language"),
        (conversation("q", "a", language=None), {"languages": ["English"]}, "language"),
        (conversation("q", "a", toxic=True), {}, "toxic"),
        (conversation("q", "a", openai_moderation=[{"flagged": False}, {"flagged": True}]), {}, "moderation"),
        (conversation("q", "a", redacted=True), {}, "redacted"),
        (conversation("see <b>this</b>", "a"), {"drop": ["markup"]}, "markup"),
        (conversation("q", "a", "```x```"), {"drop": ["code"]}, "code"),
        (conversation("q", "a", "q2"), {"turns": {"max": 1}}, "turns"),
        (conversation(" \n\t ", "a"), {}, "length"),
        (conversation("", "a", ""), {}, "length"),
        (conversation("six...", "a", "seven.."), {"characters": {"max": 24, "min": 14}}, "length"),
        (conversation("This was in the benchmark, word for word", "a"), {"bench": 4}, "contaminated"),
        (conversation("ok", "a", "it was IN THE BENCHMARK!"), {"bench": 4}, "contaminated"),
        (conversation("A question that is fine.", "other", "more", name="z"), {}, "duplicate_first_message"),
        (conversation("A question that is fine.", "other", name="z"), {}, "duplicate_conversation"),
        (
            conversation("A question that is fine.", "other", name="z"),
            {"duplicates": "conversation"},
            "duplicate_conversation",
        ),
        (conversation("a", "b", roles="au"), {}, "malformed"),
    ],
)
def test_every_reason_is_counted(tmp_path: Path, row: Row, more: dict[str, Any], reason: str) -> None:
    if n := more.pop("bench", None):
        (tmp_path / "bench.jsonl").write_text('{"prompt": "Was in the benchmark."}\n')
        more["contamination"] = {"words": n, "files": ["bench.jsonl"]}
    report, kept = run(tmp_path, [GOOD, row], **more)
    assert report["dropped"] == {reason: 1}
    assert (report["rows_in"], report["kept"]) == (2, 1)
    assert kept["conversation_id"].to_list() == [conversation_id(["A question that is fine."])]
    if reason == "contaminated":
        assert report["contaminated_by"] == {"bench.jsonl": 1}


def test_the_first_reason_counts(tmp_path: Path) -> None:
    rows = [GOOD, conversation("", language="French", toxic=True, redacted=True)]
    assert run(tmp_path, rows, languages=["English"])[0]["dropped"] == {"language": 1}
    assert run(tmp_path, rows)[0]["dropped"] == {"toxic": 1}
    assert run(tmp_path, rows, drop=["redacted"])[0]["dropped"] == {"redacted": 1}
    assert run(tmp_path, rows, drop=[])[0]["dropped"] == {"length": 1}


def test_the_limit_keeps_the_lowest_ids(tmp_path: Path) -> None:
    rows = [conversation(f"question {i}", name=str(i)) for i in range(20)]
    report, kept = run(tmp_path, rows, limit=7)
    assert (
        kept["conversation_id"].to_list() == sorted(conversation_id([f"question {i}"]) for i in range(20))[:7]
    )
    assert report["dropped"] == {"limit": 13}


# What a row holds


def test_a_row_as_it_is_written(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " <i>Un</i>\u0000 \u202e🙂"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "```\ncode"},
    ]
    row = conversation(*(m["content"] for m in messages), roles="suau", redacted=True, language="French")
    _, kept = run(tmp_path, [row], drop=[])
    identity = conversation_id([messages[1]["content"], messages[3]["content"]])
    assert kept.rows(named=True) == [
        {
            "conversation_id": identity,
            "source": "wildchat",
            "source_id": "name",
            "shard": shard_of(identity, 3),
            "language": "French",
            "n_turns": 2,
            "messages": messages,
            "tags": ["code", "markup", "redacted"],
        }
    ]
    assert [t.reference for t in iter_turns(messages)] == ["", None]


def test_each_shard_holds_its_own_sorted(tmp_path: Path) -> None:
    report, kept = run(tmp_path, [conversation(f"q {i}", name=str(i)) for i in range(200)], shards=7)
    assert kept["conversation_id"].to_list() == sorted(conversation_id([f"q {i}"]) for i in range(200))
    assert kept["shard"].to_list() == [shard_of(i, 7) for i in kept["conversation_id"]]
    for path in (tmp_path / "out/shards").glob("*.parquet"):
        assert set(read_shard(path)["shard"]) <= {path.stem}
    assert report["shards"] == dict(sorted(Counter(kept["shard"].to_list()).items()))
    assert len(report["shards"]) == 7


def test_more_shards_than_cells_and_fewer_rows_than_shards(tmp_path: Path) -> None:
    report, kept = run(tmp_path, [conversation(f"q {i}") for i in range(5)], shards=300)
    assert len(list((tmp_path / "out/shards").glob("*.parquet"))) == 300
    assert kept["conversation_id"].to_list() == sorted(conversation_id([f"q {i}"]) for i in range(5))
    assert sum(report["shards"].values()) == 5


def test_the_account_in_every_form(tmp_path: Path) -> None:
    report, _ = run(tmp_path, [GOOD, conversation("x", toxic=True), conversation()])
    out = tmp_path / "out"
    assert json.loads((out / "report.json").read_text())["sources"]["wildchat"] == {
        "read": 3,
        "kept": 1,
        "dropped": {"malformed": 1, "toxic": 1},
    }
    table = read_table(out / "report.csv", REPORT)
    counts = {(s, o): r for s, o, r in table.iter_rows()}
    assert counts["all", "read"] == counts["wildchat", "read"] == 3
    assert counts["all", "toxic"] == 1
    assert sum(r for (s, o), r in counts.items() if s == "all" and o != "read") == 3
    assert "| dropped: toxic | 1 | 1 |" in (out / "report.md").read_text()
    assert report["languages"] == {"English": 1}
    assert report["turns"] == {"1": 1}


# Compared with a slow and plain account of the same rules


def verdict(row: Row) -> str:
    """The reason that drops a row for its own sake, or nothing."""
    roles = [m["role"] for m in row["conversation"]]
    turns = [m["content"] for m in row["conversation"] if m["role"] == "user"]
    dialogue = roles[1:] if roles[:1] == ["system"] else roles
    alternate = [("user", "assistant")[i % 2] for i in range(len(dialogue))]
    if not turns or dialogue != alternate or any(m["content"] is None for m in row["conversation"]):
        return "malformed"
    tests = {
        "language": row["language"] not in ("English", "French"),
        "toxic": row["toxic"],
        "redacted": row["redacted"],
        "turns": len(turns) > 2,
        "length": not 1 <= sum(len(t.strip()) for t in turns) <= 6,
    }
    return next((reason for reason, applies in tests.items() if applies), "")


def oracle(rows: list[Row], *, by: str) -> tuple[dict[str, str], Counter[str]]:
    """Id → name of what is kept, and the drops by reason."""
    dropped = Counter(map(verdict, rows))
    groups: dict[str, list[tuple[str, ...]]] = {}
    for row in rows:
        if not verdict(row):
            turns = [m["content"] for m in row["conversation"] if m["role"] == "user"]
            identity = conversation_id(turns)
            order = (row["timestamp"], row["conversation_hash"], identity)
            groups.setdefault(turns[0] if by == "first-message" else identity, []).append(order)
    del dropped[""]
    best = [min(group) for group in groups.values()]
    for group in groups.values():
        copies = sum(order[2] == min(group)[2] for order in group)
        dropped["duplicate_conversation"] += copies - 1
        dropped["duplicate_first_message"] += len(group) - copies
    return {identity: name for _, name, identity in best}, +dropped


CONTENT = st.sampled_from(["a", "b", "ab", " a ", "", "abc", "é🙂", None])
ROWS = st.lists(
    st.builds(
        lambda contents, roles, **more: conversation(
            *contents, roles=roles[: len(contents)] if roles else "", **more
        ),
        st.lists(CONTENT, max_size=6),
        st.sampled_from(["", "", "", "", "suauauau", "uuaaxxss", "auauauau", "ssuauaua"]),
        name=st.sampled_from("pqr"),
        timestamp=st.sampled_from(["2024-01-01T00:00:00+00:00", "2023-06-01T12:00:00+00:00"]),
        language=st.sampled_from(["English", "English", "French", "German"]),
        toxic=st.sampled_from([False, False, False, True]),
        redacted=st.sampled_from([False, False, False, True]),
    ),
    max_size=25,
)
SLOW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FILTERS: dict[str, Any] = {
    "languages": ["English", "French"],
    "turns": {"max": 2},
    "characters": {"min": 1, "max": 6},
}


@SLOW
@given(
    ROWS, st.sampled_from(["first-message", "conversation"]), st.sampled_from(["data.jsonl", "data.parquet"])
)
def test_agrees_with_a_plain_account(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], by: str, file: str
) -> None:
    folder = tmp_path_factory.mktemp("oracle")
    rows = [*rows, conversation("always")]
    write(folder / file, rows)
    more = FILTERS | {"characters": {"min": 1, "max": 6}, "duplicates": by}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BATCH_ROWS", 4)
        patch.setattr(sources, "BATCH_BYTES", 1500)
        patch.setattr(sources, "GROUPS_PER_TASK", 6)
        report, kept = run_files(folder, [file], **more)
    expected, dropped = oracle(rows, by=by)
    assert dict(kept.select("conversation_id", "source_id").iter_rows()) == expected
    assert Counter(report["dropped"]) == dropped
    assert report["rows_in"] == len(rows) == report["kept"] + sum(report["dropped"].values())
    assert report["kept"] == len(kept)


# What does not change


def some(number: int, seed: int = 0) -> list[Row]:
    """Rows with many duplicates, at different times."""
    rng = random.Random(seed)
    return [
        conversation(
            f"question {rng.randrange(number)}",
            f"answer {i}",
            *([f"and {rng.randrange(3)}"] if rng.random() < 0.5 else []),
            name=f"{seed}-{i:04d}",
            timestamp=f"2024-01-{1 + rng.randrange(28):02d}T00:00:00+00:00",
        )
        for i in range(number)
    ]


def test_neither_files_nor_their_order_nor_processes_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewild.prompts.prepare.WORTH_A_PROCESS", 1)
    rows = some(300)
    write(tmp_path / "all.jsonl", rows)
    _, expected = run_files(tmp_path, ["all.jsonl"])
    random.Random(5).shuffle(rows)
    write(tmp_path / "z.parquet", rows[:100])
    write(tmp_path / "b.jsonl", rows[100:])
    _, one = run_files(tmp_path, ["z.parquet", "b.jsonl"])
    _, two = run_files(tmp_path, ["b.jsonl", "z.parquet"], cores=2)
    assert one.equals(expected)
    assert two.equals(expected)
    assert 100 < len(expected) < 300


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewild.prompts.prepare.WORTH_A_PROCESS", 1)

    def bytes_of() -> dict[str, bytes]:
        files = sorted((tmp_path / "out").rglob("*"))
        return {str(f.relative_to(tmp_path)): f.read_bytes() for f in files if f.is_file()}

    run(tmp_path, some(100))
    first = bytes_of()
    assert len(first) == 3 + 5
    run(tmp_path, some(100), cores=2)
    assert bytes_of() == first


@pytest.mark.heavy
@SLOW
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_later_data_and_later_sources_leave_old_rows_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, seed: int, before: int, after: int, number: int
) -> None:
    folder = tmp_path_factory.mktemp("added")
    old = some(before, seed)
    new = [row | {"timestamp": "2025-01-01T00:00:00+00:00"} for row in some(after, seed + 1)]
    write(folder / "old.jsonl", old)
    write(folder / "later.jsonl", new)
    write(folder / "other.jsonl", some(after, seed + 2))
    _, was = run_files(folder, ["old.jsonl"], shards=number)
    more = [
        {"kind": "wildchat-file", "files": ["old.jsonl", "later.jsonl"]},
        {"kind": "wildchat-file", "name": "other", "files": ["other.jsonl"]},
    ]
    _, now = run_files(folder, [], shards=number, sources=more)
    assert now.filter(pl.col("conversation_id").is_in(was["conversation_id"].to_list())).equals(was)
    assert set(now["source"]) <= {"wildchat", "other"}


def test_a_copy_that_differs_in_its_answers_only_is_chosen_by_content(tmp_path: Path) -> None:
    rows = [conversation("q", answer) for answer in ("b", "a", "c", "a")]
    for order in (rows, rows[::-1]):
        report, kept = run(tmp_path, order)
        assert kept["messages"].to_list()[0][1]["content"] == "a"
        assert report["dropped"] == {"duplicate_conversation": 3}


def test_the_earliest_of_the_first_source_is_kept(tmp_path: Path) -> None:
    at = "2024-0{}-01T00:00:00+00:00".format
    write(
        tmp_path / "a.jsonl",
        [conversation("q", name="late", timestamp=at(3)), conversation("q", name="early", timestamp=at(2))],
    )
    write(tmp_path / "b.jsonl", [conversation("q", name="earliest", timestamp=at(1))])
    two = [{"kind": "wildchat-file", "name": n, "files": [f"{n}.jsonl"]} for n in "ab"]
    assert run_files(tmp_path, [], sources=two)[1]["source_id"].to_list() == ["early"]
    assert run_files(tmp_path, [], sources=two[::-1])[1]["source_id"].to_list() == ["earliest"]
    unknown = conversation("q", name="a", timestamp=None)
    write(tmp_path / "a.jsonl", [unknown, conversation("q", name="dated", timestamp=at(9))])
    assert run_files(tmp_path, [], sources=two[:1])[1]["source_id"].to_list() == ["dated"]


def test_a_coarser_cut_removes_old_shards(tmp_path: Path) -> None:
    run(tmp_path, some(30), shards=6)
    _, kept = run(tmp_path, some(30), shards=2)
    assert sorted(p.name for p in (tmp_path / "out/shards").iterdir()) == ["0000.parquet", "0001.parquet"]
    assert len(kept) > 10


# Sources


def test_question_files(tmp_path: Path) -> None:
    (tmp_path / "mt.jsonl").write_text(json.dumps({"question_id": 81, "turns": ["One?", "Two?"]}) + "\n")
    (tmp_path / "alpaca.json").write_text(
        json.dumps([{"instruction": "Do this.", "dataset": "x"}, {"output": "o"}])
    )
    two = [{"kind": "mt-bench", "file": "mt.jsonl"}, {"kind": "alpaca-eval", "file": "alpaca.json"}]
    report, kept = run_files(tmp_path, [], sources=two, languages=["English"])
    rows = {r["source"]: r for r in kept.iter_rows(named=True)}
    assert rows["mt-bench"]["source_id"] == "81"
    assert rows["mt-bench"]["messages"] == [
        {"role": "user", "content": "One?"},
        {"role": "user", "content": "Two?"},
    ]
    assert rows["mt-bench"]["tags"] == rows["alpaca-eval"]["tags"] == ["unanswered"]
    assert (rows["alpaca-eval"]["source_id"], rows["alpaca-eval"]["n_turns"]) == ("0001", 1)
    assert report["sources"]["alpaca-eval"]["dropped"] == {"malformed": 1}


def test_the_demo_has_all_it_should(tmp_path: Path) -> None:
    everything = {"sources": [{"kind": "demo"}], "characters": {"min": 0}, "shards": 4}
    prompts = validate(Prompts, everything, "demo")
    report = prepare("demo", prompts, tmp_path, root=ROOT)
    kept = shards(tmp_path)
    assert report["kept"] == report["rows_in"] >= 220
    assert set(report["turns"]) == {"1", "2", "3", "4"}
    assert len(report["languages"]) >= 8
    texts = [m["content"] for row in kept["messages"] for m in row]
    assert {"", "   \n\t "} <= set(texts)
    assert max(map(len, texts)) >= 20_000
    for awkward in (
        "<script>",
        "\u202e",
        "\u200d",
        "\u0000",
        "\u001b",
        "مرحبا",
        "```",
        "<|im_start|>",
        "👩‍👩‍👧‍👦",
    ):
        assert any(awkward in text for text in texts), awkward
    assert prepare(
        "demo", validate(Prompts, everything | {"characters": {"min": 1}}, ""), tmp_path, root=ROOT
    )["dropped"] == {"length": 2}


@pytest.mark.mirror
def test_real_question_files(tmp_path: Path, mirror: Path) -> None:
    """The 80 questions of MT-Bench and the 805 of AlpacaEval; none of a benchmark passes itself."""
    mt = next(mirror.glob("lm-sys/FastChat/*/fastchat/llm_judge/data/mt_bench/question.jsonl"))
    alpaca = next(mirror.glob("tatsu-lab/alpaca_eval/*/results/Qwen1.5-14B-Chat/model_outputs.json"))
    two = [{"kind": "mt-bench", "file": str(mt)}, {"kind": "alpaca-eval", "file": str(alpaca)}]
    report, kept = run_files(tmp_path, [], sources=two)
    questions = [json.loads(line)["turns"] for line in mt.read_text().splitlines()]
    instructions = [item["instruction"] for item in json.loads(alpaca.read_text())]
    assert report["sources"]["mt-bench"] == {"read": 80, "kept": 80, "dropped": {}}
    ids = kept.filter(pl.col("source") == "mt-bench")["conversation_id"].to_list()
    assert ids == sorted(map(conversation_id, questions))
    fresh = set(instructions) - {turns[0] for turns in questions}
    assert report["sources"]["alpaca-eval"]["read"] == len(instructions) == 805
    assert report["sources"]["alpaca-eval"]["kept"] == len(fresh) == 803
    report, _ = run_files(tmp_path, [], sources=two, contamination={"words": 13, "files": [str(mt)]})
    assert report["sources"]["mt-bench"] == {"read": 80, "kept": 0, "dropped": {"contaminated": 80}}
    assert 790 < report["sources"]["alpaca-eval"]["kept"] <= 803


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [
        ("1970-01-01T00:00:01Z", 10**6),
        ("1970-01-01 00:00:01", 10**6),
        ("1970-01-01T01:00:00+01:00", 0),
        ("yesterday", None),
        (5, None),
    ],
)
def test_timestamps(value: object, microseconds: int | None) -> None:
    assert sources._microseconds(value) == microseconds


def test_failures_say_where(tmp_path: Path) -> None:
    rows = [GOOD, conversation("q", "a", "b", roles="uaa"), conversation("q", None), conversation()]
    run(tmp_path, rows)
    found = read_table(tmp_path / "out/failures.parquet", FAILURES)
    assert found.rows() == [
        ("wildchat", "data.jsonl", 2, "roles", "user, assistant, assistant"),
        ("wildchat", "data.jsonl", 3, "no_text", "a message without content"),
        ("wildchat", "data.jsonl", 4, "not_a_conversation", "no messages"),
    ]

"""Shared runs of words, against a plain loop over sets."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewild.core.errors import DataError
from rewild.prompts.contamination import Benchmarks, load_benchmarks, read_benchmark, words


def plain_words(text: str) -> tuple[str, ...]:
    return tuple("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower()).split())


def plain_match(benchmarks: dict[str, list[str]], texts: list[str], n: int) -> list[int]:
    """The method as its docstring states it, slowly."""
    runs: dict[tuple[str, ...], int] = {}
    wholes: dict[tuple[str, ...], int] = {}
    for index, group in enumerate(benchmarks.values()):
        for text in group:
            found = plain_words(text)
            for i in range(len(found) - n + 1):
                runs.setdefault(found[i : i + n], index)
            if 3 <= len(found) < n:
                wholes.setdefault(found, index)
    result = []
    for text in texts:
        found = plain_words(text)
        hits = [runs[found[i : i + n]] for i in range(len(found) - n + 1) if found[i : i + n] in runs]
        hits += [wholes[found]] if found in wholes else []
        result.append(min(hits, default=-1))
    return result


# Few words, so that runs are shared often; long ones differ in their middle or at their ends only.
LONG = [f"{'a' * 20}{middle}{'b' * 20}" for middle in "xy"] + [
    "c" * 70,
    "c" * 71,
    "日本語の長い文章" * 4,
    "日本語の長い文章" * 3,
]
VOCABULARY = [
    *LONG,
    "the",
    "The",
    "THE",
    "é",
    "É",
    "İ",
    "ΟΔΟΣ",
    "don't",
    "“q”",
    "a",
    "abcdefgh",
    "abcdefghi",
    "—",
    "x1",
    "देवनागरी",
]
TEXT = st.lists(st.sampled_from(VOCABULARY), max_size=14).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(TEXT, min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(TEXT, max_size=6),
    st.sampled_from([3, 4, 5, 7, 13]),
)
def test_agrees_with_a_plain_loop(groups: list[list[str]], texts: list[str], n: int) -> None:
    benchmarks = {f"file {i}": group for i, group in enumerate(groups)}
    texts = [*texts, groups[-1][0] + " the end", f"of {groups[0][-1]}"]
    found = Benchmarks(benchmarks, n).match(pl.Series(texts, dtype=pl.String))
    assert found.tolist() == plain_match(benchmarks, texts, n)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cn", "Cs"]), max_size=30), max_size=5)
)
def test_words_of_any_text_are_counted_as_stated(texts: list[str]) -> None:
    split = words(pl.Series(texts, dtype=pl.String))
    counts = (split.first[1:] - split.first[:-1]).tolist()
    assert counts == [len(plain_words(text)) for text in texts]


def test_case_punctuation_and_line_ends_do_not_hide_a_copy() -> None:
    question = "Which of the two trains arrives first, if one leaves at noon and the other at one?"
    benchmark = Benchmarks({"b": [question]}, 13)
    copy = (
        'please SOLVE: "which of the two trains\n\narrives first -- if one leaves at NOON and the other..."'
    )
    assert benchmark.match(pl.Series([copy, question[:40], "unrelated"])).tolist() == [0, -1, -1]


def test_a_short_question_counts_only_as_a_whole_turn() -> None:
    benchmark = Benchmarks({"b": ["Who wrote Hamlet?", "rise"]}, 13)
    turns = ["who wrote HAMLET", "Who wrote Hamlet and why?", "rise"]
    assert benchmark.match(pl.Series(turns)).tolist() == [0, -1, -1]


def test_a_run_does_not_cross_from_one_turn_to_the_next() -> None:
    benchmark = Benchmarks({"b": ["one two three four"]}, 4)
    assert benchmark.match(pl.Series(["zero one two", "three four five"])).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("name", "content", "asked"),
    [
        ("a.jsonl", '{"prompt": "p", "answer": "no"}\n\n{"turns": ["t1", "t2"]}\n', ["p", "t1", "t2"]),
        ("b.json", '{"examples": [{"input": "i", "target": "no"}], "canary": "no"}', ["i"]),
        ("c.json", '[{"context": "c", "questions": [{"question": "q", "choices": ["no"]}]}]', ["c", "q"]),
        ("list.jsonl", '[\n{"prompt": "p"},\n{"prompt": "q"}\n]', ["p", "q"]),
        ("lines.json", '\n{"prompt": "p"}\n\n{"prompt": "q"}\n', ["p", "q"]),
        ("object.json", '{\n "prompt": "p"\n}\n', ["p"]),
        ("opened.json", '[{"prompt": "p"},\n{"prompt": "q"}]', ["p", "q"]),
        ("d.jsonl", '{"turns": [{"content": "deep"}]}', ["deep"]),
    ],
)
def test_reads_what_benchmarks_ask(tmp_path: Path, name: str, content: str, asked: list[str]) -> None:
    (tmp_path / name).write_text(content)
    assert read_benchmark(tmp_path / name) == asked


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"prompt": "p"}\n{"prompt": ', r"bad.jsonl, line 2: not valid JSON"),
        (b'{"prompt": "\xff"}', r"bad.jsonl, line 1: not UTF-8 text \(byte 13 "),
        (b'{"text": "p"}', r"none of the keys prompt, .* holds text \(it has: text\)"),
        (b"[1]\n2", r"line 2: an object was expected, not '2'"),
        (b"", r"it has: no keys"),
        (b'{"prompt": "p"}\n' + b"[" * 100_000, r"bad.jsonl, line 2: not usable JSON"),
        (b'{"prompt": ' + b"1" * 5000 + b"}", r"bad.jsonl, line 1: not usable JSON: Exceeds the limit"),
    ],
)
def test_a_bad_benchmark_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_benchmarks(["bad.jsonl"], 13, tmp_path)


def test_half_a_surrogate_pair_separates_words(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(b'{"prompt": "one two three\\ud83d four"}')
    benchmark = load_benchmarks(["b.jsonl"], 4, tmp_path)
    assert benchmark.match(pl.Series(["one two three four", "one two threefour"])).tolist() == [0, -1]


def test_a_missing_benchmark_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.json: no such file \(a benchmark"):
        load_benchmarks(["none.json"], 13, tmp_path)


@pytest.mark.mirror
def test_every_released_benchmark_finds_itself(mirror: Path) -> None:
    """Each question of at least three words matches its own benchmark."""
    for pattern in (
        "*/*/*/bbh/*.json",
        "lm-sys/*/*/**/question.jsonl",
        "mlfoundations/**/IFEval/data/*.jsonl",
    ):
        files = sorted(str(p.relative_to(mirror)) for p in mirror.glob(pattern))
        assert files, pattern
        benchmarks = load_benchmarks(files, 13, mirror)
        for index, file in enumerate(files):
            texts = [t for t in read_benchmark(mirror / file) if len(plain_words(t)) >= 3]
            found = benchmarks.match(pl.Series(texts)).tolist()
            assert all(0 <= f <= index for f in found), file

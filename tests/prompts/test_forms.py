"""One reader per form: real shapes of data, what each stage makes of them, refusals, and garbage."""

# ruff: noqa: E501 (rows of data are easier read on one line)

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import fuzz
from rewild.config.base import validate
from rewild.config.imports import FileResponses, Imported, imported
from rewild.config.mixes import FromFiles
from rewild.config.prompts import FormName, Prompts
from rewild.core.conversations import conversation_id
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.generation.schema import RESPONSES
from rewild.prompts.forms.judgments import read_judged
from rewild.prompts.forms.rows import BadRow, read_rows
from rewild.prompts.forms.table import FORMS, read_form
from rewild.prompts.prepare import prepare
from rewild.prompts.schema import read_shard
from rewild.report.viewer.judgments import collect_judgments
from rewild.responses.imports.write import import_source
from rewild.training.mixes.foreign import read_foreign

U, A, S = "user", "assistant", "system"
PARTS = [{"type": "text", "text": "What is this?"}]
ROWS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "sharegpt": (
        {"id": "x", "conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi"},
                                      {"from": "gpt", "value": "Hello."}]},
        [(S, "Be brief."), (U, "Hi"), (A, "Hello.")],
    ),
    "messages": ({"messages": [{"role": "user", "content": PARTS}, {"role": "assistant", "content": "A cat."}]},
                 [(U, "What is this?"), (A, "A cat.")]),
    "ultrachat": ({"id": "0", "data": ["q1", "a1", "q2", "a2"]}, [(U, "q1"), (A, "a1"), (U, "q2"), (A, "a2")]),
    "alpaca": ({"instruction": "Sum up.", "input": "A long text.", "output": "Short."},
               [(U, "Sum up.\n\nA long text."), (A, "Short.")]),
    "dolly": ({"instruction": "Who?", "context": "Ada wrote it.", "response": "Ada.", "category": "closed_qa"},
              [(U, "Who?\n\nAda wrote it."), (A, "Ada.")]),
    "magpie": ({"uuid": "u", "model": "m", "gen_input_configs": {}, "instruction": "Why?", "response": "So.",
                "conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
               [(U, "Why?"), (A, "So.")]),
    "magpie without conversations": ({"instruction": "Why?", "response": "So."}, [(U, "Why?"), (A, "So.")]),
    "distilabel": ({"instruction": "Why?", "generation": "So.", "model_name": "m", "distilabel_metadata": {}},
                   [(U, "Why?"), (A, "So.")]),
    "distilabel, many": ({"input": "Why?", "generations": ["So.", "No."]}, [(U, "Why?"), (A, "So.")]),
    "alpaca-eval": ({"dataset": "d", "instruction": "Why?", "output": "So.", "generator": "m"},
                    [(U, "Why?"), (A, "So.")]),
    "wildchat": ({"conversation": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]},
                 [(U, "Why?"), (A, "So.")]),
    "orca": ({"system_prompt": "Be.", "question": "Why?", "response": "So."},
             [(S, "Be."), (U, "Why?"), (A, "So.")]),
    "sharegpt, system beside": ({"system": "Be.", "conversations": [{"from": "human", "value": "Why?"},
                                                                    {"from": "gpt", "value": "So."}]},
                                [(S, "Be."), (U, "Why?"), (A, "So.")]),
    "messages, blank system": ({"system_prompt": " ", "messages": [{"role": "user", "content": "Why?"},
                                                                   {"role": "assistant", "content": "So."}]},
                               [(U, "Why?"), (A, "So.")]),
    "alpaca, NaN as pandas writes it": ({"instruction": "Why?", "input": math.nan, "output": "So."},
                                        [(U, "Why?"), (A, "So.")]),
    "alpaca, history": ({"instruction": "And?", "input": "", "output": "No.", "system": "Be.",
                         "history": [["Why?", "So."]]},
                        [(S, "Be."), (U, "Why?"), (A, "So."), (U, "And?"), (A, "No.")]),
    "arena-hard": ({"uid": "q", "ans_id": "a", "model": "m", "messages": [
        {"role": "user", "content": "Why?"}, {"role": "assistant", "content": {"answer": "So."}}]},
        [(U, "Why?"), (A, "So.")]),
}  # fmt: skip
QUESTIONS = [
    {"question_id": 81, "category": "writing", "turns": ["First?", "Second?"]},
    {"question_id": 82, "category": "writing", "turns": ["Other?", "More?"]},
]


def write(path: Path, rows: list[Any], how: str = "lines") -> Path:
    if how == "parquet":
        pl.DataFrame(rows).write_parquet(path)
        return path
    text = json.dumps(rows, indent=1) if how == "list" else "\n" + "\n\n".join(map(json.dumps, rows)) + "\n\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_the_names_of_settings_are_those_of_the_readers() -> None:
    assert set(get_args(FormName)) == set(FORMS) | {"auto"}


def test_the_documentation_names_every_form(root: Path) -> None:
    text = (root / "docs/formats.md").read_text(encoding="utf-8")
    from rewild.prompts.forms import judgments

    for name in (*FORMS, *(form.name for form in judgments.FORMS)):
        assert f"| `{name}` |" in text


@pytest.mark.parametrize("how", ["lines", "list", "parquet"])
@pytest.mark.parametrize("name", ROWS)
def test_a_form_means_the_same_to_every_stage(tmp_path: Path, name: str, how: str) -> None:
    row, turns = ROWS[name]
    if how == "parquet":
        row = {k: v for k, v in row.items() if v != {}}  # an empty object is no column
    path = tmp_path / "data.jsonl"  # the name does not tell what it is
    if how == "parquet" and name in ("messages", "arena-hard"):
        row = json.loads(json.dumps(row))  # a column has one type: text as parts, everywhere
        for message in row["messages"]:
            text = message["content"]
            text = text["answer"] if isinstance(text, dict) else text
            message["content"] = text if isinstance(text, list) else [{"type": "text", "text": text}]
    write(path, [row], how)
    asked = [text for role, text in turns if role == U]

    (batch,) = read_foreign(FromFiles(kind="files", files=[str(path)], licence="x"), tmp_path)
    assert [(m["role"], m["content"]) for m in batch["messages"][0]] == turns

    source = FileResponses(kind="files", name="mine", models={"m": str(path)})
    import_source(source, imported(source, {}, {}), shard="0000", study="s", folder=tmp_path / "s")
    table = read_table(tmp_path / "s/responses/m/0000.parquet", RESPONSES)
    assert table["prompt"].to_list() == asked
    assert table["response"].to_list() == [text for role, text in turns if role == A]

    given = {"sources": [{"kind": "files", "name": "mine", "files": ["data.jsonl"]}], "shards": 1, "drop": []}
    prepare("t", validate(Prompts, given, "t"), tmp_path / "p", root=tmp_path)
    shard = read_shard(tmp_path / "p/shards/0000.parquet")
    assert [(m["role"], m["content"]) for m in shard["messages"][0]] == turns
    assert shard["conversation_id"].to_list() == [conversation_id(asked)]


@pytest.mark.parametrize(
    "questions",
    [
        QUESTIONS,
        [q | {"turns": [{"content": t} for t in q["turns"]], "cluster": "c"} for q in QUESTIONS],  # type: ignore[attr-defined]
    ],
)
def test_answers_find_their_questions(tmp_path: Path, questions: list[Any]) -> None:
    asked = write(tmp_path / "question.jsonl", questions)
    answer = {
        "question_id": 82,
        "answer_id": "a",
        "model_id": "m",
        "choices": [{"index": 0, "turns": ["x", "y"]}],
    }
    path = write(tmp_path / "m.jsonl", [answer])
    source = FileResponses(kind="files", name="mt", models={"m": str(path)}, questions=str(asked))
    import_source(source, imported(source, {}, {}), shard="0000", study="s", folder=tmp_path / "s")
    table = read_table(tmp_path / "s/responses/m/0000.parquet", RESPONSES)
    assert table.select("prompt", "response").rows() == [("Other?", "x"), ("More?", "y")]
    lost = source.model_copy(update={"questions": None})
    with pytest.raises(DataError, match=r"m\.jsonl, row 2: .*name the file of the questions"):
        import_source(lost, imported(lost, {}, {}), shard="0000", study="s", folder=tmp_path / "t")


def test_judgments_of_three_benchmarks(tmp_path: Path) -> None:
    single = {"question_id": 82, "model": "m", "judge": ["gpt-4", "single-v1"], "judgment": "Good. [[8]]",
              "score": 8, "turn": 2, "tstamp": 1.0}  # fmt: skip
    pair = {"question_id": 82, "model_1": "m", "model_2": "n", "g1_winner": "model_1", "g2_winner": "tie",
            "judge": ["gpt-4", "pair-v2"], "g1_judgment": "One.", "g2_judgment": "Two.", "turn": 1}  # fmt: skip
    arena = {"question_id": 81, "model": "m", "judge": "gpt-4",
             "games": [{"judgment": "B is better", "score": "B>A"}, {"judgment": "A is", "score": "A>>B"}]}  # fmt: skip
    files = [write(tmp_path / f"{i}.jsonl", [row]) for i, row in enumerate((single, pair, arena))]
    from rewild.responses.imports.read import read_questions

    asked = read_questions(write(tmp_path / "q.jsonl", QUESTIONS))
    models = [Imported("m", "m", False, "x")]
    found = collect_judgments([], models, files, asked)
    first, second = (conversation_id(q["turns"]) for q in QUESTIONS)
    assert set(found.select("conversation_id", "turn", "judge", "score", "best").rows()) == {
        (second, 1, "gpt-4", 8.0, 10.0),
        (second, 0, "gpt-4, against n", 0.75, 1.0),
        (first, 0, "gpt-4", 0.875, 1.0),
    }
    with pytest.raises(DataError, match=r"0\.jsonl: these judgments name their questions"):
        collect_judgments([], models, files)
    with pytest.raises(
        DataError, match=r"nearest form is 'mt-bench-judgments', of which 'judge' is missing; did"
    ):
        read_judged(
            write(tmp_path / "odd.jsonl", [{k.replace("judge", "judges"): v for k, v in single.items()}])
        )


@pytest.mark.parametrize(
    ("first", "second", "score"),
    [("B>A", "A>>B", 0.875), ("A<B", "B<<A", 0.875), ("B=A", "A<<B", 0.25), ("A << B", None, 1.0)],
)
def test_labels_of_arena_hard_from_left_and_from_right(
    tmp_path: Path, first: str, second: str | None, score: float
) -> None:
    games = [{"score": first}, {"score": second}]
    found = read_judged(
        write(tmp_path / "a.jsonl", [{"uid": "q", "model": "m", "judge": "j", "games": games}])
    )
    assert found is not None
    assert [judged.score for _, judged in found] == [score]


@pytest.mark.parametrize(
    ("row", "stage", "said"),
    [
        ({"conversatons": []}, "mixes", "nearest form is 'sharegpt', of which 'conversations' is missing; did you"),
        ({"question_id": 1, "turns": ["a"]}, "mixes", "of the form 'mt-bench-questions', which has no questions with"),
        ({"a": 1, "b": 2}, "prompts", "it has the fields a, b. .*Forms that prompts accept: .*sharegpt .conversations"),
        ({"session_id": "s", "model_output": "x"}, "prompts", "of the form 'wildbench', which has no questions"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_was_found_what_is_accepted_and_the_nearest(
    tmp_path: Path, row: Any, stage: Any, said: str
) -> None:
    with pytest.raises(DataError, match=said) as error:
        list(read_form(write(tmp_path / "a.jsonl", [row]), stage))
    assert "a.jsonl, row 2: " in str(error.value)
    assert f"Forms that {stage} accept: " in str(error.value)


HOSTILE = {
    "deep": b'{"messages": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    "deep object": b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "surrogate": b'{"instruction": "\\ud800", "output": "x"}',
    "raw surrogate": b'{"instruction": "\xed\xa0\x80", "output": "x"}',
    "latin": b'{"instruction": "caf\xe9", "output": "x"}',
    "digits": b'{"instruction": ' + b"9" * 400 + b', "output": "x"}',
    "exponent": b'{"instruction": 1e999, "output": "x"}',
    "cut": b'{"instruction": "a", "outp',
}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_rows_are_one_error_or_a_bad_row(tmp_path: Path, name: str, listed: bool) -> None:
    good = b'{"instruction": "a", "output": "b"}'
    text = b"[%s, %s]" if listed else b"%s\n%s\n"
    path = tmp_path / "a.json"
    path.write_bytes(text % (good, HOSTILE[name]))
    try:
        rows = list(read_rows(path))
    except DataError as error:
        assert f"{path}, row 2" in str(error) or f"{path}, row 1" in str(error)  # noqa: PT017
        return
    assert rows[0][1] == {"instruction": "a", "output": "b"}
    assert len(rows) == 2
    assert isinstance(rows[1][1], BadRow)
    assert 0 < len(str(rows[1][1])) < 300


def test_a_folder_a_missing_file_and_a_list_larger_than_a_piece(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder, not a file"):
        list(read_rows(tmp_path))
    with pytest.raises(DataError, match="no such file"):
        list(read_rows(tmp_path / "none"))
    rows = [{"n": i, "text": "é" * 700_000} for i in range(5)]
    assert [r for _, r in read_rows(write(tmp_path / "big.json", rows, "list"))] == rows
    assert [r for _, r in read_rows(write(tmp_path / "big.json.gz", rows, "list"))] == rows
    assert [r for _, r in read_rows(write(tmp_path / "big.gz", rows))] == rows


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "from", "value", "turns", "text", "type", "answer", "index", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
FIELDS = sorted(
    {f for form in FORMS.values() for group in form.fields for f in group}
    | {"games", "judge", "score", "model", "turn", "g1_winner", "g2_winner", "model_1", "model_2", "judgment"}
)


@fuzz(300)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5) | VALUES, min_size=1, max_size=3
    ),
    cut=st.integers(0, 60),
    listed=st.booleans(),
)
def test_whatever_a_file_holds_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], cut: int, listed: bool
) -> None:
    text = json.dumps(rows) if listed else "\n".join(map(json.dumps, rows))
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_text(text[: len(text) - cut] if cut < 10 else text)
    for stage in ("prompts", "imports", "mixes"):
        try:
            for number, record in read_form(path, stage):
                assert number >= 1
                assert not isinstance(record, BadRow) or str(record)
                if not isinstance(record, BadRow):
                    for turn in (*record.turns, *record.answers):
                        assert turn.role in (U, A, S)
                        assert turn.content is None or turn.content.encode() is not None
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017
    try:
        for _, verdict in read_judged(path) or ():
            assert verdict.score is None or 0 <= verdict.score <= verdict.best
            assert not math.isnan(verdict.best)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017

"""Hub datasets and files as sources of mixes: templates, names, and every way in which a row can be wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mixes_data import a_mix
from rewild.cli.training import fetch_dataset
from rewild.config.base import validate
from rewild.config.mixes import FromFiles, FromHub, Mix, MultipleChoice, dataset_file
from rewild.core.conversations import conversation_id
from rewild.core.errors import ConfigError, DataError
from rewild.core.table import read_table
from rewild.training.mixes.build import build
from rewild.training.mixes.foreign import read_foreign, to_messages
from rewild.training.mixes.read import Place
from rewild.training.mixes.schema import TRAIN

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
CHOICE = {"question": "Which is a tree?", "choices": ["Oak", "Cat", "{letter}"], "answer": 2}


def files(**more: Any) -> dict[str, Any]:
    return {"kind": "files", "files": ["data.jsonl"], "licence": "CC0-1.0", **more}


def write(root: Path, rows: list[Any], name: str = "data.jsonl") -> None:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def chat(number: int, **more: Any) -> dict[str, Any]:
    """One conversation of its own."""
    return {"messages": [CHAT[0], {"role": "assistant", "content": f"Hello {number}"}], **more}


def make(root: Path, **row: Any) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    mix: Mix = a_mix(**row)
    results = root / "results/s"
    found = build("m", mix, Place(root, results), results / "mixes/m", study="s", seed=3)
    return read_table(results / "mixes/m/train.parquet", TRAIN), found


def fails(root: Path, message: str, **row: Any) -> None:
    """The mix cannot be made, the message says why, and nothing is left behind."""
    with pytest.raises(DataError) as caught:
        make(root, **row)
    assert message in str(caught.value)
    assert not list(root.glob("results/s/mixes/m/*"))
    assert not list(root.glob("results/s/mixes/m/.*"))


def test_multiple_choice_becomes_a_turn_and_its_answer() -> None:
    assert to_messages(validate(MultipleChoice, {"kind": "multiple-choice"}, "format"), CHOICE) == [
        {
            "role": "user",
            "content": "Which is a tree?\n\nA. Oak\nB. Cat\nC. {letter}\n\n"
            "Answer with the letter and the text of the right choice.",
        },
        {"role": "assistant", "content": "C. {letter}"},
    ]
    own = {"choice": "({letter}) {text}", "user": "Q: {question}\n{choices}", "assistant": "({letter})"}
    form = validate(MultipleChoice, {"kind": "multiple-choice", **own}, "format")
    made = to_messages(form, CHOICE | {"answer": " b "})
    assert [m["content"] for m in made] == ["Q: Which is a tree?\n(A) Oak\n(B) Cat\n(C) {letter}", "(B)"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user": "{question}"}, "user: the placeholder '{choices}' is missing"),
        ({"choice": "{text} {x}"}, "choice: unknown placeholder '{x}' (known: {letter}, {text})"),
        ({"assistant": "Yes"}, "names neither {letter} nor {text}"),
        ({"assistant": "{"}, "assistant: not a template"),
    ],
)
def test_a_template_that_cannot_be_meant(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(MultipleChoice, {"kind": "multiple-choice", **change}, "format")
    assert message in str(caught.value)


def test_json_lines_and_parquet_are_the_same(tmp_path: Path) -> None:
    rows = [chat(n, key=f"k{n}") for n in range(5)]
    write(tmp_path, rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "data.parquet")
    lines, found = make(tmp_path, sources=[files(id="key", language="English")])
    table, _ = make(tmp_path, sources=[files(id="key", language="English", files=["data.parquet"])])
    assert lines.equals(table)
    assert found == {"data": {"read": 5, "drawn": 5, "not_drawn": 0}}
    assert sorted(lines["id"]) == [f"data/k{n}" for n in range(5)]
    assert set(lines["language"]) == {"English"}
    assert lines.sort("id")["messages"][3].to_list()[1]["content"] == "Hello 3"


def test_rows_without_a_name_are_named_by_their_messages(tmp_path: Path) -> None:
    write(tmp_path, [chat(1), chat(2), chat(1)])
    made, found = make(tmp_path, sources=[files()])
    assert found["data"] == {"read": 3, "drawn": 2, "not_drawn": 0, "duplicate": 1}
    assert conversation_id(["user", "Hi", "assistant", "Hello 2"]) in made["source_id"].to_list()


def test_a_question_and_its_answer(tmp_path: Path) -> None:
    write(tmp_path, [{"q": "Two and two?", "a": "Four."}])
    form = {"kind": "pair", "prompt": "q", "response": "a"}
    made, _ = make(tmp_path, sources=[files(format=form)])
    assert [m["content"] for m in made["messages"][0]] == ["Two and two?", "Four."]


def test_re_wild_in_small(tmp_path: Path) -> None:
    """Table 1's kinds of source, at a thousandth of its counts: an answered chat set, MMLU, algebra."""
    write(tmp_path, [chat(n, id=n) for n in range(300)], "chats.jsonl")
    hub = {"kind": "hub", "repository": "cais/mmlu", "revision": "c30699e8356da336a370243923dbaf21066bb9fe"}
    source = {**hub, "subset": "all", "split": "auxiliary_train", "licence": "mit"}
    source["format"] = {"kind": "multiple-choice"}
    data = tmp_path / dataset_file(validate(FromHub, source, "source"))
    assert data.parent.parts[-4:] == ("cais", "mmlu", hub["revision"], "all")
    data.parent.mkdir(parents=True)
    questions = [CHOICE | {"question": f"Which, {n}?", "subject": ""} for n in range(120)]
    pl.DataFrame(questions).write_parquet(data)
    sources = [
        files(files=["chats.jsonl"], name="wildchat-q72", id="id", count=247),
        source | {"name": "mmlu", "count": 100},
        files(files=["chats.jsonl"], name="algebra", id="id", count=20),
    ]
    made, found = make(tmp_path, sources=sources)
    assert dict(made["source"].value_counts().iter_rows()) == {
        "wildchat-q72": 247,
        "mmlu": 100,
        "algebra": 20,
    }
    assert found["mmlu"] == {"read": 120, "drawn": 100, "not_drawn": 20}
    assert made["id"].n_unique() == 367
    assert set(made["source"].head(60)) == {"wildchat-q72", "mmlu", "algebra"}, "shuffled together"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": None}, "'messages' is missing, not a list of messages"),
        ({"messages": []}, "'messages' is [], not a list"),
        ({"messages": CHAT[:1]}, "the roles are user: not (system,) user, assistant"),
        ({"messages": CHAT[::-1]}, "the roles are assistant, user: not"),
        ({"messages": [CHAT[0], CHAT[1] | {"content": "  "}]}, 'the content of message 2 is "  ", not text'),
        (
            {"messages": [CHAT[0], CHAT[1] | {"content": math.nan}]},
            "the content of message 2 is NaN, not text",
        ),
        ({"messages": [CHAT[0], CHAT[1] | {"content": None}]}, "the content of message 2 is missing"),
        ('{"messages": [', "not JSON: Expecting value (column"),
        ("[1, 2]", "an object was expected, not [1, 2]"),
        ('{"messages": "\\ud800"}', "not usable JSON: '\\ud800' is half of a surrogate pair"),
    ],
)
def test_a_row_that_is_no_conversation_is_named(tmp_path: Path, row: Any, message: str) -> None:
    write(tmp_path, [chat(1), row, chat(3)])
    fails(tmp_path, f"data.jsonl, row 2: {message}", sources=[files()])
    made, found = make(tmp_path, sources=[files(malformed="drop")])
    assert made.height == 2
    assert found["data"] == {"read": 3, "drawn": 2, "not_drawn": 0, "malformed": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": 3}, "'answer' is 3, not one of 3 choices"),
        ({"answer": "E"}, "'answer' is \"E\", not one of 3 choices"),
        ({"answer": True}, "'answer' is true, not one of 3 choices"),
        ({"answer": math.nan}, "'answer' is NaN, not one of 3 choices"),
        ({"choices": ["Oak"]}, "not a list of two choices or more"),
        ({"choices": ["Oak", math.nan]}, "a choice is not text"),
        ({"question": " "}, "'question' is \" \", not text"),
    ],
)
def test_a_question_that_is_none(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write(tmp_path, [CHOICE, CHOICE | change])
    source = files(format={"kind": "multiple-choice"})
    with pytest.raises(DataError) as caught:
        make(tmp_path, sources=[source])
    assert "data.jsonl, row 2" in str(caught.value)
    assert message in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    fails(tmp_path, "data.jsonl: no such file (source 'data' was expected)", sources=[files()])
    (tmp_path / "data.jsonl").write_text("", encoding="utf-8")
    fails(tmp_path, "data.jsonl: the file is empty", sources=[files()])
    (tmp_path / "data.jsonl").write_text("\n\n", encoding="utf-8")
    fails(tmp_path, "data.jsonl: the file has no rows", sources=[files()])
    write(tmp_path, [{"message": CHAT}])
    fails(
        tmp_path,
        "data.jsonl: no column 'messages'; did you mean 'message'? (it has: message)",
        sources=[files(format={"kind": "chat"})],
    )
    fails(tmp_path, "the nearest form is 'messages', of which 'messages' is missing", sources=[files()])
    parquet = [files(files=["data.parquet"], format={"kind": "chat"})]
    (tmp_path / "data.parquet").write_bytes(b"PAR1 and then nothing")
    fails(tmp_path, "data.parquet: cannot be read as Parquet: ", sources=parquet)
    pl.DataFrame({"mesages": [1.5]}).write_parquet(tmp_path / "data.parquet")
    fails(tmp_path, "data.parquet: no column 'messages'; did you mean 'mesages'?", sources=parquet)
    pl.DataFrame(schema={"messages": pl.String}).write_parquet(tmp_path / "data.parquet")
    fails(tmp_path, "data.parquet: the file has no rows", sources=parquet)


def test_names_of_rows_differ(tmp_path: Path) -> None:
    write(tmp_path, [chat(1, key="a"), chat(2, key="b"), chat(3, key="a")])
    fails(
        tmp_path, "data.jsonl, row 3: 'key' is 'a', as in row 1; ids must differ", sources=[files(id="key")]
    )
    write(tmp_path, [chat(1, key="a"), chat(2, key=math.nan)])
    fails(tmp_path, "data.jsonl, row 2: 'key' is NaN, which names no row", sources=[files(id="key")])


def test_too_few_rows(tmp_path: Path) -> None:
    write(tmp_path, [chat(n) for n in range(7)])
    fails(
        tmp_path,
        "mix m: source 'data' has 7 conversations to draw from, but 8 are asked for (7 were read)",
        sources=[files(count=8)],
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"sources": []}, "mix: sources: list should have at least 1 item"),
        ({"sources": [files()], "sise": 3}, "unknown key 'sise'; did you mean 'size'?"),
        ({"sources": [files(), files()]}, "two sources are named 'data'; give one of them another `name`"),
        ({"sources": [files(count=3)], "size": 3}, "`size` goes with shares, not with counts"),
        ({"sources": [files(share=1)]}, "a `share` is a part of the mix's `size`, which is missing"),
        (
            {"sources": [files(share=1), files(name="b")], "size": 9},
            "some sources have a `share` and some have none",
        ),
        ({"sources": [files(count=1), files(name="b")]}, "some sources have a `count` and some have none"),
        ({"sources": [{"kind": "respones"}]}, "'respones' is not one of"),
        ({"sources": [files(licence=None)]}, "sources.0.files.licence"),
    ],
)
def test_a_mix_that_cannot_be_meant(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        a_mix(**row)
    assert message in str(caught.value)


@pytest.mark.heavy  # `datasets` starts a program
def test_a_hub_dataset_is_fetched_whole_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `datasets` itself, from a folder of data files in place of a hub repository."""
    pytest.importorskip("datasets", reason="needs the package datasets (envs/data.txt)")
    hub = {"kind": "hub", "repository": "owner/quiz", "revision": "a" * 40, "licence": "mit"}
    hub |= {"split": "train", "format": {"kind": "multiple-choice"}}
    source = validate(FromHub, hub, "source")
    folder = tmp_path / "owner/quiz"
    folder.mkdir(parents=True)
    for part in range(2):
        questions = [CHOICE | {"question": f"Which, {part}/{n}?", "subject": "trees"} for n in range(5)]
        pl.DataFrame(questions).write_parquet(folder / f"train-{part}.parquet")
    monkeypatch.chdir(tmp_path)
    fetch_dataset("owner/quiz", "a" * 40, Path(dataset_file(source)))
    assert capsys.readouterr().err.splitlines()[-1].startswith("quiz: 10 rows in ")
    made, found = make(tmp_path, sources=[hub])
    assert found == {"quiz": {"read": 10, "drawn": 10, "not_drawn": 0}}
    assert made["messages"][0].to_list()[1]["content"] == "C. {letter}"


def test_a_dataset_without_a_revision_is_a_message(rewild: Any, tmp_path: Path) -> None:
    done = rewild(tmp_path, "fetch-dataset", "owner/quiz", "unpinned", "--out", "x.parquet")
    assert done.returncode != 0
    assert "the dataset owner/quiz has no commit: put all 40 digits where it is named" in done.stdout
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize("given", [{}, {"input": "context"}])
def test_what_a_question_is_about_is_read_of_a_table_too(tmp_path: Path, given: dict[str, str]) -> None:
    column = given.get("input", "input")
    rows = {"instruction": ["Sum up", "Why?"], "output": ["x", "y"], column: ["A text.", ""], "more": [1, 2]}
    pl.DataFrame(rows).write_parquet(tmp_path / "alpaca.parquet")
    form = {"kind": "pair", "prompt": "instruction", "response": "output", **given}
    source = {"kind": "files", "files": ["alpaca.parquet"], "licence": "x", "format": form}
    [batch] = read_foreign(validate(FromFiles, source, "source"), tmp_path)
    assert [chat[0]["content"] for chat in batch["messages"]] == ["Sum up\n\nA text.", "Why?"]

"""Questions, results and samples that others wrote, damaged in every way: each is one message."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import fuzz
from rewild.core.errors import DataError
from rewild.core.files import sha256
from rewild.evaluation.harness.evaluate import _write, read_results, storable
from rewild.evaluation.harness.gate import check_prompts, one_bos
from rewild.evaluation.harness.questions import RELEASED, check_rows, convert, hash_files, splits_of
from rewild.evaluation.harness.score import score

SEEDED = fuzz(150)
BAD: dict[str, bytes] = {
    "nesting": b'{"question": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    "half a surrogate": b'{"question": "\\ud800"}',
    "half a surrogate in a key": b'{"\\udfff": 1, "question": "x"}',
    "half a surrogate as raw bytes": b'{"question": "\xed\xa0\x80"}',
    "400 digits": b'{"question": ' + b"9" * 400 + b"}",
    "out of range": b'{"question": 1e999}',
    "NaN": b'{"question": NaN}',
    "not UTF-8": b'{"question": "caf\xe9"}',
    "a list": b"[1, 2]",
    "a number": b"7",
    "cut off": b'{"question": "wh',
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_of_questions_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "task" / "test.jsonl"
    file.parent.mkdir()
    file.write_bytes(b'{"question": "fine"}\n\n' + BAD[kind] + b"\n")
    with pytest.raises(DataError) as error:
        check_rows(file, ["question"])
    # Line breaks among the bytes of "binary" move its first bad byte no further than its own line.
    assert str(error.value).startswith(f"{file}, line 3")


def test_a_folder_or_nothing_in_the_place_of_questions(tmp_path: Path) -> None:
    (tmp_path / "task" / "test.jsonl").mkdir(parents=True)
    for read in (lambda: check_rows(tmp_path / "task/test.jsonl", []), lambda: hash_files(tmp_path)):
        with pytest.raises(DataError, match=r"test.jsonl: a folder, not a file"):
            read()
    with pytest.raises(DataError, match="no questions of tsk"):
        splits_of(tmp_path, "tsk")
    with pytest.raises(DataError, match="no such file"):
        check_rows(tmp_path / "task/none.jsonl", [])


@pytest.mark.parametrize("benchmark", RELEASED)
@pytest.mark.parametrize("kind", BAD)
def test_bad_released_files_are_named(tmp_path: Path, benchmark: str, kind: str) -> None:
    file = tmp_path / "released.json"
    file.write_bytes(BAD[kind])
    with pytest.raises(DataError, match=re.escape(str(file))):
        convert(benchmark, [file], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def message(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except DataError as error:
        return str(error)
    return None


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
QUESTION = st.fixed_dictionaries(
    {
        "question": ANY | st.text(),
        "choices": ANY | st.lists(st.text()),
        "answer": ANY | st.integers(-3, 3),
    }
)
STORY = st.fixed_dictionaries({"context": ANY | st.text(), "questions": ANY | st.lists(QUESTION, max_size=2)})
FORMS = {
    "bbh": st.fixed_dictionaries(
        {"examples": ANY | st.lists(st.fixed_dictionaries({"input": ANY, "target": ANY}), max_size=2)}
    ),
    "musr": st.lists(STORY, max_size=2),
    "math": st.fixed_dictionaries({"problem": ANY, "solution": ANY, "level": ANY, "subject": ANY}),
    "ifeval": st.fixed_dictionaries(
        {"key": ANY, "prompt": ANY, "instruction_id_list": ANY, "kwargs": ANY}
    ),
}  # fmt: skip


@pytest.mark.parametrize("benchmark", RELEASED)
@SEEDED
@given(data=st.data())
def test_released_files_of_any_form_convert_or_are_named(tmp_path: Path, benchmark: str, data: Any) -> None:
    file, out = tmp_path / "released.json", tmp_path / "out"
    file.write_text(json.dumps(data.draw(FORMS[benchmark] | ANY)), encoding="utf-8")
    if (said := message(lambda: convert(benchmark, [file], out))) is not None:
        assert str(file) in said
        return
    for task, count in convert(benchmark, [file], out).items():
        (split,) = splits_of(out, task).values()
        assert check_rows(split, []) == count


# Results and samples

PART = {
    "version": 1.0,
    "fewshot": 0,
    "questions": 2,
    "asked": 2,
    "empty": None,
    "longest_answer": None,
    "not_finite": 0,
    "truncated": 0,
}
SUMMARY: dict[str, Any] = {
    "benchmark": "one",
    "task": "task_one",
    "engine": "lm-eval hf",
    "harness": "lm-eval 0.4.13",
    "seed": 50,
    "limit": None,
    "chat_template": None,
    "sentences": None,
    "questions": "0" * 64,
    "context": 512,
    "parts": {"task_one": PART},
    "metrics": {"task_one": {"acc,none": 0.5, "acc_stderr,none": 0.5}},
    "recipe": "r",
}
NAMES: dict[str, Any] = {"study": "s", "run": "r", "model": "m", "metric": "acc,none", "max_empty": 0.5}


def written(folder: Path, values: tuple[Any, ...] = (1.0, 0.0), **over: Any) -> Path:
    rows = [
        {"task": "task_one", "doc_id": i, "filter": "none", "metrics": {"acc": value}}
        for i, value in enumerate(values)
    ]
    _write(folder, SUMMARY | over, rows)
    return folder


@pytest.mark.parametrize("kind", BAD)
def test_bad_results_are_named_and_say_what_to_do(tmp_path: Path, kind: str) -> None:
    folder = written(tmp_path / "one")
    (folder / "results.json").write_bytes(BAD[kind])
    with pytest.raises(DataError, match="run the benchmark again") as error:
        read_results(folder)
    assert str(error.value).startswith(str(folder / "results.json"))


@SEEDED
@given(data=st.data())
def test_results_of_any_form_are_used_or_named(tmp_path: Path, data: Any) -> None:
    folder = written(tmp_path / "one")
    found = json.loads((folder / "results.json").read_text())
    path = data.draw(
        st.sampled_from([(key,) for key in found] + [("parts", "task_one", key) for key in PART])
    )
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    value = data.draw(st.just("gone") | ANY)
    inner[path[-1]] = value
    if value == "gone":
        del inner[path[-1]]
    (folder / "results.json").write_text(json.dumps(found))
    said = message(lambda: score(folder, **NAMES))
    assert said is None or str(folder) in said


@SEEDED
@given(row=st.fixed_dictionaries({"task": ANY, "doc_id": ANY, "filter": ANY, "metrics": ANY}) | ANY)
def test_samples_of_any_form_are_used_or_named(tmp_path: Path, row: Any) -> None:
    folder = written(tmp_path / "one")
    samples = folder / "samples.jsonl"
    samples.write_text(samples.read_text() + json.dumps(row) + "\n")
    found = json.loads((folder / "results.json").read_text()) | {"samples": sha256(samples)}
    (folder / "results.json").write_text(json.dumps(found))
    said = message(lambda: score(folder, **NAMES))
    assert said is None or str(folder) in said


def test_what_is_no_number_is_recorded_with_its_reason(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "one",
        (1.0, math.nan, -math.inf),
        metrics={"task_one": {"acc,none": None, "acc_stderr,none": None}},
    )
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert [row["metrics"]["acc"] for row in rows] == [1.0, "NaN", "-Infinity"]
    scores, items = score(folder, **NAMES)
    assert scores["value"].to_list() == [None]
    assert set(items["failure"]) == {"the metric of 2 of 3 questions is no number"}
    # Numbers of questions that are all there, and a mean that is not: not both can be right.
    folder = written(tmp_path / "two", metrics={"task_one": {"acc,none": None}})
    with pytest.raises(DataError, match="lm-eval's acc,none of task_one is no number"):
        score(folder, **NAMES)


def test_answers_are_stored_as_text_and_numbers_whatever_a_model_wrote() -> None:
    answers = {"answers": [[(-math.inf, False)], ["\ud83d half", "whole"]], 7: math.nan}
    kept = storable(answers)
    assert kept == {"answers": [[["-Infinity", False]], ["? half", "whole"]], "7": "NaN"}
    json.dumps(kept, allow_nan=False).encode()


# The gate


def asked(*prompts: str) -> list[dict[str, Any]]:
    return [{"task": "t", "doc_id": i, "prompt": prompt} for i, prompt in enumerate(prompts)]


def test_the_gate_names_what_is_missing_and_where() -> None:
    def wanted(_: Any) -> list[tuple[str, str]]:
        return [("the task's description", "Think.\n\n"), ("evaluation.system", "")]

    check_prompts("b", asked("Think. 1?", "Think. 2?"), wanted, ["26 Jul"][:0])
    with pytest.raises(DataError) as error:
        check_prompts("b", asked("Think. 1?", "2?", "3?"), wanted)
    assert "the task's description: in 2 of 3 prompts, first in t, question 1" in str(error.value)
    with pytest.raises(DataError, match=r"the fixed date \(26 Jul 2024\): in 1 of 2 prompts"):
        check_prompts("b", asked("26 Jul 2024", "06 May 2031"), lambda _: [], ["26 Jul 2024"])
    several = [{"task": "t", "doc_id": 0, "prompt": "Think. a", "prompts": ["Think. a", "b"]}]
    with pytest.raises(DataError, match="in 1 of 2 prompts"):
        check_prompts("b", several, wanted)


@pytest.mark.parametrize(
    ("text", "tokens", "adds", "fine"),
    [
        ("<s>hi", [1, 5], True, True),
        ("<s>hi", [1, 1, 5], True, False),  # the tokenizer's and the template's
        ("hi", [1, 5], True, True),
        ("hi", [5], True, False),
        ("hi", [5], False, True),
        ("<s>a</s><s>b", [1, 5, 2, 1, 6], True, True),  # Llama 2: one a turn
        ("<s>a</s><s>b", [1, 1, 5, 2, 1, 6], True, False),
    ],
)
def test_one_bos(text: str, tokens: list[int], adds: bool, fine: bool) -> None:
    assert (one_bos(text, lambda _: tokens, 1, "<s>", adds) is None) == fine
    assert one_bos(text, lambda _: tokens, None, None, adds) is None

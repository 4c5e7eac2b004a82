"""MixEval: questions as released, the judge's prompts read and not run, replies, scores."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judged_data import (
    EMPTY,
    JUDGE_PROMPTS,
    WORDING,
    answers_of,
    by_metric,
    judgments_of,
    material,
    write_json,
)
from rewild.core.errors import DataError
from rewild.engines.rubric.forms import judge_text
from rewild.evaluation.judged.mixeval import MixEval, lettered
from rewild.evaluation.judged.source_prompts import read_chat_prompt, read_text
from rewild.generation.asking.base import JudgeRequest, Reply

FREE = {
    "0": {
        "problem_type": "free-form",
        "context": None,
        "prompt": "Which gas do plants take up?",
        "target": ["carbon dioxide", "CO2"],
        "benchmark_name": "TriviaQA",
    },
    "1": {
        "problem_type": "free-form",
        "context": "Two goals in each half.",
        "prompt": "How many goals?",
        "target": ["4"],
        "benchmark_name": "DROP",
    },
    "2": {
        "problem_type": "free-form",
        "context": " ",
        "prompt": "3 + 4 = ?",
        "target": ["7"],
        "benchmark_name": "MATH",
    },
}
CHOICE = {
    "0": {
        "problem_type": "multiple-choice",
        "context": None,
        "prompt": "Water boils at",
        "options": ["50 degrees", "100 degrees", "150 degrees"],
        "target": [1],
        "benchmark_name": "MMLU",
    },
    "1": {
        "problem_type": "multiple-choice",
        "context": "It rains.",
        "prompt": "Is it wet?",
        "options": ["no", "yes"],
        "target": [1],
        "benchmark_name": "BoolQ",
    },
}
MIXEVAL = MixEval()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "judge_prompts.py").write_text(JUDGE_PROMPTS)
    (tmp_path / "wording.py").write_text(WORDING)
    return {
        "questions": write_json(tmp_path / "free-form.json", FREE),
        "multiple_choice": write_json(tmp_path / "multiple-choice.json", CHOICE),
        "prompts": tmp_path / "judge_prompts.py",
        "wording": tmp_path / "wording.py",
    }


def test_questions_are_put_as_released(files: dict[str, Path]) -> None:
    questions = {q.id: q for q in MIXEVAL.questions(files)}
    options = "A. 50 degrees\nB. 100 degrees\nC. 150 degrees"
    assert {name: q.turns for name, q in questions.items()} == {
        "free-form/0": ("Question: Which gas do plants take up?\nBe short.",),
        "multiple-choice/0": (f"Water boils at\n{options}\nGive the letter.",),
        "free-form/1": ("Question: Two goals in each half.\nHow many goals?\nBe short.",),
        "multiple-choice/1": ("It rains.\nIs it wet?\nA. no\nB. yes\nGive the letter.",),
        "free-form/2": ("Question: 3 + 4 = ?\nThink hard.",),
    }
    assert [name[0] for name in questions] == list("fmfmf")  # in turn
    assert questions["free-form/0"].references == ("carbon dioxide", "CO2")
    assert questions["multiple-choice/0"].references == ("100 degrees",)


def test_the_judge_reads_the_released_prompt(files: dict[str, Path]) -> None:
    """What the reader makes of the file is what the file's own functions return."""
    released: dict = {}
    exec(compile(files["prompts"].read_text(), "prompts", "exec"), released)
    given_ = material(MIXEVAL, files)
    (request,) = MIXEVAL.requests(given_.questions["free-form/0"], ("It is {CO2}.",), given_)
    known = "<answer 1> carbon dioxide; <answer 2> CO2"
    asked = ("Which gas do plants take up?", known, "It is {CO2}.")
    assert list(request.messages) == released["gpt_judge_for_closeended_freeform"](*asked)
    assert (request.max_tokens, request.temperature) == (999, 1.0)
    (request,) = MIXEVAL.requests(given_.questions["multiple-choice/1"], ("B",), given_)
    asked = ("Is it wet?", "A. no\nB. yes", "B")
    assert list(request.messages) == released["gpt_judge_for_closeended_multiplechoice"](*asked)
    assert request.template.startswith("mixeval-multiple-choice@")
    assert MIXEVAL.requests(given_.questions["multiple-choice/1"], (None,), given_) == []


def request_of(kind: str, options: int = 0, target: int | None = None) -> JudgeRequest:
    state = {"kind": kind, "options": ("o",) * options, "target": target}
    return JudgeRequest("q", 0, "judgment", (), "t", state=state)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("It fits. The correctness score: [[1.0]]", 1.0),
        ("[[0.5]] at first, in the end [[0.7]].", 0.7),  # the release takes the first
        ("[[0]] would be harsh, so [[0.6]]", 0.6),
        ("<think>[[0.1]]</think> [[0.9]]", 0.9),
        ("The golden answer says `[[0.1]]`. [[0.4]]", 0.4),
        ("The footnote [0.3] is missing.", None),
        ("[[0.3]] or [[0.4]]", None),
        ("Score: [0.3]", 0.3),
        ("[0.9] is too much: [[0.2]]", 0.2),  # double brackets come first
        ("[[1]]", 1.0),
        ("[[0]]", 0.0),
        ("[[0.]]", 0.0),
        ("[[1.5]]", None),
        ("[[-0.5]]", None),
        ("[[0,5]]", None),
        ("The score is 0.5.", None),
        ("[[A]]", None),
        ("", None),
    ],
)
def test_scores_of_free_form_replies(text: str, value: float | None) -> None:
    verdict = MIXEVAL.parse(Reply(text), request_of("free-form"))
    assert (verdict and verdict.value) == value


@pytest.mark.parametrize(
    ("text", "label", "value"),
    [
        ("The option chosen by the model: [[B]].", "B", 1.0),
        ("[[A]], not [[B]]", "A", 0.0),
        ("[[A]] at first sight, but it is [[B]].", "B", 1.0),
        ("<think>It could be [[A]]</think>The option chosen by the model: [[B]]", "B", 1.0),
        ('The model writes "[[B]]" and nothing else.', None, None),
        ("Option [C] it is", "C", 0.0),
        ("[A]... no: [[B]]", "B", 1.0),
        ("[[D]]", None, None),  # there is no D
        ("[[b]]", None, None),
        ("[[AB]]", None, None),
        ("No option was chosen.", None, None),
    ],
)
def test_options_of_multiple_choice_replies(text: str, label: str | None, value: float | None) -> None:
    verdict = MIXEVAL.parse(Reply(text), request_of("multiple-choice", 3, 1))
    assert ((verdict.label, verdict.value) if verdict else (None, None)) == (label, value)


@settings(max_examples=200)
@given(st.text(alphabet="[]0.15ABZ \n"), st.sampled_from(["free-form", "multiple-choice"]))
def test_any_reply_is_a_score_or_unclear(text: str, kind: str) -> None:
    verdict = MIXEVAL.parse(Reply(text), request_of(kind, 2, 0))
    assert verdict is None or 0 <= verdict.value <= 1
    assert (verdict is None) or f"[{verdict.label}]" in text


def test_scores(files: dict[str, Path]) -> None:
    given_ = material(MIXEVAL, files)
    texts = {
        "free-form/0": "CO2",
        "free-form/1": "four",
        "free-form/2": None,  # silent
        "multiple-choice/0": "B",
        "multiple-choice/1": "no idea",
    }
    replies = {
        "free-form/0": Reply("[[1.0]]"),
        "free-form/1": Reply("[[0.4]]"),
        "multiple-choice/0": Reply("[[B]]"),
        "multiple-choice/1": Reply("none"),
    }
    judgments = judgments_of(MIXEVAL, given_, texts, replies)
    assert judgments.height == 4  # silence is not put before the judge
    scored = MIXEVAL.scores(answers_of(given_, texts), judgments, given_, 0)
    scores = by_metric(scored.scores)
    assert scores["overall", "all"]["value"] == pytest.approx((1 + 0.4 + 0 + 1) / 4)
    assert (scores["overall", "all"]["n"], scores["overall", "all"]["attempted"]) == (4, 5)
    assert scores["free_form", "all"]["value"] == pytest.approx(1.4 / 3)
    assert scores["multiple_choice", "all"]["value"] == 1.0
    assert scores["overall", "BoolQ"]["value"] is None
    assert scores["overall", "MATH"]["value"] == 0.0
    # As published: each kind's mean, weighted by its questions; here one of them is not judged.
    kinds = [
        (scores[kind, "all"]["value"], scores[kind, "all"]["n"]) for kind in ("free_form", "multiple_choice")
    ]
    weighted = sum(value * n for value, n in kinds) / sum(n for _, n in kinds)
    assert scores["overall", "all"]["value"] == pytest.approx(weighted)
    failed = [item for item in scored.items if item["failure"]]
    assert failed == [
        {
            "metric": "overall",
            "part": "BoolQ",
            "item": "multiple-choice/1",
            "score": None,
            "failure": "judgment: unclear: it says nothing",
        }
    ]


def test_an_answer_without_a_judgment_is_an_error(files: dict[str, Path]) -> None:
    given_ = material(MIXEVAL, files)
    texts = {"free-form/0": "CO2", "free-form/1": "4"}
    judgments = judgments_of(MIXEVAL, given_, texts, dict.fromkeys(texts, Reply("[[1]]")))
    answers = answers_of(given_, texts)
    with pytest.raises(DataError, match="free-form/1 was answered, but has no row among the judgments"):
        MIXEVAL.scores(answers, judgments.head(1), given_, 0)
    with pytest.raises(DataError, match="free-form/1 has a judgment, but no row among the answers"):
        MIXEVAL.scores(answers.head(1), judgments, given_, 0)
    failed = answers_of(given_, texts, failure="context: too long")
    assert failed["failure"].null_count() == 2
    one = answers_of(given_, {"free-form/0": None}, failure="endpoint: down")
    scored = MIXEVAL.scores(one, judgments.clear(), given_, 0)
    assert scored.items[0]["failure"] == "answer: endpoint: down"
    assert by_metric(scored.scores)["overall", "all"]["value"] is None
    assert EMPTY.startswith("empty:")


def broken(change) -> dict:  # type: ignore[no-untyped-def]
    rows = copy.deepcopy(FREE)
    change(rows)
    return rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows["1"].pop("target"), r"question 1, field 'target': a list of one text or more"),
        (
            lambda rows: rows["1"].pop("prompt"),
            r"question 1: the field 'prompt' is missing \(it has: problem",
        ),
        (lambda rows: rows["2"].update(target=[]), r"question 2, field 'target'"),
        (lambda rows: rows["2"].update(target=[7]), r"question 2, field 'target'"),
        (lambda rows: rows["0"].update(prompt=5), r"question 0, field 'prompt': a text was expected, not 5"),
        (lambda rows: rows["0"].update(context=["a"]), r"question 0, field 'context': a text or null"),
        (lambda rows: rows.update({"3": []}), r"question 3: an object was expected, not list"),
        (lambda rows: rows.clear(), r"an object of questions was expected"),
    ],
)
def test_bad_questions_are_named(files: dict[str, Path], change, message: str) -> None:  # type: ignore[no-untyped-def]
    write_json(files["questions"], broken(change))
    with pytest.raises(DataError, match=rf"free-form.json.*{message}"):
        MIXEVAL.questions(files)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"options": ["one"]}, "field 'options': a list of 2 to 26 texts"),
        ({"options": None}, "field 'options'"),
        ({"target": [3]}, "field 'target': a list of one option's number"),
        ({"target": [True]}, "field 'target'"),
        ({"target": [0, 1]}, "field 'target'"),
    ],
)
def test_bad_options_are_named(files: dict[str, Path], row: dict, message: str) -> None:
    write_json(files["multiple_choice"], CHOICE | {"1": CHOICE["1"] | row})
    with pytest.raises(DataError, match=f"multiple-choice.json, question 1, {message}"):
        MIXEVAL.questions(files)


def test_bad_files_are_named(files: dict[str, Path]) -> None:
    files["questions"].write_text('{"0": {}, "0": {}}')
    with pytest.raises(DataError, match=r"free-form.json: the key '0' stands twice"):
        MIXEVAL.questions(files)
    files["questions"].write_text("[")
    with pytest.raises(DataError, match=r"free-form.json, column 2: not JSON"):
        MIXEVAL.questions(files)
    files["questions"].unlink()
    with pytest.raises(DataError, match=r"free-form.json: no such file"):
        MIXEVAL.questions(files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(", "not a Python file"),
        ("x = 1", "there is no 'f'"),
        ("f = 'text'", "'f' is not a function that returns a list of messages"),
        ("f = lambda a: ['text']", "line 1: a message with role and content was expected"),
        ("f = lambda a: [{'role': 'user', 'content': f'{a!r}'}]", "only texts and names in braces"),
        ("f = lambda a: [{'role': 'user', 'content': f'{a.b}'}]", "only texts and names in braces"),
        ("f = lambda a: [{'role': 'user', 'content': 'plain'}]", "'f' uses nothing, not a"),
    ],
)
def test_bad_prompt_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prompts.py"
    path.write_text(text)
    with pytest.raises(DataError, match=f"prompts.py.*{message}"):
        read_chat_prompt(path, "f", ("a",))


def test_a_text_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wording.py"
    path.write_text("TEXT = 5")
    with pytest.raises(DataError, match=r"wording.py: 'TEXT' is not a text"):
        read_text(path, "TEXT")


def test_the_rubric_grades_both_kinds(files: dict[str, Path]) -> None:
    given_ = material(MIXEVAL, files)

    def says(name: str, answer: str) -> float | None:
        (request,) = MIXEVAL.requests(given_.questions[name], (answer,), given_)
        verdict = MIXEVAL.parse(Reply(judge_text([dict(m) for m in request.messages])), request)
        return verdict and verdict.value

    assert says("free-form/0", "Carbon dioxide, I think.") == 1.0
    assert says("free-form/0", "Oxygen.") == 0.0
    assert says("free-form/1", "Golden Answer(s): 4") == 1.0
    assert says("multiple-choice/0", "B") == 1.0
    assert says("multiple-choice/0", "The answer is A. 50 degrees") == 0.0
    assert says("multiple-choice/0", "at 100 degrees") == 1.0
    assert says("multiple-choice/0", "I do not know.") is None


@pytest.fixture
def released(mirror: Path) -> Path:
    (folder,) = mirror.glob("mlfoundations/evalchemy/*/eval/chat_benchmarks/MixEval/mix_eval")
    return folder


def released_files(folder: Path, name: str) -> dict[str, Path]:
    data = folder / "data/mixeval-2024-06-01" / name
    return {"questions": data / "free-form.json", "multiple_choice": data / "multiple-choice.json"}


@pytest.mark.mirror
@pytest.mark.parametrize(("name", "count"), [("mixeval", 2000), ("mixeval-hard", 500)])
def test_the_released_questions(released: Path, files: dict[str, Path], name: str, count: int) -> None:
    given_ = material(MIXEVAL, files | released_files(released, name))
    questions = list(given_.questions.values())
    assert [q.extra["kind"] for q in questions] == ["free-form", "multiple-choice"] * count
    for question in questions:
        answer = question.references[0]
        (request,) = MIXEVAL.requests(question, (answer,), given_)
        assert answer in request.messages[-1]["content"]


@pytest.mark.mirror
def test_the_released_prompts(released: Path) -> None:
    """Every question is worded, and put before the judge, as the released functions do it."""
    prompts, wording = (released / "prompts" / f"{n}.py" for n in ("judge_prompts", "evaluation_prompts"))
    if not prompts.is_file():
        pytest.skip("needs MixEval's prompts: they are not among the local released files")
    code: dict = {}
    for path in (prompts, wording):
        exec(compile(path.read_text(), path.name, "exec"), code)
    files = released_files(released, "mixeval") | {"prompts": prompts, "wording": wording}
    given_ = material(MIXEVAL, files)
    rows = {
        f"{kind}/{key}": row
        for kind, role in (("free-form", "questions"), ("multiple-choice", "multiple_choice"))
        for key, row in json.loads(files[role].read_text()).items()
    }
    assert set(rows) == set(given_.questions)
    for name, row in rows.items():
        (request,) = MIXEVAL.requests(given_.questions[name], ("{x}",), given_)
        if name.startswith("free"):
            asked = code["construct_prompt_freeform"](row)
            known = "; ".join(f"<answer {i + 1}> {text}" for i, text in enumerate(row["target"]))
            judged = code["gpt_judge_for_closeended_freeform"](row["prompt"], known, "{x}")
        else:
            asked = code["construct_prompt_multichoice"](row)
            judged = code["gpt_judge_for_closeended_multiplechoice"](
                row["prompt"], lettered(row["options"]), "{x}"
            )
        assert given_.questions[name].turns == (asked,)
        assert list(request.messages) == judged

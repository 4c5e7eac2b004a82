"""WildBench: tasks, the judge's prompt, its JSON, scores; and the released judgments."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judged_data import WILDBENCH_TEMPLATE, answers_of, by_metric, judgments_of, material
from rewild.core.errors import DataError
from rewild.engines.rubric.forms import judge_text
from rewild.evaluation.judged.wildbench import GROUPS, WEIGHTS, WildBench, read_score, rescale, shorten
from rewild.generation.asking.base import Reply

WILDBENCH = WildBench()
TASK = {
    "session_id": "s0",
    "conversation_input": [
        {"role": "user", "content": "Hello", "language": "English"},
        {"role": "assistant", "content": "Hello, you", "language": "English"},
        {"role": "user", "content": "Write a poem about {$checklist}.", "language": "English"},
    ],
    "checklist": ["Is it a poem?", "Does it rhyme?"],
    "primary_tag": "Creative Writing",
    "secondary_tags": ["Editing", "Planning"],
}


def task(number: int, primary: str, *secondary: str) -> dict:
    chat = [{"role": "user", "content": f"Do task {number}."}]
    changed = {"session_id": f"s{number}", "conversation_input": chat, "primary_tag": primary}
    return TASK | changed | {"secondary_tags": list(secondary)}


TASKS = [
    TASK,
    task(1, "Math", "Reasoning"),
    task(2, "Coding & Debugging"),
    task(3, "Information seeking"),
    task(4, "Data Analysis"),
]


def write(tmp_path: Path, rows: list[dict]) -> dict[str, Path]:
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "template.md").write_text(WILDBENCH_TEMPLATE)
    return {"questions": tmp_path / "tasks.jsonl", "prompts": tmp_path / "template.md"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return write(tmp_path, TASKS)


def test_tasks_as_the_hub_has_them_are_the_same(tmp_path: Path, files: dict[str, Path]) -> None:
    """Parquet, as `fetch-dataset` leaves it, and JSON lines are the same questions; a fault is named."""
    pl.DataFrame(TASKS).write_parquet(tmp_path / "test.parquet")
    assert WILDBENCH.questions(files | {"questions": tmp_path / "test.parquet"}) == WILDBENCH.questions(files)
    (tmp_path / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"test\.parquet"):
        WILDBENCH.questions(files | {"questions": tmp_path / "test.parquet"})


def test_the_judge_reads_task_checklist_and_answer(files: dict[str, Path]) -> None:
    given_ = material(WILDBENCH, files)
    question = given_.questions["s0"]
    assert (question.category, question.turns) == ("Creative Tasks", ("Write a poem about {$checklist}.",))
    assert [dict(m) for m in question.context] == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello, you"},
    ]
    assert question.extra["groups"] == ("Creative Tasks", "Planning & Reasoning")
    (request,) = WILDBENCH.requests(question, ("A {$history} of " + "w " * 1200,), given_)
    (message,) = request.messages
    expected = WILDBENCH_TEMPLATE
    values = {
        "{$history}": "USER: Hello\n\nASSISTANT: Hello, you\n\n",
        "{$model_output}": " ".join(["A", "{$history}", "of", *["w"] * 997]) + "... (truncated)",
        "{$user_query}": "Write a poem about {$checklist}.",
    }
    head, _, tail = expected.partition("{$history}")
    assert message["content"].startswith(head + values["{$history}"] + tail.partition("{$user_query}")[0])
    assert f"\n{values['{$user_query}']}\n<|end_of_query|>" in message["content"]
    assert f"\n{values['{$model_output}']}\n<|end_of_response|>" in message["content"]
    assert "\n- Is it a poem?\n- Does it rhyme?\n\n<|end_of_checklist|>" in message["content"]
    assert (request.temperature, request.max_tokens) == (0.0, 1024)


def test_texts_are_cut_at_single_spaces() -> None:
    assert shorten("a b  c", 3) == "a b ... (truncated)"
    assert shorten("a b  c", 4) == "a b  c"
    assert shorten("", 3) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"strengths": "s", "weaknesses": "w", "score": "7"}', 7),
        ('{"score": 7}', 7),
        ('{"score": "7.5"}', 7.5),
        ('```json\n{"score": "3"}\n```', 3),
        ('Here: {"strengths": "it has "quotes"", "score": "8"}', 8),  # broken JSON
        ("strengths: none, score: 4", 4),
        ('{"strengths": "score: 9", "score": "2",}', 2),  # the last one, of broken JSON
        ('<think>{"score": "2"}</think>{"strengths": "s", "score": "9"}', 9),
        ('First {"score": "2"}, then {"score": "9"}', 9),
        ('{"strengths": "it writes {\\"score\\": 10}", "score": "1"}', 1),
        ('{"strengths": "it "writes" {"score": 10}", "score": "1"}', 1),
        ('{"score": "3", "weaknesses": "it gives itself a score: 9"}', 3),
        ('The set {1, 2} is right. {"score": "8", "strengths": "s"} That is all.', 8),
        ('<think>{"score": "2"}', None),
        ('{"evaluation": {"score": 8}}', None),
        ('{"score": 1' + "0" * 400 + "}", None),
        ('{"score": Infinity}', None),
        ('{"a":' * 3000 + '{"score": "7"}', 7),
        ('{"score": "0"}', None),
        ('{"score": "11"}', None),
        ('{"score": "good"}', None),
        ('{"score": "nan"}', None),
        ('{"score": null}', None),
        ('{"score": [7]}', None),
        ('{"strengths": "s"}', None),
        ("[7]", None),
        ("I cannot judge this.", None),
        ("", None),
        # Tags and objects that the judge speaks of, line ends within a text.
        ('{"weaknesses": "it shows <think> but no end", "score": "4"}', 4),
        ('{"strengths": "a", "score": "8"}\nThe answer says {"score": "1"}.', 8),
        ('```json\n{"score": "8", "strengths": "a\nb"}\n```\nThat is all.', 8),
        ('<think>{"strengths": "a", "score": "2"}', None),
    ],
)
def test_scores_of_replies(text: str, value: float | None) -> None:
    verdict = read_score(text)
    assert (verdict and verdict.value) == value


@given(st.text(alphabet='{}":score 0127.,\n'))
def test_any_reply_is_a_score_from_1_to_10_or_unclear(text: str) -> None:
    verdict = read_score(text)
    assert verdict is None or 1 <= verdict.value <= 10


@given(st.text(), st.text(), st.integers(1, 10))
def test_a_reply_as_asked_is_read(strengths: str, weaknesses: str, score: int) -> None:
    reply = json.dumps({"strengths": strengths, "weaknesses": weaknesses, "score": str(score)})
    verdict = read_score(reply)
    assert verdict is not None
    assert (verdict.label, verdict.value) == (str(score), score)


def test_scores(files: dict[str, Path]) -> None:
    given_ = material(WILDBENCH, files)
    texts = {"s0": "A poem.", "s1": "5", "s2": "code", "s3": "w " * 1200, "s4": None}
    replies = {f"s{i}": Reply(json.dumps({"score": str(s)})) for i, s in enumerate((9, 6, 4, 8))}
    scored = WILDBENCH.scores(
        answers_of(given_, texts), judgments_of(WILDBENCH, given_, texts, replies), given_, 0
    )
    scores = by_metric(scored.scores)
    assert scores["score", "all"]["value"] == pytest.approx((9 + 6 + 4 + 8 + 1) / 5)  # silence is a 1
    assert scores["wb_score", "all"]["value"] == pytest.approx((8 + 2 - 2 + 6 - 8) / 5)
    assert {part: row["value"] for (metric, part), row in scores.items() if metric == "wb_score_macro"} == {
        "Creative Tasks": 8,
        "Planning & Reasoning": pytest.approx((8 + 2) / 2),  # a task counts in each of its groups
        "Math & Data Analysis": 2,  # s4 is silent
        "Coding & Debugging": -2,
        "all": None,
    }  # s3 was cut, so Information/Advice seeking has no task, and the mean over groups has no value
    macro = scores["wb_score_macro", "all"]
    assert (macro["n"], macro["attempted"]) == (0, 5)
    assert {item["item"]: item["score"] for item in scored.items} == {
        "s0": 8,
        "s1": 2,
        "s2": -2,
        "s3": 6,
        "s4": -8,
    }


def test_the_mean_over_groups(files: dict[str, Path]) -> None:
    given_ = material(WILDBENCH, files)
    texts = {f"s{i}": "text" for i in range(5)}
    replies = {f"s{i}": Reply(json.dumps({"score": s})) for i, s in enumerate((9, 6, 4, 8, 10))}
    judgments = judgments_of(WILDBENCH, given_, texts, replies)
    scored = WILDBENCH.scores(answers_of(given_, texts), judgments, given_, 0)
    groups = {
        "Creative Tasks": 8,
        "Planning & Reasoning": 5,
        "Math & Data Analysis": 6,
        "Coding & Debugging": -2,
        "Information/Advice seeking": 6,
    }
    expected = sum(WEIGHTS[g] * v for g, v in groups.items()) / 4.75
    macro = by_metric(scored.scores)["wb_score_macro", "all"]
    assert macro["value"] == pytest.approx(expected)
    assert (macro["n"], macro["attempted"]) == (5, 5)
    assert set(GROUPS.values()) == set(WEIGHTS)


def test_a_model_that_writes_nothing_has_the_lowest_score_and_no_mean_over_groups(
    files: dict[str, Path],
) -> None:
    """The row of the metric that counts is there all the same: a table shows it as a dash."""
    given_ = material(WILDBENCH, files)
    texts: dict[str, str | None] = {f"s{i}": None for i in range(5)}
    judgments = judgments_of(WILDBENCH, given_, texts, {})
    scored = WILDBENCH.scores(answers_of(given_, texts), judgments, given_, 0)
    scores = by_metric(scored.scores)
    assert {m: scores[m, "all"]["value"] for m in ("score", "wb_score", "wb_score_macro")} == {
        "score": 1,
        "wb_score": -8,
        "wb_score_macro": None,
    }
    assert (scores["wb_score_macro", "all"]["n"], scores["wb_score_macro", "all"]["attempted"]) == (0, 5)


def test_a_refusing_judge_leaves_a_failure(files: dict[str, Path]) -> None:
    given_ = material(WILDBENCH, files)
    texts = {"s1": "5", "s2": "code"}
    replies = {"s1": Reply("I'm sorry, but I can't."), "s2": Reply('{"score": "4"}')}
    scored = WILDBENCH.scores(
        answers_of(given_, texts), judgments_of(WILDBENCH, given_, texts, replies), given_, 0
    )
    row = by_metric(scored.scores)["wb_score", "all"]
    assert (row["value"], row["n"], row["attempted"]) == (-2, 1, 2)
    assert [item["failure"] for item in scored.items] == ["judgment: unclear: it says nothing", None]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"checklist": "one"}, "row 2, field 'checklist': a str is not expected there"),
        ({"checklist": [1]}, "row 2, field 'checklist': a list of texts"),
        ({"conversation_input": []}, "row 2, field 'conversation_input': it must end with a user's message"),
        ({"conversation_input": ["text"]}, "row 2, field 'conversation_input': a message with role"),
        ({"conversation_input": [{"role": "tool", "content": "x"}]}, "a message with role and content"),
        ({"primary_tag": "Cooking"}, "row 2: the tag 'Cooking' is none of Information seeking"),
        ({"session_id": "s0"}, "row 2: session s0 stands twice"),
    ],
)
def test_bad_tasks_are_named(tmp_path: Path, row: dict, message: str) -> None:
    with pytest.raises(DataError, match=rf"tasks.jsonl, {message}" if message[0] == "r" else message):
        WILDBENCH.questions(write(tmp_path, [TASK, task(1, "Math") | row]))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    row = {key: value for key, value in TASK.items() if key != "checklist"}
    with pytest.raises(DataError, match=r"tasks.jsonl, row 1: the field 'checklist' is missing"):
        WILDBENCH.questions(write(tmp_path, [row]))


def test_another_template_is_refused(files: dict[str, Path]) -> None:
    given_ = material(WILDBENCH, files)
    files["prompts"].write_text("Rate {$model_output}.")
    with pytest.raises(DataError, match=r"template.md: a template with the blanks checklist, history"):
        WILDBENCH.requests(given_.questions["s1"], ("5",), given_)
    odd = files["prompts"].with_name("odd.md")
    odd.write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"odd.md, line 1: not UTF-8 text"):
        WILDBENCH.requests(given_.questions["s1"], ("5",), material(WILDBENCH, files | {"prompts": odd}))


def test_the_rubric_grades_it(files: dict[str, Path]) -> None:
    given_ = material(WILDBENCH, files)
    good = "**Task 1** is done: do task 1 well, and then check what you have done once more."
    values = []
    for answer in ("x", good):
        (request,) = WILDBENCH.requests(given_.questions["s1"], (answer,), given_)
        verdict = WILDBENCH.parse(Reply(judge_text([dict(m) for m in request.messages])), request)
        assert verdict is not None
        values.append(verdict.value)
    assert values[0] < values[1] == 10


@pytest.mark.mirror
def test_the_released_judgments(mirror: Path) -> None:
    """Every released judgment, as the judge wrote it, reads as the released score; and what they come to."""
    paths = sorted(mirror.glob("allenai/WildBench/*/eval_results/v2.0522/score.v2/*/*.json"))
    assert len(paths) == 8
    found = {}
    for path in paths:
        rows = json.loads(path.read_text())
        verdicts = [read_score(json.dumps(row["parsed_result"])) for row in rows]
        assert [verdict and verdict.label for verdict in verdicts] == [row["score"] for row in rows]
        values = [verdict.value for verdict in verdicts if verdict]
        assert len(values) == len(rows)
        # The released outputs are as the judge saw them: cut to a thousand words, and marked where cut.
        cut = [row["model_output"].strip() for row in rows if "... (truncated)" in row["model_output"][-20:]]
        kept = {len(text.removesuffix("... (truncated)").split(" ")) for text in cut}
        assert kept <= {1000, 999}  # leading spaces were stripped after the cut
        found[path.stem] = rescale(sum(values) / len(values))
    assert found == pytest.approx(
        {
            "Llama-3-8B-OpenHermes-243K": 1.766438,
            "Llama-3-8B-ShareGPT-112K": 2.513222,
            "Llama-3-8B-Tulu-330K": 2.546169,
            "Llama-3-8B-Ultrachat-200K": 2.033203,
            "Llama-3-8B-WildChat": 2.884540,
            "Llama-3-8B-WizardLM-196K": 2.154297,
            "gemma-7b-it": 2.386719,
            "gpt-3.5-turbo-0125": 4.210938,
        },
        abs=1e-6,
    )

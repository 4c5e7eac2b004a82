"""MT-Bench: questions, prompts and ratings as FastChat's files and the authors' judgments have them."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from rewild.core.errors import DataError
from rewild.evaluation.judged.base import Material, Question, chat_of
from rewild.evaluation.judged.mt_bench import MTBench, judge_prompts
from rewild.evaluation.judged.schema import ANSWERS, JUDGMENTS
from rewild.generation.asking.base import JudgeRequest, Reply

FASTCHAT = "lm-sys/FastChat/0e6d3e4beaab66f4d3f93db72541a4abab8af28d/fastchat/llm_judge/data"
AUTHORS = "penfever/wildchat-50m/297e4b9f630e7155048eebf528979d90895654d6"
REQUEST = JudgeRequest("81", 0, "judgment", (), "t")


@pytest.fixture(scope="module")
def files(mirror: Path) -> dict[str, Path]:
    data = mirror / FASTCHAT
    return {
        "questions": data / "mt_bench/question.jsonl",
        "references": data / "mt_bench/reference_answer/gpt-4.jsonl",
        "prompts": data / "judge_prompts.jsonl",
    }


@pytest.fixture(scope="module")
def questions(files: dict[str, Path]) -> dict[str, Question]:
    return {q.id: q for q in MTBench().questions(files)}


def test_the_released_questions_in_their_order(questions: dict[str, Question]) -> None:
    assert list(questions) == [str(n) for n in range(81, 161)]
    assert all(len(q.turns) == 2 for q in questions.values())
    assert Counter(q.category for q in questions.values()) == dict.fromkeys(
        ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"), 10
    )


def test_categories_have_the_published_temperatures(questions: dict[str, Question]) -> None:
    # FastChat's table of temperatures, by category.
    published = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
    assert {(q.category, q.temperature) for q in questions.values()} == {
        (c, published.get(c, 0.0)) for c in {q.category for q in questions.values()}
    }


def test_math_reasoning_and_coding_have_references(questions: dict[str, Question]) -> None:
    with_reference = {q.category for q in questions.values() if q.references}
    assert with_reference == {"math", "reasoning", "coding"}
    assert sum(bool(q.references) for q in questions.values()) == 30


def test_prompts_are_the_released_templates_filled_in(files: dict[str, Path], questions) -> None:
    """Against str.format on the file's own templates, with the names of FastChat's fields."""
    prompts = {r["name"]: r for r in map(json.loads, files["prompts"].read_text().splitlines())}
    material = Material(files, questions)
    for identity, names in {
        "81": ("single-v1", "single-v1-multi-turn"),
        "111": ("single-math-v1", "single-math-v1-multi-turn"),
    }.items():
        question = questions[identity]
        told = ("First {answer}.", "Second.")
        first, second = MTBench().requests(question, told, material)
        refs = question.references or ("", "")
        values = {
            "question_1": question.turns[0],
            "question_2": question.turns[1],
            "answer_1": told[0],
            "answer_2": told[1],
            "ref_answer_1": refs[0],
            "ref_answer_2": refs[1],
            "question": question.turns[0],
            "answer": told[0],
        }
        for request, name in ((first, names[0]), (second, names[1])):
            assert request.template.startswith(f"{name}@")
            assert request.messages[0] == {"role": "system", "content": prompts[name]["system_prompt"]}
            assert request.messages[1]["content"] == prompts[name]["prompt_template"].format(**values)
            assert (request.max_tokens, request.temperature) == (2048, 0.0)


def test_a_turn_without_an_answer_is_not_judged(files: dict[str, Path], questions) -> None:
    material = Material(files, questions)
    ask = MTBench().requests
    assert [r.turn for r in ask(questions["81"], ("one", None), material)] == [0]
    assert ask(questions["81"], (None, "two"), material) == []


def test_every_released_judgment_is_read_as_the_authors_read_it(mirror: Path, questions) -> None:
    """80 pages, each with the judge's text, and the score that the authors took from it."""
    pages = sorted((mirror / AUTHORS / "model_responses/judged/qwen-2.5-72b-resps").glob("*.html"))
    assert len(pages) == 80
    for page in pages:
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        text = soup.select_one("div.judgment").get_text()
        score = float(re.search(r"[\d.]+", soup.select_one("div.score").get_text())[0])
        verdict = MTBench().parse(Reply(text), REQUEST)
        assert (verdict and verdict.value) == score, page.name
        # The pages show the reference exactly where we give one.
        shown = "[The Start of Reference Answer]" in soup.select_one("div.question").get_text()
        assert shown == bool(questions[page.stem].references), page.name


def test_the_released_pairs_of_judgments_too(mirror: Path) -> None:
    with (mirror / AUTHORS / "tables/combined_preferences.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 50
    for row in rows:
        for model in ("qwen", "llama"):
            verdict = MTBench().parse(Reply(row[f"judgment_{model}"]), REQUEST)
            assert (verdict and verdict.value) == float(row[f"score_{model}"]), row["question_id"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Good. Rating: [[7]]", 7),
        ("Rating: [[7.5]]", 7.5),
        ("Rating: [8]", 8),
        ("First [[3]], then [[9]]", 9),
        ("[2] of the points are wrong: [[4]]", 4),
        ("It indexes `nums[1]`. Rating: [[7]]", 7),
        ("It reads nums[[1]]. Rating: [[7]]. As in rows[[2]]", 7),
        ("From [[1]] to [[10]] I give [[8]]", 8),
        ("[[1]] to [[10]] … [[8]]", 8),
        ("Rating: [[8]], on a scale of [[1]] to [[10]].", 8),
        ('The answer asks for "[[10]]". Rating: [[1]]', 1),
        ("Rating: [[3]]\n\n> Rating: [[10]]", 3),
        ("Rating: [[3]]\n```\nRating: [[10]]\n```\n", 3),
        ("Rating: [[3]]. The answer ends with “Rating: [[10]]”.", 3),
        ("[The Start of Assistant's Answer]\n[[10]]\n[The End of Assistant's Answer]", None),
        ("<think>\nperhaps [[2]]\n</think>\n\n[[9]]", 9),
        ("perhaps [[2]]\n</think>\n\n[[9]]", 9),
        ("<think>perhaps [[2]], and it ends", None),
        ("[[9]] <THINK>is it? [[2]]</THINK>", 9),
        ("It's Tom's 5\" pipe, and it's fine: [[6]]", 6),
        ("- Depth: [[8]]\n- Clarity: [[6]]", None),
        ("- Depth: [[8]]\n- Clarity: [[6]]\n\nRating: [[7]]", 7),
        ("Rating: [[7]] or [[8]]", None),
        ("Rating: **[[7]]** or **[[8]]**", None),
        ("Rating: **[[9]]** out of [[10]]", 9),
        ("[[9]] of a possible [[10]]", 9),
        ("Rating: [[7]]. No, [[eight]]", None),
        ("See [1] and [2].", None),
        ("Rating: [[" + "9" * 400 + "]]", None),
        ("Rating: [[７]]", None),
        ("Rating: 7", None),
        ("Rating: [[seven]]", None),
        ("Rating: [[11]]", None),
        ("Rating: [[0]]", None),
        ("评分：【【7】】", None),
        ("", None),
    ],
)
def test_ratings(text: str, value: float | None) -> None:
    verdict = MTBench().parse(Reply(text), REQUEST)
    assert (verdict.value if verdict else None) == value


@given(st.text(), st.text())
def test_what_is_filled_in_is_never_filled_in_again(question: str, answer: str) -> None:
    given = {"question": question, "answer": answer}
    _, asked = chat_of("", "<{question}|{answer}|{other}>", given)
    assert asked["content"] == f"<{question}|{answer}|{{other}}>"


def rows(answers: list[tuple[str, int, str | None]], values: dict[tuple[str, int], float | None]):
    """Answers as (question, turn, failure), and judgments of some of them."""
    blank = dict.fromkeys(ANSWERS.columns)
    made = pl.DataFrame(
        [
            blank | {"question_id": q, "turn": t, "category": "stem" if q == "1" else "math", "failure": f}
            for q, t, f in answers
        ],
        schema=ANSWERS.dtypes,
    )
    blank = dict.fromkeys(JUDGMENTS.columns)
    judged = pl.DataFrame(
        [
            blank
            | {
                "question_id": q,
                "turn": t,
                "part": "judgment",
                "value": v,
                "failure": None if v else "unclear: x",
            }
            for (q, t), v in values.items()
        ],
        schema=JUDGMENTS.dtypes,
    )
    return made, judged


def test_scores_by_turn_and_category_and_over_all() -> None:
    """By hand: 8, 6, (empty: 1), unclear, engine failure."""
    answers, judgments = rows(
        [
            ("1", 0, None),
            ("1", 1, None),
            ("2", 0, "empty: no text"),
            ("2", 1, None),
            ("3", 0, "engine: it died"),
        ],
        {("1", 0): 8.0, ("1", 1): 6.0, ("2", 1): None},
    )
    made = MTBench().scores(answers, judgments, Material({}, {}), 0)
    found = {(r["metric"], r["part"]): (r["value"], r["n"], r["attempted"]) for r in made.scores}
    assert found == {
        ("average", "all"): (5.0, 3, 5),
        ("average", "turn-1"): (4.5, 2, 3),
        ("average", "turn-2"): (6.0, 1, 2),
        ("category", "math"): (1.0, 1, 3),
        ("category", "stem"): (7.0, 2, 2),
    }
    items = {(i["part"], i["item"]): (i["score"], i["failure"]) for i in made.items}
    assert items == {
        ("turn-1", "1"): (8.0, None),
        ("turn-2", "1"): (6.0, None),
        ("turn-1", "2"): (1.0, None),
        ("turn-2", "2"): (None, "judgment: unclear: x"),
        ("turn-1", "3"): (None, "answer: engine: it died"),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"question_id": 81, "turns": ["a"]}, r"row 2: the field 'category' is missing"),
        ({"question_id": 81, "category": "stem", "turns": "a"}, r"row 2, field 'turns': a str"),
        (
            {"question_id": 81, "category": "stem", "turns": ["a", " "]},
            r"row 2, field 'turns': a list of texts",
        ),
        ({"question_id": 81, "category": "stem", "turns": ["a", "b", "c"]}, r"row 2: 3 turns"),
        ({"question_id": 81, "category": "math", "turns": ["a"]}, r"row 2: question 81 is judged with a ref"),
    ],
)
def test_a_bad_question_is_named_with_its_row(tmp_path: Path, line: dict, message: str) -> None:
    good = {"question_id": 80, "category": "stem", "turns": ["a", "b"]}
    path = tmp_path / "question.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (good, line)))
    with pytest.raises(DataError, match=message):
        MTBench().questions({"questions": path})


def test_a_missing_file_or_prompt_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"question\.jsonl: no such file"):
        MTBench().questions({"questions": tmp_path / "question.jsonl"})
    (tmp_path / "p.jsonl").write_text('{"name": "single-v1", "system_prompt": "", "prompt_template": ""}\n')
    with pytest.raises(DataError, match=r"'single-v1-multi-turn' is missing"):
        judge_prompts(tmp_path / "p.jsonl")

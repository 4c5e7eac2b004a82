"""Arena-Hard: games in both orders, the published scale, win rates against a Bradley-Terry fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit

from rewild.core.errors import DataError
from rewild.evaluation.judged.arena_hard import ArenaHard, interval, judge_prompt, question_stderr
from rewild.evaluation.judged.base import Material, Question
from rewild.evaluation.judged.schema import ANSWERS, JUDGMENTS
from rewild.generation.asking.base import JudgeRequest, Reply

RELEASED = "lmarena/arena-hard-auto/196f6b826783b3da7310e361a805fa36f0be83f3/data/arena-hard-v0.1"
LABELS = ["A>>B", "A>B", "A=B", "B>A", "B>>A"]
GAMES = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40)


@pytest.fixture
def prompts(root: Path) -> Path:
    return root / "resources/demo/judged/pair_prompt.yaml"


def request(part: str) -> JudgeRequest:
    return JudgeRequest("q", 0, part, (), "t")


def test_the_released_questions_and_baseline_answers(mirror: Path) -> None:
    files = {
        "questions": mirror / RELEASED / "question.jsonl",
        "baseline": mirror / RELEASED / "model_answer/gpt-4-0314.jsonl",
    }
    questions = ArenaHard().questions(files)
    assert len(questions) == 500
    assert all(len(q.turns) == 1 and q.temperature == 0 for q in questions)
    assert len({q.category for q in questions}) == 250  # clusters, as the paper says
    baseline = ArenaHard().baseline(files)
    assert set(baseline) == {q.id for q in questions}
    assert sum(answer[0] is None for answer in baseline.values()) == 0
    first = json.loads(files["baseline"].read_text(encoding="utf-8").splitlines()[0])
    assert baseline[first["uid"]] == (first["messages"][-1]["content"]["answer"],)


def test_the_model_stands_second_and_then_first(prompts: Path) -> None:
    question = Question("q", "c", ("What?",))
    material = Material({"prompts": prompts}, {"q": question}, {"q": ("THEIRS {answer_1}",)})
    one, two = ArenaHard().requests(question, ("MINE",), material)
    assert (one.part, two.part) == ("game-1", "game-2")
    first, second = (r.messages[1]["content"] for r in (one, two))
    assert first.index("THEIRS {answer_1}") < first.index("MINE")
    assert second.index("MINE") < second.index("THEIRS {answer_1}")
    assert ArenaHard().requests(question, (None,), material) == []
    assert ArenaHard().requests(question, ("MINE",), Material({"prompts": prompts}, {}, {"q": (None,)})) == []


@pytest.mark.parametrize(
    ("text", "label", "in_one", "in_two"),
    [
        ("so [[A>>B]]", "A>>B", 0.0, 1.0),
        ("[[A>B]]", "A>B", 0.0, 1.0),
        ("My final verdict is tie: [[A=B]].", "A=B", 0.5, 0.5),
        ("[[B>A]]", "B>A", 1.0, 0.0),
        ("[[B>>A]] ... [[B>>A]]", "B>>A", 1.0, 0.0),
        ("At first [[A>B]], but on a second look [[B>A]].", "B>A", 1.0, 0.0),
        ("<think>[[A>>B]]</think>[[A=B]]", "A=B", 0.5, 0.5),
        ("1. [[A>>B]]\n2. [[A>B]]\n3. [[A=B]]\n4. [[B>A]]\n5. [[B>>A]]\n\nI choose [[A>B]]", "A>B", 0.0, 1.0),
    ],
)
def test_verdicts(text: str, label: str, in_one: float, in_two: float) -> None:
    for part, value in (("game-1", in_one), ("game-2", in_two)):
        verdict = ArenaHard().parse(Reply(text), request(part))
        assert verdict is not None
        assert (verdict.label, verdict.value) == (label, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A>>B",
        "[[A]]",
        "[[A>B]] or [[B>A]]",
        "[[A>>>B]]",
        "[[=]]",
        "[A>B]",
        'He says "[[A>B]]".',
        "1. [[A>B]]\n2. [[B>A]]",
    ],
)
def test_unclear_verdicts(text: str) -> None:
    assert ArenaHard().parse(Reply(text), request("game-1")) is None


def test_an_unclear_judge_is_shown_its_own_words() -> None:
    asked = JudgeRequest("q", 0, "game-1", ({"role": "user", "content": "x"},), "t")
    again = ArenaHard().again(asked, Reply("Both are fine."))
    assert [m["role"] for m in again.messages] == ["user", "assistant", "user"]
    assert again.messages[1]["content"] == "Both are fine."
    assert (again.question, again.part, again.template) == ("q", "game-1", "t")


def scored(pairs: list[tuple[str, str]], failures: dict[int, str] | None = None, seed: int = 0):
    """Scores of games with these labels, of question 0, 1, ..."""
    blank = dict.fromkeys(ANSWERS.columns)
    failures = failures or {}
    answers = pl.DataFrame(
        [blank | {"question_id": str(i), "turn": 0, "failure": failures.get(i)} for i in range(len(pairs))],
        schema=ANSWERS.dtypes,
    )
    blank = dict.fromkeys(JUDGMENTS.columns)
    judged = []
    for i, labels in enumerate(pairs):
        for part, label in zip(("game-1", "game-2"), labels, strict=True):
            if i in failures:
                continue
            verdict = ArenaHard().parse(Reply(f"[[{label}]]"), request(part))
            row = blank | {"question_id": str(i), "turn": 0, "part": part, "failure": "unclear: x"}
            if verdict:
                row |= {"verdict": verdict.label, "value": verdict.value, "failure": None}
            judged.append(row)
    baseline = {str(i): ("b",) for i in range(len(pairs))}
    return ArenaHard().scores(
        answers, pl.DataFrame(judged, schema=JUDGMENTS.dtypes), Material({}, {}, baseline), seed
    )


def value(made, metric: str = "score") -> float | None:
    return next(r["value"] for r in made.scores if r["metric"] == metric)


def bradley_terry(pairs: list[tuple[str, str]]) -> float:
    """The repository's way: every game is as many rows as it weighs, a tie is a row of each; fit, predict."""
    won = lost = 0.0
    for first, second in pairs:
        for label, model_is_b in ((first, True), (second, False)):
            weight = 3 if len(label) == 4 else 1
            if label == "A=B":
                won, lost = won + 0.5, lost + 0.5
            elif label.startswith("B") == model_is_b:
                won += weight
            else:
                lost += weight
    loss = lambda r: -(won * np.log(expit(r)) + lost * np.log(expit(-r)))  # noqa: E731
    fit = minimize_scalar(loss, bounds=(-8, 8), method="bounded", options={"xatol": 1e-10})
    return 100 * float(expit(fit.x))


@given(GAMES)
def test_the_win_rate_is_that_of_a_bradley_terry_fit(pairs: list[tuple[str, str]]) -> None:
    found = value(scored(pairs))
    assert found == pytest.approx(bradley_terry(pairs), abs=0.05)  # the fit is bounded at ±8


@given(GAMES)
def test_a_judge_that_only_looks_at_the_position_gives_half(pairs: list[tuple[str, str]]) -> None:
    assert value(scored([(first, first) for first, _ in pairs])) == pytest.approx(50)


@given(GAMES)
def test_swapping_the_two_models_mirrors_the_win_rate(pairs: list[tuple[str, str]]) -> None:
    assert value(scored([(b, a) for a, b in pairs])) == pytest.approx(100 - value(scored(pairs)))


def test_by_hand() -> None:
    """Question 0: much better, then a tie: (3 × 1 + ½) / 4. Question 1: a little worse twice: 0."""
    made = scored([("B>>A", "A=B"), ("A>B", "B>A")])
    assert [i["score"] for i in made.items] == [87.5, 0.0]
    assert value(made) == pytest.approx(100 * 3.5 / 6)
    row = next(r for r in made.scores if r["metric"] == "score")
    assert (row["n"], row["attempted"]) == (2, 2)


def test_a_silent_model_loses_by_far_and_other_failures_do_not_count() -> None:
    made = scored([("B>>A", "A>>B")] * 3, {1: "empty: no text in 1 tokens", 2: "engine: it died"})
    assert [i["score"] for i in made.items] == [100.0, 0.0, None]
    assert made.items[2]["failure"] == "answer: engine: it died"
    assert value(made) == 50.0
    counts = {r["metric"]: (r["n"], r["attempted"]) for r in made.scores}
    assert counts == {"score": (2, 3), "lower": (2, 3), "upper": (2, 3), "agreement": (1, 1)}


def test_how_often_both_orders_agree() -> None:
    """Won twice, tied twice, won and lost, won and tied, one unclear: two of four."""
    pairs = [("B>A", "A>>B"), ("A=B", "A=B"), ("B>A", "B>A"), ("B>A", "A=B"), ("B>A", "nothing")]
    made = scored(pairs)
    row = next(r for r in made.scores if r["metric"] == "agreement")
    assert (row["value"], row["n"]) == (50.0, 4)
    assert value(scored([("B>A", "nothing")]), "agreement") is None


def test_one_unclear_game_leaves_the_other(tmp_path: Path) -> None:
    made = scored([("B>A", "nothing"), ("nothing", "nothing")])
    assert [i["score"] for i in made.items] == [100.0, None]
    assert made.items[1]["failure"] == "judgment: unclear: x"


def test_the_interval_resamples_games_with_their_copies() -> None:
    games = [(1.0, 3.0), (0.5, 1.0), (0.0, 1.0), (1.0, 1.0)] * 10
    low, high = interval(games, 4)
    rng = np.random.default_rng(4)
    copies = np.array([s for s, w in games for _ in range(int(w))])
    draws = [100 * copies[row].mean() for row in rng.integers(0, 60, (100, 60))]
    assert (low, high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))
    assert interval([], 0) == (None, None)
    # The usual standard error of a mean, for questions of one game each.
    one_each = [[(float(i % 4 == 0), 1.0)] for i in range(400)]
    assert question_stderr(one_each, 0) == pytest.approx(100 * np.sqrt(0.25 * 0.75 / 400), rel=0.1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"uid": "a", "cluster": "c"}, "row 2: the field 'prompt' is missing"),
        ({"uid": "a", "cluster": "c", "prompt": " "}, "row 2: the prompt is blank"),
        ({"uid": 3, "cluster": "c", "prompt": "x"}, "row 2, field 'uid': a int"),
    ],
)
def test_a_bad_question_is_named_with_its_row(tmp_path: Path, line: dict, message: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"uid": "z", "cluster": "c", "prompt": "x"}) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(DataError, match=message):
        ArenaHard().questions({"questions": path})


def test_a_prompt_file_without_its_parts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "judge_config.yaml"
    path.write_text("system_prompt: x\nprompt_template: [a, b]\nmax_tokens: 3\n")
    with pytest.raises(DataError, match="prompt_template"):
        judge_prompt(path)

"""Preference pairs: prompts drawn, several answers to each, grades, the best and the worst, an account."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from local_server import Handler, running
from mixes_data import name_of, write_prompts
from rewild.config import load_study
from rewild.config.base import validate
from rewild.config.judging import Asked, Judging
from rewild.config.measures.models import Reward
from rewild.config.measures.text import Length
from rewild.config.preferences import Judge, Preference
from rewild.core.errors import ConfigError, DataError
from rewild.core.measures import contract
from rewild.core.table import about_table, read_table, write_table
from rewild.engines.base import EngineError
from rewild.engines.rubric.grades import grade
from rewild.engines.rubric.server import RubricServer
from rewild.generation.spec import row_seed
from rewild.prompts.schema import SHARD
from rewild.training.mixes.read import Place
from rewild.training.preference_schema import ANSWERS, DROPPED, PAIRS, SCORES
from rewild.training.preferences.answers import draw_prompts, first_turns
from rewild.training.preferences.pairs import make_pairs, score_answers
from rewild.training.preferences.scorers import (
    Grade,
    Item,
    JudgeScorer,
    Panel,
    judge_message,
    make_scorer,
    read_rating,
)


def row(**more: Any) -> Preference:
    given = {"model": "m1", "prompts": 3, "samples": 3, "scorer": {"kind": "rubric"}}
    return validate(Preference, given | more, "preference")


def chats(numbers: Sequence[int]) -> dict[str, list[tuple[str, str]]]:
    return {
        name_of(n): [
            ("user", f"Describe tree {n}."),
            ("assistant", "It is tall."),
            ("user", "And its leaves?"),
            ("assistant", "Green."),
        ]
        for n in numbers
    }


# Prompts


def at(root: Path, shards: list[Path], **more: Any) -> Place:
    """Where the prompts of a study are."""
    return Place(root, root, shards=shards, **more)


def test_prompts_are_first_turns_and_fewer_are_a_part_of_more(tmp_path: Path) -> None:
    shards = [write_prompts(tmp_path, chats(range(i, 30, 2)), f"{i:04d}") for i in (0, 1)]
    found = []
    for amount in (5, 12):
        out = tmp_path / f"{amount}.parquet"
        told = draw_prompts("p", row(prompts=amount), at(tmp_path, shards), out, seed=9)
        assert told == {"read": 30, "contaminated": 0, "drawn": amount}
        found.append(read_table(out, SHARD))
    few, many = (frame["conversation_id"].to_list() for frame in found)
    assert set(few) < set(many)
    assert few == sorted(few)
    assert [len(m) for m in found[0]["messages"]] == [1] * 5
    assert found[0]["messages"][0].to_list()[0]["content"].startswith("Describe tree")
    joined = [write_prompts(tmp_path / "one", chats(range(30)))]
    draw_prompts("p", row(prompts=12), at(tmp_path, joined), tmp_path / "again.parquet", seed=9)
    assert read_table(tmp_path / "again.parquet", SHARD)["conversation_id"].to_list() == many


def test_filters_choose_before_the_draw(tmp_path: Path) -> None:
    """Of 30 prompts, by a measure of them and one of the model's answers; first turns alone count."""
    shards = [write_prompts(tmp_path, chats(range(i, 30, 2)), f"{i:04d}") for i in (0, 1)]
    files = []
    for name, subject, value in (("asked", "prompts", lambda n: n), ("reward", "m", lambda n: n % 3)):
        column = {"asked": "words"}.get(name, name)
        schema = contract({column: ("number" if name == "reward" else "integer", "")})
        rows = [(name_of(n), t, 0, -5 * t + value(n), None) for n in range(30) for t in (0, 1)]
        files.append(tmp_path / f"{name}.parquet")
        said = {"settings": {"measure": name, "subject": subject, "digest": "d"}}
        write_table(files[-1], pl.DataFrame(rows, schema=schema.dtypes, orient="row"), schema, said)
    measures = {
        "asked": validate(Length, {"kind": "length", "of": "prompts"}, "asked"),
        "reward": validate(Reward, {"kind": "reward", "model": "o/n"}, "reward"),
    }
    place = at(tmp_path, shards, measures=measures, measured=files)
    conditions = [{"measure": "asked", "at_least": 12}, {"measure": "reward", "top": 4}]
    preference = row(model="m", prompts=3, filters=conditions)
    out = tmp_path / "out.parquet"
    told = draw_prompts("p", preference, place, out, seed=9)
    assert told == {"read": 30, "contaminated": 0, "filtered": 26, "drawn": 3}
    best = sorted(name_of(n) for n in range(12, 30) if n % 3 == 2)[:4]
    assert set(read_table(out, SHARD)["conversation_id"]) < set(best)
    assert about_table(out)["provenance"]["settings"]["filters"] == [
        {"condition": "asked.words at least 12", "missing": 0, "dropped": 12, "kept": 18},
        {"condition": "reward.reward top 4", "missing": 0, "dropped": 14, "kept": 4},
    ]
    with pytest.raises(DataError, match=r"there are 4 .*; asked.* left 18; reward.* left 4\)"):
        draw_prompts("p", row(model="m", prompts=5, filters=conditions), place, out, seed=9)
    nothing = row(model="m", prompts=1, filters=[{"measure": "asked", "above": 99}])
    with pytest.raises(DataError, match=r"preferences p: nothing is left of 30 .* above 99 left 0"):
        draw_prompts("p", nothing, place, out, seed=9)
    assert preference.measured(measures) == [("asked", "prompts"), ("reward", "m")]


def test_a_system_prompt_stays_before_the_first_turn(tmp_path: Path) -> None:
    path = write_prompts(tmp_path, {"ab": [("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho")]})
    turns = first_turns(read_table(path, SHARD))["messages"][0].to_list()
    assert [m["role"] for m in turns] == ["system", "user"]


def test_too_few_prompts_says_how_many(tmp_path: Path) -> None:
    shards = [write_prompts(tmp_path, chats(range(4)))]
    (tmp_path / "bench.jsonl").write_text(
        json.dumps({"question": "describe tree 2"}) + "\n", encoding="utf-8"
    )
    check = {"words": 3, "files": ["bench.jsonl"]}
    out = tmp_path / "prompts.parquet"
    preference = row(prompts=4, contamination=check)
    with pytest.raises(DataError) as caught:
        draw_prompts("p", preference, at(tmp_path, shards), out, seed=1)
    assert str(caught.value) == (
        "preferences p: 4 prompts are asked for, but there are 3 (4 were read, 1 repeat a benchmark)"
    )
    assert not out.exists()
    told = draw_prompts("p", row(contamination=check), at(tmp_path, shards), out, seed=1)
    assert told == {"read": 4, "contaminated": 1, "drawn": 3}
    assert name_of(2) not in read_table(out, SHARD)["conversation_id"].to_list()


# Pairs


def tables(
    scores: dict[str, list[float | None]], texts: dict[str, list[str]] | None = None
) -> tuple[Any, Any, Any]:
    """Prompts, answers and scores: conversation → a score per sample."""
    prompts = pl.DataFrame(
        [
            {
                "conversation_id": name,
                "source": "t",
                "source_id": name,
                "shard": "0000",
                "language": "English",
                "n_turns": 1,
                "messages": [{"role": "user", "content": f"Q {name}"}],
                "tags": [],
            }
            for name in scores
        ],
        schema=dict(SHARD.dtypes),
    )
    answers, graded = [], []
    for name, values in scores.items():
        for sample, value in enumerate(values):
            text = texts[name][sample] if texts else f"A {name} {sample}"
            key = {"conversation_id": name, "sample": sample}
            answers.append(key | {"response": text, "finish_reason": "stop", "seed": 1, "recipe": "r"})
            graded.append(key | {"score": value, "failure": None if value is not None else "no_rating: x"})
    return (
        prompts,
        ANSWERS.check(pl.DataFrame(answers, schema=dict(ANSWERS.dtypes)), "answers"),
        SCORES.check(pl.DataFrame(graded, schema=dict(SCORES.dtypes)), "scores"),
    )


def test_the_best_and_the_worst_are_kept() -> None:
    scores = {
        "a": [3.0, 9.0, 1.0],
        "b": [2.0, 2.0, 2.0],
        "c": [None, 5.0, None],
        "d": [5.0, 5.0, 4.5],
        "e": [7.0, 6.0, 1.0],
        "f": [8.0, 1.0, 1.0],
    }
    texts = {name: [f"A {name} {n}" for n in range(3)] for name in scores} | {"e": ["x", "x", " x"]}
    texts["f"][0], texts["f"][2] = "\n A f 0\u3000", "A f 2\x1f"  # chat templates trim such space
    pairs, dropped = make_pairs(*tables(scores, texts), row(margin=0.5), seed=4)
    kept = {r["id"]: (r["chosen"]["content"], r["rejected"]["content"]) for r in pairs.to_dicts()}
    assert kept == {"a": ("A a 1", "A a 2"), "f": ("A f 0", "A f 2")}
    first = pairs.filter(pl.col("id") == "a").to_dicts()[0]
    assert (first["chosen_score"], first["rejected_score"], first["scored"]) == (9.0, 1.0, 3)
    assert first["messages"] == [{"role": "user", "content": "Q a"}]
    assert first["chosen"]["role"] == first["rejected"]["role"] == "assistant"
    assert dropped.rows() == [
        ("b", "tie", "all of 3 answers score 2.0"),
        ("c", "too_few_scored", "1 answers have a score"),
        ("d", "within_margin", "5.0 and 4.5"),
        ("e", "same_answer", "the best and the worst are the same text"),
    ]


values = st.lists(st.one_of(st.none(), st.integers(0, 3).map(float)), min_size=3, max_size=3)


@given(
    st.dictionaries(st.sampled_from("abcdef"), values, min_size=1),
    st.integers(2, 3),
    st.sampled_from([0.0, 1.0]),
)
def test_every_prompt_is_a_pair_or_has_a_reason(
    scores: dict[str, list[float | None]], at_least: int, margin: float
) -> None:
    pairs, dropped = make_pairs(*tables(scores), row(at_least=at_least, margin=margin), seed=4)
    assert sorted([*pairs["id"], *dropped["id"]]) == sorted(scores)
    for r in pairs.to_dicts():
        known = [v for v in scores[r["id"]] if v is not None]
        assert (r["chosen_score"], r["rejected_score"], r["scored"]) == (max(known), min(known), len(known))
        assert max(known) - min(known) > margin
        assert len(known) >= at_least


# Scorers


def test_a_rating_is_the_last_in_brackets() -> None:
    assert read_rating("Rating: [[3]] ... no: [[ 8.5 ]]") == Grade(8.5)
    assert read_rating("Rating: 8").failure == "no_rating: the judgment has no [[rating]]"
    assert read_rating("[[11]]").failure == "bad_rating: 11 is not from 1 to 10"


def test_texts_in_a_judge_prompt_are_not_templates() -> None:
    item = Item("a/0", ({"role": "user", "content": "What is {answer}?"},), "It is {question}.")
    content = judge_message(item)["content"]
    assert "[Question]\nWhat is {answer}?\n\n[The Start of" in content
    assert "Answer]\nIt is {question}.\n[The End of" in content


@pytest.fixture
def judge() -> Iterator[RubricServer]:
    with running(RubricServer()) as server:
        yield server


def panel(folder: Path, name: str = "rubric") -> Panel:
    return Panel("try", Asked(name), Judging(), folder, "p/0000", pause=0.001)


def test_a_judge_behind_an_endpoint(tmp_path: Path, judge: RubricServer) -> None:
    """The judge here is the rubric, a program: its ratings are those of the rubric itself."""
    settings = validate(Judge, {"kind": "judge", "model": "rubric", "endpoint": judge.url}, "scorer")
    prompt = ({"role": "user", "content": "Describe a forest."},)
    texts = ["No", "A forest is a place with many trees.\n\n- oak\n- birch\n\nIt is green and quiet."]
    grades = make_scorer(settings, panel(tmp_path)).grade(
        [Item(f"a/{n}", prompt, t) for n, t in enumerate(texts)]
    )
    assert [g.score for g in grades] == [float(grade("Describe a forest.", t).rating) for t in texts]
    assert grades[0].score < grades[1].score


def test_a_judge_that_is_down(tmp_path: Path, judge: RubricServer) -> None:
    settings = validate(Judge, {"kind": "judge", "model": "x", "endpoint": "http://127.0.0.1:9/v1"}, "s")
    scorer = JudgeScorer(settings, panel(tmp_path))
    items = [Item(f"a/{n}", ({"role": "user", "content": "Hi"},), "Ho") for n in range(5)]
    with pytest.raises(EngineError, match="is down"):
        scorer.grade(items)


def test_answers_that_failed_are_not_graded(tmp_path: Path) -> None:
    prompts, answers, _ = tables({"a": [1.0] * 5})
    sample = pl.col("sample")
    answers = answers.with_columns(
        response=pl.when(sample == 1).then(None).otherwise("response"),
        failure=pl.when(sample == 1).then(pl.lit("empty: no text in 0 tokens")),
        garbled=pl.when(sample == 3).then(0.25).otherwise(0.1),
        finish_reason=pl.when(sample == 4).then(pl.lit("length")).otherwise(pl.lit("stop")),
        output_tokens=205,
    )
    write_table(tmp_path / "prompts.parquet", prompts, SHARD, {})
    write_table(tmp_path / "answers.parquet", answers, ANSWERS, {})

    class Odd:
        """Grades the first, not the second."""

        def grade(self, items: Sequence[Item]) -> list[Grade]:
            assert [i.name for i in items] == ["a/0", "a/2"]
            return [Grade(0.5), Grade(None, "no_rating: x")]

        def close(self) -> None:
            pass

    out = tmp_path / "scores.parquet"
    files = (tmp_path / "prompts.parquet", tmp_path / "answers.parquet")
    scores = score_answers(Odd, row(garbled=0.1, unfinished="drop"), *files, out)
    assert scores.rows() == [
        ("a", 0, 0.5, None),
        ("a", 1, None, "no_answer: empty: no text in 0 tokens"),
        ("a", 2, None, "no_rating: x"),
        ("a", 3, None, "too_garbled: 0.25"),
        ("a", 4, None, "unfinished: cut off after 205 tokens"),
    ]

    class Short(Odd):
        def grade(self, items: Sequence[Item]) -> list[Grade]:
            return [Grade(0.5)]

    before = out.read_bytes()
    with pytest.raises(DataError, match="1 grades to 4 answers"):
        score_answers(Short, row(samples=5), *files, out)
    assert out.read_bytes() == before


# From prompts to pairs, through the commands


class Talker(ThreadingHTTPServer):
    """A model: its answer depends on the prompt and the seed, and on nothing else."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.bodies: list[dict[str, Any]] = []


class _Talk(Handler):
    server: Talker

    def do_POST(self) -> None:  # noqa: N802
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        words = body["messages"][-1]["content"].split()
        text = " ".join((words * 4)[: 1 + body["seed"] % 7])
        text = "" if "tree 3." in " ".join(words) else f"{text}."
        answer = {
            "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 3},
        }
        self.reply(200, json.dumps(answer).encode())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Path, Talker]]:
    """A folder with a study of one model behind an endpoint, and its prompts."""
    server = Talker()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    study = {
        "title": "Pairs",
        "source": "computed",
        "seed": 3,
        "prompts": {"sources": [{"kind": "demo"}], "shards": 1},
        "responses": {
            "models": ["m1"],
            "engine": "openai",
            "attempts": 2,
            "limits": {"context": 4096},
            "compute": {"endpoint": url, "chunk": 4},
            "overrides": {"m1": {"path": "m1"}},
        },
        "measures": {"asked": {"kind": "length", "of": "prompts"}},
        "preferences": {
            "p": row(prompts=10, shards=2, samples=4, filters=[{"measure": "asked", "top": 11}]).model_dump(
                mode="json"
            )
        },
    }
    (tmp_path / "config/studies").mkdir(parents=True)
    (tmp_path / "config/config.yaml").write_text("study: s\n", encoding="utf-8")
    (tmp_path / "config/models.yaml").write_text("{}\n", encoding="utf-8")
    (tmp_path / "config/studies/s.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    write_prompts(tmp_path / "results/s", chats(range(12)))
    with running(server):
        yield tmp_path, server


def test_from_prompts_to_pairs(place: tuple[Path, Talker], rewild: Any, program: Any) -> None:
    root, server = place

    def run(*words: str) -> str:
        done = rewild(root, *words)
        assert done.returncode == 0, done.stdout
        return str(done.stdout)

    shard = "results/s/prompts/shards/0000.parquet"
    run("measure", "s", "asked", shard, "--subject", "prompts", "--out", "asked.parquet")
    told = run("preference-prompts", "s", "p", "--measured", "asked.parquet")
    assert "12 read, 0 contaminated, 1 filtered, 10 drawn" in told
    for shard in ("0000", "0001"):
        run("preference-answers", "s", "p", shard)
        run("preference-scores", "s", "p", shard)
    told = run("preference-pairs", "s", "p")
    folder = root / "results/s/preferences/p"
    pairs = read_table(folder / "train.parquet", PAIRS)
    dropped = read_table(folder / "dropped.csv", DROPPED, allow_empty=True)
    assert pairs.height + dropped.height == 10
    assert f"{pairs.height} pairs of 10 prompts" in told

    # Every sample has a seed of its own, that of the released recipe for seeds; the temperature is 0.8.
    answers = pl.concat([read_table(folder / f"answers/{s}.parquet", ANSWERS) for s in ("0000", "0001")])
    assert answers.height == 40
    assert answers["seed"].n_unique() == 40
    one = answers.row(0, named=True)
    assert one["seed"] == row_seed(3, "m1", f"{one['conversation_id']}.{one['sample']:02d}", 0)
    assert {body["temperature"] for body in server.bodies} == {0.8}
    assert {len(body["messages"]) for body in server.bodies} == {1}

    # The pair is what the rubric, asked here, likes best and least.
    drawn = read_table(folder / "prompts.parquet", SHARD)
    asked = {r["conversation_id"]: r["messages"][-1]["content"] for r in drawn.to_dicts()}
    for r in pairs.to_dicts():
        given = answers.filter(pl.col("conversation_id") == r["id"])["response"].drop_nulls().to_list()
        grades = {text: grade(asked[r["id"]], text).total for text in given}
        assert r["chosen_score"] == grades[r["chosen"]["content"]] == max(grades.values())
        assert r["rejected_score"] == grades[r["rejected"]["content"]] == min(grades.values())

    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert (card["pairs"], card["prompts"], card["answers"]) == (pairs.height, 10, 40)
    assert sum(card["dropped"].values()) + card["pairs"] == 10
    failed = answers["failure"].is_not_null().sum()
    assert card["answers_without_score"] == ({"no_answer": failed} if failed else {})
    assert card["checksums"].keys() == {"train.parquet"}
    page = (folder / "card.md").read_text(encoding="utf-8")
    assert "a program by the rubric of rewild/engines/rubric/grades.py, not a language model" in page
    step = {"condition": "asked.words top 11", "missing": 0, "dropped": 1, "kept": 11}
    assert card["filters"] == [step], "of words there are as many in each, so the last id is left out"
    assert "| prompts | asked.words top 11 | 1 | 0 | 11 |" in page

    # Made again, from the chunks, it is the same to the byte and asks the model nothing.
    calls, before = len(server.bodies), (folder / "train.parquet").read_bytes()
    for shard in ("0000", "0001"):
        run("preference-answers", "s", "p", shard)
        run("preference-scores", "s", "p", shard)
    assert program(root, "preference-pairs", "s", "p").returncode == 0
    assert (folder / "train.parquet").read_bytes() == before
    assert len(server.bodies) == calls

    # A lost shard, a file of another kind: one message, and the pairs stay as they were.
    (folder / "scores/0001.parquet").unlink()
    done = rewild(root, "preference-pairs", "s", "p")
    assert done.returncode != 0
    assert "scores/0001.parquet: no such file" in done.stdout
    assert "Traceback" not in done.stdout
    (folder / "scores/0001.parquet").write_bytes((folder / "answers/0001.parquet").read_bytes())
    done = rewild(root, "preference-pairs", "s", "p")
    assert "holds preference-answers version 1, but preference-scores version 1 is needed" in done.stdout
    assert (folder / "train.parquet").read_bytes() == before
    done = rewild(root, "preference-pairs", "s", "q")
    assert "unknown preference pairs 'q' (sets: p)" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "m2"}, "preferences.p: 'm2' is not among responses.models; did you mean 'm1'?"),
        ({"samples": 1}, "samples: input should be greater than or equal to 2"),
        ({"scorer": {"kind": "rubrik"}}, "did you mean 'rubric'?"),
        ({"sampling": {"temprature": 1}}, "unknown key 'preferences.p.sampling.temprature'"),
    ],
)
def test_pairs_that_cannot_be_meant(place: tuple[Path, Talker], change: dict[str, Any], message: str) -> None:
    config = place[0] / "config"
    with pytest.raises(ConfigError) as caught:
        load_study(config, "s", {"preferences": {"p": change}})
    assert message in str(caught.value)

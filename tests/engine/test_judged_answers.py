"""Answers to judged benchmarks: real generation by one loaded model, its own answers as context."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from rewild.config import load_benchmarks, load_models, load_study
from rewild.config.study import Study
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.engines.base import Completion
from rewild.evaluation.judged.base import Question
from rewild.evaluation.judged.generate import answer, describe
from rewild.evaluation.judged.schema import ANSWERS
from rewild.evaluation.judged.task import Given, Tables, Task, make_task
from rewild.generation import prepared
from tiny import make_model

ROOT = Path(__file__).resolve().parents[2]
MODEL = "results/try/models/tiny"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a study ``try`` whose one run is a tiny model with random weights."""
    for name in ("config", "resources/demo"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    make_model(Path(MODEL))
    return tmp_path


def study(**judging: Any) -> Study:
    settings = {
        "title": "A try",
        "source": "computed",
        "demo": {"models": {"tiny": {"learns": "brief"}}},
        "runs": {"one": {"model": "tiny"}, "two": {"model": "tiny"}},
        "evaluation": {"benchmarks": ["demo-chat", "demo-pairs"]},
        "judging": {
            "baselines": {"demo-pairs": "two"},
            "limits": {"demo-chat": 18, "demo-pairs": 5},
            "answers": {
                "engine": "transformers",
                "limits": {"max_output": 12, "max_input": 480},
                "compute": {"chunk": 6, "device": "cpu"},
            },
            **judging,
        },
    }
    Path("config/studies/try.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return load_study(Path("config"), "try")


def tasks(made: Study, *benchmarks: str) -> list[Task]:
    models = load_models(Path("config"), made)
    tables = Tables(load_benchmarks(Path("config"), models), models, {})
    return [make_task(made, slug, tables) for slug in benchmarks or ("demo-chat", "demo-pairs")]


def run(made: Study, *benchmarks: str) -> Mapping[str, pl.DataFrame]:
    return answer(tasks(made, *benchmarks), "one", load_models(Path("config"), made), {}, threads=1)


class Spy:
    """Counts engines made, and sees the requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.made, self.closed, self.requests, self.temperatures = 0, 0, [], set()
        real = prepared.make_engine

        def make(name: str, **arguments: Any):
            self.made += 1
            engine = real(name, **arguments)
            ask, close = engine.generate, engine.close

            def seen(requests, sampling):
                self.requests += requests
                self.temperatures.add(sampling.temperature)
                return ask(requests, sampling)

            def closing():
                self.closed += 1
                close()

            engine.generate, engine.close = seen, closing
            return engine

        monkeypatch.setattr(prepared, "make_engine", make)


def test_all_benchmarks_are_answered_by_one_loaded_model(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch)
    found = run(study())
    assert (spy.made, spy.closed) == (1, 1)
    assert spy.temperatures == {0.0, 0.1}  # reasoning; humanities among the first 18 questions
    chat = read_table(Path("results/try/benchmarks/one/demo-chat/answers.parquet"), ANSWERS)
    assert chat.equals(found["demo-chat"])
    assert (chat.height, found["demo-pairs"].height) == (36, 5)
    order = [str(i) for i in range(1, 19) for _ in range(2)]
    assert chat["question_id"].to_list() == order
    assert chat["turn"].to_list() == [0, 1] * 18
    assert chat["failure"].null_count() == 36
    assert chat["engine"].str.starts_with("transformers ").all()
    assert set(chat["chat_template"].str.len_chars()) == {64}
    by_category = dict(chat.select("category", "temperature").iter_rows())
    assert by_category == {"reasoning": 0.0, "humanities": 0.1}
    assert chat.filter(temperature=0.0)["recipe"].n_unique() == 1
    assert chat["recipe"].n_unique() == 2


def test_a_study_says_how_a_benchmark_s_answers_are_drawn(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch)
    before = run(study())
    spy.temperatures.clear()
    drawn = {"demo-chat": {"temperature": 0.0, "repetition_penalty": 1.4}}
    answers = {
        "engine": "transformers",
        "limits": {"max_output": 12, "max_input": 480},
        "compute": {"chunk": 6, "device": "cpu"},
        "sampling": drawn,
    }
    asked = len(spy.requests)
    found = run(study(answers=answers))
    assert spy.temperatures == {0.0}
    assert len(spy.requests) - asked == 36, "the other benchmark's answers are what they were"
    assert found["demo-pairs"].equals(before["demo-pairs"])
    assert set(found["demo-chat"]["temperature"]) == {0.0}
    assert found["demo-chat"]["recipe"].n_unique() == 1
    assert not set(found["demo-chat"]["recipe"]) & set(before["demo-chat"]["recipe"])
    assert found["demo-chat"]["answer"].to_list() != before["demo-chat"]["answer"].to_list()


def test_answers_and_chunks_go_where_they_are_told(place: Path) -> None:
    to = Given(out=Path("given/out"), work=Path("given/work"))
    made = study()
    chat = replace(tasks(made, "demo-chat")[0], given=to)
    found = answer([chat], "one", load_models(Path("config"), made), {}, threads=1)
    assert read_table(Path("given/out/answers.parquet"), ANSWERS).equals(found["demo-chat"])
    assert list(Path("given/work").rglob("*.parquet"))
    assert not Path("results/try/benchmarks").exists()
    assert not Path("results/try/work").exists()


def test_the_second_turn_sees_the_models_own_first_answer(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch)
    chat = run(study(), "demo-chat")["demo-chat"]
    sent = {request.name: request.messages for request in spy.requests}
    for question in ("1", "17"):
        first, second = chat.filter(question_id=question).to_dicts()
        assert [m["role"] for m in sent[f"{question}/1"]] == ["user", "assistant", "user"]
        assert sent[f"{question}/1"][0]["content"] == first["prompt"]
        assert sent[f"{question}/1"][1]["content"] == first["answer"]
        assert sent[f"{question}/1"][2]["content"] == second["prompt"]


def test_a_rerun_loads_nothing_and_gives_the_same_bytes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(study())
    path = Path("results/try/benchmarks/one/demo-chat/answers.parquet")
    before = path.read_bytes()
    path.unlink()
    spy = Spy(monkeypatch)
    run(study())
    assert spy.made == 0
    assert path.read_bytes() == before
    # Another limit on one benchmark generates only what is new there.
    run(study(limits={"demo-chat": 18, "demo-pairs": 7}))
    assert [r.name for r in spy.requests] == ["pair-06/0", "pair-07/0"]


def test_a_context_is_read_and_not_answered(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions may begin with somebody else's conversation (WildBench)."""
    spy = Spy(monkeypatch)
    (task,) = tasks(study(), "demo-pairs")
    context = (
        {"role": "user", "content": "rivers"},
        {"role": "assistant", "content": "water and light"},
    )
    questions = {"q": Question("q", "c", ("cities", "music"), context=context)}
    task.__dict__["questions"] = questions
    rows = answer([task], "one", load_models(Path("config"), task.study), {}, threads=1)["demo-pairs"]
    assert rows.select("turn", "prompt").rows() == [(0, "cities"), (1, "music")]
    sent = {request.name: request.messages for request in spy.requests}
    assert [m["content"] for m in sent["q/1"]] == ["rivers", "water and light", "cities"]
    first = rows["answer"][0]
    assert [m["content"] for m in sent["q/2"]] == ["rivers", "water and light", "cities", first, "music"]


def test_a_silent_model_is_recorded_as_silent_in_both_turns(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = lambda self, requests, sampling: [Completion("", (), None, 1, "stop") for _ in requests]  # noqa: E731
    from rewild.engines.transformers_engine import TransformersEngine

    monkeypatch.setattr(TransformersEngine, "generate", silent)
    rows = run(study(), "demo-chat")["demo-chat"]
    assert rows["answer"].null_count() == rows.height == 36
    assert rows["failure"].str.starts_with("empty: ").all()
    assert describe(rows).startswith("WARNING: 36 answers asked, 36 missing, 36 of them empty")


def test_a_bad_file_is_found_before_a_model_is_loaded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    Path("resources/demo/judged/pair_questions.jsonl").write_text(json.dumps({"uid": "x"}) + "\n")
    with pytest.raises(DataError, match=r"pair_questions\.jsonl, row 1: the field 'cluster' is missing"):
        run(study())
    assert spy.made == 0
    assert not Path("results/try/benchmarks").exists()

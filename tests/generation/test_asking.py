"""Asking, whoever wants to know: killed midway, over budget, answered with junk. Grades stand for all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from rewild.config.base import validate
from rewild.config.judging import Asked, Judging
from rewild.config.preferences import Judge
from rewild.core.errors import ConfigError
from rewild.engines import Completion, Engine, EngineError, Request, Sampling
from rewild.engines.base import About
from rewild.generation.asking.ask import Asking, ask, verdict_in
from rewild.generation.asking.base import JudgeRequest, Reader, Reply, Verdict
from rewild.generation.asking.budget import BudgetError, Ledger
from rewild.generation.asking.store import Replies, request_hash
from rewild.training.preferences import scorers
from rewild.training.preferences.scorers import Grade, Item, JudgeScorer, Panel

PRICE = {"input": 1.0, "output": 1.0, "date": "2026-01-01", "source": "a test"}


class Fake(Engine):
    """Says ``[[7]]``, or what is told for a call; calls are counted from 1."""

    def __init__(self, faults: dict[int, BaseException] | None = None, says: str = "[[7]]") -> None:
        self.faults, self.says, self.asked = faults or {}, says, list[Request]()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        done = []
        for request in requests:
            self.asked.append(request)
            if fault := self.faults.get(len(self.asked)):
                raise fault
            done.append(Completion(self.says, (), 10, 5, "stop", model="fake"))
        return done

    def about(self) -> About:
        return About("fake")


def items(count: int) -> list[Item]:
    return [Item(f"c{n}/0", ({"role": "user", "content": "Hi"},), f"Ho {n}", seed=n) for n in range(count)]


@pytest.fixture
def scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a scorer of preferences that asks a fake, four grades a chunk."""
    monkeypatch.setattr(scorers, "CHUNK", 4)

    def make(engine: Engine, **judging: object) -> JudgeScorer:
        monkeypatch.setattr(scorers, "make_engine", lambda name, **_: engine)
        given = {"kind": "judge", "model": "fake", "endpoint": "http://127.0.0.1:9/v1", "attempts": 3}
        panel = Panel("try", Asked("fake"), validate(Judging, judging, "judging"), tmp_path, "p/0000")
        return JudgeScorer(validate(Judge, given, "scorer"), panel)

    return make


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), MemoryError(), EngineError("down")])
def test_killed_in_the_middle_only_unfinished_grades_are_asked_again(scorer, fault: BaseException) -> None:
    dies = Fake({11: fault})
    with pytest.raises(EngineError if isinstance(fault, Exception) else type(fault)) as caught:
        scorer(dies).grade(items(18))
    assert len(dies.asked) == 11
    in_flight = r"fake: .* 4 requests (were )?in flight.*run again"
    assert not isinstance(fault, Exception) or re.match(in_flight, str(caught.value))
    second = Fake()
    assert scorer(second).grade(items(18)) == [Grade(7.0)] * 18
    assert [r.name for r in second.asked] == [f"c{n}/0/grade" for n in range(8, 18)], "two chunks were kept"
    third = Fake()
    assert scorer(third).grade(items(18)) == [Grade(7.0)] * 18
    assert third.asked == []


def test_junk_is_asked_again_with_another_seed_and_then_recorded(scorer) -> None:
    junk = Fake(says="I would say seven.")
    found = scorer(junk).grade(items(2))
    assert found == [Grade(None, "no_rating: the judgment has no [[rating]]")] * 2
    assert [(r.name, r.seed) for r in junk.asked] == [
        ("c0/0/grade", 0), ("c1/0/grade", 1),
        ("c0/0/grade", 1), ("c1/0/grade", 2),
        ("c0/0/grade", 2), ("c1/0/grade", 3),
    ]  # fmt: skip
    silent = Fake()
    assert scorer(silent).grade(items(2)) == found
    assert silent.asked == [], "a failure that is recorded is not asked about again"


def spent(folder: Path) -> dict[str, float]:
    return json.loads((folder / "judging/grades/p/0000/spent.json").read_text())


def test_the_budget_is_the_studys_and_is_honoured(scorer, tmp_path: Path) -> None:
    """Grades cost a million dollars a token here; what the judges of benchmarks spent counts too."""
    dear = {"fake": PRICE | {"input": 1e6, "output": 1e6}}
    cheap = Fake()
    assert len(scorer(cheap, budget=1e9, prices=dear).grade(items(4))) == 4
    assert spent(tmp_path) == {"spent": 4 * 15.0, "reserved": 0.0}
    other = tmp_path / "judging/run/benchmark/spent.json"
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps({"spent": 1e9 - 100, "reserved": 0.0}))
    stopped = Fake()
    with pytest.raises(BudgetError, match=r"budget of \$1,000,000,000\.00 .* 4 grades are kept"):
        scorer(stopped, budget=1e9, prices=dear).grade(items(12))
    assert stopped.asked == []
    with pytest.raises(ConfigError, match="study try: there is a budget, but no price of the judge 'fake'"):
        scorer(stopped, budget=5.0).grade(items(12))
    assert len(scorer(stopped, budget=5.0).grade(items(4))) == 4, "nothing is asked, so nothing is paid"


def test_what_a_killed_job_had_reserved_counts_as_spent(scorer, tmp_path: Path) -> None:
    prices = {"fake": PRICE}
    with pytest.raises(KeyboardInterrupt):
        scorer(Fake({2: KeyboardInterrupt()}), budget=1.0, prices=prices).grade(items(4))
    reserved = spent(tmp_path)["reserved"]
    assert reserved > 0
    scorer(Fake(), budget=1.0, prices=prices).grade(items(4))
    assert spent(tmp_path) == {"spent": pytest.approx(reserved + 4 * 15 / 1e6), "reserved": 0.0}


class Language(Reader):
    """Reads a label: nothing that judges."""

    def parse(self, reply: Reply, request: JudgeRequest) -> Verdict | None:
        known = {"en": 0.0, "de": 1.0}
        return Verdict(reply.text, known[reply.text]) if reply.text in known else None

    def again(self, request: JudgeRequest, reply: Reply) -> JudgeRequest:
        more = ({"role": "assistant", "content": reply.text}, {"role": "user", "content": "en or de?"})
        return JudgeRequest(request.question, 0, "label", (*request.messages, *more), "language")


def test_a_labeller_asks_the_same_way(tmp_path: Path) -> None:
    """No study, no benchmark, no preferences: a reader, requests, an engine."""

    class Shy(Fake):
        def generate(self, requests, sampling):
            self.asked += requests
            return [Completion("de" if len(r.messages) > 1 else "dunno", (), 9, 1, "stop") for r in requests]

    engine = Shy()

    @contextmanager
    def opened() -> Iterator[Engine]:
        yield engine

    def seed(request: JudgeRequest, attempt: int) -> int:
        return attempt

    request = JudgeRequest("c1", 0, "label", ({"role": "user", "content": "Guten Tag"},), "language")
    ledger = Ledger(tmp_path / "spent", tmp_path / "spent/labels", None, None)
    asking = Asking("labeller", "labels", Language(), ledger, 3, 10, seed)
    key = request_hash("labeller", request, 3, 1)
    rows = ask(asking, {key: request}, Replies(tmp_path / "work"), opened)
    assert verdict_in(asking.reader, rows[key], request) == (Verdict("de", 1.0), None)
    assert (rows[key]["earlier"], rows[key]["attempts"], rows[key]["input_tokens"]) == (["dunno"], 2, 18)
    assert [len(r.messages) for r in engine.asked] == [1, 3]

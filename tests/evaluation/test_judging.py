"""Judging: from answers to scores through a real endpoint; stopped, broken, over budget, two at once."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from judging_workspace import ROOT, Workspace, clueless, knowing
from local_server import running
from rewild.__main__ import app
from rewild.config import load_benchmarks
from rewild.config.base import validate
from rewild.config.judging import Judging, Price, files_of
from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.core.fetch import read_manifest
from rewild.core.table import read_table
from rewild.engines import EngineError
from rewild.engines.rubric import server as rubric_server
from rewild.evaluation.judged.ask import judge
from rewild.evaluation.judged.estimate import estimate, table
from rewild.evaluation.judged.schema import JUDGMENTS
from rewild.evaluation.judged.score import describe, score
from rewild.evaluation.scores.collect import headline
from rewild.evaluation.scores.tidy import ITEMS, SCORES
from rewild.generation.asking.base import JudgeRequest
from rewild.generation.asking.budget import BudgetError, Ledger, ceiling, estimated_input, most_input
from rubric_faults import RubricServer, parse_fault

SECRET = "sk-a-key-that-must-not-be-seen"


@pytest.fixture
def server() -> Iterator[RubricServer]:
    with running(RubricServer()) as made:
        yield made


@pytest.fixture
def work(tmp_path: Path, server: RubricServer) -> Workspace:
    """Two runs with answers to both benchmarks; the judge is the server."""
    made = Workspace(tmp_path, {"endpoint": server.url, "chunk": 16})
    for benchmark in ("demo-chat", "demo-pairs"):
        task = made.task(benchmark)
        made.answer(task, "one", knowing)
        made.answer(task, "two", clueless)
    return made


def judgments(work: Workspace, run: str = "one", benchmark: str = "demo-chat") -> pl.DataFrame:
    return read_table(work.task(benchmark).folder(run) / "judgments.parquet", JUDGMENTS)


def total(scores: pl.DataFrame, metric: str) -> dict:
    return scores.filter(pl.col("metric") == metric, pl.col("part") == "all").to_dicts()[0]


def test_from_answers_to_scores(work: Workspace, server: RubricServer) -> None:
    spent = judge(work.task(), "one")
    found = judgments(work)
    assert (spent.judgments, spent.calls, spent.failures, server.calls) == (62, 62, {}, 62)
    assert set(found["judge"]) == set(found["judge_said"]) == {"rubric"}
    assert found["reply"].str.contains("By rubric").all()
    assert found["input_tokens"].sum() == spent.input_tokens
    assert not found["estimated"].any()
    scores = score(work.task(), "one")
    row = total(scores, "average")
    assert row["value"] == pytest.approx(found["value"].mean())
    assert (row["n"], row["attempted"], row["empty"], row["judge"]) == (62, 62, 0, "rubric")
    assert row["template"].count("@") == 4
    assert row["version"].startswith("mt-bench 2, questions ")
    folder = work.task().folder("one")
    assert read_table(folder / "scores.csv", SCORES).equals(scores)
    assert read_table(folder / "items.parquet", ITEMS).height == 62
    judge(work.task(), "two")
    assert total(score(work.task(), "two"), "average")["value"] < row["value"] - 3


def test_pairs_are_judged_in_both_orders_against_the_named_run(work: Workspace) -> None:
    task = work.task("demo-pairs")
    assert judge(task, "one").calls == 52
    found = judgments(work, benchmark="demo-pairs")
    assert set(found["part"]) == {"game-1", "game-2"}
    assert set(found["verdict"]) <= {"A>>B", "A>B", "A=B", "B>A", "B>>A"}
    row = total(score(task, "one"), "score")
    assert row["value"] > 90
    assert row["version"].endswith("against two")
    judge(work.task("demo-pairs"), "two")  # against itself
    assert total(score(work.task("demo-pairs"), "two"), "score")["value"] == 50


def test_a_biased_judge_is_balanced_by_both_orders(work: Workspace, server: RubricServer) -> None:
    server.faults = (parse_fault("biased"),)
    judge(work.task("demo-pairs"), "one")
    row = total(score(work.task("demo-pairs"), "one"), "score")
    assert row["value"] == 50


def test_scoring_asks_nobody_and_judging_again_asks_only_what_changed(
    work: Workspace, server: RubricServer
) -> None:
    task = work.task()
    judge(task, "one")
    score(task, "one")
    first = (task.folder("one") / "judgments.parquet").read_bytes()
    asked = server.calls
    score(task, "one")
    judge(task, "one")
    assert server.calls == asked
    assert (task.folder("one") / "judgments.parquet").read_bytes() == first
    work.answer(task, "one", lambda q, t: "Another answer." if q.id == "31" and t == 1 else knowing(q, t))
    judge(task, "one")
    assert server.calls == asked + 1
    shutil.rmtree(task.work("one", "judging"))
    judge(task, "one")
    assert server.calls == asked + 63


def test_a_judge_that_is_down_for_a_while_is_waited_for(work: Workspace, server: RubricServer) -> None:
    server.faults = (parse_fault("500@5-20"), parse_fault("429@30-34"), parse_fault("hangup@40"))
    spent = judge(work.task(), "one", pause=0.01)
    assert (spent.judgments, spent.failures, spent.calls) == (62, {}, 62)
    assert server.calls > 62 + 16


def test_a_judge_that_stays_down_stops_the_job_and_the_next_goes_on(
    work: Workspace, server: RubricServer
) -> None:
    server.faults = (parse_fault("500@33-"),)
    with pytest.raises(EngineError, match="is down"):
        judge(work.task(), "one", pause=0.001)
    assert not (work.task().folder("one") / "judgments.parquet").exists()
    # Another server at which it is up again: the first may yet hear calls that were cancelled.
    with running(RubricServer()) as restarted:
        work.write_study({"endpoint": restarted.url, "chunk": 16})
        spent = judge(work.task(), "one")
        assert restarted.calls == 62 - 32  # two chunks of 16 were kept
    assert spent.judgments == 62


def test_a_key_that_expires_midway(
    work: Workspace, server: RubricServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server.faults = (parse_fault("401@20-"),)
    with caplog.at_level(logging.DEBUG), pytest.raises(EngineError, match="refuses the key") as error:
        judge(work.task(), "one")
    # Another server that takes the key: the first may yet hear calls that were cancelled.
    with running(RubricServer()) as renewed, caplog.at_level(logging.DEBUG):
        work.write_study({"endpoint": renewed.url, "chunk": 16})
        judge(work.task(), "one")
        assert 62 - 19 <= renewed.calls <= 62 - 4, (
            "what was answered is kept, but for calls that were cancelled"
        )
    assert SECRET not in str(error.value) + caplog.text
    for path in work.results.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


@pytest.mark.heavy
@pytest.mark.parametrize(("fault", "reason"), [("language", "unclear"), ("refusing", "unclear")])
def test_what_cannot_be_read_is_asked_again_and_then_a_recorded_failure(
    work: Workspace, server: RubricServer, fault: str, reason: str
) -> None:
    server.faults = (parse_fault(fault),)
    spent = judge(work.task(), "one")
    assert (spent.judgments, spent.failures, spent.calls) == (0, {reason: 62}, 3 * 62)
    found = judgments(work)
    assert found["failure"].str.starts_with(reason).all()
    assert found["reply"].is_not_null().all()
    assert found["earlier"].list.len().to_list() == [2] * 62
    scores = score(work.task(), "one")
    row = total(scores, "average")
    assert (row["value"], row["n"], row["attempted"]) == (None, 0, 62)
    assert describe(work.task(), scores).startswith("WARNING: average none, 0 of 62 judged")
    # Nothing is asked again by itself; if told so, everything is.
    server.faults, before = (), server.calls
    judge(work.task(), "one")
    assert server.calls == before
    assert judge(work.task(), "one", again=True).judgments == 62
    assert server.calls == before + 62


def test_a_verdict_at_the_second_try_counts_and_both_replies_are_kept(
    work: Workspace, server: RubricServer
) -> None:
    server.faults = (parse_fault("refusing@1-16"),)
    spent = judge(work.task(), "one")
    assert (spent.judgments, spent.calls, spent.failures) == (62, 62 + 16, {})
    found = judgments(work)
    assert found["attempts"].to_list().count(2) == 16
    assert found.filter(pl.col("attempts") == 2)["earlier"].list.first().str.starts_with("I'm sorry").all()


@pytest.mark.heavy
def test_some_judgments_fail_and_the_score_says_of_how_many(work: Workspace, server: RubricServer) -> None:
    # One call at a time, and 16 under way: the first 16, three times each.
    work.write_study({"endpoint": server.url, "chunk": 16, "concurrency": 1})
    server.faults = (parse_fault("language@1-48"),)
    judge(work.task(), "one")
    scores = score(work.task(), "one")
    row = total(scores, "average")
    assert (row["n"], row["attempted"]) == (46, 62)
    assert describe(work.task(), scores).startswith("WARNING")
    failures = read_table(work.task().folder("one") / "items.parquet", ITEMS)["failure"]
    assert failures.drop_nulls().str.starts_with("judgment: unclear").all()


def test_a_model_that_writes_nothing_does_not_look_fine(work: Workspace, server: RubricServer) -> None:
    for benchmark, lowest in (("demo-chat", 1.0), ("demo-pairs", 0.0)):
        task = work.task(benchmark)
        work.answer(task, "one", lambda question, turn: None)
        judge(task, "one")
        scores = score(task, "one")
        row = total(scores, task.row.metric)
        asked = len(task.questions) * (2 if benchmark == "demo-chat" else 1)
        assert (row["value"], row["n"], row["empty"]) == (lowest, asked, asked)
        assert "empty answers have the lowest score" in describe(task, scores)
        assert describe(task, scores).startswith("WARNING")
    assert server.calls == 0


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("benchmark", "turns"), [("demo-chat", (0, 1)), ("demo-chat", (1,)), ("demo-pairs", (0,))]
)
def test_a_silent_model_stands_in_one_table_with_the_others(
    work: Workspace, server: RubricServer, benchmark: str, turns: tuple[int, ...]
) -> None:
    """It heard no judge, or not with every judge prompt, and its scores are comparable all the same."""
    work.write_study({"endpoint": server.url, "judge": "gpt-4o-mini", "baselines": {"demo-pairs": "one"}})
    work.answer(work.task(benchmark), "two", lambda q, turn: None if turn in turns else knowing(q, turn))
    found = []
    for run in ("one", "two"):
        judge(work.task(benchmark), run)
        found.append(score(work.task(benchmark), run))
    scores = pl.concat(found)
    head = headline(scores, load_benchmarks(work.folder / "config"))
    assert {run: head.values(run)[benchmark] is None for run in ("one", "two")} == {
        "one": False,
        "two": False,
    }
    asked = scores.filter(pl.col("run") == "one").with_columns(judge=pl.lit("gpt-4o-mini (another)"))
    again = pl.concat([asked.with_columns(run=pl.lit("three")), *found])
    with pytest.raises(DataError, match="different judges on"):
        headline(again, load_benchmarks(work.folder / "config"))


def test_what_would_be_asked_of_two_runs_that_have_not_answered(work: Workspace) -> None:
    """Equal answers need no judge; those taken at their longest must not be equal."""
    task = work.task("demo-pairs")
    assert len(task.longest_requests) == 52
    first, second = (request.messages[-1]["content"] for request in task.longest_requests[:2])
    assert "xxxx" in first
    assert "yyyy" in first
    assert first != second


def test_two_at_once_do_not_write_over_each_other(
    work: Workspace, server: RubricServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()
    number = server.next_call

    def held() -> tuple[int, str | None]:
        """The first run's calls wait until they are let go."""
        asked.set()
        answer.wait(120)
        return number()

    monkeypatch.setattr(server, "next_call", held)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(judge, work.task(), "one")
        try:
            assert asked.wait(120)
            with pytest.raises(RewildError, match="another process is at work"):
                judge(work.task(), "one")
            monkeypatch.setattr(server, "next_call", number)
            judge(work.task(), "two")  # another run is another matter
            assert not first.done()
        finally:
            answer.set()
        assert first.result(120).judgments == 62
    assert judgments(work).height == judgments(work, "two").height == 62


def test_a_budget_stops_before_it_is_exceeded(work: Workspace, server: RubricServer) -> None:
    price = {"input": 1000.0, "output": 1000.0, "date": "2026-01-01", "source": "a test"}
    settings = {"endpoint": server.url, "chunk": 8, "prices": {"rubric": price}, "budget": 28.0}
    work.write_study(settings)
    with pytest.raises(BudgetError, match=r"the budget of \$28.00 could be exceeded.*kept") as error:
        judge(work.task(), "one")
    ledger = work.results / "try/work/judging"
    books = [json.loads(path.read_text()) for path in ledger.rglob("spent.json")]
    assert 0 < sum(book["spent"] for book in books) <= 28
    assert all(book["reserved"] == 0 for book in books)
    assert 0 < server.calls < 62
    assert f"{server.calls} judgments of one on demo-chat are kept" in str(error.value)
    # The other run shares the budget: what it may still do, it does, and no more.
    with pytest.raises(BudgetError):
        judge(work.task(), "two")
    assert sum(json.loads(p.read_text())["spent"] for p in ledger.rglob("spent.json")) <= 28
    before = server.calls
    work.write_study({**settings, "budget": 1e6})
    spent = judge(work.task(), "one")
    assert spent.judgments == 62
    assert spent.price == pytest.approx((spent.input_tokens + spent.output_tokens) / 1000)
    assert server.calls - before < 62


@pytest.mark.parametrize("uncounted", ["malformed", "no usage"])
def test_a_budget_holds_where_the_endpoint_does_not_count(
    work: Workspace, server: RubricServer, uncounted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies that cannot be read, or come without their tokens, are charged at their most."""
    if uncounted == "malformed":
        server.faults = (parse_fault("malformed"),)
    else:
        whole = rubric_server.completion

        def silent(*arguments: Any) -> dict[str, Any]:
            return {k: v for k, v in whole(*arguments).items() if k != "usage"}

        monkeypatch.setattr(rubric_server, "completion", silent)
    price = {"input": 0.0, "output": 1000.0, "date": "2026-01-01", "source": "a test"}
    each = 2048 * 1000 / 1e6  # dollars of the longest reply
    work.write_study({"endpoint": server.url, "chunk": 4, "prices": {"rubric": price}, "budget": 10.5 * each})
    with pytest.raises(BudgetError):
        judge(work.task(), "one")
    # Four at first; what is asked again is paid for one by one, and four more could cost more than is left.
    calls = 10 if uncounted == "malformed" else 8
    assert server.calls == calls
    (book,) = (work.results / "try/work/judging").rglob("spent.json")
    assert json.loads(book.read_text()) == {"spent": pytest.approx(calls * each), "reserved": 0.0}
    work.write_study({"endpoint": server.url, "chunk": 62, "prices": {"rubric": price}})
    server.faults = (parse_fault("malformed@11-14"),) if uncounted == "malformed" else ()
    judge(work.task(), "one")
    assert judgments(work)["estimated"].sum() == (
        2 + 4 if uncounted == "malformed" else 62
    )  # what is reported is an estimate, and says so


def test_what_a_killed_job_had_reserved_counts_as_spent(tmp_path: Path) -> None:
    price = validate(Price, {"input": 1.0, "output": 1.0, "date": "2026-01-01", "source": "x"}, "p")
    request = JudgeRequest(
        "q", 0, "judgment", ({"role": "user", "content": "x" * 984},), "t", max_tokens=1000
    )
    most = ceiling(price, [request])
    assert most == pytest.approx((984 + 16 + 1000) / 1e6)
    killed = Ledger(tmp_path, tmp_path / "one/a", 2.5 * most, price)
    killed.reserve([request], "")
    killed.start()  # the next one begins
    assert json.loads((tmp_path / "one/a/spent.json").read_text()) == {"spent": most, "reserved": 0.0}
    other = Ledger(tmp_path, tmp_path / "two/a", 2.5 * most, price)
    other.reserve([request], "")
    with pytest.raises(BudgetError):
        killed.reserve([request], "")
    other.settle(most, 0.1 * most)
    killed.reserve([request], "")


def test_a_budget_needs_a_price(work: Workspace, server: RubricServer) -> None:
    work.write_study({"endpoint": server.url, "judge": "another", "budget": 1.0})
    with pytest.raises(ConfigError, match="no price of the judge 'another'"):
        judge(work.task(), "one")
    assert server.calls == 0
    work.write_study({"endpoint": server.url, "judge": "another"})
    assert judge(work.task(), "one").price is None  # not known is not free


def test_known_prices_have_a_date_and_a_source_and_a_study_adds_its_own(work: Workspace) -> None:
    own = {"input": 1.0, "output": 2.0, "date": "2026-01-01", "source": "a bill"}
    work.write_study({"prices": {"another": own}})
    judging = work.study.judging
    mini = judging.price_of("gpt-4o-mini")
    assert (mini.input, mini.output, mini.date) == (0.15, 0.6, "2024-07-18")
    assert mini.source.startswith("https://openai.com/")
    assert judging.price_of("another").output == 2.0
    assert judging.price_of("rubric").input == 0.0
    assert judging.price_of("a third") is None


def test_the_most_that_a_call_can_cost_is_no_estimate() -> None:
    request = JudgeRequest("q", 0, "judgment", ({"role": "user", "content": "好" * 100},), "t")
    assert most_input(request) >= 300 > estimated_input(request)


def test_what_it_would_cost_is_said_before_anything_is_asked(work: Workspace, server: RubricServer) -> None:
    price = {"input": 10.0, "output": 20.0, "date": "2026-01-01", "source": "a test"}
    work.write_study({"endpoint": server.url, "prices": {"rubric": price}, "chunk": 16})
    task = work.task()
    found = estimate(task, "one")
    assert (found.calls, found.done, server.calls) == (62, 0, 0)
    assert found.output_tokens == 62 * 300
    assert found.price == pytest.approx((10 * found.input_tokens + 20 * 62 * 300) / 1e6)
    assert found.most > found.price
    shown = table([found], [task])
    assert "$10 per million tokens read, $20 written (2026-01-01, a test)" in shown
    assert f"{found.input_tokens:,}" in shown
    judge(work.task(), "one")
    after = estimate(work.task(), "one")
    assert (after.calls, after.done, after.price) == (0, 62, 0)
    (task.folder("one") / "answers.parquet").unlink()
    unanswered = estimate(work.task(), "one")
    assert (unanswered.answered, unanswered.calls) == (False, 62)
    assert unanswered.input_tokens > found.input_tokens


@pytest.mark.heavy
def test_the_command_starts_and_stops_the_rubric_by_itself(
    work: Workspace, server: RubricServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.write_study({})
    monkeypatch.chdir(work.folder)
    manifest = Path(__file__).resolve().parents[2] / "resources/released/files.csv"
    (work.folder / "resources/released").mkdir()
    shutil.copy(manifest, work.folder / "resources/released")
    run = CliRunner().invoke
    done = run(app, ["judge", "try", "one", "demo-chat"], catch_exceptions=False)
    assert "62 judgments by rubric, 0 failed; 62 calls" in done.output
    assert server.calls == 0
    done = run(app, ["score", "try", "one", "demo-chat"], catch_exceptions=False)
    assert "62 of 62 judged by rubric" in done.output
    done = run(app, ["judge", "try", "--dry"], catch_exceptions=False)
    assert done.output.count("demo-chat") == 2
    spent = json.loads((work.results / "try/benchmarks/one/demo-chat/judging.json").read_text())
    assert (spent["judge"], spent["price"]) == ("rubric", 0)
    assert "127.0.0.1" not in "".join(
        p.read_bytes().decode("latin-1") for p in work.results.rglob("*.*") if p.is_file()
    )


def test_judge_and_score_read_and_write_the_paths_they_are_given(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = work.task("demo-pairs")
    judge(task, "one")
    usual = score(task, "one")
    given = work.folder / "given"
    given.mkdir()
    for who in ("one", "two"):
        shutil.move(task.place(who) / "answers.parquet", given / f"{who}.parquet")
    shutil.rmtree(work.results / "try")
    monkeypatch.chdir(work.folder)
    shutil.copytree(ROOT / "resources/released", "resources/released")
    there = ["try", "one", "demo-pairs", "--answers", "given/one.parquet", "--baseline", "given/two.parquet"]
    run = CliRunner().invoke
    run(app, ["judge", *there, "--out", "given/judged", "--work", "given/work/x/y"], catch_exceptions=False)
    scored = [*there, "--judgments", "given/judged/judgments.parquet", "--out", "given/scored"]
    run(app, ["score", *scored], catch_exceptions=False)
    assert read_table(given / "scored/scores.csv", SCORES).equals(usual)
    assert {p.name for p in (given / "judged").iterdir()} >= {"judgments.parquet", "judging.json"}
    assert list((given / "work/x/y").glob("*.parquet"))
    assert not (work.results / "try").exists(), "nothing by the usual layout"


def test_openai_wants_a_key(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    work.write_study({"judge": "gpt-4o-mini"})
    with pytest.raises(ConfigError, match="set the environment variable OPENAI_API_KEY"):
        judge(work.task(), "one")


def test_another_judge_is_another_judgment_and_named(work: Workspace, server: RubricServer) -> None:
    judge(work.task(), "one")
    work.write_study({"endpoint": server.url, "judge": "gpt-4o-mini"})
    judge(work.task(), "one")
    assert server.calls == 124
    row = total(score(work.task(), "one"), "average")
    assert row["judge"] == "gpt-4o-mini (rubric)"  # asked for one, answered by the other: both are said


def test_files_that_do_not_fit_are_named(work: Workspace) -> None:
    task = work.task()
    path = task.folder("one") / "answers.parquet"
    frame = pl.read_parquet(path)
    frame.drop("failure").write_parquet(path)
    with pytest.raises(DataError, match=r"answers\.parquet: column 'failure' is missing"):
        judge(task, "one")
    frame.head(30).write_parquet(path)
    with pytest.raises(DataError, match=r"no row for turn 0 of question 16 of demo-chat"):
        judge(work.task(), "one")
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        judge(work.task(), "one")
    assert not list(task.folder("one").glob("judg*"))


def test_a_question_file_with_a_missing_column_is_named(work: Workspace, tmp_path: Path) -> None:
    bad = tmp_path / "questions.jsonl"
    bad.write_text('{"question_id": 1, "turns": ["a"]}\n')
    with pytest.raises(DataError, match=r"questions\.jsonl, row 1: the field 'category' is missing"):
        judge(work.task(questions=bad), "one")


def test_a_spoilt_chunk_is_asked_for_again(work: Workspace, server: RubricServer) -> None:
    judge(work.task(), "one")
    chunk = sorted(work.task().work("one", "judging").glob("*.parquet"))[0]
    chunk.write_bytes(chunk.read_bytes()[:100])
    before = server.calls
    assert judge(work.task(), "one").judgments == 62
    assert 0 < server.calls - before <= 16


@pytest.mark.heavy
def test_what_it_would_cost_touches_nothing_of_a_job_at_work(work: Workspace) -> None:
    judge(work.task(), "one")
    folder = work.task().work("one", "judging")
    half, spoilt = folder / ".half.tmp.parquet", sorted(folder.glob("[!.]*.parquet"))[0]
    lost = pl.read_parquet(spoilt).height
    half.write_bytes(b"PAR1")
    spoilt.write_bytes(b"PAR1")
    found = estimate(work.task(), "one")
    assert (found.calls, found.done) == (lost, 62 - lost)
    assert (half.exists(), spoilt.exists()) == (True, True)
    judge(work.task(), "one")  # who holds the lock clears up
    assert (half.exists(), spoilt.with_suffix(".unreadable").exists()) == (False, True)


def test_a_failure_that_was_mended_stays_mended(work: Workspace, server: RubricServer) -> None:
    """Its first chunk is still there, with other judgments; in whatever order the two are read."""
    work.write_study({"endpoint": server.url, "chunk": 16, "attempts": 1})
    server.faults = (parse_fault("language@1-5"),)
    assert judge(work.task(), "one").failures == {"unclear": 5}
    folder = work.task().work("one", "judging")
    for chunk in folder.glob("[!.]*.parquet"):
        chunk.rename(folder / f"z{chunk.name}")
    assert judge(work.task(), "one", again=True).judgments == 62
    assert server.calls == 62 + 5
    assert judge(work.task(), "one").judgments == 62
    assert server.calls == 62 + 5


def test_settings_that_name_what_is_not_there() -> None:
    from rewild.config.judging import check_judging, judged_rows

    root = Path(__file__).resolve().parents[2]
    benchmarks = load_benchmarks(root / "config")
    rows = judged_rows(["demo-chat", "demo-pairs", "bbh"], benchmarks)
    assert [row.slug for row in rows] == ["demo-chat", "demo-pairs"]
    for given, message in (
        ({"baselines": {"demo-pair": "one"}}, "baselines: 'demo-pair' is not among.*demo-pairs"),
        ({"baselines": {"demo-pairs": "onne"}}, "the run 'onne' is not evaluated; did you mean 'one'"),
        ({"baselines": {"demo-chat": "one"}}, "'demo-chat' compares nothing"),
        ({"limits": {"bbh": 3}}, "limits: 'bbh' is not among"),
        (
            {"answers": {"sampling": {"demo-chta": {}}}},
            "answers.sampling: 'demo-chta' is not among.*demo-chat",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            check_judging(validate(Judging, given, "x"), rows, ["one", "two"], "study try")
    released = read_manifest(root / "resources/released/files.csv")
    found = files_of(benchmarks["arena-hard"], released)
    assert set(found) == {"questions", "baseline", "prompts"}
    assert all(path.startswith("results/downloads/lmarena/arena-hard-auto/") for path in found.values())
    own = benchmarks["demo-chat"].model_copy(update={"files": {"question": "x"}})
    with pytest.raises(ConfigError, match="unknown role 'question'; did you mean 'questions'"):
        files_of(own, released)

"""The pilot: what it samples, what its gates catch, what it says."""

from __future__ import annotations

import json

import polars as pl
import pytest

from rewild.config.responses import Gates
from rewild.generation.pilot import as_markdown, read_report, why_failed
from rewild.generation.prepared import open_model
from rewild.generation.schema import RESPONSES
from rewild.prompts.schema import read_shard
from rewild.responses.pilot import judge, sample
from tiny import make_model
from workspace import Workspace, make_prompts

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")


def conversation(i: int, language: str, turns: int, length: int) -> dict:
    return {
        "conversation_id": f"{i:016x}",
        "language": language,
        "n_turns": turns,
        "messages": [{"role": "user", "content": "x" * length}] * turns,
    }


def test_the_sample_covers_every_kind_before_it_repeats_one():
    """950 alike and 9 rare kinds of conversation: a sample of 12 has all ten."""
    pool = [conversation(i, "English", 1, 10) for i in range(950)]
    pool += [
        conversation(1000 + i, language, turns, 10)
        for i, (language, turns) in enumerate(
            (language, turns) for language in ("Chinese", "Arabic", "Russian") for turns in (1, 2, 5)
        )
    ]
    chosen = sample(pool, 12, seed=1)
    kinds = {(c["language"], c["n_turns"]) for c in chosen}
    assert len(kinds) == 10
    assert len(chosen) == 12
    assert chosen == sample(list(reversed(pool)), 12, seed=1), "the order of the pool does not matter"
    assert chosen != sample(pool, 12, seed=2)
    assert sample(pool, 5000, seed=1) == sorted(pool, key=lambda c: c["conversation_id"])


def test_the_sample_covers_lengths():
    pool = [
        conversation(i, "English", 1, length) for i, length in enumerate([5] * 50 + [50] * 50 + [500] * 50)
    ]
    chosen = sample(pool, 9, seed=0)
    assert sorted(len(c["messages"][0]["content"]) for c in chosen) == [5] * 3 + [50] * 3 + [500] * 3


def row(i: int, **over: object) -> dict:
    plain = {
        "conversation_id": f"{i:016x}",
        "turn": 0,
        "model": "tiny",
        "history": "reference",
        "language": "English",
        "prompt": "Please explain to me how the water flows through the rivers of a large country.",
        "response": "Water runs downhill, and each small stream joins a larger one until it meets the sea.",
        "failure": None,
        "finish_reason": "stop",
        "truncation": "none",
        "attempts": 1,
        "input_tokens": 20,
        "output_tokens": 20,
        "response_language": "en",
        "repetition": 0.0,
        "garbled": 0.0,
        "seed": 1,
        "engine": "transformers",
        "recipe": "r",
    }
    return plain | over


@pytest.fixture
def model(workspace):
    return open_model(workspace.job)


def judged(model, bad: list[dict], good: int = 10, gates: Gates | None = None):
    rows = [row(i) for i in range(good)] + [row(100 + i, **b) for i, b in enumerate(bad)]
    return judge(model, pl.DataFrame(rows, schema=RESPONSES.dtypes), gates or Gates())


def test_good_answers_pass(model):
    report = judged(model, [])
    assert report.passed
    assert report.template_problems == []
    assert [g.count for g in report.gates] == [0] * 7


BAD = [
    ("empty", {"response": None, "failure": "empty: no text in 1 tokens"}),
    ("failed", {"response": None, "failure": "engine: RuntimeError: boom"}),
    ("unfinished", {"finish_reason": "length"}),
    ("truncated", {"truncation": "left"}),
    ("repetitive", {"repetition": 0.9}),
    ("garbled", {"garbled": 0.5}),
    ("wrong_language", {"response": "Вода течёт вниз.", "response_language": "ru"}),
]


@pytest.mark.parametrize(("gate", "fault"), BAD)
def test_each_gate_catches_its_fault_with_an_example(model, gate, fault):
    report = judged(model, [fault] * 30)
    failed = {g.name: g for g in report.gates if not g.passed}
    assert gate in failed
    assert set(failed) <= {gate, "failed"}
    assert failed[gate].count == 30
    assert failed[gate].examples[0].conversation_id == f"{100:016x}"
    assert not report.passed
    said = why_failed(report)
    assert f"{gate}: 30 of 40 (75%" in said
    assert f"{100:016x}/0" in said
    assert "no shard of it will start" in said
    assert f"## Examples: {gate}" in as_markdown(report)


@pytest.mark.parametrize(("gate", "fault"), BAD)
def test_gates_are_thresholds(model, gate, fault):
    """Exactly at the limit passes; one row more does not."""
    limits = Gates(**{g: 1.0 for g, _ in BAD} | {gate: 0.2})
    at, over = judged(model, [fault] * 2, 8, limits), judged(model, [fault] * 3, 8, limits)
    assert at.passed
    assert not over.passed


def test_answers_that_never_end_are_a_template_problem(model):
    rows = pl.DataFrame([row(i, finish_reason="length") for i in range(20)], schema=RESPONSES.dtypes)
    report = judge(model, rows, Gates(unfinished=1.0))
    assert not report.passed
    assert "no answer ended with an end token" in report.template_problems[0]


def test_an_extreme_temperature_is_a_warning(tmp_path, model_folder):
    for temperature, warned in ((0.1, True), (0.7, False), (1.0, False), (1.5, True)):
        job = Workspace(tmp_path / str(temperature), model_folder, sampling={"temperature": temperature}).job
        report = judge(open_model(job), pl.DataFrame([row(1)], schema=RESPONSES.dtypes), Gates())
        assert bool(report.warnings) == warned
        assert report.passed


def test_the_profile_is_counted(model):
    rows = [
        row(0, response="# Title\n\n- one\n- two", output_tokens=10),
        row(1, response="Plain words.", output_tokens=2),
        row(2, response="I'm sorry, I can't help with that.", output_tokens=8),
    ]
    profile = judge(model, pl.DataFrame(rows, schema=RESPONSES.dtypes), Gates()).profile
    lengths = [len(r["response"]) for r in rows]
    assert profile["characters_mean"] == pytest.approx(sum(lengths) / 3, abs=0.05)
    assert profile["characters_per_token"] == pytest.approx(sum(lengths) / 20, abs=0.001)
    assert profile["longest_answer_characters"] == round(sum(lengths) / 20 * 24)
    assert profile["share_with"] == {
        "headings": 0.3333,
        "bold": 0.0,
        "lists": 0.3333,
        "code": 0.0,
        "refusals": 0.3333,
    }


def test_untrusted_text_cannot_leave_its_block(model):
    evil = "```\n# pwned\n<script>alert(1)</script>"
    text = as_markdown(judged(model, [{"prompt": evil, "finish_reason": "length"}] * 30))
    assert "````text\n" + evil + "\n````" in text


def test_from_command_to_report(workspace):
    """The commands: a pilot that fails leaves its report and stops `check-pilot` with the reasons."""
    workspace.run("pilot", "tiny", "tiny", "--shard", "0000", "--threads", "1")
    folder = workspace.layout.pilot("tiny")
    report = read_report(folder / "report.json")
    assert report.passed, why_failed(report)
    assert report.conversations == 8
    assert pl.read_parquet(folder / "responses.parquet").height == report.rows
    assert report.settings["sampling"] == {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
    passed = folder / "passed"
    workspace.run("check-pilot", str(folder / "report.json"), "--out", str(passed))
    assert passed.read_text().strip() == report.recipe
    passed.unlink()

    strict = Workspace(workspace.folder, workspace.job.source.path, pilot={"gates": {"unfinished": 0.0}})
    strict.run("pilot", "tiny", "tiny", "--shard", "0000", "--threads", "1")
    stopped = strict.run("check-pilot", str(folder / "report.json"), "--out", str(passed), check=False)
    assert stopped.returncode == 1
    assert "the pilot of tiny failed; no shard of it will start" in stopped.stderr
    assert "unfinished:" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not passed.exists()
    assert "FAILED" in (folder / "report.md").read_text()


def test_a_faulty_template_fails_the_pilot(tmp_path):
    from test_chat import NO_HEADER

    workspace = Workspace(tmp_path, make_model(tmp_path / "model", template=NO_HEADER))
    make_prompts(workspace.layout.prompts("0000"), count=10)
    workspace.run("pilot", "tiny", "tiny", "--shard", "0000", "--threads", "1")
    report = json.loads((workspace.layout.pilot("tiny") / "report.json").read_text())
    assert not report["passed"]
    assert "does not end in the assistant's header" in report["template_problems"][0]


def test_no_conversations_is_an_error(workspace):
    from rewild.core.table import provenance, write_table
    from rewild.prompts.schema import SHARD

    empty = workspace.layout.prompts("0000")
    write_table(empty, read_shard(empty).clear(), SHARD, provenance())
    done = workspace.run("pilot", "tiny", "tiny", "--shard", "0000", check=False)
    assert "no conversation to try the models on" in done.stderr

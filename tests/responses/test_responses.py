"""Responses without torch: an endpoint that answers, collection, status, show."""

from __future__ import annotations

import json
import random
import subprocess
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from endpoint import serving
from endpoint_study import Place, prompts
from rewild.config.base import validate
from rewild.config.study import Study
from rewild.core.errors import DataError
from rewild.core.files import write_json
from rewild.core.table import provenance, read_table, write_table
from rewild.generation.pilot import PilotReport
from rewild.generation.schema import RESPONSES, read_manifest, scan
from rewild.prompts.schema import SHARD
from rewild.responses.collect import collect
from rewild.responses.show import harmless, print_conversation
from rewild.responses.status import duration, progress
from synthesis_data import write_measured

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def endpoint():
    with serving() as server:
        yield server


@pytest.mark.heavy
def test_an_endpoint_that_answers_nonsense_loses_nothing(tmp_path, endpoint):
    """Good, refused, malformed and blank answers in one shard: a row each, failures with reasons."""
    place = Place(tmp_path, endpoint.url)
    talks = [
        ["hello"],
        ["status 400"],
        ["raw <html>"],
        ["one", "two"],
        ['raw {"choices": [{"message": {"content": " "}, "finish_reason": "stop"}]}'],
        ["busy 2"],
        ["fine"],
    ]
    prompts(place.layout.prompts("0000"), talks)
    done = place.run("respond", "talk", "m1", "0000", OPENAI_API_KEY="sk-very-secret")
    assert "8 rows, 3 failures" in done.stdout
    assert "sk-very-secret" not in done.stderr + done.stdout
    assert endpoint.headers[0]["Authorization"] == "Bearer sk-very-secret"
    rows = read_table(place.layout.responses("m1") / "0000.parquet", RESPONSES)
    by_prompt = {r["prompt"].split("{")[0]: r for r in rows.to_dicts()}
    assert by_prompt["hello"]["response"] == "echo: hello"
    assert by_prompt["two"]["response"] == "echo: two"
    assert by_prompt["status 400"]["failure"].startswith("endpoint: HTTP 400")
    assert by_prompt["raw <html>"]["failure"].startswith("endpoint: malformed answer")
    assert by_prompt["raw "]["failure"].startswith("empty: no text")
    assert by_prompt["busy 2"]["response"] == "echo: busy 2"
    assert [by_prompt[p]["attempts"] for p in ("hello", "status 400", "raw ")] == [1, 2, 2]
    sent = [s for s in endpoint.seen if s["messages"][-1]["content"] == "two"]
    assert [m["content"] for m in sent[0]["messages"]] == ["one", "reference one", "two"]
    # Nothing is asked twice when it runs again.
    asked = len(endpoint.seen)
    (place.layout.responses("m1") / "0000.parquet").unlink()
    place.run("respond", "talk", "m1", "0000")
    assert len(endpoint.seen) == asked
    assert "sk-very-secret" not in "".join(
        p.read_text(errors="replace") for p in tmp_path.rglob("*") if p.is_file()
    )


@pytest.mark.heavy
def test_a_full_disk_keeps_what_is_finished_and_the_next_run_goes_on(tmp_path, endpoint):
    """A real small disk: one message with the path; the bytes of a run that met no full disk."""
    draw = random.Random(3)
    talks = [["".join(draw.choices("abcdefghijklmnop", k=6_000))] for _ in range(12)]
    whole, small = Place(tmp_path / "whole", endpoint.url), Place(tmp_path / "small", endpoint.url)
    (tmp_path / "small/results").mkdir()
    disk = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(tmp_path / "small/results")]
    if subprocess.run(disk, capture_output=True, check=False).returncode:
        pytest.skip("needs root, to mount a small disk")
    try:
        for place in (whole, small):
            prompts(place.layout.prompts("0000"), talks)
        whole.run("respond", "talk", "m1", "0000")
        before = len(endpoint.seen)
        failed = small.run("respond", "talk", "m1", "0000", check=False)
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr
        message = failed.stderr[failed.stderr.index("error: ") :]
        assert str(small.layout.work("m1", "0000").relative_to(small.folder)) in message
        assert "no space left" in message.lower()
        kept = {p: p.read_bytes() for p in small.layout.work("m1", "0000").rglob("[!.]*.parquet")}
        assert 0 < len(kept) < 4
        assert not list(small.layout.work("m1", "0000").rglob(".*.parquet"))
        asked = len(endpoint.seen)
        assert asked > before
        subprocess.run(["mount", "-o", "remount,size=8m", disk[-1]], check=True)
        small.run("respond", "talk", "m1", "0000")
        assert len(endpoint.seen) - asked == 12 - 3 * len(kept)
        assert all(path.read_bytes() == content for path, content in kept.items() if path.exists())
        done = [place.layout.responses("m1") / "0000.parquet" for place in (whole, small)]
        assert done[0].read_bytes() == done[1].read_bytes()
    finally:
        subprocess.run(["umount", disk[-1]], check=True)


@pytest.mark.heavy
def test_conversations_that_change_and_change_back(tmp_path, endpoint):
    """Each version is answered once; a chunk with the version of before stays good."""
    place = Place(tmp_path, endpoint.url)
    path, out = place.layout.prompts("0000"), place.layout.responses("m1") / "0000.parquet"
    old = prompts(path, [["a", "b"], ["c"], ["d"], ["e"]])
    other = pl.element().struct.with_fields(pl.field("content").str.replace("reference a", "another"))
    new = old.with_columns(pl.col("messages").list.eval(other))
    assert new.filter(pl.col("messages") != old["messages"]).height == 1
    answers = []
    for frame, asked in ((old, 5), (new, 7), (old, 7)):
        write_table(path, frame, SHARD, provenance())
        place.run("respond", "talk", "m1", "0000")
        assert len(endpoint.seen) == asked
        answers.append(read_table(out, RESPONSES))
    assert answers[2].equals(answers[0])
    sent = [s["messages"][1]["content"] for s in endpoint.seen if s["messages"][-1]["content"] == "b"]
    assert sent == ["reference a", "another"]


@pytest.mark.heavy
def test_own_history_needs_the_earlier_answer(tmp_path, endpoint):
    place = Place(tmp_path, endpoint.url, history="self")
    prompts(place.layout.prompts("0000"), [["status 400", "after"], ["good", "better", "best"]])
    place.run("respond", "talk", "m1", "0000")
    rows = {
        r["prompt"]: r
        for r in read_table(place.layout.responses("m1") / "0000.parquet", RESPONSES).to_dicts()
    }
    assert rows["after"]["failure"] == "earlier_turn: turn 0 has no answer to go on from"
    assert rows["after"]["attempts"] == 0
    last = next(s for s in endpoint.seen if s["messages"][-1]["content"] == "best")
    assert [m["content"] for m in last["messages"]] == [
        "good",
        "echo: good",
        "better",
        "echo: better",
        "best",
    ]


def test_an_endpoint_that_is_down_is_one_message(tmp_path):
    place = Place(tmp_path)
    prompts(place.layout.prompts("0000"), [["a"], ["b"], ["c"]])
    from rewild.engines import openai_engine

    old, openai_engine.TRIES = openai_engine.TRIES, 1
    try:
        from rewild.generation.prepared import open_model
        from rewild.responses.shard import run_shard
        from rewild.responses.spec import make_spec

        with pytest.raises(DataError.__base__, match="is down: 3 requests in a row failed"):
            run_shard(
                open_model(make_spec(place.study, "m1", {})),
                place.layout.prompts("0000"),
                place.layout.work("m1", "0000"),
                tmp_path / "x.parquet",
                tmp_path / "x.json",
            )
    finally:
        openai_engine.TRIES = old
    assert not (tmp_path / "x.parquet").exists()


def report(recipe: str = "r") -> PilotReport:
    return PilotReport(
        study="talk",
        model="m1",
        recipe=recipe,
        passed=True,
        conversations=1,
        rows=1,
        template_problems=[],
        warnings=[],
        gates=[],
        profile={},
        settings={"seed": 3},
    )


def answer(frame: pl.DataFrame, **over: object) -> pl.DataFrame:
    """A well-formed row for every user turn of a shard of prompts."""
    rows = []
    for c in frame.to_dicts():
        users = [m["content"] for m in c["messages"] if m["role"] == "user"]
        for turn, user in enumerate(users):
            rows.append(
                {
                    "conversation_id": c["conversation_id"],
                    "turn": turn,
                    "model": "m1",
                    "history": "reference",
                    "language": "English",
                    "prompt": user,
                    "response": f"answer {user}",
                    "failure": None,
                    "finish_reason": "stop",
                    "truncation": "none",
                    "attempts": 1,
                    "input_tokens": 10,
                    "output_tokens": 4,
                    "response_language": None,
                    "repetition": 0.0,
                    "garbled": 0.0,
                    "seed": 1,
                    "engine": "openai",
                    "recipe": "r",
                    **over,
                }
            )
    return pl.DataFrame(rows, schema=RESPONSES.dtypes)


@pytest.fixture
def collected(tmp_path):
    """Two shards of prompts and their responses, one of them a failure."""
    place = Place(tmp_path)
    frames = [
        prompts(place.layout.prompts(s), talks)
        for s, talks in (("0000", [["a"], ["b", "c"]]), ("0001", [["d", "e", "f"]]))
    ]
    folder = place.layout.responses("m1")
    rows = [answer(f) for f in frames]
    rows[1] = rows[1].with_columns(
        pl.when(pl.col("turn") == 2).then(None).otherwise(pl.col("response")).alias("response"),
        pl.when(pl.col("turn") == 2).then(pl.lit("empty: no text in 1 tokens")).alias("failure"),
    )
    for shard, frame in zip(("0000", "0001"), rows, strict=True):
        write_table(folder / f"{shard}.parquet", frame, RESPONSES, provenance())
    return place, folder, frames, rows


def run_collect(place, folder, recipe="r"):
    from rewild.responses.spec import make_spec

    files = [place.layout.prompts(s) for s in ("0001", "0000")]
    return collect(make_spec(place.study, "m1", {}), report(recipe), files, folder, folder / "manifest.json")


def test_the_manifest_counts_everything(collected):
    place, folder, _, _ = collected
    made = run_collect(place, folder)
    assert made == read_manifest(folder / "manifest.json")
    assert (made.conversations, made.rows, made.failures) == (3, 6, 1)
    assert made.failures_by_reason == {"empty": 1}
    assert (made.input_tokens, made.output_tokens) == (60, 24)
    assert [(s.shard, s.conversations, s.rows, s.failures) for s in made.shards] == [
        ("0000", 2, 3, 0),
        ("0001", 1, 3, 1),
    ]
    import hashlib

    assert made.shards[0].sha256 == hashlib.sha256((folder / "0000.parquet").read_bytes()).hexdigest()
    assert scan(folder / "manifest.json").collect().height == 5
    assert scan(folder / "manifest.json", failures=True).collect().height == 6


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: f[1:], r"0001.parquet: conversation \w+ has 2 rows for 3 user turns"),
        (
            lambda f: pl.concat([f, f[-1:].with_columns(turn=pl.lit(3, pl.Int16))]),
            "has 4 rows for 3 user turns",
        ),
        (lambda f: f.with_columns(turn=pl.col("turn") + 1), "has 3 rows for 3 user turns"),
        (
            lambda f: pl.concat([f, f[-1:].with_columns(conversation_id=pl.lit("stranger"))]),
            "stranger has 1 rows for 0 user",
        ),
        (
            lambda f: f.with_columns(response=pl.lit("x")),
            "row 3: the row holds an answer and a failure at once",
        ),
        (
            lambda f: f.with_columns(failure=pl.lit(None, pl.String)),
            "row 3: the row holds an answer and a failure at once, or",
        ),
        (
            lambda f: f.with_columns(
                response=pl.when(pl.col("turn") == 0).then(pl.lit(" \n")).otherwise("response")
            ),
            "row 1: the row holds a blank answer",
        ),
        (lambda f: f.with_columns(model=pl.lit("m2")), "row 1: the row is of another model than m1"),
        (lambda f: f.with_columns(recipe=pl.lit("old")), "row 1: the row was made by another recipe than r"),
    ],
)
def test_collection_refuses_what_does_not_add_up(collected, break_it, message):
    place, folder, _, rows = collected
    write_table(folder / "0001.parquet", break_it(rows[1]), RESPONSES, provenance())
    with pytest.raises(DataError, match=message):
        run_collect(place, folder)
    assert not (folder / "manifest.json").exists()


def test_collection_needs_every_shard(collected):
    place, folder, _, _ = collected
    (folder / "0001.parquet").unlink()
    with pytest.raises(DataError, match=r"0001.parquet: no such file"):
        run_collect(place, folder)
    (folder / "0001.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"0001.parquet: cannot be read"):
        run_collect(place, folder)


def test_status_tells_of_prompts_that_models_write(tmp_path):
    given = {"kind": "synthesis", "name": "air", "model": "tiny", "count": 800, "shards": 2, "turns": 2}
    given["answers"] = {"model": "wise"}
    about = {"name": "s", "title": "S", "source": "computed", "prompts": {"sources": [given]}}
    study = validate(Study, about, "s")
    for step, shard in ((0, "0000"), (0, "0001"), (1, "0000")):
        samples = tmp_path / f"s/synthesis/air/{step}/{shard}.parquet"
        write_measured(samples, step=step, rows=400)
        samples.touch()
    write_json(tmp_path / "s/synthesis/air/pilot/report.json", {"passed": True})
    (found,) = progress(study, tmp_path)
    assert (found.model, found.pilot, found.collected) == ("air (tiny)", "passed", False)
    assert (found.shards, found.done, found.rows) == (6, 3, 2400)
    assert (found.answered, found.failed, found.tokens) == (3 * 360, 3 * 40, 300)
    assert found.seconds_left == pytest.approx(1200 * 4500 / 1200)


@pytest.mark.heavy
def test_status_counts_shards_chunks_and_failures(tmp_path, endpoint):
    place = Place(tmp_path, endpoint.url)
    for shard, talks in (("0000", [["a"], ["b"], ["c"], ["status 400"]]), ("0001", [["d"], ["e", "f"]])):
        prompts(place.layout.prompts(shard), talks)
    place.run("respond", "talk", "m1", "0000")
    place.run("respond", "talk", "m2", "0000")
    (place.layout.responses("m2") / "0000.parquet").unlink()  # as if it were under way: chunks only
    (place.layout.pilot("m2")).mkdir(parents=True)
    (place.layout.pilot("m2") / "report.json").write_text('{"passed": false}')
    one, two = progress(place.study, tmp_path / "results")
    assert (one.shards, one.done, one.running, one.rows) == (2, 1, 0, 7)
    assert (one.answered, one.failed, one.pilot) == (3, 1, "-")
    assert one.tokens == 3 * 8
    assert one.tokens_per_second == pytest.approx(one.tokens / one.seconds)
    assert one.seconds_left == pytest.approx(3 * one.seconds / 4)
    assert (two.done, two.answered, two.failed, two.pilot) == (0, 3, 1, "failed")
    lines = place.run("status", "talk").stdout.splitlines()
    row = next(line.split() for line in lines if line.strip().startswith("m1"))
    assert row[1:7] == ["-", "1/2", "0", "7", "57%", "1"]
    assert [dict(p.reasons) for p in (one, two)] == [{"endpoint": 1}] * 2
    assert lines[-2:] == ["m1: failed: 1 endpoint", "m2: failed: 1 endpoint"]


def test_durations_read_well():
    shown = [duration(s) for s in (None, 0.4, 59, 60, 3599, 3600, 90_000, 200_000)]
    assert shown == ["-", "0 s", "59 s", "1 min", "60 min", "1.0 h", "25.0 h", "2.3 d"]


@pytest.mark.heavy
def test_show_prints_every_turn_and_answer(tmp_path, endpoint):
    place = Place(tmp_path, endpoint.url)
    frame = prompts(place.layout.prompts("0000"), [["a question", "status 400"]])
    place.run("respond", "talk", "m1", "0000")
    out = place.run("show", "talk", frame["conversation_id"][0][:6]).stdout
    for text in (
        "a question",
        "reference a question",
        "echo: a question",
        "failed: endpoint: HTTP 400",
        "not generated yet",
        "user, turn 0",
        "user, turn 1",
        "5 → 3 tokens, stop",
    ):
        assert text in out, text
    missing = place.run("show", "talk", "zzz", check=False)
    assert "no conversation whose id begins with 'zzz'" in missing.stderr
    wrong = place.run("show", "talk", "--model", "m3", check=False)
    assert "unknown model 'm3'; did you mean 'm" in wrong.stderr


def test_untrusted_text_cannot_steer_the_terminal(collected):
    place, folder, frames, _ = collected
    evil = (
        "\x1b[2J\x1b]0;owned\x07 [bold red]markup[/] \u202egnitirw\u2066 \x9b31m\r hidden \x00 tab\tnew\nline"
    )
    assert harmless(evil).plain == (
        "\ufffd[2J\ufffd]0;owned\ufffd [bold red]markup[/] \ufffdgnitirw\ufffd \ufffd31m\ufffd hidden \ufffd "
        "tab\tnew\nline"
    )
    write_table(
        folder / "0000.parquet", answer(frames[0], response=evil, failure=None), RESPONSES, provenance()
    )
    stream = StringIO()
    print_conversation(
        place.study,
        place.folder / "results",
        frames[0]["conversation_id"][0],
        ["m1"],
        Console(file=stream, width=100, force_terminal=False),
    )
    shown = stream.getvalue()
    assert "[bold red]markup[/]" in shown
    for character in "\x1b\x07\u202e\u2066\x9b\r\x00":
        assert character not in shown


@pytest.mark.heavy
def test_an_engine_without_an_endpoint_says_so(tmp_path):
    place = Place(tmp_path, compute={})
    prompts(place.layout.prompts("0000"), [["a"]])
    done = place.run("respond", "talk", "m1", "0000", check=False)
    assert done.returncode == 1
    assert "the engine 'openai' needs responses.compute.endpoint" in done.stderr
    assert json.loads((place.folder / "config/models.yaml").read_text()) == {}

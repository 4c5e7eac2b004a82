"""One shard from prompts to file: what is in it, and what survives faults."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from rewild.core.errors import ConfigError, RewildError
from rewild.core.locks import is_locked
from rewild.core.table import read_table
from rewild.engines import Completion, Engine, EngineError, Sampling, make_engine
from rewild.generation.prepared import Loaded, open_model
from rewild.generation.respond import answers_in
from rewild.generation.rows import check
from rewild.generation.schema import RESPONSES, Measurement
from rewild.generation.spec import row_seed
from rewild.prompts.schema import read_shard
from tiny import make_model
from workspace import Workspace, make_prompts

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")


def read(workspace) -> pl.DataFrame:
    return read_table(workspace.out, RESPONSES)


def test_a_row_for_every_user_turn(workspace, chat):
    measured = workspace.respond()
    rows, prompts = read(workspace), read_shard(workspace.layout.prompts("0000"))
    assert rows.height == prompts["n_turns"].sum()
    assert (
        rows.group_by("conversation_id").len().sort("conversation_id")["len"].to_list()
        == prompts["n_turns"].to_list()
    )
    assert rows["response"].null_count() == rows["failure"].is_not_null().sum()
    assert rows["history"].unique().to_list() == ["reference"]
    first = prompts.to_dicts()[0]
    users = [m["content"] for m in first["messages"] if m["role"] == "user"]
    assert rows.filter(conversation_id=first["conversation_id"])["prompt"].to_list() == users
    # The counts are the tokenizer's.
    row = rows.row(0, named=True)
    assert row["input_tokens"] == len(chat.render([first["messages"][:1]])[0])
    assert row["seed"] == row_seed(7, "tiny", row["conversation_id"], 0, row["attempts"])
    # The measurement adds up to the file.
    assert measured == Measurement.model_validate_json(workspace.out.with_suffix(".json").read_text())
    assert (measured.rows, measured.conversations) == (rows.height, 24)
    assert measured.input_tokens == rows["input_tokens"].sum()
    assert measured.output_tokens == rows["output_tokens"].sum()
    assert measured.failures == rows["failure"].is_not_null().sum()
    assert measured.tokens_per_second == pytest.approx(
        (measured.input_tokens + measured.output_tokens) / measured.generate_seconds
    )
    assert 0 < measured.prefill_seconds + measured.decode_seconds <= measured.generate_seconds
    assert measured.versions["torch"]
    assert measured.hardware["cores"] >= 1


def test_a_result_depends_on_its_conversation_alone(workspace, tmp_path, model_folder):
    """Another chunk size, another batch size, another shard: the same answers, under the same recipe."""
    workspace.respond()
    here = read(workspace)
    other = Workspace(tmp_path / "other", model_folder, compute={"chunk": 7, "batch": 3})
    whole = read_shard(workspace.layout.prompts("0000"))
    (other.layout.prompts("0000")).parent.mkdir(parents=True)
    from rewild.core.table import provenance, write_table
    from rewild.prompts.schema import SHARD

    write_table(other.layout.prompts("0000"), whole[5:17], SHARD, provenance())
    other.respond()
    there = read(other)
    assert there.height > 12
    assert there.equals(
        here.join(there.select("conversation_id", "turn"), on=["conversation_id", "turn"], how="semi")
    )


def test_own_history_is_what_the_model_said(tmp_path, model_folder, chat):
    own = Workspace(tmp_path, model_folder, history="self", sampling={"temperature": 0.0})
    make_prompts(own.layout.prompts("0000"), count=6)
    own.respond()
    rows = read(own)
    assert rows["history"].unique().to_list() == ["self"]
    engine = make_engine("transformers", path=model_folder, chat=chat, device="cpu")
    checked = 0
    for conversation in read_shard(own.layout.prompts("0000")).to_dicts():
        answers = rows.filter(conversation_id=conversation["conversation_id"]).sort("turn").to_dicts()
        for turn, row in enumerate(answers):
            if turn == 0 or row["truncation"] != "none" or row["failure"]:
                continue
            context = []
            for earlier in answers[:turn]:
                context += [
                    {"role": "user", "content": earlier["prompt"]},
                    {"role": "assistant", "content": earlier["response"]},
                ]
            context.append({"role": "user", "content": row["prompt"]})
            tokens = chat.render([context])[0]
            from rewild.engines import Request

            alone = engine.generate([Request("x", (), tokens, 24, 0)], Sampling(0))[0]
            assert alone.text == row["response"]
            checked += 1
    assert checked >= 3


def finished_chunks(workspace) -> list[Path]:
    """The chunks on disk; one being written has a name that begins with a dot, which glob sees too."""
    chunks = workspace.layout.work("tiny", "0000").glob("*/*.parquet")
    return [path for path in chunks if not path.name.startswith(".")]


def killed(workspace, after_chunks: int, delay: float) -> int:
    """Run the command in a process of its own and SIGKILL it; how many chunks were finished then."""
    process = subprocess.Popen(
        workspace.command("respond", "tiny", "tiny", "0000", "--threads", "1"),
        cwd=workspace.folder,
        env=workspace.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while len(finished_chunks(workspace)) < after_chunks and process.poll() is None:
        assert time.monotonic() < deadline, "no chunk in five minutes"
        time.sleep(0.002)
    time.sleep(delay)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    work = workspace.layout.work("tiny", "0000")
    while any(is_locked(place) for place in work.iterdir()):  # what it started takes a moment to be gone
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return len(finished_chunks(workspace))


def test_killed_and_resumed_equals_uninterrupted(tmp_path, model_folder):
    """SIGKILL at three random moments: the final file is, byte for byte, that of a run nobody stopped."""
    limits = {"context": 200, "max_output": 48, "max_input": 150}
    whole = Workspace(tmp_path / "whole", model_folder, limits=limits)
    broken = Workspace(tmp_path / "broken", model_folder, limits=limits)
    for one in (whole, broken):
        make_prompts(one.layout.prompts("0000"), count=60)
    whole.respond()  # in this process, whose hashes of strings are others
    draw = random.Random()
    counts = [0]
    for _ in range(3):
        if broken.out.exists() or counts[-1] == 15:
            break
        now = killed(broken, counts[-1] + 1, draw.uniform(0, 0.15))
        assert now > counts[-1], "a finished chunk is never lost"
        counts.append(now)
    # On a busy machine a later one may come when all is done; the first has the time of fourteen chunks.
    assert counts[1] < 15, "the kills came too late to test anything"
    kept = {path.name: path.read_bytes() for path in finished_chunks(broken)}
    broken.run("respond", "tiny", "tiny", "0000", "--threads", "1")
    for path in finished_chunks(broken):
        assert kept.get(path.name, path.read_bytes()) == path.read_bytes(), (
            "finished chunks are not made again"
        )
    assert broken.out.read_bytes() == whole.out.read_bytes()
    assert not list(broken.layout.work("tiny", "0000").glob("*/.*.parquet")), "temporary files are swept"
    assert (
        Measurement.model_validate_json(broken.out.with_suffix(".json").read_text()).rows
        == read(broken).height
    )


def test_a_grown_shard_generates_only_what_is_new(workspace, model_folder, monkeypatch):
    workspace.respond()
    before = read(workspace)
    make_prompts(workspace.layout.prompts("0000"), count=30)  # the same first 24, and six more
    made = []
    model = open_model(workspace.job)
    engine = model.loaded.open()
    plain = engine.generate
    monkeypatch.setattr(engine, "generate", lambda requests, s: made.extend(requests) or plain(requests, s))  # type: ignore[func-returns-value]
    workspace.respond(model)
    after = read(workspace)
    fresh = set(after["conversation_id"]) - set(before["conversation_id"])
    assert len(fresh) == 6
    assert {r.name.split("/")[0] for r in made} == fresh
    assert after.join(before.select("conversation_id"), on="conversation_id", how="semi").equals(before)


def test_another_setting_is_another_identity(workspace, tmp_path, model_folder):
    """What identifies a result changes the digest; how it is computed does not."""
    digest = open_model(workspace.job).digest
    same = Workspace(tmp_path / "a", model_folder, compute={"chunk": 1, "batch": 99, "timeout": 1.0})
    assert open_model(same.job).digest == digest
    for number, change in enumerate(
        [
            {"sampling": {"temperature": 0.9}},
            {"history": "self"},
            {"limits": {"max_output": 23}},
            {"system": "Be kind."},
            {"over_long": "skip"},
        ]
    ):
        other = Workspace(tmp_path / f"b{number}", model_folder, **change)
        assert open_model(other.job).digest != digest, change
    changed = make_model(tmp_path / "model2", seed=1)
    assert open_model(Workspace(tmp_path / "c", changed).job).digest != digest


class Moody:
    """A real engine that throws when it meets certain requests."""

    stream = Engine.stream

    def __init__(self, engine, fails):
        self.engine, self.fails, self.calls = engine, fails, 0

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def generate(self, requests, sampling):
        self.calls += 1
        if any(self.fails(r) for r in requests):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return self.engine.generate(requests, sampling)

    def close(self):
        pass


def with_engine(workspace, engine):
    return replace(open_model(workspace.job), loaded=Loaded(lambda: engine))


def test_one_request_that_breaks_the_engine_costs_one_row(workspace, engine):
    poison = read_shard(workspace.layout.prompts("0000"))["conversation_id"][9] + "/0"
    workspace.respond(with_engine(workspace, Moody(engine, lambda r: r.name == poison)))
    rows = read(workspace)
    bad = rows.filter(pl.col("failure").str.starts_with("engine"))
    assert [f"{r['conversation_id']}/{r['turn']}" for r in bad.to_dicts()] == [poison]
    assert bad["failure"][0].startswith("engine: RuntimeError: CUDA error")
    assert bad["response"].null_count() == 1
    assert bad["attempts"][0] == 3


def test_several_requests_that_break_the_engine_cost_a_row_each(workspace, engine):
    """Alone in their second and third attempts, they look like an engine that is dead."""
    poison = {f"{name}/0" for name in read_shard(workspace.layout.prompts("0000"))["conversation_id"][4:8]}
    workspace.respond(with_engine(workspace, Moody(engine, lambda r: r.name in poison)))
    rows = read(workspace)
    bad = rows.filter(pl.col("failure").is_not_null())
    assert {f"{r['conversation_id']}/{r['turn']}" for r in bad.to_dicts()} == poison
    assert bad["attempts"].unique().to_list() == [3]


class Mortal(Moody):
    """A real engine that dies of certain requests: after one it answers none."""

    dead = False

    def generate(self, requests, sampling):
        self.dead |= any(self.fails(r) for r in requests)
        if self.dead:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return self.engine.generate(requests, sampling)


def test_an_engine_that_answers_nothing_at_all_is_dead(workspace, engine):
    with pytest.raises(EngineError, match="the engine died; none of its last 3 requests was answered"):
        workspace.respond(with_engine(workspace, Mortal(engine, lambda r: True)))
    assert not workspace.out.exists()


def test_an_engine_that_dies_stops_the_shard_and_keeps_what_is_done(workspace, engine):
    prompts = read_shard(workspace.layout.prompts("0000"))["conversation_id"]
    dead_from = set(prompts[12:])
    model = with_engine(workspace, Mortal(engine, lambda r: r.name.split("/")[0] in dead_from))
    compute = model.spec.compute.model_copy(update={"window": 8})
    with pytest.raises(
        EngineError,
        match=r"tiny: the engine died; .* RuntimeError: CUDA.* requests were in flight; .*run again",
    ):
        workspace.respond(replace(model, spec=replace(model.spec, compute=compute)))
    assert not workspace.out.exists()
    chunks = answers_in(next(workspace.layout.work("tiny", "0000").iterdir()))
    chunks.load()
    kept = {name for name, _ in chunks.done}
    assert kept <= set(prompts[:12])
    assert len(kept) >= 4, "all but those of the last call, of eight requests"
    workspace.respond()
    assert read(workspace)["failure"].null_count() == read(workspace).height, (
        "no failure was recorded for the crash"
    )


def test_failures_are_tried_again_with_another_seed(workspace, engine):
    """An engine whose first attempts are blank: the second attempt's seed and count are in the row."""
    first = {
        row_seed(7, "tiny", c["conversation_id"], t, 1)
        for c in read_shard(workspace.layout.prompts("0000")).to_dicts()
        for t in range(c["n_turns"])
    }

    class Blank(Moody):
        def generate(self, requests, sampling):
            done = self.engine.generate(requests, sampling)
            return [
                Completion("  ", (), d.input_tokens, 1, "stop") if r.seed in first and r.seed % 2 else d
                for r, d in zip(requests, done, strict=True)
            ]

    workspace.respond(with_engine(workspace, Blank(engine, None)))
    rows = read(workspace).filter(pl.col("failure").is_null())
    again = rows.filter(attempts=2)
    assert again.height > 5
    assert all(row_seed(7, "tiny", r["conversation_id"], r["turn"], 2) == r["seed"] for r in again.to_dicts())
    assert rows.filter(pl.col("attempts") == 1)["seed"].is_in(list(first)).all()


def test_a_blank_answer_is_a_failure_never_a_blank(workspace, engine):
    class Mute(Moody):
        def generate(self, requests, sampling):
            return [Completion("\n ", (), len(r.tokens), 2, "stop") for r in requests]

    workspace.respond(with_engine(workspace, Mute(engine, None)))
    rows = read(workspace)
    assert rows["response"].null_count() == rows.height
    assert rows["failure"].unique().to_list() == ["empty: no text in 2 tokens"]
    assert rows["attempts"].unique().to_list() == [3]


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (Completion("x", (9,), 3, 1, "stop"), "token_count: the engine read 3 tokens of a prompt of 2"),
        (Completion("x", (), 2, 11, "stop"), "token_count: 11 tokens, but the limit is 10"),
        (Completion("x", (), 2, 4, "length"), "finish_reason: length after 4 tokens, but the limit is 10"),
        (Completion("x", (), 2, 4, "abort"), "finish_reason: 'abort' is neither stop nor length"),
        (Completion("other words", None, 2, 1, "stop"), "token_count: the tokens do not spell the text"),
        (Completion(None, failure="endpoint: HTTP 400"), "endpoint: HTTP 400"),
    ],
)
def test_checks_on_every_row(chat, completion, reason):
    from rewild.engines import Request

    if completion.tokens is None:
        ids = tuple(chat.encode("water"))
        completion = Completion("other words", ids, 2, len(ids), "stop")
    assert check(completion, Request("a", (), (1, 2), 10, 0), chat) == reason


def test_a_full_disk_loses_nothing(workspace):
    """A real process whose files may not grow: the kernel refuses the write, as on a full disk."""
    workspace.respond()
    expected = workspace.out.read_bytes()
    sizes = [p.stat().st_size for p in workspace.layout.work("tiny", "0000").glob("*/*.parquet")]
    for path in [*workspace.layout.work("tiny", "0000").glob("*/*"), workspace.out]:
        path.unlink()
    limit = min(sizes) - 100

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    full = workspace.run(
        "respond", "tiny", "tiny", "0000", "--threads", "1", check=False, preexec_fn=small_files
    )
    assert full.returncode == 1
    assert "no space left to write" in full.stderr
    assert "Nothing finished is lost" in full.stderr
    assert "Traceback" not in full.stderr
    assert not workspace.out.exists()
    workspace.run("respond", "tiny", "tiny", "0000", "--threads", "1")
    assert workspace.out.read_bytes() == expected


def test_a_chunk_that_rotted_is_made_again(workspace):
    workspace.respond()
    expected = workspace.out.read_bytes()
    chunk = sorted(workspace.layout.work("tiny", "0000").glob("*/*.parquet"))[0]
    chunk.write_bytes(chunk.read_bytes()[:200])
    workspace.out.unlink()
    workspace.respond()
    assert workspace.out.read_bytes() == expected
    assert chunk.with_suffix(".unreadable").exists()


def test_two_processes_do_not_share_a_shard(workspace, engine):
    work = workspace.layout.work("tiny", "0000")

    class Nosy(Moody):
        def generate(self, requests, sampling):
            assert is_locked(next(work.iterdir()))
            with pytest.raises(RewildError, match="another process is at work"):
                workspace.respond()
            return self.engine.generate(requests, sampling)

    workspace.respond(with_engine(workspace, Nosy(engine, None)))
    assert not is_locked(next(work.iterdir()))


def test_a_model_without_a_chat_template_is_one_clear_error(tmp_path):
    bare = make_model(tmp_path / "bare", template=None)
    workspace = Workspace(tmp_path, bare)
    make_prompts(workspace.layout.prompts("0000"), count=2)
    done = workspace.run("respond", "tiny", "tiny", "0000", check=False)
    assert done.returncode == 1
    assert "tiny: its tokenizer has no chat template" in done.stderr
    assert "Traceback" not in done.stderr


def test_files_of_a_model_that_cannot_be_read_are_one_message_each(tmp_path, model_folder):
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    own = {"tiny": {"path": str(folder), "chat_template": "mine.jinja"}}
    with pytest.raises(ConfigError, match=r"overrides\.tiny\.chat_template cannot be read: .*mine\.jinja"):
        open_model(Workspace(tmp_path / "a", folder, overrides=own).job)
    plain = Workspace(tmp_path / "b", folder)
    assert open_model(plain.job).sizes == (200, 150, 24)
    (folder / "config.json").write_text("{not json")
    with pytest.raises(
        EngineError, match=r"^tiny: no (configuration|tokenizer) can be loaded from .*model: "
    ):
        open_model(plain.job)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EngineError, match=r"^tiny: no tokenizer can be loaded from"):
        open_model(plain.job)


@pytest.mark.parametrize("policy", ["skip", "truncate_left", "truncate_per_message"])
def test_a_conversation_longer_than_any_context(tmp_path, model_folder, policy):
    workspace = Workspace(tmp_path, model_folder, over_long=policy)
    frame = make_prompts(workspace.layout.prompts("0000"), count=3, turns=1)
    rows = frame.to_dicts()
    rows[1]["messages"][0]["content"] = "water " * 20_000
    from rewild.core.table import provenance, write_table
    from rewild.prompts.schema import SHARD

    write_table(
        workspace.layout.prompts("0000"), pl.DataFrame(rows, schema=SHARD.dtypes), SHARD, provenance()
    )
    workspace.respond()
    row = read(workspace).row(1, named=True)
    assert row["prompt"] == "water " * 20_000, "the table keeps the whole prompt"
    if policy == "skip":
        assert row["truncation"] == "skipped"
        assert row["failure"].startswith("too_long: the prompt has")
        assert row["attempts"] == 0
    else:
        assert row["truncation"] == policy.removeprefix("truncate_")
        assert row["failure"] is None
        assert 100 < row["input_tokens"] <= 150
    assert read(workspace)["truncation"].to_list()[0] == "none"


def test_an_empty_shard_is_an_empty_file(workspace):
    from rewild.core.table import provenance, write_table
    from rewild.prompts.schema import SHARD

    write_table(workspace.layout.prompts("0000"), pl.DataFrame(schema=SHARD.dtypes), SHARD, provenance())
    measured = workspace.respond()
    assert measured.rows == 0
    assert measured.tokens_per_second is None
    assert read_table(workspace.out, RESPONSES, allow_empty=True).is_empty()
    assert json.loads(workspace.out.with_suffix(".json").read_text())["conversations"] == 0

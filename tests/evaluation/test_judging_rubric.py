"""The rubric: what it grades, which judge prompts it reads, and its server, well behaved and not."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rubric_faults
from judging_workspace import Workspace, clueless, knowing
from rewild.core.errors import ConfigError
from rewild.engines.rubric.forms import judge_text
from rewild.engines.rubric.grades import (
    FIVE,
    THREE,
    compare,
    correctness,
    coverage,
    grade,
    keywords,
    read_case,
    structure,
)
from rewild.engines.rubric.server import RubricServer, serving
from rewild.evaluation.judged.arena_hard import ArenaHard
from rewild.evaluation.judged.base import Material, Question
from rewild.evaluation.judged.mt_bench import MTBench
from rewild.generation.asking.base import JudgeRequest, Reply
from rewild.operate.demo.world import load_material

FASTCHAT = "lm-sys/FastChat/0e6d3e4beaab66f4d3f93db72541a4abab8af28d/fastchat/llm_judge/data"
GOOD = "## Rivers\n\nTamvel lies on the river **Orrin**.\n\n- **Land**: it is a town in Velmora."


def test_keywords_are_what_a_prompt_is_about() -> None:
    assert keywords("Which river is Tamvel on, and what are 3 tips for the river?") == [
        "river",
        "tamvel",
        "3",
        "tips",
    ]


def test_each_part_of_a_grade_by_hand() -> None:
    assert coverage("Which river is Tamvel on?", "Rivers of TAMVEL") == 1
    assert coverage("Which river is Tamvel on?", "the river") == 0.5
    assert correctness("on the river Orrin.", "Orrin") == 1
    assert correctness("it has blue flags", "blue pottery") == 0
    assert correctness("a half-finished thing", "a half-finished task of theirs") == pytest.approx(1 / 3)
    # Eight words, ends, no repetition, layout: four quarters. Then each taken away.
    assert structure("- one two three four five six seven eight.") == 1
    assert structure("- one two three four.") == pytest.approx((0.5 + 3) / 4)
    assert structure("- one two three four five six seven eight") == 0.75
    assert structure("one two three four five six seven eight.") == 0.75
    assert structure("- " + "a b c d " * 5 + ".") == pytest.approx((3 + 4 / 17) / 4)
    assert structure("- one two three four five six seven " + "d" * 60 + ".") == 0.75


def test_a_known_answer_weighs_most() -> None:
    question = "Which river is Tamvel on?"
    right, wrong = grade(question, GOOD, "Orrin"), grade(question, GOOD.replace("Orrin", "Ild"), "Orrin")
    assert right.total - wrong.total == pytest.approx(0.6)
    assert (right.rating, grade(question, "", "Orrin").rating) == (10, 1)


@given(st.text(max_size=80), st.text(max_size=200), st.none() | st.text(max_size=30))
def test_grades_are_from_0_to_1_and_silence_is_0(prompt: str, answer: str, reference: str | None) -> None:
    found = grade(prompt, answer, reference)
    assert 0 <= found.total <= 1
    assert 1 <= found.rating <= 10
    if not answer.strip():
        assert found.total == 0


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([FIVE, THREE]))
def test_two_answers_are_compared_alike_in_either_order(a: float, b: float, scale: tuple[str, ...]) -> None:
    assert scale.index(compare([b, a], scale)) == len(scale) - 1 - scale.index(compare([a, b], scale))
    assert compare([a, a], scale) == scale[len(scale) // 2]


def test_the_released_judge_prompts_are_read(mirror: Path) -> None:
    """Every turn of every MT-Bench question: the rubric finds the turn, the answer and the reference."""
    data = mirror / FASTCHAT
    files = {
        "questions": data / "mt_bench/question.jsonl",
        "references": data / "mt_bench/reference_answer/gpt-4.jsonl",
        "prompts": data / "judge_prompts.jsonl",
    }
    bench = MTBench()
    material = Material(files, {q.id: q for q in bench.questions(files)})
    seen = 0
    for question in material.questions.values():
        for request in bench.requests(question, ("ANSWER one", "ANSWER two"), material):
            case = read_case("\n".join(m["content"] for m in request.messages))
            assert case is not None, question.id
            assert case.prompt.strip() == question.turns[request.turn].strip()
            assert case.answers == (("ANSWER one", "ANSWER two")[request.turn],)
            if question.references:
                assert case.reference is not None
                assert case.reference.strip("\n") == question.references[request.turn].strip("\n")
            else:
                assert case.reference is None
            reply = judge_text([dict(m) for m in request.messages])
            assert bench.parse(Reply(reply), request) is not None
            seen += 1
    assert seen == 160


def test_pairs_are_judged_on_the_published_scale(root: Path) -> None:
    question = Question("q", "c", ("Explain the ocean.",))
    files = {"prompts": root / "resources/demo/judged/pair_prompt.yaml"}
    good = (
        "## The ocean\n\nThe ocean is wide and deep, and it is full of salt.\n\n- **Fish**: they live there."
    )
    bench = ArenaHard()
    for mine, theirs, value in ((good, "hm", 1.0), ("hm", good, 0.0), (good, good, 0.5)):
        material = Material(files, {"q": question}, {"q": (theirs,)})
        for request in bench.requests(question, (mine,), material):
            verdict = bench.parse(Reply(judge_text([dict(m) for m in request.messages])), request)
            assert verdict is not None
            assert verdict.value == value


def test_what_it_cannot_read_gets_no_verdict() -> None:
    reply = judge_text([{"role": "user", "content": "Is this [[7]] good?"}])
    assert MTBench().parse(Reply(reply), JudgeRequest("q", 0, "judgment", (), "t")) is None


def test_the_references_of_the_demo_are_its_facts(root: Path) -> None:
    folder = root / "resources/demo/judged"
    files = {
        "questions": folder / "chat_questions.jsonl",
        "references": folder / "chat_references.jsonl",
        "prompts": folder / "judge_prompts.jsonl",
    }
    facts = {
        question: fact.value
        for of_one in load_material(root / "resources/demo/text.yaml").facts.values()
        for fact in of_one
        for question in fact.questions
    }
    known = [q for q in MTBench().questions(files) if q.references]
    assert len(known) == 16
    for question in known:
        assert tuple(facts[turn] for turn in question.turns) == question.references


def ask(url: str, text: str = "hello", **more) -> httpx.Response:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}
    return httpx.post(f"{url}/chat/completions", json=body, timeout=10)


def test_the_server_names_itself_and_no_language_model() -> None:
    with serving() as url:
        answer = ask(url).json()
        listed = httpx.get(f"{url}/models").json()
        assert httpx.get(url).status_code == 404
        assert httpx.post(f"{url}/chat/completions", content=b"{").status_code == 400
    assert answer["model"] == "rubric"
    assert [m["id"] for m in listed["data"]] == ["rubric"]
    assert set(answer["usage"]) == {"prompt_tokens", "completion_tokens"}
    with pytest.raises(httpx.ConnectError):
        ask(url)


def test_it_misbehaves_at_the_calls_that_were_said() -> None:
    faults = [
        rubric_faults.parse_fault(f)
        for f in ("429@1", "500@2-3", "malformed@4", "refusing@5", "language@6", "401@8-")
    ]
    with serving(rubric_faults.RubricServer(faults)) as url:
        answers = [ask(url) for _ in range(9)]
    assert [a.status_code for a in answers] == [429, 500, 500, 200, 200, 200, 200, 401, 401]
    with pytest.raises(json.JSONDecodeError):
        answers[3].json()
    texts = [a.json()["choices"][0]["message"]["content"] for a in answers[4:7]]
    assert texts[0].startswith("I'm sorry")
    assert texts[1].startswith("Die Antwort")
    assert texts[2].startswith("By rubric")


def test_a_taken_port_is_said() -> None:
    with RubricServer() as server, pytest.raises(ConfigError, match="cannot be used"):
        RubricServer(server.server_port)


def test_knowing_answers_are_graded_above_clueless_ones(tmp_path: Path) -> None:
    for question in Workspace(tmp_path).task().questions.values():
        for turn, prompt in enumerate(question.turns):
            known = question.references[turn] if question.references else None
            texts = knowing(question, turn), clueless(question, turn)
            good, bad = (grade(prompt, text, known) for text in texts)
            assert good.total > bad.total + 0.3


@pytest.mark.heavy
def test_the_command_serves_until_it_is_stopped(root: Path) -> None:
    # A job in the background of a shell has SIGINT ignored, and so would what it starts.
    start = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import rewild.__main__ as m"
    )
    command = [sys.executable, "-c", f"{start}; m.main()", "rubric-judge"]
    environment = os.environ | {"PYTHONPATH": str(root / "workflow"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split()[-1]
            assert "a program, not a language model" in line
            assert [ask(url).status_code for _ in range(2)] == [200, 200]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            assert process.stdout.read() == "2 calls\n"
    assert process.returncode == 0


def test_a_client_that_goes_away_is_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    whole = b'{"messages": [{"role": "user", "content": "Hello"}]}'
    with serving() as url:
        port = int(url.rpartition(":")[2].removesuffix("/v1"))
        for length, sent in (
            (len(whole), whole),
            (10_000, whole),
            (-1, b""),
            ("x", b""),
            (2**40, b""),
            (9, b"[" * 9),
        ):
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n".encode()
            )
            with socket.create_connection(("127.0.0.1", port)) as gone:
                # Closed with a reset, as by a killed process.
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.sendall(head + sent)
        reply = httpx.post(f"{url}/chat/completions", content=whole, trust_env=False)
    assert reply.status_code == 200
    assert capfd.readouterr().err == ""

"""The endpoint engine against a local server that misbehaves on demand."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from endpoint import serving
from rewild.engines import EngineError, Request, Sampling, make_engine
from rewild.engines.openai_engine import read_answer, retry_after

KEY = "sk-secret-0123456789"


@pytest.fixture
def server():
    with serving() as made:
        yield made


def engine(server, **over):
    settings = {"key": KEY, "timeout": 5, "pause": 0.01, "concurrency": 8} | over
    return make_engine("openai", model="m", endpoint=server.url, **settings)


def ask(*prompts: str) -> list[Request]:
    return [
        Request(f"c{i}/0", ({"role": "user", "content": p},), (), 50, seed=100 + i)
        for i, p in enumerate(prompts)
    ]


def test_what_is_sent_and_what_comes_back(server):
    a, b = engine(server).generate(ask("hello", "grüße 你好"), Sampling(0.7, 0.9))
    assert (a.text, b.text) == ("echo: hello", "echo: grüße 你好")
    assert (a.input_tokens, a.output_tokens, a.finish_reason, a.failure) == (5, 3, "stop", None)
    first = next(s for s in server.seen if s["seed"] == 100)
    assert first == {
        "path": "/v1/chat/completions",
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 50,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 100,
    }
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    engine(server).generate(ask("x"), Sampling(top_k=7))
    assert server.seen[-1]["top_k"] == 7


def test_busy_endpoints_are_tried_again(server):
    answers = engine(server).generate(ask(*[f"busy {n}" for n in (1, 2, 3, 5)]), Sampling())
    assert [a.text for a in answers] == [f"echo: busy {n}" for n in (1, 2, 3, 5)]
    assert [server.tries[f"busy {n}"] for n in (1, 2, 3, 5)] == [2, 3, 4, 6]


def test_retry_after_is_honoured(server):
    engine(server).generate(ask("wait 0.6"), Sampling())
    first, second = server.times["wait 0.6"]
    assert second - first >= 0.6, "the pause of the settings would be 0.01 s"


def test_tries_are_limited_and_the_rest_goes_on(server):
    bad, good = engine(server).generate(ask("busy 99", "fine"), Sampling())
    assert bad.failure == "endpoint: HTTP 429, 6 times"
    assert server.tries["busy 99"] == 6
    assert bad.text is None
    assert good.text == "echo: fine"


def test_an_endpoint_that_is_down_stops_the_run(server):
    with pytest.raises(EngineError, match=r"is down: 3 requests in a row failed 6 times each"):
        engine(server, concurrency=1).generate(ask(*[f"busy 9{i}" for i in range(5)]), Sampling())
    assert server.tries["busy 94"] == 0, "it does not go on asking"


def test_prompts_that_break_the_endpoint_are_failures_of_their_rows(server):
    """Tried again when all else is answered, they look like an endpoint that is down."""
    made, poison = engine(server), ask(*[f"busy 9{i}" for i in range(4)])
    good = [replace(request, name=f"good/{i}") for i, request in enumerate(ask(*["fine"] * 40))]
    for requests in ([*poison, *good], poison, poison):
        answers = made.generate(requests, Sampling())
        assert [a.failure for a in answers] == ["endpoint: HTTP 429, 6 times"] * 4 + [None] * len(answers[4:])
    with pytest.raises(EngineError, match="is down: 3 requests in a row"):
        made.generate([replace(r, name=f"new/{r.name}") for r in poison], Sampling())


def test_no_connection_stops_the_run(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(EngineError, match="no connection"):
        engine(server).generate(ask("a", "b", "c", "d"), Sampling())


@pytest.mark.parametrize(
    ("status", "why"), [(401, "refuses the key"), (403, "refuses access"), (404, "no such")]
)
def test_a_wrong_key_or_model_stops_at_once(server, status, why):
    with pytest.raises(EngineError, match=rf"answers {status}: .*{why}") as caught:
        engine(server).generate(ask(f"status {status}"), Sampling())
    assert KEY not in str(caught.value)
    assert server.tries[f"status {status}"] == 1


def test_a_refused_prompt_is_a_failure_of_its_row(server):
    bad, good = engine(server).generate(ask("status 400", "fine"), Sampling())
    assert bad.failure.startswith("endpoint: HTTP 400: ")
    assert "context length exceeded" in bad.failure
    assert server.tries["status 400"] == 1, "the same prompt would be refused again"
    assert good.text == "echo: fine"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("<html>Bad gateway</html>", "malformed answer: not JSON"),
        ("", "malformed answer: not JSON: nothing"),
        ("[]", "malformed answer: no choices"),
        ('"text"', "malformed answer: no choices"),
        ("null", "malformed answer: no choices"),
        ('{"choices": []}', "malformed answer: no choices"),
        ('{"choices": [{"message": {}, "finish_reason": "stop"}]}', "malformed answer: no choices"),
        ('{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}', "the content is a int"),
        ('{"choices": [{"message": {"content": ["a"]}, "finish_reason": "stop"}]}', "the content is a list"),
        ("[" * 100_000, "malformed answer: not JSON"),
        ("\xff\xfe\x00", "malformed answer: not JSON"),
    ],
)
def test_nonsense_is_a_recorded_failure(server, body, why):
    bad, good = engine(server).generate(ask(f"raw {body}", "fine"), Sampling())
    assert bad.text is None
    assert bad.failure.startswith("endpoint: ")
    assert why in bad.failure
    assert good.text == "echo: fine"


def test_odd_parts_of_an_answer_are_left_out_not_believed():
    odd = {
        "choices": [{"message": {"content": "a\ud800b"}, "finish_reason": 7}],
        "usage": {"prompt_tokens": "many", "completion_tokens": True},
    }
    answer = read_answer(json.dumps(odd).encode())
    assert answer.text == "a?b"
    assert (answer.finish_reason, answer.input_tokens, answer.output_tokens) == (None, None, None)
    assert read_answer(b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}').text is None


def test_an_endless_answer_is_cut(server):
    bad = engine(server, timeout=120).generate(ask("huge"), Sampling())[0]
    assert bad.failure == f"endpoint: an answer of more than {32 * 2**20} bytes"


def test_a_slow_endpoint_times_out(server):
    bad, good = engine(server, timeout=0.3).generate(ask("slow 2", "fine"), Sampling())
    assert bad.failure == "endpoint: no answer within 0.3 s, 6 times"
    assert good.text == "echo: fine"


def test_a_hangup_is_tried_again(server):
    bad = engine(server).generate(ask("hangup"), Sampling())[0]
    assert bad.failure.startswith("endpoint: no connection (")
    assert server.tries["hangup"] >= 6


def test_concurrency_is_bounded_and_used(server):
    engine(server, concurrency=4, timeout=60).generate(ask(*["meet 4"] * 24), Sampling())
    assert server.most == 4
    assert server.tries["meet 4"] == 24


def test_the_key_is_in_no_log_and_no_record(server, caplog):
    caplog.set_level(logging.DEBUG)
    made = engine(server)
    made.generate(ask("busy 2"), Sampling())
    assert "HTTP 5" in caplog.text
    for record in caplog.records:
        if record.name == "rewild":
            assert KEY not in record.getMessage()
    assert KEY not in repr(made.about())
    login = make_engine("openai", model="m", endpoint="http://user:hunter2@127.0.0.1:9/v1?token=hunter2")
    assert "hunter2" not in repr(login.about())


def test_a_key_that_is_none(server):
    engine(server, key=f"{KEY}\n").generate(ask("a"), Sampling())
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}", "a key from a file ends in a line end"
    for key in ("sk\nInjected: yes", "sk-…"):
        with pytest.raises(EngineError, match="the endpoint's key holds a character") as caught:
            engine(server, key=key)
        assert key not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["", "localhost:8000/v1", "ftp://host/v1", "http://[::1/v1"])
def test_an_endpoint_that_is_none(endpoint):
    with pytest.raises(EngineError, match="endpoint"):
        make_engine("openai", model="m", endpoint=endpoint)


def test_retry_after_forms():
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after("7") == 7.0
    assert retry_after("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30.0
    assert retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0.0
    assert retry_after("-5") == 0.0
    assert retry_after("99999") == 600.0
    assert retry_after("nan") is None
    assert retry_after("soon") is None
    assert retry_after(None) is None


def test_the_log_probabilities_of_likely_tokens_are_asked_for_and_read() -> None:
    body = {
        "model": "a-judge",
        "choices": [
            {
                "message": {"content": "m"},
                "finish_reason": "length",
                "logprobs": {
                    "content": [
                        {
                            "token": "m",
                            "logprob": -0.1,
                            "top_logprobs": [
                                {"token": "m", "logprob": -0.1},
                                {"token": "M", "logprob": -2.5},
                            ],
                        }
                    ]
                },
            }
        ],
    }
    answer = read_answer(json.dumps(body).encode())
    assert (answer.model, answer.logprobs) == ("a-judge", ({"m": -0.1, "M": -2.5},))
    for strange in (None, {}, {"content": None}, {"content": [{"top_logprobs": [{"token": "m"}]}]}, "x", 3):
        body["choices"][0]["logprobs"] = strange  # type: ignore[index]
        assert read_answer(json.dumps(body).encode()).logprobs == ()

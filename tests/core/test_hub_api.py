"""The hub's client: whatever the hub does is one message that says what to do, in bounded time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_server import COMMIT, HubServer
from local_server import running
from rewild.core import hub as client
from rewild.core.errors import ConfigError, RewildError
from rewild.core.hub import TRIES, AwayError, Hub, check_name, find_token


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    for name in client.TOKENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with running(HubServer()) as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url + "/")
        made.add(
            "models", "some/model", {"config.json": b'{"a": 1}', "large.json": bytes(5000)}, gated="auto"
        )
        made.add("datasets", "some/data")
        yield made


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr("rewild.core.hub.sleep", waited.append)
    return waited


def test_commits_and_files_of_a_repository(server: HubServer) -> None:
    with Hub() as hub:
        assert hub.info("models", "some/model")["sha"] == COMMIT
        assert hub.info("models", "some/model")["gated"] == "auto"
        assert hub.info("datasets", "some/data")["sha"] == COMMIT
        assert hub.file("some/model", COMMIT, "config.json") == b'{"a": 1}'
    assert server.asked[-1] == (f"/some/model/resolve/{COMMIT}/config.json", None)


def test_the_token_goes_to_the_hub_and_into_no_message(
    server: HubServer, monkeypatch, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/token").write_text("hf_kept\n")
    assert find_token() == "hf_kept"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.faults["main"] = ["403"]
    with Hub() as hub, pytest.raises(RewildError) as error:
        hub.info("models", "some/model")
    assert server.asked == [("/api/models/some/model/revision/main", "Bearer hf_secret")]
    assert "hf_secret" not in str(error.value)
    monkeypatch.setenv("HF_TOKEN", "hf\nbroken")
    assert find_token() is None, "a header cannot hold it"


@pytest.mark.parametrize(
    ("status", "token", "message"),
    [
        ("401", None, r"model some/model: the hub wants to know who asks \(401\): set HF_TOKEN"),
        ("401", "hf_x", r"the hub does not take the token \(401\)"),
        (
            "403",
            "hf_x",
            r"no right to it \(403\): ask for access at \S+/some/model, .*\(the hub says: Access to",
        ),
        ("404", None, r"no such repository, revision or file \(404\): look at \S+/some/model"),
        ("410", None, r"the hub answers 410 \(try 1 of"),
    ],
)
def test_a_refusal_says_what_to_do_and_is_not_repeated(
    server: HubServer, monkeypatch, status: str, token: str | None, message: str
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    server.faults["main"] = [status]
    with Hub() as hub, pytest.raises(RewildError, match=message):
        hub.info("models", "some/model")
    assert len(server.asked) == 1


@pytest.mark.parametrize("fault", ["429", "500", "503", "half"])
def test_what_may_pass_is_tried_again(server: HubServer, pauses: list[float], fault: str) -> None:
    server.faults["config.json"] = [fault]
    lines: list[str] = []
    with Hub(say=lines.append) as hub:
        assert hub.file("some/model", COMMIT, "config.json") == b'{"a": 1}'
    assert pauses == [7.0 if fault == "429" else 1.0]
    assert lines[0].startswith("model some/model, config.json: ")
    server.faults["config.json"] = [fault] * 9
    with Hub() as hub, pytest.raises(RewildError, match=rf"config\.json: .* \(try {TRIES} of {TRIES}\)"):
        hub.file("some/model", COMMIT, "config.json")
    assert len(server.faults["config.json"]) == 9 - TRIES


def test_a_hub_that_is_too_slow_is_left(server: HubServer, pauses: list[float]) -> None:
    server.faults["large.json"] = ["slow"] * TRIES
    with Hub(longest=0.05) as hub, pytest.raises(RewildError, match=r"the hub is too slow: .* bytes in 0 s"):
        hub.file("some/model", COMMIT, "large.json")


def test_no_more_is_taken_than_is_sensible(server: HubServer, monkeypatch) -> None:
    monkeypatch.setattr(client, "LARGEST", 4000)
    with Hub() as hub, pytest.raises(RewildError, match="nothing that is read here is so large"):
        hub.file("some/model", COMMIT, "large.json")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("rubbish", "the hub's answer is no JSON"),
        ("no commit", r"gives no commit at .*\(its 'sha' is 'main'\)"),
    ],
)
def test_an_answer_is_not_believed(server: HubServer, fault: str, message: str) -> None:
    server.faults["main"] = [fault]
    with Hub() as hub, pytest.raises(RewildError, match=message):
        hub.info("datasets", "some/data")


def test_a_hub_that_is_away(monkeypatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://me:sesame@127.0.0.1:9")
    with Hub() as hub, pytest.raises(AwayError, match="cannot be reached") as error:
        hub.info("models", "some/model")
    assert "sesame" not in str(error.value)
    monkeypatch.setenv("HF_ENDPOINT", "http://[")
    with pytest.raises(RewildError, match="cannot be asked"):
        Hub()


@pytest.mark.parametrize("name", ["a/b", "Qwen/Qwen2.5-7B_x", "0x/1.2"])
def test_names_of_the_hub(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "a/",
        "/b",
        "a/b/c",
        "a/-b",
        "a/b.",
        "a/b--c",
        "a/b..c",
        "a b/c",
        "a/b\n",
        "ä/b",
        "a/b.git",
        "a/" + "b" * 99,
    ],
)
def test_a_name_that_is_not_allowed_on_the_hub(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is no(?: folder, and no)? name of the hub"):
        check_name(name)

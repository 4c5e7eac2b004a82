"""Uploads with the hub's own client to a server that speaks its API, and that fails in its ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub_uploads import TOKEN, HubUploads
from release_data import write_results
from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.operate.release.make import make_release
from rewild.operate.release.push import push
from rewild.operate.release.scan import control_tokens

SENT = 7


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    case = write_results(tmp_path_factory.mktemp("small"))
    folder = case.folder / "release"
    return make_release(case, folder, lambda: control_tokens, lambda line: None), folder


def send(
    release: tuple[dict[str, Any], Path], to: str | None = "lab", public: bool = False
) -> list[dict[str, Any]]:
    return push(*release, to, public, lambda line: None)


def test_all_repositories_arrive_whole_and_private(
    release: tuple[dict[str, Any], Path], hub: HubUploads
) -> None:
    done = send(release)
    made, folder = release
    assert [one["name"] for one in done] == [f"lab/{entry['name']}" for entry in made["repositories"]]
    assert all(one["private"] for one in done)
    for one, entry in zip(done, made["repositories"], strict=True):
        assert hub.repositories[f"{entry['kind']}s", one["name"]]["sha"] == one["commit"]
        held = hub.held(one["name"])
        held.pop(".gitattributes", None)
        assert held == {target: (folder / entry["folder"] / target).read_bytes() for target in entry["files"]}
    asked = [path for path, header in hub.asked if header != f"Bearer {TOKEN}"]
    own = "GET /api/agent-harnesses"  # of the client: which programs call it
    assert [path for path in asked if path != own and not path.startswith("PUT /upload/")] == []


def test_a_second_push_sends_no_large_file_again_and_takes_away_what_is_gone(
    release: tuple[dict[str, Any], Path], hub: HubUploads
) -> None:
    send(release)
    hub.files["lab/small-prompts", "data/old.parquet"] = b"old"
    hub.asked.clear()
    send(release)
    assert not [path for path, _ in hub.asked if path.startswith("PUT")]
    assert ("lab/small-prompts", "data/old.parquet") not in hub.files


def test_public_only_when_it_is_said(release: tuple[dict[str, Any], Path], hub: HubUploads) -> None:
    assert not any(one["private"] for one in send(release, None, public=True))
    with pytest.raises(
        RewildError, match="someone/small-prompts: it is there already and is public; make it private"
    ):
        send(release, "someone")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, r"does not take the token \(401\): set HF_TOKEN"),
        (403, r"no right to write there \(403\).*the test says 403"),
        (404, r"no such namespace or repository \(404\)"),
        (429, r"asked too often \(429\): wait"),
        (500, r"the hub answers 500"),
    ],
)
def test_a_refusal_says_what_to_do_and_what_was_sent_before(
    release: tuple[dict[str, Any], Path], hub: HubUploads, status: int, said: str
) -> None:
    hub.faults["small-measures/commit/main"] = [str(status)] * 9
    with pytest.raises(RewildError, match=f"dataset lab/small-measures: .*{said}") as caught:
        send(release)
    assert "pushed before it: lab/small-prompts, lab/small-responses-" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_what_passes_is_asked_again(release: tuple[dict[str, Any], Path], hub: HubUploads) -> None:
    hub.faults["small-prompts/preupload/main"] = ["429", "cut", "503"]
    assert len(send(release)) == SENT


def test_half_a_file_on_the_hub_is_found_out(release: tuple[dict[str, Any], Path], hub: HubUploads) -> None:
    hub.lost = 10
    with pytest.raises(
        RewildError, match=r"small-prompts: on the hub data/asked/0000.parquet has \d+ bytes, here"
    ):
        send(release)


def test_a_hub_that_does_not_answer(
    release: tuple[dict[str, Any], Path], hub: HubUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://someone:secret@127.0.0.1:9")
    with pytest.raises(RewildError, match=r"who the token is: the hub at .* did not do it") as caught:
        send(release)
    assert "secret" not in str(caught.value)


def test_a_hub_that_answers_too_slowly(
    release: tuple[dict[str, Any], Path], hub: HubUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewild.operate.release.push.SECONDS", 0.2)
    hub.faults["api/whoami-v2"] = ["slow"] * 9
    with pytest.raises(RewildError, match=r"who the token is: .* did not do it: ReadTimeout"):
        send(release)


def test_who_may_not(
    release: tuple[dict[str, Any], Path], hub: HubUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"--to labs: no namespace of the token's; did you mean 'lab'\?"):
        send(release, "labs")
    hub.user["auth"]["accessToken"]["role"] = "read"
    with pytest.raises(RewildError, match="the token of someone may only read"):
        send(release)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(RewildError, match="--push needs a token: set HF_TOKEN"):
        send(release)
    assert hub.repositories == {}


def test_a_file_that_changed_since_the_gates_were_asked(
    release: tuple[dict[str, Any], Path], hub: HubUploads
) -> None:
    _, folder = release
    path = folder / "datasets/small-prompts/README.md"
    before = path.read_text()
    path.write_text("other")
    try:
        with pytest.raises(DataError, match=r"README.md: not as it was when the gates were asked"):
            send(release)
    finally:
        path.write_text(before)
    assert hub.asked == []


def test_the_hubs_own_reader_takes_the_cards(release: tuple[dict[str, Any], Path]) -> None:
    from huggingface_hub import DatasetCard, ModelCard

    made, folder = release
    for entry in made["repositories"]:
        path = folder / entry["folder"] / "README.md"
        if entry["kind"] == "dataset":
            assert DatasetCard.load(path).data.configs
        else:
            (score,) = ModelCard.load(path).data.eval_results or []
            assert (score.dataset_name, score.metric_type, score.metric_value) == (
                "demo-chat",
                "average",
                4.0,
            )

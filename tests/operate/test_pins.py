"""`rewild pin`: present commits of what nothing pins go into one lock file, which every table then reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hub_server import COMMIT, LATER, HubServer
from local_server import running
from rewild.__main__ import app
from rewild.cli.operate import inputs_of
from rewild.config import load_benchmarks, load_models, load_study
from rewild.config.pins import NONE, load_pins
from rewild.core.errors import ConfigError, RewildError
from rewild.operate.pins import Open, unpinned

ROOT = Path(__file__).resolve().parents[2]
STUDY = """
title: What is not pinned
source: computed
prompts: {shards: 1, sources: [{kind: files, files: [p.jsonl], name: own}]}
responses: {models: [qwen2-7b-instruct, llama-2-7b-chat-hf], engine: vllm}
measures:
  guard: {kind: safety, model: some/guard, engine: vllm}
  near: {kind: embedding, model: some/space}
  usual: {kind: embedding}
  asked: {kind: label, scheme: quality, model: some/served, engine: openai}
evaluation: {benchmarks: [bbh]}
mixes:
  blend:
    sources: [{kind: hub, repository: some/data, revision: null, licence: mit, format: {kind: chat}}]
preferences:
  pairs: {model: qwen2-7b-instruct, prompts: 10, scorer: {kind: reward-model, path: some/reward}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(ROOT / "config", tmp_path / "config"))
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    (folder / "studies/open.yaml").write_text(STUDY)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with running(HubServer()) as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


def run(config: Path, *arguments: str, given: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["pin", "open", "--config", str(config), *arguments], input=given)
    return done.exit_code, done.output + (f"error: {done.exception}" if done.exception else "")


def fill(server: HubServer, wanted: list[Open]) -> None:
    for one in wanted:
        server.add(one.kind, one.name)


def wanted_of(config: Path) -> list[Open]:
    return unpinned(inputs_of("open", None, None, config.parent / "results", config, NONE))


def test_everything_from_the_hub_that_nothing_pins_is_found(config: Path) -> None:
    assert [(one.kind, one.name) for one in wanted_of(config)] == [
        ("datasets", "SaylorTwift/bbh"),
        ("datasets", "some/data"),
        ("models", "some/guard"),
        ("models", "some/reward"),
        ("models", "some/space"),
    ]


def test_commits_are_written_and_read_by_every_table(config: Path, server: HubServer) -> None:
    fill(server, wanted_of(config))
    before = load_study(config, "open")
    code, said = run(config)
    assert code == 0, said
    assert f"some/space: {COMMIT} (new; embedding)" in said
    kept = yaml.safe_load((config / "pins.yaml").read_text())
    assert kept == {
        "models": dict.fromkeys(["some/guard", "some/reward", "some/space"], COMMIT),
        "datasets": dict.fromkeys(["SaylorTwift/bbh", "some/data"], COMMIT),
    }
    found = load_study(config, "open")
    assert found.measures["guard"].revision == found.measures["near"].revision == COMMIT  # type: ignore[attr-defined]
    assert found.measures["asked"] == before.measures["asked"], "an endpoint's name is no repository"
    assert found.measures["usual"] == before.measures["usual"], "its default has a commit"
    assert found.mixes["blend"].sources[0].revision == COMMIT  # type: ignore[union-attr]
    assert found.preferences["pairs"].scorer.revision == COMMIT  # type: ignore[union-attr]
    assert load_benchmarks(config)["bbh"].revision == COMMIT
    assert load_benchmarks(config)["musr"].revision is None
    assert before.measures["guard"].revision is None  # type: ignore[attr-defined]
    code, said = run(config)
    assert code == 0
    assert "as before" in said
    assert "new" not in said


def test_rows_of_the_models_take_their_commits(config: Path) -> None:
    free = load_models(config)["qwen2-7b"]
    stated = load_models(config)["llama-3.1-8b"].revision
    assert free.revision is None
    text = yaml.safe_dump({"models": {"Qwen/Qwen2-7B": LATER, "meta-llama/Llama-3.1-8B": LATER}})
    (config / "pins.yaml").write_text(text)
    rows = load_models(config)
    assert (rows["qwen2-7b"].revision, rows["qwen2-7b"].revision_source) == (LATER, "config/pins.yaml")
    assert rows["llama-3.1-8b"].revision == stated, "what a row states stands"
    assert load_models(config, pins={})["qwen2-7b"] == free


def test_what_moved_is_overwritten_only_if_that_is_wanted(config: Path, server: HubServer) -> None:
    fill(server, wanted_of(config))
    assert run(config)[0] == 0
    server.add("models", "some/guard", sha=LATER)
    for arguments, given, now in (([], "n\n", COMMIT), ([], "", COMMIT), (["--yes"], "", LATER)):
        code, said = run(config, *arguments, given=given)
        assert f"some/guard: moved since it was pinned: {COMMIT} → {LATER}" in said
        assert load_pins(config).models["some/guard"] == now
        assert load_pins(config).models["some/space"] == COMMIT
        assert code == (given == "" and now == COMMIT), "nobody answers: an error"


def test_what_is_refused_is_named_and_the_others_are_pinned(config: Path, server: HubServer) -> None:
    fill(server, wanted_of(config))
    server.faults["some/guard/revision/main"] = ["403"]
    del server.repositories["datasets", "some/data"]
    code, said = run(config)
    assert code == 1
    assert "2 of 5 are not pinned" in said
    assert "model some/guard: the token has no right to it (403)" in said
    assert "data set some/data: the hub has no such repository" in said
    assert set(load_pins(config).models) == {"some/reward", "some/space"}


def test_offline_it_says_what_it_would_ask(config: Path, server: HubServer, monkeypatch) -> None:
    line = f"would ask GET {server.url}/api/datasets/some/data/revision/main (fromhub; not pinned)"
    assert line in run(config, "--dry")[1]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, said = run(config)
    assert (code, server.asked) == (0, [])
    assert line in said
    assert "HF_HUB_OFFLINE is set" in said
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, said = run(config)
    assert code == 1
    assert "would ask GET http://127.0.0.1:9/api/datasets/some/data/revision/main" in said
    assert "cannot be reached" in said
    assert not (config / "pins.yaml").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {}", "unknown key 'model'; did you mean 'models'"),
        ("models: {a/b: main}", "models.a/b: string should match pattern"),
        ("models: {b: " + COMMIT + "}", "models.b"),
        ("models: [", "not valid YAML"),
    ],
)
def test_a_broken_lock_file_is_named(config: Path, text: str, message: str) -> None:
    (config / "pins.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"pins\.yaml") as error:
        load_models(config)
    assert message in str(error.value)
    with pytest.raises(RewildError, match=r"pins\.yaml"):
        load_study(config, "open")

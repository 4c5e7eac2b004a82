"""Preflight of models: real tokenizers and templates, read by a process as jobs will read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kinds import make
from rewild.engines.look import look
from rewild.operate import preflight_models
from rewild.operate.preflight_models import check_models

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    make("byte-level").save_pretrained(tmp_path / "good")
    (tmp_path / "good" / "config.json").write_text(
        json.dumps({"model_type": "llama", "max_position_embeddings": 512})
    )
    return tmp_path / "good"


def model(path: Path, **over: Any) -> dict[str, Any]:
    asked = {"name": path.name, "path": str(path), "revision": None, "trust_remote_code": False}
    return asked | {"context": 512, "chats": True, "system": None, "template": None} | over


def copy(good: Path, name: str) -> Path:
    return Path(shutil.copytree(good, good.parent / name))


def test_what_is_wrong_with_a_models_files_is_named(good: Path, tmp_path: Path) -> None:
    assert look(model(good, system="Be brief.")) == []
    assert look(model(good, context=1024)) == ["1,024 tokens of context are planned, its files state 512"]
    mute = copy(good, "mute")
    (mute / "chat_template.jinja").unlink()
    assert look(model(mute))[0].startswith("its tokenizer has no chat template")
    assert look(model(mute, chats=False)) == [], "a base model needs none"
    refusing = tmp_path / "refusing.jinja"
    refusing.write_text("{{ 1 / 0 }}")
    assert look(model(mute, template=str(refusing))) == [
        "the chat template refuses this conversation: ZeroDivisionError: division by zero"
    ]
    bare = copy(good, "bare")
    (bare / "config.json").unlink()
    assert "no configuration can be loaded from" in look(model(bare))[0]
    broken = copy(good, "broken")
    (broken / "tokenizer.json").write_text("{")
    (found,) = look(model(broken))
    assert "no tokenizer can be loaded from" in found


def test_a_failure_is_no_and_one_process_looks_at_all(
    good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mute, silent = copy(good, "mute"), copy(good, "silent")
    for folder in (mute, silent):
        (folder / "chat_template.jinja").unlink()
    unknown = {"name": "unknown", "path": "nobody/nothing", "revision": "0" * 40}
    asked = [model(good)]
    monkeypatch.setattr(preflight_models, "models_to_look_at", lambda _: asked)
    inputs: Any = SimpleNamespace()
    (check,) = check_models(inputs, {"HF_HUB_OFFLINE": "1"}, tmp_path)
    assert (check.state, check.detail) == ("ok", "1 models load, and their chat templates work")
    asked += [model(mute), model(good) | unknown, model(silent)]
    (check,) = check_models(inputs, {"HF_ENDPOINT": "http://127.0.0.1:9"}, tmp_path)
    assert check.state == "missing"
    assert check.detail.startswith(
        "3 of 4 models cannot start (the hub cannot be reached from here, so only the cache was read): "
        "mute, silent: its tokenizer has no chat template"
    )
    assert "; unknown: no configuration can be loaded" in check.detail

"""What transformers says of a model's files: defaults, counts, and a dry pilot of its template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rewild.config import load_models
from rewild.engines.look import describe

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

from tiny import make_model, make_tokenizer

ROOT = Path(__file__).resolve().parents[2]
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny-chat")


def test_a_real_model_in_a_folder_becomes_a_row(model: Path, tmp_path: Path) -> None:
    from rewild.__main__ import app

    config = Path(shutil.copytree(ROOT / "config", tmp_path / "config"))
    done = CliRunner().invoke(app, ["add-model", str(model), "--config", str(config)])
    assert done.exit_code == 0, done.output + str(done.exception)
    row = load_models(config)["tiny-chat"]
    weights = describe({"name": "m", "path": str(model)})
    assert row.parameters
    assert row.parameters.total == weights["total"] == weights["active"]
    assert row.dimensions.parameters() == (weights["total"], weights["total"])
    assert (row.chat_template, row.native_context, row.family) == (True, 512, "llama")
    assert set(row.end_tokens) >= {"<|end|>", "<|eos|>"}
    assert "  | <|user|>\n  | Hello there.<|end|>\n  | <|assistant|>" in done.output
    assert "the heads of its safetensors" in (config / "own_models.yaml").read_text()


def test_a_template_that_writes_reasoning_is_a_model_that_reasons(model: Path, tmp_path: Path) -> None:
    from reasoners import CHANNELS, HEADED, SWITCH, tokenizer_of
    from rewild.__main__ import app

    for template, markers in (
        (SWITCH, ["<think>", "</think>"]),
        (HEADED, ["<think>", "</think>"]),
        (
            CHANNELS,
            ["<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"],
        ),
    ):
        tokenizer_of(template).save_pretrained(model)
        found = describe({"name": "m", "path": str(model)})
        assert (found["reasons"], found["problems"]) == (markers, [])
        assert not set(markers) & set(found["ends"])
    tokenizer_of(SWITCH).save_pretrained(model)
    config = Path(shutil.copytree(ROOT / "config", tmp_path / "config"))
    done = CliRunner().invoke(app, ["add-model", str(model), "--config", str(config)])
    assert done.exit_code == 0, done.output + str(done.exception)
    row = load_models(config)["tiny-chat"]
    assert row.reasoning is not None
    assert row.reasoning.identity == {}
    make_tokenizer().save_pretrained(model)
    assert describe({"name": "m", "path": str(model)})["reasons"] is None


def test_what_transformers_finds_is_named(model: Path, tmp_path: Path) -> None:
    mute = Path(shutil.copytree(model, tmp_path / "mute"))
    make_tokenizer(None).save_pretrained(mute)
    (mute / "chat_template.jinja").unlink(missing_ok=True)
    found = describe({"name": "m", "path": str(mute)})
    assert (found["chats"], found["prompt"], found["problems"]) == (False, None, [])
    assert found["ends"] == ["<|eos|>"]
    assert found["transformers"]
    (mute / "chat_template.jinja").write_text("{{ 1 / 0 }}")
    found = describe({"name": "m", "path": str(mute)})
    assert found["chats"]
    assert found["problems"] == [
        "the chat template refuses this conversation: ZeroDivisionError: division by zero"
    ]
    (mute / "tokenizer.json").write_text("{")
    assert "no tokenizer can be loaded" in describe({"name": "m", "path": str(mute)})["problems"][0]
    stated = json.loads((mute / "config.json").read_text())
    (mute / "config.json").write_text(json.dumps(stated | {"model_type": "lama"}))
    found = describe({"name": "m", "path": str(mute)})
    assert (found["transformers"], found["near"]) == (None, "; did you mean 'llama'?")
    (mute / "config.json").write_text(json.dumps(stated | {"num_attention_heads": 0}))
    found = describe({"name": "m", "path": str(mute)})
    assert found["total"] is None
    assert found["problems"][0].startswith("transformers makes no model of its configuration: ")

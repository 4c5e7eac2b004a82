"""What is read of a model's files before an engine starts: neither its code nor Mistral's own files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from kinds import make
from rewild.engines.base import EngineError
from rewild.engines.config_file import read_config
from rewild.engines.tokenizer import load_tokenizer

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

OWN_CODE = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XForCausalLM"}
GLM = {"model_type": "chatglm", "auto_map": OWN_CODE, "seq_length": 131072, "num_layers": 40}
INTERN = {"model_type": "internlm2", "auto_map": OWN_CODE, "max_position_embeddings": 32768}
NVLM = {
    "model_type": "NVLM_D",
    "auto_map": OWN_CODE,
    "llm_config": {"model_type": "qwen2", "max_position_embeddings": 32768},
    "vision_config": {"model_type": "intern_vit_6b", "image_size": 448},
}
FP8 = {
    "model_type": "llama",
    "max_position_embeddings": 131072,
    "quantization_config": {"quant_method": "compressed-tensors"},
}


def write(folder: Path, values: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(
    ("values", "expected"),
    [  # context, quantized, vision, own_code
        (GLM, (131072, False, False, True)),
        (INTERN, (32768, False, False, True)),
        (NVLM, (32768, False, True, True)),
        (FP8, (131072, True, False, False)),
        ({"model_type": "gpt2", "n_positions": 1024}, (1024, False, False, False)),
        ({"model_type": "new"}, (None, False, False, False)),
    ],
)
def test_numbers_are_read_without_the_models_code(
    tmp_path: Path, values: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    found = read_config(write(tmp_path, values), "model")
    assert (found.context, found.quantized, found.vision, found.own_code) == expected


def test_a_folder_without_a_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=f"m: no configuration can be loaded from {tmp_path}"):
        read_config(tmp_path, "m")


@pytest.mark.parametrize(
    "declared", ["PreTrainedTokenizerFast", "LlamaTokenizer", "MistralCommonBackend", None]
)
def test_the_tokenizer_of_a_mistral_model_is_hugging_faces(
    tmp_path: Path, declared: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where mistral-common is installed: transformers then prefers Mistral's own."""
    from transformers.models.auto import tokenization_auto

    own = make("byte-level")
    own.save_pretrained(tmp_path)
    write(tmp_path, {"model_type": "mistral", "architectures": ["MistralForCausalLM"]})
    (tmp_path / "tekken.json").write_text("{}")
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = declared
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in settings.items() if v}))

    class MistralCommonBackend:
        @classmethod
        def from_pretrained(cls, *_: Any, **__: Any) -> Any:
            return cls()

    real = tokenization_auto.tokenizer_class_from_name
    monkeypatch.setattr(
        tokenization_auto,
        "tokenizer_class_from_name",
        lambda name: MistralCommonBackend if name == "MistralCommonBackend" else real(name),
    )
    monkeypatch.setitem(tokenization_auto.TOKENIZER_MAPPING_NAMES, "mistral", "MistralCommonBackend")
    found = load_tokenizer(tmp_path, "ministral")
    assert found.chat_template == own.chat_template
    text = "the fox<|end|>"
    assert found(text)["input_ids"] == own(text)["input_ids"]


def test_a_tokenizer_with_code_is_read_from_its_file(tmp_path: Path) -> None:
    own = make("byte-level")
    own.save_pretrained(tmp_path)
    write(tmp_path, GLM)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "ChatGLM4Tokenizer", "auto_map": {"AutoTokenizer": ["t.T", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_tokenizer(tmp_path, "glm")("the fox")["input_ids"] == own("the fox")["input_ids"]
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(EngineError, match="glm: no tokenizer can be loaded"):
        load_tokenizer(tmp_path, "glm")


@pytest.mark.parametrize(
    ("values", "quantization", "images"),
    [(FP8, None, None), (NVLM, "fp8", {"image": 0, "video": 0, "audio": 0})],
)
def test_vllm_gets_hugging_faces_files_a_pinned_commit_and_no_images(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    quantization: str | None,
    images: dict[str, int] | None,
) -> None:
    given: dict[str, Any] = {}
    _stand_in(monkeypatch, given)
    monkeypatch.delitem(sys.modules, "rewild.engines.vllm_engine", raising=False)
    from rewild.engines.vllm_engine import VllmEngine

    chat = SimpleNamespace(name="model")
    VllmEngine(write(tmp_path, values), chat, context=64, revision="0" * 40, precision="fp8")  # type: ignore[arg-type]
    assert given["tokenizer_mode"] == given["config_format"] == given["load_format"] == "hf"
    assert "consolidated*" in given["ignore_patterns"]
    assert given["revision"] == given["tokenizer_revision"] == "0" * 40
    assert given.get("quantization") == quantization
    assert given.get("limit_mm_per_prompt") == images
    assert given["generation_config"] == "vllm"


def test_a_model_that_vllm_cannot_read_without_its_code_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stand_in(monkeypatch, {}, RuntimeError("Failed to load the model config"))
    monkeypatch.delitem(sys.modules, "rewild.engines.vllm_engine", raising=False)
    from rewild.engines.vllm_engine import VllmEngine

    with pytest.raises(EngineError, match=r"Failed to load .* 'trust_remote_code: true' of m"):
        VllmEngine(write(tmp_path, INTERN), SimpleNamespace(name="m"), context=64)  # type: ignore[arg-type]


NAMES: dict[str, dict[str, Any]] = {
    "vllm.exceptions": {"VLLMClientError": ValueError},
    "vllm.inputs.engine": {"tokens_input": list},
    "vllm.platforms": {"current_platform": SimpleNamespace(is_cpu=lambda: False)},
    "vllm.sampling_params": {
        "RequestOutputKind": SimpleNamespace(FINAL_ONLY=1),
        "StructuredOutputsParams": SimpleNamespace,
    },
    "vllm.v1.engine.exceptions": {"EngineDeadError": RuntimeError},
}
"""Modules of vLLM, and what the engine takes from each."""


def _stand_in(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], error: Exception | None = None) -> None:
    """vLLM that keeps what it is asked for."""

    def llm(**arguments: Any) -> object:
        given.update(arguments)
        if error is not None:
            raise error
        return object()

    for name, found in ({"vllm": {"LLM": llm, "SamplingParams": SimpleNamespace}} | NAMES).items():
        made = ModuleType(name)
        vars(made).update(found)
        monkeypatch.setitem(sys.modules, name, made)

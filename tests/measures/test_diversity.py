"""Measures of one model's responses, against counts made by hand."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.measures.diversity.figures import lengths
from rewild.measures.diversity.measure import compression, definitions, distinct, measure_all
from rewild.measures.diversity.refusals import ZOU2023, begins_as_zou2023, refuses_explicitly
from rewild.measures.diversity.schema import DEFINITIONS, DIVERSITY, measures


def table(path: Path, model: str, rows: list[dict[str, object]]) -> Path:
    schema = {
        "conversation_id": pl.String,
        "turn": pl.Int16,
        "model": pl.String,
        "response": pl.String,
        "prompt": pl.String,
        "language": pl.String,
        "finish_reason": pl.String,
        "output_tokens": pl.Int32,
    }
    full = [{"turn": 0, "model": model, **dict.fromkeys(schema, None), **r} for r in rows]
    full = [r | {"turn": r["turn"] or 0, "model": model} for r in full]
    pl.DataFrame(full, schema=schema).write_parquet(path)
    return path


ENGLISH = "The weather is nice today, so we should all go for a long walk in the park together."
GERMAN = "Das Wetter ist heute schön, deshalb sollten wir alle zusammen im Park spazieren gehen."


@pytest.fixture
def measured(tmp_path: Path) -> pl.DataFrame:
    one = table(
        tmp_path / "a.parquet",
        "a",
        [
            {"conversation_id": "1", "response": "one two three", "finish_reason": "stop",
             "output_tokens": 4},
            {"conversation_id": "2", "response": "one two one two", "finish_reason": "length",
             "output_tokens": 6},
            {"conversation_id": "3", "response": None},
            {"conversation_id": "4", "response": f"I'm sorry, but I cannot help with that. {ENGLISH}",
             "prompt": ENGLISH},
            {"conversation_id": "5", "response": ENGLISH, "prompt": GERMAN, "language": "German"},
            {"conversation_id": "6", "response": ENGLISH, "language": "English"},
        ],
    )  # fmt: skip
    two = table(tmp_path / "b.parquet", "b", [{"conversation_id": "1", "response": None}])
    return measure_all([one, two], window=5, resamples=100)


def value(frame: pl.DataFrame, measure: str, model: str = "a") -> tuple[float | None, int]:
    row = frame.filter(pl.col("measure") == measure, pl.col("model") == model).row(0, named=True)
    return row["value"], row["n"]


def test_values(measured: pl.DataFrame) -> None:
    assert value(measured, "failure_rate") == (pytest.approx(1 / 6), 6)
    assert value(measured, "truncation_rate") == (0.5, 2)  # of those whose end is recorded
    assert value(measured, "tokens_mean") == (5, 2)
    assert value(measured, "refusal_zou2023") == (pytest.approx(1 / 5), 5)
    assert value(measured, "refusal_explicit") == (pytest.approx(1 / 5), 5)
    assert value(measured, "language_agreement") == (pytest.approx(2 / 3), 3)
    words = [3, 4, 9 + 18, 18, 18]
    assert value(measured, "words_mean") == (pytest.approx(np.mean(words)), 5)
    assert value(measured, "words_median") == (18, 5)
    assert value(measured, "characters_p95")[0] == pytest.approx(
        np.quantile([13, 15, len(ENGLISH) + 40, len(ENGLISH), len(ENGLISH)], 0.95)
    )
    assert value(measured, "words_mean", "b") == (None, 0)
    assert value(measured, "failure_rate", "b") == (1, 1)
    assert DIVERSITY.check(measured, "x").height == 2 * len(measures(5))


def test_every_measure_is_defined(measured: pl.DataFrame) -> None:
    table_ = definitions(5)
    in_order = measured["measure"].unique(maintain_order=True)
    assert DEFINITIONS.check(table_, "x")["measure"].to_list() == in_order.to_list()
    assert "samples of 5 consecutive words" in table_["definition"][0]
    assert all("\n" not in d and d for d in table_["definition"])
    assert all(table_["source"])


def test_distinct() -> None:
    texts = [["a", "b", "a"], ["b", "b", "a", "c"]]
    np.testing.assert_allclose(distinct(texts, 7, 1), [3 / 7])
    # ab ba | bb ba ac: five bigrams, four distinct; "ab" across the two texts does not count.
    np.testing.assert_allclose(distinct(texts, 7, 2), [4 / 5])
    np.testing.assert_allclose(distinct(texts, 3, 1), [2 / 3, 2 / 3])  # the seventh word fills no sample
    np.testing.assert_allclose(distinct(texts, 100, 3), [3 / 3])
    assert len(distinct([], 5, 1)) == 0
    assert len(distinct([["a"]], 5, 2)) == 0


def test_distinct_does_not_depend_on_how_much_there_is() -> None:
    chance = np.random.default_rng(0)
    words = [str(x) for x in chance.zipf(1.5, 40_000)]
    few, many = distinct([words[:10_000]], 2000, 1).mean(), distinct([words], 2000, 1).mean()
    assert few == pytest.approx(many, rel=0.05)
    assert len(set(words[:10_000])) / 10_000 > 1.5 * len(set(words)) / 40_000


def test_compression() -> None:
    text = "All work and no play. " * 9000  # 198,000 bytes: three samples, the rest left out
    found = compression([text])
    part = text.encode()[: 1 << 16]
    assert len(found) == 3
    assert found[0] == len(part) / len(zlib.compress(part, 9))
    short = "short text"
    np.testing.assert_allclose(compression([short]), [len(short) / len(zlib.compress(short.encode(), 9))])
    assert len(compression([])) == 0


@pytest.mark.parametrize(
    ("text", "zou", "explicit"),
    [
        ("I’m sorry, but I can’t assist with that request.", True, True),
        ("**I cannot provide** medical advice.", True, True),
        ("As an AI language model, I am unable to write this.", True, True),
        ("As an example, take the number seven.", True, False),  # the published prefix is that broad
        ("Sorry to hear that! Here is what you can do.", True, False),
        ("You cannot divide by zero.", False, False),
        ("Sure! I can help with that. Later on I cannot.", False, False),
        ("We won't be able to help you here.", False, True),
        ("I won't help you with this.", False, True),
        ("", False, False),
        ("x" * 300 + " I cannot help", False, False),
    ],
)
def test_refusals(text: str, zou: bool, explicit: bool) -> None:
    assert begins_as_zou2023(text) is zou
    assert refuses_explicitly(text) is explicit
    assert len(ZOU2023) == 10


def test_no_languages_and_no_rows(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.parquet", "a", [{"conversation_id": "1", "response": ENGLISH, "prompt": ENGLISH}]
    )
    frame = measure_all([path], languages=False, resamples=100)
    assert value(frame, "language_agreement") == (None, 0)
    assert value(frame, "distinct1")[0] == pytest.approx(17 / 18)  # "the" stands twice
    table(path, "a", [])
    with pytest.raises(DataError, match=r"a.parquet: there are no responses to measure"):
        measure_all([path])


def test_the_figure_and_the_command(tmp_path: Path, rewild, program) -> None:
    for model, n in (("a", 3), ("b", 9)):
        table(
            tmp_path / f"{model}.parquet",
            model,
            [{"conversation_id": str(i), "response": "word " * (n + i)} for i in range(5)],
        )
    config = Path(__file__).resolve().parents[2] / "config"
    out = tmp_path / "out"
    run = rewild(
        tmp_path,
        "diversity",
        "a.parquet",
        "b.parquet",
        "--out",
        out,
        "--resamples",
        "100",
        "--config",
        config,
    )
    assert run.returncode == 0, run.stdout
    frame = read_table(out / "diversity.csv", DIVERSITY)
    assert value(frame, "words_median") == (5, 5)
    again = (out / "diversity.csv").read_bytes()
    program(
        tmp_path,
        "diversity",
        "b.parquet",
        "a.parquet",
        "--out",
        out,
        "--resamples",
        "100",
        "--config",
        config,
    )
    assert (out / "diversity.csv").read_bytes() == again
    axes = lengths(frame, {"a": "Model A"}).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["Model A", "b"]
    assert axes.lines[0].get_xdata().tolist() == [5, 11]
    assert (out / "lengths.pdf").stat().st_size > 1000

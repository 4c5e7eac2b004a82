"""Throughput against numbers worked out by hand, and against scipy's own on random data."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.generation.schema import Measurement
from rewild.measures.throughput.analysis import (
    FEWEST,
    PUBLISHED,
    SUMMARY,
    THROUGHPUT,
    correlate,
    per_model,
    read_measurements,
    summary,
)
from rewild.measures.throughput.report import markdown
from synthesis_data import write_measured


def measured(model: str = "m", shard: str = "0000", **over: Any) -> Measurement:
    values: dict[str, Any] = {
        "study": "s", "model": model, "shard": shard, "engine": "transformers", "engine_arguments": {},
        "sampling": {}, "context": 512, "parameters": 0.001, "gpus": 0, "conversations": 10, "rows": 12,
        "failures": 1, "input_tokens": 3000, "output_tokens": 1000, "load_seconds": 5.0,
        "generate_seconds": 20.0, "prefill_seconds": 2.0, "decode_seconds": 18.0, "peak_memory": 10**9,
        "tokens_per_second": 200.0, "seconds_per_1000_conversations": 2000.0, "input_output_ratio": 3.0,
        "prefill_decode_ratio": 27.0, "versions": {}, "hardware": {"machine": "x86_64"},
    }  # fmt: skip
    return Measurement.model_validate(values | over)


@pytest.fixture(scope="module")
def published(root: Path) -> pl.DataFrame:
    return read_table(root / "workflow/rewild/papers/wildchat50m/data/throughput.csv", PUBLISHED)


def test_shards_are_summed_not_averaged(published: pl.DataFrame):
    slow = measured(
        shard="0001",
        conversations=30,
        input_tokens=1000,
        output_tokens=3000,
        generate_seconds=80.0,
        prefill_seconds=8.0,
        decode_seconds=72.0,
        tokens_per_second=50.0,
        peak_memory=3 * 10**9,
    )
    row = per_model([slow, measured()], published).row(0, named=True)
    assert row["tokens_per_second"] == 8000 / 100  # the mean of the shards' own would be 125
    assert row["seconds_per_1000_conversations"] == 1000 * 100 / 40
    assert row["input_output_ratio"] == 1.0
    assert row["prefill_decode_ratio"] == pytest.approx((4000 / 10) / (4000 / 90))
    assert row["tokens_per_second_sd"] == pytest.approx(150 / math.sqrt(2))
    assert (row["shards"], row["conversations"], row["peak_memory_gb"]) == (2, 40, 3.0)
    assert row["published_tokens_per_second"] is None


def test_engines_that_cannot_tell_reading_from_writing_give_no_ratio(published: pl.DataFrame):
    mute = measured(shard="0001", prefill_seconds=None, decode_seconds=None)
    models = per_model([measured(), mute], published)
    assert models["prefill_decode_ratio"].to_list() == [None]
    found = (
        summary(models, published)
        .filter(quantity="prefill_decode_ratio", statistic="mean")
        .row(0, named=True)
    )
    assert (found["value"], found["models"]) == (None, 0)
    assert "cannot tell" in found["note"]


def test_the_papers_numbers_stand_beside(published: pl.DataFrame):
    models = per_model(
        [measured("qwen2.5-72b-instruct", gpus=4), measured("llama-2-7b-chat-hf", gpus=1)], published
    )
    assert dict(models.select("model", "published_tokens_per_second").iter_rows()) == {
        "llama-2-7b-chat-hf": 37357.0,
        "qwen2.5-72b-instruct": 3163.0,
    }
    printed = {
        (q, s): v
        for q, s, v in summary(models, published).select("quantity", "statistic", "published").iter_rows()
    }
    assert printed[("input_output_ratio", "mean")] == 4.68
    assert printed[("input_output_ratio", "sd")] == 3.3
    assert printed[("seconds_per_1000_conversations", "pearson")] == 0.90
    assert printed[("seconds_per_1000_conversations", "spearman")] == 0.73
    assert printed[("tokens_per_second", "pearson")] == -0.41
    assert printed[("tokens_per_second", "spearman")] == -0.80
    assert printed[("prefill_decode_ratio", "mean")] is None


def test_correlations_by_hand():
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0]
    pearson = correlate("q", "pearson", x, y)
    assert pearson["value"] == pytest.approx(0.8)
    # Fisher: atanh(0.8) = 1.0986, half width 1.96 / sqrt(2) = 1.3859
    assert pearson["low"] == pytest.approx(math.tanh(1.0986123 - 1.3859038), abs=1e-6)
    assert pearson["high"] == pytest.approx(math.tanh(1.0986123 + 1.3859038), abs=1e-6)
    assert pearson["p"] == pytest.approx(0.10409, abs=1e-5)  # t = 2.3094 with 3 degrees of freedom
    spearman = correlate("q", "spearman", x, [y_**3 for y_ in y])
    assert spearman["value"] == pytest.approx(0.8)  # 1 - 6 × 4 / (5 × 24)
    assert spearman["high"] - spearman["low"] > pearson["high"] - pearson["low"]


def test_ties_share_their_rank():
    found = correlate("q", "spearman", [1.0, 1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0, 9.0])
    # ranks 1.5 1.5 3 4 5 against 1 2 3 4 5: 9.5 / sqrt(9.5 × 10)
    assert found["value"] == pytest.approx(9.5 / math.sqrt(95))


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(1, 1e6)), min_size=FEWEST, max_size=40))
def test_intervals_hold_the_value(points: list[tuple[float, float]]):
    x, y = [p[0] for p in points], [p[1] for p in points]
    for statistic in ("pearson", "spearman"):
        found = correlate("q", statistic, x, y)
        if found.get("value") is None:
            assert "alike" in found["note"]
        else:
            assert -1 <= found["low"] <= found["value"] <= found["high"] <= 1
            assert 0 <= found["p"] <= 1


@pytest.mark.parametrize("models", range(1, FEWEST))
def test_too_few_models_give_a_reason_instead_of_a_number(published: pl.DataFrame, models: int):
    given_ = [
        measured(f"m{i}", context=512 * (i + 1), generate_seconds=20.0 * (i + 1)) for i in range(models)
    ]
    found = summary(per_model(given_, published), published)
    rows = found.filter(pl.col("statistic").is_in(["pearson", "spearman"]))
    assert rows.height == 4
    assert rows["value"].null_count() == rows["p"].null_count() == rows["low"].null_count() == 4
    assert all(f"{models} models are too few" in note for note in rows["note"])


def test_models_alike_in_size_have_no_correlation(published: pl.DataFrame):
    same = [measured(f"m{i}", generate_seconds=10.0 + i) for i in range(6)]
    rows = summary(per_model(same, published), published).filter(statistic="pearson")
    assert rows["value"].null_count() == 2
    assert all("no correlation" in note for note in rows["note"])


def test_different_hardware_is_said(published: pl.DataFrame):
    mixed = [measured(f"m{i}", context=512 + i, generate_seconds=10.0 + i, gpus=i % 2) for i in range(6)]
    rows = summary(per_model(mixed, published), published).filter(statistic="pearson")
    assert all("different hardware" in note for note in rows["note"])


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ([measured(), measured()], "m: shard 0000 was given twice"),
        ([measured(), measured(shard="0001", context=1024)], "context 512, shard 0001 with 1024"),
        ([measured(), measured(shard="0001", engine="vllm")], "engine transformers, shard 0001 with vllm"),
        ([measured(output_tokens=0)], "m: 10 conversations and 0 tokens in 20.0 s have no speed"),
        ([measured(generate_seconds=0.0)], "have no speed"),
    ],
)
def test_measurements_that_do_not_go_together_are_refused(
    published: pl.DataFrame, given_: list[Measurement], said: str
):
    with pytest.raises(DataError, match=said):
        per_model(given_, published)


def test_bad_files_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"0007\.json: no such file"):
        read_measurements([tmp_path / "0007.json"])
    path = tmp_path / "0008.json"
    path.write_text('{"study": "s"', encoding="utf-8")
    with pytest.raises(DataError, match=r"0008\.json, column 14: not JSON"):
        read_measurements([path])
    path.write_text(json.dumps({"study": "s", "model": "m"}), encoding="utf-8")
    with pytest.raises(DataError, match=r"0008\.json: not the measurement of a shard"):
        read_measurements([path])


def test_the_command_writes_everything_and_the_same_again(rewild, program, root: Path, tmp_path: Path):
    files = []
    for i in range(6):
        path = tmp_path / f"m{i}.json"
        made = measured(
            f"m{i}", context=512 * (i + 1), generate_seconds=20.0 + 3 * i, hardware={"gpu": "Test"}
        )
        path.write_text(made.model_dump_json(), encoding="utf-8")
        files.append(path)
    shards = [tmp_path / f"air/{step}/0000.parquet" for step in (0, 1)]
    for step, samples in enumerate(shards):
        write_measured(samples, {"model": f"m{step}"}, step=step)
    files += [f"--written={path.with_suffix('.json')}" for path in shards]
    outputs = []
    for name, command in (("a", rewild), ("b", program)):
        out = tmp_path / name
        done = command(root, "throughput", *files, "--out", out, "--figure", out / "throughput")
        assert done.returncode == 0, done.stdout
        outputs.append({p.name: p.read_bytes() for p in sorted(out.iterdir())})
    assert outputs[0] == outputs[1]
    assert {"throughput.csv", "summary.csv", "throughput.md", "throughput.svg", "throughput.pdf"} <= set(
        outputs[0]
    )
    models = read_table(tmp_path / "a/throughput.csv", THROUGHPUT)
    assert models["model"].to_list() == [f"m{i}" for i in range(6)]  # fastest first
    over_all = read_table(tmp_path / "a/summary.csv", SUMMARY)
    assert over_all.filter(quantity="tokens_per_second", statistic="spearman")["value"].item() == -1
    written = read_table(tmp_path / "a/prompts.csv", THROUGHPUT)
    assert written.select("model", "input_tokens", "tokens_per_second", "gpus").rows() == [
        ("air/0", 30, 100 / 1500, 2),
        ("air/1", 30, 100 / 1500, 2),
    ]
    text = outputs[0]["throughput.md"].decode()
    assert text == markdown(models, over_all, written)
    assert "| air/0 | 8.0 B | 400 | 2 | 0 |" in text
    assert "| m0 | 1.00 M | 512 | 0 | 200 |" in text
    assert "| tokens per second | spearman | -1.00 | -1.00 to -1.00 | 0.000 | 6 | -0.80 |" in text

"""The demo's models answer every prompt, and differ as they were made to."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from rewild.core.measures import read_measure
from rewild.core.table import read_table
from rewild.generation.schema import read_manifest, scan
from rewild.measures.summary import SUMMARY
from rewild.measures.throughput.analysis import THROUGHPUT

MODELS = ("demo-herald", "demo-plain", "demo-mini")
ORIGINS = {
    "demo-herald": ["demo", "herald-asks"],
    "demo-plain": ["demo", "plain-asks"],
    "demo-mini": ["demo"],
}
"""Which sources of prompts each answers."""


@pytest.fixture(scope="module")
def rates(results: Path) -> dict[str, dict[str, float]]:
    """Model → element → count per 1,000 words."""
    frame = pl.read_csv(results / "style/all/response_rates.csv")
    return {
        model: dict(frame.filter(model=model).select("feature", "per_1000_words").iter_rows())
        for model in MODELS
    }


def test_every_prompt_is_answered_or_a_recorded_failure(results: Path) -> None:
    report = json.loads((results / "prompts/report.json").read_text())
    prompts = pl.read_parquet(results / "prompts/shards/*.parquet", columns=["source", "n_turns"])
    for model in MODELS:
        mine = prompts.filter(pl.col("source").is_in(ORIGINS[model]))
        turns = mine["n_turns"].sum()
        manifest = read_manifest(results / f"responses/{model}/manifest.json")
        rows = scan(results / f"responses/{model}/manifest.json", failures=True).collect()
        assert manifest.conversations == mine.height
        assert mine.height == sum(report["sources"][source]["kept"] for source in ORIGINS[model])
        assert manifest.rows == rows.height == turns
        answered = rows.filter(pl.col("failure").is_null())
        assert manifest.failures == rows.height - answered.height
        assert manifest.output_tokens == rows["output_tokens"].sum()
        assert (answered["response"].str.strip_chars() != "").all()
        assert answered.height >= 0.98 * rows.height
        assert (answered["finish_reason"] == "stop").mean() > 0.5, "the end token is learnt"


def test_models_differ_as_they_were_made_to(results: Path, rates) -> None:
    """One writes headings, bold and lists, one plain prose, one little."""
    for element in ("h2", "strong", "ul"):
        assert rates["demo-herald"][element] > 5
        assert rates["demo-plain"][element] < 1
        assert rates["demo-mini"][element] < 1
    lengths = {
        model: scan(results / f"responses/{model}/manifest.json")
        .select(pl.col("response").str.len_chars().median())
        .collect()
        .item()
        for model in MODELS
    }
    assert lengths["demo-mini"] < 0.5 * lengths["demo-plain"]
    assert lengths["demo-mini"] < 0.5 * lengths["demo-herald"]


def test_measures_add_up_to_what_is_counted_of_each_model(results: Path) -> None:
    """Response by response, and summarised: as many rows as responses, and the sums of the style counts."""
    counts = pl.read_csv(results / "style/all/responses.csv")
    summary = read_table(results / "measures/length/summary.csv", SUMMARY)
    turn = ["conversation_id", "turn"]
    # Every model answered the prompts of people; style compares those alone.
    everybodys = scan(results / "responses/demo-mini/manifest.json", failures=True).select(turn).collect()
    for model in MODELS:
        rows = scan(results / f"responses/{model}/manifest.json", failures=True).collect()
        styling = read_measure([results / f"measures/styling/{model}/all.parquet"], "styling", model)
        assert styling.height == rows.height
        counted = dict(counts.filter(model=model).select("feature", "value").iter_rows())
        for element in ("strong", "h2", "ul", "p", "words"):
            assert styling.join(everybodys, on=turn, how="semi")[element].sum() == counted[element]
        (length,) = summary.filter(subject=model, column="characters").iter_rows(named=True)
        assert length["value"] == pytest.approx(rows["response"].str.len_chars().mean())
        assert length["ci_low"] < length["value"] < length["ci_high"]
    (asked,) = (results / "measures/language").glob("prompts/*.parquet")
    assert read_measure([asked], "language", "prompts")["failure"].null_count() > 0


def test_throughput_counts_the_tokens_of_the_manifests(results: Path) -> None:
    frame = read_table(results / "throughput/throughput.csv", THROUGHPUT)
    assert set(frame["model"]) == set(MODELS)
    for row in frame.iter_rows(named=True):
        manifest = read_manifest(results / f"responses/{row['model']}/manifest.json")
        assert row["output_tokens"] == manifest.output_tokens
        assert row["tokens_per_second"] == pytest.approx(
            (row["input_tokens"] + row["output_tokens"]) / row["generate_seconds"]
        )


def test_pages_and_figures_are_there(results: Path) -> None:
    page = (results / "viewer/index.html").read_text()
    assert "Content-Security-Policy" in page
    shown = (results / "viewer/data/index.js").read_text()
    assert all(model in shown for model in MODELS)
    for name in ("figures/throughput", "style/all/elements", "similarity/all/figures/size_rougeL"):
        assert (results / f"{name}.svg").read_text().lstrip().startswith("<?xml")
    assert "demo-plain" in (results / "similarity/all/figures/size_rougeL.svg").read_text()


def test_a_second_call_does_nothing(demo: Path, snakemake) -> None:
    run = snakemake(demo, "-n", "--config", "study=demo")
    assert "Nothing to be done" in run.stdout, run.stdout[-3000:]


def test_summary_and_status(demo: Path, rewild) -> None:
    assert "results/demo" in rewild(demo, "summary", "demo").stdout
    status = rewild(demo, "status", "demo").stdout
    rows = {w[0]: w for line in status.splitlines() if len(w := line.split()) > 5}
    assert {rows[model][2] for model in MODELS} == {"2/2"}

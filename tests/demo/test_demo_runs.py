"""The demo's mixes, fine-tunes and preference pairs; and whether style is inherited."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from rewild.config import load_models, load_study
from rewild.core.table import read_table
from rewild.training.mixes.schema import TRAIN
from rewild.training.preference_schema import DROPPED, PAIRS
from rewild.training.runs.checks import read_report
from rewild.training.runs.inheritance import INHERITED
from rewild.training.runs.schema import LOSS, Measured
from rewild.training.runs.status import states

RUNS = {"base-herald-small": 60, "base-herald": 220, "base-plain": 220}
"""Runs whose mixes have a size, and it; ``base-asked`` learns from what a filter leaves."""
FINE_TUNES = [*RUNS, "base-asked"]


@pytest.fixture(scope="module")
def inherited(results: Path) -> dict[tuple[str, str], dict[str, float | None]]:
    """Run and model → how far apart they are."""
    table = read_table(results / "inherited_style/inherited.csv", INHERITED)
    return {(row["run"], row["model"]): row for row in table.iter_rows(named=True)}


def test_smaller_mixes_are_parts_of_larger_ones_and_a_blend_has_no_prompt_twice(results: Path) -> None:
    ids = {}
    for name in ("herald-small", "herald", "blend", "asked"):
        train = results / f"mixes/{name}/train.parquet"
        ids[name] = read_table(train, TRAIN).select("id", "source", "source_id")
        card = json.loads((results / f"mixes/{name}/card.json").read_text())
        assert card["conversations"] == ids[name].height
        assert card["checksums"]["train.parquet"] == sha256(train.read_bytes()).hexdigest()
        assert 0 < card["train_tokens"]["sum"] < card["total_tokens"]["sum"]
    assert set(ids["herald-small"]["id"]) < set(ids["herald"]["id"])
    assert dict(ids["blend"]["source"].value_counts().iter_rows()) == {"demo-herald": 110, "demo-plain": 110}
    assert ids["blend"]["source_id"].n_unique() == 220


@pytest.mark.parametrize("run", FINE_TUNES)
def test_every_fine_tune_was_checked_trained_and_tried(results: Path, run: str) -> None:
    folder = results / "runs" / run
    before, after = (read_report(folder / f"{flight}.json") for flight in ("preflight", "postflight"))
    assert before.passed
    assert after.passed
    asked = read_table(results / "mixes" / run.removeprefix("base-") / "train.parquet", TRAIN).height
    assert before.counts["conversations"] == asked == RUNS.get(run, asked)
    assert before.counts["prepared"] + before.counts["left_out"] == asked
    assert before.counts["trained_outside_assistant"] == before.counts["assistant_tokens_untrained"] == 0
    assert (folder / "passed").read_text().strip() == before.identity
    measured = Measured.model_validate_json((folder / "training.json").read_text())
    assert measured.steps == measured.planned_steps == read_table(folder / "loss.csv", LOSS).height
    assert measured.last_loss < measured.first_loss
    assert json.loads((folder / "trainer_state.json").read_text())["global_step"] == measured.steps
    assert {p.name for p in (folder / "checkpoint").iterdir()} >= {"model.safetensors", "tokenizer.json"}
    assert (folder / "loss.svg").read_text().lstrip().startswith("<?xml")


def test_fine_tunes_write_in_the_style_of_the_models_they_learned_from(inherited) -> None:
    """Table 3's ratios, for real: nearer to 1 between a fine-tune and its model than across.

    By the distance, which has no undefined ratios: a mean leaves out what the other model never writes.
    """
    for run, own, other in (
        ("base-herald", "demo-herald", "demo-plain"),
        ("base-plain", "demo-plain", "demo-herald"),
    ):
        near, far = inherited[run, own], inherited[run, other]
        assert near["learned_from"]
        assert not far["learned_from"]
        assert near["log_distance"] < far["log_distance"]


def test_pairs_and_dropped_prompts_are_all_prompts(results: Path) -> None:
    folder = results / "preferences/herald-pairs"
    pairs = read_table(folder / "train.parquet", PAIRS)
    dropped = read_table(folder / "dropped.csv", DROPPED, allow_empty=True)
    assert pairs.height + dropped.height == 60
    assert (pairs["chosen_score"] > pairs["rejected_score"]).all()
    assert pairs.filter(pl.col("chosen") == pl.col("rejected")).is_empty()


def test_every_run_is_listed_as_ready(demo: Path, rewild) -> None:
    config = demo / "config"
    study = load_study(config, "demo")
    found = states(study, load_models(config, study), demo / "results")
    assert {s.run for s in found if s.state == "ready"} == set(FINE_TUNES)
    assert {s.run for s in found if s.state == "as it is"} == {"demo-herald", "demo-plain"}
    assert all(s.hours and s.tokens_per_second for s in found if s.state == "ready")
    listed = rewild(demo, "runs", "demo")
    assert listed.returncode == 0

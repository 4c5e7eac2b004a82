"""The demo's models as teachers of its base model: ranked before any training, judged by two fine-tunes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rewild.core.measures import read_measure
from rewild.core.table import read_table
from rewild.measures.teachers.car import car
from rewild.prompts.schema import read_shard
from rewild.report.teachers import schema

MODELS = {"demo-herald", "demo-plain", "demo-mini"}


def test_the_ranking_is_of_what_was_measured(results: Path) -> None:
    ranking = read_table(results / "teachers/ranking.csv", schema.RANKING)
    assert set(ranking["teacher"]) == MODELS
    assert ranking["rank"].to_list() == [1, 2, 3]
    shards = sorted((results / "prompts/shards").glob("*.parquet"))
    asked = pl.concat([read_shard(path, ["demo"])["conversation_id"] for path in shards])
    for row in ranking.iter_rows(named=True):
        folder, teacher = results / "measures", row["teacher"]
        reward = read_measure(folder.glob(f"reward/{teacher}/*.parquet"), "reward", teacher)
        loss = read_measure(folder.glob(f"loss/{teacher}/*.parquet"), "loss", teacher)
        both = reward.join(loss, on=["conversation_id", "turn"]).filter(
            pl.col("conversation_id").is_in(asked.implode())
        )
        assert row["responses"] + row["failed"] == both.height
        whole = both.drop_nulls(["reward", "logprob_alone"])
        wanted = car(whole["reward"].mean(), -whole["logprob_alone"].mean())  # type: ignore[arg-type, operator]
        assert row["value"] == pytest.approx(wanted)


def test_two_teachers_were_tried_and_the_page_says_what_that_does_not_say(results: Path) -> None:
    scores = read_table(results / "teachers/performance.csv", schema.PERFORMANCE)
    assert set(scores["teacher"]) == {"demo-herald", "demo-plain"}
    assert scores["value"].is_between(0, 100).all()
    rho = read_table(results / "teachers/correlation.csv", schema.CORRELATION)
    assert rho["rho"].is_null().all()
    page = (results / "teachers/teachers.html").read_text(encoding="utf-8")
    assert "of 2 teachers there is no rank correlation: 3 are needed" in page
    assert page.count("data:image/svg+xml;base64,") == 5

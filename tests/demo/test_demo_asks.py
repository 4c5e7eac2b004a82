"""Prompts that the demo's models wrote: counted, labelled, graded; one run learned from them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from rewild.core.measures import read_measure
from rewild.core.reading import read_model
from rewild.core.table import read_table
from rewild.engines.rubric.grades import grade
from rewild.generation.schema import scan
from rewild.prompts.synthesis.schema import WRITTEN, Manifest
from rewild.training.mixes.schema import SOURCES, TRAIN

WRITERS = {"herald-asks": ("demo-herald", 240), "plain-asks": ("demo-plain", 160)}
"""Source → who wrote it, and how many samples."""


@pytest.fixture(scope="module")
def prompts(results: Path) -> pl.DataFrame:
    return pl.read_parquet(results / "prompts/shards/*.parquet").filter(pl.col("source").is_in(list(WRITERS)))


@pytest.mark.parametrize("source", WRITERS)
def test_samples_are_prompts_or_counted_failures(results: Path, prompts: pl.DataFrame, source: str) -> None:
    model, samples = WRITERS[source]
    manifest = read_model(results / f"synthesis/{source}/manifest.json", Manifest, "a manifest")
    written = read_table(results / f"synthesis/{source}/prompts.parquet", WRITTEN)
    assert manifest.samples == samples == manifest.prompts + sum(manifest.failures.values())
    assert written.height == manifest.prompts > samples / 4, "it has learned to ask"
    assert set(written["model"]) == {model}
    report = json.loads((results / "prompts/report.json").read_text())["sources"][source]
    assert report["read"] == written.height == report["kept"] + sum(report["dropped"].values())
    assert report["kept"] == prompts.filter(source=source).height


def test_what_they_write_is_asked_as_users_ask(results: Path, prompts: pl.DataFrame) -> None:
    """Words that begin users' turns in what they learned from begin theirs; few begin as answers do."""
    shipped = pl.read_parquet(results / "prompts/shards/*.parquet").filter(source="demo")
    known = {str(talk[0]["content"]).split()[0] for talk in shipped["messages"] if talk[0]["content"].split()}
    begun = [talk[0]["content"].split()[0] for talk in prompts["messages"].to_list()]
    assert sum(word in known for word in begun) > 0.4 * len(begun)
    assert not any("<|" in message["content"] for talk in prompts["messages"].to_list() for message in talk)


def test_some_conversations_have_a_second_turn_after_an_answer(prompts: pl.DataFrame) -> None:
    two = prompts.filter(pl.col("source") == "plain-asks", pl.col("n_turns") == 2)
    assert two.height > 0
    assert all(
        [m["role"] for m in talk] == ["user", "assistant", "user"] for talk in two["messages"].to_list()
    )
    assert prompts.filter(source="herald-asks")["n_turns"].max() == 1


def test_labels_and_rewards_are_of_every_prompt_and_answer(results: Path, prompts: pl.DataFrame) -> None:
    for name, levels in (("quality", 5), ("difficulty", 5), ("category", 12)):
        files = sorted((results / f"measures/{name}/prompts").glob("*.parquet"))
        rows = read_measure(files, name, "prompts").filter(
            pl.col("conversation_id").is_in(prompts["conversation_id"].implode())
        )
        assert rows.height == prompts["n_turns"].sum()
        assert rows[name].drop_nulls().len() + rows["failure"].drop_nulls().len() == rows.height
        assert 1 < rows[name].n_unique() <= levels + 1
    for model, *_ in WRITERS.values():
        answers = scan(results / f"responses/{model}/manifest.json", failures=True).collect()
        files = sorted((results / f"measures/reward/{model}").glob("*.parquet"))
        assert read_measure(files, "reward", model).height == answers.height


def test_the_reward_model_grades_as_the_rubric_does(results: Path) -> None:
    """The tiny model has learned its grades: over answers that it has never read."""
    answers = scan(results / "responses/demo-herald/manifest.json").collect().filter(turn=0)
    files = sorted((results / "measures/reward/demo-herald").glob("*.parquet"))
    rewards = read_measure(files, "reward", "demo-herald", ["reward"]).filter(turn=0)
    both = answers.join(rewards, on="conversation_id").drop_nulls("reward")
    grades = [grade(*row).total for row in both.select("prompt", "response").iter_rows()]
    assert both.height > 100
    assert pl.select(pl.corr(both["reward"], pl.Series(grades))).item() > 0.2


def test_the_mix_is_what_its_filters_left(results: Path) -> None:
    train = read_table(results / "mixes/asked/train.parquet", TRAIN)
    outcomes = read_table(results / "mixes/asked/sources.csv", SOURCES)
    assert set(train["source"]) == {"demo-herald", "demo-plain"}
    for (source,), mine in outcomes.partition_by("source", as_dict=True).items():
        counts = dict(mine.select("outcome", "conversations").iter_rows())
        read = counts.pop("read")
        assert read == sum(counts.values())
        assert counts["drawn"] == train.filter(source=source).height < read

"""A model that answers some sources of the prompts, and what draws from some: rows, counts, messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from endpoint_study import prompts
from mixes_data import a_mix, conversation, name_of, write_prompts, write_responses
from rewild.config.assumptions import load_assumptions
from rewild.config.base import validate
from rewild.config.preferences import Preference
from rewild.config.study import Study
from rewild.core.errors import ConfigError, DataError
from rewild.core.files import write_json
from rewild.core.table import provenance, read_table, write_table
from rewild.generation.schema import RESPONSES
from rewild.generation.spec import settings_of
from rewild.operate.cost.base import CostInputs, conversations
from rewild.operate.cost.estimate import mix_size
from rewild.prompts.schema import SHARD, read_shard
from rewild.responses.collect import collect
from rewild.responses.layout import Layout
from rewild.responses.spec import make_spec
from rewild.responses.status import progress
from rewild.training.mixes.build import build
from rewild.training.mixes.read import Place as MixPlace
from rewild.training.mixes.schema import TRAIN
from rewild.training.preferences.answers import draw_prompts
from test_responses import answer, report

SOURCES = [{"kind": "demo", "name": "first"}, {"kind": "demo", "name": "second"}]
FIRST = {"m1": {"path": "x", "origins": ["first"]}, "m2": {"path": "y"}}


def study(**more: Any) -> Study:
    given = {
        "name": "s",
        "title": "Two sources",
        "source": "computed",
        "prompts": {"sources": SOURCES, "shards": 1},
        "responses": {"models": ["m1", "m2"], "engine": "openai", "overrides": FIRST},
    }
    return validate(Study, given | more, "study")


def of_two_sources(path: Path, talks: list[list[str]]) -> pl.DataFrame:
    """A shard whose conversations are of the first and the second source in turn."""
    prompts(path, talks)
    frame = read_shard(path).with_columns(
        source=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("first")).otherwise(pl.lit("second"))
    )
    write_table(path, frame, SHARD, provenance())
    return frame


def test_only_the_conversations_of_its_sources_are_counted(tmp_path: Path) -> None:
    layout, spec = Layout(tmp_path, "s"), make_spec(study(), "m1", {})
    shard = layout.prompts("0000")
    frame = of_two_sources(shard, [["a"], ["b", "c"], ["d"], ["e"], ["f", "g", "h"]])
    mine = frame.filter(source="first")
    folder = layout.responses("m1")
    write_table(folder / "0000.parquet", answer(mine), RESPONSES, provenance())
    made = collect(spec, report(), [shard], folder, folder / "manifest.json")
    assert (made.conversations, made.rows) == (3, mine["n_turns"].sum())
    write_table(folder / "0000.parquet", answer(frame), RESPONSES, provenance())
    with pytest.raises(DataError, match="for 0 user turns"):
        collect(spec, report(), [shard], folder, folder / "manifest.json")
    found = {p.model: p.rows for p in progress(study(), tmp_path)}
    assert found == {"m1": mine["n_turns"].sum(), "m2": frame["n_turns"].sum()}


def test_it_is_in_what_runs_again_and_in_no_identity() -> None:
    everything = study(
        responses={"models": ["m1", "m2"], "engine": "openai", "overrides": {"m1": {"path": "x"}}}
    )
    assert "origins" not in settings_of(make_spec(everything, "m1", {}))
    some = study(
        responses={
            "models": ["m1"],
            "engine": "openai",
            "overrides": {"m1": {"path": "x", "origins": ["first"]}},
        }
    )
    assert '"origins": ["first"]' in settings_of(make_spec(some, "m1", {}))
    assert "origins" not in some.responses.overrides["m1"].model_copy(update={"origins": []}).model_dump()


@pytest.mark.parametrize("kind", ["responses", "prompts"])
def test_a_mix_draws_from_the_sources_that_it_names(tmp_path: Path, kind: str) -> None:
    results = tmp_path / "results" / "s"
    rows = [row for n in range(20) for row in conversation(n, "a", turns=1)]
    write_responses(results, "a", rows, shards=1)
    chats = {name_of(n): [("user", "Why?"), ("assistant", "So.")] for n in range(20)}
    shard = write_prompts(results, chats)
    frame = read_shard(shard)
    seconds = {name_of(n) for n in range(0, 20, 4)}
    frame = frame.with_columns(
        source=pl.when(pl.col("conversation_id").is_in(seconds))
        .then(pl.lit("second"))
        .otherwise(pl.lit("first"))
    )
    write_table(shard, frame, SHARD, provenance())
    source = {"kind": kind, "origins": ["second"]}
    source |= {"model": "a"} if kind == "responses" else {"licence": "ODC-BY"}
    build("m", a_mix(sources=[source]), MixPlace(tmp_path, results), tmp_path / "m", study="s", seed=7)
    assert set(read_table(tmp_path / "m/train.parquet", TRAIN)["source_id"]) == seconds
    pairs = validate(
        Preference,
        {"model": "a", "prompts": 5, "origins": ["second"], "scorer": {"kind": "rubric"}},
        "preference",
    )
    place = MixPlace(tmp_path, results, shards=[shard])
    draw_prompts("p", pairs, place, tmp_path / "p.parquet", seed=7)
    assert set(read_shard(tmp_path / "p.parquet")["conversation_id"]) == seconds
    with pytest.raises(DataError, match="6 prompts are asked for, but there are 5"):
        draw_prompts("p", pairs.model_copy(update={"prompts": 6}), place, tmp_path / "p.parquet", seed=7)


def test_the_estimate_counts_what_each_model_answers(tmp_path: Path) -> None:
    only = a_mix(sources=[{"kind": "responses", "model": "m1", "origins": ["first"]}])
    inputs = CostInputs(study(), {}, {}, {}, {}, load_assumptions(), tmp_path)
    each = conversations(inputs, ["first"])
    assert conversations(inputs) == 2 * (each or 0) > 0
    assert mix_size(inputs, only) == each
    write_json(
        tmp_path / "s/prompts/report.json",
        {"kept": 12, "sources": {"first": {"kept": 5}, "second": {"kept": 7}}, "turns": {}},
    )
    assert (conversations(inputs), conversations(inputs, ["second"])) == (12, 7)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"responses": {"models": ["m1"], "overrides": {"m1": {"origins": ["frist"]}}}},
            r"overrides\.m1: origins: 'frist' is not among the sources of the study's prompts.*'first'",
        ),
        (
            {"mixes": {"m": {"sources": [{"kind": "responses", "model": "m2", "origins": ["third"]}]}}},
            r"mixes\.m: m2: origins: 'third' is not among",
        ),
        (
            {"mixes": {"m": {"sources": [{"kind": "responses", "model": "m1", "origins": ["second"]}]}}},
            r"mixes\.m: m1: origins: m1 answers first only; add 'second' to responses",
        ),
        (
            {
                "preferences": {
                    "p": {"model": "m1", "prompts": 2, "origins": ["forst"], "scorer": {"kind": "rubric"}}
                }
            },
            r"preferences\.p: origins: 'forst'.*'first'",
        ),
    ],
)
def test_a_source_that_is_not_there_is_an_error(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study(**more)

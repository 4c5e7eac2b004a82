"""Self-Instruct as a source: settings, the seed tasks that are shipped, novelty against a plain oracle."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from conftest import copy_workflow
from rewild.config.base import validate
from rewild.config.prompts import Prompts
from rewild.config.self_instruct import SelfInstruct
from rewild.core.errors import ConfigError
from rewild.prompts.synthesis.checks import Wanted, what_is_wrong
from rewild.prompts.synthesis.collect import by_reason, collect, without_copies
from rewild.prompts.synthesis.copies import similar, words_of
from rewild.prompts.synthesis.schema import SAMPLES
from rewild.prompts.synthesis.spec import described
from test_synthesis import report, row, written

GIVEN: dict[str, Any] = {"kind": "self-instruct", "name": "air", "model": "tiny", "count": 100}


def source(**changes: Any) -> SelfInstruct:
    found = validate(Prompts, {"sources": [GIVEN | changes]}, "study s: prompts").sources[0]
    assert isinstance(found, SelfInstruct)
    return found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"shown": 49},
            r"shown: 49 seed tasks are more than the 36 of resources/prompts/self-instruct\.yaml",
        ),
        ({"tasks": "nowhere.yaml"}, r"tasks: nowhere\.yaml"),
        ({"turns": 2}, "turns: 2 is not one of 1"),
        ({"novlty": 0.5}, "unknown key 'sources.0.self-instruct.novlty'; did you mean 'novelty'"),
        ({"least_words": 9, "most_words": 8}, "least_words: 9 are more than most_words, 8"),
        ({"kind": "self_instruct"}, "'self_instruct' is not one of .*; did you mean 'self-instruct'"),
    ],
)
def test_a_mistake_names_the_key_and_the_nearest(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source(**changes)


def test_a_file_of_tasks_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text("ask: x\ntasks: {a: ''}\n")
    with pytest.raises(ConfigError, match=r"tasks: .*tasks\.yaml: tasks\.a"):
        source(tasks=str(path))


def test_what_identifies_a_sample_and_what_does_not() -> None:
    usual = described(source())
    assert usual == described(source(novelty=0.5, near_copy=0.9, count=500, shards=3))
    for other in ({"shown": 4}, {"most_words": 99}, {"system": "math"}):
        assert described(source(**other)) != usual, other
    assert len(usual["asked"]["tasks"]) == 36
    assert source().letters > len(source().seeds.ask)


def test_the_seed_tasks_are_many_diverse_and_tasks_by_our_own_rules() -> None:
    tasks = list(source().seeds.tasks.values())
    assert len(tasks) >= 30
    assert [found for found, _ in similar(tasks, [], 0.4)] == [None] * len(tasks), "none is like another"
    for task in tasks:
        assert what_is_wrong(task, Wanted("English")) is None, task
        assert 4 <= len(words_of(task)) <= 150, task


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """F1 of the longest common subsequence, from the definition."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return 2 * table[-1][-1] / max(len(one) + len(other), 1)


@pytest.mark.parametrize("library", [True, False])
def test_novelty_is_rouge_l_with_all_that_was_kept(library: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An oracle that goes through the texts one by one; more of them than are compared at once. Where the
    library is not there, as in an engine's environment, a pilot says the same."""
    if not library:
        monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    draw = random.Random(4)
    words = [f"w{n}" for n in range(6)]
    texts = [" ".join(draw.choices(words, k=draw.randint(0, 9))) for _ in range(150)]
    seeds = [" ".join(draw.choices(words, k=6)) for _ in range(5)]
    kept = [(-n, seed.split()) for n, seed in enumerate(seeds, start=1)]
    found = similar(texts, seeds, 0.7)
    refused = 0
    for at, (text, (name, score)) in enumerate(zip(texts, found, strict=True)):
        best = max(((rouge_l(text.split(), other), n) for n, other in kept), key=lambda pair: pair[0])
        assert (name is not None) == (best[0] > 0.7), text
        if name is None:
            kept.append((at, text.split()))
            continue
        refused += 1
        assert score == pytest.approx(best[0], abs=1e-6)
        assert rouge_l(text.split(), dict(kept)[name]) == pytest.approx(best[0])
    assert 30 < refused < 150
    assert similar(["A b, c!"], ["a B c"], 0.7) == [(-1, 1.0)]
    assert similar(["", "!?", ""], [], 0.7) == [(None, 0.0)] * 3


def test_what_is_not_new_is_counted_and_nothing_is_lost(tmp_path: Path) -> None:
    seed = source().seeds.tasks["tides"]
    texts = [
        "Name three birds that cannot fly and say why.",
        "Name three birds that cannot fly, and say where.",
        seed.replace("ten", "nine"),
        "Name three birds that cannot fly and say why.",
        "How long does a letter take from Oslo to Rome?",
    ]
    rows = [row(n, text) for n, text in enumerate(texts)]
    frame = pl.DataFrame(rows, schema=SAMPLES.dtypes, orient="row")
    made = source(count=5)
    judged = without_copies(frame, made.near_copy, made.pool)
    assert judged["failure"].to_list() == [
        None,
        "similar: 0 (0.89)",
        "similar: seed 2 (0.93)",
        "repeated: 0",
        None,
    ]
    assert by_reason(judged["failure"]) == {"similar": 2, "repeated": 1}
    manifest = collect(made, report(), [written(tmp_path, rows)], [], tmp_path / "out")
    assert (manifest.samples, manifest.prompts, manifest.failures) == (5, 2, {"similar": 2, "repeated": 1})


@pytest.mark.workflow
def test_its_rules_are_those_of_synthesis(tmp_path: Path, snakemake: Any) -> None:
    path = copy_workflow(tmp_path) / "config/studies/demo.yaml"
    study = yaml.safe_load(path.read_text())
    asked = GIVEN | {"model": "demo-herald", "engine": "transformers", "shards": 2}
    study["prompts"]["sources"].append(asked)
    path.write_text(yaml.safe_dump(study))
    run = snakemake(tmp_path, "-n", "--config", "study=demo", "--", "results/demo/prompts/report.json")
    assert run.returncode == 0, run.stdout[-3000:]
    assert "trying the prompts of air on a small sample" in run.stdout
    shards = ("0000", "0001", "0002")
    assert [f"shard {n} of the prompts of air" in run.stdout for n in shards] == [True, True, False]

"""MAGPIE at full scale: what the study holds by the paper's text, and that it is laid out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import Run
from rewild.config import load_models, load_study
from rewild.config.recipes import load_recipes
from rewild.config.study import Study
from rewild.config.synthesis import Synthesis

CONFIG = Path(__file__).resolve().parents[2] / "config"
BASE = "meta-llama-3-8b"
AIR, PRO = "meta-llama-3-8b-instruct", "meta-llama-3-70b-instruct"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(CONFIG, "magpie")


def written(study: Study) -> dict[str, Synthesis]:
    """Source → its settings; all of them are written by models."""
    assert study.prompts is not None
    return {s.name: s for s in study.prompts.sources if isinstance(s, Synthesis)}


def test_sizes_and_writers_are_those_of_section_3_and_4(study: Study) -> None:
    sources = written(study)
    assert len(sources) == len(study.prompts.sources if study.prompts else [])
    assert {n: (sources[n].model, sources[n].count) for n in ("air", "pro")} == {
        "air": (AIR, 3_000_000),
        "pro": (PRO, 1_000_000),
    }
    grid = {(s.temperature, s.top_p) for s in sources["air"].pattern}
    assert {t for t, _ in grid} == {1.0, 1.1, 1.2}
    assert {p for _, p in grid} <= {1.0, 0.995, 0.99}
    assert (sources["air-mt"].turns, sources["pro-mt"].turns) == (2, 2)
    assert {
        m: study.mixes[m].total() for m in ("air-300k", "pro-300k", "pro-mix", "chinese", "code-100k")
    } == {
        "air-300k": 300_000,
        "pro-300k": 300_000,
        "pro-mix": 450_000,
        "chinese": 200_000,
        "code-100k": 100_000,
    }
    for name, model in (("air-pairs", AIR), ("pro-pairs", PRO)):
        pairs = study.preferences[name]
        assert (pairs.model, pairs.prompts, pairs.samples, pairs.sampling.temperature) == (
            model,
            100_000,
            5,
            0.8,
        )


def test_each_prompt_is_answered_once_and_greedily(study: Study) -> None:
    """By the model that wrote it; the booster's by Llama-3-70B, which the authors' list of data sets says."""
    responses = study.responses
    assert responses is not None
    assert responses.sampling.temperature == 0
    chat = [model for model in responses.models if model != BASE]
    answers = {name: model for model in chat for name in responses.origins_of(model)}
    assert sum(len(responses.origins_of(m)) for m in chat) == len(answers)
    assert responses.origins_of(BASE) == ["air", "pro"], "whose rewards are compared with the base model's"
    booster = {"math", "code", "reasoning"}
    only_labelled = {"air-grid", "air-told"}
    assert set(answers) == set(written(study)) - only_labelled
    for name, model in answers.items():
        assert model == (PRO if name in booster else written(study)[name].model)


def test_filtered_sets_have_300_000_and_say_so(study: Study) -> None:
    """By the shared rows of filters, whose last condition keeps the longest."""
    for name in ("air-filtered", "pro-filtered"):
        *_, last = study.mixes[name].filters.measures
        assert (last.measure, last.column, last.over, last.top) == ("length", "characters", "total", 300_000)


def test_every_base_model_has_the_template_of_its_recipe(study: Study) -> None:
    models, recipes = load_models(CONFIG, study), load_recipes(CONFIG)
    for run in study.runs.values():
        if run.recipe and run.model in models and not models[run.model].chat_template:
            assert models[run.model].family in recipes[run.recipe].templates


def test_recipes_are_the_authors() -> None:
    recipes = load_recipes(CONFIG)
    sft, dpo = recipes["magpie-sft"], recipes["magpie-dpo"]
    assert (sft.learning_rate, sft.epochs, sft.warmup_steps, sft.batch, sft.sequence_length, sft.packing) == (
        *(2e-5, 2, 100, 32, 8192),
        True,
    )
    assert (dpo.learning_rate, dpo.beta, dpo.epochs, dpo.batch, dpo.sequence_length, dpo.warmup_ratio) == (
        *(5e-7, 0.01, 1, 128, 2048),
        0.1,
    )
    assert "beta" not in dpo.unstated


@pytest.mark.workflow
def test_all_of_it_is_laid_out(snakemake: Run, copy: Path, study: Study) -> None:
    run = snakemake(copy, "-n", "--quiet", "all", "--config", "study=magpie")
    assert run.returncode == 0, run.stdout[-3000:]
    table = run.stdout.partition("Job stats:")[2].partition("\ntotal")[0]
    jobs = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    assert study.prompts is not None
    assert jobs["synthesise_shard"] >= sum(s.shards for s in written(study).values())
    assert jobs["collect_synthesis"] == len(written(study))
    assert jobs["answer_shard"] == 5 * study.prompts.shards
    assert jobs["train_run"] == sum(r.mix is not None for r in study.runs.values())
    assert jobs["make_mix"] == len(study.mixes)
    assert jobs["judge_answers"] == 4 * len(study.runs)
    assert sum(jobs.values()) < 3000

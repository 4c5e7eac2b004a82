"""Runs and recipes: what a study may say of them, where a run's model is, how it is called."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rewild.config import Study, load_models, load_study, study_names
from rewild.config.base import validate
from rewild.config.recipes import Recipe, find_recipe, load_recipes
from rewild.config.runs import Run
from rewild.config.trainings import check_runs, display, start_of, training_of, weights_of
from rewild.core.errors import ConfigError

CONFIG = Path(__file__).resolve().parents[2] / "config"
MODELS = load_models(CONFIG)
RECIPES = load_recipes(CONFIG)
BASE = {"learns": "documents"}


def study(runs: dict[str, Any], mixes: tuple[str, ...] = (), pairs: tuple[str, ...] = (), **more: Any) -> Any:
    """A study with these runs; mixes and sets of preference pairs by name only, with a label."""
    made = validate(
        Study,
        {
            "name": "s",
            "title": "S",
            "source": "computed",
            "seed": 7,
            "demo": {"models": {"base": BASE}},
            "runs": runs,
        }
        | more,
        "study s",
    )
    rows = {
        section: {name: SimpleNamespace(label=name.upper(), reasons=False) for name in names}
        for section, names in (("mixes", mixes), ("preferences", pairs))
    }
    fields = {name: getattr(made, name) for name in Study.model_fields}
    return SimpleNamespace(**fields | rows, made=made.made)


def test_the_papers_recipe_is_section_3_1() -> None:
    recipe = RECIPES["wildchat50m"]
    assert (recipe.learning_rate, recipe.epochs, recipe.scheduler) == (2e-5, 1, "cosine")
    assert (recipe.accumulation, recipe.gpus, recipe.batch) == (8, 4, 32)
    assert (recipe.sequence_length, recipe.packing, recipe.precision) == (8192, True, "bf16")
    assert recipe.attention == "flash_attention_2"
    assert recipe.gradient_checkpointing
    assert recipe.fsdp is not None
    other = RECIPES["stronger-teachers"]
    assert (other.epochs, other.warmup_steps, other.learning_rate, other.batch) == (2, 100, 2e-5, 32)
    assert RECIPES["magpie-dpo"].learning_rate == 5e-7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rat": 1e-3}, "unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        ({"gpus": 0}, "precision: bf16 needs GPUs, but gpus is 0"),
        ({"gpus": 0, "precision": "fp32"}, "attention: flash_attention_2 needs GPUs"),
        ({"gpus": 1, "fsdp": {}}, "fsdp shards over two GPUs or more"),
        ({"kind": "dpo"}, "beta is given exactly when kind is dpo"),
        ({"packing": True, "attention": "eager"}, "lets samples see each other"),
        ({"warmup_steps": 3, "warmup_ratio": 0.1}, "warmup_steps or warmup_ratio, not both"),
        ({"unstated": ["epoch"]}, "unstated: unknown key 'epoch'; did you mean 'epochs'?"),
        ({"learning_rate": 20}, "learning_rate: input should be less than 1"),
    ],
)
def test_a_recipe_that_cannot_be_meant(change: dict[str, Any], message: str) -> None:
    row = {
        "slug": "r",
        "title": "R",
        "learning_rate": 1e-3,
        "sequence_length": 64,
        "gpus": 4,
        "source": "here",
    }
    validate(Recipe, row, "recipe r")
    flash = {"attention": "flash_attention_2"}
    with pytest.raises(ConfigError) as caught:
        validate(Recipe, row | flash | change, "recipe r")
    assert message in str(caught.value)


def test_a_recipes_typo_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown recipe 'wildchat50'; did you mean 'wildchat50m'"):
        find_recipe(RECIPES, "wildchat50")


def test_where_a_runs_model_is() -> None:
    found = study(
        {
            "tuned": {"model": "base", "mix": "m", "recipe": "demo"},
            "pairs": {"model": "tuned", "mix": "p", "recipe": "demo-dpo", "seed": 3},
            "base": {"model": "base"},
            "llama": {"model": "llama-3.1-8b"},
        },
        mixes=("m",),
        pairs=("p",),
    )
    assert weights_of(found, "tuned", MODELS | found.made).path == "results/s/runs/tuned/checkpoint"
    assert start_of(found, "tuned", MODELS | found.made).path == "results/s/models/base"
    assert start_of(found, "pairs", MODELS | found.made).path == "results/s/runs/tuned/checkpoint"
    assert weights_of(found, "base", MODELS | found.made).path == "results/s/models/base"
    hub = weights_of(found, "llama", MODELS | found.made)
    assert (hub.path, hub.local) == ("meta-llama/Llama-3.1-8B", False)
    trainings = check_runs(found, MODELS | found.made, RECIPES)
    assert set(trainings) == {"tuned", "pairs"}
    assert (trainings["tuned"].seed, trainings["pairs"].seed) == (7, 3)
    assert trainings["tuned"].template.end_of_turn == "<|eot_id|>"
    assert trainings["pairs"].template is None, "a fine-tune has the template it learned"


def test_names_are_the_papers() -> None:
    found = study(
        {
            "a": {"model": "llama-3.1-8b", "mix": "q72", "recipe": "wildchat50m"},
            "b": {"model": "qwen2.5-72b-instruct"},
            "c": {"model": "b", "label": "Ours"},
        },
        mixes=("q72",),
    )
    assert display(found, "a", MODELS | found.made) == "L8B : Q72"
    assert display(found, "b", MODELS | found.made) == "Q72 : None"
    assert display(found, "c", MODELS | found.made) == "Ours"


@pytest.mark.parametrize(
    ("name", "run", "told"),
    [
        ("wildchat50m", "l8b-q72-500k", "L8B : Q72 (500k)"),
        ("wildchat50m", "l8b-gpt-100k", "L8B : GPT (100k)"),
        ("wildchat50m", "l8b-q72-l70-250k", "L8B : Q72 + L70 (250k)"),
        ("wildchat50m", "l8b-q72-truncated-250k", "L8B : Q72 (250k, truncated)"),
        ("wildchat50m", "re-wild", "Re-Wild"),
        ("wildchat50m", "re-wild-dpo-l8i", "Re-Wild : l8i-pairs"),
        ("wildchat50m", "q72", "Q72 : None"),
        ("demo", "base-herald", "demo-base : demo-herald (220)"),
    ],
)
def test_what_the_studies_runs_are_called(name: str, run: str, told: str) -> None:
    found = load_study(CONFIG, name)
    assert display(found, run, MODELS | found.made) == told


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({"a": {"model": "bas", "mix": "m", "recipe": "demo"}}, "run 'a': unknown model 'bas'"),
        (
            {"a": {"model": "base", "mix": "n", "recipe": "demo"}},
            "run 'a': unknown mix 'n'; did you mean 'mn'?",
        ),
        (
            {"a": {"model": "base", "mix": "mn", "recipe": "demo-dpo"}},
            "run 'a': recipe 'demo-dpo' learns from a set of preference pairs; 'mn' is not one",
        ),
        (
            {"a": {"model": "base", "mix": "mn", "recipe": "dem"}},
            "unknown recipe 'dem'; did you mean 'demo'?",
        ),
        (
            {
                "a": {"model": "b", "mix": "mn", "recipe": "demo"},
                "b": {"model": "a", "mix": "mn", "recipe": "demo"},
            },
            "runs start from each other",
        ),
        (
            {"a": {"model": "llama-3.1-8b", "mix": "mn", "recipe": "demo"}},
            "'llama-3.1-8b' has no chat template, and recipe 'demo' gives none for the family 'llama-3.1'",
        ),
    ],
)
def test_what_a_run_names_must_exist(runs: dict[str, Any], message: str) -> None:
    found = study(runs, mixes=("mn",))
    with pytest.raises(ConfigError) as caught:
        check_runs(found, MODELS | found.made, RECIPES)
    assert message in str(caught.value)


def test_half_a_training_is_none() -> None:
    with pytest.raises(
        ConfigError, match="both a mix and a recipe, or neither; 'mix' is given, 'recipe' is not"
    ):
        validate(Run, {"model": "base", "mix": "m"}, "run")
    with pytest.raises(ConfigError, match="seed is of the training"):
        validate(Run, {"model": "base", "seed": 1}, "run")


def test_every_studys_runs_are_sound() -> None:
    for found in (load_study(CONFIG, name) for name in study_names(CONFIG)):
        for run in found.runs:
            assert display(found, run, MODELS | found.made)
            training_of(found, run, MODELS | found.made, RECIPES)

"""The study of teachers: what it holds by the paper's text, and that all of it can be shown."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from rewild.config import load_models, load_study
from rewild.config.recipes import load_recipes
from rewild.config.roster import make_roster
from rewild.config.study import Study
from rewild.config.trainings import check_runs
from rewild.report.teachers.plan import VIEWS, Plan, plan_teachers

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(CONFIG, "teachers")


@pytest.fixture(scope="module")
def plan(study: Study) -> Plan:
    return plan_teachers(study, make_roster(study, load_models(CONFIG)))


def test_teachers_and_bases_are_those_of_table_6(study: Study, plan: Plan) -> None:
    models = load_models(CONFIG)
    sizes: dict[str, list[float]] = {}
    for teacher in plan.teachers:
        parameters = models[teacher].parameters
        assert parameters is not None
        sizes.setdefault(models[teacher].family, []).append(parameters.total / 1e9)
    # Families and the sizes in their members' names, as Table 6 has them; the smallest first
    assert {family: [round(size, 1) for size in found] for family, found in sizes.items()} == {
        "phi-3": [3.8, 7.4, 14.0],
        "gemma-2": [2.6, 9.2, 27.2],
        "llama-3": [8.0, 70.6],
        "llama-3.1": [8.0, 70.6, 405.9],
        "qwen2": [1.5, 7.6, 72.7],
        "qwen2.5": [3.1, 7.6, 14.8, 32.8, 72.7],
    }
    assert plan.bases == (
        "qwen2-1.5b", "gemma-2-2b", "qwen2.5-3b", "llama-3.2-3b", "llama-3.1-minitron-4b-width-base"
    )  # fmt: skip
    assert set(plan.runs) == set(product(plan.bases, plan.teachers))
    assert len(set(plan.runs.values())) == 95
    assert all(study.runs[run].model == base for (base, _), run in plan.runs.items())
    assert study.responses is not None
    assert study.responses.sampling.temperature == 0


def test_every_fine_tune_takes_two_epochs_and_can_be_laid_out(study: Study) -> None:
    trainings = check_runs(study, load_models(CONFIG), load_recipes(CONFIG))
    assert len(trainings) == len(study.runs) == 95 + 6 + 1 + 12 + 6
    assert {t.recipe.epochs for t in trainings.values()} == {2}
    assert all(t.template or t.start.row.chat_template is None for t in trainings.values())


def test_variants_are_figure_3_and_tables_2_and_3(study: Study, plan: Plan) -> None:
    given = study.teachers
    assert given is not None
    groups: dict[str, int] = {}
    for variant in given.variants.values():
        groups[variant.group] = groups.get(variant.group, 0) + 1
    assert groups == {"sampling": 12, "rejection": 8, "outside": 7}
    for name, variant in given.variants.items():
        mix = study.mixes[study.runs[variant.run].mix or ""]
        if variant.group == "sampling":
            [source] = mix.sources
            assert source.kind == "samples"
            sampling = study.preferences[source.of].sampling
            assert (sampling.temperature, sampling.top_p) == (variant.temperature, variant.top_p), name
        elif variant.group == "rejection" and variant.choose != "greedy":
            [source] = mix.sources
            assert source.kind == "samples"
            assert (source.of, source.choose) == ("five", variant.choose)
    five = study.preferences["five"]
    assert (five.samples, five.sampling.temperature) == (5, 0.8)


def test_all_figures_and_tables_can_be_made(study: Study, plan: Plan) -> None:
    assert plan.left_out == ()
    assert plan.views == tuple(VIEWS)
    assert study.teachers is not None
    assert set(study.teachers.predictors) == {
        "rm1", "rm2", "rm3", "ifd-gpt2", "ifd-self", "ppl-gpt2", "ppl-self", "length"
    }  # fmt: skip
    assert set(plan.likelihoods) == set(plan.bases)


def test_a_part_of_it_can_be_laid_out(study: Study) -> None:
    """What was left out is compared with nothing."""
    models = load_models(CONFIG)

    def part(**over: object) -> tuple[Study, Plan]:
        found = load_study(CONFIG, "teachers", over)
        return found, plan_teachers(found, make_roster(found, models))

    _, plan = part(models=["gemma-2-2b-it", "gemma-2-9b-it", "phi-3-mini-128k-instruct"])
    assert len(plan.runs) == 5 * 3
    assert len(plan.bases) == 5
    _, plan = part(runs="q15-*")
    assert (plan.bases, len(plan.runs), len(plan.teachers)) == (("qwen2-1.5b",), 19, 19)
    found, plan = part(runs="m4-five-best")
    assert found.responses is not None
    assert (found.responses.models, list(found.preferences)) == (["gemma-2-9b-it"], ["five"])
    assert (plan.bases, dict(plan.runs)) == (("llama-3.1-minitron-4b-width-base",), {})
    assert found.teachers is not None
    assert list(found.teachers.variants) == ["m4-five-best"]
    assert "rejection" in plan.views

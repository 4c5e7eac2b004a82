"""What identifies a generation: unchanged by any change of the code, whichever stage asks.

The values were computed before there was a type for it, when every stage had the section ``responses``. They
may change only with a setting of these two studies or with the stage version. The triggers of `ALL` changed
once besides: of a plan's context they have what is used, not what its memory would hold. No identity did.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from rewild.config import load_benchmarks, load_defaults, load_models, load_study
from rewild.config.judging import judged_rows
from rewild.config.runners import find_runner
from rewild.config.trainings import style_models
from rewild.evaluation.harness.settings import evaluated
from rewild.evaluation.judged.job import answer_spec
from rewild.generation.spec import Spec, digest_of, identity, limits, settings_of
from rewild.responses.spec import make_spec
from rewild.training.preferences.job import preference_spec, seed_of

CONFIG = Path(__file__).resolve().parents[2] / "config"
ALL = {"wildchat50m": (254, "c21a24447643b3d5")}
SOME = {
    "demo/demo-herald": "35af38a62b2d081e",
    "demo/demo-plain": "2c32dcb4d99ae91c",
    "demo/demo-mini": "e2d5ca631ca1e1bd",
    "demo/pref/herald-pairs": "06d6b128c8293480",
    "demo/answers/base-herald/demo-chat": "3a4a3ec7eea25ca0",
    "demo/answers/base-herald/demo-pairs": "3a4a3ec7eea25ca0",
    "wildchat50m/qwen2.5-72b-instruct": "d48187331c66e7e9",
    "wildchat50m/pref/l8i-pairs": "d07b4a3f547a53d6",
    "wildchat50m/pref/l70-pairs": "a9ff98fe2bbb2bae",
}


def specs(name: str) -> dict[str, Spec]:
    """All that a study asks models for: responses, samples for preferences, answers to benchmarks."""
    study, gpus = load_study(CONFIG, name), load_defaults(CONFIG).gpus
    models = load_models(CONFIG, study)
    benchmarks = load_benchmarks(CONFIG, models)
    assert study.responses is not None
    assert study.evaluation is not None
    found = {}
    for model in dict.fromkeys([*study.responses.models, *style_models(study)]):
        found[f"{name}/{model}"] = make_spec(study, model, models, gpus)
    for pairs, row in study.preferences.items():
        spec = make_spec(study, row.model, models, gpus)
        found[f"{name}/pref/{pairs}"] = preference_spec(spec, row, seed_of(study, row))
    for judged in judged_rows(study.evaluation.benchmarks, benchmarks):
        for run in evaluated(study):
            spec = answer_spec(study, run, find_runner(judged.runner), models, gpus)
            found[f"{name}/answers/{run}/{judged.slug}"] = spec
    return found


def digest(spec: Spec) -> str:
    """With the weights that are not here by their path, and a template's hash that is invented."""
    return digest_of(identity(spec, spec.source.path, "T", limits(spec, 4096)))


@pytest.mark.parametrize("study", ["demo", "wildchat50m"])
def test_the_settings_of_a_study_identify_what_they_did_before(study: str) -> None:
    found = specs(study)
    text = "\n".join(f"{name} {settings_of(spec)}" for name, spec in found.items())
    assert (len(found), sha256(text.encode()).hexdigest()[:16]) == ALL.get(study) or study not in ALL
    some = {name: hash_ for name, hash_ in SOME.items() if name.startswith(study)}
    assert {name: digest(found[name]) for name in some} == some


def test_a_row_of_the_registry_may_lie_in_a_folder() -> None:
    """The models that a study makes join the registry so; nothing else knows of them."""
    study = load_study(CONFIG, "demo")
    models = load_models(CONFIG, study)
    assert models["demo-herald"].folder == "results/demo/models/demo-herald"
    assert "demo-herald" not in load_models(CONFIG)
    row = models["demo-herald"].model_copy(update={"folder": "elsewhere/m"})
    source = make_spec(study, "demo-herald", models | {"demo-herald": row}).source
    assert (source.path, source.revision, source.precision) == ("elsewhere/m", None, "fp32")

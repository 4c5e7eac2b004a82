"""Judges that a study loads: what may be one, what its jobs ask for, what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parsed import jobs
from rewild.config import load_benchmarks, load_defaults, load_models
from rewild.config.assumptions import load_assumptions
from rewild.config.base import identity, validate
from rewild.config.judging import Judging, judging_of
from rewild.config.reasoning import Reasoning
from rewild.config.recipes import load_recipes
from rewild.config.study import Study
from rewild.core.errors import ConfigError
from rewild.evaluation.judged.job import judge_identity, judge_spec
from rewild.generation.spec import settings_of
from rewild.operate.cost.base import CostInputs, Line
from rewild.operate.cost.estimate import estimate
from rewild.operate.cost.jobs import hours_of_jobs
from rewild.operate.preflight import used_models

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
MODELS = load_models(CONFIG)
BENCHMARKS = load_benchmarks(CONFIG, MODELS)
GPUS = load_defaults(CONFIG).gpus
H100 = {"compute": {"gpu": "H100-80"}}
LOCAL = {"judge": "qwen2.5-72b-instruct", "local": H100}
PRICED = {"prices": {"gpt-4o-mini": {"input": 1, "output": 2, "date": "2024-07-18", "source": "x"}}}


def study_of(**judging: Any) -> Study:
    given = {
        "name": "s",
        "title": "s",
        "source": "computed",
        "runs": {"one": {"model": "qwen2-7b-instruct"}, "two": {"model": "qwen2-7b"}},
        "evaluation": {"benchmarks": ["mt-bench"], "compute": {"gpu": "H100-80"}, "backend": "vllm"},
        "judging": {"answers": {"compute": {"gpu": "H200-141"}}, **PRICED, **judging},
    }
    return validate(Study, given, "study s")


def spec_of(**judging: Any) -> Any:
    return judge_spec(study_of(**judging), BENCHMARKS["mt-bench"], MODELS, GPUS)


def inputs_of(study: Study) -> CostInputs:
    recipes, assumed = load_recipes(CONFIG), load_assumptions(ROOT)
    return CostInputs(study, MODELS, recipes, BENCHMARKS, GPUS, assumed, Path("nowhere"))


@pytest.mark.parametrize(
    ("judging", "message"),
    [
        (
            {"local": {}},
            "the judge 'gpt-4o-mini' of mt-bench (judging.judge names another) is at",
        ),
        (
            {"judge": "rubric", "local": {}},
            "the judge 'rubric' of mt-bench (judging.judge names another) is",
        ),
        (
            {"judge": "qwen2.5-72b-instrukt", "local": {}},
            "is not in models.yaml; did you mean 'qwen2.5-72b-instruct'?",
        ),
        ({"judge": "llama-3.1-8b", "local": {}}, "has no chat template: it cannot be talked to"),
        (
            {"judge": "meta-llama-guard-2-8b", "local": {}},
            "has the role measure alone: it answers no",
        ),
        (LOCAL | {"local": {"context": 10**6}}, "was made for 32768 tokens, not 1000000 (context)"),
        (
            LOCAL | {"local": {"compute": {"gpu": "H100"}}},
            "study s: judging.local: the judge 'qwen2.5-72b",
        ),
    ],
)
def test_what_is_no_judge_is_named_before_the_dag(judging: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec_of(**judging)
    assert message in str(error.value)
    assert str(error.value).startswith("study s: judging.local: the judge '")


@pytest.mark.parametrize(
    ("local", "message"),
    [
        (
            {"engine": "openai"},
            "local: engine: 'openai' asks an endpoint, as a judge is asked",
        ),
        ({"engine": "vlm"}, "local.engine: 'vlm' is not one of"),
        (
            {"engine": "transformers", "compute": {"vllm": {"max_num_seqs": 4}}},
            "compute.vllm: the engine is transformers",
        ),
        ({"contxt": 4096}, "unknown key 'local.contxt'; did you mean 'context'?"),
    ],
)
def test_a_mistake_in_the_section_is_named(local: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate(Judging, {"local": local}, "study s: judging")
    assert message in str(error.value)


def test_without_a_judge_of_its_own_a_study_is_what_it_was() -> None:
    assert spec_of() is None
    assert "local" not in identity(study_of().judging)
    row = BENCHMARKS["mt-bench"]
    assert json.loads(judging_of(study_of().judging, row, MODELS, 50)) == {
        "attempts": 3,
        "judge": "gpt-4o-mini",
        "asked": "gpt-4o-mini-2024-07-18",
        "seed": 50,
        "stage": 2,
    }


def test_what_identifies_its_judgments() -> None:
    spec = spec_of(**LOCAL)
    assert (spec.model, spec.gpus, spec.limits.at_most, spec.source.precision) == (
        LOCAL["judge"],
        4,
        16384,
        "bf16",
    )
    assert spec_of(judge=LOCAL["judge"], local={}).compute.gpu == "H200-141"  # that of the answers

    def known(**local: Any) -> tuple[str, str]:
        made = spec_of(judge=LOCAL["judge"], local=local)
        return judge_identity(made), settings_of(made)

    first = known(**H100)
    for how in ({"gpu": "H200-141"}, {"gpu": "H100-80", "window": 9, "chunk": 3, "objective": "fewest"}):
        assert known(compute=how) == first
    for what in ({"precision": "fp8"}, {"context": 8192}, {"engine": "transformers"}):
        assert not set(known(**H100, **what)) & set(first)
    assert not set(known(compute=H100["compute"] | {"vllm": {"kv_cache_dtype": "fp8"}})) & set(first)
    judge = MODELS[LOCAL["judge"]]
    reasons = judge.model_copy(update={"reasoning": validate(Reasoning, {"budget": 64}, "reasoning")})
    thinks = judge_spec(study_of(**LOCAL), BENCHMARKS["mt-bench"], MODELS | {LOCAL["judge"]: reasons}, GPUS)
    assert thinks is not None
    assert not {judge_identity(thinks), settings_of(thinks)} & set(first)


def test_it_costs_gpu_hours_and_no_money() -> None:
    def judged(**judging: Any) -> list[Line]:
        return [line for line in estimate(inputs_of(study_of(**judging))) if line.stage == "judging"]

    paid, ours = judged(), judged(**LOCAL)
    assert [(x.gpus, x.gpu_hours) for x in paid] == [(0, 0.0)]
    assert paid[0].dollars > 0
    assert [(x.gpus, x.dollars, x.jobs, x.read) for x in ours] == [(4, 0.0, 2, paid[0].read)]
    assert ours[0].gpu_hours == pytest.approx(4 * 2 * ours[0].hours)
    assert ("judging", "mt-bench") in hours_of_jobs(inputs_of(study_of(**LOCAL)))
    assert ("judging", "mt-bench") not in hours_of_jobs(inputs_of(study_of()))
    assert LOCAL["judge"] in used_models(inputs_of(study_of(**LOCAL)))
    assert LOCAL["judge"] not in used_models(inputs_of(study_of()))


@pytest.mark.heavy
def test_its_job_waits_for_its_weights_and_takes_its_gpus() -> None:
    target = "results/wildchat50m/benchmarks/l8b-q7-250k/mt-bench/judgments.parquet"
    planned = [
        job
        for judging in (LOCAL, {})
        for job in jobs(target, study="wildchat50m", prompts={"shards": 1}, judging=judging)
        if job.rule.name == "judge_answers"
    ]
    (ours, theirs) = planned
    revision = MODELS[LOCAL["judge"]].revision or "unpinned"
    assert [str(path) for path in ours.input.weights] == [
        f"results/downloads/models/Qwen/Qwen2.5-72B-Instruct/{revision}.json"
    ]
    assert [str(path) for path in ours.input.env] == [".envs/vllm/ready"]
    assert (ours.resources["gpu"], ours.resources["judges"]) == (4, 0)
    assert "Qwen2.5-72B-Instruct" in ours.params.hub[0]
    assert "asked" in json.loads(ours.params.judged)
    assert not [*theirs.input.weights, *theirs.input.env, *theirs.input.model, *theirs.params.hub]
    assert (theirs.resources["gpu"], theirs.resources["judges"], theirs.params.python) == (0, 1, "python")

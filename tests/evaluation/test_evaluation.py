"""Settings of ground-truth benchmarks: what a study may say, what reruns a job, how a model is loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rewild.config import load_benchmarks, read_study
from rewild.config.base import validate
from rewild.config.evaluation import EvaluationCompute
from rewild.config.gpus import GPUS
from rewild.config.models import load_models
from rewild.config.study import Study
from rewild.core.errors import ConfigError
from rewild.engines.plan import architecture_of
from rewild.evaluation.harness.job import settings_for
from rewild.evaluation.harness.run import Settings, model_arguments
from rewild.evaluation.harness.settings import (
    check_evaluation,
    evaluated,
    gpus_of,
    settings_of,
    target_of,
    tasks_of,
)


def study(**evaluation: Any) -> Study:
    given = {
        "name": "mine",
        "title": "A study",
        "source": "computed",
        "runs": {"q7": {"model": "qwen2-7b-instruct"}, "l8": {"model": "llama-3.1-8b-instruct"}},
        "evaluation": {"benchmarks": ["bbh", "ifeval", "ifeval-loose"], **evaluation},
    }
    return validate(Study, given, "study mine")


@pytest.fixture(scope="module")
def tables(root: Path):
    models = load_models(root / "config")
    return load_benchmarks(root / "config", models), models


def test_the_settings_of_a_benchmark_lie_over_the_studys(tables) -> None:
    mine = study(limit=5, settings={"bbh": {"fewshot": 2, "limit": 7}})
    bbh, ifeval, loose = tasks_of(mine, tables[0])
    assert (bbh.name, bbh.fewshot, bbh.limit) == ("leaderboard_bbh", 2, 7)
    assert (ifeval.fewshot, ifeval.limit, ifeval.dataset) == (0, 5, "wis-k/instruction-following-eval")
    # Two metrics of one task: the same results.
    assert ifeval.identity() == loose.identity()
    assert ifeval.identity() != bbh.identity()


def test_what_reruns_a_job_and_what_does_not(tables) -> None:
    base = settings_of(study(), "q7", *tables)
    assert settings_of(study(compute={"batch": 4, "threads": 2, "minutes": 9}), "q7", *tables) == base
    assert settings_of(study(max_empty=0.1), "q7", *tables) == base  # scoring only
    for change in ({"limit": 3}, {"seed": 1}, {"precision": "bf16"}, {"sentences": "stand-in"}):
        assert settings_of(study(**change), "q7", *tables) != base, change
    assert settings_of(study(), "l8", *tables) != base
    one = json.loads(settings_of(study(settings={"bbh": {"fewshot": 1}}), "q7", *tables))["benchmarks"]
    before = json.loads(base)["benchmarks"]
    assert [slug for slug in before if one[slug] != before[slug]] == ["bbh"]


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"benchmarks": ["bhb"]}, "evaluation.benchmarks: unknown benchmark 'bhb'; did you mean 'bbh'?"),
        ({"settings": {"musr": {}}}, "settings: 'musr' is not among the benchmarks"),
        ({"benchmarks": ["bbh", "bbh"]}, "benchmarks: 'bbh' stands twice"),
        ({"runs": ["q8"]}, "evaluation.runs: 'q8' is not among its runs; did you mean"),
        ({"backend": "vllm"}, "backend vllm needs compute.gpu"),
        ({"benchmarks": ["mbpp-lm-eval"]}, "runs programs that the model wrote"),
        ({"benchmarks": ["demo-knowledge"]}, "give evaluation.settings.demo-knowledge.files, a folder"),
        ({"limits": 3}, "unknown key 'evaluation.limits'; did you mean 'limit'?"),
        ({"max_empty": 2.0}, "evaluation.max_empty"),
    ],
)
def test_mistakes_are_found_on_a_dry_run(tables, evaluation, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_evaluation(study(**evaluation), *tables)
    assert message in str(error.value)
    assert str(error.value).startswith("study mine")


def test_judged_benchmarks_are_left_to_their_judges(tables) -> None:
    mine = study(benchmarks=["mt-bench", "bbh"])
    check_evaluation(mine, *tables)
    assert [task.benchmark for task in tasks_of(mine, tables[0])] == ["bbh"]
    with pytest.raises(ConfigError, match="'mt-bench' is not run by lm-eval"):
        check_evaluation(study(benchmarks=["mt-bench"], settings={"mt-bench": {"limit": 1}}), *tables)


def test_programs_run_only_with_permission(tables) -> None:
    (task,) = tasks_of(study(benchmarks=["mbpp-lm-eval"], allow_code=True), tables[0])
    assert task.runs_code


def test_gpus_and_what_the_model_is_loaded_with(tables) -> None:
    mine = study(backend="vllm", compute={"gpu": "H100-80"})
    target = target_of(mine, "q7", tables[1])
    assert gpus_of(mine, target) == 1
    assert gpus_of(study(), target) == 0
    given = {"max_num_seqs": 64, "load_format": "auto"}
    settings = Settings("vllm", "bf16", 2, seed=50, max_length=4096, memory_share=0.8)
    assert model_arguments(target, replace(settings, vllm=given)) == model_arguments(target, settings) | given
    vllm = model_arguments(target, settings)
    assert vllm == {
        "pretrained": "Qwen/Qwen2-7B-Instruct",
        "dtype": "bfloat16",
        "trust_remote_code": False,
        "tensor_parallel_size": 2,
        "seed": 50,
        "max_model_len": 4096,
        "max_num_batched_tokens": 2048,
        "batch_size": "auto",
        "gpu_memory_utilization": 0.8,
        "generation_config": "vllm",
        "tokenizer_mode": "hf",
        "config_format": "hf",
        "load_format": "hf",
        "ignore_patterns": ["original/**/*", "consolidated*"],
    } | (dict.fromkeys(("revision", "tokenizer_revision"), target.revision) if target.revision else {})
    pinned = replace(target, revision="f" * 40)
    vllm = model_arguments(pinned, Settings("vllm", "bf16", 1, seed=50))
    assert (vllm["revision"], vllm["tokenizer_revision"]) == ("f" * 40, "f" * 40)
    assert "tokenizer_revision" not in model_arguments(pinned, Settings("hf", "fp32", 0, seed=50))
    local = replace(target, path="results/x", local=True, revision=None)
    hf = model_arguments(local, Settings("hf", "fp32", 0, seed=50))
    assert hf["pretrained"] == str(Path("results/x").resolve())  # a relative one is taken for a hub id
    assert (hf["device"], hf["dtype"], hf["batch_size"]) == ("cpu", "float32", 8)
    assert evaluated(mine) == ["q7", "l8"]


@pytest.mark.parametrize("gpu", ["H100-80", "A100-80", "H200-141"])
@pytest.mark.parametrize("share", [None, 0.85])
def test_what_is_planned_is_what_vllm_is_given(root: Path, tables, gpu: str, share: float | None) -> None:
    """Every run of the full study that is a model as it is, on each kind of GPU: weights, reserve and a full
    context fit into the share of memory that vLLM is told to take."""
    full = read_study("wildchat50m", root / "config")
    assert full.evaluation is not None
    compute = {"gpu": gpu, "gpu_memory_utilization": share}
    mine = full.model_copy(
        update={"evaluation": full.evaluation.model_copy(update={"compute": EvaluationCompute(**compute)})}
    )
    identities = set()
    for run in ("q72", "l70", "l8i", "q7", "re-wild"):
        target = target_of(mine, run, tables[1])
        arguments = model_arguments(target, settings_for(mine, target, {}))
        gpus, context = arguments["tensor_parallel_size"], arguments["max_model_len"]
        assert arguments["gpu_memory_utilization"] == (share or 0.95)
        assert context == min(target.row.native_context or 0, 8192)
        about, shape = GPUS[gpu], architecture_of(target.row, "bf16")
        needed = shape.weight_bytes / gpus + about.reserve + context * shape.kv_bytes(gpus)
        needed += shape.activation_bytes(gpus, about.step_tokens, about.at_once)
        assert needed <= about.memory * arguments["gpu_memory_utilization"], run
        assert gpus == gpus_of(mine, target)
        identities.add(settings_of(mine, run, *tables))
    before = {settings_of(full, run, *tables) for run in ("q72", "l70", "l8i", "q7", "re-wild")}
    assert identities == before  # how a score is computed does not identify it


def test_a_context_that_does_not_fit_is_an_error_on_a_dry_run(tables) -> None:
    mine = study(max_length=200_000, backend="vllm", compute={"gpu": "H100-80"})
    with pytest.raises(ConfigError, match="a context of 200000 tokens was asked for"):
        gpus_of(mine, target_of(mine, "q7", tables[1]))

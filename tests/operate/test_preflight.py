"""Preflight: each check passes where all is well, and names what is wrong and what to do where it is not."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import SITE, Run
from rewild.config.models import Model, Native
from rewild.config.site import Site
from rewild.operate import preflight, preflight_kernel
from rewild.operate.cost.base import CostInputs
from rewild.operate.preflight import check_profile, check_study, environment_of_jobs, used_models
from rewild.operate.preflight_kernel import check_kernel
from rewild.operate.preflight_models import check_models, models_to_look_at
from rewild.operate.site import Check
from rewild.responses.spec import make_spec
from rewild.training.runs import kernel
from test_cost import make_inputs

ROOT = Path(__file__).resolve().parents[2]
Q72, L70 = "qwen2.5-72b-instruct", "llama-3.3-70b-instruct"
COMMIT = "0" * 40
KEYS = {"HF_TOKEN": "hf_secret", "OPENAI_API_KEY": "sk-secret"}


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system with room for everything."""
    usage = shutil.disk_usage(ROOT)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**15))


@pytest.fixture
def good(tmp_path: Path) -> CostInputs:
    """Two models and what is trained on them, everything pinned."""
    inputs = make_inputs(tmp_path, models=[Q72, L70], runs="l8b-q72-*,l70")
    return replace(
        inputs, models={s: m.model_copy(update={"revision": COMMIT}) for s, m in inputs.models.items()}
    )


def found(
    inputs: CostInputs, accepted: tuple[str, ...] = ("qwen", "llama3.1", "llama3.3"), **over: Any
) -> dict[str, Check]:
    return {check.name: check for check in check_study(inputs, accepted, {**KEYS, **over})}


def change(inputs: CostInputs, slug: str, **over: object) -> CostInputs:
    models: dict[str, Model] = {**inputs.models, slug: inputs.models[slug].model_copy(update=over)}
    return replace(inputs, models=models)


def test_all_is_well(good: CostInputs) -> None:
    checks = found(good)
    assert {name: check.state for name, check in checks.items()} == {
        "engine plans": "ok",
        "hours of a shard": "ok",
        "places of models": "ok",
        "pinned revisions": "ok",
        "licences": "ok",
        "token of the hub": "ok",
        "key OPENAI_API_KEY": "ok",
        "disk": "ok",
    }
    assert "2 × 4" in checks["engine plans"].detail, "of two 70B models, on the cheapest four"
    assert not any("secret" in check.detail for check in checks.values())  # keys never show


def test_a_model_that_lies_nowhere(tmp_path: Path) -> None:
    check = found(make_inputs(tmp_path, models="mistral-7b-tulu,qwen*"))["places of models"]
    assert check.state == "missing"
    assert "not established: mistral-7b-tulu; give responses.overrides.MODEL.path" in check.detail
    assert "--config models=-mistral-7b-tulu" in check.detail


def test_what_is_not_pinned_is_named(good: CostInputs, tmp_path: Path) -> None:
    check = found(change(good, Q72, revision=None))["pinned revisions"]
    assert check.state == "missing"
    assert f"1 models ({Q72}): 'revision' in config/models.yaml" in check.detail
    whole = make_inputs(tmp_path, runs=["re-wild-dpo-l70"])
    detail = found(whole)["pinned revisions"].detail
    assert "data sets (allenai/tulu-3-sft-personas-algebra)" in detail
    assert "cais/mmlu" not in detail
    assert "reward models (sfairXC/FsfairX-LLaMA3-RM-v0.1): 'scorer.revision'" in detail


def test_the_commit_that_is_asked_for_is_that_of_the_checkpoint_that_is_loaded(good: CostInputs) -> None:
    fp8 = {"paper_precision": "fp8", "quantized": "neuralmagic/Q-FP8"}
    inputs = change(good, Q72, **fp8)
    check = found(inputs)["pinned revisions"]
    assert check.state == "missing"
    assert f"1 models ({Q72} (neuralmagic/Q-FP8: 'quantized_revision'))" in check.detail
    pinned = change(inputs, Q72, quantized_revision=COMMIT)
    assert found(pinned)["pinned revisions"].state == "ok"
    source = make_spec(pinned.study, Q72, pinned.models, dict(pinned.gpus)).source
    assert (source.path, source.revision, source.precision) == ("neuralmagic/Q-FP8", COMMIT, "fp8")


def test_a_native_checkpoint_is_loaded_where_the_makers_needs_code(good: CostInputs) -> None:
    native = Native(hub="zai-org/q-hf")
    inputs = change(good, Q72, ships_code=True, native=native)
    assert "(zai-org/q-hf: 'native.revision')" in found(inputs)["pinned revisions"].detail
    assert "code of models" not in found(inputs)
    pinned = change(inputs, Q72, native=Native(hub="zai-org/q-hf", revision=COMMIT))
    assert found(pinned)["pinned revisions"].state == "ok"
    assert make_spec(pinned.study, Q72, pinned.models, dict(pinned.gpus)).source.path == "zai-org/q-hf"
    trusted = change(pinned, Q72, trust_remote_code=True)
    assert make_spec(trusted.study, Q72, trusted.models, dict(trusted.gpus)).source.path != "zai-org/q-hf"


def test_every_model_is_looked_at_as_it_will_be_loaded(good: CostInputs, tmp_path: Path) -> None:
    inputs = change(good, Q72, paper_precision="fp8", quantized="a/Q-FP8", quantized_revision=COMMIT)
    asked = {m["name"]: m for m in models_to_look_at(inputs)}
    assert set(asked) == {Q72, L70, "llama-3.1-8b"}
    assert (asked[Q72]["path"], asked[Q72]["revision"], asked[Q72]["chats"]) == ("a/Q-FP8", COMMIT, True)
    assert (
        asked[Q72]["context"] == make_spec(inputs.study, Q72, inputs.models, dict(inputs.gpus)).plan.context
    )  # type: ignore[union-attr]
    assert (asked["llama-3.1-8b"]["path"], asked["llama-3.1-8b"]["chats"]) == (
        "meta-llama/Llama-3.1-8B",
        False,
    )


def test_without_an_environment_no_model_can_be_looked_at(
    good: CostInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (check,) = check_models(good, {}, tmp_path)
    assert check.state == "missing"
    assert "rewild build-env envs/engine-cpu.txt .envs/engine-cpu" in check.detail


def test_licences_are_accepted_or_listed(good: CostInputs) -> None:
    check = found(good, ("llama3.1",))["licences"]
    assert check.state == "missing"
    assert f"llama3.3: {L70}" in check.detail
    assert f"qwen: {Q72}" in check.detail
    assert "llama3.1" not in check.detail
    unknown = found(change(good, Q72, licence=None))["licences"]
    assert f"unknown: {Q72}" in unknown.detail
    wrong = found(good, ("qwn",))["licences"]
    assert "no licence 'qwn'; did you mean 'qwen'?" in wrong.detail


def test_keys_come_from_the_environment(good: CostInputs, tmp_path: Path) -> None:
    checks = found(good, HF_TOKEN="", OPENAI_API_KEY="", HF_HOME=str(tmp_path))
    assert checks["token of the hub"].state == "missing"
    assert L70 in checks["token of the hub"].detail
    assert checks["key OPENAI_API_KEY"].detail == "OPENAI_API_KEY is not set; the judge gpt-4o-mini needs it"
    (tmp_path / "token").write_text("hf_x")  # as huggingface-cli login leaves it
    assert found(good, HF_TOKEN="", HF_HOME=str(tmp_path))["token of the hub"].state == "ok"
    local = good.study.judging.model_copy(update={"judge": "rubric"})
    rubric = replace(good, study=good.study.model_copy(update={"judging": local}))
    assert "key OPENAI_API_KEY" not in found(rubric, OPENAI_API_KEY="")


def test_a_model_that_labels_is_loaded_or_wants_a_key(tmp_path: Path) -> None:
    """As any model that is loaded: its place, its consent, its pin; as any that is asked: its key."""
    label = {"kind": "label", "scheme": "quality"}
    guard = {"kind": "safety", "model": "gpt-4o", "engine": "openai"}
    inputs = make_inputs(
        tmp_path,
        "smoke",
        measures={"q": label | {"model": L70}, "p": label | {"model": "rubric"}, "s": guard},
    )
    assert L70 in used_models(inputs)
    checks = found(inputs, OPENAI_API_KEY="")
    said = "OPENAI_API_KEY is not set; gpt-4o, for the measure s, needs it"
    assert checks["key OPENAI_API_KEY"].detail == said


def test_a_full_disk(good: CostInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(ROOT)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**9))
    check = found(good)["disk"]
    assert check.state == "missing"
    assert "1.0 GB free" in check.detail
    assert "weights in HF_HOME" in check.detail


def on_gpus_of_an_unknown_type(inputs: CostInputs) -> CostInputs:
    assert inputs.study.responses
    compute = inputs.study.responses.compute.model_copy(update={"gpu": "small"})
    responses = inputs.study.responses.model_copy(update={"compute": compute})
    return replace(inputs, study=inputs.study.model_copy(update={"responses": responses}))


def test_a_model_that_fits_no_gpu(good: CostInputs) -> None:
    check = found(on_gpus_of_an_unknown_type(good))["engine plans"]
    assert check.state == "missing"
    assert "unknown GPU type 'small'" in check.detail


def test_a_shard_that_takes_longer_than_a_job_may(good: CostInputs) -> None:
    assert good.study.prompts
    one = good.study.model_copy(update={"prompts": good.study.prompts.model_copy(update={"shards": 2})})
    check = found(replace(good, study=one))["hours of a shard"]
    assert check.state == "missing"
    assert f"h for {Q72}, of 12 h that a job may take; use more prompts.shards" in check.detail


def site(**over: object) -> Site:
    return Site.model_validate(SITE | over)


def on_slurm(inputs: CostInputs, where: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    monkeypatch.setattr(preflight, "check_site", lambda *_: [Check("cluster", "ok", "")])
    return {check.name: check for check in preflight.check_on_slurm(inputs, where, ROOT)}


def test_gpus_and_hours_of_a_cluster(good: CostInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = on_slurm(good, site(), monkeypatch)
    assert {name: check.state for name, check in checks.items()} == {
        "cluster": "ok",
        "GPUs H100-80": "ok",
        "hours of jobs": "ok",
    }
    assert "up to 4 of H100-80 (h100) on a node: gpu" in checks["GPUs H100-80"].detail
    few = {
        "cpu": {"max_runtime": "1-00:00:00"},
        "gpu": {"max_runtime": "8:00:00", "max_gpu": 2, "available_gpu_models": ["h100"]},
    }
    checks = on_slurm(good, site(partitions=few), monkeypatch)
    assert checks["GPUs H100-80"].detail == (
        "a job needs 4 of H100-80 (h100) on one node; no partition of the site has"
    )
    assert checks["hours of jobs"].state == "unsure", "jobs go on where they were cut"
    assert (
        "allows 24 h; partitions with GPUs give 8 h: a job that takes longer goes on"
        in checks["hours of jobs"].detail
    )
    assert good.study.evaluation
    compute = good.study.evaluation.compute.model_copy(update={"gpu": "A100-80", "minutes": 3000})
    evaluation = good.study.evaluation.model_copy(update={"compute": compute})
    other = replace(good, study=good.study.model_copy(update={"evaluation": evaluation}))
    checks = on_slurm(other, site(), monkeypatch)
    assert checks["GPUs H100-80"].state == "ok"
    assert "does not say what SLURM calls the GPU type 'A100-80'" in checks["GPUs A100-80"].detail
    assert "evaluation.compute.minutes allows 50 h" in checks["hours of jobs"].detail
    checks = on_slurm(good, site(gpu_names={"A100-80": "a100"}), monkeypatch)
    assert "does not say what SLURM calls the GPU type 'H100-80'" in checks["GPUs H100-80"].detail


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("said", "hub", "wanted"),
    [
        ('{"passed": true, "found": "v2, torch2.9"}', False, ("ok", "recipe wildchat50m: v2, torch2.9")),
        ('{"passed": false, "found": "not there"}', True, ("unsure", "the rule fetch_kernel will fetch it")),
        (
            '{"passed": false, "found": "not there"}',
            False,
            ("missing", "not there; the hub cannot be reached"),
        ),
        ("", False, ("missing", "cannot say: exit 3")),
        (None, True, ("unsure", "axolotl is not built yet")),
    ],
)
def test_the_kernel_that_a_recipe_needs_is_looked_for(
    good: CostInputs, monkeypatch: pytest.MonkeyPatch, said: str | None, hub: bool, wanted: tuple[str, str]
) -> None:
    envs = good.results / "envs"
    monkeypatch.setattr(preflight_kernel, "reachable", lambda _: hub)
    python = envs / "axolotl/bin/python"
    if said is not None:
        python.parent.mkdir(parents=True)
        asked = f'[ "$*" = "-m rewild.training.runs.kernel {good.results / kernel.PLACE}" ] || exit 9'
        python.write_text(f"#!/bin/sh\n{asked}\n[ -n '{said}' ] || exit 3\necho '{said}'\n")
        python.chmod(0o755)
    (check,) = check_kernel(good, {}, envs)
    assert (check.name, check.state) == ("flash-attention kernel", wanted[0])
    assert wanted[1] in check.detail
    recipes = {n: r.model_copy(update={"attention": "sdpa"}) for n, r in good.recipes.items()}
    assert list(check_kernel(replace(good, recipes=recipes), {}, envs)) == []


def test_weights_and_a_stored_token_are_looked_for_where_jobs_will(
    good: CostInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(SITE | {"scratch": str(tmp_path)}, sort_keys=False))
    monkeypatch.setenv("REWILD_SITE", str(tmp_path / "site.yaml"))
    home = {"HF_HOME": "/elsewhere", "OTHER": "1"}
    of_jobs = environment_of_jobs("slurm", home)
    assert of_jobs == {"HF_HOME": f"{tmp_path}/huggingface", "OTHER": "1"}
    assert environment_of_jobs("default", home) == home
    assert found(good, HF_TOKEN="", **of_jobs)["token of the hub"].state == "missing"
    (tmp_path / "huggingface").mkdir()
    (tmp_path / "huggingface/token").write_text("hf_x")
    assert found(good, HF_TOKEN="", **of_jobs)["token of the hub"].state == "ok"
    (tmp_path / "site.yaml").unlink()
    assert environment_of_jobs("slurm", home) == home


def test_a_plan_that_does_not_fit_is_a_line_of_the_table(
    good: CostInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = on_slurm(on_gpus_of_an_unknown_type(good), site(), monkeypatch)["GPUs"]
    assert check.state == "missing"
    assert "unknown GPU type 'small'" in check.detail


def test_without_a_site_file_and_without_slurm(
    good: CostInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REWILD_SITE", str(tmp_path / "site.yaml"))
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = {check.name: check for check in check_profile(good, "slurm", ROOT)}
    assert {check.state for check in checks.values()} == {"missing"}
    assert "no such file" in checks["site.yaml"].detail
    assert checks["SLURM"].detail == "sinfo is not on the PATH: run this on a login node"
    assert check_profile(good, "default", ROOT) == []


def test_the_command_says_all_and_fails(rewild: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REWILD_SITE", str(tmp_path / "site.yaml"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    run = rewild(ROOT, "preflight", "--no-files", "--profile", "slurm", "wildchat50m")
    assert run.returncode == 1
    for name in ("site.yaml", "places of models", "pinned revisions", "licences", "token of the hub"):
        assert f"no   {name}" in run.stdout
    cut_out = (
        "-mistral-7b-magpie-v1.0,-mistral-7b-sharegpt-vicuna-v1.0,-mistral-7b-tulu,-mistral-7b-wizardlm-v1.0"
    )
    assert cut_out in "".join(run.stdout.split()), "can be copied whole"
    assert "error: study wildchat50m cannot start here yet: site.yaml, places of models" in run.stdout
    assert rewild(ROOT, "preflight", "demo").returncode == 0
    run = rewild(ROOT, "preflight", "demo", "--profile", "slrum")
    assert run.stdout.startswith("error: unknown profile 'slrum'; did you mean 'slurm'?")
    assert os.environ["HF_HOME"] == str(tmp_path)

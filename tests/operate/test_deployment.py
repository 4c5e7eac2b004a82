"""The same versions everywhere: environments in folders, containers, conda. No container runs here."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from conftest import Run
from parsed import rules
from rewild.config.deployment import Image, load_images
from rewild.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
ENVS = ROOT / "envs"
LOCKS = sorted({path.stem for path in ENVS.glob("*.txt")} - {"torch-builds", "torch-cuda"})
IMAGES = load_images(ROOT)


def pins(tool: str) -> dict[str, str]:
    """Package → version, of a lock."""
    found = re.findall(r"^([\w.-]+)(?:\[.*\])?==([^\s;]+)", (ENVS / f"{tool}.txt").read_text(), re.M)
    return dict(found)


@pytest.fixture(scope="module")
def parsed():
    return rules()


@pytest.mark.parametrize("tool", [tool for tool in LOCKS if tool not in {"dev", "docs", "smollm2-cpu"}])
def test_a_conda_file_wraps_the_same_lock(tool: str) -> None:
    conda = yaml.safe_load((ENVS / f"{tool}.yaml").read_text())
    *_, pip = conda["dependencies"]
    locked = pins(tool)
    bare = "torch" in locked and "+" not in locked["torch"] and "nvidia-cublas" not in locked
    files = [tool, "torch-cuda"] if bare else [tool]
    assert pip == {"pip": [f"-r {file}.txt" for file in files]}, "nothing else: the versions are the lock's"
    assert conda["dependencies"][:-1] == ["python =3.11", "pip"], "the Python that locks are made for"
    assert "nodefaults" in conda["channels"]


def test_no_conda_file_is_without_its_lock() -> None:
    assert {path.stem for path in ENVS.glob("*.yaml")} - {"images"} <= set(LOCKS)


def test_images_are_pinned_and_of_the_locks_versions() -> None:
    assert {"vllm", "lm-eval", "axolotl"} <= set(IMAGES)
    for tool, image in IMAGES.items():
        name, tag = image.name, image.tag
        assert tag not in (None, "latest", "nightly", "main"), tool
        assert tool in LOCKS, f"{tool}: no lock is laid over this image"
        assert name == "vllm/vllm-openai", "another image needs a comparison here"
        assert tag == f"v{pins('vllm')['vllm']}"
    assert pins("lm-eval")["vllm"] == pins("vllm")["vllm"]
    assert pins("axolotl")["torch"] == pins("vllm")["torch"], "the image's CUDA is this torch's"


def test_a_tool_has_the_same_version_in_every_lock() -> None:
    """The same vLLM for generation and evaluation; builds for a CPU are of the same source."""
    for package, tools in {
        "vllm": ("vllm", "lm-eval"),
        "lm-eval": ("lm-eval", "lm-eval-cpu"),
        "axolotl": ("axolotl", "axolotl-cpu"),
        "torch": ("vllm", "lm-eval", "axolotl", "engine-cpu", "lm-eval-cpu", "measures"),
        "polars": ("workflow", "vllm", "lm-eval", "axolotl", "engine-cpu", "lm-eval-cpu"),
    }.items():
        assert len({pins(tool)[package].partition("+")[0] for tool in tools}) == 1, package


def test_rules_with_gpus_run_in_all_three(parsed) -> None:
    using = [rule for rule in parsed if "gpu" in rule.resources]
    assert len(using) >= 2
    for rule in using:
        assert "workflow.yaml" not in str(rule.conda_env), f"{rule.name}: not its tool's conda file"
        # Where the study settles the tool, it may be one for CPUs, which has no image.
        settled = isinstance(rule.conda_env, str) and Path(rule.conda_env).stem not in IMAGES
        assert rule.container_img or settled, f"{rule.name}: no container"


def test_a_rule_that_calls_a_tool_has_its_conda_file(parsed) -> None:
    """`python_of` is the Python of the rule's conda environment: the workflow's would lack the tool."""
    calling = {rule.name: str(rule.conda_env) for rule in parsed if "python" in dict(rule.params.items())}
    # These make an environment, or use one that is a folder in every deployment.
    own = {"build_env", "check_win_rates"}
    assert set(calling) >= own | {
        "answer_shard",
        "train_run",
        "describe_mix",
        "score_answers",
        "score_judgments",
    }
    assert [name for name, conda in calling.items() if name not in own and "workflow.yaml" in conda] == []


LIBRARY = 'ready=".envs/alpaca-eval/ready",'


@pytest.mark.heavy
def test_rules_find_their_environment_by_the_deployment() -> None:
    """Only what decides it names a folder of environments; a study may ask for AlpacaEval's library."""
    deciding = {"common.smk", "operate.smk"}
    for path in (ROOT / "workflow").rglob("*.smk"):
        lines = [line for line in path.read_text().splitlines() if not line.strip().startswith("#")]
        if path.name not in deciding:
            assert {line.strip() for line in lines if ".envs/" in line} <= {LIBRARY}, path.name


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``pretend(name, text)`` puts a program on the path that says a text: Snakemake asks for versions."""

    def made(name: str, text: str) -> None:
        program = tmp_path / "bin" / name
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return made


def one_shard(copy: Path, snakemake: Run, *arguments: str) -> str:
    """What a dry run says of one shard, with its commands."""
    shard = "results/wildchat50m/responses/qwen2.5-72b-instruct/0000.parquet"
    run = snakemake(copy, "-n", "-p", *arguments, "--config", "study=wildchat50m", "--", shard)
    assert run.returncode == 0, run.stdout[-3000:]
    return run.stdout


@pytest.mark.workflow
def test_a_dry_run_with_containers(copy: Path, snakemake: Run, pretend) -> None:
    pretend("apptainer", "apptainer version 1.3.4")
    said = one_shard(copy, snakemake, "--sdm", "apptainer")
    assert ".envs/apptainer/vllm/bin/python -m rewild respond wildchat50m qwen2.5-72b-instruct" in said
    assert "/usr/bin/python3 -m rewild.operate.environments envs/vllm.txt .envs/apptainer/vllm" in said


@pytest.mark.workflow
def test_a_dry_run_with_conda(copy: Path, snakemake: Run, pretend) -> None:
    about = {"conda_version": "25.1.0", "conda_prefix": "/none", "platform": "linux-64", "channels": []}
    pretend("conda", json.dumps(about | {"get": {"channel_priority": "strict"}}))
    said = one_shard(copy, snakemake, "--sdm", "conda")
    assert "conda_python -m rewild respond wildchat50m qwen2.5-72b-instruct" in said
    common = (copy / "workflow/rules/common.smk").read_text()
    assert 'conda_python() { "$CONDA_PREFIX/bin/python" "$@"; }' in common
    assert "rewild.operate.environments" not in said, "Snakemake makes the environment, no rule"


@pytest.mark.workflow
def test_a_dry_run_with_environments_in_folders(copy: Path, snakemake: Run) -> None:
    said = one_shard(copy, snakemake)
    assert ".envs/vllm/bin/python -m rewild respond wildchat50m qwen2.5-72b-instruct" in said
    assert "rewild.operate.environments envs/vllm.txt .envs/vllm " in said


def test_where_an_image_is() -> None:
    image = Image(image="vllm/vllm-openai:v0.32.0", python="/usr/bin/python3")
    assert image.where(None) == "docker://vllm/vllm-openai:v0.32.0"
    assert image.where("$WORK/images") == "$WORK/images/vllm-openai-v0.32.0.sif"
    pinned = Image(image=f"vllm/vllm-openai:v1@sha256:{'0' * 64}", python="/usr/bin/python3")
    assert pinned.file == "vllm-openai-v1.sif"
    assert pinned.where(None) == f"docker://vllm/vllm-openai@sha256:{'0' * 64}", (
        "Apptainer takes one of the two"
    )
    bare = Image(image=f"vllm/vllm-openai@sha256:{'0' * 64}", python="/usr/bin/python3")
    assert (bare.tag, bare.file) == (None, "vllm-openai-000000000000.sif")


def test_an_image_without_a_tag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/images.yaml").write_text("vllm: {image: vllm/vllm-openai, python: /usr/bin/python3}\n")
    with pytest.raises(ConfigError, match=r"envs/images\.yaml: vllm: image: "):
        load_images(tmp_path)

"""The flash-attention kernel: fetched for this torch, in Axolotl's version, found without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rewild.core.errors import RewildError
from rewild.training.runs import kernel

MAJOR, MINOR = torch.__version__.split(".")[:2]
HERE = f"torch{MAJOR}{MINOR}-cxx11-cpu-{os.uname().machine}-linux"
OTHER = f"torch{MAJOR}{MINOR}-cxx11-cu130-{os.uname().machine}-linux"
METADATA = {"id": "flash_attn2_test", "name": "flash-attn2", "version": 2, "license": "BSD-3-Clause",
            "python-depends": [], "backend": {"type": "cpu"}}  # fmt: skip


def build(folder: Path, variant: str = HERE) -> Path:
    """A kernel as the hub has it, of one function."""
    made = folder / "build" / variant
    made.mkdir(parents=True)
    (made / "__init__.py").write_text("def flash_attn_func():\n    return 'ours'\n")
    (made / "metadata.json").write_text(json.dumps(METADATA))
    return folder


@pytest.fixture
def fetched(tmp_path) -> Path:
    kernel.record(build(tmp_path / "kernel"), HERE, "c0ffee" * 6 + "c0ff")
    return tmp_path / "kernel"


def test_the_version_is_the_one_that_axolotl_pins():
    assert kernel.pinned() == ("kernels-community/flash-attn2", 2)


def test_a_fetched_kernel_passes_and_other_attentions_need_none(fetched, tmp_path):
    check = kernel.flash_attention("flash_attention_2", fetched)
    assert check.passed, check
    assert f"kernels-community/flash-attn2 v2, {HERE}, at c0ffeec0ffee" in check.found
    assert kernel.flash_attention("sdpa", tmp_path / "none").passed


def test_what_is_not_there_or_of_another_torch_is_said_with_what_to_do(fetched, tmp_path):
    check = kernel.flash_attention("flash_attention_2", tmp_path / "none")
    assert not check.passed
    assert "the kernel kernels-community/flash-attn2 v2 for torch" in check.found
    assert "snakemake -- results/downloads/kernels/flash-attn2/kernel.json" in check.remedy
    kernel.record(build(tmp_path / "cuda", OTHER), OTHER, "c" * 40)
    assert "was fetched for torch" in str(kernel.missing(tmp_path / "cuda")), (
        "a build for CUDA, a torch without"
    )
    record = json.loads((fetched / "kernel.json").read_text())
    (fetched / "kernel.json").write_text(json.dumps(record | {"version": 3}))
    assert "v3, but Axolotl pins kernels-community/flash-attn2 v2" in str(kernel.missing(fetched))
    (fetched / "kernel.json").write_text(json.dumps(record))
    (fetched / "build" / HERE / "__init__.py").write_text("cut")
    assert "is damaged: build/" in str(kernel.missing(fetched))
    for broken in ("", "{", "[]", "{}", '{"repo": 1}'):
        (fetched / "kernel.json").write_text(broken)
        assert kernel.missing(fetched), broken
        assert kernel.local_kernels(fetched) in ({}, {"LOCAL_KERNELS": f"1={fetched.resolve()}"})


def test_what_transformers_asks_the_hub_for_is_found_here(fetched):
    """In a process of its own, offline, by the call that transformers and Axolotl make."""
    code = (
        "from kernels import get_kernel\n"
        "print(get_kernel('kernels-community/flash-attn2', version=2).flash_attn_func())\n"
    )
    variables = os.environ | {"HF_HUB_OFFLINE": "1"}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=variables | kernel.local_kernels(fetched),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.strip() == "ours", found.stderr
    without = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, check=False)
    assert without.returncode != 0, "the fault: it would be asked for at run time"


class Hub:
    """The calls to the hub that a fetch makes."""

    def __init__(self, *variants: str, version: int = 2) -> None:
        self.variants, self.version = variants, version

    def list_repo_refs(self, **_):
        branches = [SimpleNamespace(name=f"v{self.version}", target_commit="d" * 40)]
        return SimpleNamespace(branches=branches)

    def list_repo_tree(self, *_, **__):
        from huggingface_hub.hf_api import RepoFolder

        return [RepoFolder(path=f"build/{v}", oid="0") for v in self.variants]

    def snapshot_download(self, *_, local_dir: Path, allow_patterns: list[str], **__):
        build(local_dir, allow_patterns[0].split("/")[1])


def test_a_fetch_takes_the_build_for_this_torch_only(tmp_path, monkeypatch):
    monkeypatch.setattr("kernels.utils._get_hf_api", lambda: Hub(OTHER, HERE))
    found = kernel.fetch_kernel(tmp_path)
    assert (found["version"], found["revision"], found["variant"]) == (2, "d" * 40, HERE)
    assert [p.name for p in (tmp_path / "build").iterdir()] == [HERE]
    assert kernel.missing(tmp_path) is None


@pytest.mark.parametrize(
    ("hub", "told"),
    [
        (Hub(OTHER), "no build for this torch"),
        (Hub(HERE, version=3), "has no version 2, which Axolotl pins"),
        (None, "cannot be fetched: .*fetch it where there is a network"),
    ],
)
def test_a_fetch_that_cannot_be_says_why(tmp_path, monkeypatch, hub, told):
    monkeypatch.setattr("kernels.utils._get_hf_api", lambda: hub)
    with pytest.raises(RewildError, match=told):
        kernel.fetch_kernel(tmp_path)
    assert not (tmp_path / "kernel.json").exists()

"""What a node says of itself, and what is made of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import conftest
from rewild.config.base import validate
from rewild.config.site import Site
from rewild.operate.probe import command, judge, probe, script

GOOD = """host=gpu1
cpus=12
memory_kb=1031000000
disk_kb=3000000000
gpu=580.82.07, NVIDIA H100 80GB HBM3, 81559
import_vllm=done
import_axolotl=done
import_lm-eval=none
"""


def site(**changed: object) -> Site:
    return validate(Site, conftest.SITE | changed, "site.yaml")


def verdicts(text: str, partition: str = "gpu", **changed: object) -> dict[str, tuple[str, str]]:
    return {c.name.partition(": ")[2]: (c.state, c.detail) for c in judge(site(**changed), partition, text)}


def test_a_node_that_is_as_it_must_be() -> None:
    found = verdicts(GOOD)
    assert {name: state for name, (state, _) in found.items()} == {
        "CPUs": "ok",
        "memory": "ok",
        "disk": "ok",
        "driver": "ok",
        "GPUs": "ok",
        "vllm": "ok",
        "axolotl": "ok",
        "lm-eval": "unsure",
    }
    assert found["GPUs"][1] == "NVIDIA H100 80GB HBM3 (81559 MiB); one was asked for"


@pytest.mark.parametrize(
    ("old", "new", "name", "state", "said"),
    [
        ("580.82.07", "570.124.06", "driver", "missing", "CUDA 13, which needs 580 or newer"),
        ("580.82.07", "579.99", "driver", "missing", "needs 580"),
        (", NVIDIA H100 80GB HBM3, 81559", ": command not found", "driver", "missing", "command not found"),
        ("cpus=12", "cpus=4", "CPUs", "missing", "4 for a job on gpu1; 12 are asked for"),
        ("disk_kb=3000000000", "disk_kb=1000000", "disk", "unsure", "1 GB free in TMPDIR"),
        (
            "import_vllm=done",
            "import_vllm=ImportError: libcudart.so.13: cannot open",
            "vllm",
            "missing",
            "it does not load: ImportError: libcudart.so.13",
        ),
        ("import_axolotl=done\n", "", "axolotl", "missing", "the time was up"),
    ],
)
def test_a_node_that_is_not(old: str, new: str, name: str, state: str, said: str) -> None:
    found = verdicts(GOOD.replace(old, new))
    assert found[name][0] == state
    assert said in found[name][1]


def test_less_memory_than_the_site_says() -> None:
    nodes = {"gpu": {"cpus": 96, "memory_gb": 2000}}
    assert verdicts(GOOD, nodes=nodes)["memory"] == ("missing", "1031 GB on gpu1; nodes says 2000")


def test_a_job_that_said_nothing() -> None:
    assert verdicts("slurmstepd: error: no such folder")["probe"][0] == "missing"


def test_it_asks_as_the_plugin_does() -> None:
    assert {"--gpus=h100:1", "--cpus-per-gpu=12", "--time=2"} <= set(command(site(), "gpu", Path("o")))
    words = command(site(gpu_request="gres", account="me"), "gpu", Path("o"))
    assert {"--gres=gpu:h100:1", "--cpus-per-task=12", "--account=me"} <= set(words)
    assert not [word for word in command(site(), "cpu", Path("o")) if "gpu" in word]


@pytest.mark.heavy
def test_the_script_runs_and_is_judged(tmp_path: Path) -> None:
    """On this machine, in a folder with an odd name: no GPU, no tool."""
    odd = tmp_path / "a b$(touch ran)"
    odd.mkdir()
    run = subprocess.run(
        ["bash"], input=script(site(), True, odd), capture_output=True, text=True, check=True
    )
    found = verdicts(run.stdout)
    assert found["memory"][0] == "ok"
    assert found["vllm"] == ("unsure", "not built yet: snakemake --profile slurm -- .envs/vllm/ready")
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.heavy
def test_jobs_are_submitted_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sbatch").write_text(
        "#!/bin/bash\nfor word; do case $word in --output=*) out=${word#*=};; --partition=gpu) no=1;; esac; "
        'done\n[ -z "$no" ] || { echo \'Invalid account\' >&2; exit 1; }\nbash > "$out"\n'
    )
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = {c.name: (c.state, c.detail) for c in probe(site(), tmp_path, tmp_path / "out")}
    assert found["cpu: memory"][0] == "ok"
    assert found["gpu: probe"] == ("missing", "SLURM refused it: Invalid account")

"""A site's file: what is missing in it is named, and what it says is compared with what the cluster says."""

from __future__ import annotations

import math
import os
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import conftest
from rewild.config.site import PLACEHOLDER, Site, find_site, load_site, minutes
from rewild.core.errors import ConfigError
from rewild.operate.site import _nodes, check_site

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "profiles/slurm/site.example.yaml"
SITE = conftest.SITE | {"account": "h100", "accounting": True}


@pytest.fixture
def site_file(tmp_path: Path, monkeypatch):
    """``site_file(key=value, ...)`` writes a site's file and makes it the one that is used."""

    def write(*without: str, **changed: object) -> Path:
        path = tmp_path / "site.yaml"
        kept = {k: v for k, v in (SITE | changed).items() if k not in without}
        path.write_text(yaml.safe_dump(kept, sort_keys=False))
        monkeypatch.setenv("REWILD_SITE", str(path))
        return path

    return write


def test_the_template_has_every_key_explained_and_nothing_filled_in_for_you() -> None:
    text = TEMPLATE.read_text()
    assert set(yaml.safe_load(text)) == set(Site.model_fields)
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            assert "  # " in line or " # " in line, f"no comment: {line}"


def test_the_template_as_it_is_names_what_to_fill_in(monkeypatch) -> None:
    monkeypatch.setenv("REWILD_SITE", str(TEMPLATE))
    with pytest.raises(ConfigError) as caught:
        load_site()
    said = str(caught.value)
    assert "account is not filled in" in said
    assert "scratch is not filled in" in said
    assert "partitions.FILL-IN-CPU is not filled in" in said
    assert len(said.splitlines()) == 4


def test_the_template_filled_in_is_a_site(monkeypatch, tmp_path) -> None:
    text = TEMPLATE.read_text().replace("FILL-IN-CPU", "cpu").replace("FILL-IN-GPU", "gpu")
    text = text.replace("max_runtime: FILL-IN", "max_runtime: 2-00:00:00").replace(PLACEHOLDER, "some")
    (tmp_path / "site.yaml").write_text(text)
    monkeypatch.setenv("REWILD_SITE", str(tmp_path / "site.yaml"))
    assert load_site().gpu_name("H100-80") == "h100"


def test_engines_share_nodes_that_are_given_whole(site_file) -> None:
    site_file(whole_nodes=True, nodes={"gpu": {"cpus": 96, "memory_gb": 500}})
    site = load_site()
    assert [site.engines(gpus) for gpus in (0, 1, 2, 3, 4, 8, 16)] == [1, 8, 4, 2, 2, 1, 1]
    assert [site.model_copy(update={"whole_nodes": False}).engines(gpus) for gpus in (1, 4)] == [1, 1]
    job = {"nodes": 1, "gpu": 2, "cpus_per_gpu": 12, "mem_mb": 100_000, "gres": "", "runtime": 60}
    added = {
        "nodes": 4,
        "gpu": 8,
        "cpus_per_gpu": 48,
        "mem_mb": 400_000,
        "gres": "",
        "runtime": 60,
        "_cores": 4,
    }
    assert site.of_group([job] * 4, added) == added | {"nodes": 1, "cpus_per_gpu": 12}
    assert site.of_group([job] * 4, added | {"mem_mb": 600_000})["mem_mb"] == 500_000, "what a node has"
    job |= {"gpu": 0, "gres": "gpu:h100:2", "cpus_per_task": 24}
    added |= {"gpu": 0, "gres": "gpu:h100:2", "cpus_per_task": 96}
    assert site.of_group([job] * 4, added)["gres"] == "gpu:h100:8"
    assert site.of_group([job] * 4, added)["cpus_per_task"] == 96
    tables = {"mem_mb": 900_000, "runtime": 20, "gres": ""}
    assert site.of_group([tables], tables) == tables, "no GPUs, and nothing to put right"


def test_a_missing_file_says_how_to_make_one(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("REWILD_SITE", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file.*\n  cp profiles/slurm/site\.example"):
        load_site()


def test_without_the_profile_no_site_is_read(monkeypatch) -> None:
    monkeypatch.delenv("REWILD_SITE", raising=False)
    assert find_site() is None


@pytest.mark.parametrize(
    ("without", "changed", "message"),
    [
        (["qos"], {}, "the key 'qos' is missing"),
        (["account", "scratch"], {}, "the key 'account' is missing\n.*the key 'scratch' is missing"),
        ([], {"acount": "x"}, "unknown key 'acount'; did you mean 'account'?"),
        ([], {"partitions": {"gpu": {"max_runtime": "1:00:00", "max_gpu": 8}}}, "none without GPUs"),
        (
            [],
            {"partitions": dict(reversed(SITE["partitions"].items()))},  # type: ignore[attr-defined]
            "those without GPUs must stand first",
        ),
        (
            [],
            {"partitions": {"cpu": {"max_runtime": "1:00:00", "max_mem_mb": 10}}},
            "unknown key 'partitions.cpu.max_mem_mb'",
        ),
        (
            [],
            {"partitions": {"cpu": {"max_runtime": "1:00:00", "available_gpu_models": ["h100"]}}},
            "needs max_gpu",
        ),
    ],
)
def test_what_is_wrong_is_named(site_file, without, changed, message) -> None:
    site_file(*without, **changed)
    with pytest.raises(ConfigError, match=f"(?s)site.yaml: .*{message.replace('?', chr(92) + '?')}"):
        load_site()


@pytest.mark.parametrize("time", ["30:00", "infinite", "two days", "1:2"])
def test_a_time_that_the_plugin_reads_otherwise_is_refused(site_file, time) -> None:
    """snakemake-executor-plugin-slurm 2.8 takes 30:00 for thirty hours, and fails at `infinite`."""
    site_file(partitions={"cpu": {"max_runtime": time}})
    with pytest.raises(
        ConfigError, match=f"partitions.cpu.max_runtime.*: '{time}' is no time here: .*365-00"
    ):
        load_site()


@pytest.mark.parametrize("time", ["2-00:00:00", "1-12", "2-12:30", "12:00:00", 90])
def test_the_plugin_reads_a_time_as_we_do(site_file, time) -> None:
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm.utils")
    site_file(partitions={"cpu": {"max_runtime": time}})
    assert plugin.parse_time_to_minutes(time) == minutes(load_site().partitions["cpu"].max_runtime)


def test_a_time_that_yaml_takes_for_a_number_is_refused(site_file) -> None:
    """12:00:00 without quotes is 43,200 to YAML 1.1, and 43,200 minutes to the plugin."""
    path = site_file(partitions={"cpu": {"max_runtime": "12:00:00"}})
    assert load_site().partitions["cpu"].max_runtime == "12:00:00"
    path.write_text(path.read_text().replace("'12:00:00'", "12:00:00  # half a day"))
    with pytest.raises(ConfigError, match='max_runtime: 12:00:00 needs quotes, "12:00:00": YAML reads it as'):
        load_site()


def test_places_of_a_site_are_those_of_its_user(site_file, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/of/me")
    monkeypatch.setenv("WORK", "/group/me")
    monkeypatch.delenv("ONLY_ON_NODES", raising=False)
    site_file(scratch="~/scratch", containers="$WORK/images")
    assert load_site().shell() == 'export HF_HOME="/of/me/scratch/huggingface"; '
    assert load_site().images == "/group/me/images"
    site_file(scratch="$ONLY_ON_NODES/s", setup=["module load cuda"])
    assert load_site().shell() == 'module load cuda; export HF_HOME="$ONLY_ON_NODES/s/huggingface"; '
    assert load_site().images is None


def test_a_gpu_type_without_a_name_is_an_error_of_the_site(site_file) -> None:
    site_file()
    with pytest.raises(ConfigError, match=r"gpu_names does not say what SLURM calls the GPU type 'A100-80'"):
        load_site().gpu_name("A100-80")
    site_file(gpu_names={"H100-80": None})
    assert load_site().gpu_name("H100-80") is None, "any GPU"
    assert load_site().gpu_name(None) is None, "no GPU"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2-00:00:00", 2880),
        ("1-12", 2160),
        ("1-00:30", 1470),
        ("12:00:00", 720),
        ("90:30", 90.5),
        ("45", 45),
        (45, 45),
        ("infinite", math.inf),
        ("UNLIMITED", math.inf),
    ],
)
def test_times_as_slurm_writes_them(text, expected) -> None:
    """The forms of sbatch's --time."""
    assert minutes(text) == expected


def test_no_time() -> None:
    with pytest.raises(ConfigError, match="'two days' is no time"):
        minutes("two days")


SINFO = "cpu*|up|7-00:00:00|(null)\ngpu|up|2-00:00:00|gpu:h100:8(S:0-1),nvme:1\nold|down|1:00:00|gpu:4\n"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch):
    """``slurm(sinfo=..., sacct=None)`` puts programs that say this on the path; None is one that fails."""

    def install(**said: str | None) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        usual = {
            "sbatch": "",
            "sinfo": SINFO,
            "scontrol": "MinJobAge               = 300 sec\n",
            "sacct": "",
            "squeue": "",
            "sacctmgr": "h100\nother\n",
        }
        for name, text in (usual | said).items():
            path = folder / name
            body = "exit 1" if text is None else f"cat <<'END'\n{text}END"
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setenv("USER", "somebody")

    return install


def found(root: Path) -> dict[str, tuple[str, str]]:
    return {check.name: (check.state, check.detail) for check in check_site(load_site(), root)}


@pytest.mark.heavy
def test_a_site_that_is_as_the_cluster_is(site_file, slurm, tmp_path) -> None:
    slurm()
    site_file(scratch=str(tmp_path), setup=["true", "export A=1"])
    checks = found(tmp_path)
    assert checks["partition gpu"] == ("ok", "8 GPUs a node (h100), 2-00:00:00")
    assert checks["partition cpu"] == ("ok", "CPUs, 7-00:00:00")
    assert checks["MinJobAge"] == ("ok", "300 s")
    assert checks["account"] == ("ok", "h100")
    assert checks["setup"] == ("ok", "2 commands")
    assert checks["scratch"][0] != "missing"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".check-site")], "nothing is left"


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "limits", "message"),
    [
        ("gpus", {}, "no such partition; did you mean 'gpu'?"),
        ("gpu", {"max_runtime": "3-00:00:00"}, "max_runtime is 3-00:00:00, but its limit is 2-00:00:00"),
        (
            "gpu",
            {"available_gpu_models": ["h10"]},
            "no GPU is called 'h10'; did you mean 'h100'? (sinfo: h100)",
        ),
        ("gpu", {"max_gpu": 16}, "max_gpu is 16, but a node has 8"),
        ("cpu", {}, "no GPU is called 'h100' (sinfo: no type)"),
        ("cpu", {"available_gpu_models": []}, "max_gpu is 8, but a node has none"),
        ("old", {"max_runtime": 60, "max_gpu": 4, "available_gpu_models": []}, "it is down, not up"),
    ],
)
def test_a_partition_that_is_not_so(site_file, slurm, name, limits, message) -> None:
    slurm()
    gpu = {"max_runtime": "2-00:00:00", "max_gpu": 8, "available_gpu_models": ["h100"]} | limits
    site_file(partitions={"any": {"max_runtime": 10}, name: gpu}, accounting=False)
    state, detail = found(Path())[f"partition {name}"]
    assert state == "missing"
    assert message in detail


@pytest.mark.heavy
def test_what_else_a_cluster_contradicts(site_file, slurm, tmp_path) -> None:
    slurm(sacct=None, scontrol="MinJobAge = 30 sec\n")
    site_file(
        gpu_names={"H100-80": "h200"},
        setup=["no-such-program-here"],
        scratch=str(tmp_path / "none"),
        containers=str(tmp_path),
    )
    checks = found(tmp_path)
    assert checks["GPU type H100-80"] == ("missing", "no partition above has a 'h200'; did you mean 'h100'?")
    assert checks["MinJobAge"][0] == "missing"
    assert "set slurm-init-seconds-before-status-checks to 10" in checks["MinJobAge"][1]
    assert checks["accounting"] == ("missing", "sacct does not answer; set accounting to false")
    assert checks["setup"][0] == "unsure"
    assert "no-such-program-here" in checks["setup"][1]
    assert checks["scratch"] == ("missing", f"{tmp_path / 'none'}: no such folder")
    assert checks["containers"] == ("missing", f"no .sif files in {tmp_path}")


@pytest.mark.heavy
def test_somebody_elses_account(site_file, slurm, tmp_path) -> None:
    slurm()
    site_file(account="h10")
    state, detail = found(tmp_path)["account"]
    assert (state, detail) == ("missing", "'h10' is none of yours; did you mean 'h100'? (h100, other)")


def test_a_machine_without_slurm(site_file, tmp_path, monkeypatch) -> None:
    site_file()
    monkeypatch.setenv("PATH", str(tmp_path))
    state, detail = found(tmp_path)["sbatch"]
    assert state == "missing"
    assert "run this on a login node" in detail


def test_the_command_names_what_failed_and_fails(site_file, slurm, rewild, tmp_path) -> None:
    slurm(sinfo=SINFO.replace("gpu|up", "gpu|drain"))
    site_file()
    run = rewild(tmp_path, "check-site")
    assert run.returncode == 1
    assert "no   partition gpu" in run.stdout
    assert "not as the cluster is: partition gpu" in run.stdout
    assert "Traceback" not in run.stdout


NODES = "cpu*|64|257000\ngpu|64+|1031000\n"


@pytest.mark.parametrize(
    ("changed", "state", "said"),
    [
        ({}, "missing", "8 GPUs with cpus_per_gpu: 12 are 96, but a node has 64: 8 at most"),
        ({"cpus_per_gpu": 8}, "unsure", "{cpus: 64, memory_gb: 1031}"),
        ({"cpus_per_gpu": 8, "nodes": {"gpu": {"cpus": 64, "memory_gb": 1000}}}, "ok", "64 CPUs and 1000 GB"),
        (
            {"cpus_per_gpu": 8, "nodes": {"gpu": {"cpus": 64, "memory_gb": 2000}}},
            "missing",
            "a node has 64 and",
        ),
    ],
)
def test_what_jobs_ask_for_is_compared_with_nodes(site_file, changed, state, said) -> None:
    site_file(**changed)
    (check,) = [c for c in _nodes(load_site(), NODES) if c.name == "nodes of gpu"]
    assert check.state == state
    assert said in check.detail


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"gpu_names": {"H100-80": "h100-80gb"}},
            "'h100-80gb' is no name of a GPU type that Snakemake's SLURM",
        ),
        (
            {"nodes": {"gpu": {"cpus": 64, "memory_gb": 1000}}},
            "8 GPUs of 'gpu' with 12 CPUs each are 96, but",
        ),
        (
            {"nodes": {"gqu": {"cpus": 64, "memory_gb": 1000}}},
            "'gqu' is none of the partitions; did you mean",
        ),
    ],
)
def test_what_the_plugin_or_slurm_would_refuse_of_every_job(site_file, changed, said) -> None:
    site_file(**changed)
    with pytest.raises(ConfigError) as caught:
        load_site()
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["h100", "nvidia_h100.80", "h100-80gb", "h100:1", "'h100'", "a b"])
def test_names_of_gpus_are_those_that_the_plugin_takes(site_file, name: str) -> None:
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm.utils")
    from snakemake_interface_common.exceptions import WorkflowError

    def takes(call) -> bool:
        try:
            call()
        except (ConfigError, WorkflowError):
            return False
        return True

    site_file(gpu_names={"H100-80": name})
    job = SimpleNamespace(resources={"gpu": 1, "gpu_model": name})
    assert takes(load_site) == takes(lambda: plugin.set_gres_string(job))


def test_caches_are_not_in_the_home(site_file) -> None:
    site_file(scratch='/large/a "b"$(c)`d`', staging="$TMPDIR")
    said = load_site().places(Path("/the/checkout"))
    assert 'export VLLM_CACHE_ROOT="/large/a \\"b\\"\\$(c)\\`d\\`/vllm"; ' in said
    assert "TRITON_CACHE_DIR" in said
    assert 'export REWILD_STAGING="$TMPDIR"; ' in said
    assert "checkout" not in said


@pytest.mark.heavy
def test_nor_without_a_scratch_folder(site_file) -> None:
    """They lie in the checkout then, which git and `copy` leave out; a shell finds them there."""
    site_file(scratch=None)
    said = load_site().places(Path('/the/$HOME check"out'))
    names = ("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
    shown = subprocess.run(
        ["bash", "-c", f'{said} printf "%s\\n" "${names[0]}" "${names[1]}" "${names[2]}"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split("\n")[:3] == [
        f'/the/$HOME check"out/.cache/{folder}' for folder in ("vllm", "triton", "inductor")
    ]
    ignored = subprocess.run(["git", "check-ignore", ".cache/vllm"], cwd=ROOT, check=False)
    assert ignored.returncode == 0 or not (ROOT / ".git").exists()

"""What Snakemake's SLURM plugin would refuse is refused before, tried beside its own validators."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import conftest
from rewild.config.site import load_site, minutes
from rewild.core.errors import ConfigError
from rewild.operate.site import _account, _arrays, _paths
from test_attempts import NODES, SHARD, Wildcards, asked

plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
from snakemake_executor_plugin_slurm import (  # noqa: E402
    accounts,
    partitions,
    submit_string,
    utils,
    validation,
)
from snakemake_interface_common.exceptions import WorkflowError  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LOGGER = logging.getLogger("slurm")


@pytest.fixture
def site(tmp_path: Path, monkeypatch):
    """``site(key=value, ...)`` writes a site's file, makes it the one in use, and returns its place."""

    def write(**changed: object) -> Path:
        path = tmp_path / "site.yaml"
        path.write_text(yaml.safe_dump(conftest.SITE | changed, sort_keys=False))
        monkeypatch.setenv("REWILD_SITE", str(path))
        return path

    return write


@pytest.fixture
def programs(tmp_path: Path, monkeypatch):
    """``programs(name=text)``: the only programs on the path; None is one that fails."""

    def install(**said: str | None) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in said.items():
            lines = "exit 1" if text is None else "\n".join(f"echo '{line}'" for line in text.split())
            (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return install


def refuses(call) -> bool:
    """Whether the plugin fails there, in whatever way."""
    try:
        call()
    except (WorkflowError, OSError, KeyError, AttributeError, TypeError, ValueError, StopIteration):
        return True
    return False


class Resources(dict):
    """A job's resources, as the plugin asks for them."""

    __getattr__ = dict.get


def job(**resources: object) -> SimpleNamespace:
    given = {key: value for key, value in resources.items() if value is not None}
    return SimpleNamespace(name="some_rule", threads=1, resources=Resources(given))


PARAMS = {
    "run_uuid": "rewild_1",
    "slurm_logfile": "logs/slurm/x/%j.log",
    "comment_str": "rule_x",
    "account": "",
    "partition": "-p gpu",
    "workdir": "here",
}
GPU = {"max_runtime": "2-00:00:00", "max_gpu": 8}
CPU = {"max_runtime": "7-00:00:00"}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"gpu_names": {"H100-80": "nvidia_h100.80"}},
        {"gpu_names": {"H100-80": None}},
        {"partitions": {"": CPU, "gpu": GPU}},
        {"partitions": {"  ": CPU, "gpu": GPU}},
        {"partitions": {1: CPU, "gpu": GPU}},
        {"partitions": {"cpu": None, "gpu": GPU}},
        {"partitions": {"cpu": CPU | {"max_gpus": 1}, "gpu": GPU}},
        {"partitions": ["cpu", "gpu"]},
        {"partitions": {"cpu": {"max_runtime": "infinite"}, "gpu": GPU}},
        {"partitions": {"cpu": {"max_runtime": "1-2-3"}, "gpu": GPU}},
        {"gpu_names": {"H100-80": "h100-80gb"}},
        {"gpu_names": {"H100-80": "'h100'"}},
        {"gpu_names": {"H100-80": '"h100"'}},
        {"gpu_names": {"H100-80": "h100:1"}},
        {"gpu_request": "gres", "gpu_names": {"H100-80": "h100,shard"}},
        {"account": ","},
        {"account": "  "},
        {"account": "a, b"},
        {"cpus_per_gpu": 0},
        {"cpus_per_gpu": "many"},
    ],
)
def test_a_file_that_the_plugin_refuses_is_refused(site, changed, monkeypatch) -> None:
    """What is fine with us passes the plugin's own reading; what it refuses, reading refuses."""
    usual = {"partitions": {"cpu": CPU, "gpu": GPU}, "cpus_per_gpu": 12, "gpu_request": "gpus"}
    path = site(**usual | changed)
    given = conftest.SITE | usual | changed
    name = given["gpu_names"]["H100-80"]
    by_gres = given["gpu_request"] == "gres"
    text = ":".join(filter(None, ("gpu", name, "8")))
    asks = (
        job(gres=text, cpus_per_task=96)
        if by_gres
        else job(gpu=8, gpu_model=name, cpus_per_gpu=given["cpus_per_gpu"])
    )
    executor = SimpleNamespace(logger=LOGGER, _fallback_account_arg="")
    asks.resources["slurm_account"] = given["account"]
    monkeypatch.setattr(plugin, "validate_account", lambda account, logger: account)

    def submit() -> None:
        found = partitions.read_partition_file(path)
        if not by_gres and given["cpus_per_gpu"] == 0:
            raise WorkflowError("no CPUs are asked for")  # the plugin leaves them out: SLURM's default of one
        assert partitions.get_best_partition(found, asks, LOGGER) == "gpu"
        utils.set_gres_string(asks)
        submit_string.get_submit_command(asks, PARAMS)
        next(plugin.Executor.get_account_arg(executor, asks))

    def read() -> None:
        try:
            load_site()
        except ConfigError as error:
            raise WorkflowError(str(error)) from error

    assert refuses(read) == refuses(submit)


@pytest.mark.parametrize(
    "time", ["2-00:00:00", "0-12", "00-12", "0-12:30", "0-00:00:20", "0-0:0:1", "1-12", 1, 0]
)
def test_a_time_is_to_the_plugin_what_it_is_to_slurm(site, time) -> None:
    """Of 0-12 the plugin makes twelve minutes, and of twenty seconds none: no job would fit."""
    site(partitions={"cpu": {"max_runtime": time}, "gpu": GPU})
    read = utils.parse_time_to_minutes(time)
    if read >= 1 and read == int(minutes(time)):
        assert load_site().longest(0) == read
    else:
        with pytest.raises(ConfigError, match=r"partitions\.cpu\.max_runtime"):
            load_site()


TWO = {
    "cpu": CPU,
    "small": {"max_runtime": "7-00:00:00", "max_gpu": 2, "available_gpu_models": ["h100"]},
    "big": {"max_runtime": "1-00:00:00", "max_gpu": 8, "available_gpu_models": ["h100"]},
    "other": {"max_runtime": "3-00:00:00", "max_gpu": 8, "available_gpu_models": ["a100"]},
}


@pytest.mark.parametrize(
    ("gpus", "model"), [(0, None), (1, "h100"), (4, "h100"), (8, "a100"), (8, "h200"), (16, "h100")]
)
def test_the_partitions_that_a_job_fits_are_the_plugins(site, gpus, model) -> None:
    found = partitions.read_partition_file(site(partitions=TWO))
    asks = job(gpu=gpus, gpu_model=model, runtime=60, cpus_per_gpu=8)
    fits = {p.name for p in found if p.score_job_fit(asks) is not None}
    mine = load_site().fitting(gpus, model)
    if gpus:
        assert set(mine) == fits
    else:
        assert partitions.get_best_partition(found, asks, LOGGER) in mine
    assert bool(mine) == (partitions.get_best_partition(found, asks, LOGGER) is not None)


@pytest.mark.workflow
def test_a_job_asks_for_no_more_time_than_a_partition_with_its_gpus_gives(on_a_cluster) -> None:
    """Of 8 GPUs the 7 days of a partition with 2 are none: the plugin would take the default partition."""
    rule = on_a_cluster(partitions={k: v for k, v in TWO.items() if k != "other"})["answer_shard"]
    assert asked(rule, SHARD).gpu == 8
    assert asked(rule, SHARD).runtime <= 1440


ON_NODES = {
    "usual": {},
    "gres": {"gpu_request": "gres", "cpus_per_gpu": 6},
    "any": {"gpu_names": {"H100-80": None}},
}


@pytest.mark.workflow
@pytest.mark.parametrize("kind", ON_NODES)
def test_what_the_rules_ask_for_passes_the_plugin(on_a_cluster, site, kind: str) -> None:
    """Every rule that uses GPUs, of the full study: its resources, partition and command."""
    changed = {"nodes": NODES} | ON_NODES[kind]
    found = partitions.read_partition_file(site(**changed))
    given = on_a_cluster(**changed)
    study = {"study": "wildchat50m"}
    wildcards = {
        "run_pilot": Wildcards(**study, model="llama-3.1-405b-instruct"),
        "answer_shard": SHARD,
        "train_run": Wildcards(**study, run="l8b-q72-250k"),
        "postflight_run": Wildcards(**study, run="l8b-q72-250k"),
        "evaluate_run": Wildcards(**study, run="q72"),
        "answer_benchmarks_wildchat50m": Wildcards(**study, run="q72"),
    }
    for name, of in wildcards.items():
        asks = job(**vars(asked(given[name], of)), nodes=1, cpus_per_gpu=load_site().cpus_per_gpu)
        validation.validate_slurm_extra(asks)
        assert partitions.get_best_partition(found, asks, LOGGER) == "gpu", name
        line = submit_string.get_submit_command(asks, PARAMS) + utils.set_gres_string(asks)
        gpus = asks.resources.get("gpu") or int(str(asks.resources.gres).rpartition(":")[2])
        wanted = {
            "usual": f" --gpus=h100:{gpus}$",
            "gres": f"--cpus-per-task={6 * gpus} .*--gres=gpu:h100:{gpus}$",
            "any": f" --gpus={gpus}$",
        }
        assert re.search(wanted[kind], line), line
    assert not [rule for rule in given.values() if "slurm_extra" in rule.resources]


@pytest.mark.parametrize("preemptible", [True, False])
def test_the_profiles_settings_pass_the_plugin(preemptible: bool) -> None:
    """Its settings are those of the profile; a wrong one is refused when the plugin makes its settings."""
    text = (ROOT / "profiles/slurm/config.v8+.yaml").read_text()
    given = dict(re.findall(r"^\s*slurm-([\w-]+): ([^\s?#]+)", text, re.MULTILINE))
    given.pop("no-requeue" if preemptible else "requeue")
    fields = {key.replace("-", "_"): yaml.safe_load(value) for key, value in given.items()}
    assert {
        "status_command",
        "status_attempts",
        "init_seconds_before_status_checks",
        "jobname_prefix",
    } <= set(fields)
    plugin.ExecutorSettings(**fields)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,50}", fields["jobname_prefix"]), "as in Executor.__post_init__"
    with pytest.raises(WorkflowError, match="mutually exclusive"):
        plugin.ExecutorSettings(**fields | {"requeue": True, "no_requeue": True})


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("account", "said"),
    [
        ("h100", {"sacctmgr": "h100 other"}),
        ("H100", {"sacctmgr": "h100"}),
        ("other, h100", {"sacctmgr": "h100 other"}),
        ("h10", {"sacctmgr": "h100 other"}),
        ("h100, nobody", {"sacctmgr": "h100 other"}),
        ("h100", {"sacctmgr": None, "sshare": "h100"}),
        ("h10", {"sacctmgr": None, "sshare": "h100"}),
        ("h100", {"sacctmgr": None, "sshare": None}),
        ("h100", {"sacctmgr": "", "sshare": ""}),
        ("h100", {}),
        (None, {"sacct": ""}),
        (None, {}),
    ],
)
def test_an_account_that_the_plugin_refuses(site, programs, account, said, monkeypatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    site(account=account)
    programs(**said)

    def plugins() -> None:
        for name in re.split(r"[,\s]+", account) if account else []:
            accounts.validate_account(name, LOGGER)
        if account is None:
            accounts.get_account(LOGGER)

    states = [check.state for check in _account(load_site())]
    assert ("missing" in states) == refuses(plugins)


@pytest.mark.heavy
@pytest.mark.parametrize("most", ["0", "1", "2", "3", "1001", None])
def test_a_cluster_without_arrays(programs, most) -> None:
    """With a MaxArraySize of 0 or 1 the plugin does not start, whether an array is asked for or not."""
    config = f"MaxArraySize={most}" if most else "MinJobAge=300"
    programs(scontrol=config)
    size = min(utils.get_max_array_size(), plugin.ExecutorSettings.array_limit)
    assert bool(list(_arrays(config))) == (size < 2)


def test_a_path_that_a_log_cannot_have(tmp_path: Path) -> None:
    folder = tmp_path / "a%job"
    folder.mkdir()
    (check,) = _paths(folder)
    assert check.state == "missing"
    assert list(_paths(tmp_path)) == []

"""The profiles: named literally, every entry explained, nothing of one machine in another's."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from parsed import rules
from rewild.config import load_models, load_study
from rewild.responses.spec import make_spec

ROOT = Path(__file__).resolve().parents[2]
PROFILES = sorted((ROOT / "profiles").glob("*/config.v8+.yaml"))
SITE = """\
account: "12"
partitions: {cpu: {max_runtime: 7-00:00:00}, gpu: {max_runtime: 2-00:00:00, max_gpu: 8}}
gpu_names: {H100-80: h100}
constraint: ib
qos: null
preemptible: PREEMPTIBLE
accounting: false
setup: ["echo '{prepared}'"]
scratch: null
containers: null
"""


def settings(folder: Path, *words: str, **environment: str) -> dict[str, object]:
    """Snakemake's settings, as it understands a command line."""
    code = (
        "import json, sys; from snakemake.cli import parse_args; _, found = parse_args(sys.argv[1:]); "
        "found = vars(found); default = found['default_resources']; "
        "found['default_resources'] = {k: v.raw for k, v in default.items()} if default else {}; "
        "print(json.dumps(found, default=str))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "REWILD_S"))}
        | {"PYTHONPATH": str(ROOT / "workflow")}
        | environment,
        text=True,
        capture_output=True,
        check=True,
    )
    return json.loads(run.stdout)


@pytest.fixture
def set_up(copy: Path):
    """A copy of the workflow after set-up, with a site."""

    def made(preemptible: bool = False) -> Path:
        (copy / "slurm").symlink_to("profiles/slurm")
        text = SITE.replace("PREEMPTIBLE", str(preemptible).lower())
        (copy / "profiles/slurm/site.yaml").write_text(text)
        return copy

    return made


def test_the_set_up_makes_the_name() -> None:
    """`--profile slurm` is a path from the repository's root: set-up links it."""
    assert "ln -sfn profiles/slurm slurm" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.parent.name)
def test_every_entry_has_a_comment(path: Path) -> None:
    above = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        structure = text.startswith(("?if", "?else", "__", "- ")) or text.endswith(":")
        if text.startswith("#"):
            above = True
        elif not text:
            above = False
        elif not structure:
            assert " # " in line, f"{path}, line {number}: no comment"
        elif text.endswith(":") and not line.startswith((" ", "?", "_", "default-")):
            assert above, f"{path}, line {number}: no comment above the section"


@pytest.mark.heavy
def test_a_profile_named_literally(set_up) -> None:
    found = settings(set_up(), "--profile", "slurm")
    assert found["executor"] == "slurm"
    assert (found["retries"], found["jobs"]) == (3, 200)
    assert found["cores"] is None, "the login node's cores would cap the threads of every job"
    assert found["slurm_no_requeue"] is True
    assert found["slurm_requeue"] is not True
    assert found["slurm_status_command"] == "squeue"
    asked = found["default_resources"]
    assert asked["slurm_account"] == "'12'", "an account of digits is no number"
    assert asked["constraint"] == "'ib'"
    assert asked["cpus_per_gpu"] == 12
    assert str(found["slurm_partition_config"]).endswith("/profiles/slurm/site.yaml")


@pytest.mark.heavy
def test_a_profile_named_by_the_environment(set_up) -> None:
    folder = set_up(preemptible=True)
    found = settings(folder, SNAKEMAKE_PROFILE="slurm")
    assert (found["executor"], found["retries"], found["cores"]) == ("slurm", 3, None)
    assert found["slurm_requeue"] is True
    assert found["slurm_no_requeue"] is not True


@pytest.mark.heavy
@pytest.mark.parametrize("whole", [True, False])
def test_shards_share_a_job_where_nodes_are_given_whole(set_up, snakemake, whole: bool) -> None:
    """In a dry run of a study with four shards; tests/slurm/test_whole_nodes.py runs it."""
    folder = set_up()
    with (folder / "profiles/slurm/site.yaml").open("a") as site:
        site.write(f"whole_nodes: {str(whole).lower()}\n")
    shutil.copy2(ROOT / "tests/slurm/study.yaml", folder / "config/studies/slurm.yaml")
    models = ("small", "qwen2.5-72b-instruct")
    files = [f"results/slurm/responses/{model}/manifest.json" for model in models]
    run = snakemake(folder, "-n", "--profile", "slurm", "--config", "study=slurm", "--", *files)
    assert run.returncode == 0, run.stdout
    parts = re.split(r"Group job engines-slurm-(\S+) .*", run.stdout)[1:]
    found = {model: [] for model in models}
    for model, text in zip(parts[::2], parts[1::2], strict=True):
        found[model].append(sorted(re.findall(rf"    Job \d+: slurm: {model} answers shard (\d+)", text)))
    study = load_study(folder / "config", "slurm")
    registry = load_models(folder / "config", study)
    for model, groups in found.items():
        room = min(8 // make_spec(study, model, registry).gpus, 4)
        assert [len(group) for group in groups] == [room] * (4 // room) * whole, run.stdout
        shards = sorted(shard for group in groups for shard in group)
        assert shards == ["0000", "0001", "0002", "0003"] * whole


@pytest.mark.heavy
def test_this_machine_without_a_profile(copy: Path) -> None:
    found = settings(copy)
    assert (found["cores"], found["retries"], found["executor"]) == (
        len(os.sched_getaffinity(0)),
        1,
        None,
    )
    assert found["rerun_incomplete"]
    assert found["keep_going"]


@pytest.mark.heavy
def test_continuous_integration(copy: Path) -> None:
    found = settings(copy, "--profile", "profiles/ci")
    assert (found["cores"], found["retries"], found["keep_going"]) == (2, 0, False)


def test_a_dry_run_on_a_cluster(set_up, snakemake, monkeypatch) -> None:
    monkeypatch.delenv("REWILD_SITE", raising=False)
    run = snakemake(set_up(), "--profile", "slurm", "-n", "--config", "study=demo")
    assert run.returncode == 0, run.stdout
    assert "answer_shard" in run.stdout


def test_without_a_site_the_profile_says_what_to_do(copy: Path, snakemake, monkeypatch) -> None:
    monkeypatch.delenv("REWILD_SITE", raising=False)
    (copy / "slurm").symlink_to("profiles/slurm")
    (copy / "profiles/slurm/site.yaml").unlink(missing_ok=True)
    run = snakemake(copy, "--profile", "slurm", "-n")
    assert run.returncode == 1
    assert "error: profiles/slurm/site.yaml: no such file" in run.stdout
    assert "cp profiles/slurm/site.example.yaml profiles/slurm/site.yaml" in run.stdout
    assert "Traceback" not in run.stdout


def test_a_site_that_is_not_filled_in_disturbs_only_its_profile(copy: Path, snakemake, monkeypatch) -> None:
    monkeypatch.delenv("REWILD_SITE", raising=False)
    (copy / "slurm").symlink_to("profiles/slurm")
    shutil.copy2(copy / "profiles/slurm/site.example.yaml", copy / "profiles/slurm/site.yaml")
    run = snakemake(copy, "--profile", "slurm", "-n")
    assert run.returncode == 1
    assert "account is not filled in" in run.stdout
    assert snakemake(copy, "-n").returncode == 0


@pytest.fixture(scope="module")
def parsed():
    return rules()


@pytest.fixture(scope="module")
def profile():
    """The profile for SLURM as YAML; conditions are keys of their own."""
    return yaml.safe_load((ROOT / "profiles/slurm/config.v8+.yaml").read_text())


def test_every_rule_that_uses_gpus_is_mapped(parsed, profile) -> None:
    """The profile's defaults reach every rule; the rule says what its plan does: how many, of which kind."""
    using = {rule.name: rule for rule in parsed if "gpu" in rule.resources}
    assert set(using) >= {"run_pilot", "answer_shard"}
    for name, rule in using.items():
        assert rule.resources["gpu"].is_evaluable(), f"{name}: not from the plan"
        assert "gpu_model" in rule.resources, f"{name}: GPUs of any kind"
        assert rule.resources["nodes"] == 1, f"{name}: GPUs may be spread over nodes"
    assert profile["default-resources"]["cpus_per_gpu"] == "?site.cpus_per_gpu", "a site's, not everybody's"


def test_groups_are_of_short_rules_that_exist(parsed, profile) -> None:
    known = {rule.name for rule in parsed}
    assert set(profile["groups"]) <= known
    # Jobs of a group that do not feed each other would wait for each other, and fail together.
    assert "group-components" not in profile
    # Numbers of parallel jobs of a group are added up.
    assert "nodes" not in profile["default-resources"]


def test_short_rules_are_grouped_or_local(parsed, profile) -> None:
    """Rules that give themselves ten minutes at most, whatever their wildcards."""

    def minutes(rule) -> float:
        try:
            return rule.resources["runtime"]._evaluator(None, attempt=1)
        except AttributeError:  # as a study's settings have it: a shard, a training
            return math.inf

    short = {rule.name for rule in parsed if rule.name != "all" and minutes(rule) <= 10}
    assert len(short) > 20
    assert short - parsed[0].workflow._localrules - set(profile["groups"]) == set()


@pytest.mark.parametrize(
    "study",
    [["study=wildchat50m", "models=qwen2.5-72b-instruct,llama-3.3-70b-instruct"], ["study=released"]],
    ids=["computed", "released"],
)
def test_groups_can_be_laid_out(set_up, snakemake, monkeypatch, study) -> None:
    """Snakemake refuses a group that needs something outside it which needs the group."""
    monkeypatch.delenv("REWILD_SITE", raising=False)
    run = snakemake(set_up(), "--profile", "slurm", "-n", "--quiet", "all", "--config", *study)
    assert run.returncode == 0, run.stdout[-3000:]
    assert re.search(r"^total +\d+$", run.stdout, re.MULTILINE)


def test_no_rule_retries_inside_its_allocation(parsed) -> None:
    """The memory of the second try would be the first one's: docs/cluster.md."""
    assert [rule.name for rule in parsed if rule._restart_times] == []


def test_what_needs_the_network_stays_on_the_login_node(parsed) -> None:
    local = parsed[0].workflow._localrules
    fetching = {rule.name for rule in parsed if rule.name.startswith(("fetch_", "build_"))}
    assert len(fetching) > 3
    assert fetching | {"check_pilot", "write_config", "list_results", "make_home"} <= local


def guide() -> list[list[str]]:
    """The commands of docs/cluster.md, one list of words each."""
    text = (ROOT / "docs/cluster.md").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    # Paragraphs of numbered steps are indented, too.
    return [shlex.split(line, comments=True) for line in lines if line.startswith(("rewild ", "snakemake "))]


def test_the_guides_commands_are_understood(set_up, rewild) -> None:
    """Snakemake knows every option; every command of the package exists."""
    folder = set_up()
    ours = {tuple(words[:2]) for words in guide() if words[:1] == ["rewild"]}
    assert {name for _, name in ours} >= {"check-site", "preflight", "cost", "status"}
    known = rewild(folder, "--help").stdout
    assert not [name for _, name in ours if f" {name} " not in known]
    commands = [words[1:] for words in guide() if words[:1] == ["snakemake"]]
    assert len(commands) > 8
    code = (
        "import json, sys; from snakemake.cli import parse_args; "
        "print(json.dumps([parse_args(words)[1].executor for words in json.loads(sys.argv[1])]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == ["slurm" if "--profile" in words else None for words in commands]

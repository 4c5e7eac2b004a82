"""The workflow used from another folder, as a Snakemake module and as the workflow catalog deploys it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from rewild.config.study import Defaults, Study

ROOT = Path(__file__).resolve().parents[2]
MODULE = """
module rewild:
    snakefile: {snakefile}
    config: {config}

use rule * from rewild as {name}
"""
TABLE = "results/paper/wildchat50m/tables/table1.csv"
PAPER = (
    *("audit_claims", "draw_figure", "make_table", "note_figures"),
    *("write_config", "list_results", "make_home"),
)


def another_folder(folder: Path, snakefile: str, config: str = '{"study": "paper"}', name: str = "rewild_*"):
    (folder / "workflow").mkdir(parents=True, exist_ok=True)
    text = MODULE.format(snakefile=snakefile, config=config, name=name)
    (folder / "workflow/Snakefile").write_text(text)
    return folder


@pytest.mark.workflow
@pytest.mark.heavy
def test_another_folder_uses_the_rules_under_other_names(tmp_path: Path, snakemake) -> None:
    folder = another_folder(tmp_path, f'"{ROOT}/workflow/Snakefile"')
    plan = snakemake(folder, "-n")
    assert plan.returncode == 0, plan.stdout
    planned = set(re.findall(r"^(\w+) +\d+$", plan.stdout, re.MULTILINE))
    assert planned == {"total", "rewild_all", *(f"rewild_{name}" for name in PAPER)}
    made = snakemake(folder, "--cores", "1", "--", TABLE)
    assert made.returncode == 0, made.stdout
    cells = [line.split(",") for line in (folder / TABLE).read_text().splitlines()]
    assert ["WildChat-Q72", "246750"] in [line[:2] for line in cells], cells[:4]


@pytest.mark.workflow
@pytest.mark.heavy
def test_a_deployed_workflow_has_a_configuration_of_its_own(copy: Path, tmp_path: Path, snakemake) -> None:
    """The form that `snakedeploy deploy-workflow` writes; its host is a repository on this machine."""
    git = [
        "git",
        "-C",
        copy,
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@example.org",
        "-c",
        "init.defaultBranch=main",
    ]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True)
    snakefile = 'github("example/rewild", path="workflow/Snakefile", tag="v1")'
    folder = another_folder(tmp_path / "mine", snakefile, "config", "*")
    path = folder / "workflow/Snakefile"
    path.write_text(f'configfile: "config/config.yaml"\n{path.read_text()}')
    subprocess.run(["cp", "-r", copy / "config", folder / "config"], check=True)
    study = folder / "config/studies/mine.yaml"
    study.write_text(
        "title: Mine\nsource: published\npapers: {wildchat50m: {tables: [table1], audit: true}}\n"
    )
    settings = yaml.safe_load((folder / "config/config.yaml").read_text())
    settings["study"] = "mine"
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        patch.setenv("GIT_CONFIG_COUNT", "1")
        patch.setenv("GIT_CONFIG_KEY_0", f"url.{copy}.insteadOf")
        patch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/example/rewild")
        targets = ["results/mine/wildchat50m/tables/table1.csv", "results/mine/config.yaml"]
        run = snakemake(folder, "--cores", "1", "--", *targets)
        assert run.returncode == 0, run.stdout
        plan = snakemake(folder, "-n", "--quiet", "all")
    assert plan.returncode == 0, plan.stdout
    made = yaml.safe_load((folder / "results/mine/config.yaml").read_text())
    assert made["title"] == "Mine"
    assert made["papers"]["wildchat50m"]["tables"] == ["table1"]
    (commit,) = (path.parent for path in (tmp_path / "cache").glob("**/rewild/*/Snakefile"))
    assert (commit / "workflow/rewild/papers/wildchat50m/data/claims.yaml").is_file()


@pytest.mark.workflow
@pytest.mark.heavy
def test_a_broken_other_study_is_a_warning_and_an_error_for_who_asks_for_it(copy: Path, snakemake) -> None:
    (copy / "config/studies/other.yaml").write_text("title: x\nsource: published\npapres: {}\n")
    why = "unknown key 'papres'; did you mean 'papers'?"
    plan = snakemake(copy, "-n", "--config", "study=paper")
    assert plan.returncode == 0, plan.stdout
    assert f"warning: study other is left out: study other (config/studies/other.yaml): {why}" in plan.stdout
    asked = snakemake(
        copy, "-n", "--config", "study=paper", "--", "results/other/wildchat50m/tables/table1.csv"
    )
    assert asked.returncode == 1
    assert asked.stdout.count(why) == 2, asked.stdout
    chosen = snakemake(copy, "-n", "--config", "study=other")
    assert chosen.returncode == 1
    assert f"error: study other (config/studies/other.yaml): {why}" in chosen.stdout
    assert "Traceback (most recent call last)" not in plan.stdout + asked.stdout + chosen.stdout


@pytest.mark.workflow
@pytest.mark.heavy
def test_the_order_of_inclusion_does_not_matter(copy: Path, snakemake) -> None:
    path = copy / "workflow/Snakefile"
    first, *others = re.findall(r"^include: .*\n", path.read_text(), re.MULTILINE)
    assert "common.smk" in first
    assert len(others) >= 8
    whole = "".join([first, *others])
    path.write_text(path.read_text().replace(whole, "".join([first, *reversed(others)])))
    plans = []
    for folder in (ROOT, copy):
        run = snakemake(folder, "-n", "--forceall", "--config", "study=released")
        assert run.returncode == 0, run.stdout
        plans.append(sorted(re.findall(r"^\w+ +\d+$", run.stdout, re.MULTILINE)))
    assert plans[0] == plans[1]
    assert len(plans[0]) > 20


def test_the_catalog_finds_what_it_asks_for() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda", "report"}
    assert "rule all:" in (ROOT / "workflow/Snakefile").read_text()


def test_the_readme_of_the_configuration_has_every_key_and_table() -> None:
    text = (ROOT / "config/README.md").read_text()
    rows = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    said = re.findall(r"`(\w+)`", rows)
    assert sorted(said) == sorted({*Defaults.model_fields, *Study.model_fields} - {"name"})
    for file in (ROOT / "config").glob("*.yaml"):
        assert f"`{file.name}`" in text

"""The rule that prepares prompts: planned from the settings, run, and rerun only when they change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rewild.prompts.schema import read_shard

STUDY = """
title: {title}
source: computed
prompts:
  sources: [{{kind: demo}}]
  characters: {{min: {least}}}
  shards: 3
"""


def study(copy: Path, title: str = "A trial", least: int = 0) -> None:
    (copy / "config/studies/trial-1.yaml").write_text(STUDY.format(title=title, least=least))


@pytest.mark.workflow
def test_prompts_are_prepared_once_and_again_when_their_settings_change(copy: Path, snakemake) -> None:
    study(copy)
    arguments = ("--cores", "2", "results/trial-1/prompts/report.json")
    run = snakemake(copy, *arguments)
    assert run.returncode == 0, run.stdout
    folder = copy / "results/trial-1/prompts"
    names = [p.name for p in sorted((folder / "shards").iterdir())]
    assert names == ["0000.parquet", "0001.parquet", "0002.parquet"]
    report = json.loads((folder / "report.json").read_text())
    assert (
        sum(len(read_shard(p)) for p in (folder / "shards").iterdir()) == report["kept"] == report["rows_in"]
    )

    study(copy, title="Another title")
    assert "Nothing to be done" in snakemake(copy, *arguments).stdout
    study(copy, least=1)
    run = snakemake(copy, *arguments)
    assert "Params have changed" in run.stdout
    assert json.loads((folder / "report.json").read_text())["dropped"] == {"length": 2}


@pytest.mark.workflow
def test_a_hub_source_is_planned_with_its_environment(copy: Path, snakemake) -> None:
    study(copy)
    hub = "{kind: hub, repository: allenai/WildChat-1M, revision: 9b1d5e7c3a2f8046d1e5b7a9c3f20846517badce}"
    path = copy / "config/studies/trial-1.yaml"
    path.write_text(path.read_text().replace("{kind: demo}", hub))
    (copy / ".envs/data").mkdir(parents=True)
    (copy / ".envs/data/ready").touch()
    run = snakemake(copy, "-n", "--config", "study=trial-1", "--until", "prepare_prompts_trial_1")
    assert run.returncode == 0, run.stdout
    assert "Streaming allenai/WildChat-1M from the hub" in run.stdout


@pytest.mark.workflow
def test_a_pattern_without_files_is_named(copy: Path, snakemake) -> None:
    study(copy)
    path = copy / "config/studies/trial-1.yaml"
    path.write_text(path.read_text().replace("{kind: demo}", "{kind: wildchat-file, files: [none/*.jsonl]}"))
    run = snakemake(copy, "-n", "--config", "study=trial-1")
    assert run.returncode == 1
    assert "no file matches the pattern 'none/*.jsonl'" in run.stdout

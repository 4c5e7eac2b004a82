"""The workflow as Snakemake parses it, and the names of its studies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rewild.config import study_names

ROOT = Path(__file__).resolve().parents[1]
STUDIES = study_names(ROOT / "config")
LARGE = ("magpie", "teachers", "wildchat50m")
"""Studies of many shards, of which one is like the other: two of each do, but for test_full_study.py,
test_magpie_study.py and test_teachers_study.py of tests/config."""


def rules() -> list[Any]:
    """The rules as Snakemake itself parsed them."""
    return list(_planned({}, run=False).rules)


def jobs(*targets: str, **config: Any) -> list[Any]:
    """Every job of a study, as if nothing were there, under these keys of Snakemake's command line.

    Args:
        targets: files or rules to make instead of the whole study.
    """
    return list(_planned(config, True, targets).dag.jobs)


def _planned(config: dict[str, Any], run: bool, targets: Iterable[str] = ()) -> Any:
    from snakemake.api import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        ResourceSettings,
        SnakemakeApi,
        StorageSettings,
        WorkflowSettings,
    )

    with SnakemakeApi(OutputSettings(quiet={"all"})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(),
            config_settings=ConfigSettings(config=config),
            storage_settings=StorageSettings(),
            workflow_settings=WorkflowSettings(),
            snakefile=ROOT / "Snakefile",
            workdir=ROOT,
        )
        dag = workflow.dag(DAGSettings(targets=set(targets), forceall=True))
        if run:
            dag.execute_workflow(executor="dryrun")
        return workflow._workflow

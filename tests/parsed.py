"""The workflow as Snakemake parses it, and the names of its studies."""

from __future__ import annotations

from pathlib import Path

from rewild.config import study_names

ROOT = Path(__file__).resolve().parents[1]
STUDIES = study_names(ROOT / "config")


def rules():  # type: ignore[no-untyped-def]
    """The rules as Snakemake itself parsed them."""
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
            config_settings=ConfigSettings(),
            storage_settings=StorageSettings(),
            workflow_settings=WorkflowSettings(),
            snakefile=ROOT / "Snakefile",
            workdir=ROOT,
        )
        workflow.dag(DAGSettings())
        return list(workflow._workflow.rules)

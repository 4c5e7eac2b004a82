"""Preflight of the flash-attention kernel: is it there, for the torch that will train?

Axolotl's environment is asked, with the check that each run's own preflight makes: torch is there alone.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from rewild import FOLDER
from rewild.config.trainings import check_runs
from rewild.core import quiet
from rewild.core.errors import ConfigError
from rewild.operate.cost.base import CostInputs
from rewild.operate.preflight_models import reachable
from rewild.operate.site import Check
from rewild.training.runs.kernel import ATTENTION, HOW, PLACE

NAME = "flash-attention kernel"
PATIENCE = 300  # seconds; Axolotl and torch load from a slow disk


def check_kernel(
    inputs: CostInputs, environ: Mapping[str, str], envs: Path = Path(".envs")
) -> Iterator[Check]:
    """Whether the kernel is there, if a run of the study trains with it; nothing otherwise.

    Where it is not there, but the hub can be reached, the rule ``fetch_kernel`` will fetch it: unsure.

    Args:
        inputs: the study, and all tables.
        environ: the variables of jobs.
        envs: where the environments of tools are.
    """
    try:
        trainings = check_runs(inputs.study, inputs.models, inputs.recipes).values()
    except ConfigError as error:
        yield Check(NAME, "missing", str(error))
        return
    needing = sorted({t.recipe.slug for t in trainings if t.recipe.gpus and t.recipe.attention == ATTENTION})
    if not needing:
        return
    who = f"recipe{'s' * (len(needing) > 1)} {', '.join(needing)}"
    python = envs / "axolotl" / "bin" / "python"
    if not python.exists():
        yield Check(
            NAME,
            "unsure",
            f"{who}: {envs}/axolotl is not built yet, so nothing says for which torch it must be",
        )
        return
    passed, found = _look(python, inputs.results / PLACE)
    if passed:
        yield Check(NAME, "ok", f"{who}: {found}")
    elif reachable(environ):
        yield Check(
            NAME, "unsure", f"{who}: {found}; the rule fetch_kernel will fetch it before the first run"
        )
    else:
        yield Check(NAME, "missing", f"{who}: {found}; the hub cannot be reached from here. {HOW}")


def _look(python: Path, folder: Path) -> tuple[bool, str]:
    """What :mod:`rewild.training.runs.kernel` says in Axolotl's environment: passed, and why (not)."""
    variables = {**os.environ, **quiet.VARIABLES, "PYTHONPATH": str(FOLDER)}
    command = [str(python), "-m", "rewild.training.runs.kernel", str(folder)]
    try:
        done = subprocess.run(
            command, text=True, capture_output=True, check=False, env=variables, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return False, f"{python} says nothing within {PATIENCE} seconds"
    try:
        said = json.loads(done.stdout.splitlines()[-1])
        return bool(said["passed"]), str(said["found"])
    except (IndexError, ValueError, KeyError, TypeError):
        lines = done.stderr.strip().splitlines()
        return False, f"{python} cannot say: {lines[-1] if lines else f'exit {done.returncode}'}"

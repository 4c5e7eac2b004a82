"""A study with what its teachers need: models, benchmarks, runs, the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rewild.config import load_benchmarks, load_defaults, load_models, read_study
from rewild.config.benchmarks import Benchmark
from rewild.config.gpus import Gpu
from rewild.config.models import Model
from rewild.config.recipes import load_recipes
from rewild.config.roster import Roster, make_roster
from rewild.config.study import Study
from rewild.config.teachers import Teachers
from rewild.core.errors import DataError
from rewild.core.reading import read_json
from rewild.prompts.schema import read_shard
from rewild.report.teachers.plan import Plan, plan_teachers, settings_of
from rewild.report.teachers.views import Named


@dataclass(frozen=True)
class Opened:
    """A study that has the section ``teachers``.

    Attributes:
        training_gpus: run → GPUs that it is trained on.
    """

    study: Study
    given: Teachers
    plan: Plan
    roster: Roster
    models: Mapping[str, Model]
    benchmarks: Mapping[str, Benchmark]
    gpus: Mapping[str, Gpu]
    training_gpus: Mapping[str, int]
    named: Named


def open_study(study: str, config: Path) -> Opened:
    """Read it.

    Raises:
        ConfigError: it is not valid, or has no section ``teachers``.
    """
    found = read_study(study, config)
    given = settings_of(found)
    models = load_models(config, found)
    benchmarks, recipes = load_benchmarks(config, models), load_recipes(config)
    roster = make_roster(found, models)
    gpus = {e.run: recipes[e.recipe].gpus for e in roster.entries if e.recipe in recipes}
    titles = {slug: row.title for slug, row in benchmarks.items()}
    plan = plan_teachers(found, roster)
    known = load_defaults(config).gpus
    return Opened(found, given, plan, roster, models, benchmarks, known, gpus, Named(models, titles))


def conversations_of(prompts: Sequence[Path], origins: Sequence[str]) -> pl.Series:
    """The conversations that come from some sources of the prompts.

    Raises:
        DataError: there is none.
    """
    found = [read_shard(path, origins)["conversation_id"] for path in prompts]
    ids = pl.concat(found) if found else pl.Series("conversation_id", [], pl.String)
    if ids.is_empty():
        raise DataError(f"teachers.origins: no prompt given is from {', '.join(origins)} (--prompts)")
    return ids


def hours_of(trained: Sequence[Path], gpus: Mapping[str, int]) -> dict[str, float]:
    """Run → GPU-hours of its training, of runs that took GPUs.

    Args:
        trained: ``runs/RUN/training.json``.
        gpus: run → GPUs.

    Raises:
        DataError: one of the files is damaged.
    """
    found = {}
    for path in trained:
        run, read = path.parent.name, read_json(path)
        hours = read.get("hours") if isinstance(read, dict) else None
        if not isinstance(hours, int | float):
            raise DataError(
                f"{path}: it does not say the hours that the training took; rerun the run's check"
            )
        if gpus.get(run):
            found[run] = float(hours) * gpus[run]
    return found

"""`rewild runs`: how far each run is, from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rewild.config.models import Model
from rewild.config.recipes import Recipe
from rewild.config.runs import Run
from rewild.config.study import Study
from rewild.config.trainings import display, start_of
from rewild.core.errors import ConfigError, RewildError
from rewild.core.reading import read_model
from rewild.core.terminal import print_table
from rewild.training.runs.checkpoints import step_of
from rewild.training.runs.checks import read_report
from rewild.training.runs.gates import judged_now
from rewild.training.runs.layout import RunFiles
from rewild.training.runs.schema import Measured, read_log


@dataclass
class State:
    """Where a run is.

    Attributes:
        state: what happened last: ``no mix``, ``mixed``, ``stopped: CHECK``, ``checked``, ``step N``,
            ``trained``, ``failed: CHECK``, ``ready``, or ``as it is``.
        first, last: losses, in nats.
        hours: of training so far.
        where: the checkpoint, the last one to resume from, or the model.
    """

    run: str
    name: str
    state: str
    first: float | None = None
    last: float | None = None
    steps: int | None = None
    hours: float | None = None
    tokens_per_second: float | None = None
    where: str = ""


def states(
    study: Study, models: Mapping[str, Model], results: Path, recipes: Mapping[str, Recipe] | None = None
) -> list[State]:
    """The state of every run of a study.

    Args:
        study: whose runs.
        models: the table of models.
        results: the folder of results.
        recipes: the table of recipes, whose gates of now judge a preflight; without it, those of then do.

    Raises:
        ConfigError: the study has no runs.
    """
    if not study.runs:
        raise ConfigError(
            f"study {study.name} has no section 'runs': nothing is fine-tuned or evaluated in it"
        )
    return [_state(study, slug, run, models, results, recipes or {}) for slug, run in study.runs.items()]


def _state(  # noqa: PLR0917
    study: Study,
    slug: str,
    run: Run,
    models: Mapping[str, Model],
    results: Path,
    recipes: Mapping[str, Recipe],
) -> State:
    found = State(slug, display(study, slug, models), "as it is")
    if not run.trained:
        found.where = start_of(study, slug, models).path
        return found
    files = RunFiles(results, study.name, slug)
    if files.training().exists() and files.checkpoint().is_dir():
        measured = read_model(files.training(), Measured, "a training's report")
        found.first, found.last, found.steps = measured.first_loss, measured.last_loss, measured.steps
        found.hours, found.tokens_per_second = measured.hours, measured.tokens_per_second
        found.where = str(files.checkpoint())
        found.state = "ready" if files.passed().exists() else _failed(files, "postflight") or "trained"
        return found
    if (failed := _failed(files, "preflight", recipes.get(run.recipe or ""))) is not None:
        found.state = failed
        return found
    under_way = sorted(files.work.glob("*/out"), key=lambda p: p.stat().st_mtime)
    if under_way and (log := read_log(under_way[-1])):
        _progress(found, under_way[-1], log)
    elif files.report("preflight").exists():
        found.state = "checked"
    else:
        kind = "mixes" if run.mix in study.mixes else "preferences"
        mixed = (results / study.name / kind / str(run.mix) / "train.parquet").exists()
        found.state = "mixed" if mixed else "no mix"
    return found


def _progress(found: State, out: Path, log: list[dict[str, float]]) -> None:
    found.state = f"step {int(log[-1]['step'])}"
    found.steps = int(log[-1]["step"])
    found.first, found.last = log[0]["loss"], log[-1]["loss"]
    found.hours = sum(line["seconds"] for line in log) / 3600
    saved = sorted((p for p in out.glob("checkpoint-*") if step_of(p) >= 0), key=step_of)
    found.where = str(saved[-1]) if saved else ""


def _failed(files: RunFiles, flight: str, recipe: Recipe | None = None) -> str | None:
    try:
        report = read_report(files.report(flight))
    except RewildError:
        return None
    if recipe is not None:
        report = judged_now(report, recipe)
    failed = [check.name for check in report.checks if not check.passed]
    word = "stopped" if flight == "preflight" else "failed"
    return f"{word}: {', '.join(failed)}" if failed else None


def print_runs(
    study: Study,
    models: Mapping[str, Model],
    results: Path,
    console: Console | None = None,
    *,
    recipes: Mapping[str, Recipe] | None = None,
) -> None:
    """Print :func:`states` as a table."""
    columns = "run | name 6 | state 1 | steps 3> | loss 2 | hours 4> | tokens/s 5> | model 7"
    rows, styles = [], []
    for s in states(study, models, results, recipes):
        bad = s.state.startswith(("stopped", "failed"))
        loss = f"{s.first:.3f} → {s.last:.3f}" if s.first is not None and s.last is not None else "-"
        rows.append(
            (
                s.run,
                s.name,
                s.state,
                f"{s.steps:,}" if s.steps is not None else "-",
                loss,
                _hours(s.hours),
                f"{s.tokens_per_second:,.0f}" if s.tokens_per_second else "-",
                s.where or "-",
            )
        )
        styles.append("red" if bad else "green" if s.state == "ready" else None)
    title = f"{study.name}: {study.title}"
    print_table(columns, rows, title=title, styles=styles, console=console)


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.1f}" if hours >= 0.1 else f"{hours:.3f}"

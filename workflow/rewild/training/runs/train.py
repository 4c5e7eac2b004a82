"""A training: Axolotl as a child process, from the last sound checkpoint; then its results are published.

Runs in Axolotl's environment but imports none of it: what Axolotl does, and how it dies, is looked at from
outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.trainings import Training
from rewild.core.errors import DataError, RewildError
from rewild.core.files import atomic, sha256, write_json
from rewild.core.locks import locked
from rewild.core.reading import read_json
from rewild.core.reading_yaml import read_yaml
from rewild.core.table import provenance, write_table
from rewild.training.runs.checkpoints import last_sound, step_of
from rewild.training.runs.checks import FlightReport, read_report, why_failed
from rewild.training.runs.environment import variables
from rewild.training.runs.gates import judged_now
from rewild.training.runs.kernel import ATTENTION, PLACE, local_kernels
from rewild.training.runs.layout import RunFiles
from rewild.training.runs.published import make_readable, store_weights
from rewild.training.runs.render import identity_of, start_identity
from rewild.training.runs.schema import LOSS, MEASURED, STOPPED, Measured, ends, read_log

STARTS = "starts"  # a character per start of Axolotl
TAIL = 25  # lines of Axolotl's output shown when it fails
Say = Callable[[str], None]


def train(training: Training, mix: Path, files: RunFiles, threads: int, say: Say) -> Measured:
    """Train, or go on with it; writes all that a training publishes (:mod:`rewild.training.runs.schema`).

    Args:
        training: the run.
        mix: the data it learns from.
        files: where everything is; the preflight has been there.
        threads: CPU threads per process.
        say: called with lines of progress.

    Raises:
        DataError: the preflight failed, or is of something else.
        RewildError: Axolotl failed, the loss became NaN, or another process is training it.
    """
    report = _cleared(training, mix, files)
    config = read_yaml(files.config())
    out = Path(config["output_dir"])
    with locked(out, f"training {training.run}") as lock:
        if not (out / MEASURED).exists():  # else it was killed after the last step, before all was published
            _run_axolotl(training, files, out, threads, lock, say)
        measured = _publish(training, mix, files, out, report)
        shutil.rmtree(files.work, ignore_errors=True)
    return measured


def _cleared(training: Training, mix: Path, files: RunFiles) -> FlightReport:
    """The preflight, if it passed and is of this config, this mix and this base model."""
    report = judged_now(read_report(files.report("preflight")), training.recipe)
    if not report.passed:
        raise DataError(why_failed(report))
    if sha256(files.config()) != report.counts["config_sha256"]:
        raise DataError(f"{files.config()}: it changed after its preflight; run the preflight again")
    # Axolotl would find what was prepared, and train on that.
    if identity_of(training, sha256(mix), start_identity(training)) != report.identity:
        raise DataError(
            f"{mix}: the mix, the base model or the recipe changed after the preflight of run "
            f"{training.run}; run the preflight again"
        )
    return report


def _run_axolotl(  # noqa: PLR0917
    training: Training, files: RunFiles, out: Path, threads: int, lock: int, say: Say
) -> None:
    (out / STOPPED).unlink(missing_ok=True)
    resume = last_sound(out, say)
    command = [sys.executable, "-m", "axolotl.cli.main", "train", str(files.config())]
    gpus = training.recipe.gpus
    command += ["--launcher", "torchrun" if gpus > 1 else "python"]
    if resume:
        say(f"going on from step {step_of(resume)}")
        command.append(f"--resume-from-checkpoint={resume}")
    if gpus > 1:
        command += ["--", f"--nproc_per_node={gpus}"]
    with (out / STARTS).open("a", encoding="utf-8") as file:
        file.write("+")
    environment = os.environ | variables(
        local=training.start.local, gpus=gpus, threads=threads, work=files.work
    )
    if gpus and training.recipe.attention == ATTENTION:
        environment |= local_kernels(files.root / PLACE)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    lines: list[str] = []
    with subprocess.Popen(
        command,
        env=environment,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),  # Axolotl may outlive this process if that alone is killed
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines = [*lines[-TAIL:], line.rstrip()]
            say(line.rstrip())
    if (out / STOPPED).exists():
        reason = read_json(out / STOPPED)["reason"]
        raise RewildError(f"run {training.run}: stopped: {reason} (see {files.work} and the log)")
    if process.returncode or not (out / MEASURED).exists():
        raise RewildError(complaint(training, process.returncode, lines))


def complaint(training: Training, code: int, lines: list[str]) -> str:
    """Why Axolotl ended: its exit code and last lines, and what to do where that is known."""
    shown = "\n".join(f"  {line}" for line in lines[-TAIL:] if line.strip())
    text = "\n".join(lines)
    if "No space left on device" in text:
        return f"run {training.run}: the disk is full; free some space and run it again, it goes on:\n{shown}"
    if "out of memory" in text.lower():
        return (
            f"run {training.run}: the GPU's memory does not hold this recipe ({training.recipe.slug}): fewer "
            f"sequences at once (micro_batch), or more GPUs with fsdp:\n{shown}"
        )
    if code < 0:
        return f"run {training.run}: Axolotl was killed by signal {-code}; run it again, it goes on:\n{shown}"
    return f"run {training.run}: Axolotl failed (exit {code}):\n{shown}"


def _publish(training: Training, mix: Path, files: RunFiles, out: Path, report: FlightReport) -> Measured:
    log = read_log(out)
    rows = pl.DataFrame(log, schema={name: column.dtype for name, column in LOSS.columns.items()})
    made_from = provenance([files.config(), mix], identity=report.identity)
    write_table(files.folder / "loss.csv", rows, LOSS, made_from)
    saved = publish_checkpoint(training, out, files.checkpoint())
    measured = measure(training, report, out, log, saved)
    with atomic(files.folder / "trainer_state.json") as temporary:
        shutil.copyfile(out / "trainer_state.json", temporary)
    write_json(files.training(), measured.model_dump())
    return measured


def measure(
    training: Training, report: FlightReport, out: Path, log: list[dict[str, Any]], saved: dict[str, int]
) -> Measured:
    """:class:`Measured` from what the plugin wrote, and the dtypes of the published weights."""
    found = read_json(out / MEASURED)
    first, last = ends([line["loss"] for line in log])
    seconds = sum(line["seconds"] for line in log)
    epochs = training.recipe.epochs
    kept = report.counts.get("kept_tokens")
    tokens = None if kept is None else epochs * kept
    trained, slots = found["trained_tokens"], found["token_slots"]
    return Measured(
        study=training.study,
        run=training.run,
        base=training.start.path,
        mix=training.mix,
        recipe=training.recipe.slug,
        seed=training.seed,
        identity=report.identity,
        steps=found["steps"],
        planned_steps=found["planned_steps"],
        epochs=float(found["epochs"]),
        resumed=found["resumed_at"],
        starts=len((out / STARTS).read_text(encoding="utf-8")),
        first_loss=first,
        last_loss=last,
        seconds=seconds,
        hours=seconds / 3600,
        tokens=tokens,
        trained_tokens=trained,
        tokens_per_second=tokens / seconds if tokens else None,
        trained_tokens_per_second=trained / seconds if trained else None,
        padding=max(0.0, 1 - tokens / slots) if tokens and slots else None,
        parameters=found["parameters"],
        optimizer=found["optimizer"],
        compute=found["compute"],
        saved=saved,
        peak_memory=found["peak_memory"],
        processes=found["processes"],
        hardware=found["hardware"],
        versions=found["versions"],
    )


def publish_checkpoint(training: Training, out: Path, checkpoint: Path) -> dict[str, int]:
    """Move the model to its place, in a form that more than transformers 5 can read (:mod:`.published`).

    Returns:
        Dtype → how many weights are stored in it.

    Raises:
        RewildError: Axolotl left no weights, or no config or tokenizer beside them.
    """
    names = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
    optional = ("chat_template.jinja", "special_tokens_map.json", "tokenizer.model")
    if not list(out.glob("model*.safetensors")):
        raise RewildError(f"run {training.run}: Axolotl left no weights (model*.safetensors) in {out}")
    made = checkpoint.with_name(f".{checkpoint.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    for name in (*names, *optional):
        if (out / name).is_file():
            shutil.copyfile(out / name, made / name)
        elif name in names[:1] + names[2:]:
            raise RewildError(f"run {training.run}: Axolotl left no {name} in {out}")
    saved = store_weights(out, made, training.recipe.precision)
    make_readable(made, training.template.end_of_turn if training.template else None)
    shutil.rmtree(checkpoint, ignore_errors=True)
    made.rename(checkpoint)
    return saved

"""After a training: the checkpoint is loaded by another library than made it, and answers prompts.

Runs in the engines' environment, with the engine that answers a study's prompts. The report is written
whatever is found; ``rewild check-run`` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.study import Study
from rewild.config.trainings import Training
from rewild.core.errors import DataError
from rewild.core.reading import read_model
from rewild.core.table import read_table
from rewild.engines.base import Completion, EngineError, Request, Sampling
from rewild.engines.chat import Chat
from rewild.generation.spec import row_seed
from rewild.prompts.schema import read_shard
from rewild.responses.pilot import sample
from rewild.training.runs.checks import (
    FlightReport,
    RunCheck,
    checked,
    make_report,
    read_report,
    write_report,
)
from rewild.training.runs.encoded import told_to
from rewild.training.runs.gates import first_preference_loss, judged_now, precision
from rewild.training.runs.layout import RunFiles
from rewild.training.runs.published import unreadable
from rewild.training.runs.schema import LOSS, Measured, ends, window

PROMPTS = 32  # conversations whose first turn is answered
LONGEST = 512  # tokens of an answer, and of half a context at most
TRAINED = 0.9  # least share of the prepared tokens that must have been trained
Say = Callable[[str], None]


def postflight(  # noqa: PLR0917
    study: Study,
    training: Training,
    shards: Sequence[Path],
    mix: Path,
    files: RunFiles,
    threads: int,
    say: Say,
) -> FlightReport:
    """Try the checkpoint; writes ``postflight.json`` and ``.md``.

    Args:
        study: whose sampling settings are used.
        training: the run.
        shards: prompts to draw from, as the pilots do; without any, the mix's own first turns.
        mix: the data it learned from.
        files: where everything is.
        threads: CPU threads.
        say: called with lines of progress.
    """
    before = read_report(files.report("preflight"))
    measured = read_model(files.training(), Measured, "a training's report")
    losses = read_table(files.folder / "loss.csv", LOSS)
    checks = [
        _cleared(before, training),
        _steps(measured),
        *_gates(measured, losses, training),
        _fell(losses["loss"].to_list()),
    ]
    checks.append(_trained(measured, before, training.recipe.kind))
    checks.append(_readable(files.checkpoint(), training))
    checks += _answers(study, training, _prompts(study, shards, mix), files.checkpoint(), threads, say)
    counts = {
        "steps": measured.steps,
        "first_loss": round(measured.first_loss, 4),
        "last_loss": round(measured.last_loss, 4),
        "hours": round(measured.hours, 4),
    }
    report = make_report("postflight", training.study, training.run, before.identity, checks, counts)
    write_report(files.report("postflight"), report)
    return report


def _prompts(study: Study, shards: Sequence[Path], mix: Path) -> list[dict[str, str]]:
    """Names and texts of first turns: those a pilot would draw, or the mix's."""
    if shards:
        pool = [c for path in shards for c in read_shard(path).to_dicts()]
        chosen = sample(pool, PROMPTS, study.seed)
        rows = [(c["conversation_id"], c["messages"]) for c in chosen]
    else:
        table = pl.read_parquet(mix, columns=["id", "messages"]).head(PROMPTS)
        rows = list(table.iter_rows())
    found = []
    for name, messages in rows:
        user = next((m["content"] for m in messages if m["role"] == "user"), None)
        if user is not None:
            found.append({"name": str(name), "content": user})
    if not found:
        raise DataError(f"{mix}: there is no prompt to try the checkpoint on")
    return found


def _steps(measured: Measured) -> RunCheck:
    found = f"{measured.steps:,} of {measured.planned_steps:,} optimiser steps"
    done = measured.steps == measured.planned_steps
    return checked("all_steps_done", done, found, "the training ended early: look at its log.")


def _cleared(before: FlightReport, training: Training) -> RunCheck:
    """The preflight, by the gates of now: they may be stricter than when the training started."""
    failed = [check for check in judged_now(before, training.recipe).checks if not check.passed]
    return checked(
        "preflight",
        not failed,
        "; ".join(f"{check.name}: {check.found}" for check in failed)
        or "its data passes the preflight's checks",
        " ".join(check.remedy for check in failed),
    )


def _gates(measured: Measured, losses: pl.DataFrame, training: Training) -> list[RunCheck]:
    """In what precision it was trained, and where a preference tuning began."""
    recipe = training.recipe
    checks = [precision(measured.parameters, measured.optimizer, measured.compute, recipe.precision)]
    if recipe.kind == "dpo":
        first = losses.filter(pl.col("step") == 1)["loss"].to_list()
        checks.append(first_preference_loss(first[0] if first else None))
    return checks


def _fell(losses: Sequence[float]) -> RunCheck:
    first, last = ends(losses)
    return checked(
        "loss_fell",
        last < first,
        f"the loss went from {first:.3f} to {last:.3f} (means of the first and the last "
        f"{window(len(losses))} of {len(losses):,} steps)",
        "nothing was learned: a lower or higher learning_rate, other data, or more steps than a few.",
    )


def _trained(measured: Measured, before: FlightReport, kind: str) -> RunCheck:
    if kind == "dpo":
        return checked("tokens_trained", True, "tokens are not counted for preference pairs")
    prepared, trained = before.counts.get("trained_tokens") or 0, measured.trained_tokens or 0
    share = trained / (prepared * measured.epochs) if prepared else 0.0
    found = f"{trained:,} tokens were trained, {share:.1%} of those prepared"
    remedy = "packing or an incomplete last batch left out more than a tenth."
    return checked("tokens_trained", share >= TRAINED, found, remedy)


def _readable(checkpoint: Path, training: Training) -> RunCheck:
    try:
        wrong = unreadable(checkpoint, training.template.end_of_turn if training.template else None)
    except (OSError, ValueError) as error:
        wrong = [str(error)]
    return checked(
        "readable",
        not wrong,
        "; ".join(wrong) or "its files say nothing that only transformers 5 understands",
        "other readers would not load it, or not as it was trained: publish it again (train-run).",
    )


def _answers(  # noqa: PLR0917
    study: Study,
    training: Training,
    prompts: Sequence[dict[str, str]],
    checkpoint: Path,
    threads: int,
    say: Say,
) -> list[RunCheck]:
    from rewild.engines import make_engine

    try:
        told = told_to(training.told.get("arguments"))
        chat = Chat.load(checkpoint, training.run, reasoning=told)
        precision = training.recipe.precision
        engine: Any = make_engine(
            "transformers",
            path=checkpoint,
            chat=chat,
            precision=precision,
            batch=len(prompts),
            threads=threads,
        )
    except EngineError as error:
        return [checked("loads", False, str(error), "look at the checkpoint's files.")]
    try:
        finite = _finite(engine.model)
        loads = checked("loads", True, f"transformers loads it: {_parameters(engine.model):,} parameters")
        found = "every weight is a number" if finite else "some weights are NaN or infinite"
        weights = checked("no_nan", finite, found, "a lower learning_rate, or a shorter max_grad_norm.")
        if not finite:
            return [loads, weights]
        done = _generate(study, training, engine, chat, prompts)
        say(f"{len(done)} answers")
        return [loads, weights, *_judge(training, chat, done)]
    finally:
        engine.close()


def _generate(
    study: Study, training: Training, engine: Any, chat: Chat, prompts: Sequence[dict[str, str]]
) -> list[Completion]:
    context = getattr(engine.model.config, "max_position_embeddings", 2 * LONGEST)
    longest = min(LONGEST, context // 2)
    rendered = chat.render([[{"role": "user", "content": p["content"]}] for p in prompts])
    requests = [
        Request(
            name=p["name"],
            messages=({"role": "user", "content": p["content"]},),
            tokens=tokens,
            max_tokens=longest,
            seed=row_seed(study.seed, training.run, p["name"], 0),
        )
        for p, tokens in zip(prompts, rendered, strict=True)
        if not isinstance(tokens, ValueError) and len(tokens) + longest <= context
    ]
    settings = study.responses.sampling if study.responses else None
    sampling = Sampling(**settings.model_dump()) if settings else Sampling()
    done: list[Completion] = engine.generate(requests, sampling) if requests else []
    return done


def _judge(training: Training, chat: Chat, done: Sequence[Completion]) -> list[RunCheck]:
    texts = [c for c in done if c.text and c.text.strip()]
    stopped = sum(c.finish_reason == "stop" for c in done)
    share = stopped / len(done) if done else 0.0
    least = training.recipe.stopped
    spoke, ended = len(texts) >= 0.5 * len(done) > 0, bool(done) and share >= least
    return [
        checked(
            "generates",
            spoke,
            f"{len(texts)} of {len(done)} answers have text",
            "the model says nothing: look at axolotl.yaml and the loss.",
        ),
        checked(
            "stops",
            ended,
            f"{stopped} of {len(done)} answers ({share:.0%}) end with an end token "
            f"({', '.join(chat.tokenizer.convert_ids_to_tokens(list(chat.end_tokens)))})",
            f"at least {least:.0%} must: it has not learned where a turn ends.",
        ),
    ]


def _finite(model: Any) -> bool:
    import torch

    return all(bool(torch.isfinite(p).all()) for p in model.parameters())


def _parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())

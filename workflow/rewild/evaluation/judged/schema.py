"""The files of judged benchmarks: ``results/{study}/benchmarks/{run}/{benchmark}/``.

====================== =====================================================================================
``answers.parquet``    :data:`ANSWERS`: what the run's model answered (`rewild answer`)
``judgments.parquet``  :data:`JUDGMENTS`: what the judge said of it, raw, and the verdict (`rewild judge`)
``judging.json``       :class:`Spent`: calls, tokens and price of these judgments
``scores.csv``         :data:`rewild.evaluation.scores.tidy.SCORES`, with ``items.parquet`` (`rewild score`)
====================== =====================================================================================

Each is made from the one above alone (and the benchmark's own files): scoring again costs no judge call,
judging again no generation.
"""

from __future__ import annotations

import polars as pl

from rewild.config.base import Strict
from rewild.core.table import Column, TableSchema
from rewild.generation.asking.store import RAW

ANSWERS = TableSchema(
    name="benchmark answers",
    version=1,
    columns={
        "run": Column(pl.String, "The run that answered (a key of the study's 'runs')"),
        "model": Column(pl.String, "The model the run starts from"),
        "benchmark": Column(pl.String, "The benchmark (a row of config/benchmarks.yaml)"),
        "question_id": Column(pl.String, "The question, as the benchmark names it"),
        "category": Column(pl.String, "Its category, as the benchmark has them; all where it has none"),
        "turn": Column(pl.Int16, "The turn that is answered, counted from 0"),
        "prompt": Column(pl.String, "The user's text of this turn"),
        "answer": Column(pl.String, "The model's text; null where there is none, never blank", True),
        "failure": Column(pl.String, "Why there is no answer, as 'reason: detail'; null when there is", True),
        "finish_reason": Column(pl.String, "stop (an end token) or length (the output limit)", True),
        "truncation": Column(pl.String, "How an over-long prompt was cut: none, left, per_message, skipped"),
        "attempts": Column(pl.Int16, "How often generation was tried"),
        "input_tokens": Column(pl.Int32, "Tokens of the rendered prompt", True),
        "output_tokens": Column(pl.Int32, "Tokens generated, the end token included", True),
        "temperature": Column(pl.Float64, "The temperature this was sampled at"),
        "seed": Column(pl.Int64, "The seed of this row alone", True),
        "engine": Column(pl.String, "What generated it, with its version"),
        "chat_template": Column(pl.String, "SHA-256 of the chat template; null for an endpoint", True),
        "recipe": Column(pl.String, "Hash of all that identifies the answer: weights, sampling, seed"),
    },
    key=("question_id", "turn"),
)

JUDGMENTS = TableSchema(
    name="judgments",
    version=RAW.version,
    columns={
        "run": ANSWERS.columns["run"],
        "benchmark": ANSWERS.columns["benchmark"],
        "question_id": ANSWERS.columns["question_id"],
        "category": ANSWERS.columns["category"],
        "turn": Column(pl.Int16, "The turn that is judged, counted from 0"),
        "part": Column(
            pl.String, "Which of several judgments of this turn, such as game-1 and game-2; else judgment"
        ),
        "judge": Column(pl.String, "The judge that was asked, as the study names it"),
        "judge_said": RAW.columns["judge_said"],
        "template": Column(pl.String, "The judge prompt's name and hash, as NAME@12 digits"),
        "request": RAW.columns["request"],
        "reply": RAW.columns["reply"],
        "earlier": RAW.columns["earlier"],
        "logprobs": RAW.columns["logprobs"],
        "verdict": Column(pl.String, "The verdict as the judge wrote it (7, A>>B); null without one", True),
        "value": Column(pl.Float64, "The verdict as a number, on the benchmark's own scale", True),
        "failure": RAW.columns["failure"],
        "attempts": RAW.columns["attempts"],
        "input_tokens": RAW.columns["input_tokens"],
        "output_tokens": RAW.columns["output_tokens"],
        "estimated": RAW.columns["estimated"],
    },
    key=("question_id", "turn", "part"),
)


class Spent(Strict):
    """What the judgments of one run on one benchmark cost. Money is in US dollars."""

    judge: str
    calls: int
    questions: int
    judgments: int  # with a verdict
    failures: dict[str, int]  # by reason
    input_tokens: int
    output_tokens: int
    price: float | None  # null where the judge's price is not known
    priced: str | None  # the price per million tokens, its date and its source

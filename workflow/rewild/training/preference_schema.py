"""The files of a set of preference pairs (``results/{study}/preferences/{name}``), and the contract of each.

=========================== ==================================================================================
``prompts.parquet``         the prompts drawn (:data:`rewild.prompts.schema.SHARD`), cut to the turn answered
``answers/{shard}.parquet`` :data:`ANSWERS`: every sample, those that failed too
``scores/{shard}.parquet``  :data:`SCORES`: the grade of every answer, or why there is none
``train.parquet``           :data:`PAIRS`: what DPO trains on; Axolotl's ``chat_template.default``
``dropped.csv``             :data:`DROPPED`: prompts that gave no pair, and why
``card.json, card.md``      what is in it, and how it was made
=========================== ==================================================================================
"""

from __future__ import annotations

import polars as pl

from rewild.core.conversations import MESSAGES
from rewild.core.table import Column, TableSchema
from rewild.generation.schema import RESPONSES

ANSWER = pl.Struct({"role": pl.String, "content": pl.String})

ANSWERS = TableSchema(
    name="preference-answers",
    version=1,
    columns={
        "conversation_id": Column(pl.String, "The prompt: the conversation it is from"),
        "sample": Column(pl.Int16, "Which of the answers to it, counted from 0"),
        **{
            name: RESPONSES.columns[name]
            for name in (
                "response",
                "failure",
                "finish_reason",
                "output_tokens",
                "repetition",
                "garbled",
                "seed",
                "recipe",
            )
        },
    },
    key=("conversation_id", "sample"),
)

SCORES = TableSchema(
    name="preference-scores",
    version=1,
    columns={
        "conversation_id": Column(pl.String, "The prompt"),
        "sample": Column(pl.Int16, "Which of the answers to it"),
        "score": Column(pl.Float64, "The scorer's grade; more is better; null: none", True),
        "failure": Column(pl.String, "Why there is no grade; null when there is one", True),
    },
    key=("conversation_id", "sample"),
)

PAIRS = TableSchema(
    name="preference-pairs",
    version=1,
    columns={
        "id": Column(pl.String, "The prompt: the conversation it is from"),
        "language": Column(pl.String, "As the prompts' source names it"),
        "messages": Column(MESSAGES, "The chat up to and including the user turn that is answered"),
        "chosen": Column(ANSWER, "The best answer, as an assistant's message; no space around it"),
        "rejected": Column(ANSWER, "The worst answer, likewise"),
        "chosen_score": Column(pl.Float64, "The scorer's grade of the best answer"),
        "rejected_score": Column(pl.Float64, "The scorer's grade of the worst answer"),
        "scored": Column(pl.Int16, "Answers that have a grade"),
    },
    key=("id",),
)

DROPPED = TableSchema(
    name="preference-dropped",
    version=1,
    columns={
        "id": Column(pl.String, "The prompt"),
        "reason": Column(pl.String, "too_few_scored, tie, within_margin or same_answer"),
        "detail": Column(pl.String, "What was found"),
    },
    key=("id",),
)

"""The files of the judgment analysis."""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

JUDGMENTS = TableSchema(
    name="paired judgments",
    version=1,
    columns={
        "judgment_qwen": Column(pl.String, "The judge's text on L8B : Q72's answer"),
        "score_qwen": Column(pl.Float64, "The judge's score of that answer, 1–10"),
        "question_id": Column(pl.Int64, "MT-Bench's question number"),
        "judgment_llama": Column(pl.String, "The judge's text on L8B : L70's answer"),
        "score_llama": Column(pl.Float64, "The judge's score of that answer, 1–10"),
    },
    key=("question_id",),
)
"""``combined_preferences.csv`` as released: the questions on which the two models' scores differ."""

PREFERENCES = TableSchema(
    name="preference rates",
    version=1,
    columns={
        "model": Column(pl.String, "The model preferred"),
        "over": Column(pl.String, "The other model"),
        "column": Column(pl.String, "Table 4's column"),
        "wins": Column(
            pl.Int64, "Questions on which the model scores higher, as far as the files tell", True
        ),
        "losses": Column(pl.Int64, "Questions on which it scores lower, as far as the files tell", True),
        "ties": Column(pl.Int64, "Questions on which the scores are equal, as far as the files tell", True),
        "unknown": Column(pl.Int64, "Questions on which the files do not tell"),
        "low": Column(pl.Float64, "Least rate the files allow, % of all questions", True),
        "high": Column(pl.Float64, "Greatest rate the files allow, % of all questions", True),
        "rate": Column(
            pl.Float64, "The rate, % of all questions, ties counted as not preferred; null if open", True
        ),
        "published": Column(pl.Float64, "Table 4's rate, %", True),
        "allowed": Column(pl.Boolean, "Whether the published rate lies between low and high", True),
        "note": Column(pl.String, "Why the rate is known or open"),
    },
    key=("model", "over"),
)

CHECKS = TableSchema(
    name="judgment checks",
    version=1,
    columns={
        "check": Column(pl.String, "What is compared"),
        "n": Column(pl.Int64, "Questions it is over"),
        "computed": Column(pl.Float64, "From the released files"),
        "published": Column(pl.Float64, "From Table 4"),
        "difference": Column(pl.Float64, "Computed minus published"),
        "agrees": Column(pl.Boolean, "Whether they are equal to the digits published"),
        "note": Column(pl.String, "What follows"),
    },
    key=("check",),
)

WORDS = TableSchema(
    name="words of judgments",
    version=1,
    columns={
        "word": Column(pl.String, "The word, in lower case"),
        "negated": Column(pl.Boolean, "Whether it stands negated: 'not clear' is (clear, true)"),
        "n_llama": Column(pl.Int64, "Judgments of L8B : L70 that hold it"),
        "n_qwen": Column(pl.Int64, "Judgments of L8B : Q72 that hold it"),
        "only_llama": Column(pl.Int64, "Questions on which only L8B : L70's judgment holds it"),
        "only_qwen": Column(pl.Int64, "Questions on which only L8B : Q72's judgment holds it"),
        "difference": Column(pl.Int64, "n_llama minus n_qwen"),
        "p": Column(pl.Float64, "Exact two-sided McNemar test over questions"),
        "q": Column(pl.Float64, "p adjusted for the number of words (Benjamini and Hochberg)"),
    },
    key=("word", "negated"),
)

OWN_WORDS = TableSchema(
    name="words of judgments of a study",
    version=1,
    columns={
        "word": WORDS.columns["word"],
        "negated": WORDS.columns["negated"],
        "first": Column(pl.String, "The first of the two fine-tunes, as Table 4 names it"),
        "second": Column(pl.String, "The second"),
        "n_first": Column(pl.Int64, "Judgments of the first that hold the word"),
        "n_second": Column(pl.Int64, "Judgments of the second that hold it"),
        "only_first": Column(pl.Int64, "Questions on which only the first one's judgment holds it"),
        "only_second": Column(pl.Int64, "Questions on which only the second one's judgment holds it"),
        "difference": Column(pl.Int64, "n_second minus n_first"),
        "p": WORDS.columns["p"],
        "q": WORDS.columns["q"],
    },
    key=("word", "negated"),
)
"""``results/{study}/findings/words.csv``: Figure 3 is the second fine-tune's, Figure 4 the first's."""
SIDES_OF = {"llama": "second", "qwen": "first"}
"""The paper's pair in :data:`WORDS` → a study's own in :data:`OWN_WORDS`."""

NAMED = TableSchema(
    name="words the paper names",
    version=1,
    columns={
        "word": Column(pl.String, "A word that the paper names"),
        "model": Column(pl.String, "The model whose judgments it says hold the word more often"),
        "place": Column(pl.String, "Where it says so"),
    },
    key=("word", "model", "place"),
)

NAMED_TESTED = TableSchema(
    name="words the paper names, counted",
    version=1,
    columns={
        **NAMED.columns,
        **{
            name: WORDS.columns[name]
            for name in ("n_llama", "n_qwen", "only_llama", "only_qwen", "difference")
        },
        "p": WORDS.columns["p"],
        "borne_out": Column(pl.Boolean, "Whether more judgments of the named model hold the word"),
        "significant": Column(pl.Boolean, "Whether also p < 0.05"),
    },
    key=NAMED.key,
)

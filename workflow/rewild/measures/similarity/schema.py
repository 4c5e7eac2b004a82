"""The files of this phase, and the contract of each. All lie in ``results/{study}/similarity/{group}/``:
models are compared with those that answer the same prompts, so each import is a group of its own.

=========================== ==================================================================
``blocks/{block}.parquet``  :data:`PAIRS`, a row per prompt, turn, model and reference
``blocks/{block}.csv``      :data:`COVERAGE` of that block: what became of each row
``coverage.csv``            :data:`COVERAGE` of all blocks
``responses.parquet``       :data:`PER_RESPONSE`, means over all other models
``matrix.csv``              :data:`MATRIX`, model × reference
``summary.csv``             :data:`SUMMARY`: all_pairs, sampled, released_notebook
``agreement.csv``           :data:`AGREEMENT`: how far the last two stray from the first
``table5_{summary}.csv``    ``COMPUTED_CELLS`` of the paper's Table 5, once per summary
``figures/…``               heat maps, distributions, similarity against size
=========================== ==================================================================
"""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

METRICS = ("rouge1", "rouge2", "rougeL", "meteor", "meteor_nosyn", "bleu")
"""The metrics, parity tokenisation; with the suffix ``_unicode``, the same on Unicode-aware tokens."""
DIRECTED = ("meteor", "meteor_nosyn", "bleu")
"""Those that are not symmetric."""
ALL_METRICS = METRICS + tuple(f"{m}_unicode" for m in METRICS)
SUMMARIES = ("all_pairs", "sampled", "released_notebook")

LABELS = {
    "rouge1": "ROUGE-1 F1",
    "rouge2": "ROUGE-2 F1",
    "rougeL": "ROUGE-L F1",
    "meteor": "METEOR (recall 9:1)",
    "meteor_nosyn": "METEOR without synonyms (recall 9:1)",
    "bleu": "BLEU",
}


def label(metric: str) -> str:
    """What a reader calls a metric."""
    return LABELS[metric.removesuffix("_unicode")] + (", any script" if metric.endswith("_unicode") else "")


def is_directed(metric: str) -> bool:
    """Whether the score of A against B differs from that of B against A."""
    return metric.removesuffix("_unicode") in DIRECTED


_MEANING = {
    "rouge1": "ROUGE-1 F1, as rouge_score with the stemmer (ASCII letters and digits only), 0 to 1",
    "rouge2": "ROUGE-2 F1, likewise",
    "rougeL": "ROUGE-L F1, likewise",
    "meteor": "METEOR of the model (hypothesis) against the reference, as nltk: P R / (0.9 P + 0.1 R), so "
    "recall weighs nine times as much as precision; 0 to 1",
    "meteor_nosyn": "METEOR without its synonym stage, where the study leaves it out; null otherwise",
    "bleu": "Sentence BLEU of the model (hypothesis) against the reference, smoothing method 1, 0 to 1",
}


def _metric_columns(dtype: type[pl.DataType]) -> dict[str, Column]:
    plain = {m: Column(dtype, _MEANING[m], nullable=True) for m in METRICS}
    unicode = {
        f"{m}_unicode": Column(dtype, f"{m} on Unicode-aware tokens; null if the study does not ask", True)
        for m in METRICS
    }
    return plain | unicode


_ITEM = {
    "conversation_id": Column(pl.String, "The conversation"),
    "turn": Column(pl.Int16, "The user turn, counted from 0"),
    "model": Column(pl.String, "The model whose response is scored (the hypothesis)"),
}

PAIRS = TableSchema(
    "similarity pairs",
    1,
    {
        **_ITEM,
        "reference": Column(pl.String, "The model whose response to the same turn is the reference"),
        **_metric_columns(pl.Float32),
        "seen_rouge": Column(
            pl.Float32,
            "Share of both texts' words (of any script) that ROUGE sees; null without words",
            True,
        ),
        "seen_words": Column(
            pl.Float32,
            "The same for METEOR and BLEU: white-space words per word of any script, at most 1",
            True,
        ),
    },
    key=("conversation_id", "turn", "model", "reference"),
)

COVERAGE = TableSchema(
    "similarity coverage",
    1,
    {
        "model": Column(pl.String, "The model"),
        "rows": Column(pl.Int64, "Rows of its responses; the sum of the next four"),
        "compared": Column(pl.Int64, "Responses compared with at least one other model's"),
        "failed": Column(pl.Int64, "Recorded failures (no response)"),
        "alone": Column(pl.Int64, "Responses to turns that no other model has answered"),
        "not_drawn": Column(pl.Int64, "Rows outside the study's draw of prompts and turns"),
    },
    key=("model",),
)

PER_RESPONSE = TableSchema(
    "similarity of responses",
    1,
    {
        **_ITEM,
        "references": Column(pl.Int32, "Other models' responses it is compared with"),
        **_metric_columns(pl.Float64),
        "seen_rouge": Column(pl.Float64, "Mean share of words that ROUGE sees", True),
        "seen_words": Column(pl.Float64, "Mean share of words that METEOR and BLEU tell apart", True),
    },
    key=("conversation_id", "turn", "model"),
)

MATRIX = TableSchema(
    "similarity matrix",
    1,
    {
        "metric": Column(pl.String, "Metric"),
        "model": Column(pl.String, "The model (hypothesis)"),
        "reference": Column(pl.String, "The reference model"),
        "n": Column(pl.Int64, "Turns that both have answered"),
        "mean": Column(pl.Float64, "Mean over them, 0 to 1"),
    },
    key=("metric", "model", "reference"),
)

SUMMARY = TableSchema(
    "similarity summary",
    1,
    {
        "summary": Column(
            pl.String,
            "all_pairs (mean over all other models), sampled (the paper's description) or released_notebook "
            "(the running exponential average the released code computed; for comparison only)",
        ),
        "metric": Column(pl.String, "Metric; seen_rouge and seen_words are shares of words seen"),
        "role": Column(
            pl.String,
            "The model's part in a directed metric: hypothesis or reference; else either",
        ),
        "model": Column(pl.String, "The model"),
        "n": Column(pl.Int64, "Responses of the model"),
        "references": Column(pl.Float64, "Mean number of other models' responses each is compared with"),
        "mean": Column(pl.Float64, "Mean, 0 to 1; for released_notebook its running average"),
        "ci_low": Column(pl.Float64, "Lower end of the 95 % interval over conversations", True),
        "ci_high": Column(pl.Float64, "Upper end of it", True),
        "sd": Column(
            pl.Float64,
            "Standard deviation over responses of their mean; for released_notebook the running average of "
            "the standard deviation over references, which is what it printed; null from fewer than two",
            True,
        ),
    },
    key=("summary", "metric", "role", "model"),
)

AGREEMENT = TableSchema(
    "similarity agreement",
    1,
    {
        "summary": Column(pl.String, "sampled or released_notebook"),
        "metric": Column(pl.String, "Metric (the model as hypothesis)"),
        "models": Column(pl.Int64, "Models"),
        "sd_models": Column(
            pl.Float64, "Standard deviation between models of the all_pairs mean: the signal"
        ),
        "sd_error": Column(pl.Float64, "Standard deviation of this summary minus all_pairs: the error"),
        "rms_error": Column(
            pl.Float64, "Root mean square of this summary minus all_pairs, its bias included"
        ),
        "worst": Column(pl.Float64, "Largest absolute difference"),
        "worst_model": Column(pl.String, "The model that has it"),
        "rank_correlation": Column(pl.Float64, "Spearman's rho with all_pairs over models", True),
    },
    key=("summary", "metric"),
)

"""Preference rates of Table 4, as far as the released files determine them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.evaluation.judgments.schema import CHECKS, JUDGMENTS, PREFERENCES
from rewild.measures.style.pages import Page

QWEN, LLAMA, PAGES = "L8B : Q72", "L8B : L70", "Q72 : None"
TABLE4_COLUMN = {LLAMA: "PrefRt-L8L", QWEN: "PrefRt-L8Q", "L70 : None": "PrefRt-L70B", PAGES: "PrefRt-Q72B"}
MODELS = tuple(TABLE4_COLUMN)

_DIFFER = "the file holds every question on which the two scores differ; the others tie"
_BOUNDS = "scores of both models are released only for the {n} questions of the file; the other {m} are open"
_NONE = "no released file holds the scores of {model}"


def read_judgments(path: Path) -> pl.DataFrame:
    """Read ``combined_preferences.csv``.

    Raises:
        DataError: a missing or malformed file, an empty judgment, or a score outside 1–10.
    """
    frame = read_table(path, JUDGMENTS)
    for model in ("qwen", "llama"):
        for i, (text, score) in enumerate(frame.select(f"judgment_{model}", f"score_{model}").iter_rows(), 1):
            if not text.strip():
                raise DataError(f"{path}, row {i}, column 'judgment_{model}': the judgment is empty")
            if not 1 <= score <= 10:
                raise DataError(
                    f"{path}, row {i}, column 'score_{model}': {score:g} is not a score from 1 to 10"
                )
    return frame


def preferences(
    judgments: pl.DataFrame, pages: list[Page], published: Mapping[tuple[str, str], float | None]
) -> pl.DataFrame:
    """Every cell of Table 4 that holds a preference rate: rows of ``PREFERENCES``.

    A model is preferred on a question where its score is higher. The rate is over all questions judged, so
    that ties count for neither side and two opposite rates need not add up to 100 %.

    Args:
        judgments: the paired judgments, one row per question on which the scores differ.
        pages: judged pages of Q72 : None; their number is the number of questions.
        published: (row, column) of Table 4 → value.
    """
    total = len(pages)
    own = {page.question: page.score for page in pages}
    ids = judgments["question_id"].to_list()
    scores = {
        QWEN: dict(zip(ids, judgments["score_qwen"], strict=True)),
        LLAMA: dict(zip(ids, judgments["score_llama"], strict=True)),
        PAGES: own,
    }
    unknown = [q for q in ids if q not in own]
    if unknown:
        raise DataError(f"question {unknown[0]} has paired judgments, but no judged page")
    rows = []
    for model in MODELS:
        for over in MODELS:
            if model == over:
                continue
            row: dict[str, object] = {"model": model, "over": over, "column": TABLE4_COLUMN[over]}
            row["published"] = published.get((model, TABLE4_COLUMN[over]))
            if model not in scores or over not in scores:
                absent = model if model not in scores else over
                rows.append(row | {"unknown": total, "note": _NONE.format(model=absent)})
                continue
            shared = [q for q in ids if q in scores[model] and q in scores[over]]
            wins = sum(scores[model][q] > scores[over][q] for q in shared)
            losses = sum(scores[model][q] < scores[over][q] for q in shared)
            ties = len(shared) - wins - losses
            open_ = total - len(shared)
            if {model, over} == {QWEN, LLAMA}:
                ties, open_ = ties + open_, 0
            low, high = 100 * wins / total, 100 * (wins + open_) / total
            known = row["published"]
            rows.append(
                row
                | {
                    "wins": wins,
                    "losses": losses,
                    "ties": ties,
                    "unknown": open_,
                    "low": low,
                    "high": high,
                    "rate": None if open_ else low,
                    "allowed": None if known is None else low <= known <= high,
                    "note": _BOUNDS.format(n=len(shared), m=open_) if open_ else _DIFFER,
                }
            )
    return PREFERENCES.frame(rows, "preference rates")


def checks(
    judgments: pl.DataFrame, pages: list[Page], published: Mapping[tuple[str, str], float | None]
) -> pl.DataFrame:
    """What else the files say about Table 4 (:data:`~rewild.evaluation.judgments.schema.CHECKS`).

    On questions that are not in the file L8B : Q72 and L8B : L70 score the same, so a third model wins,
    loses and ties against both alike there. The difference between its two rates is therefore determined by
    the file, though neither rate is.
    """
    total, n = len(pages), judgments.height
    own = {page.question: page.score for page in pages}
    third = [own[q] for q in judgments["question_id"]]
    qwen, llama = judgments["score_qwen"].to_list(), judgments["score_llama"].to_list()

    def above(a: list[float], b: list[float]) -> int:
        return sum(x > y for x, y in zip(a, b, strict=True))

    def minus(a: tuple[str, str], b: tuple[str, str]) -> float | None:
        first, second = published.get(a), published.get(b)
        return None if first is None or second is None else first - second

    alike = (
        "where the fine-tuned models tie, both fare alike against a third: the file decides the difference"
    )
    first_turn = "the released scores are of first turns; the published mean must be over something else"
    subset = "over the questions of the file only, on which the scores differ"
    over, by = TABLE4_COLUMN, TABLE4_COLUMN[PAGES]
    # what, over how many questions, from the files, as published, rounding of the published, what follows
    rows: list[tuple[str, int, float, float | None, float, str]] = [
        (
            f"{PAGES} preferred over {LLAMA}, minus over {QWEN} (points)",
            total,
            100 * (above(third, llama) - above(third, qwen)) / total,
            minus((PAGES, over[LLAMA]), (PAGES, over[QWEN])),
            0,
            alike,
        ),
        (
            f"{LLAMA} preferred over {PAGES}, minus {QWEN} over it (points)",
            total,
            100 * (above(llama, third) - above(qwen, third)) / total,
            minus((LLAMA, by), (QWEN, by)),
            0,
            alike,
        ),
        (
            f"MT-Bench, {QWEN} minus {LLAMA}",
            total,
            (sum(qwen) - sum(llama)) / total,
            minus((QWEN, "MTBench"), (LLAMA, "MTBench")),
            0.01,
            first_turn,
        ),
        (
            f"MT-Bench, {PAGES}",
            total,
            sum(own.values()) / total,
            published.get((PAGES, "MTBench")),
            0.005,
            first_turn,
        ),
        (f"MT-Bench, {QWEN}", n, sum(qwen) / n, published.get((QWEN, "MTBench")), 0.005, subset),
        (f"MT-Bench, {LLAMA}", n, sum(llama) / n, published.get((LLAMA, "MTBench")), 0.005, subset),
    ]
    names = ("check", "n", "computed", "published", "slack", "note")
    dtypes = CHECKS.dtypes | {"slack": pl.Float64}
    frame = pl.DataFrame(
        [r for r in rows if r[3] is not None], schema={name: dtypes[name] for name in names}, orient="row"
    )
    difference = pl.col("computed") - pl.col("published")
    return frame.with_columns(
        difference.round(10).alias("difference"), (difference.abs() <= pl.col("slack") + 1e-9).alias("agrees")
    ).select("check", "n", "computed", "published", "difference", "agrees", "note")


def table4_cells(rates: pl.DataFrame) -> pl.DataFrame:
    """Table 4 computed: a value where the files determine it, else why they do not."""

    def note(row: Mapping[str, object]) -> str:
        if row["rate"] is None and row["low"] is not None:
            return f"between {row['low']:g} and {row['high']:g}: {row['note']}"
        return str(row["note"])

    rows = ((r["model"], r["column"], r["rate"], None, note(r)) for r in rates.iter_rows(named=True))
    return COMPUTED_CELLS.frame(rows, "table 4")

"""One block of prompts: read the responses, score all pairs, account for every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from rewild.core.errors import ConfigError, DataError
from rewild.measures.similarity.pairs import Scores, Settings, score_items
from rewild.measures.similarity.read import conversation_ids, drawn, read_responses, response_files
from rewild.measures.similarity.schema import ALL_METRICS, COVERAGE


@dataclass(frozen=True)
class Draw:
    """Which responses are compared.

    Attributes:
        seed: the study's.
        prompts: how many conversations; null takes all.
        first_turn: only turn 0.
    """

    seed: int = 50
    prompts: int | None = None
    first_turn: bool = False


def block_of(ids: Sequence[str], block: int, blocks: int) -> list[str]:
    """Block number ``block`` of the sorted conversations, cut into ``blocks`` equal ranges."""
    if not 0 <= block < blocks:
        raise ConfigError(f"there is no block {block} of {blocks}; blocks are numbered from 0")
    ids = sorted(ids)
    return ids[block * len(ids) // blocks : (block + 1) * len(ids) // blocks]


def score_block(
    paths: Sequence[Path],
    settings: Settings,
    draw: Draw,
    *,
    block: int = 0,
    blocks: int = 1,
    processes: int = 1,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Score all pairs of models on the conversations of one block.

    Returns:
        The scores (:data:`PAIRS`) and what became of each model's rows (:data:`COVERAGE`).

    Raises:
        DataError: a bad table, no rows, or fewer than two models.
    """
    files = response_files(paths)
    everything = conversation_ids(files)
    if not everything:
        raise DataError(f"{files[0] if files else 'no tables'}: there are no responses to compare")
    rows = read_responses(files, block_of(everything, block, blocks))
    wanted = pl.Series(sorted(drawn(everything, draw.seed, draw.prompts)), dtype=pl.String)
    chosen = pl.col("conversation_id").is_in(wanted.implode())
    if draw.first_turn:
        chosen &= pl.col("turn") == 0
    rows = rows.with_columns(chosen.alias("drawn"))
    answered = rows.filter("drawn", pl.col("response").is_not_null())
    answered = answered.with_columns(pl.len().over("conversation_id", "turn").alias("texts"))
    compared = answered.filter(pl.col("texts") > 1)
    if blocks == 1 and compared.is_empty():
        models = rows["model"].unique().sort().to_list()
        raise DataError(
            f"nothing to compare: no turn is answered by two models "
            f"(models: {', '.join(models)}; answers: {answered.height} of {rows.height} rows)"
        )
    texts = compared["response"].to_list()
    ends = compared.select(pl.struct("conversation_id", "turn").rle_id()).to_series().to_numpy()
    cuts = np.flatnonzero(np.diff(ends, prepend=-1, append=-1)) if len(ends) else np.zeros(1, np.int64)
    spans = list(pairwise(cuts.tolist()))
    scores = score_items([texts[a:b] for a, b in spans], settings, processes)
    return _frame(compared, spans, scores), _coverage(rows)


def _frame(rows: pl.DataFrame, spans: Sequence[tuple[int, int]], scores: Sequence[Scores]) -> pl.DataFrame:
    """The scores as rows: every ordered pair of an item's rows, sorted as the rows are."""
    pairs = [np.nonzero(~np.eye(b - a, dtype=bool)) for a, b in spans]
    model = _joined([a + h for (a, _), (h, _) in zip(spans, pairs, strict=True)], np.int64)
    reference = _joined([a + r for (a, _), (_, r) in zip(spans, pairs, strict=True)], np.int64)
    columns = [rows["model"][reference].alias("reference")]
    for name in (*ALL_METRICS, "seen_rouge", "seen_words"):
        if not scores or name not in scores[0]:
            columns.append(pl.Series(name, [None], pl.Float32).new_from_index(0, len(model)))
            continue
        # Taken out as they are laid out: the matrices of a whole block in double precision are large.
        values = _joined(
            [s.pop(name)[p].astype(np.float32) for s, p in zip(scores, pairs, strict=True)], np.float32
        )
        columns.append(pl.Series(name, values).fill_nan(None))
    return rows.select("conversation_id", "turn", "model")[model].with_columns(columns)


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts).astype(dtype) if parts else np.empty(0, dtype)


def _coverage(rows: pl.DataFrame) -> pl.DataFrame:
    drawn_ = pl.col("drawn")
    answered = drawn_ & pl.col("response").is_not_null()
    rows = rows.with_columns(answered.sum().over("conversation_id", "turn").alias("texts"))
    counts = rows.group_by("model").agg(
        pl.len().alias("rows"),
        (answered & (pl.col("texts") > 1)).sum().alias("compared"),
        (drawn_ & pl.col("response").is_null()).sum().alias("failed"),
        (answered & (pl.col("texts") == 1)).sum().alias("alone"),
        (~drawn_).sum().alias("not_drawn"),
    )
    return COVERAGE.check(counts.sort("model"), "coverage")

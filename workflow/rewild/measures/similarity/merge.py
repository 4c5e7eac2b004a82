"""Blocks to summaries, and Table 5 in all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import DataError
from rewild.core.table import about_table, provenance, read_table, write_table
from rewild.measures.similarity.schema import (
    AGREEMENT,
    COVERAGE,
    MATRIX,
    PAIRS,
    PER_RESPONSE,
    SUMMARIES,
    SUMMARY,
)
from rewild.measures.similarity.summary import (
    Options,
    agreement,
    concat_blocks,
    cube,
    matrix,
    per_response,
    summarise,
)
from rewild.measures.similarity.wordnet import ABSENT

TABLE5 = {"rouge1": "rouge1", "rougeL": "rougeL", "meteor": "meteor"}
"""Metric → its name in the columns of Table 5 (``avg_…``, ``std_…``)."""

_NOTES = {
    "all_pairs": "mean over all other models and all turns; std over responses",
    "sampled": "as the paper describes it; std over responses",
    "released_notebook": "running average (alpha 0.3) as the released notebook computed it; std is the "
    "running average of the standard deviation over references",
}


def merge_blocks(blocks: Sequence[Path], folder: Path, options: Options, names: Mapping[str, str]) -> None:
    """Write everything that :mod:`rewild.measures.similarity.schema` lists beside the blocks.

    Args:
        blocks: the blocks' Parquet files; each has its coverage beside it, with the suffix ``.csv``.
        folder: where to write.
        options: how to summarise.
        names: slug → the row label of Table 5.

    Raises:
        DataError: a block is missing, malformed, or overlaps another; nothing was compared.
    """
    data = cube(concat_blocks([read_table(b, PAIRS, allow_empty=True) for b in blocks]))
    coverage = [b.with_suffix(".csv") for b in blocks]
    made_from = provenance([*blocks, *coverage])
    summary = summarise(data, options)
    write_table(folder / "coverage.csv", merge_coverage(coverage), COVERAGE, made_from)
    write_table(folder / "responses.parquet", per_response(data), PER_RESPONSE, made_from)
    write_table(folder / "matrix.csv", matrix(data), MATRIX, made_from)
    write_table(folder / "summary.csv", summary, SUMMARY, made_from)
    write_table(folder / "agreement.csv", agreement(summary), AGREEMENT, made_from)
    absent = any(
        about_table(b).get("provenance", {}).get("settings", {}).get("wordnet") == ABSENT for b in blocks
    )
    for name in SUMMARIES:
        cells = table5(summary, name, names, absent=absent)
        write_table(folder / f"table5_{name}.csv", cells, COMPUTED_CELLS, made_from)


def merge_coverage(files: Sequence[Path]) -> pl.DataFrame:
    """Sums over blocks, and the check that no row was lost."""
    counts = pl.concat([read_table(f, COVERAGE, allow_empty=True) for f in files])
    whole = counts.group_by("model").agg(pl.all().sum()).sort("model")
    lost = whole.filter(pl.col("rows") != pl.sum_horizontal("compared", "failed", "alone", "not_drawn"))
    if not lost.is_empty():
        raise DataError(f"similarity: rows of {lost['model'][0]} are not accounted for: {lost.row(0)}")
    return whole


def table5(
    summary: pl.DataFrame, name: str, names: Mapping[str, str], *, absent: bool = False
) -> pl.DataFrame:
    """One summary as cells of Table 5: mean and standard deviation of ROUGE-1, ROUGE-L and METEOR, per model.

    Without WordNet there is no METEOR: its cells are null, and the note says why: the study leaves it out, or
    it was ``absent`` when a study that takes it where it is available ran.
    """
    without = (
        "not computed: WordNet could not be had (synonyms: if_available); meteor_nosyn is without them"
        if absent
        else "not computed: the study leaves METEOR's synonyms out (meteor_nosyn)"
    )
    rows = []
    part = summary.filter(pl.col("summary") == name, pl.col("role") != "reference")
    for model in part["model"].unique().sort():
        for metric, column in TABLE5.items():
            found = part.filter(pl.col("model") == model, pl.col("metric") == metric)
            cell = found.row(0, named=True) if found.height else None
            note = _NOTES[name] if cell else without
            known = cell is not None and cell["ci_low"] is not None
            ci = round((cell["ci_high"] - cell["ci_low"]) / 2, 8) if cell and known else None
            label = names.get(model, model)
            rows.append((label, f"avg_{column}", cell and cell["mean"], ci, note))
            rows.append((label, f"std_{column}", cell and cell["sd"], None, note))
    return COMPUTED_CELLS.frame(rows, f"table 5 ({name})")


def paper_cells(groups: Mapping[str, pl.DataFrame], rows: Sequence[str]) -> pl.DataFrame:
    """Table 5's cells of the paper's models, each from the first group that has it; the note names the group.

    Args:
        groups: a group's name → its ``table5_sampled.csv``.
        rows: the paper's row labels; their order is kept.
    """
    frames: list[pl.DataFrame] = []
    for row in rows:
        for group, cells in groups.items():
            part = cells.filter(pl.col("row") == row)
            if not part.is_empty():
                frames.append(
                    part.with_columns(pl.format("prompts of {}: {}", pl.lit(group), "note").alias("note"))
                )
                break
    found = pl.concat(frames) if frames else pl.DataFrame(schema=COMPUTED_CELLS.dtypes)
    return COMPUTED_CELLS.check(found, "table 5")

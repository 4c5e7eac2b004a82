"""Styling of collected responses, in the same features as that of judged pages."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial, reduce
from multiprocessing import get_context
from operator import add
from pathlib import Path

import polars as pl

from rewild.core.errors import DataError
from rewild.core.table import collect, read_table
from rewild.generation.schema import RESPONSES, read_manifest, scan
from rewild.measures.shared import TURN, shared_turns
from rewild.measures.style.counts import counts_frame, rates_frame
from rewild.measures.style.markup import NOTHING, Styling, count_markdown
from rewild.measures.style.proportional import computed_counts, pairs
from rewild.measures.style.schema import PER_1000_WORDS


def count_models(paths: Sequence[Path], cores: int = 1) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """Count every model's answers (failures have none) to the turns that all were asked, as ``answer``.

    Args:
        paths: per model a manifest, or a table of responses (.parquet).
        cores: processes; the result does not depend on it.

    Returns:
        Rows of :data:`~rewild.measures.style.schema.COUNTS` and of
        :data:`~rewild.measures.style.schema.RATES`, sorted by model; of models that were asked more than the
        others, how many turns more, which are left out.

    Raises:
        DataError: a file is missing or broken, a model stands twice, one has no answers, or there is no turn
            that all were asked.
    """
    models: dict[str, Path] = {}
    for path in paths:
        model = _model(path)
        if model in models:
            raise DataError(f"{path}: the model '{model}' has another manifest: {models[model]}")
        models[model] = path
    names = sorted(models)
    asked = {
        name: collect(_rows(models[name], failures=True).select(*TURN), models[name], "responses")
        for name in names
    }
    shared, more = shared_turns(asked)
    count = partial(count_answers, shared=shared if more else None)
    if cores > 1 and len(names) > 1:
        with ProcessPoolExecutor(min(cores, len(names)), mp_context=get_context("spawn")) as pool:
            found = list(pool.map(count, [models[name] for name in names]))
    else:
        found = [count(models[name]) for name in names]
    scopes = {name: {"answer": styling} for name, styling in zip(names, found, strict=True)}
    return (
        pl.concat([counts_frame(name, scope) for name, scope in scopes.items()]),
        pl.concat([rates_frame(name, scope) for name, scope in scopes.items()]),
        more,
    )


def _rows(path: Path, *, failures: bool = False) -> pl.LazyFrame:
    return pl.scan_parquet(path) if path.suffix == ".parquet" else scan(path, failures=failures)


def count_answers(path: Path, shared: pl.DataFrame | None = None) -> Styling:
    """The styling of a model's answers, all or those to the turns of ``shared``, summed."""
    rows = _rows(path)
    if shared is not None:
        rows = rows.join(shared.lazy(), on=TURN, how="semi")
    texts = rows.select(pl.col("response").cast(pl.String).drop_nulls())
    answers = collect(texts, path, "responses")["response"]
    if answers.is_empty():
        raise DataError(f"{path}: there are no answers to count")
    return reduce(add, map(count_markdown, answers), NOTHING)


def proportions(counts: pl.DataFrame) -> pl.DataFrame:
    """Every ordered pair of models, by counts (``answer``) and by counts per 1,000 words.

    Args:
        counts: :data:`~rewild.measures.style.schema.COUNTS` of models that answered the same prompts.

    Returns:
        :data:`~rewild.measures.style.schema.PROPORTIONAL`; ``len`` is characters per response in both.
    """
    raw = computed_counts(counts)["answer"]
    relative = {
        model: {f: v if f == "len" else 1000 * v / values["words"] for f, v in values.items()}
        for model, values in raw.items()
        if values["words"]
    }
    return pl.concat([pairs("answer", raw, {}), pairs(PER_1000_WORDS, relative, {})])


def _model(path: Path) -> str:
    if path.suffix != ".parquet":
        return read_manifest(path).model
    rows = read_table(path, RESPONSES)
    if len(models := rows["model"].unique().sort()) > 1:
        raise DataError(f"{path}: responses of one model were expected, not of {', '.join(models)}")
    return str(models[0])

"""The study's table of scores, gathered from its runs and benchmarks, and what of it may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rewild.config.benchmarks import Benchmark, find_benchmark
from rewild.core.errors import DataError, nearest
from rewild.core.table import read_table
from rewild.evaluation.scores.average import VARIANTS
from rewild.evaluation.scores.tidy import ALL, ITEMS, SCORES

OWN = "avg_study"
"""The average over whatever benchmarks a study has, where these are not the paper's nine."""
COLUMN_OF = {"avg_stated": "Avg (stated)", OWN: "Avg (study)"}
"""Average → what its column is called."""
SAME = {
    "version": "versions of the benchmark",
    "judge": "judges",
    "template": "judge prompts (templates)",
}
"""What rows of one benchmark must agree in to stand in one table, and what it is called."""


def collect(study: str, folders: Sequence[Path]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All scores and items of a study, one below the other.

    Args:
        study: its name; every row must be of it.
        folders: ``results/{study}/benchmarks/{run}/{benchmark}``; the order is kept.

    Returns:
        ``SCORES`` and ``ITEMS``.

    Raises:
        DataError: a missing or malformed file, or one of another study, run or benchmark than its folder.
    """
    scores: list[pl.DataFrame] = []
    items: list[pl.DataFrame] = []
    for folder in folders:
        run, benchmark = folder.parts[-2:]
        for frames, schema, name in ((scores, SCORES, "scores.csv"), (items, ITEMS, "items.parquet")):
            path = folder / name
            frame = read_table(path, schema)
            wanted = {"study": study, "run": run, "benchmark": benchmark}
            for column, value in wanted.items():
                if column in frame.columns and (wrong := frame.filter(pl.col(column) != value)).height:
                    raise DataError(
                        f"{path}: holds the {column} '{wrong[column][0]}', but its folder is of '{value}'; "
                        "remove it and rerun"
                    )
            frames.append(frame)
    if not folders:
        raise DataError(f"study {study}: no run was evaluated on any benchmark")
    return SCORES.check(pl.concat(scores), "scores.csv"), ITEMS.check(pl.concat(items), "items.parquet")


def comparable(scores: pl.DataFrame, where: str = "scores") -> None:
    """Refuse scores of one benchmark that must not stand in one table.

    Behind a row without a value, and one of a model that wrote nothing at all, there is no judge's word: by
    which name the judge of the others answers does not matter to it.

    Raises:
        DataError: two runs were scored by different versions, judges or judge prompts; it names both.
    """
    silent = pl.col("empty").is_not_null() & (pl.col("empty") >= pl.col("attempted"))
    for (benchmark,), every in scores.group_by(["benchmark"], maintain_order=True):
        for column, name in SAME.items():
            unheard = (silent | pl.col("value").is_null()) & (column == "judge")
            rows = every.filter(~unheard)
            values = rows[column].unique(maintain_order=True).to_list()
            if len(values) > 1:
                first, second = (
                    rows.filter(pl.col(column).eq_missing(pl.lit(value)))["run"][0] for value in values[:2]
                )
                a, b = (repr(value) if value is not None else "none" for value in values[:2])
                raise DataError(
                    f"{where}: different {name} on {benchmark}: {a} (run {first}) and {b} (run {second}); "
                    "these scores cannot be compared. Evaluate one of the two again, or leave it out"
                )


@dataclass(frozen=True)
class Headline:
    """The one score that counts, of each run on each benchmark.

    Attributes:
        frame: rows of ``SCORES``: the metric that benchmarks.yaml names, over the whole benchmark.
        benchmarks: the study's benchmarks in the order of benchmarks.yaml, slug → row.
    """

    frame: pl.DataFrame
    benchmarks: Mapping[str, Benchmark]

    def row(self, run: str, benchmark: str) -> dict[str, object] | None:
        """The score of a run on a benchmark, or None."""
        found = self.frame.filter(pl.col("run") == run, pl.col("benchmark") == benchmark)
        return found.row(0, named=True) if found.height else None

    def values(self, run: str) -> dict[str, float | None]:
        """Benchmark → the run's score, on the benchmark's own scale."""
        mine = self.frame.filter(pl.col("run") == run)
        return dict(zip(mine["benchmark"], mine["value"], strict=True))

    def complete(self, runs: Iterable[str]) -> dict[str, float]:
        """The benchmarks on which every one of these runs has a score, each with its divisor."""
        values = [self.values(run) for run in runs]
        return {
            slug: float(row.scale.divisor)
            for slug, row in self.benchmarks.items()
            if all(v.get(slug) is not None for v in values)
        }

    def average(self, run: str, variant: str) -> tuple[float, float | None] | None:
        """Mean and standard error of a run's scores, each on the scale 0–1.

        Args:
            run: the run.
            variant: a name of :data:`~rewild.evaluation.scores.average.VARIANTS`, or :data:`OWN`: all of
                the study's benchmarks.

        Returns:
            None if one of the scores is missing. The error is that of a mean of independent scores; None if
            one of them has none.
        """
        chosen = self.members(variant)
        rows = [self.row(run, slug) for slug in chosen]
        if not chosen or any(row is None or row["value"] is None for row in rows):
            return None
        scales = [self.benchmarks[slug].scale.divisor for slug in chosen]
        values = [float(row["value"]) / s for row, s in zip(rows, scales, strict=True) if row]  # type: ignore[arg-type]
        errors = [row["stderr"] for row in rows if row]
        stderr = None
        if all(isinstance(e, float) for e in errors):
            squares = [(float(e) / s) ** 2 for e, s in zip(errors, scales, strict=True)]  # type: ignore[arg-type]
            stderr = sum(squares) ** 0.5 / len(chosen)
        return sum(values) / len(values), stderr

    def members(self, variant: str) -> tuple[str, ...]:
        """The benchmarks of an average; none if the study lacks one of them."""
        if variant == OWN:
            return tuple(self.benchmarks)
        wanted = VARIANTS[variant].benchmarks
        return wanted if all(slug in self.benchmarks for slug in wanted) else ()

    def usual(self) -> str:
        """The average by its stated definition (section 3.1) where the study has the nine; else its own."""
        return "avg_stated" if self.members("avg_stated") else OWN


def headline(scores: pl.DataFrame, registry: Mapping[str, Benchmark], where: str = "scores") -> Headline:
    """The scores that count, checked to be comparable.

    Raises:
        DataError: a benchmark lacks the metric that benchmarks.yaml names, or rows cannot be compared.
    """
    named = set(scores["benchmark"])
    for slug in sorted(named):
        find_benchmark(registry, slug)
    benchmarks = {slug: row for slug, row in registry.items() if slug in named}
    kept = []
    for slug, row in benchmarks.items():
        mine = scores.filter(pl.col("benchmark") == slug, pl.col("part") == ALL)
        found = mine.filter(pl.col("metric") == row.metric)
        for run in mine["run"].unique(maintain_order=True):
            if run not in found["run"]:
                metrics = mine.filter(pl.col("run") == run)["metric"].to_list()
                raise DataError(
                    f"{where}: {slug} of run '{run}' lacks the metric '{row.metric}' of benchmarks.yaml"
                    f"{nearest(row.metric, metrics)} (it has: {', '.join(metrics)})"
                )
        kept.append(found)
    frame = pl.concat(kept) if kept else scores.clear()
    comparable(frame, where)
    return Headline(frame, benchmarks)

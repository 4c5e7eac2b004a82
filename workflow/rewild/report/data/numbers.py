"""The numbers of figures on a study's data: shares of labels, histograms, means, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rewild.config.data import Data, DataSet
from rewild.core.errors import DataError
from rewild.core.measures import read_measure
from rewild.core.reading import faults
from rewild.core.table import Column, TableSchema, about_table, check_parquet
from rewild.measures.similarity.summary import Options
from rewild.measures.summary import over_conversations
from rewild.prompts.schema import SHARD
from rewild.report.data.plan import Use
from rewild.training.mixes.schema import REASONED_TRAIN, TRAIN

Values = NDArray[np.float64]

NUMBERS = TableSchema(
    "data-figure",
    1,
    {
        "panel": Column(pl.String, "What is shown: the part that a measure plays (data.measures)"),
        "series": Column(pl.String, "The set's title, or the measure where several are compared"),
        "set": Column(pl.String, "The set, as the study names it"),
        "measure": Column(pl.String, "The measure, and its column"),
        "label": Column(
            pl.String,
            "A level, category or verb; mean, median; a temperature, of settings; null: a bar of a histogram",
            True,
        ),
        "second": Column(pl.String, "An object of the verb; a top-p, of settings", True),
        "low": Column(pl.Float64, "Where a bar begins; null: the first, which holds all that is below", True),
        "high": Column(pl.Float64, "Where it ends; null: the last, which holds all that is above", True),
        "n": Column(pl.Int64, "Texts that it is about"),
        "texts": Column(pl.Int64, "Texts of the set that have a value"),
        "failed": Column(
            pl.Int64, "Texts of the set that have none: the measure failed, or it is not defined"
        ),
        "value": Column(
            pl.Float64, "Share of the texts that have a value, 0 to 1; or a mean, a median", True
        ),
        "ci_low": Column(pl.Float64, "Lower end of its 95 % interval over conversations", True),
        "ci_high": Column(pl.Float64, "Upper end of it", True),
        "interval": Column(pl.String, "bootstrap or normal, as in measures/NAME/summary.csv", True),
    },
)
"""``results/{study}/data/{view}.csv``: what a figure shows, every number of it."""

MEAN, MEDIAN = "mean", "median"
LENGTHS = ("prompt_length", "response_length")
"""Panels with a logarithmic axis."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_ENDS = (0.005, 0.995)
"""Quantiles between which a histogram has bars of its own; its end bars hold what is beyond."""


@dataclass(frozen=True)
class Files:
    """What figures and tables of data are made of.

    Attributes:
        measures: files of measures.
        prompts: the study's shards of prompts.
        written: prompts with their settings, of sources that a model wrote.
        mixes: mix → its file.
    """

    measures: Sequence[Path]
    prompts: Sequence[Path]
    written: Sequence[Path] = ()
    mixes: Mapping[str, Path] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [*self.measures, *self.prompts, *self.written, *self.mixes.values()]


def conversations(files: Files, sets: Mapping[str, DataSet]) -> pl.DataFrame:
    """The conversations of the sets: ``conversation_id``, ``source``, ``source_id``, ``n_turns``.

    Raises:
        DataError: a file is no shard of prompts, or a set has no conversation.
    """
    for path in files.prompts:
        check_parquet(path, SHARD)
    columns = ["conversation_id", "source", "source_id", "n_turns"]
    with faults(files.prompts[0] if files.prompts else "prompts", "a prompts table"):
        frame = pl.concat([pl.read_parquet(path, columns=columns) for path in files.prompts])
    for name, row in sets.items():
        if row.source and not (frame["source"] == row.source).any():
            there = ", ".join(sorted(frame["source"].unique())) or "none"
            raise DataError(
                f"data.sets.{name}: the source '{row.source}' has no prompts (sources that have: {there})"
            )
    return frame


class Reader:
    """Reads the measures of sets, each file once."""

    def __init__(self, files: Files, sets: Mapping[str, DataSet]) -> None:
        self.files, self.sets = files, sets
        self.talks = conversations(files, sets)
        self.mixed = {name: _in_mix(path) for name, path in files.mixes.items()}
        self._read: dict[tuple[str, str, tuple[str, ...]], pl.DataFrame] = {}

    def conversations(self, name: str) -> pl.DataFrame:
        """The rows of :func:`conversations` that a set has."""
        row = self.sets[name]
        mine = self.talks if row.source is None else self.talks.filter(pl.col("source") == row.source)
        if row.mix is None:
            return mine
        if row.mix not in self.mixed:
            raise DataError(f"data.sets.{name}: the file of the mix '{row.mix}' was not given")
        kept = mine.join(self.mixed[row.mix], on="conversation_id", how="semi", maintain_order="left")
        if kept.is_empty():
            raise DataError(f"data.sets.{name}: no conversation of the set is in the mix '{row.mix}'")
        return kept

    def values(self, use: Use, more: Sequence[str] = ()) -> pl.DataFrame:
        """The key, the column as ``value``, others, and ``failure``, of the conversations of a set."""
        columns = (use.column, *more)
        key = (use.measure, use.subject, columns)
        if key not in self._read:
            self._read[key] = read_measure(self.files.measures, use.measure, use.subject, columns)
        mine = self.conversations(use.set)
        kept = self._read[key].join(mine, on="conversation_id", how="semi", maintain_order="left")
        return kept.rename({use.column: "value"})

    def settings(self, name: str) -> pl.DataFrame:
        """The temperature and top-p of each conversation of a set whose prompts a model wrote."""
        columns = ["conversation_hash", "temperature", "top_p"]
        frames = []
        for path in self.files.written:
            with faults(path, "a file of prompts that a model wrote"):
                frames.append(pl.read_parquet(path, columns=columns))
        mine = self.conversations(name)
        wrote = pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        found = mine.join(wrote, left_on="source_id", right_on="conversation_hash", how="left")
        if (lost := found.filter(pl.col("temperature").is_null())).height:
            raise DataError(
                f"data.sets.{name}: no file of prompts that a model wrote has {lost['source_id'][0]}, one of "
                "the study's prompts"
            )
        return found.select("conversation_id", "temperature", "top_p")


def _in_mix(path: Path) -> pl.DataFrame:
    """The conversations of a mix that are among the study's prompts have their ids there."""
    reasoned = about_table(path).get("schema") == REASONED_TRAIN.name
    check_parquet(path, REASONED_TRAIN if reasoned else TRAIN)
    with faults(path, "a mix"):
        return pl.read_parquet(path, columns=["source_id"]).rename({"source_id": "conversation_id"})


def numbers(view: str, uses: Sequence[Use], reader: Reader, data: Data, seed: int) -> pl.DataFrame:
    """Rows of :data:`NUMBERS` of one figure.

    Raises:
        DataError: a file is missing or damaged, or a value is no level of its column.
    """
    options = Options(seed=seed, resamples=data.resamples)
    rows: list[dict[str, object]] = []
    for role in dict.fromkeys(use.role for use in uses):
        mine = {
            use: reader.values(use, ("object",) if role == "verbs" else ())
            for use in uses
            if use.role == role
        }
        found: Iterator[dict[str, object]]
        if view == "settings":
            found = (row for use, frame in mine.items() for row in _by_setting(use, frame, reader, options))
        elif role == "verbs":
            found = (row for use, frame in mine.items() for row in _verbs(frame, data, use))
        elif role in ("category", "quality", "difficulty"):
            found = _labels(mine, options)
        else:
            found = _histograms(mine, data.bins, options, logarithmic=role in LENGTHS)
        rows += found
    frame = pl.DataFrame(rows, schema=NUMBERS.dtypes, infer_schema_length=None)
    return NUMBERS.check(frame.with_columns(pl.selectors.float().round(8)), view)


def _base(use: Use, frame: pl.DataFrame) -> dict[str, object]:
    failed = frame["value"].null_count()
    return {
        "panel": use.role,
        "series": use.series,
        "set": use.set,
        "measure": f"{use.measure}.{use.column}",
        "texts": frame.height - failed,
        "failed": failed,
        "n": 0,
    }


def _estimates(frame: pl.DataFrame, values: Values, options: Options) -> list[dict[str, object]]:
    """Means of columns, with their intervals."""
    mean, low, high, way = over_conversations(frame["conversation_id"], values, options)
    return [
        {"value": _known(m), "ci_low": _known(a), "ci_high": _known(b), "interval": way}
        for m, a, b in zip(mean, low, high, strict=True)
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _labels(mine: Mapping[Use, pl.DataFrame], options: Options) -> Iterator[dict[str, object]]:
    """The share of each level; without an order, the most frequent of all sets first."""
    order = _in_order(mine)
    for use, whole in mine.items():
        frame = whole.filter(pl.col("value").is_not_null())
        base = _base(use, whole)
        if frame.is_empty():
            yield base
            continue
        hot = np.column_stack([(frame["value"] == label).to_numpy() for label in order]).astype(np.float64)
        for label, count, found in zip(order, hot.sum(axis=0), _estimates(frame, hot, options), strict=True):
            yield base | {"label": label, "n": int(count)} | found


def _in_order(mine: Mapping[Use, pl.DataFrame]) -> list[str]:
    levels = {use.levels for use in mine}
    every = pl.concat([frame.select("value") for frame in mine.values()])["value"].drop_nulls()
    for use in mine:
        known = set(use.levels)
        if known and (other := sorted(set(every.unique()) - known)):
            raise DataError(
                f"{use.measure}.{use.column}: '{other[0]}' is no level of it ({', '.join(use.levels)})"
            )
    if (one := next(iter(levels))) and len(levels) == 1 and mine and next(iter(mine)).role != "category":
        return list(one)
    shares: dict[str, float] = {}
    for frame in mine.values():
        counts = frame["value"].drop_nulls().value_counts(normalize=True)
        for label, share in counts.rows():
            shares[label] = shares.get(label, 0.0) + share
    return sorted(shares, key=lambda label: (-round(shares[label], 12), label))


def _by_setting(
    use: Use, whole: pl.DataFrame, reader: Reader, options: Options
) -> Iterator[dict[str, object]]:
    """The mean of each temperature and top-p: of levels, their number from 1 (the paper's scale)."""
    if use.levels:
        score = {level: float(i) for i, level in enumerate(use.levels, start=1)}
        whole = whole.with_columns(
            pl.col("value").replace_strict(score, default=None, return_dtype=pl.Float64)
        )
    joined = whole.join(reader.settings(use.set), on="conversation_id", how="inner", maintain_order="left")
    groups = joined.partition_by(["temperature", "top_p"], as_dict=True, maintain_order=True)
    for (temperature, top_p), part in sorted(groups.items()):
        base = _base(use, part) | {"label": f"{temperature:g}", "second": f"{top_p:g}"}
        frame = part.filter(pl.col("value").is_not_null())
        base["n"] = frame.height
        if frame.height:
            (found,) = _estimates(frame, frame["value"].to_numpy()[:, None].astype(np.float64), options)
            base |= found
        yield base


def _verbs(whole: pl.DataFrame, data: Data, use: Use) -> Iterator[dict[str, object]]:
    """The most frequent verbs, each followed by its objects: shares of the texts that have a verb."""
    base = _base(use, whole)
    frame = whole.filter(pl.col("value").is_not_null())
    if frame.is_empty():
        yield base
        return

    def top(part: pl.DataFrame, column: str, most: int) -> Iterator[tuple[str, int]]:
        counts = part[column].drop_nulls().value_counts().sort("count", column, descending=[True, False])
        yield from counts.head(most).iter_rows()

    for verb, count in top(frame, "value", data.verbs):
        yield base | {"label": verb, "n": count, "value": count / frame.height}
        for noun, times in top(frame.filter(pl.col("value") == verb), "object", data.nouns):
            yield base | {"label": verb, "second": noun, "n": times, "value": times / frame.height}


def _histograms(
    mine: Mapping[Use, pl.DataFrame], bins: int, options: Options, *, logarithmic: bool
) -> Iterator[dict[str, object]]:
    """Bars with the same ends for every set, then the mean and the median."""
    known = {
        use: frame.filter(pl.col("value").is_not_null())["value"].to_numpy().astype(np.float64)
        for use, frame in mine.items()
    }
    every = np.concatenate([*known.values(), np.empty(0)])
    edges = edges_of(every, bins, logarithmic=logarithmic)
    for use, whole in mine.items():
        base, values = _base(use, whole), known[use]
        if not len(values):
            yield base
            continue
        inner = np.searchsorted(edges, values, side="right")
        counts = np.bincount(inner, minlength=len(edges) + 1)
        ends: list[float | None] = [None, *map(float, edges), None]
        for at, count in enumerate(counts):
            yield base | {
                "low": ends[at], "high": ends[at + 1], "n": int(count), "value": count / len(values)
            }  # fmt: skip
        frame = whole.filter(pl.col("value").is_not_null())
        (found,) = _estimates(frame, values[:, None], options)
        yield base | {"label": MEAN, "n": len(values)} | found
        yield base | {"label": MEDIAN, "n": len(values), "value": float(np.median(values))}


def edges_of(values: Values, bins: int, *, logarithmic: bool) -> Values:
    """Round numbers between which values are counted; below the first and above the last are two more bars.

    Args:
        values: of all sets.
        bins: about how many bars.
        logarithmic: whether each end is about the same multiple of the one before it; then ends are whole.
    """
    if not len(values):
        return np.empty(0)
    low, high = (float(end) for end in np.quantile(values, _ENDS))
    if logarithmic:
        first, last = np.log10(max(low, 1.0)), np.log10(max(high, 1.0))
        step = _step(max(last - first, 0.1) / bins)
        powers = np.arange(np.floor(first / step), np.ceil(last / step) + 1) * step
        return np.unique(np.round(10**powers))  # lengths are whole numbers
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):  # one value, as far as bars can tell
        return np.array([low])
    step = _step((high - low) / bins)
    return np.round(np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step, 13)


def _step(least: float) -> float:
    """The next round number: 1, 2, 2.5 or 5 with a power of ten."""
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(s for s in _STEPS if s * power >= least * (1 - 1e-9)) * power)


def about(uses: Sequence[Use]) -> dict[str, Any]:
    """What a table or figure was made from, besides files."""
    return {"uses": [f"{u.role}: {u.measure}.{u.column} of {u.subject} in {u.set}" for u in uses]}

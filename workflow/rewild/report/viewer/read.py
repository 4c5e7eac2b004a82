"""Reading what the viewer shows: responses, similarities and judgments of chosen conversations."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rewild.core.errors import DataError, known_name
from rewild.core.reading import faults, open_file
from rewild.core.table import TableSchema, check_parquet, collect, read_table
from rewild.generation.schema import RESPONSES, read_manifest
from rewild.prompts.forms.rows import kind_of
from rewild.report.viewer.schema import JUDGMENTS, PAIR


@dataclass(frozen=True)
class Source:
    """The responses files of each model, the models in the order shown."""

    files: Mapping[str, Sequence[Path]]

    @property
    def models(self) -> list[str]:
        """Slugs."""
        return list(self.files)


@dataclass(frozen=True)
class Conversation:
    """What all models were asked."""

    id: str
    language: str | None
    prompts: Mapping[int, str]  # by turn, in order


def find_models(paths: Iterable[Path], wanted: Sequence[str] = ()) -> Source:
    """Sort responses files by model.

    Args:
        paths: Parquet files of :data:`RESPONSES`, or ``manifest.json`` files that list them.
        wanted: slugs to keep, in this order; all, by name, if empty.

    Raises:
        DataError: a file is missing or holds no responses table, or no file has a row.
        ConfigError: a wanted model is in none of the files.
    """
    files: dict[str, list[Path]] = {}
    for path in _expand(paths):
        check_parquet(path, RESPONSES)
        models = collect(
            pl.scan_parquet(path).select(pl.col("model").cast(pl.String).drop_nulls().unique().sort()), path
        )
        for model in models["model"]:
            files.setdefault(model, []).append(path)
    if not files:
        raise DataError("no responses to show: the responses tables given have no rows")
    for model in wanted:
        what = "viewer.models: no responses of"
        known_name(model, sorted(files), what, listed="there are responses of")
    return Source({model: files[model] for model in (wanted or sorted(files))})


def choose(source: Source, limit: int) -> list[str]:
    """The ``limit`` least conversation ids that any model has a row of, sorted."""
    chosen: set[str] = set()
    for files in source.files.values():
        for path in files:
            rows = _scan(path, RESPONSES).select(pl.col("conversation_id").drop_nulls().unique())
            ids = collect(rows, path)
            chosen.update(ids["conversation_id"])
        chosen = set(heapq.nsmallest(limit, chosen))
    return sorted(chosen)


def read_responses(source: Source, model: str, ids: Sequence[str]) -> pl.DataFrame:
    """A model's rows of these conversations, by conversation and turn.

    Raises:
        DataError: a row breaks the contract, or a turn stands in two files.
    """
    frame = pl.concat([_read(path, RESPONSES, ids, model) for path in source.files[model]])
    frame = frame.sort("conversation_id", "turn")
    if (double := frame.select("conversation_id", "turn").is_duplicated()).any():
        row = frame.row(double.arg_true()[0], named=True)
        names = ", ".join(map(str, source.files[model]))
        raise DataError(
            f"{names}: turn {row['turn']} of conversation {row['conversation_id']} stands twice "
            f"among the responses of {model}"
        )
    return frame


def collect_prompts(source: Source, ids: Sequence[str]) -> list[Conversation]:
    """What was asked in each conversation, over all models.

    Raises:
        DataError: two models were asked different things under the same name.
    """
    known: dict[str, dict[int, str]] = {i: {} for i in ids}
    languages: dict[str, str | None] = {}
    for model, files in source.files.items():
        for path in files:
            wanted = _of(path, ids, model).select("conversation_id", "turn", "language", "prompt")
            rows = collect(wanted, path)
            for identity, turn, language, prompt in rows.drop_nulls("prompt").iter_rows():
                if known[identity].setdefault(turn, prompt) != prompt:
                    raise DataError(
                        f"{path}: turn {turn} of conversation {identity} has another prompt for {model} than "
                        f"for a model before it; do all files belong to one study?"
                    )
                languages[identity] = languages.get(identity) or language
    return [Conversation(i, languages.get(i), dict(sorted(known[i].items()))) for i in ids]


def read_judgments(paths: Iterable[Path], source: Source, ids: Sequence[str]) -> pl.DataFrame:
    """The judgments of these conversations and models, sorted; of other models there may be some."""
    frames = [_read(path, JUDGMENTS, ids) for path in paths]
    frame = pl.concat(frames) if frames else pl.DataFrame(schema=JUDGMENTS.dtypes)
    frame = frame.filter(pl.col("model").is_in(source.models))
    if (double := frame.select(JUDGMENTS.key).is_duplicated()).any():
        row = frame.row(double.arg_true()[0], named=True)
        shown = ", ".join(f"{k}={row[k]}" for k in JUDGMENTS.key)
        raise DataError(f"{', '.join(map(str, paths))}: this judgment stands twice ({shown})")
    return frame.sort(JUDGMENTS.key)


def find_metrics(paths: Iterable[Path]) -> list[str]:
    """The metric columns of similarity files: those of floating point, in the order of the first file.

    Raises:
        DataError: a file is missing, lacks a key column, has no metric or others than the first.
    """
    found: list[str] = []
    for path in paths:
        schema = _schema(path, "similarity")
        if missing := [c for c in PAIR if c not in schema]:
            raise DataError(f"{path}: column '{missing[0]}' is missing from this similarity table")
        metrics = [name for name, dtype in schema.items() if dtype.is_float()]
        if not metrics:
            raise DataError(f"{path}: no metric (a column of floating point) in this similarity table")
        if found and metrics != found:
            raise DataError(
                f"{path}: other metrics ({', '.join(metrics)}) than in the first file ({', '.join(found)})"
            )
        found = metrics
    return found


def read_similarity(paths: Iterable[Path], model: str, source: Source, ids: Sequence[str]) -> pl.DataFrame:
    """The similarities of ``model`` with the others shown, in both directions."""
    shown = pl.lit(pl.Series(source.models)).implode()
    frames = [
        _of(path, ids)
        .filter(
            (pl.col("model") == model) & pl.col("reference").is_in(shown)
            | (pl.col("reference") == model) & pl.col("model").is_in(shown)
        )
        .collect()
        for path in paths
    ]
    return pl.concat(frames)


def _expand(paths: Iterable[Path]) -> list[Path]:
    expanded: list[Path] = []
    for path in paths:
        if path.suffix == ".json":
            expanded += [path.parent / f"{shard.shard}.parquet" for shard in read_manifest(path).shards]
        else:
            expanded.append(path)
    return list(dict.fromkeys(expanded))


def _schema(path: Path, name: str) -> pl.Schema:
    open_file(path, f"a {name} table").close()
    with faults(path, f"a {name} table"):
        return pl.Schema(pl.read_parquet_schema(path))


def _scan(path: Path, schema: TableSchema) -> pl.LazyFrame:
    """The rows of a table that :func:`check_parquet` let pass, in the types of its schema."""
    there = _schema(path, schema.name)
    return pl.scan_parquet(path).cast({n: t for n, t in schema.dtypes.items() if there.get(n, t) != t})


def _of(
    path: Path, ids: Sequence[str], model: str | None = None, schema: TableSchema = RESPONSES
) -> pl.LazyFrame:
    """The rows of these conversations, and of this model."""
    wanted = _scan(path, schema).filter(
        pl.col("conversation_id").is_in(pl.lit(pl.Series(ids, dtype=pl.String)).implode())
    )
    return wanted if model is None else wanted.filter(pl.col("model") == model)


def _read(path: Path, schema: TableSchema, ids: Sequence[str], model: str | None = None) -> pl.DataFrame:
    """The rows of these conversations, checked. An error names the row of the whole file."""
    if kind_of(path, f"a {schema.name} table") != "parquet":  # CSV, which is read whole
        frame = read_table(path, schema, allow_empty=True)
        keep = pl.col("conversation_id").is_in(pl.lit(pl.Series(ids, dtype=pl.String)).implode())
        frame = frame.filter(keep)
        return frame if model is None else frame.filter(pl.col("model") == model)
    check_parquet(path, schema)
    try:
        return schema.check(collect(_of(path, ids, model, schema), path), path)
    except DataError:
        read_table(path, schema, allow_empty=True)
        raise

"""What a study has to release: a repository of the hub each, with files, terms, and faults of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import polars as pl

from rewild.config.benchmarks import Benchmark
from rewild.config.judging import judged_rows
from rewild.config.measures.labels import Asks
from rewild.config.models import Model
from rewild.config.release import Release
from rewild.config.study import Study
from rewild.core.errors import DataError, known_name
from rewild.core.fetch import ReleasedFile
from rewild.core.files import sha256
from rewild.core.measures import about_measure, contract, vectors_file
from rewild.core.reading import SMALL, faults, read_json
from rewild.core.table import Column, TableSchema, check_parquet, collect, read_table
from rewild.evaluation.judged.schema import ANSWERS, JUDGMENTS
from rewild.generation.schema import RESPONSES, read_manifest
from rewild.operate.release.terms import STUDY, Ledger, Part, Terms
from rewild.prompts.schema import SHARD
from rewild.training.preference_schema import DROPPED, PAIRS

PLAIN = {
    *("history", "language", "finish_reason", "truncation", "response_language", "engine", "recipe"),
    *("source", "source_id", "shard", "tags", "run", "model", "benchmark", "category", "chat_template"),
    *("judge", "template", "request", "logprobs"),
}
"""Columns that hold names, hashes and the like; every other column of strings is looked through."""
WEIGHTS = (".safetensors", ".json", ".jinja", ".model", ".txt")
"""Files of a checkpoint that are passed on: pickles never."""


@dataclass(frozen=True)
class Table:
    """A Parquet file of a data set.

    Attributes:
        source: where it lies.
        target: its place in the repository.
        schema: its contract.
        config: the part of the data set it belongs to, as the hub's cards have them.
        split: the split of that part.
        origin: of prompts, the source whose rows are taken; the file is as it is without.
        expected: what a manifest or a card says there is: ``rows``, ``failures``, ``without a failure``.
        said_by: the file that says so.
        checksum: the SHA-256 that it says.
    """

    source: Path
    target: str
    schema: TableSchema
    config: str = "default"
    split: str = "train"
    origin: str | None = None
    expected: Mapping[str, int] = field(default_factory=dict)
    said_by: str = ""
    checksum: str | None = None

    def read(self) -> pl.DataFrame:
        """Its rows, checked; there may be none."""
        frame = read_table(self.source, self.schema, allow_empty=True)
        return frame if self.origin is None else frame.filter(pl.col("source") == self.origin)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns that its file has: an older one may lack those that came later."""
        if self.origin is not None:
            return dict(self.schema.columns)
        held = pl.read_parquet_schema(self.source)
        return {name: column for name, column in self.schema.columns.items() if name in held}

    def faults(self, frame: pl.DataFrame) -> list[str]:
        """What of its rows does not add up, a sentence each."""
        failed = frame["failure"].is_not_null() if "failure" in frame.columns else pl.Series([False])
        count = {"rows": frame.height, "failures": int(failed.sum())}
        count["without a failure"] = count["rows"] - count["failures"]
        found = [
            f"{self.source}: {count[key]} {key}; {self.said_by} says {said}"
            for key, said in self.expected.items()
            if count[key] != said
        ]
        if self.checksum and not found and sha256(self.source) != self.checksum:
            found.append(f"{self.source}: it changed after it was collected (another SHA-256)")
        if self.schema is RESPONSES and (odd := frame["response"].is_null() != failed).any():
            row = odd.arg_true()[0] + 1
            found.append(f"{self.source}, row {row}: neither an answer nor a failure, or both")
        return found

    @property
    def texts(self) -> list[str]:
        """Its columns of text by people, models or programs."""
        named = PLAIN.union(self.schema.key)
        columns = self.schema.columns.items()
        return [name for name, column in columns if name not in named and "String" in str(column.dtype)]


@dataclass
class Unit:
    """A repository of the hub in the making.

    Attributes:
        kind: what the hub calls it.
        what: the kind of results.
        name: its name, without the namespace.
        title: a line for its card.
        terms: the licences of what is inside.
        tables: its data, in order.
        files: what else goes in: place in the repository → file.
        cited: files of which the card says something.
        faults: rows that do not add up, a sentence each.
        facts: for the card: how it came about.
    """

    kind: Literal["dataset", "model"]
    what: str
    name: str
    title: str
    terms: Terms
    tables: list[Table] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    cited: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> list[Path]:
        """All files that it is made from."""
        tables = (table.source for table in self.tables)
        return list(dict.fromkeys([*tables, *self.files.values(), *self.cited]))


@dataclass(frozen=True)
class Case:
    """A study and all that its release looks at."""

    study: Study
    models: Mapping[str, Model]
    benchmarks: Mapping[str, Benchmark]
    released: Mapping[str, list[ReleasedFile]]
    results: Path

    @property
    def folder(self) -> Path:
        """The study's results."""
        return self.results / self.study.name

    @property
    def release(self) -> Release:
        """The study's section, or what stands in its place."""
        return self.study.release or Release.model_validate({})


def find_units(case: Case) -> tuple[list[Unit], list[str]]:
    """What there is to release, and what of the study is not there (yet), a line each.

    Raises:
        ConfigError: the study's section `release` names what the study has not.
        DataError: nothing is there; a file is damaged or of another version.
    """
    study, release = case.study, case.release
    ledger = Ledger(study, case.models, case.released)
    imported = (
        [path.parent.name for path in case.folder.glob("responses/*/manifest.json")] if study.imports else []
    )
    models = list(study.responses.models) if study.responses else sorted(imported)
    known = [*models, *study.runs, *study.measures, *study.preferences]
    for name in release.leave_out:
        known_name(name, known, f"study {study.name}: release.leave_out:", after=" is nothing that it has")
    makers = {
        "prompts": lambda: _prompts(case, ledger),
        "responses": lambda: _responses(case, ledger, models),
        "measures": lambda: _measures(case, ledger),
        "preferences": lambda: _preferences(case, ledger),
        "judgments": lambda: _judgments(case, ledger),
        "models": lambda: _fine_tunes(case, ledger),
    }
    found: list[Unit] = []
    missing: list[str] = []
    for what in release.what:
        for one in makers[what]():
            (missing if isinstance(one, str) else found).append(one)  # type: ignore[arg-type]
    if not found:
        raise DataError(
            f"study {study.name}: nothing in {case.folder} can be released: run it first (snakemake --config "
            f"study={study.name})" + (f"; not there: {'; '.join(missing[:3])}" if missing else "")
        )
    for unit in found:
        unit.faults += _unlike(unit)
    return found, missing


def _unlike(unit: Unit) -> Iterator[str]:
    """Files of one part of a data set that have not the same columns: the hub's reader takes none of them."""
    first: dict[str, Table] = {}
    for table in unit.tables:
        other = first.setdefault(table.config, table)
        if odd := sorted(table.columns.keys() ^ other.columns.keys()):
            yield f"{table.source}: only one of it and {other.source} has the column '{odd[0]}'; run it again"


def split_name(source: str) -> str:
    """A source's name as the name of a split, which has no hyphens."""
    return source.replace("-", "_")


def _prompts(case: Case, ledger: Ledger) -> Iterator[Unit | str]:
    study, folder = case.study, case.folder / "prompts"
    shards = sorted(folder.glob("shards/*.parquet"))
    if not (study.prompts or study.imports):
        return
    if not shards:
        yield f"prompts ({folder}/shards)"
        return
    unit = Unit(
        "dataset",
        "prompts",
        f"{study.name}-prompts",
        f"Prompts of the study {study.name}",
        ledger.terms(ledger.prompts()),
    )
    for path in shards:
        check_parquet(path, SHARD)
    held = collect(pl.scan_parquet(shards).select("source"), folder / "shards")["source"]
    counts = dict(held.value_counts(sort=True).iter_rows())
    for origin in sorted(counts):
        for path in shards:
            target = f"data/{split_name(origin)}/{path.name}"
            unit.tables.append(Table(path, target, SHARD, split=split_name(origin), origin=origin))
    unit.facts["conversations by source"] = dict(sorted(counts.items()))
    report = folder / "report.json"
    if report.exists():
        unit.files["report.json"] = report
        kept = _number(report, "kept", "a report of prompts")
        if kept != len(held):
            unit.faults.append(f"{report}: {kept} conversations were kept, and the shards hold {len(held)}")
    yield unit


def _number(path: Path, key: str, what: str) -> int:
    found = read_json(path, what, limit=SMALL)
    value = found.get(key) if isinstance(found, dict) else None
    if not isinstance(value, int):
        raise DataError(f"{path}: not {what}: it has no number '{key}'; remove it and rerun")
    return value


def _responses(case: Case, ledger: Ledger, models: Sequence[str]) -> Iterator[Unit | str]:
    study = case.study
    for model in models:
        if model in case.release.leave_out:
            continue
        path = case.folder / "responses" / model / "manifest.json"
        if not path.exists():
            yield f"responses of {model} ({path})"
            continue
        manifest = read_manifest(path)
        unit = Unit(
            "dataset",
            "responses",
            f"{study.name}-responses-{model}",
            f"Responses of {model} to the prompts of the study {study.name}",
            ledger.terms([*ledger.prompts(), ledger.model(model)]),
            files={"manifest.json": path},
        )
        for shard in manifest.shards:
            file = path.parent / f"{shard.shard}.parquet"
            check_parquet(file, RESPONSES)
            said = {"rows": shard.rows, "failures": shard.failures}
            target = f"data/{shard.shard}.parquet"
            unit.tables.append(
                Table(file, target, RESPONSES, expected=said, said_by="its manifest", checksum=shard.sha256)
            )
        sums = [sum(getattr(shard, key) for shard in manifest.shards) for key in ("rows", "failures")]
        if sums != [manifest.rows, manifest.failures]:
            unit.faults.append(
                f"{path}: says {manifest.rows} rows and {manifest.failures} failures; its shards have "
                f"{sums[0]} and {sums[1]}"
            )
        unit.facts |= {
            "conversations": manifest.conversations,
            "answers": manifest.rows - manifest.failures,
            "failures": manifest.failures_by_reason,
            "history": manifest.history,
            "identity": manifest.identity,
        }
        yield unit


def _measures(case: Case, ledger: Ledger) -> Iterator[Unit | str]:
    study, left_out = case.study, case.release.leave_out
    parts = [Part(STUDY, STUDY, case.release.own_licence)]
    unit = Unit(
        "dataset",
        "measures",
        f"{study.name}-measures",
        f"Measures of prompts and responses of the study {study.name}",
        ledger.terms(parts),
    )
    for name, measure in study.measures.items():
        if name in left_out:
            continue
        files = sorted((case.folder / "measures" / name).glob("*/*.parquet"))
        if not files:
            yield f"measure {name} ({case.folder}/measures/{name})"
        for path in files:
            about, subject = about_measure(path), path.parent.name
            if subject in left_out:
                continue
            with faults(path, "a measure's table"):
                held = pl.read_parquet_schema(path)
            forms = {pl.Float64: "number", pl.Int64: "integer", pl.Boolean: "flag", pl.String: "text"}
            plain = contract({})
            values = {
                column: (forms.get(type(kind), "text"), f"Of the measure {name} (kind {measure.kind})")
                for column, kind in held.items()
                if column not in plain.columns
            }
            target = f"data/{name}/{subject}/{path.name}"
            said = {"rows": int(about.get("rows", -1))}
            schema = contract(values)
            unit.tables.append(
                Table(path, target, schema, f"{name}-{subject}", expected=said, said_by="its own metadata")
            )
            if (vectors := vectors_file(path)).exists():
                unit.files[f"data/{name}/{subject}/{vectors.name}"] = vectors
        if files and isinstance(measure, Asks):
            parts.append(ledger.model(measure.model, "text by"))
    unit.terms = ledger.terms(parts)
    if unit.tables:
        yield unit


def _preferences(case: Case, ledger: Ledger) -> Iterator[Unit | str]:
    study = case.study
    for name in study.preferences:
        if name in case.release.leave_out:
            continue
        folder = case.folder / "preferences" / name
        train, card, dropped = folder / "train.parquet", folder / "card.json", folder / "dropped.csv"
        if lacks := next((path for path in (train, card, dropped) if not path.exists()), None):
            yield f"preferences {name} ({lacks})"
            continue
        pairs, prompts = (_number(card, key, "a card of pairs") for key in ("pairs", "prompts"))
        lost = read_table(dropped, DROPPED, allow_empty=True).height
        unit = Unit(
            "dataset",
            "preferences",
            f"{study.name}-preferences-{name}",
            f"Preference pairs {name} of the study {study.name}",
            ledger.terms(ledger.mix(name)),
            tables=[Table(train, "data/train.parquet", PAIRS, expected={"rows": pairs}, said_by="its card")],
            files={"dropped.csv": dropped, "card.json": card},
            facts={"pairs": pairs, "prompts": prompts, "prompts without a pair": lost},
        )
        if pairs + lost != prompts:
            unit.faults.append(f"{card}: {pairs} pairs of {prompts} prompts, and {lost} gave none")
        yield unit


def _judgments(case: Case, ledger: Ledger) -> Iterator[Unit | str]:
    study, listed = case.study, case.study.evaluation.benchmarks if case.study.evaluation else []
    parts: list[Part] = []
    unit = Unit(
        "dataset",
        "judgments",
        f"{study.name}-judgments",
        f"Answers to judged benchmarks, and their judgments, of the study {study.name}",
        ledger.terms(parts),
    )
    for row in judged_rows(listed, case.benchmarks):
        for run in study.runs:
            if run in case.release.leave_out or study.runs[run].model in case.release.leave_out:
                continue
            folder = case.folder / "benchmarks" / run / row.slug
            answers, judgments, spent = (
                folder / name for name in ("answers.parquet", "judgments.parquet", "judging.json")
            )
            if not (judgments.exists() and spent.exists()):
                yield f"judgments of {run} on {row.slug} ({judgments})"
                continue
            said = _number(spent, "judgments", "what judgments cost")
            for path, schema in ((answers, ANSWERS), (judgments, JUDGMENTS)):
                if path.exists():
                    check_parquet(path, schema)
                    target = f"data/{path.stem}/{row.slug}/{run}.parquet"
                    known = {"without a failure": said} if schema is JUDGMENTS else {}
                    unit.tables.append(
                        Table(path, target, schema, path.stem, expected=known, said_by=spent.name)
                    )
            parts += [ledger.benchmark(row.slug, case.benchmarks), *ledger.base(run)]
            parts.append(ledger.model(study.judging.judge_of(row), "judgments by"))
    unit.terms = ledger.terms(parts)
    if unit.tables:
        yield unit


def scores_of(case: Case, run: str) -> list[Path]:
    """The scores of a run that are there, by benchmark."""
    return sorted((case.folder / "benchmarks" / run).glob("*/scores.csv"))


def card_of(case: Case, mix: str) -> list[Path]:
    """The study's card of a mix or a set of preference pairs, if it is there."""
    path = case.folder / ("preferences" if mix in case.study.preferences else "mixes") / mix / "card.json"
    return [path] if path.exists() else []


def _fine_tunes(case: Case, ledger: Ledger) -> Iterator[Unit | str]:
    study = case.study
    for name, run in study.runs.items():
        if not run.trained or name in case.release.leave_out:
            continue
        folder = case.folder / "runs" / name
        if not (folder / "passed").exists():
            yield f"fine-tune {name} ({folder}/passed)"
            continue
        unit = Unit(
            "model",
            "models",
            f"{study.name}-{name}",
            f"{run.model} fine-tuned on {run.mix}",
            ledger.terms_of_run(name),
            cited=[*scores_of(case, name), *card_of(case, str(run.mix))],
            facts={"run": name, "base": run.model, "mix": run.mix, "recipe": run.recipe},
        )
        for path in sorted(p for p in (folder / "checkpoint").iterdir() if p.is_file()):
            if path.name.startswith(".") or path.name == "made_from.json":
                continue
            if path.suffix in WEIGHTS:
                unit.files[path.name] = path
            else:
                unit.faults.append(
                    f"{path}: no file of a checkpoint that is passed on ({', '.join(WEIGHTS)})"
                )
        for extra in ("axolotl.yaml", "training.json", "loss.csv"):
            if (folder / extra).exists():
                unit.files[f"training/{extra}"] = folder / extra
        if not any(target.endswith(".safetensors") for target in unit.files):
            unit.faults.append(f"{folder}/checkpoint: it has no safetensors")
        yield unit

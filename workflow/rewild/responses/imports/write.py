"""Released responses as the tables that generation makes.

Every file is read once, row by row, and laid aside by ranges of conversation ids (:mod:`.spill`). Then a
range of all models is taken up at a time, its conversations are put beside each other, and its rows are
written. So memory holds one range, whatever the number of models and of conversations.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.imports import Import, Imported
from rewild.config.models import Model
from rewild.config.stages import version
from rewild.core.errors import DataError
from rewild.core.files import sha256, write_json
from rewild.core.language import garbled, language_code, repetition
from rewild.core.locks import scratch_folder
from rewild.core.reading import faults
from rewild.core.table import Column, TableSchema, provenance, read_table
from rewild.generation.schema import RESPONSES, Manifest, ShardCount, read_manifest
from rewild.prompts.schema import SHARD
from rewild.responses.imports.read import NO_ROW, NO_TURN, Answer, Conversation, read_outputs, read_questions
from rewild.responses.imports.released import import_released
from rewild.responses.imports.spill import Spill
from rewild.responses.imports.tables import TableFile
from rewild.responses.imports.tokens import original

"""Kind → version. Raise one when the rows of that kind change; what was made from them is then made again."""

RANGE = 64 << 20
"""Bytes of files, over all models, whose conversations are held at a time."""
PACKED = 4
"""So many bytes of text are in a byte of Parquet or gzip, about."""
MOST_RANGES = 8192

MODELS = TableSchema(
    name="imported models",
    version=2,
    columns={
        "model": Column(pl.String, "Model id: the registry's slug, or the released name in its form"),
        "released_name": Column(pl.String, "The name in the release"),
        "source": Column(pl.String, "Name of the import in the study"),
        "registry": Column(pl.Boolean, "Whether models.yaml has this model"),
        "parameters": Column(pl.Float64, "Parameters in billions, as the registry or the study says", True),
        "family": Column(pl.String, "Family, where the registry knows the model", True),
        "rows": Column(pl.Int64, "Rows: one per user turn, failures included"),
        "released_rows": Column(
            pl.Int64, "User turns that the released file holds: rows - missing + repeated"
        ),
        "repeated": Column(
            pl.Int64, "Of these, turns of a conversation that stands in the file before; the first is taken"
        ),
        "failures": Column(pl.Int64, "Rows without an answer, of either kind below"),
        "missing": Column(
            pl.Int64, "Turns that other models' files of this source have and this one's lacks"
        ),
        "blank": Column(pl.Int64, "Answers that are blank or absent in the released file"),
        "altered": Column(
            pl.Int64, "User turns that this file has otherwise than the original kept, tokens not counted"
        ),
        "stripped": Column(
            pl.Int64, "User turns and answers that had control tokens at an end, which were left out"
        ),
        "tokens": Column(pl.String, "These tokens, with how many of each", True),
    },
    key=("model", "source"),
)


@dataclass
class _Counts:
    """What is counted of one model while its ranges go by."""

    rows: int = 0
    conversations: int = 0
    held: int = 0
    repeated: int = 0
    altered: int = 0
    stripped: int = 0
    released: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    missing: int = 0


def import_source(
    source: Import, files: Sequence[Imported], *, shard: str, study: str, folder: Path
) -> pl.DataFrame:
    """Read every model's file of one source; write a shard of prompts, and one of responses per model.

    All models get the same conversations and turns: one that a file lacks becomes a failure of that model.
    Where files have a user turn differently, the original is kept for all (:func:`.tokens.original`). A
    conversation that stands twice in a file is taken once, and counted.

    Args:
        source: the import's settings.
        files: one per model.
        shard: the shard's name, such as 0001.
        study: the study's name.
        folder: ``results/{study}``.

    Returns:
        The rows of :data:`MODELS`, without what the registry knows.

    Raises:
        DataError: see :func:`read_outputs`; or the number of conversations is not ``source.rows``.
    """
    if source.kind == "hub":
        with _unfinished(folder, shard):
            found = import_released(source, files, shard=shard, study=study, folder=folder)
        return pl.DataFrame(found, schema=MODELS.dtypes)
    paths = [Path(f.path) for f in files]
    form = source.form if source.kind == "files" else "auto"
    asked = source.questions_file if source.kind == "files" else None
    questions = read_questions(Path(asked)) if asked else None
    ranges = ranges_for(paths)
    inputs = [*map(str, paths), *([asked] if asked else [])]
    made_from = provenance(
        inputs, kind=source.kind, source=source.name, stage=version(f"import-{source.kind}")
    )
    with _unfinished(folder, shard) as scratch:
        spills = []
        for number, path in enumerate(paths):
            spill = Spill(scratch / f"{number}.arrow", ranges)
            spill.fill(read_outputs(source.kind, path, form=form, questions=questions))
            spills.append(spill)
        prompts = TableFile(
            folder / "prompts" / "shards" / f"{shard}.parquet", SHARD, made_from, scratch / "prompts.parquet"
        )
        identities = [_identity(source, file) for file in files]
        tables = [
            TableFile(
                folder / "responses" / file.model / f"{shard}.parquet",
                RESPONSES,
                provenance([file.path], **identity),
                scratch / f"{number}.parquet",
            )
            for number, (file, identity) in enumerate(zip(files, identities, strict=True))
        ]
        recipes = [
            hashlib.sha256(json.dumps(i, sort_keys=True).encode()).hexdigest()[:16] for i in identities
        ]
        counts = [_Counts() for _ in files]
        conversations = 0
        for number in range(ranges):
            merged = _merge([_first_of_each(s, number, c) for s, c in zip(spills, counts, strict=True)])
            conversations += len(merged)
            prompts.add([row for m in merged if (row := _prompt_row(m, source.name, shard)) is not None])
            for at, file in enumerate(files):
                tables[at].add(_model_rows(merged, at, file.model, recipes[at], counts[at]))
        if source.rows is not None and conversations != source.rows:
            raise DataError(_wrong_number(source, files, counts, conversations))
        for table in (prompts, *tables):
            table.close()
    for file, table, identity, recipe, count in zip(files, tables, identities, recipes, counts, strict=True):
        manifest = _shard_manifest(study, file.model, table.path, count, identity=identity, recipe=recipe)
        write_json(folder / "imports" / shard / f"{file.model}.json", manifest.model_dump())
    return pl.DataFrame(
        [_counted(f, source.name, c) for f, c in zip(files, counts, strict=True)], schema=MODELS.dtypes
    )


@contextmanager
def _unfinished(folder: Path, shard: str) -> Iterator[Path]:
    """A folder for what is not finished; after an error nothing is left, no empty folder either."""
    try:
        with scratch_folder(folder / "imports", f"unfinished-{shard}") as scratch:
            yield scratch
    except BaseException:
        for empty in (folder / "imports", folder):
            with suppress(OSError):
                empty.rmdir()
        raise


def ranges_for(paths: Sequence[Path]) -> int:
    """Into how many ranges the ids of these files are cut, so that one of all files is small."""
    packed = (".parquet", ".gz")
    size = sum(
        path.stat().st_size * (PACKED if path.suffix in packed else 1) for path in paths if path.is_file()
    )
    return max(1, min(MOST_RANGES, size // RANGE))


def _identity(source: Import, file: Imported) -> dict[str, Any]:
    return {"stage_version": version(f"import-{source.kind}"), "kind": source.kind, "source": source.name,
            "sha256": sha256(file.path), "file": _public(file.path),
            "released_name": file.released_name}  # fmt: skip


def _counted(file: Imported, source: str, count: _Counts) -> dict[str, Any]:
    failures = sum(count.reasons.values())
    return {
        "model": file.model,
        "released_name": file.released_name,
        "source": source,
        "registry": file.known,
        "parameters": file.billions,
        "family": None,
        "rows": count.rows,
        "released_rows": count.released,
        "repeated": count.repeated,
        "failures": failures,
        "missing": count.missing,
        "blank": failures - count.missing,
        "altered": count.altered,
        "stripped": count.stripped,
        "tokens": ", ".join(f"{t} {n}" for t, n in sorted(count.tokens.items())) or None,
    }


# One range of all models


@dataclass(frozen=True)
class _Merged:
    """A conversation as all files have it: the turns as they are kept, and each file's own (None: no row)."""

    id: str
    source_id: str
    language: str | None
    system: str | None
    prompts: tuple[str, ...] | None
    turns: int
    own: Sequence[Conversation | None]


def _first_of_each(spill: Spill, number: int, count: _Counts) -> dict[str, Conversation]:
    """A file's conversations of a range by id, the first of each in the file; the others are counted."""
    found: dict[str, Conversation] = {}
    for conversation in spill.take(number):
        turns = len(conversation.answers)
        count.released += turns
        for tokens in (
            *(p.tokens for p in conversation.prompts or ()),
            *(a.tokens for a in conversation.answers),
        ):
            count.stripped += bool(tokens)
            count.tokens.update(tokens)
        if conversation.id in found:
            count.repeated += turns
        else:
            found[conversation.id] = conversation
    count.held += len(found)
    return found


def _merge(files: Sequence[Mapping[str, Conversation]]) -> list[_Merged]:
    """The conversations of all files, by id."""
    merged = []
    for identity in sorted(set().union(*files)):
        own = [held.get(identity) for held in files]
        there = [c for c in own if c is not None]
        turns = max(len(c.answers) for c in there)
        prompts = None
        if with_prompts := [c.prompts for c in there if c.prompts is not None]:
            prompts = tuple(
                original((p[turn].text, bool(p[turn].tokens)) for p in with_prompts if turn < len(p))
                for turn in range(turns)
            )
        merged.append(
            _Merged(
                identity,
                there[0].source_id,
                next((c.language for c in there if c.language), None),
                next((c.system for c in there if c.system), None),
                prompts,
                turns,
                own,
            )
        )
    return merged


def _model_rows(
    merged: Sequence[_Merged], at: int, model: str, recipe: str, count: _Counts
) -> list[dict[str, Any]]:
    """The rows of one model in a range."""
    rows = []
    for conversation in merged:
        own = conversation.own[at]
        count.conversations += 1
        for turn in range(conversation.turns):
            prompt = conversation.prompts[turn] if conversation.prompts else ""
            answer = own.answers[turn] if own and turn < len(own.answers) else None
            missing = None if answer else NO_TURN if own else NO_ROW
            if own and own.prompts and turn < len(own.prompts):
                count.altered += own.prompts[turn].text != prompt
            row = _response_row(
                model, conversation, turn, prompt=prompt, answer=answer, missing=missing, recipe=recipe
            )
            count.missing += missing is not None
            if row["failure"] is not None:
                count.reasons[row["failure"].partition(":")[0]] += 1
            rows.append(row)
    count.rows += len(rows)
    return rows


def describe_models(counts: pl.DataFrame, models: Mapping[str, Model]) -> pl.DataFrame:
    """Add what the registry knows; parameters come from it or the study's ``sizes``, never from a name."""

    def row(slug: str, given: float | None) -> tuple[float | None, str | None]:
        model = models.get(slug)
        if model is None:
            return given, None
        return (model.parameters.total / 1e9 if model.parameters else given), model.family

    known = [row(*pair) for pair in counts.select("model", "parameters").iter_rows()]
    return counts.with_columns(
        pl.Series("parameters", [p for p, _ in known], pl.Float64),
        pl.Series("family", [f for _, f in known], pl.String),
    )


def merge_manifests(parts: Sequence[Path], out: Path) -> Manifest:
    """One manifest of a model from those of its shards (``imports/{shard}/{model}.json``), checked."""
    manifests = [read_manifest(p) for p in sorted(parts, key=lambda p: p.parent.name)]
    shards = [s for m in manifests for s in m.shards]
    for shard in shards:
        file = out.parent / f"{shard.shard}.parquet"
        with faults(file, "a responses table"):
            rows = pl.scan_parquet(file).select(pl.len()).collect().item()
        if rows != shard.rows or sha256(file) != shard.sha256:
            raise DataError(
                f"{file}: holds {rows} rows, not what was imported ({shard.rows}); import it again"
            )
    first = manifests[0]
    identity = first.identity if len(manifests) == 1 else {"imports": [m.identity for m in manifests]}
    reasons = sum((Counter(m.failures_by_reason) for m in manifests), Counter[str]())
    merged = first.model_copy(
        update={
            "recipe": "+".join(m.recipe for m in manifests),
            "identity": identity,
            "conversations": sum(s.conversations for s in shards),
            "rows": sum(s.rows for s in shards),
            "failures": sum(s.failures for s in shards),
            "failures_by_reason": dict(sorted(reasons.items())),
            "shards": shards,
        }
    )
    write_json(out, merged.model_dump())
    return merged


def _shard_manifest(
    study: str, model: str, file: Path, count: _Counts, *, identity: dict[str, Any], recipe: str
) -> Manifest:
    shard = ShardCount(
        shard=file.stem,
        sha256=sha256(file),
        conversations=count.conversations,
        rows=count.rows,
        failures=sum(count.reasons.values()),
        input_tokens=0,
        output_tokens=0,
    )
    return Manifest(
        study=study,
        model=model,
        engine="imported",
        history="reference",
        recipe=recipe,
        identity=identity,
        conversations=shard.conversations,
        rows=shard.rows,
        failures=shard.failures,
        failures_by_reason=dict(sorted(count.reasons.items())),
        input_tokens=0,
        output_tokens=0,
        shards=[shard],
    )


def _public(path: str) -> str:
    """The file's public name, without where it lies here."""
    return path.removeprefix("results/downloads/")


def _prompt_row(conversation: _Merged, source: str, shard: str) -> dict[str, Any] | None:
    """A row of the prompt shards. Released answers are a model's; the original ones stay blank."""
    if conversation.prompts is None:
        return None
    messages = [{"role": "system", "content": conversation.system}] if conversation.system else []
    for prompt in conversation.prompts:
        messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": ""}]
    return {
        "conversation_id": conversation.id,
        "source": source,
        "source_id": conversation.source_id,
        "shard": shard,
        "language": conversation.language or "unknown",
        "n_turns": conversation.turns,
        "messages": messages[:-1],
        "tags": [],
    }


def _response_row(
    model: str,
    conversation: _Merged,
    turn: int,
    *,
    prompt: str,
    answer: Answer | None,
    missing: str | None,
    recipe: str,
) -> dict[str, Any]:
    failure = answer.failure if answer else missing
    text = answer.text if answer and failure is None else None
    return {
        "conversation_id": conversation.id,
        "turn": turn,
        "model": model,
        "history": "reference",
        "language": language_code(conversation.language),
        "prompt": prompt,
        "response": text,
        "failure": failure,
        "finish_reason": answer.finish_reason if answer else None,
        "truncation": "none",
        "attempts": 1,
        "input_tokens": None,
        "output_tokens": None,
        "response_language": None,
        "repetition": repetition(text) if text else None,
        "garbled": garbled(text) if text else None,
        "seed": None,
        "engine": "imported",
        "recipe": recipe,
    }


def _wrong_number(source: Import, files: Sequence[Imported], counts: Sequence[_Counts], found: int) -> str:
    held = [c.held for c in counts]
    usual = Counter(held).most_common(1)[0][0]
    odd = [f"{f.path} holds {n}" for f, n in zip(files, held, strict=True) if n != usual]
    detail = f"; {odd[0]}, most hold {usual}" if odd else ""
    return (
        f"import '{source.name}': {source.rows} prompts were expected, but the files hold {found} different "
        f"ones{detail}"
    )


def names_and_sizes(
    models: Mapping[str, Model], imported: Path | None = None
) -> tuple[dict[str, str], dict[str, float]]:
    """Slug → name and slug → parameters, where known.

    Args:
        models: the registry.
        imported: ``imports/models.csv``; its models are called as their release calls them, unless the
            registry has them.
    """
    names: dict[str, str] = {}
    sizes: dict[str, float] = {}
    if imported:
        for row in read_table(imported, MODELS).iter_rows(named=True):
            names[row["model"]] = row["released_name"]
            if row["parameters"] is not None:
                sizes[row["model"]] = row["parameters"] * 1e9
    names |= {slug: model.name for slug, model in models.items()}
    sizes |= {slug: float(model.parameters.total) for slug, model in models.items() if model.parameters}
    return names, sizes

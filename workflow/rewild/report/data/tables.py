"""Tables of a study's data: statistics (MAGPIE's Table 4), safety (Table 7), costs of 1,000 conversations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rewild.core.cells import COMPARED_CELLS, PUBLISHED_CELLS
from rewild.core.errors import DataError
from rewild.core.reading import read_json, read_model
from rewild.core.table import provenance, read_table
from rewild.generation.schema import Measurement
from rewild.measures.similarity.summary import Options
from rewild.measures.space.schema import SETS
from rewild.measures.summary import over_conversations
from rewild.report.data.numbers import Reader, about
from rewild.report.data.plan import Use
from rewild.report.tables.make import MadeTable
from rewild.report.tables.render import compared_grid
from rewild.report.tables.spec import ColumnSpec, TableSpec

Cell = dict[str, Any]
"""Of ``COMPARED_CELLS``: row, column, and what is known of it."""

TITLES = {
    "statistics": ("Prompts and responses of the sets", "Set", "Table 4"),
    "topics": ("Topic diversity", "Set", "Table 6"),
    "safety": ("Unsafe texts by category", "Category", "Table 7"),
    "contamination": ("Benchmark questions that a prompt is like", "Benchmark", "appendix D.5"),
    "costs": ("What 1,000 conversations cost", "Set", "section 3.4"),
}
COLUMNS = {
    "Conversations": ("Conversations among the study's prompts", "count", 0),
    "Turns": ("User turns", "count", 0),
    "Turns per conversation": ("User turns, mean over conversations", "turns", 2),
    "GPU hours of step 1": ("Writing the prompts, with samples that are no prompt", "hours × GPUs", 2),
    "GPU hours of step 2": ("Responses: the set's share of all that the model answered", "hours × GPUs", 2),
    "GPU hours": ("Both steps, loading included", "hours × GPUs", 2),
    "Dollars per GPU hour": ("Price", "US dollars", 2),
    "Dollars per 1,000": ("Both steps, per 1,000 conversations", "US dollars", 4),
}
"""Column → meaning, unit, decimals."""


@dataclass(frozen=True)
class Costs:
    """What costs are reckoned from.

    Attributes:
        answered: measurements of shards of responses.
        written: manifests of sources that a model wrote.
        price: dollars per GPU-hour; None: nobody says.
        source: where the price is from, or why there is none.
    """

    answered: Sequence[Path]
    written: Sequence[Path]
    price: float | None
    source: str

    def hours_of_prompts(self) -> dict[str, tuple[float | None, str | None]]:
        """Source → GPU-hours that its prompts took, or why they are not known."""
        return dict(map(_step1, self.written))

    def shards(self) -> dict[str, list[Measurement]]:
        """Model → its shards."""
        found: dict[str, list[Measurement]] = {}
        for path in self.answered:
            shard = read_model(path, Measurement, "the measurement of a shard")
            found.setdefault(shard.model, []).append(shard)
        return found


def cell(
    row: str, column: str, value: float | None, ci: float | None = None, note: str | None = None
) -> Cell:
    """A computed cell."""
    return {"row": row, "column": column, "computed": value, "computed_ci": ci, "note": note}


def statistics(uses: Sequence[Use], reader: Reader, options: Options) -> Iterator[Cell]:
    """How many conversations and turns a set has, and how long they are."""
    by_set: dict[str, list[Use]] = {}
    for use in uses:
        by_set.setdefault(use.set, []).append(use)
    for name, row in reader.sets.items():
        title = str(row.title)
        mine = reader.conversations(name)
        yield cell(title, "Conversations", mine.height)
        yield cell(title, "Turns", int(mine["n_turns"].sum()))
        yield cell(title, "Turns per conversation", float(mine["n_turns"].cast(pl.Float64).mean()))  # type: ignore[arg-type]
        whole: dict[str, int] = {}
        for use in by_set.get(name, ()):
            column = (
                f"{use.column.capitalize()} per {'prompt' if use.role == 'prompt_length' else 'response'}"
            )
            frame = reader.values(use)
            known = frame.filter(pl.col("value").is_not_null())
            failed = frame.height - known.height
            note = f"{failed:,} without a value" if failed else None
            if known.is_empty():
                yield cell(title, column, None, note=note or "no text")
                continue
            values = known["value"].to_numpy().astype(np.float64)[:, None]
            mean, low, high, _ = over_conversations(known["conversation_id"], values, options)
            half = None if np.isnan(low[0]) else float(high[0] - low[0]) / 2
            yield cell(title, column, float(mean[0]), half, note)
            whole[use.column] = whole.get(use.column, 0) + int(known["value"].sum())
        for unit, total in whole.items():
            if len(whole) == 1 and len(by_set[name]) == 2:
                yield cell(title, f"{unit.capitalize()}, all", total)


def topics(coverage: Sequence[Path]) -> Iterator[Cell]:
    """The mean cosine of all pairs of prompts of a set, in each projection: less is more varied."""
    for path in coverage:
        for row in read_table(path, SETS).iter_rows(named=True):
            lost = row["drawn"] - row["embedded"]
            note = f"{lost:,} without a vector" if lost else None
            yield cell(row["set"], path.parent.name, row["mean_cosine"], note=note)


def safety(uses: Sequence[Use], reader: Reader, options: Options, names: Mapping[str, str]) -> Iterator[Cell]:
    """The share of unsafe texts, and of each category among all texts (a text may have several).

    Args:
        uses: the measure, of each set.
        reader: reads it.
        options: of the bootstrap.
        names: of the guard's categories, by code; each has a row.
    """
    found: list[tuple[str, str, Cell]] = []
    codes = set(names)
    frames = {use: reader.values(use, ("categories",)) for use in uses}
    for use, whole in frames.items():
        frame = whole.filter(pl.col("value").is_not_null())
        failed = whole.height - frame.height
        note = f"{failed:,} without a value" if failed else None
        named = frame["categories"].fill_null("").str.split(",").list.eval(pl.element().str.strip_chars())
        mine = sorted(set(named.explode().drop_nulls()) - {""})
        codes |= set(mine)
        flags = {"Unsafe": frame["value"]} | {code: named.list.contains(code) for code in mine}
        if frame.is_empty():
            found.append((use.series, "Unsafe", cell("Unsafe", use.series, None, note=note or "no text")))
            continue
        values = np.column_stack([flag.cast(pl.Float64).to_numpy() for flag in flags.values()])
        mean, low, high, _ = over_conversations(frame["conversation_id"], values, options)
        for code, share, a, b in zip(flags, mean, low, high, strict=True):
            half = None if np.isnan(a) else 50 * float(b - a)
            row = f"{code}, {names[code]}" if code in names else code
            found.append((use.series, code, cell(row, use.series, 100 * float(share), half, note)))
    known = {(series, code): one for series, code, one in found}
    for code in ["Unsafe", *sorted(codes, key=_natural)]:
        row = f"{code}, {names[code]}" if code in names else code
        for use, whole in frames.items():
            if (use.series, code) in known:
                yield known[use.series, code]
            elif whole["value"].is_not_null().any():
                yield cell(row, use.series, 0.0)


def _natural(code: str) -> tuple[str, int]:
    """S2 before S10."""
    letters = code.rstrip("0123456789")
    return letters, int(code[len(letters) :] or 0)


def contamination(uses: Sequence[Use], reader: Reader) -> Iterator[Cell]:
    """How many different questions of each benchmark a prompt of a set is like, by the measure's limit."""
    more = ("benchmark", "question", "contaminated")
    frames = {use: reader.values(use, more) for use in uses}
    known = pl.concat([frame.select("benchmark") for frame in frames.values()])["benchmark"].drop_nulls()
    for benchmark in sorted(known.unique()):
        for use, whole in frames.items():
            failed = whole["value"].null_count()
            alike = whole.filter(pl.col("benchmark") == benchmark, pl.col("contaminated"))
            note = f"{failed:,} without a value" if failed else None
            yield cell(Path(benchmark).name, use.series, alike["question"].n_unique(), note=note)


def costs(reader: Reader, given: Costs) -> Iterator[Cell]:
    """GPU-hours of both steps, and what 1,000 conversations cost at a price."""
    written, shards = given.hours_of_prompts(), given.shards()
    for name, row in reader.sets.items():
        title, count = str(row.title), reader.conversations(name).height
        yield cell(title, "Conversations", count)
        steps: list[float | None] = []
        if row.source in written:
            hours, why = written[row.source]
            yield cell(title, "GPU hours of step 1", hours, note=why)
            steps.append(hours)
        hours, why = _step2(shards.get(row.responses or "", ()), count)
        yield cell(title, "GPU hours of step 2", hours, note=why)
        steps.append(hours)
        whole = None if None in steps else sum(hours for hours in steps if hours is not None)
        yield cell(title, "GPU hours", whole, note=None if whole is not None else "a step is not known")
        yield cell(title, "Dollars per GPU hour", given.price, note=given.source)
        if whole is None or given.price is None:
            why = "the GPU hours are not known" if whole is None else given.source
            yield cell(title, "Dollars per 1,000", None, note=why)
        else:
            yield cell(title, "Dollars per 1,000", 1000 * whole * given.price / count)


def _step1(manifest: Path) -> tuple[str, tuple[float | None, str | None]]:
    """A source, and what it took to write its prompts."""
    found = read_json(manifest, "the manifest of prompts that a model wrote")
    if not isinstance(found, dict) or "source" not in found:
        raise DataError(f"{manifest}: not the manifest of prompts that a model wrote")
    spent = found.get("spent")
    if not spent:
        return found["source"], (None, "the manifest of the prompts says nothing of time")
    if not all(step["gpus"] for step in spent):
        return found["source"], (None, "written without a GPU")
    return found["source"], (float(sum(step["gpu_hours"] for step in spent)), None)


def _step2(shards: Sequence[Measurement], count: int) -> tuple[float | None, str | None]:
    """What the responses of so many conversations took, at the rate of all that the model answered."""
    if not shards:
        return None, "the set has no responses"
    if not all(shard.gpus for shard in shards):
        return None, "answered without a GPU"
    hours = sum(shard.gpus * (shard.load_seconds + shard.generate_seconds) for shard in shards) / 3600
    answered = sum(shard.conversations for shard in shards)
    return (hours * count / answered, None) if answered else (None, "no conversation was answered")


def make(
    name: str,
    uses: Sequence[Use],
    reader: Reader,
    options: Options,
    *,
    published: Path,
    given: Costs | None = None,
    names: Mapping[str, str] | None = None,
    coverage: Sequence[Path] = (),
) -> MadeTable:
    """One table, ready to be written.

    Args:
        name: a key of :data:`TITLES`.
        uses: the measures it is made of.
        reader: reads them.
        options: of the bootstrap.
        published: what MAGPIE's text prints beside it (:data:`rewild.report.data.plan.PRINTED`).
        given: of the table `costs`.
        names: of the guard's categories, of the table `safety`.
        coverage: files coverage/NAME/sets.csv, of the table `topics`.
    """
    cells = {
        "statistics": lambda: list(statistics(uses, reader, options)),
        "safety": lambda: list(safety(uses, reader, options, names or {})),
        "topics": lambda: list(topics(coverage)),
        "contamination": lambda: list(contamination(uses, reader)),
        "costs": lambda: list(costs(reader, given)) if given else [],
    }[name]()
    printed = read_table(published, PUBLISHED_CELLS)
    own = {row.published: str(row.title) for row in reader.sets.values() if row.published}
    columns = {column: _spec(name, column) for column in dict.fromkeys(c["column"] for c in cells)}
    if name == "costs":
        cells = _beside(cells, printed, own, list(columns))
    frame = COMPARED_CELLS.frame([{c: one.get(c) for c in COMPARED_CELLS.columns} for one in cells], name)
    title, row, place = TITLES[name]
    note = _said(name, printed, own) + (f" Price: {given.source}." if given else "")
    spec = TableSpec.model_validate(
        {"title": title, "row": row, "place": place, "columns": list(columns), "computed_note": note}
    )
    grid = compared_grid(name, spec, columns, frame, published, own=True)
    files = [*reader.files.paths, *coverage, published, *([*given.answered, *given.written] if given else ())]
    made_from = provenance(files, **about(uses), seed=options.seed, resamples=options.resamples)
    made = f"Made by rewild {made_from['rewild']} from the files that {name}.csv-metadata.json names"
    comment = f"{name}: {title}\nBeside MAGPIE's {place}\n{made}"
    return MadeTable(frame, COMPARED_CELLS, grid, comment, made_from)


def _spec(table: str, column: str) -> ColumnSpec:
    unit, _, what = column.partition(" per ")
    meaning, of, digits = COLUMNS.get(column, (f"Mean over {what}s", unit.lower(), 1))
    if table == "topics":
        meaning, of, digits = f"Mean cosine of all pairs of prompts that '{column}' projects", "cosine", 4
    elif table == "safety":
        meaning, of, digits = "Share of the set's texts", "%", 2
    elif table == "contamination":
        meaning, of, digits = "Questions that some prompt of the set is like", "count", 0
    elif column.endswith(", all"):
        meaning, of, digits = "Prompts and responses together", "count", 0
    return ColumnSpec.model_validate({"meaning": meaning, "unit": of, "digits": digits})


def _beside(
    cells: Sequence[Cell], printed: pl.DataFrame, names: Mapping[str, str], columns: Sequence[str]
) -> list[Cell]:
    """The published numbers: in the row of the set that is the paper's, or in rows of their own."""
    found = [dict(one) for one in cells]
    at = {(one["row"], one["column"]): one for one in found}
    for old in printed.filter(
        pl.col("column").is_in(list(columns)), pl.col("value").is_not_null()
    ).to_dicts():
        row = names.get(old["row"], f"{old['row']}, published")
        one = at.get((row, old["column"]))
        if one is None:
            one = {"row": row, "column": old["column"], "computed": None}
            found.append(one)
        one |= {"published": old["value"], "digits": old["digits"], "printed": old["printed"]}
        if one["computed"] is not None:
            half = 0.5 * 10.0 ** -old["digits"]
            one["difference"] = round(one["computed"] - old["value"], 12)
            one["within_rounding"] = abs(one["difference"]) <= half * (1 + 1e-9)
    return found


def _said(name: str, printed: pl.DataFrame, names: Mapping[str, str]) -> str:
    """What the paper's text prints, where it is no number of a cell."""
    if name == "statistics":
        sizes = printed.filter(pl.col("column") == "Conversations").select("row", "printed").rows()
        own = "".join(f" {title} is its {row}." for row, title in names.items())
        return "The paper prints, of conversations: " + ", ".join(f"{r} {p}" for r, p in sizes) + f".{own}"
    stated = dict(printed.select("row", "printed").iter_rows())
    if name == "topics":
        return "Less is more varied. The numbers of the paper's Table 6 are lost."
    if name == "contamination":
        most = stated.get("Most AlpacaEval 2 questions affected by contamination")
        limit = stated.get("Cosine similarity above which an instruction is contaminated")
        said = (
            f"The paper's text says none of Arena-Hard, and at most {most} of AlpacaEval 2 (above {limit})."
        )
        return f"A prompt counts for its nearest question alone. {said}"
    if name == "safety":
        less = stated.get("Unsafe data, both sets")
        return (
            f"The paper's text says {less} of Air and of Pro; the shares of its Table 7 are lost."
            if less
            else ""
        )
    return ""

"""`rewild status`: how far models and sources of prompts are, from finished shards and chunks under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from rich.console import Console

from rewild.config.prompts import shard_name, shard_names
from rewild.config.study import Study
from rewild.config.synthesis import Synthesis
from rewild.core.errors import ConfigError, DataError
from rewild.core.locks import is_locked
from rewild.core.reading import faults, parse_json, read_json, read_model
from rewild.core.terminal import output, print_table
from rewild.generation.respond import Cost, cost_of
from rewild.generation.rows import reason_of
from rewild.generation.schema import Measurement
from rewild.prompts.synthesis.schema import Measured
from rewild.prompts.synthesis.spec import syntheses_of
from rewild.responses.layout import Layout


@dataclass
class Progress:
    """The progress of one model, or of one source of prompts that models write.

    Attributes:
        model: its name.
        pilot: ``passed``, ``failed`` or ``-``.
        shards, done, running: how many shards there are, are finished, are being worked on.
        rows: user turns in all, None while prompts are not there yet; of a source, its samples in each step.
        answered, failed: rows with an answer, rows with a recorded failure, in finished shards and chunks.
        tokens, seconds: generated and read; spent generating.
        reasons: of the failures, counted.
    """

    model: str
    pilot: str = "-"
    shards: int = 0
    done: int = 0
    running: int = 0
    rows: int | None = None
    answered: int = 0
    failed: int = 0
    tokens: int = 0
    seconds: float = 0.0
    collected: bool = False
    problems: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def tokens_per_second(self) -> float | None:
        """Input and output tokens per second of generation."""
        return self.tokens / self.seconds if self.seconds else None

    @property
    def seconds_left(self) -> float | None:
        """From the seconds per row so far, shared by the shards that run now (one, if none does)."""
        made = self.answered + self.failed
        if self.rows is None or not made or not self.seconds:
            return None
        return max(self.rows - made, 0) * self.seconds / made / max(self.running, 1)


def progress(study: Study, results: Path) -> list[Progress]:
    """Look at the files of every source of a study that models write, and of every model.

    Raises:
        ConfigError: the study generates nothing.
    """
    sources = [_source(source, results / study.name) for source in syntheses_of(study)]
    if study.responses is None:
        if sources:
            return sources
        raise ConfigError(f"study {study.name} has no section 'responses': nothing is generated in it")
    layout = Layout(results, study.name)
    shards = shard_names(study.prompts) if study.prompts else _found(layout)
    origins = {model: tuple(study.responses.origins_of(model)) for model in study.responses.models}
    expected = {asked: _expected(layout, shards, asked) for asked in set(origins.values())}
    return sources + [_model(layout, model, shards, expected[asked]) for model, asked in origins.items()]


def _found(layout: Layout) -> list[str]:
    return sorted(p.stem for p in layout.prompts("x").parent.glob("[!.]*.parquet"))


def _expected(layout: Layout, shards: Sequence[str], origins: Sequence[str]) -> int | None:
    files = [layout.prompts(shard) for shard in shards]
    if not files or not all(f.exists() for f in files):
        return None
    with faults(files[0].parent, "shards of prompts"):
        asked = pl.scan_parquet(files).filter(pl.col("source").is_in(origins) if origins else pl.lit(True))
        return int(asked.select(pl.col("n_turns").cast(pl.Int64).sum()).collect().item())


def _model(layout: Layout, model: str, shards: Sequence[str], expected: int | None) -> Progress:
    found = Progress(model, shards=len(shards), rows=expected)
    parts = [(layout.responses(model) / f"{shard}.json", layout.work(model, shard)) for shard in shards]
    _look(found, parts, Measurement, layout.pilot(model) / "report.json")
    found.collected = (layout.responses(model) / "manifest.json").exists()
    return found


def _source(source: Synthesis, study: Path) -> Progress:
    """Prompts that a model writes: a shard is to be done in each step, a sample to be gone through."""
    name, steps = f"{source.name} ({source.model})", range(len(source.steps))
    found = Progress(name, shards=source.shards * len(steps), rows=source.count * len(steps))
    folder, work = (study / place / source.name for place in ("synthesis", "work/synthesis"))
    parts = [
        (folder / f"{step}/{shard_name(n)}.json", work / f"{step}/{shard_name(n)}")
        for step in steps
        for n in range(source.shards)
    ]
    _look(found, parts, Measured, folder / "pilot/report.json")
    found.collected = (folder / "manifest.json").exists()
    return found


def _look(found: Progress, parts: Sequence[tuple[Path, Path]], kind: type[Measurement], report: Path) -> None:
    """Add what shards measured, or else their chunks: of each, its measurement and its folder of chunks."""
    if report.exists():
        found.pilot = "passed" if _passed(report) else "failed"
    for measured, work in parts:
        if measured.exists() and measured.with_suffix(".parquet").exists():
            m = read_model(measured, kind, "a measurement")
            found.done += 1
            _add(found, m.rows, m.failures, m.input_tokens + m.output_tokens, m.generate_seconds)
            found.reasons += _reasons(measured.with_suffix(".parquet"), m.failures)
            continue
        for recipe in _newest(work):
            found.running += is_locked(recipe)
            for chunk in sorted(recipe.glob("[!.]*.parquet")):
                cost = _cost(chunk)
                _add(
                    found,
                    cost.rows,
                    cost.failures,
                    cost.input_tokens + cost.output_tokens,
                    cost.generate_seconds,
                )
                found.reasons += _reasons(chunk, cost.failures)


def _passed(report: Path) -> bool:
    found = read_json(report, "a pilot's report")
    return isinstance(found, dict) and found.get("passed") is True


def _newest(work: Path) -> list[Path]:
    """The folder of the recipe that was worked on last; chunks of older recipes do not count."""
    folders = [p for p in work.glob("*") if p.is_dir()]
    return [max(folders, key=lambda p: p.stat().st_mtime)] if folders else []


def _cost(chunk: Path) -> Cost:
    try:  # metadata only: whether the rows are whole is looked at by who needs them
        with faults(chunk):
            return cost_of(parse_json(pl.read_parquet_metadata(chunk)["rewild"], chunk), chunk)
    except (DataError, KeyError):
        return Cost()


def _reasons(file: Path, failures: int) -> Counter[str]:
    """Why rows failed, counted; only a file that has failures is read."""
    if not failures:
        return Counter()
    try:
        with faults(file):
            rows = pl.scan_parquet(file).select(pl.col("failure").drop_nulls()).collect()
    except DataError:  # who needs the rows says what is wrong with them
        return Counter()
    return Counter(map(reason_of, rows["failure"]))


def _add(found: Progress, rows: int, failures: int, tokens: int, seconds: float) -> None:
    found.answered += rows - failures
    found.failed += failures
    found.tokens += tokens
    found.seconds += seconds


def print_status(study: Study, results: Path, console: Console | None = None) -> None:
    """Print :func:`progress` as a table."""
    columns = "model | pilot 4> | shards 2> | running 6> | rows 7> | done 1> | failed 3> | tok/s 8> | left 5>"
    rows, styles = [], []
    found = progress(study, results)
    for p in found:
        made = p.answered + p.failed
        rows.append(
            (
                p.model,
                p.pilot,
                f"{p.done}/{p.shards}",
                str(p.running),
                f"{p.rows:,}" if p.rows is not None else "-",
                f"{made / p.rows:.0%}" if p.rows else "-",
                f"{p.failed:,}",
                f"{p.tokens_per_second:,.0f}" if p.tokens_per_second else "-",
                "-" if p.done == p.shards else duration(p.seconds_left),
            )
        )
        styles.append("red" if p.pilot == "failed" else "green" if p.collected else None)
    title = f"{study.name}: {study.title}"
    print_table(columns, rows, title=title, styles=styles, console=console)
    for p in found:
        if p.reasons:
            said = ", ".join(f"{count:,} {reason}" for reason, count in p.reasons.most_common())
            output(console).print(f"{p.model}: failed: {said}", markup=False, highlight=False)


def duration(seconds: float | None) -> str:
    """``45 s``, ``12 min``, ``3.5 h``, ``2.1 d``; ``-`` if unknown."""
    if seconds is None:
        return "-"
    for unit, size, digits in (("d", 86400, 1), ("h", 3600, 1), ("min", 60, 0)):
        if seconds >= (2 * size if unit == "d" else size):
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"

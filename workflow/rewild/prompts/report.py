"""The account of a preparation: rows in = rows kept + rows dropped, each for a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.prompts import Prompts
from rewild.core.files import write_json, write_text
from rewild.core.markdown import Markup, table
from rewild.core.markdown import text as escape
from rewild.core.table import write_table
from rewild.prompts.filters import step_lines
from rewild.prompts.passes import FILTERS, Settled, Sifted, Work
from rewild.prompts.schema import FAILURES, REPORT
from rewild.prompts.sources import Task

MEASURED = "filters"
"""The reason of a row that a source's conditions on measures leave out."""
REASONS = ("malformed", *FILTERS, "duplicate_first_message", "duplicate_conversation", MEASURED, "limit")
"""Every reason for dropping a row, in the order in which they are tried."""

FILES = ("failures.parquet", "report.csv", "report.csv-metadata.json", "report.md", "report.json")


def account(
    work: Work,
    tasks: Sequence[Task],
    sifted: Sequence[Sifted],
    duplicates: Mapping[int, Counter[str]],
    settled: Sequence[Settled],
) -> dict[str, Any]:
    """Add up what the passes counted.

    Raises:
        RuntimeError: rows are missing or counted twice.
    """
    kept, equal = _total(part.kept for part in settled), _total(part.equal for part in settled)
    sources: dict[str, dict[str, Any]] = {}
    for index, source in enumerate(work.prompts.sources):
        outcomes = _total(
            part.outcomes for task, part in zip(tasks, sifted, strict=True) if task.source == index
        )
        outcomes.update(duplicates[index])
        outcomes["duplicate_conversation"] += equal[source.name]
        dropped = {reason: outcomes[reason] for reason in REASONS if outcomes[reason]}
        sources[source.name] = {"read": outcomes["read"], "kept": kept[source.name], "dropped": dropped}
        if outcomes["read"] != kept[source.name] + sum(dropped.values()):
            raise RuntimeError(f"the rows of '{source.name}' do not add up: {sources[source.name]}")
    repeated = _total(part.repeated for part in sifted)
    benchmarks = work.benchmarks.files if work.benchmarks else []
    dropped = _total(Counter(source["dropped"]) for source in sources.values())
    return {
        "rows_in": sum(source["read"] for source in sources.values()),
        "kept": kept.total(),
        "dropped": {reason: dropped[reason] for reason in REASONS if dropped[reason]},
        "sources": sources,
        "failures": _sorted(Counter(failure[1] for part in sifted for failure in part.failures)),
        "contaminated_by": _sorted(Counter({benchmarks[i]: n for i, n in repeated.items()})),
        **counts_of(settled),
    }


def counts_of(settled: Sequence[Settled]) -> dict[str, Any]:
    """What is counted of the conversations that are kept."""
    return {
        "languages": _sorted(_total(part.languages for part in settled)),
        "turns": {str(n): rows for n, rows in sorted(_total(part.turns for part in settled).items())},
        "tags": _sorted(_total(part.tags for part in settled)),
        "shards": dict(sorted((name, n) for part in settled for name, n in part.shards.items())),
    }


def _total(counters: Iterable[Counter[Any]]) -> Counter[Any]:
    result: Counter[Any] = Counter()
    for counter in counters:
        result.update(counter)
    return result


def _sorted(counter: Counter[str]) -> dict[str, int]:
    """Most frequent first; equals by name."""
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def summary(report: dict[str, Any]) -> str:
    """The account in one line."""
    dropped = ", ".join(f"{reason} {rows:,}" for reason, rows in report["dropped"].items())
    return f"{report['rows_in']:,} rows = {report['kept']:,} kept + dropped: {dropped or 'none'}"


def failures(prompts: Prompts, tasks: Sequence[Task], sifted: Sequence[Sifted]) -> pl.DataFrame:
    """The rows that are not conversations, as :data:`FAILURES` has them."""
    rows = [
        (prompts.sources[task.source].name, task.file, *failure)
        for task, part in zip(tasks, sifted, strict=True)
        for failure in part.failures
    ]
    return pl.DataFrame(rows, schema=FAILURES.dtypes, orient="row").sort("source", "file", "line")


def write_about(
    folder: Path, report: dict[str, Any], failures: pl.DataFrame, made_from: dict[str, Any]
) -> None:
    """Write :data:`FILES`."""
    rows = []
    reasons = [reason for reason in REASONS if reason != MEASURED or MEASURED in report]
    everything = {"all": {"read": report["rows_in"], "kept": report["kept"], "dropped": report["dropped"]}}
    for name, source in (everything | report["sources"]).items():
        rows += [(name, "read", source["read"]), (name, "kept", source["kept"])]
        rows += [(name, reason, source["dropped"].get(reason, 0)) for reason in reasons]
    write_table(folder / "report.csv", pl.DataFrame(rows, REPORT.dtypes, orient="row"), REPORT, made_from)
    write_table(folder / "failures.parquet", failures, FAILURES, made_from)
    write_text(folder / "report.md", _markdown(report))
    write_json(folder / "report.json", report | {"provenance": made_from})


def _markdown(report: dict[str, Any]) -> str:
    names = report["sources"]
    lines = [
        f"# Prompts of the study {escape(report['study'])}",
        "",
        f"{report['rows_in']:,} conversations read, {report['kept']:,} kept,",
        f"in {len(report['shards'])} shards. A row is counted under the first reason that applies.",
        "",
    ]
    sources = list(report["sources"].values())
    rows = [
        ("read", *(s["read"] for s in sources), report["rows_in"]),
        *(
            (f"dropped: {reason.replace('_', ' ')}", *(s["dropped"].get(reason, 0) for s in sources), dropped)
            for reason, dropped in report["dropped"].items()
        ),
        (Markup("**kept**"), *(s["kept"] for s in sources), report["kept"]),
    ]
    lines += table(("", *names, "all"), rows)
    if MEASURED in report:
        lines += ["", "## Filters over measures", "", "In this order, before the limit.", ""]
        lines += step_lines(report[MEASURED])
    for title, key in (
        ("Languages", "languages"),
        ("User turns", "turns"),
        ("Tags", "tags"),
        ("Malformed rows (failures.parquet says where)", "failures"),
        ("Benchmarks that prompts repeat", "contaminated_by"),
    ):
        if report[key]:
            lines += ["", f"## {title}", "", *table(" | rows", report[key].items())]
    return "\n".join(lines) + "\n"

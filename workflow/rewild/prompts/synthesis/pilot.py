"""The pilot of a source that a model writes: some samples of every setting, and the gates that they pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import polars as pl

from rewild.config.synthesis import Synthesis
from rewild.core.table import provenance, write_table
from rewild.generation.pilot import PilotReport, Row, gate, write_report
from rewild.generation.rows import reason_of
from rewild.prompts.synthesis.collect import by_reason, without_copies
from rewild.prompts.synthesis.schema import SAMPLES
from rewild.prompts.synthesis.write import Scribe, write_samples

WHAT = {
    "failed": "samples that are no prompt",
    "empty": "samples without text",
    "cut_off": "samples that did not end within the limit",
    "answers": "samples that answer instead of asking",
    "role_confusion": "samples in which another role speaks",
    "template_tokens": "samples that spell out the template's tokens",
    "repetitive": "samples in which most of the 4-grams repeat",
    "garbled": "samples with characters that are no text",
    "wrong_language": "samples in another language than was asked for",
    "open_fence": "samples with a code fence that is never closed",
    "repeated": "samples that are an earlier one",
}


def run_pilot(scribe: Scribe, work: Path, folder: Path) -> PilotReport:
    """Write the first samples and judge them; writes ``report.json``, ``report.md``, ``samples.parquet``.

    Args:
        scribe: the model.
        work: folder of the pilot's chunks.
        folder: ``results/{study}/synthesis/SOURCE/pilot``.
    """
    rows, _ = write_samples(scribe, range(scribe.source.pilot_samples), work / scribe.model.digest)
    rows = without_copies(rows, scribe.source.near_copy, scribe.source.pool)
    report = judge(scribe, rows)
    write_table(folder / "samples.parquet", rows, SAMPLES, provenance([], recipe=scribe.model.digest))
    write_report(report, folder)
    return report


def judge(scribe: Scribe, frame: pl.DataFrame) -> PilotReport:
    """Hold the samples against the gates."""
    source, limits = scribe.source, scribe.source.pilot.gates
    rows = [_shown(source, row) for row in frame.to_dicts()]

    def fails(name: str) -> Callable[[Row], str | None]:
        return lambda row: row["failure"] if name in ("failed", reason_of(row["failure"] or "")) else None

    gates = [gate(name, what, rows, getattr(limits, name), fails(name)) for name, what in WHAT.items()]
    barren = _settings(rows)
    gates.append(
        gate("barren", "settings that yield no prompt", barren, limits.barren, lambda row: row["failure"])
    )
    return PilotReport(
        study=scribe.model.spec.study,
        model=f"{source.name}, written by {scribe.model.spec.model}",
        recipe=scribe.model.digest,
        passed=all(g.passed for g in gates),
        conversations=len(rows),
        rows=len(rows),
        template_problems=[],
        warnings=scribe.traits(),
        gates=gates,
        profile=_profile(scribe, frame),
        settings=scribe.model.identity,
    )


def _shown(source: Synthesis, row: Row) -> Row:
    setting = f"temperature {row['temperature']:g}, top-p {row['top_p']:g}, top-k {row['top_k']}"
    name = f"{source.name}/{row['number']}"
    return {**row, "conversation_id": name, "turn": 0, "prompt": setting, "response": row["text"] or None}


def _settings(rows: list[Row]) -> list[Row]:
    """A row for each setting; with a failure where none of its samples is a prompt."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["prompt"], []).append(row)
    return [
        {**some[0], "failure": None if any(r["failure"] is None for r in some) else f"0 of {len(some)}"}
        for some in found.values()
    ]


def _profile(scribe: Scribe, frame: pl.DataFrame) -> dict[str, Any]:
    kept = frame.filter(pl.col("failure").is_null())
    texts = kept["text"].to_list()
    return {
        "template": scribe.template(),
        "failures": by_reason(frame["failure"]),
        "stopped": by_reason(kept["stopped"]),
        "prompts": kept.height,
        "characters_mean": round(mean(map(len, texts)), 1) if texts else None,
        "languages": dict(
            kept["language"].fill_null("too short to tell").value_counts(sort=True).iter_rows()
        ),
    }

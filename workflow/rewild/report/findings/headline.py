"""The headline table: every run of a study on every benchmark, and the average."""

from __future__ import annotations

from typing import Any

from rewild.evaluation.scores.average import VARIANTS
from rewild.evaluation.scores.bootstrap import half_width
from rewild.evaluation.scores.collect import COLUMN_OF, OWN
from rewild.report.findings.grounds import Grounds


def headline_table(grounds: Grounds) -> dict[str, Any]:
    """Plain data: ``average`` (what it is), ``columns``, and ``rows`` with ``label``, ``run`` and ``cells``.

    A cell has ``value`` (null without a score), ``half`` (of the 95 % interval), ``digits`` and ``note``.
    """
    head, variant = grounds.head, grounds.head.usual()
    rows = []
    for entry in grounds.roster.entries:
        if entry.run not in grounds.scored:
            continue
        cells = []
        for slug, benchmark in head.benchmarks.items():
            row = head.row(entry.run, slug)
            cells.append(
                {
                    "value": row["value"] if row else None,
                    "half": half_width(row["stderr"]) if row else None,  # type: ignore[arg-type]
                    "digits": 3 if benchmark.scale.max == 1 else 2,
                    "note": describe(row) if row else "not evaluated",
                }
            )
        found = head.average(entry.run, variant)
        value, stderr = found or (None, None)
        note = "" if found else "a score is missing"
        cells.append({"value": value, "half": half_width(stderr), "digits": 3, "note": note})
        rows.append({"run": entry.run, "label": entry.label, "kind": entry.kind, "cells": cells})
    meaning = "all benchmarks of the study" if variant == OWN else VARIANTS[variant].meaning
    return {
        "average": {"name": variant, "meaning": f"mean of {meaning}, each on a scale of 0–1"},
        "columns": [b.title for b in head.benchmarks.values()] + [COLUMN_OF[variant]],
        "best": [b.higher_is_better for b in head.benchmarks.values()] + [True],
        "rows": rows,
    }


def describe(row: dict[str, Any]) -> str:
    """What a reader should know about a score: items, failures, empty answers, judge."""
    failed = row["attempted"] - row["n"]
    notes = [f"{row['n']} items"] if not failed else [f"{row['n']} of {row['attempted']} items have a score"]
    if row["empty"]:
        notes.append(f"{row['empty']} empty answers")
    if row["judge"]:
        notes.append(f"judge {row['judge']}")
    return "; ".join(notes)


def shown(cell: dict[str, Any]) -> str:
    """``0.412 ± 0.031``, or an en dash."""
    if cell["value"] is None:
        return "–"
    text = f"{cell['value']:.{cell['digits']}f}"
    if cell["half"] is not None:
        text += f" ± {cell['half']:.{cell['digits']}f}"
    return text.replace("-", "−")

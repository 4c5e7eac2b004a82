"""The report of a pilot: what was counted, what it may be at most, examples; for answers and for prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rewild.config.base import Strict
from rewild.core.errors import DataError
from rewild.core.files import write_json, write_text
from rewild.core.markdown import Markup, block, code, table
from rewild.core.markdown import text as escape
from rewild.core.reading import read_model

Row = dict[str, Any]
EXAMPLES, EXCERPT = 3, 240


class Example(Strict):
    """One row that a gate counted."""

    conversation_id: str
    turn: int
    why: str
    prompt: str
    response: str | None


class Gate(Strict):
    """One thing that was checked."""

    name: str
    what: str
    count: int
    of: int
    share: float
    limit: float
    passed: bool
    examples: list[Example]


class PilotReport(Strict):
    """What a pilot found."""

    study: str
    model: str
    recipe: str
    passed: bool
    conversations: int
    rows: int
    template_problems: list[str]
    warnings: list[str]
    gates: list[Gate]
    profile: dict[str, Any]
    settings: dict[str, Any]


def gate(name: str, what: str, rows: list[Row], limit: float, why: Callable[[Row], str | None]) -> Gate:
    """One gate: how many of some rows it counts.

    Args:
        name: of the gate.
        what: it counts.
        rows: with ``conversation_id``, ``turn``, ``prompt`` and ``response``.
        limit: the largest share.
        why: the reason that a row counts; None where it does not.
    """
    hits = [(row, reason) for row in rows if (reason := why(row)) is not None]
    share = len(hits) / len(rows) if rows else 0.0
    return Gate(
        name=name,
        what=what,
        count=len(hits),
        of=len(rows),
        share=share,
        limit=limit,
        passed=share <= limit,
        examples=[
            Example(
                conversation_id=row["conversation_id"],
                turn=row["turn"],
                why=reason[:EXCERPT],
                prompt=_excerpt(row["prompt"]),
                response=_excerpt(row["response"]) if row["response"] else None,
            )
            for row, reason in hits[:EXAMPLES]
        ],
    )


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"


def read_report(path: Path) -> PilotReport:
    """Read ``report.json``.

    Raises:
        DataError: missing, or not a pilot's report.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file (run `rewild pilot` first)")
    return read_model(path, PilotReport, "a pilot's report")


def judged_now(report: PilotReport, allowed: Mapping[str, float]) -> PilotReport:
    """A pilot's report, its counts held against the shares that are allowed now.

    Args:
        report: what a pilot found.
        allowed: gate → largest share; a gate that is not named keeps its own.
    """
    gates = []
    for gate in report.gates:
        limit = allowed.get(gate.name, gate.limit)
        gates.append(gate.model_copy(update={"limit": limit, "passed": gate.share <= limit}))
    passed = all(gate.passed for gate in gates) and not report.template_problems
    return report.model_copy(update={"gates": gates, "passed": passed})


def why_failed(report: PilotReport) -> str:
    """One message: which gates failed, with an example each."""
    lines = [f"the pilot of {report.model} failed; no shard of it will start"]
    lines += [f"  template: {problem}" for problem in report.template_problems]
    for gate in report.gates:
        if gate.passed:
            continue
        lines.append(
            f"  {gate.name}: {gate.count} of {gate.of} ({gate.share:.0%}; at most {gate.limit:.0%}) "
            f"{gate.what}"
        )
        if gate.examples:
            first = gate.examples[0]
            shown = repr(_clip(first.response)) if first.response is not None else "no answer"
            lines.append(
                f"    {first.conversation_id}/{first.turn}: {first.why}: {_clip(first.prompt)!r} → {shown}"
            )
    lines.append("Read its report.md; then mend the model's settings, or raise the gate in its pilot.gates")
    return "\n".join(lines)


def _clip(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "…"


def as_markdown(report: PilotReport) -> str:
    """The report for a reader."""
    verdict = "passed" if report.passed else "FAILED"
    failed = {True: "", False: Markup("**failed**")}
    gates = (
        (f"{g.name}: {g.what}", f"{g.count} of {g.of}", f"{g.share:.1%}", f"{g.limit:.1%}", failed[g.passed])
        for g in report.gates
    )
    lines = [
        f"# Pilot of {escape(report.model)} in {escape(report.study)}: {verdict}",
        "",
        f"{report.conversations} conversations, {report.rows} user turns; recipe `{report.recipe}`.",
        "",
        *table("gate | counted | share | at most | ", gates, "->>>-"),
    ]
    lines += ["", *(f"- Template: {escape(p)}" for p in report.template_problems or ["no problem found"])]
    lines += [f"- Warning: {escape(w)}" for w in report.warnings]
    lines += ["", "## What its answers are like", ""]
    lines += [f"- {escape(name)}: {escape(value)}" for name, value in report.profile.items()]
    lines += ["", "## Settings", ""]
    lines += [f"- {escape(name)}: {escape(value)}" for name, value in report.settings.items()]
    for g in report.gates:
        if not g.examples:
            continue
        lines += ["", f"## Examples: {escape(g.name)}", ""]
        for e in g.examples:
            lines += [f"{code(e.conversation_id)}, turn {e.turn}: {escape(e.why)}", ""]
            lines += [*block(e.prompt), *block(e.response if e.response is not None else "(no answer)")]
    return "\n".join(lines) + "\n"


def write_report(report: PilotReport, folder: Path) -> None:
    """Write ``report.md`` and ``report.json``."""
    write_text(folder / "report.md", as_markdown(report))
    write_json(folder / "report.json", report.model_dump())

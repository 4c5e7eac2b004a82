"""The audit's files: JSON for programs, Markdown for repositories, HTML for readers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from rewild.audit.claims import Importance, Result, counts
from rewild.audit.evidence import Evidence
from rewild.audit.outcome import VERDICTS
from rewild.core.escape import page
from rewild.core.files import read_report, sha256, write_json, write_text
from rewild.core.markdown import table
from rewild.core.markdown import text as escape
from rewild.core.table import provenance

SCHEMA = {"schema": "audit", "version": 2}
MARKS = {"contradicted": "✗", "reproduced_otherwise": "≈", "reproduced": "✓", "not_testable": "–"}
MEANINGS = {
    "contradicted": "the numbers computed from the tables or released files differ from the statement",
    "reproduced_otherwise": "the statement follows, but from another definition than the paper gives",
    "reproduced": "the statement follows as written",
    "not_testable": "no check is written, or this study lacks the evidence, or the evidence does not decide",
}
SAID = ("id", "section", "place", "says", "kind", "importance", "published")
FOUND = ("verdict", "computed", "definition", "explanation")
MARKDOWN_ROWS = 12  # evidence shown in Markdown; JSON and HTML hold all of it


def as_data(
    results: Sequence[Result], evidence: Evidence, study: str, claims: Path, paper: Mapping[str, str]
) -> dict[str, Any]:
    """The whole audit as plain data, in the order of the claims file.

    Args:
        results: of every claim.
        evidence: what they were checked on.
        study: its name.
        claims: the claims file.
        paper: ``name`` and ``cite`` of the paper.
    """
    return {
        **SCHEMA,
        "study": study,
        "paper": dict(paper),
        "provenance": {**provenance([claims]), "evidence": digests(evidence)},
        "counts": counts(results),
        "claims": [
            {
                **{key: getattr(r.claim, key) for key in SAID},
                **{key: getattr(r.outcome, key) for key in FOUND},
                "check": r.claim.check,
                "with": r.claim.with_,
                "code": r.code,
                "evidence": [asdict(fact) for fact in r.outcome.evidence],
            }
            for r in results
        ],
    }


def digests(evidence: Evidence) -> dict[str, str]:
    """Name of the evidence → SHA-256: of the file, or of the names and SHA-256 of a folder's files."""
    found = {}
    for name, path in sorted(evidence.files.items()):
        if path.is_file():
            found[name] = sha256(path)
            continue
        lines = [f"{p.name} {sha256(p)}\n" for p in sorted(path.iterdir()) if p.suffix in {".csv", ".html"}]
        found[name] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return found


def write(data: dict[str, Any], folder: Path) -> None:
    """Write ``audit.json``, ``audit.md`` and ``audit.html``: the same data, the same bytes."""
    write_json(folder / "audit.json", data)
    write_text(folder / "audit.md", markdown(data))
    write_text(folder / "audit.html", html(data))


def read(path: Path) -> dict[str, Any]:
    """Read an ``audit.json``.

    Raises:
        DataError: it is not one, or is of another version.
    """
    return read_report(path, SCHEMA, "an audit")


def by_importance(data: dict[str, Any], verdict: str) -> list[dict[str, Any]]:
    """The claims with a verdict: headlines, then supporting ones, then details, each in the file's order."""
    order = get_args(Importance)
    chosen = [c for c in data["claims"] if c["verdict"] == verdict]
    return sorted(chosen, key=lambda c: order.index(c["importance"]))


def markdown(data: dict[str, Any]) -> str:
    """The audit as Markdown (GitHub's), the contradicted claims first."""
    lines = [
        f"# The paper's claims, checked on study {escape(data['study'])}",
        "",
        f"{escape(data['paper']['cite'])}. Places of code are in "
        f"workflow/rewild/papers/{escape(data['paper']['name'])}.",
        "",
        *table(
            "verdict | claims | meaning",
            ((f"{MARKS[v]} {name}", data["counts"][v], MEANINGS[v]) for v, name in VERDICTS.items()),
            "->-",
        ),
    ]
    for verdict, name in VERDICTS.items():
        chosen = by_importance(data, verdict)
        if chosen:
            lines += ["", f"## {MARKS[verdict]} {name}"]
        for claim in chosen:
            lines += ["", *_markdown_claim(claim)]
    return "\n".join(lines) + "\n"


def _markdown_claim(claim: dict[str, Any]) -> list[str]:
    lines = [
        f"### {escape(claim['id'])}",
        "",
        f"{escape(claim['says'])} ({escape(claim['section'])}; {escape(claim['place'])})",
        "",
        f"- published: {escape(claim['published'])}",
    ]
    if claim["computed"] != "—":
        lines.append(f"- computed: {escape(claim['computed'])}")
        lines.append(f"- definition: {escape(claim['definition'])}")
    lines.append(f"- {escape(claim['explanation'])}")
    if claim["code"]:
        given = f", with {escape(json.dumps(claim['with'], ensure_ascii=False))}" if claim["with"] else ""
        lines.append(f"- check: {escape(claim['check'])} in {escape(claim['code'])}{given}")
    rows = claim["evidence"]
    if rows:
        shown = ((f["what"], f["value"], f"{f['source']}: {f['place']}") for f in rows[:MARKDOWN_ROWS])
        lines += ["", *table("evidence | value | where", shown, "-")]
        if len(rows) > MARKDOWN_ROWS:
            lines += ["", f"… and {len(rows) - MARKDOWN_ROWS} more in audit.json and audit.html."]
    return lines


def html(data: dict[str, Any]) -> str:
    """The audit as one page: no script, no outside resource, its own style allowed by hash."""
    bars = "\n" + "\n".join(f".bar .{v} {{ flex-grow: {n} }}" for v, n in data["counts"].items())
    return page(
        "rewild.audit",
        bars,
        data=data,
        verdicts=VERDICTS,
        marks=MARKS,
        meanings=MEANINGS,
        contradicted=by_importance(data, "contradicted"),
    )

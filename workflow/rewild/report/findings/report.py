"""The findings' files: JSON for programs, Markdown for repositories, HTML for readers (the report)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewild.core.escape import page
from rewild.core.files import read_report, write_json, write_text
from rewild.core.markdown import table
from rewild.core.markdown import text as escape
from rewild.report.findings.grounds import Finding, Grounds, show
from rewild.report.findings.headline import headline_table, shown

SCHEMA = {"schema": "findings", "version": 1}


def as_data(
    study: str, title: str, findings: Sequence[Finding], grounds: Grounds, made_from: Any
) -> dict[str, Any]:
    """All of it as plain data."""
    return {
        **SCHEMA,
        "study": study,
        "title": title,
        "provenance": made_from,
        "headline": headline_table(grounds),
        "findings": [
            {
                "id": f.id,
                "title": f.title,
                "place": f.place,
                "paper": f.paper,
                "statement": f.statement or None,
                "missing": f.missing or None,
                "note": f.note or None,
                "runs": list(f.runs),
                "numbers": [
                    {
                        "what": n.what,
                        "unit": n.unit or None,
                        **{key: getattr(n.estimate, key) for key in ("value", "half", "low", "high", "n")},
                        "note": n.estimate.note or None,
                        "shown": show(n.estimate, 1 if n.unit else 3, sign=n.signed),
                    }
                    for n in f.numbers
                ],
            }
            for f in findings
        ],
    }


def write(
    data: dict[str, Any], folder: Path, figures: Mapping[Path, str] | None = None, tables: Sequence[Path] = ()
) -> None:
    """Write ``findings.json``, ``findings.md`` and ``findings.html``.

    Args:
        data: of :func:`as_data`.
        folder: where.
        figures: SVG files, drawn into the page, each with its caption.
        tables: HTML files of tables, ``PAPER/tables/TABLE.html``, linked to.
    """
    write_json(folder / "findings.json", data)
    write_text(folder / "findings.md", markdown(data))
    write_text(folder / "findings.html", html(data, figures, tables))


def read(path: Path) -> dict[str, Any]:
    """Read a ``findings.json``.

    Raises:
        DataError: it is not one, or is of another version.
    """
    return read_report(path, SCHEMA, "findings")


def markdown(data: dict[str, Any]) -> str:
    """The findings as GitHub's Markdown."""
    head = data["headline"]
    lines = [
        f"# Findings of study {escape(data['study'])}",
        "",
        escape(data["title"]),
        "",
        *table(
            ("Run", *head["columns"]),
            ((row["label"], *map(shown, row["cells"])) for row in head["rows"]),
            "<>",
        ),
        "",
        "±: half-width of the 95 % interval (normal approximation). "
        f"{escape(head['columns'][-1])}: {escape(head['average']['meaning'])}.",
    ]
    for f in data["findings"]:
        lines += ["", f"## {escape(f['title'])}", ""]
        said = f["statement"] or f"This study cannot say. It lacks {f['missing']}."
        lines += [escape(said), "", f"- The paper ({escape(f['place'])}): {escape(f['paper'])}"]
        if f["note"]:
            lines.append(f"- {escape(f['note'])}")
        if f["numbers"]:
            rows = ((_what(n), n["shown"], interval(n), str(n["n"])) for n in f["numbers"])
            lines += ["", *table("number | value | 95 % interval | n", rows)]
    return "\n".join(lines) + "\n"


def _what(number: dict[str, Any]) -> str:
    more = "; ".join(text for text in (number["unit"], number["note"]) if text)
    return f"{number['what']} ({more})" if more else str(number["what"])


def interval(number: dict[str, Any]) -> str:
    """``0.01 to 0.05``, or nothing."""
    if number["low"] is None:
        return ""
    digits = 1 if number["unit"] else 3
    return f"{number['low']:.{digits}f} to {number['high']:.{digits}f}".replace("-", "−")


def html(data: dict[str, Any], figures: Mapping[Path, str] | None = None, tables: Sequence[Path] = ()) -> str:
    """One page: no script, no outside resource, its own style allowed by hash, figures within it."""
    svg = "data:image/svg+xml;base64,"
    drawn = [
        {"caption": caption, "source": svg + base64.b64encode(path.read_bytes()).decode()}
        for path, caption in (figures or {}).items()
    ]
    linked = [
        {"name": p.stem.replace("table", "Table "), "path": "/".join(("..", *p.parts[-3:]))} for p in tables
    ]
    show: dict[str, Any] = {"shown": shown, "interval": interval, "what": _what}
    return page("rewild.report.findings", "", data=data, figures=drawn, tables=linked, **show)

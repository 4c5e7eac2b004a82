"""Named checks before and after a training, and the report that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rewild.config.base import Strict
from rewild.core.errors import DataError
from rewild.core.files import write_json, write_text
from rewild.core.markdown import Markup, table
from rewild.core.markdown import text as escape
from rewild.core.reading import read_model

Flight = Literal["preflight", "postflight"]
OTHER = {"preflight": "before training", "postflight": "after training"}


class RunCheck(Strict):
    """One thing that was looked at.

    Attributes:
        name: of the check, as docs/runs.md lists it.
        passed: whether all is well.
        found: what was found, in a sentence, with its numbers.
        remedy: what to do about it; empty if it passed.
    """

    name: str
    passed: bool
    found: str
    remedy: str = ""


def checked(name: str, passed: bool, found: str, remedy: str = "") -> RunCheck:
    """What was looked at; the remedy is said only where it is needed."""
    return RunCheck(name=name, passed=passed, found=found, remedy="" if passed else remedy)


class FlightReport(Strict):
    """What the checks of a run found, and what they counted."""

    flight: Flight
    study: str
    run: str
    identity: str
    passed: bool
    checks: list[RunCheck]
    counts: dict[str, Any]


def make_report(  # noqa: PLR0917
    flight: Flight, study: str, run: str, identity: str, checks: list[RunCheck], counts: dict[str, Any]
) -> FlightReport:
    """A report; it passed if every check did."""
    passed = all(check.passed for check in checks)
    return FlightReport(
        flight=flight, study=study, run=run, identity=identity, passed=passed, checks=checks, counts=counts
    )


def write_report(path: Path, report: FlightReport) -> None:
    """Write ``path`` (JSON) and a Markdown page beside it."""
    write_text(path.with_suffix(".md"), as_markdown(report))
    write_json(path, report.model_dump())


def read_report(path: Path) -> FlightReport:
    """Read a report.

    Raises:
        DataError: there is none, or it is broken.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file; the checks have not run")
    return read_model(path, FlightReport, "a report")


def why_failed(report: FlightReport) -> str:
    """The failed checks, each with what to do, for somebody tired."""
    lines = [f"run {report.run} ({report.study}): stopped {OTHER[report.flight]}"]
    for check in report.checks:
        if not check.passed:
            lines += [f"  {check.name}: {check.found}", f"    {check.remedy}"]
    return "\n".join(lines)


def as_markdown(report: FlightReport) -> str:
    """The report as a page."""
    verdict = "passed" if report.passed else "FAILED"
    marks = {True: "ok", False: Markup("**no**")}
    checks = ((c.name.replace("_", " "), marks[c.passed], f"{c.found} {c.remedy}") for c in report.checks)
    lines = [
        f"# {report.flight} of {escape(report.run)}: {verdict}",
        "",
        *table("check |  | found", checks, "-"),
        "",
        *table("count | ", ((n.replace("_", " "), v) for n, v in report.counts.items()), "-"),
    ]
    return "\n".join(lines) + "\n"

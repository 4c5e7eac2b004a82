"""All that a study's home shows, from its folder and its configuration. No time, host or folder is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewild import __version__
from rewild.config.base import validate
from rewild.config.study import Study
from rewild.core.errors import DataError
from rewild.core.reading_yaml import read_yaml
from rewild.operate.cost.base import STAGES, CostInputs, Line, total
from rewild.operate.cost.report import tokens
from rewild.operate.home import facts
from rewild.operate.home.parts import Stage, stages
from rewild.operate.home.shown import VIEWER, Shown, find_shown
from rewild.responses.status import progress
from rewild.training.runs.status import states

NUMBERS = {
    "published": "Numbers that the papers print, transcribed; nothing is computed by models.",
    "released": "Numbers computed anew from files that others released.",
    "computed": "Numbers of this study’s own models, computed by this pipeline.",
}


@dataclass(frozen=True)
class Given:
    """What a home page shows that is not in the study's folder.

    Attributes:
        study: the study as configured now; None where it is not among the studies any more.
        inputs: what its cost is estimated from; None without a study.
        lines: the estimate.
        captions: path below the study's folder, without suffix → what it shows.
        cites: of the papers that it shows, name → citation.
        software: the repository's ``CITATION.cff``.
        problems: why any of these is missing.
    """

    study: Study | None = None
    inputs: CostInputs | None = None
    lines: Sequence[Line] = ()
    captions: Mapping[str, str] = field(default_factory=dict)
    cites: Mapping[str, str] = field(default_factory=dict)
    software: Path | None = None
    problems: Sequence[str] = ()


@dataclass
class Home:
    """What the page shows; see ``report.html``."""

    name: str
    title: str
    numbers: str
    about: list[tuple[str, str]]
    stages: list[Stage] | None
    running: list[str]
    stopped: list[str]
    findings: dict[str, Any] | None
    taught: list[dict[str, Any]]
    audits: list[dict[str, Any]]
    shown: dict[str, list[Shown]]
    viewer: str
    viewer_size: int
    costs: list[tuple[str, ...]]
    failures: list[facts.Failure]
    summed: list[tuple[str, str, int, int]]
    rests: facts.Rests
    config: str
    versions: list[str]
    software: str
    papers: list[str]
    cites: list[str]
    problems: list[str]
    version: str = __version__

    @property
    def done(self) -> int:
        """Parts that are there."""
        return sum(stage.done for stage in self.stages or ())

    @property
    def parts(self) -> int:
        """All parts that the study promises."""
        return sum(len(stage.parts) for stage in self.stages or ())


def gather(name: str, folder: Path, given: Given) -> Home:
    """Look at a study's folder.

    Args:
        name: the study's.
        folder: its results.
        given: what is not there.

    Raises:
        DataError: the study was never run.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no results; run `snakemake --config study={name}` first")
    reader = facts.Reader(folder)
    study = reader.tried(lambda: _as_run(folder / "config.yaml"), folder / "config.yaml", "a study")
    study = study or given.study
    promised = reader.tried(lambda: stages(folder), folder.name, "a list of files")
    shown = find_shown(folder, given.captions, reader.problems)
    viewer = VIEWER if (folder / VIEWER).is_file() else ""
    spent, rests = facts.spent(reader)
    audits = facts.audited(reader)
    failed = facts.failures(reader)
    running, stopped = _states(reader, study, given) if study else ([], [])
    cites = dict(given.cites) | {a["paper"]: a["cite"] for a in audits}
    made = {one.rewild for group in shown.values() for one in group if one.rewild}
    problems = [*given.problems, *reader.problems]
    return Home(
        name=name,
        title=study.title if study else "",
        numbers=NUMBERS[study.source] if study else "",
        about=_about(study, sorted(cites)) if study else [],
        stages=promised,
        running=running,
        stopped=stopped,
        findings=facts.stated_findings(reader),
        taught=facts.taught(reader),
        audits=audits,
        shown=shown,
        viewer=viewer,
        viewer_size=_bytes(folder / "viewer") if viewer else 0,
        costs=_costs(given.lines, spent),
        failures=failed,
        summed=facts.summed(failed),
        rests=rests,
        config=facts.digest(folder / "config.yaml"),
        versions=sorted(made),
        software=_software(given.software, reader),
        papers=sorted(cites),
        cites=[f"{cites[name]}." for name in sorted(cites)],
        problems=[_relative(text, folder) for text in dict.fromkeys([*problems, *reader.problems])],
    )


def _as_run(path: Path) -> Study | None:
    return validate(Study, read_yaml(path), str(path)) if path.is_file() else None


def _relative(text: str, folder: Path) -> str:
    """A message without the place of the results on this machine."""
    return text.replace(f"{folder.parent}/", "")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _states(reader: facts.Reader, study: Study, given: Given) -> tuple[list[str], list[str]]:
    """What is at work, and what a gate has stopped."""
    running, stopped = [], []
    results = reader.folder.parent
    if study.responses or any(
        getattr(s, "model", None) for s in (study.prompts.sources if study.prompts else ())
    ):
        for one in reader.tried(lambda: progress(study, results), reader.folder.name, "its shards") or ():
            made = one.answered + one.failed
            if one.running:
                of = f" of {one.rows:,}" if one.rows else ""
                running.append(f"{one.model}: {one.running} at work, {made:,}{of} rows")
            if one.pilot == "failed":
                stopped.append(f"{one.model}: its pilot failed (pilot/{one.model}/report.md says why)")
    if study.runs and given.inputs:
        known = given.inputs
        for run in (
            reader.tried(
                lambda: states(study, known.models, results, known.recipes), reader.folder.name, "its runs"
            )
            or ()
        ):
            if run.state.startswith("step "):
                running.append(f"{run.run}: training, {run.state}")
            elif run.state.startswith(("stopped", "failed")):
                stopped.append(f"{run.run}: {run.state}")
    return running, stopped


def _about(study: Study, papers: Sequence[str]) -> list[tuple[str, str]]:
    """What a study is, a row each."""
    rows: list[tuple[str, str]] = []

    def add(name: str, values: Sequence[str]) -> None:
        if values:
            rows.append((name, f"{len(values)}: {', '.join(values)}"))

    add("Prompts", [_source(source) for source in (study.prompts.sources if study.prompts else ())])
    add("Models that answer", study.responses.models if study.responses else [])
    add("Imported responses", [source.name for source in study.imports])
    add("Measures", list(study.measures))
    add("Mixes", list(study.mixes))
    add("Sets of preference pairs", list(study.preferences))
    add("Fine-tunes", [slug for slug, run in study.runs.items() if run.trained])
    add("Evaluated as they are", [slug for slug, run in study.runs.items() if not run.trained])
    add("Benchmarks", study.evaluation.benchmarks if study.evaluation else [])
    add("Papers", papers)
    rows.append(("Seed", str(study.seed)))
    return rows


def _source(source: Any) -> str:
    where = getattr(source, "repository", None) or getattr(source, "model", None)
    return f"{source.name} ({where})" if where else str(source.name)


def _costs(lines: Sequence[Line], spent: Mapping[str, facts.Spent]) -> list[tuple[str, ...]]:
    """A row a stage: GPU-hours, tokens and dollars, planned and so far; hours of jobs, so far."""
    rows: list[tuple[str, ...]] = []
    for stage in STAGES:
        mine, one = [line for line in lines if line.stage == stage], spent.get(stage)
        plan = (
            total(mine, "gpu_hours"),
            total(mine, "read") + total(mine, "written"),
            total(mine, "dollars"),
        )
        if not (any(plan) or one):
            continue
        one = one or facts.Spent()
        rows.append(
            (
                stage,
                _number(plan[0]),
                _number(one.gpu_hours) if one.jobs else "",
                _number(one.hours) if one.jobs else "",
                tokens(plan[1]),
                tokens(one.tokens),
                f"${plan[2]:,.2f}" if plan[2] else "",
                f"${one.dollars:,.2f}" if one.dollars else "",
            )
        )
    if rows:
        known = spent.values()
        rows.append(
            (
                "all",
                _number(total(lines, "gpu_hours")),
                _number(sum(s.gpu_hours for s in known)),
                _number(sum(s.hours for s in known)),
                tokens(total(lines, "read") + total(lines, "written")),
                tokens(sum(s.tokens for s in known)),
                f"${total(lines, 'dollars'):,.2f}",
                f"${sum(s.dollars for s in known):,.2f}",
            )
        )
    return rows


def _number(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:,.2f}"


def _software(path: Path | None, reader: facts.Reader) -> str:
    """How to cite this software, from its ``CITATION.cff``."""
    if path is None or not path.is_file():
        return ""

    def pick() -> str:
        one = read_yaml(path)
        names = ", ".join(
            str(a.get("name") or f"{a['given-names']} {a['family-names']}") for a in one["authors"]
        )
        return f"{names}: {one['title']}. Version {one['version']}, {one['license']}."

    return reader.tried(pick, path.name, "a CITATION.cff") or ""

"""What a study shows of which papers, and whether it can. Light to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rewild.config import left_out, load_benchmarks, load_defaults, load_models, read_study
from rewild.config.benchmarks import Benchmark
from rewild.config.load import command_line
from rewild.config.roster import Roster, make_roster
from rewild.config.study import Shown, Study
from rewild.core.errors import ConfigError
from rewild.papers import ALL, find_paper, papers
from rewild.papers.room import Case, Paper
from rewild.report.findings.select import check_findings


@dataclass(frozen=True)
class Show:
    """What a study shows of one paper.

    Attributes:
        paper: the paper.
        tables: its tables, by name.
        figures: its figures, by name, with those that come along.
        audit: whether its claims are checked.
    """

    paper: Paper
    tables: tuple[str, ...]
    figures: tuple[str, ...]
    audit: bool


def shown(case: Case) -> dict[str, Show]:
    """Paper → what a study shows of it. Where the study names no tables or figures, all that it can have.

    Raises:
        ConfigError: an unknown paper, table or figure, or one that does not follow from the study's numbers.
    """
    study = case.study
    chosen = {name: wanted for name, wanted in study.papers.items() if name != ALL}
    if ALL in study.papers:
        chosen = {name: chosen.get(name, study.papers[ALL]) for name in papers()} | chosen
    found = {}
    for name, wanted in chosen.items():
        try:
            paper = find_paper(name)
            audit = wanted.audit and paper.claims.is_file()
            if wanted.audit and not audit and name in study.papers:
                raise ConfigError(f"{name} has no claims to check: remove 'audit'")
            found[name] = Show(paper, _tables(paper, wanted, case), _figures(paper, wanted, case), audit)
        except ConfigError as error:
            raise ConfigError(f"study {study.name}: papers: {error}") from None
    return found


def _tables(paper: Paper, wanted: Shown, case: Case) -> tuple[str, ...]:
    source = case.study.source
    if wanted.tables is None:
        if source == "published":
            return tuple(paper.specs.tables)
        parts = paper.cells.get(source, {})
        return tuple(name for name in paper.specs.tables if name in parts and not parts[name].problem(case))
    for name in wanted.tables:
        if source == "published":
            paper.table(name)
        else:
            paper.part("table", name, source)
    return tuple(wanted.tables)


def _figures(paper: Paper, wanted: Shown, case: Case) -> tuple[str, ...]:
    source = case.study.source
    names = wanted.figures
    if names is None:
        along = {name for figure in paper.figures.values() for name in figure.also}
        names = [
            name
            for name, figure in paper.figures.items()
            if name not in along and source in figure.parts and not figure.parts[source].problem(case)
        ]
    for name in names:
        paper.part("figure", name, source)
    return tuple(each for name in names for each in (name, *paper.figures[name].also))


def check_papers(case: Case) -> None:
    """Refuse a study that asks for tables or figures without what they need.

    Raises:
        ConfigError: names the study, the table or figure, and what is missing.
    """
    for show in shown(case).values():
        for kind, names in (("table", show.tables), ("figure", show.figures)):
            for name in names:
                if case.study.source == "published" and kind == "table":
                    continue
                if problem := show.paper.part(kind, name, case.study.source).problem(case):
                    raise ConfigError(f"study {case.study.name}: {problem}")


def what_fits(study: Study, roster: Roster, benchmarks: Mapping[str, Benchmark]) -> tuple[Study, list[str]]:
    """A study that was cut, without the tables, figures and findings that its runs are too few for.

    Returns:
        The study, and the names of what it lost: tables, figures, ``findings``.
    """
    lost: list[str] = []
    kept = {}
    for name, wanted in study.papers.items():
        change: dict[str, list[str]] = {}
        for kind in ("tables", "figures"):
            change[kind] = []
            for one in getattr(wanted, kind) or ():
                alone = Shown.model_validate({"tables": [], "figures": [], kind: [one]})
                case = Case(study.model_copy(update={"papers": {name: alone}}), roster, benchmarks)
                (change[kind] if _fits(check_papers, case) else lost).append(one)
        listed = {kind: found for kind, found in change.items() if getattr(wanted, kind) is not None}
        kept[name] = wanted.model_copy(update=listed)
    findings = study.findings
    if findings and not _fits(check_findings, study, roster):
        findings = None
        lost.append("findings")
    return study.model_copy(update={"papers": kept, "findings": findings}), lost


def _fits(check: Callable[..., None], *given: object) -> bool:
    try:
        check(*given)
    except ConfigError:
        return False
    return True


def study_as_used(name: str, folder: Path) -> Study:
    """A study as the workflow uses it: under its command line, and without what its runs are too few for.

    Args:
        name: the study's, or a resolved ``config.yaml``.
        folder: of the configuration.
    """
    study = read_study(name, folder)
    over = command_line()
    if load_defaults(folder, over).study != study.name or not left_out(folder, over):
        return study
    models = load_models(folder, study)
    return what_fits(study, make_roster(study, models), load_benchmarks(folder, models))[0]

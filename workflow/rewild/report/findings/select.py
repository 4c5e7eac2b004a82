"""Which runs of a study belong into which table or figure of the paper. Light to import."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rewild.config import left_out, load_benchmarks, load_defaults, load_models, read_study
from rewild.config.benchmarks import Benchmark
from rewild.config.findings import Findings
from rewild.config.load import command_line
from rewild.config.mixes import size_name
from rewild.config.roster import Entry, Roster, make_roster
from rewild.core.errors import ConfigError, DataError, nearest
from rewild.evaluation.harness.settings import evaluated

if TYPE_CHECKING:
    from rewild.config.study import Figure, Study, Table

RUNNER = "mt-bench"
"""The runner of benchmarks whose answers are judged one by one, on a scale."""


@dataclass(frozen=True)
class Pair:
    """Two data-generating models, and a fine-tune of one base model on each.

    Attributes:
        first: the fine-tune on the first model's responses (L8B : Q72 in the paper).
        second: that on the second's (L8B : L70).
        first_itself: the run that is the first model as it is (Q72 : None); None if it was not evaluated.
        second_itself: the same of the second.
    """

    first: Entry
    second: Entry
    first_itself: Entry | None
    second_itself: Entry | None

    @property
    def whole(self) -> bool:
        """Whether all four runs are there."""
        return self.first_itself is not None and self.second_itself is not None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The runs there are, in the order of Table 4: fine-tunes, then models, the second of each first."""
        itself = tuple(e for e in (self.second_itself, self.first_itself) if e)
        return (self.second, self.first, *itself)


@dataclass(frozen=True)
class Blend:
    """A run on several models' responses, and the runs on each of them alone, of the same size."""

    whole: Entry
    parts: tuple[Entry, ...]
    missing: tuple[str, ...]


def dgm_runs(roster: Roster, scored: Collection[str]) -> list[Entry]:
    """Table 2: the base model on each model's responses, all of the usual size."""
    return [e for e in _usual(roster, scored) if e.model == roster.base]


def family_runs(roster: Roster, scored: Collection[str]) -> list[Entry]:
    """Table 6: every base model on each model's responses at the usual size; then the models themselves.

    Of these, those that were post-trained from one of the base models, as in the paper; all, if none was.
    """
    tuned = _usual(roster, scored)
    bases, taught = {e.model for e in tuned}, {d for e in tuned for d in e.dgms}
    themselves = [e for e in roster.kind("none") if e.run in scored and e.model in taught]
    return tuned + ([e for e in themselves if e.roots in bases] or themselves)


def blends(roster: Roster, scored: Collection[str]) -> list[Blend]:
    """Table 7: every blend beside its parts."""
    found = []
    for whole in (e for e in roster.plain("blend") if e.run in scored):
        parts = [(dgm, roster.tuned(whole.model, dgm, whole.size)) for dgm in whole.dgms]
        there = tuple(e for _, e in parts if e and e.run in scored)
        missing = tuple(dgm for dgm, e in parts if e is None or e.run not in scored)
        found.append(Blend(whole, there, missing))
    return found


def scaled(roster: Roster, scored: Collection[str]) -> dict[str, list[Entry]]:
    """Figure 2: model → the base's runs on its responses, by size; models with at least two sizes."""
    series: dict[str, list[Entry]] = {}
    for entry in roster.plain("dgm"):
        mine = series.setdefault(str(entry.dgm), [])
        new = entry.size and entry.size not in {e.size for e in mine}
        if new and entry.run in scored and entry.model == roster.base:
            mine.append(entry)
    found = {dgm: sorted(runs, key=lambda e: e.size or 0) for dgm, runs in series.items()}
    return {dgm: runs for dgm, runs in found.items() if len(runs) > 1}


def pair_of(roster: Roster, scored: Collection[str], settings: Findings) -> Pair | None:
    """The two models of Tables 3 and 4, with fine-tunes of the greatest size that both have.

    Without ``settings.pair``: the first two that have a run of their own and a fine-tune each; failing that,
    the first two that have a fine-tune each.
    """
    tuned = [e for e in roster.plain("dgm") if e.run in scored and e.model == roster.base]
    sizes: dict[str, set[int | None]] = {}
    for entry in tuned:
        sizes.setdefault(entry.dgms[0], set()).add(entry.size)

    def itself(dgm: str) -> Entry | None:
        found = roster.itself(dgm)
        return found if found and found.run in scored else None

    if settings.pair:
        chosen = [dgm for dgm in settings.pair if dgm in sizes]
    else:
        chosen = [dgm for dgm in sizes if itself(dgm)]
        chosen = chosen if len(chosen) > 1 else list(sizes)
    for first, second in ((a, b) for i, a in enumerate(chosen) for b in chosen[i + 1 :]):
        if shared := sizes[first] & sizes[second]:
            size = max(shared, key=lambda s: s or 0)
            runs = [roster.tuned(str(roster.base), dgm, size) for dgm in (first, second)]
            if runs[0] and runs[1]:
                return Pair(runs[0], runs[1], itself(first), itself(second))
    return None


def radar_runs(roster: Roster, scored: Collection[str], settings: Findings) -> list[Entry]:
    """Figure 1: the lead and its baselines; without these, one run of each kind and model, at most four."""
    if settings.radar:
        return [e for e in map(roster.__getitem__, settings.radar) if e.run in scored]
    chosen = [e for e in (lead_run(roster, scored, settings), *baseline_runs(roster, scored, settings)) if e]
    if len(chosen) > 1:
        return chosen[:7]
    tuned = [e for e in roster.plain("blend") if e.run in scored][:1] + dgm_runs(roster, scored)
    return list(dict.fromkeys([*chosen, *tuned]))[:4]


def lead_run(roster: Roster, scored: Collection[str], settings: Findings) -> Entry | None:
    """The run that is set against baselines (Re-Wild)."""
    if settings.lead:
        found = roster[settings.lead]
        return found if found.run in scored else None
    return next((e for e in roster.kind("mixture") if e.run in scored), None)


def baseline_runs(roster: Roster, scored: Collection[str], settings: Findings) -> list[Entry]:
    """What it is set against."""
    if settings.baselines is not None:
        return [e for e in map(roster.__getitem__, settings.baselines) if e.run in scored]
    return [e for e in roster.kind("none") if e.baseline and e.run in scored]


def table_rows(table: str, roster: Roster, scored: Collection[str]) -> list[tuple[str, Entry]]:
    """The rows of Table 2, 6 or 7: label and run.

    Raises:
        DataError: the study has no run that belongs there; the message says what would.
    """
    size = f" at {size_name(roster.size)} conversations" if roster.size else ""
    if table == "table2":
        rows = [(str(e.dgm), e) for e in dgm_runs(roster, scored)]
        needs = f"a run of {roster.base or 'a base model'} on one model's responses{size}"
    elif table == "table6":
        rows = [(e.label, e) for e in family_runs(roster, scored)]
        needs = f"a run on one model's responses{size}"
    else:
        found = [e for blend in blends(roster, scored) for e in (*blend.parts, blend.whole)]
        rows = [(e.label, e) for e in dict.fromkeys(found)]
        needs = "a run on a blend of several models' responses"
    if not rows:
        raise DataError(f"{table}: the study has no scores of {needs}; add one, or remove '{table}'")
    return rows


def _usual(roster: Roster, scored: Collection[str]) -> list[Entry]:
    """Runs on one model's responses, of the usual size, nothing cut."""
    return [e for e in roster.plain("dgm") if e.run in scored and e.size == roster.size]


def judged_benchmark(study: Study, benchmarks: Mapping[str, Benchmark]) -> str | None:
    """The benchmark whose answers Tables 3 and 4 compare: the first whose runner is :data:`RUNNER`."""
    chosen = study.evaluation.benchmarks if study.evaluation else []
    return next((b.slug for b in benchmarks.values() if b.slug in chosen and b.runner == RUNNER), None)


def study_pair(study: Study, roster: Roster, benchmarks: Mapping[str, Benchmark]) -> Pair | None:
    """The pair of Tables 3 and 4 among the runs that a study evaluates; None where it has none."""
    if judged_benchmark(study, benchmarks) is None:
        return None
    return pair_of(roster, evaluated(study), study.findings or Findings.model_validate({}))


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
    models = load_models(folder)
    return what_fits(study, make_roster(study, models), load_benchmarks(folder, models))[0]


def what_fits(study: Study, roster: Roster, benchmarks: Mapping[str, Benchmark]) -> tuple[Study, list[str]]:
    """A study that was cut, without the tables, figures and findings that its runs are too few for.

    Returns:
        The study, and what it lost: ``table7``, ``figure2``, ``findings``, ...
    """
    lost: list[str] = []
    tables: list[Table] = []
    figures: list[Figure] = []
    for table in study.tables:
        if _fits(study, roster, benchmarks, tables=[table]):
            tables.append(table)
        else:
            lost.append(table)
    for figure in study.figures:
        if _fits(study, roster, benchmarks, figures=[figure]):
            figures.append(figure)
        else:
            lost.append(figure)
    findings = study.findings
    if findings and not _fits(study, roster, benchmarks, findings=findings):
        findings = None
        lost.append("findings")
    return study.model_copy(update={"tables": tables, "figures": figures, "findings": findings}), lost


def _fits(study: Study, roster: Roster, benchmarks: Mapping[str, Benchmark], **one: object) -> bool:
    """Whether the study can make one thing by itself."""
    alone = study.model_copy(update={"tables": [], "figures": []} | one)
    try:
        check_findings(alone, roster, benchmarks)
    except ConfigError:
        return False
    return True


def check_findings(study: Study, roster: Roster, benchmarks: Mapping[str, Benchmark]) -> None:
    """Refuse a study of its own runs that asks for tables, figures or findings without the runs they need.

    Raises:
        ConfigError: names the study, the table or figure, and what is missing.
    """
    if study.source != "computed":
        return
    where = f"study {study.name}"
    asked: list[str] = [t for t in study.tables if t not in ("table1", "table5")] + list(study.figures)
    asked += ["findings"] if study.findings else []
    if asked and study.evaluation is None:
        raise ConfigError(f"{where}: {asked[0]} needs scores: add 'evaluation', or remove '{asked[0]}'")
    if "table1" in study.tables:
        raise ConfigError(f"{where}: table1 is of the paper's own mix; remove 'table1'")
    scored, settings = evaluated(study), study.findings or Findings.model_validate({})
    taught = [dgm for e in roster.entries for dgm in e.dgms]
    for dgm in settings.pair or []:
        if dgm not in taught:
            raise ConfigError(f"{where}: findings.pair: no run learned from '{dgm}'{nearest(dgm, taught)}")
    try:
        for table in (t for t in asked if t in ("table2", "table6", "table7")):
            table_rows(table, roster, scored)
        runs = radar_runs(roster, scored, settings)
    except (ConfigError, DataError) as error:
        raise ConfigError(f"{where}: {error}") from None
    needs = {
        "a judged benchmark (runner mt-bench) and a base model's runs on two models' responses": (
            ("table3", "table4", "figure3", "figure4"),
            study_pair(study, roster, benchmarks) is not None,
        ),
        "three benchmarks or more, and runs to show": (
            ("figure1",),
            bool(runs) and len(study.evaluation.benchmarks if study.evaluation else []) > 2,
        ),
        "runs on one model's responses at two sizes or more": (("figure2",), bool(scaled(roster, scored))),
    }
    for need, (names, there) in needs.items():
        if not there and (name := next((n for n in names if n in asked), None)):
            raise ConfigError(f"{where}: {name} needs {need}; add them, or remove '{name}'")

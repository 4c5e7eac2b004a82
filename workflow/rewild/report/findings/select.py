"""Which runs of a study are compared with which, in findings, tables and figures. Light to import."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewild.config.benchmarks import Benchmark
from rewild.config.findings import Findings
from rewild.config.roster import Entry, Roster
from rewild.core.errors import ConfigError, known_name
from rewild.evaluation.harness.settings import evaluated

if TYPE_CHECKING:
    from rewild.config.study import Study

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


def check_findings(study: Study, roster: Roster) -> None:
    """Refuse settings of findings that name what the study has not, and findings without scores.

    Raises:
        ConfigError: names the study, and what is unknown or missing.
    """
    if study.source != "computed":
        return
    where = f"study {study.name}"
    if study.findings and study.evaluation is None:
        raise ConfigError(f"{where}: findings needs scores: add 'evaluation', or remove 'findings'")
    scored, settings = evaluated(study), study.findings or Findings.model_validate({})
    taught = [dgm for e in roster.entries for dgm in e.dgms]
    for dgm in settings.pair or []:
        known_name(dgm, taught, f"{where}: findings.pair: no run learned from")
    try:
        radar_runs(roster, scored, settings)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None

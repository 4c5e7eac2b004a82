"""What is compared: which fine-tune is of which base and teacher, which measures are read, what is shown.

Light to import: the workflow plans with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from rewild.config.measures.base import Row
from rewild.config.models import Model
from rewild.config.roster import Roster
from rewild.config.study import Study
from rewild.config.teachers import CAR, FEWEST, MOST_TEACHERS, OTHERS, Teachers
from rewild.core.errors import ConfigError, known_name
from rewild.evaluation.harness.settings import evaluated

Shown = Literal["figure", "table"]


@dataclass(frozen=True)
class View:
    """One figure or table.

    Attributes:
        title: what it shows.
        place: where the paper has its like; None: nowhere.
        form: figure or table.
        scores: whether it is made of scores; else of what is known before any training.
    """

    title: str
    place: str | None
    form: Shown
    scores: bool = True


VIEWS: dict[str, View] = {
    "candidates": View("The teachers", "Table 1", "table", scores=False),
    "outside": View("On other instructions, or on answers from elsewhere", "Table 2", "table"),
    "rejection": View("Answers chosen among samples", "Table 3", "table"),
    "correlations": View("Rank correlation of what is known before with what came out", "Table 4", "table"),
    "families": View("The same of what ranks, without each family of teachers", None, "table"),
    "benchmarks": View("Every base model on every teacher's answers", "Table 6", "table"),
    "performance": View("Mean score by base model and teacher", "Figure 2", "figure"),
    "sampling": View("Mean score by how the answers were sampled", "Figure 3", "figure"),
    "rewards": View("Mean reward of the teachers' answers", "Figure 4", "figure", scores=False),
    "lengths": View("Mean length of the teachers' answers", "Figure 6", "figure", scores=False),
    "others": View("Perplexity and IFD under another model", "Figure 7", "figure", scores=False),
    "perplexity": View("Perplexity under the base model", "Figure 8", "figure", scores=False),
    "ifd": View("IFD under the base model", "Figure 9", "figure", scores=False),
    "beta": View("Rank correlation of CAR by β", None, "figure"),
}


@dataclass(frozen=True)
class Use:
    """A measure's files that are read: of every teacher.

    Attributes:
        predictor: what it is for; ``car`` for its reward and likelihoods.
        base: of which base model; None: of all.
        measure, column: what is read.
        less: whether less of it is better.
        kind: the measure's.
    """

    predictor: str
    base: str | None
    measure: str
    column: str
    less: bool
    kind: str


@dataclass(frozen=True)
class LeftOut:
    """A figure or table that is not made, and why."""

    shown: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        teachers: in the study's order.
        bases: in the study's order.
        runs: (base, teacher) → the run that learned from it, where there is one that is evaluated.
        uses: what is read of measures.
        likelihoods: base → measure; empty where none is needed.
        views: what is shown.
        left_out: what is not.
    """

    teachers: tuple[str, ...]
    bases: tuple[str, ...]
    runs: Mapping[tuple[str, str], str]
    uses: tuple[Use, ...]
    likelihoods: Mapping[str, str]
    views: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def settings_of(study: Study) -> Teachers:
    """The section ``teachers``.

    Raises:
        ConfigError: the study has none.
    """
    if study.teachers is None:
        raise ConfigError(f"study {study.name}: it has no section 'teachers'; add one (docs/teachers.md)")
    return study.teachers


def plan_teachers(study: Study, roster: Roster) -> Plan:
    """What of a study's teachers is compared.

    Raises:
        ConfigError: two fine-tunes might be meant for one base and teacher, or a study without the section.
    """
    given = settings_of(study)
    names = tuple(given.teachers or (study.responses.models if study.responses else ()))
    names = tuple(name for name in names if name not in given.bases or given.teachers)
    runs = dict(_runs(study, given, roster, names))
    uses = tuple(_uses(study, given))
    needed = {b: given.likelihood_of(b, study.measures) for b in given.bases if given.needs_likelihood}
    left = tuple(_left_out(given, names, runs, uses))
    gone = {one.shown for one in left}
    return Plan(names, tuple(given.bases), runs, uses, needed, tuple(v for v in VIEWS if v not in gone), left)


def _runs(
    study: Study, given: Teachers, roster: Roster, names: Collection[str]
) -> Iterator[tuple[tuple[str, str], str]]:
    scored = evaluated(study)
    variants = {variant.run for variant in given.variants.values() if variant.choose != "greedy"}
    for base in given.bases:
        for teacher in names:
            found = [
                entry.run
                for entry in roster.kind("dgm")
                if (entry.model, entry.dgms, entry.truncated) == (base, (teacher,), False)
                and entry.run in scored
                and (entry.run in given.runs if given.runs is not None else entry.run not in variants)
            ]
            if len(found) > 1:
                raise ConfigError(
                    f"study {study.name}: teachers.runs: {', '.join(found)} are all of {base} on the answers "
                    f"of {teacher}: name the fine-tunes that count"
                )
            if found:
                yield (base, teacher), found[0]


def _uses(study: Study, given: Teachers) -> Iterator[Use]:
    def use(predictor: str, base: str | None, measure: str, column: str | None, less: bool) -> Use:
        row = study.measures[measure]
        return Use(predictor, base, measure, column or next(iter(row.columns())), less, row.kind)

    for name, one in given.predictors.items():
        if one.measure is not None:
            yield use(name, None, one.measure, one.column, one.less)
        else:
            for base in given.bases:
                yield use(name, base, given.likelihood_of(base, study.measures), one.column, one.less)
    if given.car:
        yield use(CAR, None, given.car.reward, given.car.column, False)
        for base in given.bases:
            yield use(CAR, base, given.likelihood_of(base, study.measures), None, True)


def _left_out(
    given: Teachers, names: Collection[str], runs: Mapping[tuple[str, str], str], uses: tuple[Use, ...]
) -> Iterator[LeftOut]:
    def without(shown: str, reason: str) -> LeftOut:
        return LeftOut(shown, reason)

    if not runs:
        for shown in ("benchmarks", "performance"):
            yield without(shown, "no base model was fine-tuned on one teacher's answers and is evaluated")
    most = max((sum((b, t) in runs for t in names) for b in given.bases), default=0)
    if most < FEWEST:
        reason = f"{most} teachers of a base model have scores, and a rank correlation needs {FEWEST}"
        for shown in ("correlations", "families", "beta"):
            yield without(shown, reason)
    elif given.car is None:
        yield without("beta", "the study has no teachers.car")
    for group in ("sampling", "rejection", "outside"):
        if not any(variant.group == group for variant in given.variants.values()):
            yield without(group, f"the study has no teachers.variants of the group '{group}'")
    for shown, needed in (("rewards", "reward"), ("lengths", "length")):
        if not any(use.kind == needed for use in uses):
            yield without(shown, f"no predictor is of a measure {{kind: {needed}}}")
    if not _others(given, uses):
        yield without("others", "no predictor is a perplexity or an IFD under a model that is no base")
    for shown in ("perplexity", "ifd"):
        if not columns_of(shown, given, uses):
            reason = f"no predictor is the column '{SELF[shown]}' under the base model itself"
            yield without(shown, reason)


SELF = {"perplexity": "perplexity_given", "ifd": "ifd"}


def columns_of(shown: str, given: Teachers, uses: tuple[Use, ...]) -> list[Use]:
    """The predictors that a figure of values shows."""
    if shown == "others":
        return _others(given, uses)
    if shown in SELF:
        return [u for u in uses if u.predictor != CAR and u.base is not None and u.column == SELF[shown]]
    kind = {"rewards": "reward", "lengths": "length"}[shown]
    mine = [u for u in uses if u.kind == kind]
    named = {(u.measure, u.column) for u in mine if u.predictor != CAR}
    return [u for u in mine if u.predictor != CAR or (u.measure, u.column) not in named]


def _others(given: Teachers, uses: tuple[Use, ...]) -> list[Use]:
    named = ("likelihood", "perplexity")
    return [u for u in uses if u.kind in named and u.base is None and given.predictors.get(u.predictor)]


def ranks_by(given: Teachers) -> str:
    """The predictor that ranks teachers before any training."""
    return CAR if given.car else next(iter(given.predictors))


def predictors_of(given: Teachers) -> list[str]:
    """All predictors, in the order of tables: the study's, CAR, the mean over other bases."""
    return [*given.predictors, *([CAR] if given.car else []), *([OTHERS] if len(given.bases) > 1 else [])]


def label_of(given: Teachers, predictor: str) -> str:
    """A predictor's name in tables."""
    if predictor in given.predictors:
        return given.predictors[predictor].label or predictor
    return {CAR: "CAR", OTHERS: "Mean over other bases"}.get(predictor, predictor)


def check_study(
    study: Study, roster: Roster, models: Mapping[str, Model], imported: Collection[str] = ()
) -> None:
    """What can be found out of a study's teachers on a dry run.

    Args:
        study: any; one without the section has nothing to check.
        roster: its runs.
        models: ``models.yaml``, and the study's own.
        imported: models whose responses it imports.

    Raises:
        ConfigError: names the study, the key and the nearest match.
    """
    if study.teachers is None:
        return
    where = f"study {study.name}: teachers"
    starts = {entry.run: entry.model for entry in roster.entries}
    for base in study.teachers.bases:
        known_name(base, models, f"{where}.bases: no model")
        if study.runs:
            known_name(base, starts.values(), f"{where}.bases: no run starts from", listed="runs start from")
    for teacher in study.teachers.teachers if study.imports else ():
        after = " is not among the imported responses"
        known_name(teacher, imported, f"{where}.teachers:", after=after)
    chosen: dict[tuple[str, str | None], str] = {}
    for name, variant in study.teachers.variants.items():
        key = starts[variant.run], variant.choose
        if variant.group == "rejection" and (other := chosen.setdefault(key, name)) != name:
            raise ConfigError(
                f"{where}.variants: {other} and {name} are both the {variant.choose} for {key[0]}: keep one"
            )
    if len(study.teachers.teachers or (study.responses.models if study.responses else ())) > MOST_TEACHERS:
        raise ConfigError(f"{where}.teachers: more than {MOST_TEACHERS} cannot be shown: name them")
    for base, name in plan_teachers(study, roster).likelihoods.items():
        _same_model(f"{where}.likelihoods.{base}", study.measures[name], base, models)


def _same_model(where: str, row: Row, base: str, models: Mapping[str, Model]) -> None:
    """A likelihood is by the base model, however it names it."""
    if row.named_model == base:
        return
    there, commit = models[base].checkpoint()
    given = row.named_model, getattr(row, "revision", None)
    if given != (there, commit):
        raise ConfigError(
            f"{where}: the measure is by {given[0]} at {given[1]}, and {base} is {there} at {commit}: they "
            f"are not the same model; write `model: {base}`"
        )

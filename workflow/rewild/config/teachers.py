"""Teachers: models whose answers base models may be fine-tuned on, ranked before that and judged after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rewild.config.base import RESULT, SHOWN, Section
from rewild.config.measures.base import Row
from rewild.config.models import Slug
from rewild.core.errors import known_name, twice

Reading = Literal["mean-alone", "mean-given", "pooled-alone", "pooled-given", "sum-alone", "sum-given"]
"""How a loss is read; :data:`rewild.measures.teachers.car.READINGS` says what each is."""
CAR, OTHERS = "car", "other-bases"
RESERVED = (CAR, OTHERS)
"""Predictors that a study does not define: they are made from the others, or from the truth."""
LIKELIHOOD = "likelihood"
MOST_TEACHERS = 40
"""Rows of a figure that can be read."""
FEWEST = 3
"""Teachers that a rank correlation needs: of two, ρ is 1 or -1 whatever they are."""


class Predictor(Section, marks=RESULT):
    """Something that is known of a teacher's answers before a base model learns from them."""

    measure: Slug | None = Field(
        None, description="A measure of responses; null: the likelihood under the base model itself"
    )
    column: str | None = Field(None, description="One of its columns, a number; null: its first")
    less: bool = Field(
        False,
        description="Whether less is better, as of a loss; the paper takes more of everything for better",
    )
    label: Annotated[str | None, SHOWN] = Field(None, description="Its name in tables; null: its key")


class Car(Section, marks=RESULT):
    """Compatibility-adjusted reward: r / (1 + β L) (Xu et al. 2024, equation 3)."""

    reward: Slug = Field(description="The measure whose mean is r, of kind reward or any number")
    column: str | None = Field(None, description="Its column; null: its first")
    reading: Reading = Field(
        "mean-alone",
        description="What L is: by default a token's mean loss without the instruction, as the paper's text "
        "says; all other readings are computed beside it",
    )
    beta: float = Field(3.0, ge=0, description="β; the paper's is 3")
    betas: list[Annotated[float, Field(ge=0)]] = Field(
        [0, 0.1, 0.3, 1, 2, 3, 4, 5, 10], min_length=1, description="β of the curve"
    )
    shift: float = Field(
        0.0,
        description="Added to every mean reward: with a reward at or below zero there is no CAR, since a "
        "higher loss would raise it. Ranks depend on it",
    )


class Variant(Section, marks=RESULT):
    """A fine-tune on one teacher's answers that were sampled or chosen in another way."""

    run: Slug = Field(description="The fine-tune")
    group: Literal["sampling", "rejection", "outside"] = Field(
        description="sampling: another temperature or top-p (Figure 3); rejection: another choice among "
        "samples (Table 3); outside: on other instructions, or on answers from elsewhere (Table 2)"
    )
    temperature: float | None = Field(None, ge=0, description="Of the answers; 0 is greedy")
    top_p: float | None = Field(None, gt=0, le=1, description="Of the answers")
    choose: Literal["best", "worst", "sampled", "greedy"] | None = Field(
        None, description="Which answer to a prompt: by the reward, one at random, or the likeliest"
    )

    @model_validator(mode="after")
    def _whole(self) -> Variant:
        if self.group == "sampling" and (self.temperature is None or self.top_p is None):
            raise ValueError("a variant of the group 'sampling' has 'temperature' and 'top_p'")
        if self.group == "rejection" and self.choose is None:
            raise ValueError("a variant of the group 'rejection' has 'choose'")
        return self


class Teachers(Section, marks=RESULT):
    """Which teachers are compared for which base models, by what, and against which scores."""

    bases: list[Slug] = Field(min_length=1, description="Base models, which the study's runs start from")
    teachers: list[Slug] = Field(
        default_factory=list,
        max_length=MOST_TEACHERS,
        description="Models whose responses the study has; empty: all that answer its prompts",
    )
    origins: list[str] = Field(
        default_factory=list,
        description="Sources of the study's prompts: only answers to these tell a teacher; empty: to all",
    )
    benchmarks: list[str] = Field(
        min_length=1,
        description="Benchmarks of the evaluation whose mean is the truth, in percent: the paper's AP is of "
        "AlpacaEval 2 and Arena-Hard",
    )
    runs: list[Slug] | None = Field(
        None,
        description="Fine-tunes that count; null: all of a base on one teacher's answers but variants that "
        "are not greedy",
    )
    predictors: dict[Slug, Predictor] = Field(
        default_factory=dict,
        description="What may tell a good teacher, by name; CAR and others come by themselves",
    )
    car: Car | None = Field(None, description="Compatibility-adjusted reward; null: not reckoned")
    likelihoods: dict[Slug, Slug] = Field(
        default_factory=dict,
        description="Base model → the likelihood measure under it, which may name it by its hub id; of "
        "a base that is not here, it is the study's only one by that model",
    )
    variants: dict[Slug, Variant] = Field(
        default_factory=dict, description="Fine-tunes on answers that were sampled or chosen otherwise"
    )
    resamples: int = Field(
        1000, ge=100, le=100_000, description="Of the bootstrap of ranks, over conversations"
    )
    draws: int = Field(
        10_000, ge=100, le=100_000, description="Of the bootstrap over teachers, and of permutations"
    )

    @model_validator(mode="after")
    def _once(self) -> Teachers:
        for name in ("bases", "teachers", "benchmarks", "runs"):
            if double := twice(getattr(self, name) or []):
                raise ValueError(f"{name}: '{double}' stands twice")
        for name in self.predictors:
            if name in RESERVED or name.startswith(f"{CAR}-"):
                raise ValueError(f"predictors: '{name}' comes by itself; give yours another name")
        if not self.predictors and self.car is None:
            raise ValueError("nothing ranks the teachers: add 'car' or 'predictors'")
        for base in self.likelihoods:
            known_name(base, self.bases, "likelihoods:", after=" is not among the bases", error=ValueError)
        return self

    @property
    def needs_likelihood(self) -> bool:
        """Whether a likelihood under each base model is read."""
        return self.car is not None or any(p.measure is None for p in self.predictors.values())

    def likelihood_of(self, base: str, measures: Mapping[str, Row]) -> str:
        """The likelihood measure under a base model.

        Raises:
            ValueError: there is none, or several might be meant.
        """
        if base in self.likelihoods:
            return self.likelihoods[base]
        found = [n for n, row in measures.items() if row.kind == LIKELIHOOD and row.named_model == base]
        if len(found) == 1:
            return found[0]
        row = f"{{kind: likelihood, model: {base}}}"
        if not found:
            paths = [n for n, r in measures.items() if r.kind == LIKELIHOOD and "/" in (r.named_model or "")]
            named = "; or name the measure in teachers.likelihoods: " if paths else ""
            raise ValueError(
                f"teachers: no measure says how likely answers are under {base}: add {row}"
                f"{named}{', '.join(paths)}"
            )
        both = ", ".join(f"'{name}'" for name in found)
        raise ValueError(f"teachers.likelihoods: {both} are such measures: name the one meant for {base}")


def check_teachers(
    teachers: Teachers,
    measures: Mapping[str, Row],
    answering: Collection[str] | None,
    runs: Collection[str],
    benchmarks: Collection[str] | None,
) -> None:
    """Refuse what names nothing of the study, before anything is planned.

    Args:
        teachers: the section.
        measures: the study's.
        answering: models whose responses there are; None: imported ones, which are checked with their files.
        runs: the study's.
        benchmarks: of its evaluation; None without one.

    Raises:
        ValueError: says the key and the nearest match.
    """
    if answering is not None:
        for slug in teachers.teachers:
            after = " does not answer the study's prompts"
            known_name(slug, answering, "teachers.teachers:", after=after, error=ValueError)
    elif not teachers.teachers:
        raise ValueError("teachers.teachers: name those whose responses are imported")
    for name, predictor in teachers.predictors.items():
        where = f"teachers.predictors.{name}"
        if predictor.measure is not None:
            _number(where, predictor.measure, predictor.column, measures)
    if teachers.car:
        _number("teachers.car.reward", teachers.car.reward, teachers.car.column, measures)
    _check_likelihoods(teachers, measures)
    for slug in teachers.runs or ():
        known_name(slug, runs, "teachers.runs: no run", error=ValueError)
    for name, variant in teachers.variants.items():
        known_name(variant.run, runs, f"teachers.variants.{name}.run: no run", error=ValueError)
    if benchmarks is None:
        raise ValueError("teachers.benchmarks: they are of the section 'evaluation': add it")
    for slug in teachers.benchmarks:
        after = " is not among evaluation.benchmarks"
        known_name(slug, benchmarks, "teachers.benchmarks:", after=after, error=ValueError)


def _check_likelihoods(teachers: Teachers, measures: Mapping[str, Row]) -> None:
    """Each base model has its likelihood, where one is read."""
    for base, name in teachers.likelihoods.items():
        where = f"teachers.likelihoods.{base}"
        row = measures[known_name(name, measures, f"{where}: no measure", error=ValueError)]
        # A hub id or a folder may be the same model: check_study knows where each is.
        if row.kind != LIKELIHOOD or not (row.named_model == base or "/" in (row.named_model or "")):
            raise ValueError(f"{where}: '{name}' is no {{kind: likelihood, model: {base}}}")
    if teachers.needs_likelihood:
        for base in teachers.bases:
            name = teachers.likelihood_of(base, measures)
            for key, predictor in teachers.predictors.items():
                if predictor.measure is None:
                    _number(f"teachers.predictors.{key}", name, predictor.column, measures)


def _number(where: str, name: str, column: str | None, measures: Mapping[str, Row]) -> None:
    """A measure of responses has a column that is a number."""
    row = measures[known_name(name, measures, f"{where}: no measure", error=ValueError)]
    if row.of != "responses":
        raise ValueError(f"{where}: '{name}' is of {row.of}, and teachers are told by their responses")
    columns = row.columns()
    key = column or next(iter(columns))
    known_name(key, columns, f"{where}: {name} has no column", error=ValueError)
    if columns[key].form not in ("number", "integer"):
        raise ValueError(f"{where}: the column '{key}' of {name} is a {columns[key].form}, and no number")

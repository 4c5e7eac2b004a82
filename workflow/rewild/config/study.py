"""A study: what to compute, section by section."""

from __future__ import annotations

from collections.abc import Iterator
from operator import not_
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import HOW, LISTED, RESULT, SHOWN, Section, part, validate
from rewild.config.coverage import Coverage, check_coverage
from rewild.config.data import Data, check_data
from rewild.config.demo import Demo
from rewild.config.evaluation import Evaluation
from rewild.config.filters import Filter, with_filters
from rewild.config.findings import Findings
from rewild.config.gpus import Gpu
from rewild.config.imports import Import
from rewild.config.judging import Judging
from rewild.config.measures import Measure
from rewild.config.measures.base import PROMPTS
from rewild.config.measures.conditions import Condition, check_condition
from rewild.config.measures.derived import check_derived, rests_on
from rewild.config.measures.space import check_space
from rewild.config.mixes import Filters, FromSamples, Mix
from rewild.config.models import Model, Slug
from rewild.config.preferences import Preference
from rewild.config.prompts import Prompts
from rewild.config.release import Release
from rewild.config.responses import Responses
from rewild.config.runs import InheritedStyle, Run
from rewild.config.similarity import Diversity, Similarity
from rewild.config.teachers import Teachers, check_teachers
from rewild.core.errors import known_name, twice

MOVED = ("tables", "figures", "audit")
"""Keys of a study that say something of a paper, and once stood beside it."""


class WinRates(Section, marks=LISTED):
    """AlpacaEval win rates from released annotations."""

    library: bool = Field(
        False,
        description="Also run the alpaca_eval library, in its own environment (500 MB); with the "
        "Hugging Face hub it gives the leaderboard's length-controlled win rate",
    )


class Viewer(Section, marks=RESULT):
    """What `results/{study}/viewer` shows."""

    max_conversations: int = Field(
        10_000,
        ge=1,
        description="Conversations shown: those with the least ids, which are hashes, so a random sample",
    )
    models: list[str] = Field(
        default_factory=list, description="Models shown, in this order; empty shows all, by name"
    )
    judgments: list[str] = Field(
        default_factory=list,
        description="Files of judgments and scores to show beside the responses (docs/viewer.md has the "
        "columns); their conversations and models need not be all that are shown",
    )


class Shown(Section, marks=LISTED):
    """What a study shows of a paper. What a paper has, its room says (``rewild.papers``)."""

    tables: list[Slug] | None = Field(
        None, description="Tables to make, by their names; null: all that follow from the study's numbers"
    )
    figures: list[Slug] | None = Field(
        None, description="Figures to draw, by their names; null: all that follow from the study's numbers"
    )
    audit: bool = Field(False, description="Check its claims")


class Wordcloud(Section):
    """How the words of judgments (figures 3 and 4) are compared."""

    words: Annotated[int, part("figure")] = Field(40, ge=5, le=200, description="Words drawn in a figure")
    minimum: Annotated[int, part("words")] = Field(
        3, ge=1, description="Judgments a word must occur in, over both models"
    )


class Study(Section, marks=LISTED):
    """What one study computes. A section that is absent (null) is not run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: Annotated[str, SHOWN] = Field(description="One line, shown in reports")
    source: Annotated[Literal["published", "released", "computed"], RESULT] = Field(
        description="Where the numbers come from: transcribed, others' files, or this pipeline's models"
    )
    seed: Annotated[int, RESULT] = Field(50, ge=0, description="The seed of every random choice")
    papers: dict[Slug, Shown] = Field(
        default_factory=dict,
        description="Papers to show, by name, and what of them; 'all': every paper not named here",
    )
    collections: list[str] = Field(
        default_factory=list,
        description="Collections of released files it reads (resources/released/files.csv)",
    )
    style: bool = Field(False, description="Count Markdown styling in responses")
    judgments: Wordcloud | None = Field(None, description="Compare the words of judgments")
    win_rates: WinRates | None = Field(None, description="AlpacaEval win rates from released annotations")
    prompts: Prompts | None = Field(None, description="Conversations that models answer")
    similarity: Similarity | None = Field(None, description="Compare all models' responses, pair by pair")
    diversity: Diversity | None = Field(None, description="Measure each model's responses by themselves")
    responses: Responses | None = Field(None, description="Models that answer the prompts, and how")
    demo: Demo | None = Field(None, description="Models that the study makes itself, from scratch")
    imports: list[Import] = Field(
        default_factory=list, description="Responses that others released; each is a shard, in this order"
    )
    measures: dict[Slug, Measure] = Field(
        default_factory=dict, exclude_if=not_, description="What is said of each response or prompt, by name"
    )
    coverage: dict[Slug, Coverage] = Field(
        default_factory=dict,
        exclude_if=not_,
        description="Sets of prompts in one projection of an embedding's space, by name",
    )
    filters: dict[Slug, Filter] = Field(
        default_factory=dict,
        exclude_if=not_,
        description="Conditions on measures under a name, to which sources, mixes and sets of pairs refer",
    )
    data: Data | None = Field(
        None, exclude_if=not_, description="Figures and tables of what prompts and responses are like"
    )
    mixes: dict[Slug, Mix] = Field(default_factory=dict, description="Training mixes, by name")
    preferences: dict[Slug, Preference] = Field(
        default_factory=dict, description="Sets of preference pairs, by name"
    )
    runs: dict[Slug, Run] = Field(
        default_factory=dict, description="What is evaluated: fine-tunes, and models"
    )
    inherited_style: InheritedStyle | None = Field(
        None, description="Compare the styling of fine-tunes with that of the models they learned from"
    )
    findings: Findings | None = Field(
        None, description="State the paper's key findings of the study's own runs"
    )
    teachers: Teachers | None = Field(
        None, exclude_if=not_, description="Models to learn from, ranked before and after base models did"
    )
    throughput: bool = Field(False, description="Speed of the study's models, as their shards measured")
    judging: Judging = Field(
        default_factory=lambda: validate(Judging, {}, "judging"),
        description="How judged benchmarks are answered and judged",
    )
    viewer: Viewer | None = Field(None, description="A page to read the responses side by side")
    evaluation: Evaluation | None = Field(None, description="Benchmarks that the study's runs take")
    release: Release | None = Field(
        None, exclude_if=not_, description="What is made ready for the hub, under which terms"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_a_paper(cls, given: Any) -> Any:
        for key in MOVED if isinstance(given, dict) else ():
            if key in given:
                wanted = "true" if key == "audit" else "[...]"
                raise ValueError(
                    f"'{key}' is said of a paper: write 'papers: {{NAME: {{{key}: {wanted}}}}}' in its place"
                )
        return with_filters(given) if isinstance(given, dict) else given

    @property
    def made(self) -> dict[str, Model]:
        """The models that the study makes itself, as rows that join ``models.yaml`` when it is loaded."""
        return self.demo.registry(f"results/{self.name}/models") if self.demo else {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.responses and self.imports:
            raise ValueError("a study generates or imports responses; remove 'responses' or 'imports'")
        if double := twice([source.name for source in self.imports]):
            raise ValueError(f"imports: two are called '{double}'; give one of them another 'name'")
        if self.throughput and not self.responses:
            raise ValueError("throughput needs the measurements of a study's own 'responses'")
        if not (self.responses or self.imports):
            for section in ("similarity", "diversity", "viewer"):
                if getattr(self, section) is not None:
                    raise ValueError(f"{section} needs responses: add 'responses' or 'imports'")
        if self.viewer and self.responses:
            for model in self.viewer.models:
                _answers(model, self.responses.models, "viewer.models")
        self._check_mixes()
        self._check_origins()
        self._check_measures()
        if self.data:
            check_data(self.data, self.written, self.answering, self.measures, self.mixes)
        if self.teachers:
            answering = self.responses.models if self.responses else None if self.imports else []
            taken = self.evaluation.benchmarks if self.evaluation else None
            check_teachers(self.teachers, self.measures, answering, self.runs, taken)
        return self

    @property
    def written(self) -> dict[str, str | None]:
        """The sources of its prompts, or its imports, by name: the model that wrote them, if one did."""
        sources = self.prompts.sources if self.prompts else []
        writers = {s.name: getattr(s, "model", None) for s in sources}
        return writers or {source.name: None for source in self.imports}

    @property
    def answering(self) -> dict[str, list[str]] | None:
        """The models that answer each source of the prompts; None: others released the responses."""
        if self.imports:
            return None
        responses = self.responses
        origins = {m: responses.origins_of(m) for m in responses.models} if responses else {}
        return {s: [m for m, asked in origins.items() if not asked or s in asked] for s in self.written}

    def _check_origins(self) -> None:
        """Sources of prompts that are named are there, and the model that is drawn from answers them."""
        answers = {m: o.origins for m, o in self.responses.overrides.items()} if self.responses else {}
        named: list[tuple[str, list[str], str | None]] = [
            (f"responses.overrides.{m}", origins, None) for m, origins in answers.items()
        ]
        for name, mix in self.mixes.items():
            named += [
                (f"mixes.{name}: {s.label}", s.origins, s.model if s.kind == "responses" else None)
                for s in mix.sources
                if s.kind in ("responses", "prompts")
            ]
        named += [(f"preferences.{name}", p.origins, None) for name, p in self.preferences.items()]
        if self.teachers:
            named.append(("teachers", self.teachers.origins, None))
        known = [source.name for source in self.prompts.sources] if self.prompts else []
        for where, origins, model in named:
            for origin in origins:
                after = " is not among the sources of the study's prompts"
                known_name(origin, known, f"{where}: origins:", after=after, error=ValueError)
                asked = answers.get(model) if model else None
                if asked and origin not in asked:
                    raise ValueError(
                        f"{where}: origins: {model} answers {', '.join(asked)} only; add '{origin}' to "
                        f"responses.overrides.{model}.origins, or draw from another"
                    )

    def _check_measures(self) -> None:
        """Measures have something to measure, and who filters by one names one that there is."""
        for name, measure in self.measures.items():
            if measure.of == "responses" and not (self.responses or self.imports):
                raise ValueError(f"measures.{name}: it is of responses: add 'responses' or 'imports'")
            if measure.of == PROMPTS and not (self.prompts or self.imports):
                raise ValueError(f"measures.{name}: it is of prompts: add 'prompts'")
        for name in self.measures:
            check_derived(name, self.measures, self.responses.models if self.responses else None)
            check_space(name, self.measures)
        sources = [source.name for source in self.prompts.sources] if self.prompts else []
        for name, coverage in self.coverage.items():
            check_coverage(name, coverage, self.measures, sources)
        for where, condition, of in self._conditions():
            try:
                check_condition(condition, self.measures, of)
                if of == (PROMPTS,):
                    rests_on(condition.measure, self.measures, PROMPTS)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error

    @property
    def measures_of_prepared(self) -> set[str]:
        """Measures that filters of prompt sources read, or rest on: of all prompts that these choose from."""
        sources = self.prompts.sources if self.prompts else []
        read = {condition.measure for source in sources for condition in source.filters}
        return {name for one in read for name in rests_on(one, self.measures)}

    def _conditions(self) -> Iterator[tuple[str, Condition, tuple[str, ...]]]:
        """Every condition of the study: where it stands, and what may be measured of what it is about."""
        both = ("responses", PROMPTS)
        for name, row in self.filters.items():
            yield from ((f"filters.{name}", condition, both) for condition in row.conditions)
        for source in self.prompts.sources if self.prompts else ():
            where = f"prompts.sources: {source.name}: filters"
            yield from ((where, condition, (PROMPTS,)) for condition in source.filters)
        for name, mix in self.mixes.items():
            for label, condition, of in mix.conditions():
                yield f"mixes.{name}: {label}: filters.measures", condition, of
        for name, pairs in self.preferences.items():
            yield from ((f"preferences.{name}: filters", condition, both) for condition in pairs.filters)

    def _check_samples(self, where: str, source: FromSamples, filters: Filters) -> None:
        """Samples are of a set of pairs, which says what the best and the worst are chosen among."""
        known_name(source.of, self.preferences, f"{where}: of: no set of pairs", error=ValueError)
        pairs = self.preferences[source.of]
        if source.model != pairs.model:
            raise ValueError(f"{where}: model: it is {pairs.model} who answers there")
        for key in ("unfinished", "repetition", "garbled") if source.choose != "sampled" else ():
            asked = getattr(filters, key)
            if asked not in (None, "keep", getattr(pairs, key)):
                raise ValueError(
                    f"{where}: filters.{key}: {asked}: the {source.choose} is chosen among the answers that "
                    f"the set grades: say it there (preferences.{source.of}.{key})"
                )

    def _check_mixes(self) -> None:
        """Mixes and pairs name models that answer here; a run names either, so their names differ."""
        answering = self.responses.models if self.responses else []
        for name, mix in self.mixes.items():
            for source in mix.sources:
                if source.kind == "samples":
                    self._check_samples(
                        f"mixes.{name}: {source.label}", source, source.filters or mix.filters
                    )
            for model in mix.models():
                if self.responses:
                    _answers(model, answering, f"mixes.{name}")
                if not (self.responses or self.imports):
                    raise ValueError(f"mixes.{name}: it draws from responses: add 'responses' or 'imports'")
            if self.prompts is None and any(source.kind == "prompts" for source in mix.sources):
                raise ValueError(f"mixes.{name}: it draws from the study's prompts: add 'prompts'")
        for name, preference in self.preferences.items():
            _answers(preference.model, answering, f"preferences.{name}")
            if self.prompts is None:
                raise ValueError(f"preferences.{name}: it draws from the study's prompts: add 'prompts'")
            if name in self.mixes:
                raise ValueError(f"preferences.{name}: a mix has this name too; rename one of them")


def _answers(model: str, answering: list[str], where: str) -> None:
    known_name(model, answering, f"{where}:", after=" is not among responses.models", error=ValueError)


class Defaults(Section):
    """``config/config.yaml``: what to run unless told otherwise, and where released files come from."""

    study: Annotated[str, LISTED] = Field(
        "paper", description="The study that `snakemake` without a target makes"
    )
    mirror: Annotated[str | None, HOW] = Field(
        None,
        description="A folder or base URL that replaces the public one for released files "
        "(OWNER/REPO/COMMIT/PATH below it)",
    )
    gpus: Annotated[dict[str, Gpu], HOW] = Field(
        default_factory=dict, description="GPU types besides H100-80, H200-141 and A100-80"
    )
    licences: Annotated[list[str], HOW] = Field(
        default_factory=list,
        description="Licences of models that you have read and accept; `rewild preflight` lists the others",
    )
    defaults: Annotated[dict[str, Any], LISTED] = Field(
        default_factory=dict, description="Values every study starts from"
    )

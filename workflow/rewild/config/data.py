"""What a study's data is like: sets of prompts with a model's responses, laid side by side (docs/data.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import Field, model_validator

from rewild.config.base import RESULT, Section
from rewild.config.measures.base import Row
from rewild.config.models import Slug
from rewild.core.errors import known_name, twice

Role = Literal[
    "prompt_length",
    "response_length",
    "category",
    "quality",
    "difficulty",
    "distance",
    "reward",
    "difference",
    "safety",
    "contamination",
    "verbs",
]
ROLES: tuple[Role, ...] = get_args(Role)
MOST_SETS = 7
"""Sets in a figure: as many looks as are told apart (:mod:`rewild.core.plotting`)."""


@dataclass(frozen=True)
class Meant:
    """Which measures can play a part."""

    kind: str
    of: str | None = None
    scheme: str | None = None

    def fits(self, row: Row) -> bool:
        """Whether a row can."""
        scheme = getattr(row, "scheme", None)
        return row.kind == self.kind and self.of in (None, row.of) and self.scheme in (None, scheme)

    def __str__(self) -> str:
        scheme = f", scheme: {self.scheme}" if self.scheme else ""
        return f"{{kind: {self.kind}{f', of: {self.of}' if self.of else ''}{scheme}}}"


PARTS: dict[Role, Meant] = {
    "prompt_length": Meant("length", "prompts"),
    "response_length": Meant("length", "responses"),
    "category": Meant("label", "prompts", "category"),
    "quality": Meant("label", "prompts", "quality"),
    "difficulty": Meant("label", "prompts", "difficulty"),
    "distance": Meant("neighbour"),
    "reward": Meant("reward", "responses"),
    "difference": Meant("difference", "responses"),
    "safety": Meant("safety"),
    "contamination": Meant("match", "prompts"),
    "verbs": Meant("verbs", "prompts"),
}


class DataSet(Section, marks=RESULT):
    """Prompts that are looked at together, and a model's responses to them."""

    source: str | None = Field(
        None, description="A source of the study's prompts, or an import; null: all of them"
    )
    mix: Slug | None = Field(
        None, description="A mix of the study: only conversations that are in it; null: all of the source"
    )
    responses: Slug | None = Field(
        None,
        description="The model whose responses go with them; null: the one that wrote the prompts, or the "
        "only one that answers",
    )
    title: str | None = Field(None, description="What figures and tables call it; null: its name")
    published: str | None = Field(
        None, description="Its name in MAGPIE's tables, such as MAGPIE-Air, to be laid beside these numbers"
    )


class Price(Section, marks=RESULT):
    """What an hour of one GPU costs."""

    dollars: float = Field(gt=0, description="US dollars per GPU-hour")
    source: str = Field(min_length=1, description="Where the price is from, with its day")


class Data(Section, marks=RESULT):
    """Figures and tables of MAGPIE's sections 3 and D, of a study's own data."""

    sets: dict[Slug, DataSet] = Field(
        default_factory=dict, description="What is compared, by name; empty: each source of the prompts"
    )
    measures: dict[Role, Slug] = Field(
        default_factory=dict,
        description="Which measure plays which part; null: the study's only one of that kind",
    )
    system: list[Slug] | None = Field(
        None,
        min_length=2,
        description="Sets written without and with a system prompt, to be laid side by side; null: none",
    )
    verbs: int = Field(20, ge=1, le=40, description="Verbs shown, the most frequent ones")
    nouns: int = Field(5, ge=1, le=10, description="Objects shown of each verb")
    bins: int = Field(40, ge=5, le=200, description="Bars of a histogram, about")
    resamples: int = Field(1000, ge=100, le=100_000, description="Of the bootstrap, over conversations")
    price: Price | None = Field(
        None, description="Of a GPU-hour; null: that of the GPU in resources/cost/assumptions.yaml"
    )

    @model_validator(mode="after")
    def _few(self) -> Data:
        if len(self.sets) > MOST_SETS:
            raise ValueError(
                f"sets: {len(self.sets)} are more than {MOST_SETS}, which a figure can tell apart"
            )
        if double := twice([row.title or name for name, row in self.sets.items()]):
            raise ValueError(f"sets: two are called '{double}'; give one of them another 'title'")
        return self

    def resolved(
        self,
        sources: Mapping[str, str | None],
        answering: Mapping[str, Sequence[str]] | None,
        mixes: Mapping[str, Sequence[str]] | None = None,
    ) -> dict[str, DataSet]:
        """The sets with what is null filled in, where something follows.

        Args:
            sources: of prompts → the model that wrote them, if one did.
            answering: source → models that answer it; None: others released the responses.
            mixes: mix → the models whose responses it holds.
        """
        given = self.sets or {name: DataSet.model_validate({"source": name}) for name in sources}
        found = {}
        for name, row in given.items():
            models = responders(row.source, answering)
            in_mix = (mixes or {}).get(row.mix or "", models)
            models = [model for model in models if model in in_mix]
            writer = sources.get(row.source) if row.source else None
            usual = writer if writer in models else models[0] if len(models) == 1 else None
            answers = row.responses or usual
            if answering is not None and answers not in models:  # a command line left it out
                answers = None
            found[name] = row.model_copy(update={"responses": answers, "title": row.title or name})
        return found


def responders(source: str | None, answering: Mapping[str, Sequence[str]] | None) -> list[str]:
    """The models that answer a source of prompts, or all of them."""
    lists = list((answering or {}).values()) if source is None else [(answering or {}).get(source, ())]
    return [model for model in (lists[0] if lists else ()) if all(model in models for models in lists)]


def candidates(role: Role, measures: Mapping[str, Row]) -> list[str]:
    """The measures that can play a part, in the study's order."""
    return [name for name, row in measures.items() if PARTS[role].fits(row)]


def check_data(
    data: Data,
    sources: Mapping[str, str | None],
    answering: Mapping[str, Sequence[str]] | None,
    measures: Mapping[str, Row],
    mixes: Collection[str] = (),
) -> None:
    """Refuse what names nothing, or might mean two things.

    Args:
        data: the section.
        sources: of prompts → the model that wrote them, if one did.
        answering: source → models that answer it; None: others released the responses.
        measures: the study's.
        mixes: the study's.

    Raises:
        ValueError: says the key, what there is and the nearest match.
    """
    if not sources:
        raise ValueError("data: there is nothing to describe: add 'prompts' or 'imports'")
    if len(sources) > MOST_SETS and not data.sets:
        raise ValueError(
            f"data.sets: there are {len(sources)} sources, and a figure tells {MOST_SETS} apart: name sets"
        )
    for name, row in data.sets.items():
        where = f"data.sets.{name}"
        if row.source is not None:
            known_name(row.source, sources, f"{where}.source: no source of prompts", error=ValueError)
        if row.mix is not None:
            known_name(row.mix, mixes, f"{where}.mix: no mix", error=ValueError)
        if row.responses is not None and answering is not None:
            after = " does not answer these prompts"
            models = responders(row.source, answering)
            known_name(row.responses, models, f"{where}.responses:", after=after, error=ValueError)
    for name in data.system or ():
        known_name(name, data.sets or sources, "data.system: no set", error=ValueError)
    for role in ROLES:
        found, named = candidates(role, measures), data.measures.get(role)
        if named is not None:
            known_name(named, measures, f"data.measures.{role}: no measure", error=ValueError)
            if named not in found:
                raise ValueError(f"data.measures.{role}: '{named}' is no {PARTS[role]}")
        elif len(found) > 1:
            both = ", ".join(f"'{one}'" for one in found)
            raise ValueError(f"data.measures.{role}: {both} are such measures; name the one that is meant")

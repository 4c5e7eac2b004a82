"""Labels by a language model: a stated rubric, the columns that a reply gives, and who is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from rewild import own
from rewild.config.base import HOW, RESULT, SHOWN, Section, identity, validate
from rewild.config.benchmarks import RUBRIC
from rewild.config.engines import EngineName, find_engine
from rewild.config.measures.base import OTHERS, Kind, Row, Value
from rewild.config.responses import Compute
from rewild.core.errors import ConfigError, known_name, twice
from rewild.core.reading_yaml import read_yaml

SCHEMES = "resources/labels"
"""The folder of the schemes that come with the workflow, one ``NAME.yaml`` each."""
LONGEST = 2000
"""Characters of a free text, at most: a model that writes more has lost its way."""


class LabelColumn(Section, marks=RESULT):
    """One column of a scheme, and one field of the reply."""

    what: str = Field(min_length=1, description="What is asked for, in a few words; the model reads it")
    levels: list[str] | None = Field(
        None, min_length=2, description="What it may be, if not any text; from the lowest to the highest"
    )
    ordered: bool = Field(False, description="The levels have an order: a filter may say at_least")
    several: bool = Field(False, description="Any number of the levels, none too; kept with commas between")
    pattern: str | None = Field(None, description="A regular expression that all of a free text must match")
    optional: bool = Field(False, description="null is a reply: it cannot be told")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        levels = self.levels or []
        if double := twice([normal(level) for level in levels]):
            raise ValueError(f"levels: '{double}' stands twice (case and spaces do not count)")
        if any(not level.strip() for level in levels):
            raise ValueError("levels: one of them is empty")
        for key in ("ordered", "several"):
            if getattr(self, key) and not levels:
                raise ValueError(f"{key}: it needs levels")
        if self.several and (odd := [level for level in levels if "," in level]):
            raise ValueError(f"several: the level '{odd[0]}' holds a comma, which stands between levels")
        if self.pattern is not None:
            if levels:
                raise ValueError("pattern: it is for a free text, and there are levels")
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern: '{self.pattern}' is no regular expression: {error}") from error
        return self

    @property
    def value(self) -> Value:
        """The column of the measure; several levels are a text without an order."""
        levels = () if self.several else tuple(self.levels or ())
        return Value("text", self.what, levels, ordered=self.ordered or not levels)


class Scheme(Section, marks=RESULT):
    """How texts are labelled: what the model is told, and the columns that its reply gives, in its order."""

    title: Annotated[str | None, SHOWN] = Field(None, description="One line for readers")
    source: Annotated[str | None, SHOWN] = Field(None, description="After whom, where it is not one's own")
    main: str = Field(description="The column that a filter means which names none")
    rubric: dict[Literal["prompts", "responses"], str] = Field(
        min_length=1, description="What the model is told, by what is labelled"
    )
    columns: dict[str, LabelColumn] = Field(min_length=1, description="The fields of a reply, in order")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in self.columns:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in OTHERS:
                raise ValueError(
                    f"columns: '{name}' cannot be a column's name: small letters, digits and _, "
                    f"and none of {', '.join(OTHERS)}"
                )
        known_name(self.main, self.columns, "main:", after=" is not among its columns", error=ValueError)
        if empty := [of for of, text in self.rubric.items() if not text.strip()]:
            raise ValueError(f"rubric.{empty[0]}: it is empty")
        return self


def normal(level: str) -> str:
    """A level as it is compared: case and runs of spaces do not count."""
    return " ".join(level.split()).casefold()


def schemes() -> list[str]:
    """The names of the schemes that come with the workflow."""
    return sorted(path.stem for path in Path(own(SCHEMES)).glob("*.yaml"))


@cache
def find_scheme(name: str) -> Scheme:
    """A scheme by its name, or from a study's own file.

    Args:
        name: one of :func:`schemes`, or a path that ends in ``.yaml``.

    Raises:
        ConfigError: there is none, with the nearest match; or it is not what it should be.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(own(name))
        if not path.is_file():
            raise ConfigError(f"the file {name} is not there")
    else:
        path = Path(own(f"{SCHEMES}/{known_name(name, schemes(), 'unknown scheme', listed='schemes')}.yaml"))
    found = read_yaml(path)
    return validate(Scheme, found, f"scheme {name} ({path})")


class Asks(Row):
    """A measure by a language model that is asked, whatever runs it: an endpoint, or an engine here."""

    of: Literal["responses", "prompts"] = Field("prompts", description="What is measured")
    model: str = Field(
        description="A model of models.yaml or the study's own, a hub id, a folder, the name that an "
        f"endpoint knows it by, or `{RUBRIC}`: the program that stands in for a model"
    )
    revision: str | None = Field(
        None, pattern=r"^[0-9a-f]{40}$", description="Commit of a hub id; a row of models.yaml has its own"
    )
    engine: EngineName = Field("vllm", description="What runs it; `openai` asks an endpoint")
    precision: Literal["fp32", "bf16", "fp8"] = Field("bf16", description="Of weights that are loaded here")
    context: int = Field(
        8192, ge=64, description="Tokens of prompt and reply, where it runs here; a longer one is a failure"
    )
    max_tokens: int = Field(512, ge=1, description="Longest reply, in tokens")
    temperature: float = Field(0.0, ge=0, le=2, description="0 takes the likeliest token")
    attempts: int = Field(3, ge=1, le=10, description="Calls per text until its reply fits")
    compute: Annotated[Compute | None, HOW] = Field(
        None, description="How it is run: GPU, endpoint, key; null: as the study's responses.compute"
    )
    chunk: Annotated[int | None, HOW] = Field(
        None,
        ge=1,
        description="Replies that are kept together; null: 64 of an endpoint, which are under way at "
        "most, too; else compute.chunk",
    )

    @model_validator(mode="before")
    @classmethod
    def _program(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("model") == RUBRIC:
            return {"engine": "openai", **given}
        return given

    @model_validator(mode="after")
    def _able(self) -> Self:
        if self.model == RUBRIC and not self.remote:
            raise ValueError(f"engine: '{RUBRIC}' is a program that is asked as an endpoint is, by `openai`")
        if self.compute and self.compute.vllm.given and self.engine != "vllm":
            raise ValueError(f"compute.vllm: the engine is {self.engine}")
        if self.max_tokens >= self.context:
            raise ValueError(
                f"max_tokens: replies of {self.max_tokens} tokens leave no room for a prompt in a context of "
                f"{self.context}"
            )
        return self

    @property
    def remote(self) -> bool:
        """Whether an endpoint has the weights."""
        return find_engine(self.engine).remote

    @property
    def named_model(self) -> str | None:
        """The model, where it is loaded here."""
        return None if self.remote else self.model

    @property
    def environment(self) -> str | None:
        """The engine's."""
        return find_engine(self.engine).environment


class Label(Asks):
    """What a language model says of a text, by a rubric, as JSON of a stated form."""

    row = Kind("rewild.measures.labels:Labels", {}, needs="generate", context=True)
    kind: Literal["label"]
    scheme: Annotated[
        Annotated[str, Tag("name")] | Annotated[Scheme, Tag("own")],
        Discriminator(lambda given: "name" if isinstance(given, str) else "own"),
    ] = Field(description=f"A name of {SCHEMES}, a YAML file of the study's own, or a scheme itself")

    constrained: bool = Field(
        False, description="vLLM writes nothing but JSON of the form; the reply is read as any other"
    )

    @field_validator("scheme")
    @classmethod
    def _there(cls, given: str | Scheme) -> str | Scheme:
        if isinstance(given, str):
            try:
                find_scheme(given)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return given

    @model_validator(mode="after")
    def _about(self) -> Self:
        if self.constrained and self.engine != "vllm":
            raise ValueError(
                f"constrained: vllm alone holds a reply to its form; the engine is {self.engine}"
            )
        if self.of not in self.stated.rubric:
            listed = ", ".join(self.stated.rubric)
            raise ValueError(f"of: the scheme says how {listed} are labelled, not {self.of}")
        return self

    @property
    def stated(self) -> Scheme:
        """The scheme itself."""
        return find_scheme(self.scheme) if isinstance(self.scheme, str) else self.scheme

    def columns(self) -> dict[str, Value]:
        """Those of the scheme, the main one first."""
        scheme = self.stated
        names = [scheme.main, *(name for name in scheme.columns if name != scheme.main)]
        return {name: scheme.columns[name].value for name in names}

    @property
    def identity(self) -> dict[str, Any]:
        """With what the scheme says in place of its name."""
        scheme = identity(self.stated)
        return super().identity | {"scheme": scheme | {"rubric": scheme["rubric"][self.of]}}

"""What a row of the section ``measures`` has, whatever its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import CUT, HOW, RESULT, Section, identity
from rewild.config.engines import Ability, find_engine
from rewild.config.models import Slug
from rewild.config.vllm import VllmArguments

Form = Literal["number", "integer", "flag", "text"]
PROMPTS = "prompts"
"""The subject of a measure of prompts; else the subject is the slug of the model that answered."""
WHOLE = "all"
"""The part of a subject that is measured in one job; else a part is a shard."""
OTHERS = ("conversation_id", "turn", "sample", "failure")
"""The columns of a measure's file that are no values; :mod:`rewild.core.measures` has them, with polars."""
DERIVED = "derived"
"""The part of a subject that is made from the files of other measures, in one job."""
VECTORS = "vectors-"
"""Before the shard, in the name of a part that has vectors beside it."""
SPACE = "space"
"""The part of a subject that is measured by all its vectors, in one job."""


@dataclass(frozen=True)
class Value:
    """One column of a measure.

    Attributes:
        form: number, integer, flag (true or false) or text.
        what: what it says, with its unit.
        levels: of a text, what it may be, from the lowest to the highest; empty where it may be anything.
        ordered: whether the levels have an order.
    """

    form: Form
    what: str
    levels: tuple[str, ...] = ()
    ordered: bool = True


@dataclass(frozen=True)
class Kind:
    """One kind of measure.

    Attributes:
        path: ``module:Class`` of a :class:`rewild.measures.base.Measurer`; imported when it is at work.
        columns: what it says of a text; the first is meant where no column is named.
        version: raise when the same settings would say something else.
        needs: what an engine must be able to do for it; None: no engine.
        context: whether it reads what was said before the text.
        vectors: whether it also makes a vector of each text.
    """

    path: str
    columns: Mapping[str, Value]
    version: int = 1
    needs: Ability | None = None
    context: bool = False
    vectors: bool = False


class Side(Section, marks=RESULT):
    """What is taken of another measure: for each text that is measured, the value of the same turn."""

    measure: Slug = Field(description="A row of the study's `measures`")
    column: str | None = Field(None, description="One of its columns, a number; null: its first")
    subject: Slug | None = Field(
        None, description="Whose: a model, such as a base model; null: the one that is measured"
    )


class Row(Section, marks=RESULT):
    """What every row has."""

    row: ClassVar[Kind]
    kind: str
    of: Literal["responses", "prompts"] = Field("responses", description="What is measured")

    def columns(self) -> dict[str, Value]:
        """What it says, given its settings; the first column is the main one."""
        return dict(self.row.columns)

    @property
    def by_shard(self) -> bool:
        """Whether a job measures a shard of a subject's texts, and not all of them."""
        return self.row.needs is not None

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that its values depend on, and the version of its kind."""
        return identity(self) | {"version": self.row.version}

    @property
    def sides(self) -> tuple[Side, ...]:
        """Other measures of the study from whose files it is made, in place of texts."""
        return ()

    @property
    def vectors_of(self) -> str | None:
        """The measure whose vectors it is made from, in place of texts."""
        return None

    @property
    def named_model(self) -> str | None:
        """The model whose files it reads."""
        return None

    @property
    def environment(self) -> str | None:
        """The environment of a tool that it runs in; None is the workflow's own."""
        return None

    @property
    def gpus(self) -> int:
        """GPUs that a job of it takes."""
        return 0


class Loaded(Row):
    """A measure by a model whose weights are loaded here."""

    model: str = Field(description="A model of models.yaml or the study's own, a hub id, or a folder")
    revision: str | None = Field(
        None, pattern=r"^[0-9a-f]{40}$", description="Commit of a hub id; a row of models.yaml has its own"
    )
    engine: str = Field(description="What runs it (rewild.config.engines)")
    precision: Literal["fp32", "bf16"] = Field("bf16", description="Of the weights")
    context: int = Field(4096, ge=16, description="Tokens; a longer text is a failure, not cut")
    device: Annotated[Literal["auto", "cpu", "cuda"], HOW] = Field("auto", description="cpu takes no GPU")

    @model_validator(mode="after")
    def _able(self) -> Self:
        find_engine(self.engine, self.row.needs)
        return self

    @property
    def named_model(self) -> str | None:
        """The model that measures."""
        return self.model

    @property
    def environment(self) -> str | None:
        """The engine's."""
        return find_engine(self.engine).environment

    @property
    def gpus(self) -> int:
        """One, unless it runs on a CPU."""
        return int(self.device != "cpu")


class Parted(Loaded):
    """One whose texts are measured shard by shard, or all in one job."""

    whole: Annotated[bool, CUT] = Field(
        False,
        description="Whether one job measures all texts of a model: where loading it takes longer than "
        "measuring a shard",
    )

    @property
    def by_shard(self) -> bool:
        """Unless it is to be one job."""
        return not self.whole


class Scored(Parted):
    """A measure by the log-probabilities of tokens under a language model."""

    engine: str = Field("transformers", description="The engine that runs the model")
    budget: Annotated[int | None, HOW] = Field(
        None, ge=1, description="Tokens that transformers scores at once; null: what suits the device"
    )
    vllm: VllmArguments = Field(
        VllmArguments(), description="Arguments of vLLM's engine, such as max_num_seqs"
    )

    @model_validator(mode="after")
    def _told(self) -> Self:
        if self.vllm.given and self.engine != "vllm":
            raise ValueError(f"vllm: the engine is {self.engine}")
        return self

"""Measures: what is said of each response or prompt. Settings, and the table of all kinds.

A study's section ``measures`` names rows; a row's ``kind`` picks a module by :data:`KINDS`, which is looked
up and not imported: a dry run plans with it. Another kind is a section and a row here, and one module of
:mod:`rewild.measures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import HOW, RESULT, Section, identity
from rewild.config.engines import Ability, find_engine
from rewild.config.models import Slug
from rewild.config.vllm import VllmArguments
from rewild.core.errors import nearest

Form = Literal["number", "integer", "flag", "text"]
PROMPTS = "prompts"
"""The subject of a measure of prompts; else the subject is the slug of the model that answered."""
WHOLE = "all"
"""The part of a subject that is measured in one job; else a part is a shard."""


@dataclass(frozen=True)
class Value:
    """One column of a measure.

    Attributes:
        form: number, integer, flag (true or false) or text.
        what: what it says, with its unit.
        levels: of a text, what it may be, from the lowest to the highest; empty where there is no order.
    """

    form: Form
    what: str
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """One kind of measure.

    Attributes:
        path: ``module:Class`` of a :class:`rewild.measures.base.Measurer`; imported when it is at work.
        columns: what it says of a text; the first is meant where no column is named.
        version: raise when the same settings would say something else.
        needs: what an engine must be able to do for it; None: no engine.
        context: whether it reads what was said before the text.
    """

    path: str
    columns: Mapping[str, Value]
    version: int = 1
    needs: Ability | None = None
    context: bool = False


class _Measure(Section, marks=RESULT):
    """What every row has."""

    kind: str
    of: Literal["responses", "prompts"] = Field("responses", description="What is measured")

    @property
    def row(self) -> Kind:
        """Its kind."""
        return KINDS[self.kind]

    def columns(self) -> dict[str, Value]:
        """What it says, given its settings; the first column is the main one."""
        return dict(self.row.columns)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that its values depend on, and the version of its kind."""
        return identity(self) | {"version": self.row.version}

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


class Language(_Measure):
    """The language of a text (py3langid; code and addresses do not count)."""

    kind: Literal["language"]


class Length(_Measure):
    """How long a text is: in characters, in words, in tokens of a tokenizer that is named."""

    kind: Literal["length"]
    tokenizer: str | None = Field(
        None, description="A model (of models.yaml, or the study's own) whose tokenizer counts; null: none"
    )

    def columns(self) -> dict[str, Value]:
        """Tokens are a column where something counts them."""
        return {n: v for n, v in self.row.columns.items() if n != "tokens" or self.tokenizer}

    @property
    def named_model(self) -> str | None:
        """Whose tokenizer it is."""
        return self.tokenizer

    @property
    def environment(self) -> str | None:
        """A tokenizer needs its library."""
        return "engine-cpu" if self.tokenizer else None


class Style(_Measure):
    """Markdown styling: elements of the HTML that a text renders to, as Table 3 of WILDCHAT-50M counts."""

    kind: Literal["style"]


class Diversity(_Measure):
    """How varied the words of one text are. All of it falls with length: compare texts of like length."""

    kind: Literal["diversity"]


class Repetition(_Measure):
    """Whether a text repeats itself, or is no text."""

    kind: Literal["repetition"]


class Refusal(_Measure):
    """Whether a response begins with a refusal (English)."""

    kind: Literal["refusal"]
    of: Literal["responses"] = "responses"


class _Loaded(_Measure):
    """A measure by a model whose weights are loaded here."""

    model: str = Field(description="A model of models.yaml or the study's own, a hub id, or a folder")
    revision: str | None = Field(
        None, pattern=r"^[0-9a-f]{40}$", description="Commit of a hub id; a row of models.yaml has its own"
    )
    engine: str = Field(description="What runs it (rewild.config.engines)")
    precision: Literal["fp32", "bf16"] = Field("bf16", description="Of the weights")
    context: int = Field(4096, ge=16, description="Tokens; a longer text is a failure, not cut")
    device: Annotated[Literal["auto", "cpu", "cuda"], HOW] = Field("auto", description="cpu takes no GPU")
    batch: Annotated[int, HOW] = Field(8, ge=1, description="Texts at once")

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


class Perplexity(_Loaded):
    """How likely a text is under a language model, token by token.

    Counted are the tokens of the text alone, encoded by themselves: the same ones whatever is given before.
    The first token is predicted from what is given, or from the beginning-of-sequence token (the
    end-of-sequence token of a model that has none). The token that ends an answer is not counted.
    """

    kind: Literal["perplexity"]
    engine: str = "transformers"
    given: Literal["conversation", "nothing"] = Field(
        "conversation", description="What stands before the text: all that was said before it, or nothing"
    )
    template: Literal["chat", "none"] = Field(
        "chat",
        description="chat: the model's own chat template, up to the assistant's header; none: the "
        "earlier messages, each followed by a line break",
    )

    vllm: VllmArguments = Field(
        VllmArguments(), description="Arguments of vLLM's engine, such as max_num_seqs"
    )

    @model_validator(mode="after")
    def _answers(self) -> Self:
        if self.vllm.given and self.engine != "vllm":
            raise ValueError(f"vllm: the engine is {self.engine}")
        if self.of == "prompts" and self.given == "conversation" and self.template == "chat":
            raise ValueError(
                "a chat template puts answers after a conversation: `template: none` for prompts"
            )
        return self


class Reward(_Loaded):
    """What a sequence-classification model says of a conversation that ends in the response."""

    kind: Literal["reward"]
    of: Literal["responses"] = "responses"
    engine: str = "classifier"
    output: str | None = Field(None, description="The label that is the reward; null: the only one there is")


Measure = Annotated[
    Language | Length | Style | Diversity | Repetition | Refusal | Perplexity | Reward,
    Field(discriminator="kind"),
]

_HOW_OFTEN = "Elements {} of the HTML that the text renders to"
KINDS: dict[str, Kind] = {
    "language": Kind(
        "rewild.measures.plain:Language",
        {"language": Value("text", "ISO 639-1 code; null where there is too little text, or too mixed")},
    ),
    "length": Kind(
        "rewild.measures.plain:Length",
        {
            "words": Value("integer", "Words of any script"),
            "characters": Value("integer", "Unicode characters"),
            "tokens": Value("integer", "Tokens of the text alone, without any that a tokenizer adds"),
        },
    ),
    "style": Kind(
        "rewild.measures.plain:Style",
        {
            "per_1000_words": Value("number", "All styling elements but paragraphs, per 1,000 visible words"),
            **{
                t: Value("integer", _HOW_OFTEN.format(t))
                for t in ["strong", "em", "ol", "ul", "h1", "h2", "h3", "h4", "p"]
            },
            "words": Value("integer", "Words of the visible text"),
            "html_characters": Value("integer", "Characters of the HTML"),
        },
    ),
    "diversity": Kind(
        "rewild.measures.plain:Diversity",
        {
            **{f"distinct{n}": Value("number", f"Distinct {n}-grams of words over all") for n in (1, 2, 3)},
            "compression_ratio": Value("number", "Bytes over bytes after DEFLATE (level 9)"),
        },
    ),
    "repetition": Kind(
        "rewild.measures.plain:Repetition",
        {
            "repetition": Value("number", "Share of the 4-grams of words that stood earlier in the text"),
            "garbled": Value("number", "Share of the characters that are no text"),
        },
    ),
    "refusal": Kind(
        "rewild.measures.plain:Refusal",
        {
            "explicit": Value("flag", "The opening says that the writer cannot or will not help"),
            "zou2023": Value("flag", "It begins with one of the prefixes of Zou et al. (2023)"),
        },
    ),
    "perplexity": Kind(
        "rewild.measures.perplexity:Perplexity",
        {
            "logprob": Value("number", "Mean natural log-probability of a token of the text"),
            "perplexity": Value("number", "exp(-logprob)"),
            "total": Value("number", "Sum of the log-probabilities"),
            "tokens": Value("integer", "Tokens that were counted"),
        },
        needs="score",
        context=True,
    ),
    "reward": Kind(
        "rewild.measures.reward:Reward",
        {"reward": Value("number", "The logit; more is better")},
        needs="classify",
        context=True,
    ),
}
"""Every kind there is."""


class Condition(Section, marks=RESULT):
    """A condition on a measure: what does not meet it is left out."""

    measure: Slug = Field(description="A row of the study's `measures`")
    column: str | None = Field(None, description="One of its columns; null: its first")
    at_least: float | str | None = Field(None, description="Lowest value; a level, of a column with levels")
    at_most: float | str | None = Field(None, description="Highest value, or level")
    one_of: list[str | int | bool] | None = Field(None, min_length=1, description="One of these values")
    none_of: list[str | int | bool] | None = Field(None, min_length=1, description="None of these values")
    over: Literal["every", "any", "first", "last"] = Field(
        "every", description="Which turns of a conversation must meet it"
    )
    missing: Literal["drop", "keep", "stop"] = Field(
        "drop", description="A text that has no value (its measure failed): as if it did not meet it, or did"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.asked:
            raise ValueError("a condition needs at_least, at_most, one_of or none_of")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked of the value."""
        names = ("at_least", "at_most", "one_of", "none_of")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def sentence(self, measures: Mapping[str, Measure]) -> str:
        """It in words, such as ``length.words at least 20``: the reason why a conversation was left out."""
        column = self.column or next(iter(measures[self.measure].columns()))
        said = [f"{name.replace('_', ' ')} {_said(value)}" for name, value in self.asked.items()]
        turns = "" if self.over == "every" else f" ({self.over} turn)"
        return f"{self.measure}.{column} {' and '.join(said)}{turns}"


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def check_condition(condition: Condition, measures: Mapping[str, Measure], of: tuple[str, ...]) -> None:
    """Refuse a condition on what no measure of the study says.

    Args:
        condition: the condition.
        measures: the study's.
        of: what may be measured of the texts that it is about: ``responses``, ``prompts``, both or nothing.

    Raises:
        ValueError: no such measure or column, or a value that the column cannot have; with the nearest match.
    """
    name = condition.measure
    if name not in measures:
        known = ", ".join(measures) or "none"
        raise ValueError(f"'{name}' is not among the study's measures ({known}){nearest(name, measures)}")
    measure = measures[name]
    columns = measure.columns()
    column = condition.column or next(iter(columns))
    if column not in columns:
        known = ", ".join(columns)
        raise ValueError(f"the measure '{name}' has no column '{column}' ({known}){nearest(column, columns)}")
    if measure.of not in of:
        raise ValueError(f"the measure '{name}' is of {measure.of}, which this source has none of")
    value = columns[column]
    for asked, given in condition.asked.items():
        for one in given if isinstance(given, list) else [given]:
            _check_value(f"{name}.{column}", value, asked, one)


def _check_value(where: str, value: Value, asked: str, given: float | str | bool) -> None:
    ordered = asked in ("at_least", "at_most")
    if value.form == "text":
        if ordered and not value.levels:
            raise ValueError(f"{where} is a text without an order: it takes one_of or none_of, not {asked}")
        if not isinstance(given, str):
            raise ValueError(f"{where} is a text, and {asked} has {given!r}")
        if value.levels and given not in value.levels:
            levels = ", ".join(value.levels)
            raise ValueError(f"{where}: '{given}' is no level of it ({levels}){nearest(given, value.levels)}")
    elif value.form == "flag":
        if ordered or not isinstance(given, bool):
            raise ValueError(f"{where} is true or false: it takes one_of: [true] or [false]")
    elif isinstance(given, str | bool):
        raise ValueError(f"{where} is a number, and {asked} has {given!r}")

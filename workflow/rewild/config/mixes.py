"""Settings of training mixes: where conversations come from, how many of each, and what is kept.

A mix is a row of a study's section ``mixes``: change what identifies it, and that mix alone is made again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import not_
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from rewild.config.base import RESULT, SHOWN, File, Section
from rewild.config.filters import ConditionList, Conditions
from rewild.config.measures import Measure
from rewild.config.measures.base import PROMPTS
from rewild.config.measures.conditions import Condition
from rewild.config.models import Model, Share, Slug
from rewild.config.prompts import Contamination, FormName, Range, files_matching
from rewild.core.errors import twice

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Reason = Literal["stop", "drop"]
UNPINNED = "unpinned"
"""In paths, in the place of a revision that is not established."""


class Filters(Section, marks=RESULT):
    """Which conversations of a source may be drawn. Each that may not is counted under its first reason."""

    languages: list[str] | None = Field(
        None, min_length=1, description="Keep these (names as in the prompts, such as English); null: all"
    )
    turns: Range = Field(Range(min=1, max=None), description="User turns")
    characters: Range = Field(Range(min=1, max=None), description="Characters of all answers together")
    incomplete: Literal["drop", "cut"] = Field(
        "drop",
        description="A conversation in which a turn has no answer: drop it, or cut it before that turn",
    )
    unfinished: Literal["keep", "drop"] = Field(
        "keep", description="A conversation with an answer that its model's output limit cut off"
    )
    repetition: Share | None = Field(
        None, description="Highest share of repeated 4-grams in an answer; null: any"
    )
    garbled: Share | None = Field(
        None, description="Highest share of characters that are no text in an answer; null: any"
    )
    measures: Conditions = Field(
        default_factory=list,
        exclude_if=not_,
        description="Conditions on the study's measures, or names of filters, in this order, after all else "
        "that leaves conversations out; a measure is of an answer as it was, before any cut",
    )


def _section(given: Any) -> Any:
    return {"measures": given} if isinstance(given, list) else given


Filtering = Annotated[Filters, BeforeValidator(_section, json_schema_input_type=Filters | ConditionList)]
"""Filters; a list is short for its `measures`."""


class LengthControl(Section, marks=RESULT):
    """Cut a model's answers to be no longer than another's to the same turn (paper, section 3.2)."""

    model: Slug = Field(description="The other model; a conversation that it did not answer is dropped")
    behaviour: Literal["truncate", "released_script"] = Field(
        "truncate",
        description="truncate: cut each answer, in characters. released_script: what "
        "src/util/length_control.py of the release does: it cuts messages 0, 2, 4, ..., the user's, where "
        "the two files have them differently; of originals, which are the same, it cuts nothing",
    )


class Chat(Section, marks=RESULT):
    """Rows that are conversations already: a list of messages with `role` and `content`."""

    kind: Literal["chat"] = "chat"
    messages: str = Field("messages", description="The column with the messages")

    @property
    def columns(self) -> list[str]:
        """What is read of a row."""
        return [self.messages]


class AnyForm(Section, marks=RESULT):
    """Rows in one of the forms of docs/formats.md: ShareGPT, messages, Alpaca, Magpie, and others."""

    kind: Literal["form"]
    form: FormName = Field("auto", description="The form; auto: that of a file's first row")

    @property
    def columns(self) -> list[str]:
        """What is read of a row: all of it."""
        return []


class Pair(Section, marks=RESULT):
    """Rows with a question and its answer in a column each: one user turn, one answer."""

    kind: Literal["pair"]
    prompt: str = Field("prompt", description="Column of the question")
    response: str = Field("response", description="Column of the answer")
    input: str | None = Field(
        None,
        description="Column of what the question is about, which goes below it after a blank line where it "
        "holds text; null: Alpaca's `input` if the question is in `instruction`, else none",
    )

    @model_validator(mode="before")
    @classmethod
    def _alpaca(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("input") is None and given.get("prompt") == "instruction":
            return given | {"input": "input"}
        return given

    @property
    def columns(self) -> list[str]:
        """What is read of a row."""
        return [self.prompt, self.response]


class MultipleChoice(Section, marks=RESULT):
    """Rows with a question, a list of choices and the right one's index (from 0) or letter.

    In the templates, ``{question}`` is the question; ``{choices}`` the choices, a line each, made by
    ``choice``; ``{letter}`` and ``{text}`` a choice's letter and text (in ``assistant``, the right one's).
    """

    kind: Literal["multiple-choice"]
    question: str = Field("question", description="Column of the question")
    choices: str = Field("choices", description="Column of the list of choices")
    answer: str = Field("answer", description="Column of the right choice: index or letter")
    choice: str = Field("{letter}. {text}", description="One line of `{choices}`")
    user: str = Field(
        "{question}\n\n{choices}\n\nAnswer with the letter and the text of the right choice.",
        description="The user's turn",
    )
    assistant: str = Field("{letter}. {text}", description="The answer")

    @property
    def columns(self) -> list[str]:
        """What is read of a row."""
        return [self.question, self.choices, self.answer]

    @model_validator(mode="after")
    def _placeholders(self) -> Self:
        for field, needed, known in (
            ("choice", {"text"}, {"letter", "text"}),
            ("user", {"question", "choices"}, {"question", "choices"}),
            ("assistant", set[str](), {"letter", "text"}),
        ):
            try:
                found = {
                    name for _, name, _, _ in Formatter().parse(getattr(self, field)) if name is not None
                }
            except ValueError as error:
                raise ValueError(
                    f"{field}: not a template: {error} (write a brace as {{{{ or }}}})"
                ) from error
            if wrong := sorted(found - known):
                raise ValueError(f"{field}: unknown placeholder '{{{wrong[0]}}}' (known: {_braces(known)})")
            if missing := sorted(needed - found):
                raise ValueError(f"{field}: the placeholder '{{{missing[0]}}}' is missing")
            if field == "assistant" and not found:
                raise ValueError(
                    "assistant: the answer names neither {letter} nor {text} of the right choice"
                )
        return self


def _braces(names: set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))


Format = Annotated[AnyForm | Chat | Pair | MultipleChoice, Field(discriminator="kind")]


class _Source(Section, marks=RESULT):
    """What every source has."""

    name: Slug | None = Field(None, description="Its name in the mix; null: the model, data set or file")
    count: int | None = Field(None, ge=1, description="Conversations to draw")
    share: float | None = Field(
        None, gt=0, description="Part of the mix's `size`, in proportion to the other sources' shares"
    )
    filters: Filtering | None = Field(None, description="Instead of the mix's filters")


class FromResponses(_Source):
    """A model's collected responses of the same study."""

    kind: Literal["responses"]
    model: Slug = Field(description="One of the study's models")
    origins: list[str] = Field(
        default_factory=list,
        exclude_if=not_,
        description="Sources of the study's prompts to draw from; empty: all",
    )
    length_control: LengthControl | None = Field(None, description="Cut its answers to another's length")
    licence: Annotated[str | None, SHOWN] = Field(
        None, description="Terms of the prompts, for the card; the model's are in models.yaml"
    )

    @property
    def label(self) -> str:
        """Its name in the mix."""
        return self.name or self.model


class FromPrompts(_Source):
    """The study's prompts with their original answers (the paper's `GPT`)."""

    kind: Literal["prompts"]
    origins: list[str] = Field(
        default_factory=list,
        exclude_if=not_,
        description="Sources of the study's prompts to draw from; empty: all",
    )
    licence: Annotated[str, SHOWN] = Field(description="Terms of the data, for the card")

    @property
    def label(self) -> str:
        """Its name in the mix."""
        return self.name or "original"


class FromSamples(_Source):
    """One of several answers that the study's pairs sampled to each prompt (papers/004, Table 3)."""

    kind: Literal["samples"]
    of: Slug = Field(description="A set of the study's `preferences`")
    model: Slug = Field(description="Who answers in it")
    choose: Literal["best", "worst", "sampled"] = Field(
        description="best, worst: by the scorer's grade, of prompts that gave a pair; sampled: the first of "
        "the answers, of all prompts: none is graded for it"
    )
    licence: Annotated[str | None, SHOWN] = Field(
        None, description="Terms of the prompts, for the card; the model's are in models.yaml"
    )

    @property
    def label(self) -> str:
        """Its name in the mix."""
        return self.name or f"{self.of}-{self.choose}"


class _Foreign(_Source):
    """Data that this study did not make."""

    format: Format = Field(AnyForm(kind="form", form="auto"), description="How its rows become conversations")
    id: str | None = Field(None, description="Column that names a row; null: a hash of its conversation")
    language: str = Field("unknown", description="Language of all its conversations, such as English")
    licence: Annotated[str, SHOWN] = Field(description="Terms of the data, for the card")
    malformed: Reason = Field("stop", description="A row that is no conversation: stop, or count and drop it")


class FromHub(_Foreign):
    """A dataset of the Hugging Face hub at a pinned revision."""

    kind: Literal["hub"]
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="OWNER/NAME, such as cais/mmlu")
    revision: str | None = Field(
        pattern=r"^[0-9a-f]{40}$",
        description="The commit: all 40 digits, so it stays put. null: not established, and not fetched",
    )
    subset: str = Field("default", pattern=r"^[\w.-]+$", description="The dataset's configuration")
    split: str = Field("train", pattern=r"^[\w.-]+$", description="The split to read")

    @property
    def label(self) -> str:
        """Its name in the mix."""
        return self.name or slugged(self.repository.rpartition("/")[2])


class FromFiles(_Foreign):
    """JSON, JSON Lines or Parquet files, told by content."""

    kind: Literal["files"]
    files: list[File] = Field(
        min_length=1, description="Paths or patterns (data/*.jsonl) from the repository"
    )

    @property
    def label(self) -> str:
        """Its name in the mix."""
        return self.name or slugged(Path(self.files[0]).stem)


Source = Annotated[
    FromResponses | FromPrompts | FromSamples | FromHub | FromFiles, Field(discriminator="kind")
]


class MixContamination(Contamination):
    """What happens to a conversation whose user turns share a run of words with a benchmark."""

    action: Literal["remove", "report"] = Field(
        "remove", description="remove: it is not drawn; report: it stays, named in the data and on the card"
    )


class Mix(Section, marks=RESULT):
    """One training mix. Drawn by hash and without replacement, so a smaller mix is a part of a larger."""

    label: Annotated[str | None, SHOWN] = Field(
        None, description="Its name in tables, such as Q72 (500k); null: its own"
    )
    title: Annotated[str | None, SHOWN] = Field(None, description="One line for the card")
    sources: list[Source] = Field(min_length=1, description="Where conversations come from")
    size: int | None = Field(
        None,
        ge=1,
        description="Conversations in all, cut up by the sources' shares (equal ones if none is given)",
    )
    seed: int | None = Field(None, ge=0, description="Of the draw; null: the study's")
    draw: Literal["once", "independently"] = Field(
        "once",
        description="once: of the sources that answer the study's prompts, each draws other conversations; "
        "independently: each draws for itself, so a prompt may occur with several answers",
    )
    order: Literal["shuffled", "by-source"] = Field(
        "shuffled", description="All conversations in the order of their hashes, or source after source"
    )
    filters: Filtering = Field(
        default_factory=lambda: Filters.model_validate({}),
        description="Which conversations may be drawn; a source may have its own",
    )
    reasoning: Literal["leave-out", "train"] = Field(
        "leave-out",
        exclude_if=lambda chosen: chosen == "leave-out",
        description="Of models that reason: train on their answers alone, or on reasoning and answers",
    )
    contamination: MixContamination | None = Field(None, description="Compare user turns with benchmarks")
    tokenizer: Annotated[Slug | None, SHOWN] = Field(
        None, description="Model whose tokenizer counts the card's tokens; null: no tokens on the card"
    )

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: list[Source]) -> list[Source]:
        if double := twice([source.label for source in sources]):
            raise ValueError(f"two sources are named '{double}'; give one of them another `name`")
        return sources

    @model_validator(mode="after")
    def _reasons(self) -> Self:
        if self.reasons and not any(isinstance(source, FromResponses) for source in self.sources):
            raise ValueError("reasoning: no source is a model's responses, which alone have reasoning")
        return self

    @property
    def reasons(self) -> bool:
        """Whether reasoning is trained on."""
        return self.reasoning == "train"

    @model_validator(mode="after")
    def _amounts(self) -> Self:
        counts = [source.count is not None for source in self.sources]
        shares = [source.share is not None for source in self.sources]
        if self.size is not None:
            if any(counts):
                raise ValueError("`size` goes with shares, not with counts; remove one of them")
            if any(shares) and not all(shares):
                raise ValueError("some sources have a `share` and some have none")
            if self.size < len(self.sources):
                raise ValueError(f"a size of {self.size} is too small for {len(self.sources)} sources")
        elif any(shares):
            raise ValueError("a `share` is a part of the mix's `size`, which is missing")
        elif any(counts) and not all(counts):
            raise ValueError("some sources have a `count` and some have none; without any, all is taken")
        return self

    def amounts(self) -> list[int | None]:
        """Conversations to draw from each source; None takes all there are.

        Shares are cut so that no source is off its part by one conversation or more.
        """
        if self.size is None:
            return [source.count for source in self.sources]
        shares = [source.share or 1.0 for source in self.sources]
        ends = [round(self.size * part / math.fsum(shares)) for part in accumulate(shares)]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]

    def total(self) -> int | None:
        """Conversations in all; None if a source gives all it has."""
        amounts = self.amounts()
        return sum(amount or 0 for amount in amounts) if all(amounts) else None

    def answering(self) -> list[str]:
        """Who answers the study's prompts, source by source; nobody if the mix holds other data too."""
        if any(isinstance(source, FromHub | FromFiles) for source in self.sources):
            return []
        known = FromResponses | FromSamples
        return [s.model if isinstance(s, known) else s.label for s in self.sources]

    @property
    def truncated(self) -> bool:
        """Whether answers are cut to another model's length."""
        return any(isinstance(s, FromResponses) and s.length_control for s in self.sources)

    def models(self) -> list[str]:
        """Models whose responses the mix reads, each once, in the order in which they occur."""
        found = [s.model for s in self.sources if isinstance(s, FromResponses)]
        found += [
            s.length_control.model for s in self.sources if isinstance(s, FromResponses) and s.length_control
        ]
        return list(dict.fromkeys(found))

    def sampled(self) -> list[str]:
        """Models whose samples, of sets of pairs, the mix reads."""
        return [s.model for s in self.sources if isinstance(s, FromSamples)]

    def conditions(self) -> list[tuple[str, Condition, tuple[str, ...]]]:
        """Conditions on measures: the source's label, the condition, what may be measured of its texts."""
        kinds: dict[str, tuple[str, ...]] = {"responses": ("responses", PROMPTS), PROMPTS: (PROMPTS,)}
        return [
            (source.label, condition, kinds.get(source.kind, ()))
            for source in self.sources
            for condition in (source.filters or self.filters).measures
        ]

    def measured(self, measures: Mapping[str, Measure]) -> list[tuple[str, str]]:
        """What it reads of the study's measures: (measure, subject), each once."""
        found = [
            (c.measure, subject_of(measures[c.measure], source))
            for source in self.sources
            for c in (source.filters or self.filters).measures
        ]
        return list(dict.fromkeys(found))


def subject_of(measure: Measure, source: Source) -> str:
    """The subject whose values a measure has of a source's conversations."""
    return source.model if measure.of == "responses" and isinstance(source, FromResponses) else PROMPTS


Mixes = Annotated[dict[Slug, Mix], Field(description="Training mixes: name → row")]


def size_name(size: int) -> str:
    """``500k`` as the paper writes it; other numbers with their digits."""
    return f"{size // 1000}k" if size % 1000 == 0 else f"{size:,}"


def mix_name(name: str, mix: Mix, models: Mapping[str, Model]) -> str:
    """A mix's name in tables, as the paper writes it: ``Q72 (500k)``; its own where it holds other data too.

    Args:
        name: its key in the study's ``mixes``.
        mix: the row.
        models: for the names of who answers.
    """
    if mix.label or not mix.answering():
        return mix.label or name
    total = mix.total()
    notes = [size_name(total)] if total else []
    notes += ["truncated"] if mix.truncated else []
    who = " + ".join(models[slug].name if slug in models else slug for slug in mix.answering())
    return who + (f" ({', '.join(notes)})" if notes else "")


def slugged(name: str) -> str:
    """A name as a slug: lower case, anything odd a hyphen."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name.lower())
    return kept.lstrip("._-") or "source"


def dataset_file(source: FromHub) -> str:
    """Where a hub dataset is kept once it has been fetched."""
    folder = f"results/downloads/datasets/{source.repository}/{source.revision or UNPINNED}"
    return f"{folder}/{source.subset}/{source.split}.parquet"


def data_files(source: FromHub | FromFiles, root: Path = Path()) -> list[str]:
    """The local files that a source of foreign data reads, sorted, relative to ``root``."""
    return (
        [dataset_file(source)] if isinstance(source, FromHub) else files_matching(source.files, root, "mixes")
    )


def benchmark_files(mix: Mix, root: Path = Path()) -> list[str]:
    """The benchmark files that a mix is compared with, sorted, relative to ``root``."""
    return files_matching(mix.contamination.files, root, "mixes") if mix.contamination else []


def sample_files(results: str, source: FromSamples, shards: Sequence[str]) -> list[str]:
    """What a source of samples reads.

    Args:
        results: ``results/{study}``.
        source: which answers.
        shards: of the set.
    """
    folder = f"{results}/preferences/{source.of}"
    if source.choose != "sampled":
        return [f"{folder}/train.parquet"]
    return [f"{folder}/prompts.parquet", *(f"{folder}/answers/{name}.parquet" for name in shards)]


def mix_inputs(
    study: str,
    mix: Mix,
    prompt_shards: Sequence[str],
    root: Path = Path(),
    shards_of: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, list[str]]:
    """Every file that a mix is made from, by kind: what its rule depends on.

    Args:
        study: the study's name.
        mix: the row.
        prompt_shards: the names of the study's shards of prompts.
        root: the repository, to which all paths are relative.
        shards_of: set of pairs → the names of its shards.

    Raises:
        ConfigError: a pattern that no file matches, an unknown collection.
    """
    sources = mix.sources
    asked = any(isinstance(s, FromPrompts) or (isinstance(s, FromResponses) and s.origins) for s in sources)
    foreign = {f for s in sources if isinstance(s, FromHub | FromFiles) for f in data_files(s, root)}
    for s in sources:
        if isinstance(s, FromSamples):
            foreign |= set(sample_files(f"results/{study}", s, shards_of.get(s.of, ())))
    return {
        "manifests": [f"results/{study}/responses/{model}/manifest.json" for model in mix.models()],
        "prompts": [f"results/{study}/prompts/shards/{n}.parquet" for n in prompt_shards if asked],
        "data": sorted(foreign),
        "benchmarks": benchmark_files(mix, root),
    }


def mix_folder(study: str, mixes: Mapping[str, Mix], name: str) -> str:
    """The folder of a run's training data: a mix's, or of a set of preference pairs."""
    return f"results/{study}/{'mixes' if name in mixes else 'preferences'}/{name}"

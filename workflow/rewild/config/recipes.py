"""How models are fine-tuned, one frozen row each: ``config/recipes.yaml``. A run names a row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import HOW, RESULT, SHOWN, VERDICT, File, Section, part, read_rows, validate
from rewild.config.models import Count, Slug
from rewild.core.errors import known_name

Token = Annotated[str, Field(min_length=1)]


class ChatTemplate(Section, marks=RESULT):
    """A chat template for base models that have none of their own, and the control tokens that go with it."""

    file: File = Field(description="Jinja file, relative to the repository")
    end_of_turn: Token = Field(description="Ends every turn; the model learns to write it")
    pad: Token | None = Field(None, description="Fills batches; null is the tokenizer's own")


class Fsdp(Section, marks=RESULT):
    """Weights, gradients and optimiser state spread over the GPUs of a node (full shard, auto-wrapped)."""

    wrap: Token | None = Field(
        None, description="Decoder layer class to wrap; null lets transformers name the model's own"
    )
    offload: bool = Field(False, description="Parameters rest in main memory")


class Recipe(Section, marks=RESULT):
    """One way to fine-tune. Defaults are Axolotl's or PyTorch's; what a source states, a row states."""

    slug: Slug
    title: Annotated[str, SHOWN] = Field(description="One line: whose recipe it is")
    kind: Literal["sft", "dpo"] = Field("sft", description="What is learned from: conversations, or pairs")
    epochs: Count = Field(1, description="Times that the data are gone through")
    learning_rate: float = Field(gt=0, lt=1, description="The highest")
    scheduler: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="How the learning rate goes down"
    )
    warmup_steps: int = Field(0, ge=0, description="Steps in which the rate rises to its highest")
    warmup_ratio: float | None = Field(
        None, gt=0, lt=1, description="Share of steps, instead of their number"
    )
    optimizer: Literal["adamw_torch", "adamw_torch_fused"] = Field(
        "adamw_torch_fused", description="The optimizer, as Axolotl calls it"
    )
    weight_decay: float = Field(0.0, ge=0, description="Weight decay")
    adam_beta2: float = Field(0.999, gt=0, lt=1, description="AdamW's second beta")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients longer than this are shortened to it")
    sequence_length: int = Field(ge=16, description="Tokens of a training sequence")
    over_long: Literal["truncate", "drop"] = Field(
        "truncate", description="What happens to a conversation that is longer"
    )
    packing: bool = Field(False, description="Several conversations per sequence, apart for attention")
    micro_batch: Count = Field(1, description="Sequences per GPU and pass")
    accumulation: Count = Field(1, description="Passes per optimiser step")
    gpus: int = Field(0, ge=0, le=8, description="On one node; 0 trains on the CPU")
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Number format of the training")
    attention: Literal["flash_attention_2", "sdpa", "eager"] = Field(
        "sdpa", description="How attention is computed"
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations again in place of keeping them: less memory, more time"
    )
    fsdp: Fsdp | None = Field(None, description="Shard over the GPUs; null keeps a copy on each")
    beta: float | None = Field(None, gt=0, description="DPO: how strongly the reference model holds")
    templates: Annotated[dict[str, ChatTemplate], part("template")] = Field(
        default_factory=dict, description="Family → chat template, for base models whose tokenizer has none"
    )
    checkpoints: Annotated[Count, HOW] = Field(
        4, description="Times per run that everything is saved, to resume from"
    )
    gates: Annotated[dict[Literal["stopped", "cut"], Annotated[float, Field(ge=0, le=1)]], VERDICT] = Field(
        default_factory=dict,
        description="stopped: least share of answers that end by themselves after training (default 0.5); "
        "cut: largest share of conversations longer than sequence_length (default 0.05)",
    )
    minutes: Annotated[Count, HOW] = Field(
        60, description="Time of a job; a cluster stops it then, and a rerun resumes"
    )
    memory_gb: Annotated[Count, HOW] = Field(8, description="Main memory of a job")
    unstated: Annotated[list[str], SHOWN] = Field(
        default_factory=list, description="Keys that the source does not state: the values are a choice"
    )
    source: Annotated[str, SHOWN] = Field(description="Where it is stated")
    note: Annotated[str | None, SHOWN] = Field(None, description="For who reads the table")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.warmup_steps and self.warmup_ratio:
            raise ValueError("give warmup_steps or warmup_ratio, not both")
        if (self.kind == "dpo") != (self.beta is not None):
            raise ValueError("beta is given exactly when kind is dpo")
        if self.kind == "dpo" and self.packing:
            raise ValueError("pairs are not packed: remove packing")
        if self.packing and self.attention == "eager":
            raise ValueError("packing with eager attention lets samples see each other: use sdpa or flash")
        if self.gpus == 0:
            for key, bad in (
                ("fsdp", self.fsdp is not None),
                ("precision", self.precision == "bf16"),
                ("attention", self.attention == "flash_attention_2"),
            ):
                if bad:
                    raise ValueError(f"{key}: {self._plain(key)} needs GPUs, but gpus is 0")
        if self.fsdp and self.gpus < 2:
            raise ValueError("fsdp shards over two GPUs or more")
        for key in self.unstated:
            known_name(key, type(self).model_fields, "unstated: unknown key", error=ValueError)
        return self

    def _plain(self, key: str) -> str:
        value = getattr(self, key)
        return value if isinstance(value, str) else "sharding"

    @property
    def batch(self) -> int:
        """Sequences per optimiser step, over all GPUs."""
        return self.micro_batch * self.accumulation * max(self.gpus, 1)

    @property
    def stopped(self) -> float:
        """Least share of answers that must end with the end-of-turn token after training."""
        return self.gates.get("stopped", 0.5)

    @property
    def cut(self) -> float:
        """Largest share of conversations that may be longer than the sequence length."""
        return self.gates.get("cut", 0.05)


def load_recipes(folder: Path) -> dict[str, Recipe]:
    """Read and validate ``recipes.yaml``: slug to row.

    Args:
        folder: the ``config`` folder; a folder without the file has no recipes.

    Raises:
        ConfigError: an unknown key or a wrong value; the message names the recipe.
    """
    path = folder / "recipes.yaml"
    rows = read_rows(path, "recipe") if path.exists() else ()
    return {slug: validate(Recipe, row, where) for slug, row, where in rows}


def find_recipe(recipes: Mapping[str, Recipe], slug: str) -> Recipe:
    """The row of ``slug``; a :class:`ConfigError` with the nearest match if there is none."""
    return recipes[known_name(slug, recipes, "unknown recipe", listed="config/recipes.yaml")]

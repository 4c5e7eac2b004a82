"""The models that the paper names, one frozen row each: ``config/models.yaml``.

A row states what is established and leaves the rest null. A row with a ``base`` takes from it what it does
not state itself: family, dimensions, parameter count, native context.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from operator import not_
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from rewild.config.base import HOW, LISTED, RESULT, SHOWN, Section, read_rows, validate
from rewild.config.endpoint import Takes
from rewild.config.pins import load_pins, pin_row
from rewild.config.reasoning import Reasoning
from rewild.core.errors import ConfigError, known_name, nearest

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
HubId = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Role = Literal["dgm", "base", "sft-target", "baseline", "judge", "measure", "source"]
Kind = Literal[
    "pretrained",
    "continued",
    "instruct",
    "sft",
    "dpo",
    "ipo",
    "kto",
    "orpo",
    "cpo",
    "rdpo",
    "rrhf",
    "slic-hf",
    "simpo",
    "rlhf",
    "api",
]
Flag = Literal["missing-in-copy", "repeated-in-copy", "suffix-differs", "prefix-differs", "hub-name-differs"]

ROOTS = ("pretrained", "api")
INHERITED = ("family", "dimensions", "parameters", "native_context")
TOLERANCE = 0.03  # between the stated parameter count and the one its dimensions imply


class Mamba(Section, marks=RESULT):
    """The state-space layers of a hybrid model (every layer that is not an attention layer)."""

    state: Count = Field(description="State size per channel")
    conv: Count = Field(description="Convolution width, in tokens")
    expand: Count = Field(description="Channels per hidden dimension")
    dt_rank: Count = Field(description="Rank of the step-size projection")


class Dimensions(Section, marks=RESULT):
    """What a memory plan needs of a decoder; null where it is not established."""

    layers: Count | None = Field(None, description="Layers")
    hidden_size: Count | None = Field(None, description="Width of the hidden states")
    intermediate_size: Count | None = Field(
        None, description="Width of the feed-forward layer, or of an expert"
    )
    heads: Count | None = Field(None, description="Query heads per attention layer")
    kv_heads: Count | None = Field(None, description="Key-value heads per attention layer")
    head_dim: Count | None = Field(None, description="Width of an attention head")
    vocab: Count | None = Field(None, description="Rows of the embedding matrix, padding included")
    tie_embeddings: bool | None = Field(None, description="Whether the output layer is the embedding matrix")
    attention_layers: Count | None = Field(None, description="Layers with a KV cache, if not all of them")
    experts: Count | None = Field(None, description="Experts per mixture layer; null if the model is dense")
    experts_per_token: Count | None = Field(None, description="Experts that work on a token")
    moe_layers: Count | None = Field(None, description="Layers that have experts, if not all of them")
    dense_size: Count | None = Field(
        None, description="Width of the layers without experts, if not that of an expert"
    )
    shared_size: Count | None = Field(
        None, description="Width of the experts that every token takes, all of a layer together"
    )
    gated: bool = Field(True, description="Feed-forward layers of three matrices, not two")
    mamba: Mamba | None = None
    state: Count | None = Field(
        None,
        description="Values that a sequence keeps in layers with a state, all together: linear attention, "
        "Mamba-2, convolutions",
    )
    latent: Count | None = Field(
        None,
        description="Values per token and layer that multi-head latent attention keeps, in place of KV heads",
    )
    window: Count | None = Field(None, description="Tokens of a sliding window")
    window_layers: Count | None = Field(
        None, description="Attention layers with that window, if not all of them"
    )
    qkv_bias: bool = Field(False, description="Biases in the query, key and value projections")
    qk_norm: bool = Field(False, description="A norm with weights per head on queries and keys")
    norms_per_layer: Count = Field(2, description="Norms of hidden size in each layer")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.heads and self.kv_heads and self.heads % self.kv_heads:
            raise ValueError(f"kv_heads ({self.kv_heads}) must divide heads ({self.heads})")
        if (self.experts is None) != (self.experts_per_token is None):
            raise ValueError("experts and experts_per_token go together")
        if self.experts and self.experts_per_token and self.experts_per_token > self.experts:
            raise ValueError(f"experts_per_token ({self.experts_per_token}) exceeds experts ({self.experts})")
        if self.window_layers and not self.window:
            raise ValueError("window_layers is given without window")
        for name in ("attention_layers", "moe_layers", "window_layers"):
            part = getattr(self, name)
            if part and self.layers and part > self.layers:
                raise ValueError(f"{name} ({part}) exceeds layers ({self.layers})")
        hybrid = bool(self.attention_layers and self.layers and self.attention_layers < self.layers)
        if self.mamba is not None and self.state is not None:
            raise ValueError(
                "mamba and state exclude each other: both say what layers without attention keep"
            )
        if hybrid != (self.mamba is not None) and self.state is None:
            raise ValueError(
                "mamba is given exactly when attention_layers is fewer than layers (or 'state' is)"
            )
        return self

    def parameters(self) -> tuple[int, int] | None:
        """Parameters that the dimensions imply, as ``(total, active per token)``; None if one is unknown.

        Decoder with gated feed-forward layers: embeddings, attention, feed-forward or experts with a router,
        Mamba-1 mixers with the norms of Jamba (Lieber et al., 2024), norms. Vision towers are not counted;
        of latent attention's and of other mixers' matrices nothing is known.
        """
        if self.state is not None:
            return None
        needed = (self.layers, self.hidden_size, self.intermediate_size, self.heads, self.kv_heads)
        rest = (self.head_dim, self.vocab, self.tie_embeddings)
        if any(value is None for value in needed + rest):
            return None
        layers, hidden, inner, heads, kv = (int(value or 0) for value in needed)
        head, vocab = int(self.head_dim or 0), int(self.vocab or 0)
        projected = (heads + 2 * kv) * head
        attention = hidden * projected + heads * head * hidden
        attention += projected if self.qkv_bias else 0
        attention += (heads + kv) * head if self.qk_norm else 0
        attending = self.attention_layers or layers
        shared = attending * attention + (layers - attending) * self._mamba_parameters(hidden)
        shared += layers * self.norms_per_layer * hidden + hidden
        shared += vocab * hidden * (1 if self.tie_embeddings else 2)
        each = (3 if self.gated else 2) * hidden
        feed_forward = each * inner
        routed = (self.moe_layers or layers) if self.experts else 0
        shared += (layers - routed) * each * (self.dense_size or inner)
        shared += routed * (hidden * (self.experts or 0) + each * (self.shared_size or 0))
        total = shared + routed * feed_forward * (self.experts or 0)
        return total, shared + routed * feed_forward * (self.experts_per_token or 0)

    def _mamba_parameters(self, hidden: int) -> int:
        if self.mamba is None:
            return 0
        m, channels = self.mamba, self.mamba.expand * hidden
        selective = m.dt_rank + 2 * m.state  # step size, B and C, each with a norm in Jamba
        return (
            3 * hidden * channels  # projection in (x and gate) and out
            + channels * (m.conv + 1)
            + channels * selective
            + selective
            + (m.dt_rank + 1) * channels
            + channels * (m.state + 1)
        )


class Parameters(Section, marks=RESULT):
    """Parameter counts, in units (not billions)."""

    total: Count = Field(description="All of them")
    active: Count | None = Field(None, description="Used per token, where that is fewer than all")


class Citation(Section, marks=RESULT):
    """Where the model comes from."""

    key: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] = Field(description="Short name of the reference")
    text: str = Field(description="Who, what, where, when")


class Listed(Section, marks=RESULT):
    """Under which names the paper lists the model, and what is odd about it."""

    appendix_c: str | None = Field(None, description="As appendix C prints it (arXiv:2501.18511v2)")
    copies: Annotated[int, Field(ge=0)] = Field(
        1, description="How often the name stands in appendix C of our text of the paper (see docs/models.md)"
    )
    table5: str | None = Field(None, description="As Table 5 prints it")
    text: list[str] = Field(default_factory=list, description="Other names, in the text or in released files")
    flags: list[Flag] = Field(default_factory=list, description="Where the paper's lists disagree about it")


class Native(Section, marks=RESULT):
    """The same weights in the library's own format: a checkpoint that needs no code."""

    hub: HubId = Field(description="Hugging Face id")
    revision: Commit | None = Field(None, description="Pinned commit")
    revision_source: str | None = Field(None, description="Where the commit was read")


class Model(Section):
    """One model. Null means: not established."""

    slug: Annotated[Slug, LISTED]
    hub: Annotated[HubId | None, RESULT] = Field(None, description="Hugging Face id")
    revision: Annotated[Commit | None, RESULT] = Field(None, description="Pinned commit")
    revision_source: Annotated[str | None, SHOWN] = Field(None, description="Where the commit was read")
    native: Annotated[Native | None, RESULT] = Field(
        None, description="Where `hub` needs code that may not run: the checkpoint that is loaded instead"
    )
    api: Annotated[str | None, RESULT] = Field(
        None, description="Name at its maker's API, for models that are not on the hub"
    )
    folder: Annotated[str | None, RESULT] = Field(
        None, description="Where it lies, for one that is not on the hub; its content identifies it"
    )
    endpoint: Annotated[Takes | None, RESULT] = Field(
        None, description="What requests to an endpoint that serves it must look like; null: as everywhere"
    )
    reasoning: Annotated[Reasoning | None, RESULT] = Field(
        None,
        exclude_if=not_,
        description="How it reasons before it answers; null: nothing is told from its answers",
    )
    abbreviation: Annotated[str | None, SHOWN] = Field(
        None, description="The paper's abbreviation (section 2.2, appendix B)"
    )
    family: Annotated[str, RESULT] = Field(description="Which models it belongs with, such as llama-3.1")
    roles: Annotated[list[Role], SHOWN] = Field(
        min_length=1,
        description="What it is for; judge: of benchmarks; measure: guards, reward models, what measures ask",
    )
    kind: Annotated[Kind, SHOWN] = Field(description="pretrained, or the last step of its post-training")
    base: Annotated[Slug | None, SHOWN] = Field(None, description="The model it was trained from")
    parameters: Annotated[Parameters | None, HOW] = None
    dimensions: Annotated[Dimensions, HOW] = Field(default_factory=lambda: Dimensions.model_validate({}))
    weight_bytes: Annotated[Count | None, HOW] = Field(
        None, description="Of the checkpoint's weights as they are stored, where they are quantized"
    )
    end_tokens: Annotated[list[str], HOW] = Field(
        default_factory=list, description="What ends its answers, as its files said when the row was written"
    )
    vision: Annotated[bool, HOW] = Field(
        False, description="Also has a vision tower, which the dimensions leave out"
    )
    native_context: Annotated[Count | None, RESULT] = Field(
        None, description="Tokens; max_position_embeddings of its files"
    )
    paper_context: Annotated[Count | None, SHOWN] = Field(
        None, description="Tokens, as the paper used it, where stated"
    )
    paper_precision: Annotated[Literal["bf16", "fp8"] | None, RESULT] = Field(
        None, description="As the paper ran it, if known"
    )
    quantized: Annotated[HubId | None, RESULT] = Field(
        None, description="Hub id of an FP8 checkpoint by Neural Magic"
    )
    quantized_revision: Annotated[Commit | None, RESULT] = Field(
        None, description="Pinned commit of that checkpoint"
    )
    licence: Annotated[str | None, SHOWN] = Field(
        None, description="SPDX identifier, or the hub's name of the licence"
    )
    gated: Annotated[bool | None, HOW] = Field(
        None, description="Whether the hub asks for consent before a download"
    )
    chat_template: Annotated[bool | None, RESULT] = Field(
        None, description="Whether its tokenizer comes with a chat template"
    )
    ships_code: Annotated[bool, HOW] = Field(
        False, description="Its hub repository holds modelling code of its own"
    )
    trust_remote_code: Annotated[bool, RESULT] = Field(
        False, description="Permission to run that code; needs a pinned revision"
    )
    citation: Annotated[Citation | None, SHOWN] = None
    listed: Annotated[Listed, SHOWN] = Field(default_factory=lambda: Listed.model_validate({}))
    note: Annotated[str | None, SHOWN] = Field(None, description="For who reads the table")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.trust_remote_code and self.revision is None:
            raise ValueError("trust_remote_code needs a pinned revision: give the commit that was read")
        if self.trust_remote_code and self.quantized and self.quantized_revision is None:
            raise ValueError("trust_remote_code needs quantized_revision: that checkpoint's code would run")
        if self.quantized_revision is not None and self.quantized is None:
            raise ValueError("quantized_revision is the commit of 'quantized', which is not given")
        if self.revision_source is not None and self.revision is None:
            raise ValueError("revision_source tells where 'revision' was read, which is not given")
        if self.base is not None and self.kind in ROOTS:
            raise ValueError(f"a model of kind '{self.kind}' has no base")
        if sum(place is not None for place in (self.hub, self.api, self.folder)) > 1:
            raise ValueError("hub, api and folder exclude each other")
        if self.api is not None and self.reasoning is not None and self.reasoning.arguments:
            raise ValueError(
                "reasoning.arguments are of a chat template, which its maker's API renders by itself; fields "
                "such as reasoning_effort go to endpoint.add"
            )
        if self.listed.copies != 1 and self.listed.appendix_c is None:
            raise ValueError("listed.copies counts a name in appendix C; give listed.appendix_c")
        implied = self.dimensions.parameters()
        if implied and self.parameters and not self.vision:
            for what, ours, stated in (
                ("total", implied[0], self.parameters.total),
                ("active", implied[1], self.parameters.active),
            ):
                if stated is not None and abs(ours / stated - 1) > TOLERANCE:
                    raise ValueError(
                        f"parameters.{what} is {stated:,}, but the dimensions make {ours:,}; one is wrong"
                    )
        return self

    @property
    def name(self) -> str:
        """What a reader knows it by: the abbreviation, or the hub's name, or the slug."""
        return self.abbreviation or (self.hub.rpartition("/")[2] if self.hub else None) or self.slug

    def checkpoint(self, precision: str = "bf16") -> tuple[str | None, str | None]:
        """Hub id and pinned commit of what is loaded, each None where it is not established.

        Args:
            precision: ``fp8`` takes the quantized checkpoint, if there is one.
        """
        if precision == "fp8" and self.quantized:
            return self.quantized, self.quantized_revision
        if self.native and not self.trust_remote_code:
            return self.native.hub, self.native.revision
        return self.hub, self.revision

    @property
    def needs_code(self) -> bool:
        """Whether what is loaded ships code that may not run."""
        return self.ships_code and not self.trust_remote_code and self.native is None


class Made(Protocol):
    """A study, as far as the table of models knows of it."""

    @property
    def made(self) -> Mapping[str, Model]:
        """The models that it makes itself, by slug."""
        ...


OWN = "own_models.yaml"
"""The rows that a user adds, in the ``config`` folder (``rewild add-model``)."""


def load_models(
    folder: Path, study: Made | None = None, pins: Mapping[str, str] | None = None
) -> dict[str, Model]:
    """Read and validate ``models.yaml`` and ``own_models.yaml``: slug to row, in the order of the files.

    Args:
        folder: the ``config`` folder.
        study: whose own models join the table.
        pins: hub id → the commit of a checkpoint whose row has none; None is what ``pins.yaml`` has.

    Raises:
        ConfigError: an unknown key, a wrong value, an unknown base, a name that two rows claim; the message
            names the model and the nearest match.
    """
    rows: dict[str, Any] = {}
    of: dict[str, Path] = {}
    for path in (folder / "models.yaml", folder / OWN):
        for slug, row, where in read_rows(path, "model") if path.name != OWN or path.is_file() else ():
            if slug in rows:
                raise ConfigError(f"{where}: {of[slug]} has a row of this name; give this one another")
            rows[slug], of[slug] = row, path
    pinned = load_pins(folder).models if pins is None else pins
    models = {
        slug: validate(
            Model, pin_row(_inherit(rows, slug, path, ()), pinned) | {"slug": slug}, f"model {slug} ({path})"
        )
        for slug, path in of.items()
    }
    _unique(models, " and ".join(str(path) for path in dict.fromkeys(of.values())))
    return models if study is None else models | dict(study.made)


def find_model(models: Mapping[str, Model], slug: str) -> Model:
    """The row of ``slug``; a :class:`ConfigError` with the nearest match if there is none."""
    if slug not in models:
        raise ConfigError(f"unknown model '{slug}'{nearest(slug, models)} (see `rewild models`)")
    return models[slug]


def pretrained_of(models: Mapping[str, Model], slug: str) -> str | None:
    """The pretrained model that ``slug`` goes back to; None if it was not released or is not known."""
    model = find_model(models, slug)
    while model.base is not None:
        model = find_model(models, model.base)
    return model.slug if model.kind == "pretrained" else None


def _inherit(rows: Mapping[str, Any], slug: str, path: Path, trail: tuple[str, ...]) -> dict[str, Any]:
    """The row of ``slug`` with what it takes from its base (dimensions: key by key)."""
    if slug in trail:
        raise ConfigError(f"model {slug} ({path}): its bases form a circle: {' → '.join((*trail, slug))}")
    row = dict(rows[slug])
    base = row.get("base")
    if not isinstance(base, str):
        return row
    known_name(base, rows, f"model {slug} ({path}): base: unknown model")
    parent = _inherit(rows, base, path, (*trail, slug))
    own = row.get("dimensions")
    for key in INHERITED:
        if key == "parameters" and own:
            continue  # other dimensions: the base's count is not this model's
        if key not in row and key in parent:
            row[key] = parent[key]
    if isinstance(own, Mapping) and isinstance(parent.get("dimensions"), Mapping):
        row["dimensions"] = {**parent["dimensions"], **own}
    return row


def _unique(models: Mapping[str, Model], path: str) -> None:
    for what, values in (
        ("hub id", {s: m.hub and m.hub.lower() for s, m in models.items()}),
        ("abbreviation", {s: m.abbreviation for s, m in models.items()}),
        ("name of appendix C", {s: m.listed.appendix_c for s, m in models.items()}),
        ("name of Table 5", {s: m.listed.table5 for s, m in models.items()}),
    ):
        for value, times in Counter(v for v in values.values() if v is not None).items():
            if times > 1:
                owners = ", ".join(s for s, v in values.items() if v == value)
                raise ConfigError(f"{path}: the {what} '{value}' stands in more than one row: {owners}")

"""The engine plan: how many GPUs a model needs and how long a context they leave room for.

Paper, section 2.1: first the fewest GPUs that hold a model, then the longest context on them. This is
arithmetic on the model's dimensions and the GPU's memory, so a dry run can do it; nothing heavy is imported.

Per GPU, of ``n`` that share a model by tensor parallelism:

    weights   = bytes of all weights / n
    KV cache  = utilization x memory - reserve - weights
    KV token  = 2 x attention layers x max(1, KV heads / n) x head size x bytes of a cache entry

``KV cache / KV token`` is the number of tokens the cache holds; the context is the longest that lets
``sequences`` full conversations be in it at once, at most the model's native context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, gcd
from typing import Literal, cast

from rewild.config.gpus import GPUS, Gpu
from rewild.config.models import Model
from rewild.core.errors import ConfigError, nearest

GPU_COUNTS = (1, 2, 4, 8)
Precision = Literal["fp32", "bf16", "fp8"]
WEIGHT_BYTES: dict[str, int] = {"fp32": 4, "bf16": 2, "fp8": 1}
CACHE_BYTES = 2  # vLLM keeps the KV cache in the activations' type, bf16, also when the weights are FP8
STEP = 256  # contexts are multiples of this, so that a small change of a driver does not change a study


@dataclass(frozen=True)
class Architecture:
    """The dimensions of a model that decide its memory.

    Attributes:
        parameters: all weights, every expert of a mixture included (a count, not billions).
        attention_layers: layers with a KV cache; fewer than all layers in a hybrid such as Jamba.
        state_bytes: recurrent state of one sequence, over all layers (0 without such layers).
    """

    name: str
    parameters: int
    attention_layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied_embeddings: bool
    native_context: int
    precision: Precision
    state_bytes: int = 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights. FP8 checkpoints keep the embeddings and the output layer in bf16."""
        embeddings = self.vocabulary * self.hidden_size * (1 if self.tied_embeddings else 2)
        each = WEIGHT_BYTES[self.precision]
        return max(each, 2) * embeddings + each * max(self.parameters - embeddings, 0)

    def gpu_counts(self) -> tuple[int, ...]:
        """Numbers of GPUs that tensor parallelism can use: they divide the attention heads.

        KV heads are either divided as well or, when there are fewer than GPUs, held more than once.
        """
        return tuple(
            n for n in GPU_COUNTS if self.heads % n == 0 and gcd(n, self.kv_heads) == min(n, self.kv_heads)
        )

    def kv_bytes(self, gpus: int) -> int:
        """Bytes that one token takes in the KV cache of each of ``gpus`` GPUs."""
        return 2 * self.attention_layers * ceil(self.kv_heads / gpus) * self.head_dim * CACHE_BYTES


def architecture_of(model: Model, precision: str | None = None) -> Architecture:
    """The dimensions of a row of ``models.yaml``.

    Args:
        model: the row.
        precision: of the weights; the paper's, or bf16, by default.

    Raises:
        ConfigError: a dimension that the plan needs is not established.
    """
    d = model.dimensions
    implied = d.parameters()
    total = model.parameters.total if model.parameters else implied[0] if implied else None
    needed = {
        "parameters.total": total,
        "native_context": model.native_context,
        "layers": d.layers,
        "hidden_size": d.hidden_size,
        "heads": d.heads,
        "kv_heads": d.kv_heads,
        "head_dim": d.head_dim,
        "vocab": d.vocab,
        "tie_embeddings": d.tie_embeddings,
    }
    if unknown := [name for name, value in needed.items() if value is None]:
        raise ConfigError(f"model {model.slug}: no engine plan without {', '.join(unknown)} (models.yaml)")
    number = {name: int(value or 0) for name, value in needed.items()}
    attending, state = d.attention_layers or number["layers"], 0
    if d.mamba:
        channels = d.mamba.expand * number["hidden_size"]
        state = (number["layers"] - attending) * channels * (d.mamba.state + d.mamba.conv) * CACHE_BYTES
    return Architecture(
        name=model.slug,
        parameters=number["parameters.total"],
        attention_layers=attending,
        hidden_size=number["hidden_size"],
        heads=number["heads"],
        kv_heads=number["kv_heads"],
        head_dim=number["head_dim"],
        vocabulary=number["vocab"],
        tied_embeddings=bool(d.tie_embeddings),
        native_context=number["native_context"],
        precision=cast(Precision, precision or model.paper_precision or "bf16"),
        state_bytes=state,
    )


@dataclass(frozen=True)
class Plan:
    """One model on ``gpus`` GPUs of one type. Bytes are per GPU."""

    model: str
    gpu: str
    gpus: int
    precision: Precision
    weight_bytes: int
    cache_bytes: int
    kv_bytes: int
    kv_tokens: int
    context: int

    @property
    def fits(self) -> bool:
        """Whether weights and at least :data:`STEP` tokens of context have room."""
        return self.context > 0


def plan_on(architecture: Architecture, gpu: Gpu, gpus: int, name: str = "", sequences: int = 1) -> Plan:
    """Plan ``architecture`` on exactly ``gpus`` GPUs; ``Plan.fits`` says whether that can work.

    Args:
        architecture: the model.
        gpu: the kind of GPU.
        gpus: how many share the model.
        name: the GPU type's name, for messages.
        sequences: conversations of full length that must fit into the cache at once.
    """
    weights = ceil(architecture.weight_bytes / gpus)
    states = ceil(architecture.state_bytes / gpus) * gpu.max_sequences
    cache = max(int(gpu.memory * gpu.utilization) - gpu.reserve - weights - states, 0)
    per_token = architecture.kv_bytes(gpus)
    tokens = cache // per_token if per_token else architecture.native_context * sequences
    context = min(architecture.native_context, tokens // sequences)
    if context < architecture.native_context:
        context -= context % STEP
    return Plan(
        architecture.name, name, gpus, architecture.precision, weights, cache, per_token, tokens, context
    )


def plan(
    architecture: Architecture,
    gpu_name: str,
    gpus: dict[str, Gpu] | None = None,
    sequences: int = 1,
    context: int | None = None,
) -> Plan:
    """The fewest GPUs that hold the model, and the longest context on them.

    Args:
        architecture: the model.
        gpu_name: a GPU type.
        gpus: GPU types of the configuration, besides the built-in ones.
        sequences: conversations of full length that must fit into the cache at once.
        context: a context that is wanted; the plan then takes as many GPUs as that needs, and no more of
            the context. One longer than the model's own is an error.

    Raises:
        ConfigError: an unknown GPU type, or a model or context that eight such GPUs cannot hold.
    """
    gpu = find_gpu(gpu_name, gpus)
    if context is not None and context > architecture.native_context:
        raise ConfigError(
            f"{architecture.name}: a context of {context} tokens was asked for, but the model was made for "
            f"{architecture.native_context}"
        )
    tried = [plan_on(architecture, gpu, n, gpu_name, sequences) for n in architecture.gpu_counts()]
    for candidate in tried:
        if candidate.fits and candidate.context >= (context or 0):
            return candidate if context is None else replace(candidate, context=context)
    if not tried:
        raise ConfigError(
            f"{architecture.name}: its {architecture.heads} attention heads and {architecture.kv_heads} "
            "KV heads cannot be shared by 1, 2, 4 or 8 GPUs"
        )
    if tried[-1].fits:
        raise ConfigError(
            f"{architecture.name}: a context of {context} tokens does not fit on {tried[-1].gpus} GPUs of "
            f"type {gpu_name}; the longest is {tried[-1].context}"
        )
    last = tried[-1]
    raise ConfigError(
        f"{architecture.name} does not fit on {last.gpus} GPUs of type {gpu_name}: "
        f"{last.weight_bytes / 1e9:.0f} GB of weights on each leave no room for a KV cache "
        f"({gpu.memory * gpu.utilization / 1e9:.0f} GB usable); use FP8 weights or a larger GPU"
    )


def find_gpu(name: str, gpus: dict[str, Gpu] | None = None) -> Gpu:
    """A GPU type by name, from the configuration or the built-in ones.

    Raises:
        ConfigError: the name is unknown; the nearest one is named.
    """
    known = {**GPUS, **(gpus or {})}
    if name not in known:
        raise ConfigError(
            f"unknown GPU type '{name}'{nearest(name, known)} (types: {', '.join(known)}; "
            "others can be described under 'gpus' in config/config.yaml)"
        )
    return known[name]


def with_share(
    gpu_name: str, gpus: Mapping[str, Gpu] | None, share: float | None
) -> tuple[float, dict[str, Gpu]]:
    """``(share, types)``: the share of memory that an engine is given, and the GPU types to plan it with.

    Args:
        gpu_name: a GPU type.
        gpus: GPU types of the configuration, besides the built-in ones.
        share: the study's ``gpu_memory_utilization``; None is the type's own.

    Raises:
        ConfigError: an unknown GPU type.
    """
    known = dict(gpus or {})
    gpu = find_gpu(gpu_name, known)
    if share is not None:
        known[gpu_name] = gpu = gpu.model_copy(update={"utilization": share})
    return gpu.utilization, known

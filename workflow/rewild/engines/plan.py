"""The engine plan: how many GPUs hold a model, how long a context, and how many tokens the KV cache holds.

Paper, section 2.1: first the fewest GPUs that hold a model, then the longest context on them. This is
arithmetic on the model's dimensions and the GPU's memory, so a dry run can do it; nothing heavy is imported.
Which number of GPUs is the cheapest is :mod:`rewild.engines.roofline`'s question.

Per GPU, of ``n`` that share a model by tensor parallelism, as vLLM 0.32 divides the memory
(``Worker.determine_available_memory``):

    weights     = bytes of all weights / n
    activations = the larger of a feed-forward layer at the most tokens of a step, and sampling at the most
                  sequences (:meth:`Architecture.activation_bytes`)
    graphs      = what vLLM expects CUDA graphs to take, which it subtracts since 0.21
    KV cache    = utilization x memory - weights - activations - graphs - reserve
    KV token    = 2 x attention layers x max(1, KV heads / n) x head size x bytes of a cache entry; with
                  multi-head latent attention layers x latent size x bytes, not divided

The context is the longest that lets ``sequences`` full conversations be in the cache at once, at most the
model's native context. A layer with a sliding window keeps at most the window; a recurrent one a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, gcd
from typing import Any, Literal, cast

from rewild.config.gpus import GIB, GPUS, Gpu
from rewild.config.models import Model
from rewild.core.errors import ConfigError, nearest

GPU_COUNTS = (1, 2, 4, 8)
Precision = Literal["fp32", "bf16", "fp8"]
WEIGHT_BYTES: dict[str, int] = {"fp32": 4, "bf16": 2, "fp8": 1}
CACHE_BYTES = 2  # vLLM keeps the KV cache in the activations' type, bf16, also when the weights are FP8
GRAPH_BYTES = 0.92 * 2**30 / 32 / 51
"""Of a CUDA graph, per layer: vLLM expected 0.92 GiB for 51 sizes of the 32 layers of an 8B on an H100
(docs/gpu.md), of which 0.45 were taken. That it grows with the layers and the sizes is assumed."""
SAMPLED_BYTES = 14
"""Per sequence and row of the vocabulary while tokens are drawn: logits in bf16 (2) and fp32 (4),
probabilities and noise in fp32 (4 + 4). With the activations it explains both measurements of docs/gpu.md:
1,024 and 512 sequences of an 8B leave 52.84 and 53.11 GiB of cache, with 0.64 GiB of everything else."""
BATCHES = {"max_num_seqs": "max_sequences", "max_num_batched_tokens": "batched_tokens"}
"""Arguments of vLLM that decide how much memory it needs → what states the same of a GPU type."""
STEP = 256  # contexts are multiples of this, so that a small change of a driver does not change a study


@dataclass(frozen=True)
class Architecture:
    """The dimensions of a model that decide its memory.

    Attributes:
        parameters: all weights, every expert of a mixture included (a count, not billions).
        attention_layers: layers with a KV cache; fewer than all layers in a hybrid such as Jamba.
        state_bytes: recurrent state of one sequence, over all layers (0 without such layers).
        layers: all layers; 0 is as many as have a KV cache.
        inner_size: width of the feed-forward layer that a token goes through, of all its experts together; 0
            is four times the hidden size.
        active: parameters used per token; 0 is all.
        experts, experts_per_token: of a mixture; 0 and 0 for a dense model.
        expert_parameters: of all experts of all layers.
        latent: values per token and layer that multi-head latent attention keeps (0 without); ``kv_heads``
            and ``head_dim`` say nothing then.
        window, window_layers: tokens that so many of the attention layers keep at most.
        stored_bytes: of all weights, where the checkpoint says it (MXFP4, AWQ); 0 follows from the precision.
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
    layers: int = 0
    inner_size: int = 0
    active: int = 0
    experts: int = 0
    experts_per_token: int = 0
    expert_parameters: int = 0
    latent: int = 0
    window: int = 0
    window_layers: int = 0
    stored_bytes: int = 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights. FP8 checkpoints keep the embeddings and the output layer in bf16."""
        if self.stored_bytes:
            return self.stored_bytes
        embeddings = self.vocabulary * self.hidden_size * (1 if self.tied_embeddings else 2)
        each = WEIGHT_BYTES[self.precision]
        return max(each, 2) * embeddings + each * max(self.parameters - embeddings, 0)

    def gpu_counts(self) -> tuple[int, ...]:
        """Numbers of GPUs that tensor parallelism can use: they divide the attention heads.

        KV heads are either divided as well or, when there are fewer than GPUs, held more than once.
        """
        return tuple(
            n
            for n in GPU_COUNTS
            if self.heads % n == 0 and (self.latent or gcd(n, self.kv_heads) == min(n, self.kv_heads))
        )

    def kv_bytes(self, gpus: int) -> int:
        """Bytes that one token takes in the KV cache of each of ``gpus`` GPUs, over all layers."""
        if self.latent:
            return self.attention_layers * self.latent * CACHE_BYTES
        return 2 * self.attention_layers * ceil(self.kv_heads / gpus) * self.head_dim * CACHE_BYTES

    def sequence_bytes(self, tokens: float, gpus: int) -> float:
        """Bytes that a sequence of so many tokens takes on each of ``gpus`` GPUs: cache, window and state."""
        layer = self.kv_bytes(gpus) / max(self.attention_layers, 1)
        whole = self.attention_layers - self.window_layers
        kept = whole * tokens + self.window_layers * min(tokens, self.window)
        return layer * kept + ceil(self.state_bytes / gpus)

    def longest(self, room: float, gpus: int) -> int:
        """Tokens of the longest sequence that takes at most ``room`` bytes, at most the native context."""
        low, high = 0, self.native_context
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.sequence_bytes(middle, gpus) <= room else (low, middle - 1)
        return low

    def activation_bytes(self, gpus: int, tokens: int, sequences: int) -> int:
        """Bytes of each GPU that vLLM's profiling run finds in use at its peak, besides the weights.

        Args:
            gpus: that share the model.
            tokens: of a step at most: hidden states twice, the two halves of the feed-forward layer and their
                product, in bf16.
            sequences: of which a token is drawn at most; each GPU has the logits of the whole vocabulary.
        """
        inner = self.inner_size or 4 * self.hidden_size
        copies = 2 + self.experts_per_token  # a mixture keeps an output of each chosen expert
        through = 2 * tokens * (copies * self.hidden_size + 3 * ceil(inner / gpus))
        drawing = 2 * tokens * self.hidden_size + SAMPLED_BYTES * sequences * self.vocabulary
        return max(through, drawing)

    def graph_bytes(self, sequences: int) -> int:
        """Bytes of each GPU that vLLM sets aside for CUDA graphs, for so many sequences at most.

        Its sizes (``VllmConfig._set_cudagraph_sizes``): 1, 2, 4, multiples of 8 to 256, of 16 to 512.
        """
        most = min(2 * sequences, 512)
        sizes = [1, 2, 4, *range(8, min(most + 1, 256), 8), *range(256, most + 1, 16)]
        return int(GRAPH_BYTES * (self.layers or self.attention_layers) * len(sizes))


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
    one_size = {} if d.latent else {"kv_heads": d.kv_heads, "head_dim": d.head_dim}
    needed = {
        "parameters.total": total,
        "native_context": model.native_context,
        "layers": d.layers,
        "hidden_size": d.hidden_size,
        "heads": d.heads,
        **one_size,
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
    state += (d.state or 0) * CACHE_BYTES
    stored = model.weight_bytes if precision in (None, model.paper_precision or "bf16") else None
    return Architecture(
        name=model.slug,
        parameters=number["parameters.total"],
        attention_layers=attending,
        hidden_size=number["hidden_size"],
        heads=number["heads"],
        kv_heads=number.get("kv_heads", 0),
        head_dim=number.get("head_dim", 0),
        vocabulary=number["vocab"],
        tied_embeddings=bool(d.tie_embeddings),
        native_context=number["native_context"],
        precision=cast(Precision, precision or model.paper_precision or "bf16"),
        state_bytes=state,
        layers=number["layers"],
        inner_size=(d.intermediate_size or 0) * (d.experts_per_token or 1) + (d.shared_size or 0),
        active=(model.parameters.active if model.parameters else implied and implied[1]) or 0,
        experts=d.experts or 0,
        experts_per_token=d.experts_per_token or 0,
        expert_parameters=(3 if d.gated else 2)
        * number["hidden_size"]
        * (d.intermediate_size or 0)
        * (d.experts or 0)
        * (d.moe_layers or number["layers"]),
        latent=d.latent or 0,
        window=d.window or 0,
        window_layers=(d.window_layers or attending) if d.window else 0,
        stored_bytes=stored or 0,
    )


@dataclass(frozen=True)
class Plan:
    """One model on ``gpus`` GPUs of one type. Bytes are per GPU; ``missing_bytes`` are over its memory."""

    model: str
    gpu: str
    gpus: int
    precision: Precision
    weight_bytes: int
    activation_bytes: int
    graph_bytes: int
    reserve_bytes: int
    cache_bytes: int
    missing_bytes: int
    kv_bytes: int
    kv_tokens: int
    context: int
    shape: Architecture

    @property
    def needed_bytes(self) -> int:
        """Of a GPU's memory, for one conversation of the plan's context."""
        kept = self.weight_bytes + self.activation_bytes + self.graph_bytes + self.reserve_bytes
        return kept + self.context_bytes

    @property
    def context_bytes(self) -> int:
        """Of each GPU, that one conversation of the plan's context keeps."""
        return ceil(self.shape.sequence_bytes(self.context, self.gpus))

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
    activations = architecture.activation_bytes(gpus, gpu.step_tokens, gpu.at_once)
    usable = int(gpu.memory * gpu.utilization) - gpu.reserve
    graphs = architecture.graph_bytes(gpu.at_once)
    left = usable - weights - activations - graphs
    cache = max(left, 0)
    per_token = architecture.kv_bytes(gpus)
    tokens = cache // per_token if per_token else architecture.native_context * sequences
    context = architecture.longest(cache / sequences, gpus)
    if context < architecture.native_context:
        context -= context % STEP
    return Plan(
        model=architecture.name,
        gpu=name,
        gpus=gpus,
        precision=architecture.precision,
        weight_bytes=weights,
        activation_bytes=activations,
        graph_bytes=graphs,
        reserve_bytes=gpu.reserve,
        cache_bytes=cache,
        missing_bytes=max(-left, 0),
        kv_bytes=per_token,
        kv_tokens=tokens,
        context=context,
        shape=architecture,
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
    missing = max(last.missing_bytes, last.kv_bytes * STEP - last.cache_bytes)
    raise ConfigError(
        f"{architecture.name} does not fit on {last.gpus} GPUs of type {gpu_name}: "
        f"{last.weight_bytes / 1e9:.0f} GB of weights on each leave no room for a KV cache "
        f"({gpu.memory * gpu.utilization / 1e9:.0f} GB usable, of which activations take "
        f"{last.activation_bytes / 1e9:.1f} GB); {missing / GIB:.1f} GiB are missing: use FP8 weights or a "
        "larger GPU"
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
    gpu_name: str, gpus: Mapping[str, Gpu] | None, share: float | None, vllm: Mapping[str, Any] | None = None
) -> tuple[float, dict[str, Gpu]]:
    """``(share, types)``: the share of memory that an engine is given, and the GPU types to plan it with.

    Args:
        gpu_name: a GPU type.
        gpus: GPU types of the configuration, besides the built-in ones.
        share: the study's ``gpu_memory_utilization``; None is the type's own.
        vllm: arguments of vLLM that a study gives; sequences and tokens of a step take memory.

    Raises:
        ConfigError: an unknown GPU type.
    """
    known = dict(gpus or {})
    gpu = find_gpu(gpu_name, known)
    stated = {"utilization": share} | {field: (vllm or {}).get(name) for name, field in BATCHES.items()}
    if given := {field: value for field, value in stated.items() if value is not None}:
        known[gpu_name] = gpu = gpu.model_copy(update=given)
    return gpu.utilization, known

"""How fast a model is on a number of GPUs, and which number costs least: a roofline of decoding and prefill.

A step of decoding gives every running sequence one token. It takes the sum of

    matrices       = the larger of reading the weights that it touches, and 2 x active parameters a token
    cache          = reading what the sequences keep: keys and values, windows, states
    communication  = with more than one GPU, two all-reduces a layer: a latency, and the bytes over the link
    overhead       = kernels' gaps, per layer; scheduling and sampling, per sequence

and prefill takes 2 x active parameters a token, attention, and the same all-reduces. As many sequences run as
the KV cache holds at the study's mix of tokens. What the hardware does not reach of its data sheet, and what
is not on it, is measured or assumed in ``resources/cost/assumptions.yaml``, under ``roofline``; docs/plan.md
shows what it explains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from rewild.config.assumptions import Assumptions, Roofline, load_assumptions
from rewild.config.gpus import Gpu
from rewild.config.responses import Objective
from rewild.core.errors import ConfigError
from rewild.engines.plan import CACHE_BYTES, Architecture, Plan, find_gpu, plan, plan_on

SPEEDS = ("bandwidth_tb", "tflops", "link_gb")
LONGEST_TURNS = 200  # of a conversation; after them no weight is left


@dataclass(frozen=True)
class Traffic:
    """What a request is on average, in tokens.

    Attributes:
        read: of the prompt, the conversation so far included.
        computed: of these, what the prefix cache does not have from the turn before.
        written: of the answer.
        held: kept for a running sequence, on average over the time that it runs.
    """

    read: float
    computed: float
    written: float
    held: float


def traffic(assumed: Assumptions, longest_prompt: int, longest_answer: int, thought: float = 0.0) -> Traffic:
    """The requests of conversations, by the assumptions on their tokens, under a model's limits.

    A conversation has a geometric number of turns; turn t reads t user turns and t - 1 answers; answers are
    lognormal. A sequence is in the cache for as long as it is written, so long answers weigh more: with
    prompt p and answer a, p + E[a^2] / 2 E[a] tokens are kept on average. Reasoning is written before each
    answer, so many tokens on average, and is in no later prompt.
    """
    prompt, answer = float(assumed.prompt_tokens.value), float(assumed.answer_tokens.value)
    on = 1 - 1 / float(assumed.turns.value)
    weights = [(1 - on) * on**t for t in range(LONGEST_TURNS)]
    prompts = [min((t + 1) * prompt + t * answer, longest_prompt) for t in range(LONGEST_TURNS)]
    read = _mean(weights, prompts)
    # A prompt that had to be cut does not begin as the one before.
    found = [0.0] + [a if b < longest_prompt else 0.0 for a, b in pairwise(prompts)]
    computed = read - float(assumed.roofline.prefix.value) * _mean(weights, found)
    sigma = float(assumed.answer_spread.value)
    written, square = (_capped(answer, sigma, longest_answer, power) for power in (1, 2))
    square += 2 * written * thought + thought**2
    written += thought
    return Traffic(read, computed, written, read + square / (2 * written))


def _mean(weights: list[float], values: list[float]) -> float:
    return math.fsum(w * v for w, v in zip(weights, values, strict=True)) / math.fsum(weights)


def _capped(mean: float, sigma: float, most: float, power: int) -> float:
    """``E[min(X, most)^power]`` of a lognormal X."""
    mu = math.log(mean) - sigma**2 / 2
    below = (math.log(most) - mu) / sigma

    def normal(x: float) -> float:
        return (1 + math.erf(x / math.sqrt(2))) / 2

    moment = math.exp(power * mu + (power * sigma) ** 2 / 2)
    return moment * normal(below - power * sigma) + most**power * (1 - normal(below))


@dataclass(frozen=True)
class Forecast:
    """A plan at work. Seconds are of the whole job: of all its GPUs at once.

    Attributes:
        sequences: that run at once.
        full: whether memory, and not vLLM's own limit or its CUDA graphs, bounds them.
        parts: of a step of decoding, in seconds: matrices, cache, communication, overhead.
        decode, prefill: seconds per request.
    """

    gpus: int
    sequences: float
    full: bool
    parts: Mapping[str, float]
    decode: float
    prefill: float
    use: Traffic

    @property
    def seconds(self) -> float:
        """Of the job, per request."""
        return self.decode + self.prefill

    @property
    def gpu_seconds(self) -> float:
        """Of all GPUs, per request: what the cheapest plan has least of."""
        return self.gpus * self.seconds

    @property
    def rate(self) -> float:
        """Tokens per second of the job, read and written together, as the paper counts them (section 2.2)."""
        return (self.use.read + self.use.written) / self.seconds

    @property
    def mostly(self) -> tuple[str, float]:
        """What takes the most time, and its share."""
        step = sum(self.parts.values())
        shares = {name: self.decode * part / step for name, part in self.parts.items()}
        name, most = max((shares | {"prefill": self.prefill}).items(), key=lambda item: item[1])
        return name, most / self.seconds


def forecast(
    shape: Architecture,
    gpu: Gpu,
    made: Plan,
    use: Traffic,
    rates: Roofline | None = None,
    *,
    at_once: float | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> Forecast:
    """How fast a plan is.

    Args:
        shape: the model.
        gpu: the kind of GPU, with its speeds.
        made: its plan on so many of them.
        use: a request.
        rates: what is reached of the data sheet; the assumptions' by default.
        at_once: sequences, in place of as many as fit.
        cache_bytes: of a cache entry; another than bf16 only to compare with what others measured.
    """
    assert gpu.bandwidth_tb
    assert gpu.tflops
    assert gpu.link_gb
    rates = rates or load_assumptions().roofline
    n, layers = made.gpus, shape.layers or shape.attention_layers
    link = gpu.link_gb * 1e9 * float(rates.link.value)
    memory = gpu.bandwidth_tb * 1e12 * float(rates.bandwidth.value)
    peak = (gpu.tflops_fp8 if shape.precision == "fp8" else None) or gpu.tflops
    arithmetic = n * peak * 1e12 * float(rates.arithmetic.value)

    kept = shape.sequence_bytes(use.held, n) * cache_bytes / CACHE_BYTES
    most = float(min(gpu.at_once, rates.graphed.value))
    room = made.cache_bytes / kept
    sequences = max(1.0, min(most, room)) if at_once is None else at_once

    last = shape.vocabulary * shape.hidden_size  # multiplied for the last token of a prompt only
    looked_up = 0 if shape.tied_embeddings else last  # of the embeddings, a row a token
    each = shape.weight_bytes / shape.parameters
    touched = 1.0
    if shape.experts:
        touched = 1 - (1 - shape.experts_per_token / shape.experts) ** sequences
    weights = shape.parameters - looked_up - (1 - touched) * shape.expert_parameters
    active = (shape.active or shape.parameters) - looked_up

    def joined(tokens: float) -> float:
        """Seconds that the bytes of a layer's two all-reduces take, over all layers."""
        return 4 * layers * (n - 1) / n * tokens * 2 * shape.hidden_size / link

    parts = {
        "matrices": max(weights * each / n / memory, 2 * active * sequences / arithmetic),
        "cache": sequences * kept / memory,
        "communication": joined(sequences) + (2e-6 * layers * float(rates.latency.value) if n > 1 else 0.0),
        "overhead": (layers * float(rates.layer.value) + sequences * float(rates.sequence.value)) * 1e-6,
    }
    attention = 4 * shape.attention_layers * shape.heads * (shape.head_dim or 128) * use.read / 2
    token = (2 * (active - last) + attention) / arithmetic + joined(1)
    return Forecast(
        gpus=n,
        sequences=sequences,
        full=room < most,
        parts=parts,
        decode=use.written * sum(parts.values()) / sequences,
        prefill=use.computed * token,
        use=use,
    )


def fast_gpu(name: str, gpus: Mapping[str, Gpu] | None, where: str | None = None) -> Gpu:
    """A GPU type with the figures that a forecast needs.

    Args:
        name: of the type.
        gpus: GPU types of the configuration, besides the built-in ones.
        where: the key of the objective that asks for it, for the message.

    Raises:
        ConfigError: the type is unknown, or a figure is missing; the keys are named.
    """
    gpu = find_gpu(name, dict(gpus or {}))
    if missing := [key for key in SPEEDS if getattr(gpu, key) is None]:
        keys = ", ".join(f"gpus.{name}.{key}" for key in missing)
        raise ConfigError(
            f"GPU type '{name}': how fast it is, is not stated: give {keys} in config/config.yaml (its data "
            "sheet has them)" + (f", or set {where}: fewest, which needs none" if where else "")
        )
    return gpu


def choose(
    shape: Architecture,
    name: str,
    gpus: Mapping[str, Gpu] | None,
    use: Traffic,
    *,
    objective: Objective = "cheapest",
    context: int | None = None,
    where: str = "objective",
) -> Plan:
    """The plan of an objective. Its context is that of the fewest GPUs: an objective identifies nothing.

    Args:
        shape: the model.
        name: a GPU type.
        gpus: GPU types of the configuration, besides the built-in ones.
        use: a request of the study.
        objective: ``fewest`` GPUs that hold the model, as the paper's section 2.1; or ``cheapest``, the least
            GPU-seconds per token, where more GPUs must save what the assumptions call worth it.
        context: that is wanted.
        where: the key of the objective, for messages.

    Raises:
        ConfigError: as :func:`rewild.engines.plan.plan` and :func:`fast_gpu`.
    """
    least = plan(shape, name, dict(gpus or {}), context=context)
    if objective == "fewest":
        return least
    return _cheapest(shape, fast_gpu(name, gpus, where), least, use, load_assumptions().roofline)


@cache
def _cheapest(shape: Architecture, gpu: Gpu, least: Plan, use: Traffic, rates: Roofline) -> Plan:
    best, cost = least, forecast(shape, gpu, least, use, rates).gpu_seconds
    for count in shape.gpu_counts():
        if count > least.gpus:
            tried = replace(plan_on(shape, gpu, count, least.gpu), context=least.context)
            seconds = forecast(shape, gpu, tried, use, rates).gpu_seconds
            if seconds < cost * (1 - float(rates.worth.value)):
                best, cost = tried, seconds
    return best

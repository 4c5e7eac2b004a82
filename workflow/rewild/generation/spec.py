"""What one model is asked to generate with, and what of it identifies what it gives. Knows no stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from rewild.config.assumptions import load_assumptions
from rewild.config.base import identity as identity_of
from rewild.config.endpoint import NEUTRAL, Takes
from rewild.config.engines import find_engine
from rewild.config.gpus import Gpu
from rewild.config.models import Model
from rewild.config.reasoning import Reasoning, reckoned, tokens_of
from rewild.config.responses import Compute, History, Limits, OverLong, SamplingSettings
from rewild.config.stages import version
from rewild.core.errors import ConfigError
from rewild.core.weights import hash_folder
from rewild.engines.plan import Plan, architecture_of, plan, with_share
from rewild.engines.roofline import Traffic, choose, traffic

LEAST = 16  # tokens of a prompt


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        path: a folder, a hub id, or the name at an endpoint; empty where it is not established.
        revision: the pinned commit on the hub; None for folders (their content is hashed) and endpoints.
        precision: ``fp32``, ``bf16`` or ``fp8``.
        parameters: weights, in billions; 0 where unknown.
        takes: what an endpoint takes that serves it; None is all of our fields.
        at_its_maker: whether the endpoint is its maker's; any other serves it from files, which may bring
            sampling settings of their own.
        reasoning: how it reasons before it answers; None: it does not.
    """

    path: str
    revision: str | None
    precision: str
    parameters: float
    native_context: int | None
    trust_remote_code: bool = False
    template: str | None = None
    takes: Takes | None = None
    at_its_maker: bool = False
    reasoning: Reasoning | None = None

    @property
    def thinks(self) -> dict[str, Any]:
        """What of its reasoning identifies an answer, as ``reasoning``; nothing where it has none."""
        return {} if self.reasoning is None else {"reasoning": self.reasoning.identity}

    @property
    def sent(self) -> dict[str, Any]:
        """What of an endpoint's requests identifies an answer, beyond the study's settings."""
        takes = {"takes": self.takes.identity} if self.takes and self.takes.identity else {}
        return takes if self.at_its_maker else {**takes, "neutral": NEUTRAL}


@dataclass(frozen=True)
class Spec:
    """The settings of one generation: everything a run needs that is known without loading anything.

    Attributes:
        study: whose results, for messages.
        seed: of the study; each answer's own is made of it (:func:`row_seed`).
        model: names who generates; part of every seed.
        source: where it comes from.
        engine: a row of :data:`rewild.config.engines.ENGINES`.
        sampling, limits, history, over_long, system, attempts: as in a study's ``responses``.
        compute: how it is computed; identifies nothing.
        plan: of the GPUs; None on a CPU, behind an endpoint, or where the model's dimensions are not known.
        memory_share: of a GPU's memory that vLLM may take.
        gpus_by_hand: GPUs of a model that has no plan.
        origins: sources of the prompts that are answered; none are all. It changes no answer, and which
            there are.
    """

    study: str
    seed: int
    model: str
    source: Source
    engine: str
    sampling: SamplingSettings
    limits: Limits
    compute: Compute
    history: History = "reference"
    over_long: OverLong = "truncate_per_message"
    system: str | None = None
    attempts: int = 3
    plan: Plan | None = None
    memory_share: float | None = None
    gpus_by_hand: int = 0
    origins: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        """GPUs that it needs."""
        return self.plan.gpus if self.plan else self.gpus_by_hand

    @property
    def remote(self) -> bool:
        """Whether an endpoint answers, which has the weights."""
        return find_engine(self.engine).remote

    @cached_property
    def described(self) -> str:
        """:func:`settings_of`, made once: each of a model's shards asks for it while jobs are laid out."""
        elsewhere = {"native_context", "parameters", "takes", "at_its_maker", "reasoning"}
        source = {k: v for k, v in asdict(self.source).items() if k not in elsewhere} | self.source.thinks
        if self.remote:
            source["sent"] = self.source.sent
        return json.dumps(
            {
                "stage": version("responses"),
                "seed": self.seed,
                "source": source,
                # Of a plan, only what of its context is used: its memory may be reckoned better one day.
                "context": min(self.plan.context, self.limits.at_most or self.plan.context)
                if self.plan
                else None,
                "engine": self.engine,
                "history": self.history,
                "over_long": self.over_long,
                "system": self.system,
                "sampling": self.sampling.model_dump(mode="json"),
                "limits": self.limits.model_dump(mode="json"),
                "attempts": self.attempts,
                **self.engine_arguments,
                **({"origins": self.origins} if self.origins else {}),
            }
        )

    @property
    def engine_arguments(self) -> dict[str, Any]:
        """Those of ``compute.vllm`` that change what is generated, as ``vllm``; nothing if there are none."""
        given = identity_of(self.compute.vllm) if self.engine == "vllm" else {}
        return {"vllm": given} if given else {}


def source_of(
    model: str, remote: bool, row: Model | None, folder: str | None, precision: str | None
) -> Source:
    """Where a model comes from.

    Args:
        model: its name.
        remote: whether an endpoint answers.
        row: of the models; may be None where there is a folder.
        folder: with its files, where it does not come from the hub.
        precision: of its weights; None is the paper's, bf16, or fp32 for a folder.

    Raises:
        ConfigError: it is not on the hub.
    """
    total = row.parameters.total if row and row.parameters else 0
    native = row.native_context if row else None
    if folder is not None:
        thinks = row.reasoning if row else None
        return Source(folder, None, precision or "fp32", total / 1e9, native, reasoning=thinks)
    assert row is not None
    precision = precision or row.paper_precision or "bf16"
    hub, revision = row.checkpoint(precision)
    made = Source(
        hub or "", revision, precision, total / 1e9, native, row.trust_remote_code, reasoning=row.reasoning
    )
    if remote:
        return replace(
            made,
            path=row.api or row.hub or model,
            revision=None,
            at_its_maker=row.api is not None,
        )
    if row.api is not None:
        raise ConfigError(f"model {model}: it is not on the hub; the engine 'openai' can ask its maker's API")
    return made


def planned(  # noqa: PLR0917 (all that a plan depends on)
    row: Model | None,
    precision: str,
    engine: str,
    compute: Compute,
    wanted: Limits,
    gpus: Mapping[str, Gpu] | None,
) -> tuple[Plan | None, float | None]:
    """The engine plan of a model that is loaded here, and the share of a GPU's memory that it may take.

    Args:
        row: of the models; None has no plan.
        precision: of its weights.
        engine: that loads them.
        compute: the GPU, the share of its memory, and what the plan is to have least of.
        wanted: a context; without one the plan takes as many tokens as fit.
        gpus: GPU types of the configuration.

    Raises:
        ConfigError: no plan fits, the GPU type is unknown, or how fast it is, is not known.
    """
    if not compute.gpu or find_engine(engine).remote:
        return None, None
    share, known = with_share(compute.gpu, gpus, compute.gpu_memory_utilization, compute.vllm.given)
    if row is None:
        return None, share
    shape = architecture_of(row, precision)
    if "gpus" not in find_engine(engine).takes:  # it loads a model onto one GPU, or none
        return plan(shape, compute.gpu, known, context=wanted.context), share
    fitting = plan(shape, compute.gpu, known, context=wanted.context).context
    use = traffic_of(compute, wanted, min(fitting, wanted.at_most or fitting), row.reasoning)
    where = "responses.compute.objective"
    return choose(
        shape, compute.gpu, known, use, objective=compute.objective, context=wanted.context, where=where
    ), share


def traffic_of(compute: Compute, wanted: Limits, context: int, reasoning: Reasoning | None = None) -> Traffic:
    """The requests of a study's conversations, under the limits of a context; reasoning is written, too."""
    longest_input, longest_output = sizes(wanted, context)
    return traffic(load_assumptions().of(compute.tokens), longest_input, longest_output, reckoned(reasoning))


def sizes(wanted: Limits, context: int) -> tuple[int, int]:
    """``(longest prompt, longest answer)`` in a context, in tokens."""
    longest_output = wanted.max_output or round(wanted.output_share * context)
    return wanted.max_input or round(wanted.input_share * context), longest_output


def limits(spec: Spec, native_context: int | None) -> tuple[int, int, int]:
    """``(context, longest prompt, longest answer)`` of a generation, in tokens.

    Args:
        native_context: what the model's files state, for models that are not in the table.

    Raises:
        ConfigError: nothing says how long the context is.
    """
    wanted = spec.limits
    native = spec.source.native_context or native_context
    found = spec.plan.context if spec.plan else native
    context = wanted.context or (min(found, wanted.at_most or found) if found else wanted.at_most)
    if context is None:
        raise ConfigError(f"model {spec.model}: its context is not known; give it as limits.context")
    if native is not None and context > native:
        raise ConfigError(
            f"model {spec.model}: limits.context is {context} tokens, but the model was made for {native}"
        )
    longest_input, longest_output = sizes(wanted, context)
    thought = tokens_of(spec.source.reasoning)
    if thought and wanted.max_input is None:  # a share of the context makes room
        longest_input = max(min(longest_input, context - longest_output - thought), LEAST)
    if longest_input + longest_output + thought > context:
        reasoning = f", reasoning of {thought}" if thought else ""
        raise ConfigError(
            f"model {spec.model}: prompts of {longest_input}{reasoning} and answers of {longest_output} "
            f"tokens exceed the context of {context}"
            + ("; lower reasoning.budget, or the limits" if thought else "")
        )
    return context, longest_input, longest_output


def identity(
    spec: Spec, weights: str, template_hash: str | None, sizes: tuple[int, int, int]
) -> dict[str, Any]:
    """Every setting that identifies what is generated; nothing of how it is computed.

    Args:
        spec: the settings.
        weights: :func:`weights_identity`.
        template_hash: of the chat template's text; None for an endpoint.
        sizes: the result of :func:`limits`.
    """
    context, longest_input, longest_output = sizes
    sent = {"sent": spec.source.sent} if spec.remote else {}
    return {
        **sent,
        "stage_version": version("responses"),
        "seed": spec.seed,
        "model": spec.model,
        "weights": weights,
        "revision": spec.source.revision,
        "precision": spec.source.precision,
        "engine": spec.engine,
        "chat_template": template_hash,
        "system": spec.system,
        "history": spec.history,
        "sampling": spec.sampling.model_dump(),
        "context": context,
        "max_input": longest_input,
        "max_output": longest_output,
        "over_long": spec.over_long,
        "attempts": spec.attempts,
        **spec.engine_arguments,
        **spec.source.thinks,
    }


def weights_identity(spec: Spec) -> str:
    """What says which weights: the content of a folder's files, or the name on the hub or at an endpoint."""
    folder = Path(spec.source.path)
    return hash_folder(folder) if not spec.remote and folder.is_dir() else spec.source.path


def digest_of(identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that name an identity."""
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def settings_of(spec: Spec) -> str:
    """What is known of :func:`identity` before anything is loaded, as JSON: rules rerun when it changes."""
    return spec.described


def memory_mb(spec: Spec) -> int:
    """Main memory that it needs, in MB: the weights pass through it; torch and a tokenizer live in it."""
    each = {"fp32": 4, "bf16": 2, "fp8": 1}[spec.source.precision]
    return 3000 + int(1.3 * each * spec.source.parameters * 1000) + (8000 if spec.gpus else 0)


def row_seed(study_seed: int, model: str, conversation_id: str, turn: int, attempt: int = 1) -> int:
    """The seed of one answer: 63 bits, the same in whichever shard, chunk or batch it is made.

    The model's name is part of it: models that shared a random stream would look more alike than they are.
    """
    text = f"{study_seed}/{model}/{conversation_id}/{turn}/{attempt}"
    return int.from_bytes(sha256(text.encode()).digest()[:8]) >> 1

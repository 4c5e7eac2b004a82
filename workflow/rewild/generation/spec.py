"""What identifies the responses of a model in a study, and the order in which its job is put together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from rewild.config.endpoint import NEUTRAL, Takes
from rewild.config.engines import find_engine
from rewild.config.gpus import Gpu
from rewild.config.models import Model, find_model
from rewild.config.responses import ModelSettings, Responses
from rewild.config.study import Study
from rewild.config.trainings import checkpoint_of, weights_of
from rewild.core.errors import ConfigError
from rewild.engines.plan import Plan, architecture_of, plan, with_share

STAGE_VERSION = 2  # raise when the same settings would give other responses (2: content is never markup)
IDENTIFYING = (".safetensors", ".json", ".jinja", ".model", ".txt")


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

    @property
    def sent(self) -> dict[str, Any]:
        """What of an endpoint's requests identifies an answer, beyond the study's settings."""
        takes = {"takes": self.takes.identity} if self.takes and self.takes.identity else {}
        return takes if self.at_its_maker else {**takes, "neutral": NEUTRAL}


@dataclass(frozen=True)
class Job:
    """One model in one study: everything a run needs that is known without loading anything."""

    study: str
    seed: int
    model: str
    settings: Responses
    source: Source
    plan: Plan | None
    memory_share: float | None = None  # of a GPU's memory that vLLM may take
    gpus_by_hand: int = 0  # for a model whose dimensions are not established

    @property
    def gpus(self) -> int:
        """GPUs that the job needs."""
        return self.plan.gpus if self.plan else self.gpus_by_hand

    @property
    def remote(self) -> bool:
        """Whether an endpoint answers, which has the weights."""
        return find_engine(self.settings.engine).remote

    @cached_property
    def described(self) -> str:
        """:func:`settings_of`, made once: each of a model's shards asks for it while jobs are laid out."""
        elsewhere = {"native_context", "parameters", "takes", "at_its_maker"}
        source = {k: v for k, v in asdict(self.source).items() if k not in elsewhere}
        if self.remote:
            source["sent"] = self.source.sent
        settings = self.settings.model_dump(mode="json", exclude={"compute", "pilot", "models", "overrides"})
        context = self.plan.context if self.plan else None
        return json.dumps(
            {"stage": STAGE_VERSION, "seed": self.seed, "source": source, "context": context, **settings}
        )


def make_job(
    study: Study, model: str, models: Mapping[str, Model], gpus: Mapping[str, Gpu] | None = None
) -> Job:
    """Put the settings of one model together. Pure configuration: a dry run can call it.

    Raises:
        ConfigError: the study generates nothing, the model is not among its models or not in the table, or
            no engine plan fits.
    """
    if study.responses is None:
        raise ConfigError(f"study {study.name}: it has no section 'responses', so it generates nothing")
    fine_tune = _fine_tune(study, model, models)
    if model not in study.responses.models and fine_tune is None:
        listed = ", ".join(study.responses.models)
        raise ConfigError(f"study {study.name}: '{model}' is not among its models ({listed})")
    settings = study.responses.of(model)
    own = study.responses.overrides.get(model) or ModelSettings.model_validate({})
    folder = local_folder(study, model)
    made_here = study.demo.registry() if study.demo else {}
    row = made_here.get(model) or (models.get(model) if folder else find_model(models, model))
    row = fine_tune or row
    precision = own.precision or ("bf16" if fine_tune and fine_tune.family != "demo" else None)
    source = replace(_source(model, settings, row, folder, precision), template=own.chat_template)
    if row is not None and find_engine(settings.engine).remote:
        source = replace(source, takes=row.endpoint)
    made = share = None
    if settings.compute.gpu and not find_engine(settings.engine).remote:
        gpu = settings.compute.gpu
        share, known = with_share(gpu, gpus, settings.compute.gpu_memory_utilization)
        if row is not None and own.gpus is None:
            wanted = settings.limits.context
            made = plan(architecture_of(row, source.precision), gpu, known, context=wanted)
    return Job(
        study.name,
        study.seed,
        model,
        settings,
        source,
        made,
        share,
        own.gpus or 0,
    )


def local_folder(study: Study, model: str) -> str | None:
    """The folder of a model that is not taken from the hub: one that the study names or makes itself."""
    own = study.responses.overrides.get(model) if study.responses else None
    if own and own.path:
        return own.path
    if study.inherited_style and model in study.inherited_style.runs:
        return checkpoint_of(study, model)
    made_here = study.demo and model in study.demo.models
    return f"results/{study.name}/models/{model}" if made_here else None


def _fine_tune(study: Study, model: str, models: Mapping[str, Model]) -> Model | None:
    """The row of a run that answers the study's prompts, to be compared with the models it learned from."""
    answers = study.inherited_style and model in study.inherited_style.runs
    return weights_of(study, model, models).row if answers else None


def _source(
    model: str, settings: Responses, row: Model | None, folder: str | None, precision: str | None
) -> Source:
    total = row.parameters.total if row and row.parameters else 0
    native = row.native_context if row else None
    if folder is not None:
        return Source(folder, None, precision or "fp32", total / 1e9, native)
    assert row is not None
    precision = precision or row.paper_precision or "bf16"
    hub, revision = row.checkpoint(precision)
    made = Source(hub or "", revision, precision, total / 1e9, native, row.trust_remote_code)
    if find_engine(settings.engine).remote:
        return replace(
            made,
            path=row.api or row.hub or model,
            revision=None,
            at_its_maker=row.api is not None,
        )
    if row.api is not None:
        raise ConfigError(f"model {model}: it is not on the hub; the engine 'openai' can ask its maker's API")
    return made


def limits(job: Job, native_context: int | None) -> tuple[int, int, int]:
    """``(context, longest prompt, longest answer)`` of a job, in tokens.

    Args:
        native_context: what the model's files state, for models that are not in the table.

    Raises:
        ConfigError: nothing says how long the context is.
    """
    wanted = job.settings.limits
    native = job.source.native_context or native_context
    found = job.plan.context if job.plan else native
    context = wanted.context or (min(found, wanted.at_most or found) if found else wanted.at_most)
    if context is None:
        raise ConfigError(f"model {job.model}: its context is not known; give it as limits.context")
    if native is not None and context > native:
        raise ConfigError(
            f"model {job.model}: limits.context is {context} tokens, but the model was made for {native}"
        )
    longest_output = wanted.max_output or round(wanted.output_share * context)
    longest_input = wanted.max_input or round(wanted.input_share * context)
    if longest_input + longest_output > context:
        raise ConfigError(
            f"model {job.model}: prompts of {longest_input} and answers of {longest_output} tokens exceed "
            f"the context of {context}"
        )
    return context, longest_input, longest_output


def identity(job: Job, template_hash: str | None, sizes: tuple[int, int, int]) -> dict[str, Any]:
    """Every setting that identifies a response; nothing of how it is computed.

    Args:
        job: the model in the study.
        template_hash: of the chat template; None for an endpoint.
        sizes: the result of :func:`limits`.
    """
    context, longest_input, longest_output = sizes
    source, settings = job.source, job.settings
    folder = Path(source.path)
    local = not find_engine(settings.engine).remote and folder.is_dir()
    sent = {"sent": source.sent} if find_engine(settings.engine).remote else {}
    return {
        **sent,
        "stage_version": STAGE_VERSION,
        "seed": job.seed,
        "model": job.model,
        "weights": hash_folder(folder) if local else source.path,
        "revision": source.revision,
        "precision": source.precision,
        "engine": settings.engine,
        "chat_template": template_hash,
        "system": settings.system,
        "history": settings.history,
        "sampling": settings.sampling.model_dump(),
        "context": context,
        "max_input": longest_input,
        "max_output": longest_output,
        "over_long": settings.over_long,
        "attempts": settings.attempts,
    }


def recipe_of(identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that name an identity."""
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def hash_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of a model folder's weights, configuration and tokenizer."""
    digest = sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in IDENTIFYING):
        digest.update(f"{file.name}\0".encode())
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def settings_of(job: Job) -> str:
    """What is known of :func:`identity` before anything is loaded, as JSON: rules rerun when it changes."""
    return job.described


def memory_mb(job: Job) -> int:
    """Main memory that a job needs, in MB: the weights pass through it; torch and a tokenizer live in it."""
    each = {"fp32": 4, "bf16": 2, "fp8": 1}[job.source.precision]
    return 3000 + int(1.3 * each * job.source.parameters * 1000) + (8000 if job.gpus else 0)


def row_seed(study_seed: int, model: str, conversation_id: str, turn: int, attempt: int = 1) -> int:
    """The seed of one answer: 63 bits, the same in whichever shard, chunk or batch it is made.

    The model's name is part of it: models that shared a random stream would look more alike than they are.
    """
    text = f"{study_seed}/{model}/{conversation_id}/{turn}/{attempt}"
    return int.from_bytes(sha256(text.encode()).digest()[:8]) >> 1

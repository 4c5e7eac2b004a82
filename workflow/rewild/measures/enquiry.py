"""Who is asked for labels, and how: pure configuration, so that a dry run knows what its jobs need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rewild.config.benchmarks import RUBRIC
from rewild.config.gpus import Gpu
from rewild.config.judging import FREE, Judging, Price, asked_judge
from rewild.config.measures.labels import Asks, Label
from rewild.config.models import Model
from rewild.config.reasoning import tokens_of
from rewild.config.responses import Compute, Limits, SamplingSettings
from rewild.config.study import Study
from rewild.config.vllm import VllmArguments
from rewild.core.errors import ConfigError
from rewild.generation.asking.budget import Ledger
from rewild.generation.spec import LEAST, Source, Spec, planned
from rewild.measures.weights import Weights, weights_of

WHAT = "labels"
COMPACT = VllmArguments.model_validate(
    {"structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True}}
)
"""Of vLLM 0.32, for replies that are held to a form: white space would be in the form, without an end."""
CHUNK = 64  # replies of an endpoint that are kept together: they were paid for


@dataclass(frozen=True)
class Enquiry:
    """Who is asked, what that may cost, and where the replies are kept.

    Attributes:
        name: of the measure.
        settings: its row.
        spec: who is asked, and how.
        judging: the study's budget and prices, which hold for all who are asked.
    """

    name: str
    settings: Asks
    spec: Spec
    judging: Judging

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a reply depends on beside row and weights: what an endpoint is sent, vLLM's arguments."""
        spec = self.spec
        sent = {"model": spec.source.path, "sent": spec.source.sent} if spec.remote else {}
        return {"seed": spec.seed, **sent, **spec.engine_arguments, **spec.source.thinks}

    @property
    def price(self) -> Price | None:
        """What its model costs; None if it is not known. What runs here costs no money a token."""
        return self.judging.price_of(self.settings.model) if self.spec.remote else FREE

    @property
    def program(self) -> bool:
        """Whether the rubric answers, which is started for it."""
        own = self.settings.compute
        return self.settings.model == RUBRIC and not (own and own.endpoint)

    @property
    def chunk(self) -> int:
        """Replies that are kept together."""
        return self.settings.chunk or (CHUNK if self.spec.remote else self.spec.compute.chunk)

    @property
    def window(self) -> int:
        """Requests under way at most: what was paid for and is not kept yet would be lost with a job."""
        return self.chunk if self.spec.remote else max(self.chunk, self.spec.compute.window)

    def ledger(self, work: Path, job: str) -> Ledger:
        """What may be spent: the study's budget, which its judged benchmarks share.

        Args:
            work: the folder of the study's unfinished work.
            job: this job's name, ``MEASURE/SUBJECT/PART``.
        """
        spent, model = work / "judging", self.settings.model
        return Ledger(spent, spent / WHAT / job, self.judging.budget, self.price, self.spec.study, model)


def enquiry_of(
    study: Study, name: str, models: Mapping[str, Model], gpus: Mapping[str, Gpu] | None = None
) -> Enquiry | None:
    """Put together who a measure asks; None if it asks nobody.

    Args:
        study: the study.
        name: of the measure.
        models: the table of models, with the study's own.
        gpus: GPU types of the configuration.

    Raises:
        ConfigError: the model is not known, not at an endpoint's maker, or no engine plan fits.
    """
    settings = study.measures[name]
    if not isinstance(settings, Asks):
        return None
    compute = settings.compute or (study.responses.compute if study.responses else Compute())
    if isinstance(settings, Label) and settings.constrained:
        compute = compute.model_copy(update={"vllm": compute.vllm.over(COMPACT)})
    try:
        spec = _spec(study, settings, compute, weights_of(study, name, models), models, gpus)
    except ConfigError as error:
        where = f"study {study.name}: measures.{name}"
        raise error if str(error).startswith(where) else ConfigError(f"{where}: {error}") from error
    return Enquiry(name, settings, spec, study.judging)


def _spec(  # noqa: PLR0917 (all that it depends on)
    study: Study,
    settings: Asks,
    compute: Compute,
    weights: Weights | None,
    models: Mapping[str, Model],
    gpus: Mapping[str, Gpu] | None,
) -> Spec:
    row = models.get(settings.model)
    native = row.native_context if row else None
    if weights is None:
        asked = asked_judge(settings.model, models)
        own = not asked.open_weights
        source = Source(asked.name, None, "bf16", 0.0, None)
        source = replace(source, takes=asked.takes, at_its_maker=own, reasoning=asked.reasoning)
    else:
        total = row.parameters.total / 1e9 if row and row.parameters else 0.0
        code, thinks = weights.trust_remote_code, row.reasoning if row else None
        source = Source(
            weights.path, weights.revision, settings.precision, total, native, code, reasoning=thinks
        )
    context = min(native, settings.context) if native else settings.context
    room = context - settings.max_tokens - tokens_of(source.reasoning)
    if room < LEAST:
        raise ConfigError(
            f"max_tokens: replies of {settings.max_tokens} tokens leave no room for a prompt: the model's "
            f"context is {context}" + (", and its reasoning takes the rest" if source.reasoning else "")
        )
    limits = Limits(at_most=context, max_output=settings.max_tokens, max_input=room if native else None)
    wanted = Limits(context=context if native else None, at_most=context)
    plan, share = planned(row if weights else None, source.precision, settings.engine, compute, wanted, gpus)
    return Spec(
        study=study.name,
        seed=study.seed,
        model=settings.model,
        source=source,
        engine=settings.engine,
        sampling=SamplingSettings(temperature=settings.temperature),
        limits=limits,
        compute=compute,
        over_long="skip",
        attempts=settings.attempts,
        plan=plan,
        memory_share=share,
        gpus_by_hand=int(weights is not None and compute.gpu is not None),
    )


def settings_of(measure: Any, enquiry: Enquiry | None) -> str:
    """What identifies a measure before anything is loaded, as JSON: its rule runs again when it changes."""
    return json.dumps(measure.identity | ({"asked": enquiry.identity} if enquiry else {}))

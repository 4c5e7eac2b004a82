"""What a model writes prompts with. Pure configuration: a dry run knows what its job needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rewild.config.gpus import Gpu
from rewild.config.models import Model, find_model
from rewild.config.responses import Compute
from rewild.config.stages import version
from rewild.config.study import Study
from rewild.config.synthesis import Synthesis
from rewild.core.errors import ConfigError, known_name
from rewild.generation.spec import Spec, planned, source_of


def syntheses_of(study: Study) -> list[Synthesis]:
    """The sources of a study that a model writes."""
    return [s for s in study.prompts.sources if isinstance(s, Synthesis)] if study.prompts else []


def synthesis_of(study: Study, name: str) -> Synthesis:
    """A source of a study that a model writes.

    Raises:
        ConfigError: the study has none of this name; with the nearest match.
    """
    found = {source.name: source for source in syntheses_of(study)}
    where = f"study {study.name}: prompts.sources: no source of the kind synthesis"
    return found[known_name(name, found, where)]


def synthesis_spec(
    study: Study, source: Synthesis, models: Mapping[str, Model], gpus: Mapping[str, Gpu] | None = None
) -> Spec:
    """Put the settings of one source together; sampling is that of the answers between its turns.

    Raises:
        ConfigError: the model is not in the table, not on the hub, or no engine plan fits.
    """
    where = f"study {study.name}: prompts.sources.{source.name}"
    folder = source.path or (models[source.model].folder if source.model in models else None)
    try:
        row = models.get(source.model) if folder else find_model(models, source.model)
        made = source_of(source.model, False, row, folder, source.precision)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    made = replace(made, template=source.chat_template)
    compute = source.compute or (study.responses.compute if study.responses else Compute())
    plan, share = planned(row, made.precision, source.engine, compute, source.limits, gpus)
    return Spec(
        study=study.name,
        seed=study.seed if source.seed is None else source.seed,
        model=source.model,
        source=made,
        engine=source.engine,
        sampling=source.answers.sampling,
        limits=source.limits,
        compute=compute,
        history="self",
        over_long="skip",
        system=source.answers.system,
        attempts=1,
        plan=plan,
        memory_share=share,
    )


def described(source: Synthesis) -> dict[str, Any]:
    """What of a source identifies a sample, besides the model: not how many there are, nor their shards."""
    found: dict[str, Any] = {
        "source": source.name,
        "turns": source.turns,
        "pattern": [setting.model_dump() for setting in source.pattern],
        "system": _words(source, "system"),
        "language": source.spoken,
        "repetition": source.repetition,
        "garbage": source.garbage,
    }
    if source.turns > 1:
        found |= {"role": _words(source, "role"), "answers": source.answers.model_dump()}
    return found


def _words(source: Synthesis, key: Any) -> str | None:
    told = source.told(key)
    return told.text if told else None


def settings_of(spec: Spec, source: Synthesis) -> str:
    """What is known of a recipe before anything is loaded, as JSON: rules rerun when it changes."""
    known = json.loads(spec.described)
    for key in ("sampling", "system", "history", "over_long", "attempts"):
        del known[key]  # of the answers, if there are any
    return json.dumps(known | {"stage": version("synthesis"), "synthesis": described(source)})

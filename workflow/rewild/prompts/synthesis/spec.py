"""What a model writes prompts with. Pure configuration: a dry run knows what its job needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rewild.config.engines import find_engine
from rewild.config.gpus import Gpu
from rewild.config.models import Model, find_model
from rewild.config.responses import Compute
from rewild.config.stages import version
from rewild.config.study import Study
from rewild.config.synthesis import Synthesis
from rewild.core.errors import ConfigError, known_name
from rewild.generation.spec import Spec, planned, source_of

NOT_OURS = ("sampling", "system", "history", "over_long", "attempts")
"""Settings of answers: of those between turns, :func:`described` tells."""


def syntheses_of(study: Study) -> list[Synthesis]:
    """The sources of a study that a model writes."""
    return [s for s in study.prompts.sources if isinstance(s, Synthesis)] if study.prompts else []


def synthesis_of(study: Study, name: str) -> Synthesis:
    """A source of a study that a model writes.

    Raises:
        ConfigError: the study has none of this name; with the nearest match.
    """
    found = {source.name: source for source in syntheses_of(study)}
    where = f"study {study.name}: prompts.sources: a model writes no source that is called"
    return found[known_name(name, found, where)]


def synthesis_spec(
    study: Study,
    source: Synthesis,
    models: Mapping[str, Model],
    gpus: Mapping[str, Gpu] | None = None,
    step: int = 0,
) -> Spec:
    """Put the settings of one step of a source together; sampling is that of the answers between its turns.

    Raises:
        ConfigError: the model is not in the table, not on the hub, or no engine plan fits.
    """
    who = source.speaks(step)
    name, engine = who.model or source.model, who.engine or source.engine
    key = "" if who is source else ".answers"
    folder = who.path or (models[name].folder if name in models else None)
    remote = find_engine(engine).remote
    try:
        row = models.get(name) if folder else find_model(models, name)
        made = source_of(name, remote, row, folder, who.precision)
    except ConfigError as error:
        raise ConfigError(f"study {study.name}: prompts.sources.{source.name}{key}: {error}") from error
    made = replace(made, template=who.chat_template, takes=row.endpoint if row and remote else None)
    usual = source.compute or (study.responses.compute if study.responses else Compute())
    compute, wanted = who.compute or usual, who.limits or source.limits
    plan, share = planned(row, made.precision, engine, compute, wanted, gpus)
    return Spec(
        study=study.name,
        seed=study.seed if source.seed is None else source.seed,
        model=name,
        source=made,
        engine=engine,
        sampling=source.answers.sampling,
        limits=wanted,
        compute=compute,
        history="self",
        over_long="skip",
        system=source.answers.system,
        attempts=1,
        plan=plan,
        memory_share=share,
    )


def specs_of(
    study: Study, source: Synthesis, models: Mapping[str, Model], gpus: Mapping[str, Gpu] | None = None
) -> list[Spec]:
    """The models of a source: the one that writes, and the other one that answers, if there is one."""
    return [synthesis_spec(study, source, models, gpus, step) for step in range(len(source.steps[:2]))]


def described(source: Synthesis, step: int = 0) -> dict[str, Any]:
    """What of a source identifies what a step adds, besides the model: not how many there are, nor shards.

    What an earlier step wrote is identified by itself.
    """
    acts, alone = source.steps[step], len(source.steps) == 1
    if not alone and step % 2:
        answers = {key: getattr(source.answers, key) for key in ("sampling", "system")}
        return {
            "source": source.name,
            "answers": answers["sampling"].model_dump(),
            "system": answers["system"],
        }
    found: dict[str, Any] = {
        "source": source.name,
        "turns": len(acts) // 2 + 1,
        "pattern": [setting.model_dump() for setting in source.pattern],
        "system": _words(source, "system"),
        "language": source.spoken,
        "repetition": source.repetition,
        "garbage": source.garbage,
        **source.asked_with,
    }
    if acts.stop > 1:
        found["role"] = _words(source, "role")
    if len(acts) > 1:
        found["answers"] = source.answers.model_dump(include={"sampling", "system"})
    return found


def _words(source: Synthesis, key: Any) -> str | None:
    told = source.told(key)
    return told.text if told else None


def settings_of(spec: Spec, source: Synthesis, step: int = 0) -> str:
    """What is known of a step's recipe before anything is loaded, as JSON: rules rerun when it changes."""
    known = json.loads(spec.described)
    for key in NOT_OURS:
        del known[key]
    return json.dumps(known | {"stage": version("synthesis"), "synthesis": described(source, step)})

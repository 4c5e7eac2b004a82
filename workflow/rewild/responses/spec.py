"""What a model answers a study's prompts with. Pure configuration: a dry run knows what its job needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rewild.config.engines import find_engine
from rewild.config.gpus import Gpu
from rewild.config.models import Model, find_model
from rewild.config.responses import ModelSettings
from rewild.config.study import Study
from rewild.config.trainings import checkpoint_of, weights_of
from rewild.core.errors import ConfigError
from rewild.generation.spec import Spec, planned, source_of


def make_spec(
    study: Study, model: str, models: Mapping[str, Model], gpus: Mapping[str, Gpu] | None = None
) -> Spec:
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
    folder = local_folder(study, model, models)
    row = fine_tune or (models.get(model) if folder else find_model(models, model))
    precision = own.precision or ("bf16" if fine_tune and fine_tune.folder is None else None)
    remote = find_engine(settings.engine).remote
    source = replace(source_of(model, remote, row, folder, precision), template=own.chat_template)
    if own.reasoning is not None:
        source = replace(source, reasoning=own.reasoning)
    if row is not None and remote:
        source = replace(source, takes=row.endpoint)
    planned_row = row if own.gpus is None else None
    if planned_row is not None and own.reasoning is not None:
        planned_row = planned_row.model_copy(update={"reasoning": own.reasoning})
    made, share = planned(
        planned_row, source.precision, settings.engine, settings.compute, settings.limits, gpus
    )
    return Spec(
        study=study.name,
        seed=study.seed,
        model=model,
        source=source,
        engine=settings.engine,
        sampling=settings.sampling,
        limits=settings.limits,
        compute=settings.compute,
        history=settings.history,
        over_long=settings.over_long,
        system=settings.system,
        attempts=settings.attempts,
        plan=made,
        memory_share=share,
        gpus_by_hand=own.gpus or 0,
        origins=tuple(own.origins),
    )


def local_folder(study: Study, model: str, models: Mapping[str, Model]) -> str | None:
    """The folder of a model that is not taken from the hub: one that the study or the table names."""
    own = study.responses.overrides.get(model) if study.responses else None
    if own and own.path:
        return own.path
    if study.inherited_style and model in study.inherited_style.runs:
        return checkpoint_of(study, model)
    return models[model].folder if model in models else None


def _fine_tune(study: Study, model: str, models: Mapping[str, Model]) -> Model | None:
    """The row of a run that answers the study's prompts, to be compared with the models it learned from."""
    answers = study.inherited_style and model in study.inherited_style.runs
    return weights_of(study, model, models).row if answers else None

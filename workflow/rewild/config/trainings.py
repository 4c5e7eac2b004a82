"""What a study's runs are made of: first weights, mix, recipe, template; what identifies a training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewild.config.base import identity
from rewild.config.mixes import mix_name
from rewild.config.models import Model, find_model
from rewild.config.reasoning import arguments_of
from rewild.config.recipes import ChatTemplate, Recipe, find_recipe
from rewild.config.runs import Run
from rewild.config.stages import version
from rewild.config.study import Study
from rewild.core.errors import ConfigError, known_name


@dataclass(frozen=True)
class Weights:
    """Where a run's model is.

    Attributes:
        path: a folder, or a hub id.
        revision: the pinned commit on the hub; None for a folder, and where none is established.
        local: whether ``path`` is a folder that the workflow makes.
        trust_remote_code: whether the code that the hub repository ships may run.
        row: its row of the table of models, with the base's dimensions for a fine-tune.
    """

    path: str
    revision: str | None
    local: bool
    trust_remote_code: bool
    row: Model


def find_run(study: Study, run: str) -> Run:
    """The row of ``run``; a :class:`ConfigError` with the nearest match if there is none."""
    return study.runs[known_name(run, study.runs, f"study {study.name}: unknown run", listed="runs")]


def checkpoint_of(study: Study, run: str) -> str:
    """The folder of a fine-tune: safetensors, tokenizer, chat template."""
    return f"results/{study.name}/runs/{run}/checkpoint"


def weights_of(study: Study, run: str, models: Mapping[str, Model]) -> Weights:
    """The model that a run is evaluated with: its checkpoint, or its model as it is.

    Args:
        study: whose run.
        run: its slug.
        models: the table of models.

    Raises:
        ConfigError: an unknown run or model, or a model that is nowhere to be loaded from.
    """
    found = find_run(study, run)
    start = start_of(study, run, models)
    if not found.trained:
        return start
    row = start.row.model_copy(update={"slug": run, "abbreviation": None, "hub": None, "chat_template": True})
    return Weights(checkpoint_of(study, run), None, True, start.trust_remote_code, row)


def start_of(study: Study, run: str, models: Mapping[str, Model], seen: tuple[str, ...] = ()) -> Weights:
    """The model that a run starts from; arguments and errors as of :func:`weights_of`."""
    model = find_run(study, run).model
    if model in study.runs and model != run:
        if model in seen:
            raise ConfigError(f"study {study.name}: runs start from each other: {' → '.join((*seen, model))}")
        start_of(study, model, models, (*seen, run))  # a circle is found before it is walked
        return weights_of(study, model, models)
    try:
        row = find_model(models, model)
    except ConfigError as error:
        raise ConfigError(f"study {study.name}: run '{run}': {error}") from None
    if row.folder is not None:
        return Weights(row.folder, None, True, row.trust_remote_code, row)
    if row.hub is None:
        raise ConfigError(f"study {study.name}: run '{run}': the model '{model}' is not on the hub")
    hub, revision = row.checkpoint()
    return Weights(hub or row.hub, revision, False, row.trust_remote_code, row)


def display(study: Study, run: str, models: Mapping[str, Model]) -> str:
    """The run's name in tables, as the paper writes it: ``L8B : Q72 (500k)``, ``Q72 : None``."""
    found = find_run(study, run)
    if found.label:
        return found.label
    if found.model in study.runs and study.runs[found.model].trained:
        name = display(study, found.model, models)
    else:
        name = start_of(study, run, models).row.name
    if found.mix in study.mixes:
        return f"{name} : {mix_name(found.mix, study.mixes[found.mix], models)}"
    pairs = study.preferences.get(found.mix or "")
    return f"{name} : {(pairs and pairs.label) or found.mix}"


@dataclass(frozen=True)
class Training:
    """A run that is trained, with everything its settings name."""

    study: str
    run: str
    mix: str
    recipe: Recipe
    seed: int
    start: Weights
    template: ChatTemplate | None  # None: the model's tokenizer has its own
    reasons: bool = False  # the mix has reasoning, which is trained on

    @property
    def told(self) -> dict[str, Any]:
        """What the chat template is told besides, as ``arguments``; nothing where there is none."""
        told = arguments_of(self.start.row.reasoning)
        return {"arguments": told} if told else {}

    @property
    def folder(self) -> str:
        """Where its files go."""
        return f"results/{self.study}/runs/{self.run}"

    @property
    def settings(self) -> str:
        """What identifies it, as JSON, as far as no file is needed: rules rerun when it changes."""
        recipe = identity(self.recipe)
        template = identity(self.template) if self.template else None
        start = [self.start.path, self.start.revision]
        return json.dumps(
            {
                "stage": version("training"),
                "recipe": recipe,
                "seed": self.seed,
                "start": start,
                "template": template,
                **self.told,
            }
        )

    @property
    def gates(self) -> str:
        """What it must pass, as JSON: the post-flight judges again when it changes; nothing is trained."""
        return json.dumps({"stopped": self.recipe.stopped, "cut": self.recipe.cut})


def training_of(
    study: Study, run: str, models: Mapping[str, Model], recipes: Mapping[str, Recipe]
) -> Training | None:
    """What a run's training is made of; None if the run is a model as it is. Pure configuration.

    Raises:
        ConfigError: an unknown model, mix or recipe, or a base model for which no chat template is given.
    """
    found = find_run(study, run)
    where = f"study {study.name}: run '{run}'"
    start = start_of(study, run, models)
    if found.mix is None or found.recipe is None:
        return None
    try:
        recipe = find_recipe(recipes, found.recipe)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    known_name(found.mix, [*study.mixes, *study.preferences], f"{where}: unknown mix", listed="mixes")
    if (recipe.kind == "dpo") != (found.mix in study.preferences):
        what = "a set of preference pairs" if recipe.kind == "dpo" else "a mix"
        raise ConfigError(f"{where}: recipe '{recipe.slug}' learns from {what}; '{found.mix}' is not one")
    template = None
    if not start.row.chat_template:
        template = recipe.templates.get(start.row.family)
        if template is None and start.row.chat_template is False:
            raise ConfigError(
                f"{where}: the base model '{found.model}' has no chat template, and recipe '{recipe.slug}' "
                f"gives none for the family '{start.row.family}': add it to the recipe's 'templates'"
            )
    seed = study.seed if found.seed is None else found.seed
    mix = study.mixes.get(found.mix)
    return Training(
        study.name, run, found.mix, recipe, seed, start, template, reasons=mix is not None and mix.reasons
    )


def style_models(study: Study) -> list[str]:
    """The runs of ``inherited_style``, and then the models whose responses they learned, each once."""
    if study.inherited_style is None:
        return []
    runs = study.inherited_style.runs
    learned = [model for run in runs for model in learned_from(study, run)]
    return list(dict.fromkeys([*runs, *learned]))


def learned_from(study: Study, run: str) -> list[str]:
    """The models of the study whose responses a run was trained on."""
    mix = study.mixes.get(find_run(study, run).mix or "")
    return mix.models() if mix else []


def check_runs(
    study: Study, models: Mapping[str, Model], recipes: Mapping[str, Recipe]
) -> dict[str, Training]:
    """Every trained run of a study, checked; see :func:`training_of`."""
    found = {run: training_of(study, run, models, recipes) for run in study.runs}
    answering = study.responses.models if study.responses else []
    for run, training in found.items():
        if training and run in answering:
            raise ConfigError(f"study {study.name}: the run '{run}' has the name of a model: rename the run")
    if study.inherited_style:
        for run in study.inherited_style.runs:
            if not find_run(study, run).trained:
                raise ConfigError(f"study {study.name}: inherited_style.runs: '{run}' is not trained")
    return {run: training for run, training in found.items() if training}

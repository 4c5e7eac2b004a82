"""Token counts, with the tokenizer of a model that a study names."""

from __future__ import annotations

from collections.abc import Mapping

from rewild.config.models import Model, find_model
from rewild.config.study import Study
from rewild.core.errors import RewildError
from rewild.engines.tokenizer import Count, open_counter
from rewild.responses.spec import local_folder


def open_tokenizer(study: Study, model: str, models: Mapping[str, Model]) -> Count:
    """The counter of a model's tokens.

    Args:
        study: a model that it makes itself, or takes from a folder, is found there.
        model: its slug.
        models: the table of models.

    Raises:
        RewildError: no transformers here, an unknown model, or no tokenizer to load.
    """
    return open_counter(model, *where(study, model, models))


def where(study: Study, model: str, models: Mapping[str, Model]) -> tuple[str, str | None]:
    """A model's folder or hub id, and its revision."""
    folder = local_folder(study, model, models)
    if folder:
        return folder, None
    hub, revision = find_model(models, model).checkpoint()
    if hub is None:
        raise RewildError(f"model {model}: it is not on the hub, so its tokenizer cannot count tokens")
    return hub, revision

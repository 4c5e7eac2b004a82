"""The model that a measure names: where its files are. Nothing heavy: the workflow asks, too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewild.config.measures.space import Match
from rewild.config.models import Model
from rewild.config.reasoning import Reasoning, arguments_of
from rewild.config.study import Study
from rewild.core.errors import ConfigError, nearest
from rewild.core.weights import PACKAGE, hash_folder
from rewild.responses.spec import local_folder


@dataclass(frozen=True)
class Weights:
    """Where a model is.

    Attributes:
        name: as the measure names it.
        path: a folder or a hub id.
        revision: the commit on the hub; None for a folder, whose content is hashed.
        trust_remote_code: run the code that the repository ships.
        reasoning: what its chat template is told besides, if it reasons.
    """

    name: str
    path: str
    revision: str | None = None
    trust_remote_code: bool = False
    reasoning: Reasoning | None = None

    @property
    def packaged(self) -> bool:
        """Whether a Python package of its environment carries it."""
        return self.path.startswith(PACKAGE)

    @property
    def local(self) -> bool:
        """Whether it is a folder."""
        return self.revision is None and Path(self.path).is_dir()

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies it: its content, or its name and commit."""
        told = arguments_of(self.reasoning)
        more = {"arguments": told} if told else {}
        if self.packaged:
            return {"package": self.path.removeprefix(PACKAGE)}
        if self.local:
            return {"sha256": hash_folder(Path(self.path)), **more}
        return {"hub": self.path, "revision": self.revision, **more}


def weights_of(study: Study, name: str, models: Mapping[str, Model]) -> Weights | None:
    """The model of a measure; None if it needs none.

    Args:
        study: the study.
        name: of the measure.
        models: the table of models.

    Raises:
        ConfigError: the model is not known, is not on the hub, or its commit is not established.
    """
    measure = study.measures[name]
    if isinstance(measure, Match):  # what it compares with becomes vectors by the model of its space
        measure = study.measures[measure.space]
    wanted = measure.named_model
    revision = getattr(measure, "commit", getattr(measure, "revision", None))
    if wanted is None:
        return None
    where = f"study {study.name}: measures.{name}"
    if wanted.startswith(PACKAGE):
        if not re.fullmatch(rf"{PACKAGE}[\w.-]+==[\w.]+", wanted):
            raise ConfigError(f"{where}: '{wanted}' is not of the form {PACKAGE}NAME==VERSION")
        return Weights(wanted, wanted)
    if folder := local_folder(study, wanted, models):
        thinks = models[wanted].reasoning if wanted in models else None
        return Weights(wanted, folder, reasoning=thinks)
    if wanted in models:
        hub, pinned = models[wanted].checkpoint()
        if hub is None:
            raise ConfigError(f"{where}: the model '{wanted}' is not on the hub")
        return Weights(wanted, hub, pinned, models[wanted].trust_remote_code, models[wanted].reasoning)
    if revision:
        return Weights(wanted, wanted, revision)
    if "/" not in wanted and not Path(wanted).is_dir():
        raise ConfigError(
            f"{where}: unknown model '{wanted}'{nearest(wanted, models)} (see `rewild models`; a hub id "
            "needs its `revision`, a folder has a slash in its path)"
        )
    if wanted.count("/") == 1 and not Path(wanted).exists() and wanted[0] not in "./":
        raise ConfigError(f"{where}: {wanted} is no folder; as a hub id it needs its `revision`")
    return Weights(wanted, wanted)

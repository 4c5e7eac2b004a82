"""Licences that the user has read and accepts, by name: ``accepted.yaml``, not committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from rewild.config.base import HOW, Section, validate
from rewild.config.models import Model
from rewild.core.errors import ConfigError, known_name
from rewild.core.files import write_text
from rewild.core.hub import PUBLIC
from rewild.core.reading_yaml import read_yaml
from rewild.operate.preflight import OPEN, UNKNOWN

FILE = "accepted.yaml"
HEAD = """\
# Licences that you have read and accept, each once, by name: written by `rewild accept`. They are yours: git
# ignores this file. Remove a line to take one back. What all users accept may stand in config.yaml.
"""


class Accepted(Section, marks=HOW):
    """``config/accepted.yaml``: the licence's name, and when it was accepted."""

    licences: dict[str, Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]] = Field(
        default_factory=dict, description="Licence to the day"
    )


def read_accepted(config: Path) -> dict[str, str]:
    """What is accepted: name to day; nothing where there is no file.

    Raises:
        ConfigError: not such a file; the message names the key.
    """
    path = config / FILE
    return validate(Accepted, read_yaml(path), str(path)).licences if path.is_file() else {}


def covered(licence: str, models: Mapping[str, Model]) -> list[Model]:
    """The models that are under a licence.

    Raises:
        ConfigError: no model is; the nearest name is given.
    """
    rows = [model for model in models.values() if model.api is None]
    known = dict.fromkeys(model.licence or UNKNOWN for model in rows)
    known_name(licence, list(known), "no model has the licence", listed="licences of models")
    return [model for model in rows if (model.licence or UNKNOWN) == licence]


def describe(licence: str, rows: Sequence[Model], used: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What accepting a licence covers, a line each.

    Args:
        licence: its name.
        rows: the models under it: :func:`covered`.
        used: study to the models that it names.
    """
    if licence == UNKNOWN:
        yield "The licences of these models are not established; whoever uses them has to find out:"
    else:
        yield f"The licence {licence} covers {len(rows)} models of the table; its text is on their pages:"
    for model in rows:
        studies = ", ".join(study for study, names in used.items() if model.slug in names)
        where = f"{PUBLIC}/{model.hub}" if model.hub else model.folder or "where it lies is not established"
        gated = "; the hub asks for consent there, too" if model.gated else ""
        yield f"  {model.slug}: {where}{gated}" + (f" (used by {studies})" if studies else "")
    yield "It binds what you do with their weights, and it may bind what is made with their texts."


def refuse_open(licence: str) -> None:
    """Raise a :class:`ConfigError` for a licence that asks for no consent."""
    if licence in OPEN:
        raise ConfigError(f"the licence {licence} asks for no consent: there is nothing to accept")


def accept(config: Path, licence: str, today: str | None = None) -> Path:
    """Write down that a licence is accepted; a name that stands there stays with its day."""
    day = today or datetime.now(UTC).date().isoformat()
    found = {licence: day} | read_accepted(config)
    text = yaml.safe_dump({"licences": dict(sorted(found.items()))}, allow_unicode=True, sort_keys=False)
    write_text(config / FILE, HEAD + text)
    return config / FILE

"""The lock file ``pins.yaml``: commits of what rows and studies take from the hub and do not pin themselves.

A commit that a row or a study states stands; where it states none, the lock file's is used, for every study
alike. It is written by ``rewild pin`` and belongs into the repository.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from rewild.config.base import LISTED, Section, validate
from rewild.core.reading_yaml import read_yaml

FILE = "pins.yaml"
SOURCE = f"config/{FILE}"
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Hub = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
DATA = ("repository", "dataset")
"""Keys of a study's sections that name a data set of the hub; MODELS name a model."""
MODELS = ("path", "model")
S = TypeVar("S", bound=Section)


class Pins(Section, marks=LISTED):
    """``config/pins.yaml``: hub id to commit."""

    models: dict[Hub, Commit] = Field(default_factory=dict, description="Checkpoints")
    datasets: dict[Hub, Commit] = Field(default_factory=dict, description="Data sets")


NONE = Pins.model_validate({})


def load_pins(folder: Path) -> Pins:
    """What is pinned; nothing where there is no file.

    Raises:
        ConfigError: not such a file; the message names the key.
    """
    path = folder / FILE
    return validate(Pins, read_yaml(path), str(path)) if path.is_file() else NONE


def pin_row(row: Mapping[str, Any], pins: Mapping[str, str]) -> dict[str, Any]:
    """A row of the models, with the commits that it lacks."""
    made = dict(row)
    if made.get("revision") is None and isinstance(row.get("hub"), str) and row["hub"] in pins:
        made |= {"revision": pins[row["hub"]], "revision_source": SOURCE}
    if made.get("quantized_revision") is None and row.get("quantized") in pins:
        made["quantized_revision"] = pins[row["quantized"]]
    native = row.get("native")
    if isinstance(native, Mapping) and native.get("revision") is None and native.get("hub") in pins:
        made["native"] = {**native, "revision": pins[native["hub"]], "revision_source": SOURCE}
    return made


def open_ends(section: Section) -> Iterator[tuple[str, str, Section]]:
    """Sections within one that may name a commit and do not: ``models`` or ``datasets``, id, section."""
    if "revision" in type(section).model_fields and getattr(section, "revision", None) is None:
        for kind, keys in (("datasets", DATA), ("models", MODELS)):
            name = next((n for key in keys if isinstance(n := getattr(section, key, None), str)), None)
            if name is not None:
                yield kind, name, section
                break
    for value in _inner(section):
        yield from open_ends(value)


def _inner(value: Any) -> Iterator[Section]:
    parts = dict(value).values() if isinstance(value, Section | Mapping) else value
    for part in parts:
        if isinstance(part, Section):
            yield part
        elif isinstance(part, list | tuple | Mapping):
            yield from _inner(part)


def pinned(section: S, pins: Pins) -> S:
    """A section with the commits that it lacks, in itself and in those within it."""
    if pins == NONE:
        return section
    changed: dict[str, Any] = {}
    for name, value in section:
        made = _pinned(value, pins)
        if made is not value:
            changed[name] = made
    for kind, name, one in open_ends(section):
        if one is section and name in (known := getattr(pins, kind)):
            changed["revision"] = known[name]
    return section.model_copy(update=changed) if changed else section


def _pinned(value: Any, pins: Pins) -> Any:
    if isinstance(value, Section):
        return pinned(value, pins)
    if isinstance(value, list):
        made = [_pinned(one, pins) for one in value]
        return made if any(a is not b for a, b in zip(made, value, strict=True)) else value
    if isinstance(value, dict):
        many = {key: _pinned(one, pins) for key, one in value.items()}
        return many if any(many[key] is not value[key] for key in value) else value
    return value

"""Studies from their files, in three layers: ``config.yaml``, the study's own file, the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewild.config.base import validate
from rewild.config.pins import Pins, load_pins, pinned
from rewild.config.study import Defaults, Study
from rewild.config.subset import cut, split
from rewild.config.templates import expand
from rewild.core.errors import ConfigError, DataError, nearest
from rewild.core.reading import parse_json
from rewild.core.reading_yaml import read_yaml


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Layer ``over`` on ``base``: sections merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def study_names(folder: Path) -> list[str]:
    """The studies that exist, by file name."""
    return sorted(p.stem for p in (folder / "studies").glob("*.yaml"))


def load_defaults(folder: Path, overrides: Mapping[str, Any] | None = None) -> Defaults:
    """Read ``config.yaml``, under what the command line or a workflow around this one says of its keys."""
    path = folder / "config.yaml"
    return validate(Defaults, merge(read_yaml(path), _parts(overrides)[0]), str(Path(*path.parts[-2:])))


def load_study(
    folder: Path, name: str, overrides: Mapping[str, Any] | None = None, pins: Pins | None = None
) -> Study:
    """Read, layer and validate one study.

    Args:
        folder: the ``config`` folder.
        name: the study's file name without ``.yaml``.
        overrides: keys from the command line: those of ``config.yaml`` lie over that file, the others over
            the study's own; ``models`` and ``runs`` cut it (:mod:`rewild.config.subset`).
        pins: commits of what it takes from the hub and does not pin; None is what ``pins.yaml`` has.

    Raises:
        ConfigError: an unknown study, key or value, with the nearest match.
    """
    path = folder / "studies" / f"{name}.yaml"
    shown = Path(*path.parts[-3:])
    if not path.is_file():
        known = study_names(folder)
        raise ConfigError(f"unknown study '{name}'{nearest(name, known)} (studies: {', '.join(known)})")
    given = read_yaml(path)
    if "name" in given:
        raise ConfigError(f"study {name}: the name is the file's; remove the key 'name' from {shown}")
    where = f"study {name} ({shown})"
    subset, over = split(_parts(overrides)[1])
    layers = merge(merge(load_defaults(folder, overrides).defaults, expand(given, where)), over)
    study = validate(Study, {**layers, "name": name}, where)
    return cut(pinned(study, load_pins(folder) if pins is None else pins), subset, f"study {name}")[0]


def left_out(folder: Path, overrides: Mapping[str, Any]) -> list[str]:
    """What a command line's ``models`` and ``runs`` leave out of the chosen study, a line each."""
    usual, own = _parts(overrides)
    subset, over = split(own)
    name = load_defaults(folder, usual).study
    return cut(load_study(folder, name, usual | over), subset, f"study {name}")[1] if subset else []


def given_study(folder: Path, name: str, overrides: Mapping[str, Any], pins: Pins | None = None) -> Study:
    """A study under a command line, whose keys of a study lie over the chosen one only."""
    usual, own = _parts(overrides)
    chosen = load_defaults(folder, usual).study == name
    return load_study(folder, name, usual | own if chosen else usual, pins)


def read_study(study: str, folder: Path, pins: Pins | None = None) -> Study:
    """A study by its name, under what Snakemake's command line says; or from a resolved ``config.yaml``.

    The workflow hands the command line's keys to its jobs in the environment variable ``REWILD_CONFIG``.
    """
    if study.endswith((".yaml", ".yml")):
        return validate(Study, read_yaml(Path(study)), study)
    return given_study(folder, study, command_line(), pins)


def command_line() -> dict[str, Any]:
    """The keys of Snakemake's command line, which the workflow hands to its jobs in ``REWILD_CONFIG``.

    Raises:
        ConfigError: the variable holds something else.
    """
    where = "the environment variable REWILD_CONFIG"
    try:
        over = parse_json(os.environ.get("REWILD_CONFIG") or "{}", where)
    except DataError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(over, dict):
        raise ConfigError(f"{where}: an object was expected, not a {type(over).__name__}")
    return over


def _parts(over: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A command line's keys: those of ``config.yaml``, and those of a study."""
    usual = {k: v for k, v in (over or {}).items() if k in Defaults.model_fields}
    return usual, {k: v for k, v in (over or {}).items() if k not in usual}

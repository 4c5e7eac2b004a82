"""Where a model's small files are: in a folder, at the hub, or in the cache of the hub's tools."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from math import prod
from pathlib import Path
from typing import Any

from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.core.hub import COMMIT, AwayError, Hub, check_name, home
from rewild.core.reading import decode, parse_json, read_json
from rewild.core.reading_yaml import parse_yaml
from rewild.core.weights import READ

CARD, CONFIG, INDEX = "README.md", "config.json", "model.safetensors.index.json"
MOST = 60
"""Small files of a repository that are fetched; models have some ten."""
HEADER = 100 << 20
"""Bytes of the head of a safetensors file, at most (its own limit)."""
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16}
"""Of a number of each type in safetensors; the others have 8, or less in a byte that holds several."""


@dataclass(frozen=True)
class Files:
    """A model's small files, in one folder.

    Attributes:
        folder: where they are.
        hub, revision: the repository and its commit; None for a folder of one's own.
        place: in words, such as ``the hub``.
        info: what the hub says of it; empty where it was not asked.
    """

    folder: Path
    hub: str | None
    revision: str | None
    place: str
    info: Mapping[str, Any] = field(default_factory=dict)

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file; empty where it is not there.

        Raises:
            DataError: it is broken, or is no object.
        """
        path = self.folder / name
        if not path.is_file():
            return {}
        found = read_json(path)
        if not isinstance(found, dict):
            raise DataError(f"{path}: an object was expected, not a {type(found).__name__}")
        return found


def as_dict(value: Any) -> dict[str, Any]:
    """An object of others' JSON; empty where it is something else."""
    return dict(value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A list of others' JSON; empty where it is something else."""
    return list(value) if isinstance(value, list) else []


def find_files(model: str, work: Path, say: Callable[[str], None]) -> Files:
    """Find a model's configuration, tokenizer and card; at the hub only those are fetched.

    Args:
        model: a folder, or OWNER/NAME.
        work: an empty folder for what is fetched.
        say: called with a line at a time.

    Raises:
        RewildError: there is nothing of the kind, or the hub refuses; the message says what to do.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise DataError(f"{folder}: there is no model here ({CONFIG} is missing)")
        return Files(folder, None, None, "the folder")
    if model.startswith(("/", ".", "~")):
        raise ConfigError(f"{model}: there is no such folder")
    check_name(model)
    if os.environ.get("HF_HUB_OFFLINE", "") in ("", "0"):
        try:
            return _from_hub(model, work, say)
        except AwayError as error:
            say(f"{error}; looking in the cache")
    return _from_cache(model)


def _from_hub(model: str, work: Path, say: Callable[[str], None]) -> Files:
    with Hub(say=say) as hub:
        info = hub.info("models", model)
        commit, listed = str(info["sha"]), as_list(info.get("siblings"))
        names = [str(as_dict(one).get("rfilename")) for one in listed]
        wanted = [name for name in names if name == CARD or _read(name)]
        if CONFIG not in wanted:
            raise DataError(f"model {model}: its repository has no {CONFIG}: it is no model of transformers")
        if len(wanted) > MOST:
            raise DataError(
                f"model {model}: {len(wanted)} small files; no model that is known here has so many"
            )
        for name in wanted:
            say(f"{model}: {name}")
            (work / name).write_bytes(hub.file(model, commit, name))
    return Files(work, model, commit, "the hub", info)


def _read(name: str) -> bool:
    """Whether engines read a file of this name that is not weights; none of a folder within."""
    small = [pattern for pattern in READ if "safetensors" not in pattern]
    return "/" not in name and not name.startswith(".") and any(fnmatch(name, p) for p in small)


def _from_cache(model: str) -> Files:
    """What the hub's tools keep: ``HF_HOME/hub/models--OWNER--NAME/snapshots/COMMIT``."""
    root = Path(os.environ.get("HF_HUB_CACHE") or home() / "hub") / f"models--{model.replace('/', '--')}"
    main = root / "refs" / "main"
    commit = main.read_text(encoding="utf-8", errors="replace").strip() if main.is_file() else ""
    kept = sorted(p.name for p in (root / "snapshots").glob("*") if (p / CONFIG).is_file())
    commit = commit if commit in kept else kept[0] if len(kept) == 1 else ""
    if not COMMIT.fullmatch(commit):
        several = f": it has {len(kept)} commits of it, and none is called main" if kept else ""
        raise RewildError(
            f"model {model}: it is not in the cache {root.parent}{several}. Run this where the hub can be "
            "reached, or give the folder that the model lies in"
        )
    return Files(root / "snapshots" / commit, model, commit, "the cache")


def read_card(files: Files, note: Callable[[str], None]) -> dict[str, Any]:
    """What heads the model's card: YAML between two lines of ``---``; empty where it is not there or broken.

    Args:
        files: the model's.
        note: called with what is wrong.
    """
    path, fallback = files.folder / CARD, as_dict(files.info.get("cardData"))
    if not path.is_file():
        if not fallback:
            note(f"it has no card ({CARD}): its licence is not established")
        return fallback
    try:
        text = decode(path.read_bytes(), path).replace("\r\n", "\n")
        if not text.startswith("---\n"):
            return fallback
        head, closed, _ = text.removeprefix("---\n").partition("\n---")
        found = parse_yaml(head if closed else "", path)
        if closed and (isinstance(found, dict) or found is None):
            return found or {}
        note(f"its card does not begin with YAML between two lines of '---' ({path.name})")
    except RewildError as error:
        note(f"its card cannot be read: {str(error).replace(str(path), path.name)}")
    return fallback


@dataclass(frozen=True)
class Stored:
    """Weights as they are stored: numbers by type, and bytes."""

    counts: Mapping[str, int]
    bytes: int
    source: str

    @property
    def parameters(self) -> int | None:
        """How many; None where a byte may hold several (U8), or scales are among them."""
        whole = sum(self.counts.values())
        return whole if whole and set(self.counts) <= {"F64", "F32", "F16", "BF16"} else None


def stored(files: Files) -> Stored | None:
    """The weights, by the heads of safetensors files in the folder, the index, or what the hub says.

    Raises:
        DataError: a file's head is broken.
    """
    weights = sorted(files.folder.glob("*.safetensors"))
    named = set(map(str, as_dict(files.json(INDEX).get("weight_map")).values()))
    if weights and named <= {path.name for path in weights}:
        counts: dict[str, int] = {}
        size = 0
        for kind, shape, length in (entry for path in weights for entry in _head(path)):
            counts[kind] = counts.get(kind, 0) + prod(shape)
            size += length
        return Stored(counts, size, "the heads of its safetensors")
    told = as_dict(as_dict(files.info.get("safetensors")).get("parameters"))
    total = as_dict(files.json(INDEX).get("metadata")).get("total_size")
    counts = {str(k): v for k, v in told.items() if isinstance(v, int) and v > 0}
    if isinstance(total, int | float) and 0 < total < 1 << 60:
        return Stored(counts, int(total), f"{INDEX}, and the hub's count" if counts else INDEX)
    if counts:
        size = sum(count * BITS.get(kind, 8) // 8 for kind, count in counts.items())
        return Stored(counts, size, "the hub's count of its safetensors")
    return None


def _head(path: Path) -> Iterator[tuple[str, list[int], int]]:
    """Type, shape and bytes of each tensor."""
    with path.open("rb") as handle:
        first = handle.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else HEADER + 1
        if length > HEADER:
            raise DataError(f"{path}: not safetensors, or only a part of one")
        data = handle.read(length)
    found = parse_json(decode(data, path), path) if len(data) == length else None
    if not isinstance(found, dict):
        raise DataError(f"{path}: not safetensors, or only a part of one")
    end = 0
    for name, one in found.items():
        if name == "__metadata__":
            continue
        try:
            shape, (begin, last) = [int(n) for n in one["shape"]], one["data_offsets"]
            yield str(one["dtype"]), shape, int(last) - int(begin)
            end = max(end, int(last))
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{path}: its head is not one of safetensors ('{str(name)[:60]}')") from error
    if path.stat().st_size < 8 + length + end:
        raise DataError(f"{path}: only a part of it is there; fetch it again")

"""Weights: fetched from the hub once and without a GPU, into ``HF_HOME``; told apart by their content."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from rewild.core.errors import DataError, RewildError, first_line
from rewild.core.files import write_text
from rewild.core.reading import SMALL, read_json

# What engines read. Pickled weights are code; `original/` and `consolidated*` hold the same weights again.
READ = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
CODE = "*.py"
IDENTIFYING = (".safetensors", ".json", ".jinja", ".model", ".txt")
AGAIN = ("original/*", "consolidated*", "*/*.gguf")
UNPINNED = "unpinned"
PACKAGE = "package:"
"""Before the name and version of a Python package that carries a model (sentence-transformers)."""


def fetch_model(
    hub: str,
    revision: str | None,
    out: Path,
    code: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Download a model's safetensors, tokenizer and settings at a revision, and record what came.

    Args:
        hub: the repository, OWNER/NAME.
        revision: a commit; None is what the hub calls main.
        out: the record: commit, files with their sizes in bytes.
        code: whether code of the repository is fetched too.
        say: called with lines of progress.

    Raises:
        DataError: the repository has no safetensors.
        RewildError: the hub does not answer, or asks for consent.
    """
    from huggingface_hub import snapshot_download

    patterns = [*READ, *([CODE] if code else [])]
    say(f"{hub}: fetching {revision or 'main'}")
    try:
        folder = Path(
            snapshot_download(hub, revision=revision, allow_patterns=patterns, ignore_patterns=list(AGAIN))
        )
    except Exception as error:
        raise RewildError(f"{hub} at {revision or 'main'} cannot be fetched: {first_line(error)}") from error
    write_text(out, json.dumps(record(hub, folder), indent=1) + "\n")


def record(hub: str, folder: Path) -> dict[str, Any]:
    """What lies in a model's snapshot.

    Raises:
        DataError: no safetensors, or not all that the index names.
    """
    files = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    weights = [name for name in files if name.endswith(".safetensors")]
    if not weights:
        raise DataError(
            f"{hub}: no safetensors in {folder}. Pickled weights are code and are not loaded: name a "
            "repository that has safetensors in config/models.yaml"
        )
    for missing in _missing(folder, weights):
        raise DataError(f"{hub}: {missing}, which the index names, is not in {folder}; fetch it again")
    return {"hub": hub, "commit": folder.name, "bytes": sum(files.values()), "files": files}


def _missing(folder: Path, weights: Sequence[str]) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    found = read_json(index, limit=SMALL)
    named = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(named, dict):
        raise DataError(f"{index}: not an index of weights: 'weight_map' is missing; fetch it again")
    return sorted({str(name) for name in named.values()} - set(weights))


def hash_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of a model folder's weights, configuration and tokenizer.

    Raises:
        DataError: it holds no model.
    """
    parts = (folder / "modules.json").is_file()  # of sentence-transformers, some of which have a folder
    if not parts and not (folder / "config.json").is_file():
        raise DataError(f"{folder}: there is no model here (config.json is missing)")
    digest = sha256()
    for file in sorted(p for p in folder.glob("**/*" if parts else "*") if p.suffix in IDENTIFYING):
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()

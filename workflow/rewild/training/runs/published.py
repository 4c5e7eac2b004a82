"""A published checkpoint is for more readers than the library that wrote it.

Axolotl saves with transformers 5: its tokenizer class is one that older readers do not know, and its
generation config asks for sampling. Both are mended when a checkpoint is published, and looked for after
every training.

Its weights are stored in the recipe's precision: bf16, as base models are and as every engine and benchmark
loads them. What a run trains in fp32 stays in its checkpoints to resume from.
"""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

from rewild.core.errors import DataError, first_line
from rewild.core.files import write_json
from rewild.core.reading import SMALL, parse_json, read_json, read_text

TOKENIZER, GENERATION = "tokenizer_config.json", "generation_config.json"
INDEX = "model.safetensors.index.json"
SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
NEWER = "TokenizersBackend"  # transformers 5 alone has this class
CLASS = "PreTrainedTokenizerFast"  # this one is in 4 and in 5


def make_readable(folder: Path, end: str | None) -> None:
    """Mend a saved model's files, in place.

    Args:
        folder: the saved model.
        end: the token that the model learned to end a turn with; None: the tokenizer's own end token.
    """
    about = _read(folder / TOKENIZER)
    if about.get("tokenizer_class") == NEWER:
        about["tokenizer_class"] = CLASS
    template = folder / "chat_template.jinja"
    if template.exists():
        about["chat_template"] = read_text(template)  # where transformers 4 and vLLM look
    write_json(folder / TOKENIZER, about)
    settings = _read(folder / GENERATION)
    settings.pop("do_sample", None)
    settings["eos_token_id"] = list(dict.fromkeys([*_ids(folder, end or _end(about)), *_ends(settings)]))
    write_json(folder / GENERATION, settings)


def store_weights(source: Path, folder: Path, precision: str) -> dict[str, int]:
    """Write a saved model's weights to another folder in a precision, file by file; the config says which.

    Args:
        source: holds ``model*.safetensors`` and, if there are several, their index.
        folder: where they go, beside a copy of ``config.json``. What is in the right precision is linked.
        precision: ``bf16`` or ``fp32``; what is in fp32 is rounded to it (to nearest, ties to even).

    Returns:
        Dtype → how many weights are stored in it.

    Raises:
        DataError: a file is not a whole safetensors file.
    """
    counts: dict[str, int] = {}
    size = 0
    for path in sorted(source.glob("model*.safetensors")):
        made = folder / path.name
        if precision == "bf16" and "float32" in stored(path):
            _round(path, made)
        else:
            try:
                os.link(path, made)
            except OSError:  # another file system
                shutil.copyfile(path, made)
        for name, (count, length) in _tensors(made).items():
            counts[name] = counts.get(name, 0) + count
            size += length
    if (source / INDEX).is_file():
        index = _read(source / INDEX)
        index["metadata"] = {**index.get("metadata", {}), "total_size": size}
        write_json(folder / INDEX, index)
    config = _read(folder / "config.json")
    config.pop("torch_dtype", None)  # the name it had before transformers 5
    write_json(folder / "config.json", {**config, "dtype": max(counts, key=lambda name: counts[name])})
    return dict(sorted(counts.items()))


def stored(path: Path) -> dict[str, int]:
    """Dtype → how many weights a safetensors file stores in it, from its header alone."""
    return {name: count for name, (count, _) in _tensors(path).items()}


def _round(path: Path, made: Path) -> None:
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    tensors = {}
    with safe_open(str(path), framework="pt") as file:  # one tensor at a time in fp32
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            tensor = file.get_tensor(name)
            tensors[name] = tensor.to(torch.bfloat16) if tensor.dtype == torch.float32 else tensor
        about = file.metadata() or {"format": "pt"}
    save_file(tensors, str(made), metadata=about)


def _tensors(path: Path) -> dict[str, tuple[int, int]]:
    """Dtype → ``(weights, bytes)`` of a safetensors file."""
    found: dict[str, tuple[int, int]] = {}
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = parse_json(file.read(min(length, path.stat().st_size)), path)
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            dtype = SAFETENSORS.get(tensor["dtype"], str(tensor["dtype"]))
            start, end = tensor["data_offsets"]
            count, size = found.get(dtype, (0, 0))
            found[dtype] = (count + math.prod(tensor["shape"]), size + end - start)
    except (
        DataError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise DataError(f"{path}: not a whole safetensors file: {first_line(error)}") from error
    return found


def unreadable(folder: Path, end: str | None) -> list[str]:
    """What other readers would stumble over in a model's files; arguments as of :func:`make_readable`."""
    about, settings = _read(folder / TOKENIZER), _read(folder / GENERATION)
    found = []
    if about.get("tokenizer_class") == NEWER:
        found.append(f"{TOKENIZER} names the class {NEWER}, which transformers 4 does not have")
    if not about.get("chat_template"):
        found.append(f"{TOKENIZER} has no chat template, which vLLM and transformers 4 read there")
    if settings.get("do_sample"):
        found.append(f"{GENERATION} asks for sampling")
    end = end or _end(about)
    if not set(_ids(folder, end)) & set(_ends(settings)):
        found.append(f"{GENERATION} does not end at {end}")
    return found


def _read(path: Path) -> dict[str, Any]:
    found = read_json(path, limit=SMALL) if path.is_file() else {}
    if not isinstance(found, dict):
        raise DataError(f"{path}: an object was expected, not a {type(found).__name__}")
    return found


def _end(about: dict[str, Any]) -> str | None:
    """The end token that a tokenizer's configuration names, as text or as a token with its settings."""
    token = about.get("eos_token")
    found: str | None = token.get("content") if isinstance(token, dict) else token
    return found


def _ids(folder: Path, token: str | None) -> list[int]:
    added = _read(folder / "tokenizer.json").get("added_tokens", [])
    return [known["id"] for known in added if known["content"] == token]


def _ends(settings: dict[str, Any]) -> list[int]:
    """The ids that a generation config ends at."""
    known = settings.get("eos_token_id")
    return [known] if isinstance(known, int) else list(known or [])

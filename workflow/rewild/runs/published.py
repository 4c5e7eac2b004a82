"""A published checkpoint is for more readers than the library that wrote it.

Axolotl saves with transformers 5: its tokenizer class is one that older readers do not know, and its
generation config asks for sampling. Both are mended when a checkpoint is published, and looked for after
every training.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rewild.files import write_json

TOKENIZER, GENERATION = "tokenizer_config.json", "generation_config.json"
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
        about["chat_template"] = template.read_text(encoding="utf-8")  # where transformers 4 and vLLM look
    write_json(folder / TOKENIZER, about)
    settings = _read(folder / GENERATION)
    settings.pop("do_sample", None)
    settings["eos_token_id"] = list(dict.fromkeys([*_ids(folder, end or _end(about)), *_ends(settings)]))
    write_json(folder / GENERATION, settings)


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
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
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

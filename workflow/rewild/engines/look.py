"""Whether models can be read: ``python -m rewild.engines.look`` in an environment that has transformers.

It reads a JSON list of models from standard input and writes a line of JSON for each, as it goes: its slug
and what is wrong. No weights are loaded.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rewild.core.errors import RewildError, first_line
from rewild.core.reading import read_text


def look(model: dict[str, Any]) -> list[str]:
    """What is wrong with a model's configuration, tokenizer and chat template; nothing if it can start.

    Args:
        model: ``name``, ``path``, ``revision``, ``trust_remote_code``; ``context``, the tokens that are
            planned; ``chats``, whether it answers; ``system``, a prompt that it gets; ``template``, a file
            with another template.
    """
    from rewild.engines.chat import Chat
    from rewild.engines.config_file import read_config
    from rewild.engines.tokenizer import load_tokenizer

    path, name, revision = model["path"], model["name"], model["revision"]
    found: list[str] = []
    try:
        longest = read_config(path, name, revision).context
        if longest and model["context"] and model["context"] > longest:
            found.append(f"{model['context']:,} tokens of context are planned, its files state {longest:,}")
    except RewildError as error:
        found.append(_short(error, name))
    trust = {"revision": revision, "trust_remote_code": model["trust_remote_code"]}
    try:
        if not model["chats"]:
            load_tokenizer(path, name, **trust)
            return found
        template = read_text(model["template"]) if model["template"] else None
        found += Chat.load(path, name, template=template, **trust).problems(model["system"])
    except RewildError as error:
        found.append(_short(error, name))
    except Exception as error:  # whatever a file of a model makes of us is that model's fault
        found.append(f"{type(error).__name__}: {first_line(error)}")
    return found


def _short(error: RewildError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")


def main() -> None:
    """Look at each model that is asked for."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no reply
    for model in json.load(sys.stdin):
        replies.write(json.dumps({"name": model["name"], "problems": look(model)}) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()

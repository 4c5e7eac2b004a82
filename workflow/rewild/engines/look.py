"""Whether models can be read: ``python -m rewild.engines.look`` in an environment that has transformers.

It reads a JSON list of models from standard input and writes a line of JSON for each, as it goes: its slug
and what is wrong, or what is known of it where that is asked for. No weights are loaded.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rewild.config.base import validate
from rewild.config.reasoning import Reasoning
from rewild.core.errors import RewildError, first_line, nearest
from rewild.core.reading import read_text

TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
"""Files of which a model that answers has one at least."""


def look(model: dict[str, Any]) -> list[str]:
    """What is wrong with a model's configuration, tokenizer and chat template; nothing if it can start.

    Args:
        model: ``name``, ``path``, ``revision``, ``trust_remote_code``; ``context``, the tokens that are
            planned; ``chats``, whether it answers; ``system``, a prompt that it gets; ``template``, a file
            with another template; ``reasoning``, of its row, if it reasons.
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
        given = model.get("reasoning")
        reasoning = None if given is None else validate(Reasoning, given, f"{name}: reasoning")
        chat = Chat.load(path, name, template=template, reasoning=reasoning, **trust)
        found += chat.problems(model["system"])
    except RewildError as error:
        found.append(_short(error, name))
    except Exception as error:  # whatever a file of a model makes of us is that model's fault
        found.append(f"{type(error).__name__}: {first_line(error)}")
    return found


def _short(error: Exception, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")


def describe(model: dict[str, Any]) -> dict[str, Any]:
    """What the libraries here know of a model in a folder, without its weights and without its code.

    Args:
        model: ``name``, ``path`` (a folder).

    Returns:
        ``transformers`` and ``vllm``: versions, or None where it does not know the architecture (or, of
        vLLM, is not here); ``near``: the architecture most like it; ``values``: the configuration with every
        default of its class; ``total`` and ``active``: parameters, counted on the device "meta";
        ``prompt``: a question as its template renders it; ``ends``: what ends an answer; ``problems``;
        ``chats``: whether it has a template; ``system``: whether that takes a system prompt;
        ``reasons``: what begins and what ends reasoning in it, or None.
    """
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    path, name = Path(model["path"]), model["name"]
    found: dict[str, Any] = {"values": None, "total": None, "active": None, "near": "", "transformers": None}
    stated = json.loads(read_text(path / "config.json"))
    kind, named = str(stated.get("model_type")), stated.get("architectures")
    found["vllm"] = _vllm_knows([str(one) for one in named] if isinstance(named, list) else [])
    problems: list[str] = []
    if kind in CONFIG_MAPPING:
        found["transformers"] = transformers.__version__
        try:
            config = CONFIG_MAPPING[kind].from_dict(
                {k: v for k, v in stated.items() if k != "quantization_config"}
            )
            found["values"] = json.loads(config.to_json_string(use_diff=False))
            found["total"], found["active"] = _count(config)
        except Exception as error:
            problems.append(f"transformers makes no model of its configuration: {first_line(error)}")
    else:
        found["near"] = nearest(kind, CONFIG_MAPPING.keys())
    return found | _chat(path, name, problems)


def _vllm_knows(architectures: list[str]) -> str | None:
    """The version of vLLM, if it is here and lists one of these; its registry is read, not imported."""
    place = find_spec("vllm")
    if place is None or not place.submodule_search_locations:
        return None
    folder = Path(place.submodule_search_locations[0])
    with suppress(RewildError):
        text = read_text(folder / "model_executor/models/registry.py")
        if any(f'"{one}": (' in text for one in architectures):
            said = re.search(r"\bversion = '([\w.+]+)'", read_text(folder / "_version.py"))
            return said[1] if said else "of an unknown version"
    return None


def _count(config: Any) -> tuple[int, int]:
    """Parameters of all, and of those that a token goes through."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    whole = getattr(config, "vision_config", None) is not None
    with torch.device("meta"):
        if whole:
            model = AutoModelForImageTextToText.from_config(config)
        else:
            model = AutoModelForCausalLM.from_config(config)
    decoder = config.get_text_config(decoder=True)
    names = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")
    chosen = next((int(n) for name in names if (n := getattr(decoder, name, None))), None)
    total = active = 0
    for name, weight in model.named_parameters():  # a tied matrix is given once
        total += weight.numel()
        many = weight.shape[0] if weight.ndim == 3 else None
        routed = chosen and many and ".experts." in name
        active += weight.numel() * chosen // many if routed and chosen and many else weight.numel()
    return total, active


def _chat(path: Path, name: str, problems: list[str]) -> dict[str, Any]:
    """What a model's tokenizer and template do with a question."""
    from rewild.engines.base import EngineError
    from rewild.engines.chat import Chat
    from rewild.engines.tokenizer import load_tokenizer

    found: dict[str, Any] = {"prompt": None, "ends": [], "chats": False, "system": False, "reasons": None}
    if not any((path / file).is_file() for file in TOKENIZERS):  # transformers would make one up
        return found | {"problems": [*problems, f"no tokenizer among its files ({', '.join(TOKENIZERS)})"]}
    try:
        tokenizer = load_tokenizer(str(path), name)
        if tokenizer.chat_template:
            found["chats"] = True
            chat = Chat.load(path, name, reasoning=validate(Reasoning, {}, name))
            with suppress(EngineError):
                markers = chat.thinking.markers if chat.thinking else None
                found["reasons"] = markers and [markers.start, markers.ends[0]]
            if not found["reasons"]:
                chat = Chat.load(path, name)
            problems += chat.problems()
            found["prompt"] = chat.text([{"role": "user", "content": "Hello there."}])
            found["ends"] = [*map(str, tokenizer.convert_ids_to_tokens(chat.end_tokens)), *chat.stops]
            found["system"] = not chat.problems("Be brief.")
        elif tokenizer.eos_token:
            found["ends"] = [str(tokenizer.eos_token)]
    except (RewildError, ValueError) as error:
        problems.append(_short(error, name).replace(f" from {path}", ""))
    except Exception as error:  # whatever a file of a model makes of us is that model's fault
        problems.append(f"{type(error).__name__}: {first_line(error)}")
    return found | {"problems": list(dict.fromkeys(problems))}


def main() -> None:
    """Look at each model that is asked for."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no reply
    for model in json.load(sys.stdin):
        said = describe(model) if model.get("describe") else {"problems": look(model)}
        replies.write(json.dumps({"name": model["name"]} | said) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()

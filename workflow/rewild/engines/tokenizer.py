"""Loading a tokenizer: Hugging Face's files, always, whatever else is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rewild.core.errors import RewildError, first_line
from rewild.engines.base import EngineError

Count = Callable[[Sequence[str]], list[int]]
"""Tokens of each of some texts."""
BATCH = 2048
FOREIGN = "MistralCommonBackend"
"""What transformers takes for Mistral's models where mistral-common is installed: no chat template, no added
tokens, no offsets."""


def load_tokenizer(
    path: Path | str, name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> Any:
    """The Hugging Face tokenizer of a model folder or hub id.

    With mistral-common installed (vLLM and Axolotl bring it), ``AutoTokenizer`` gives Mistral's own tokenizer
    for its models; ``mistral_format=False`` forbids that, but not where ``tokenizer_config.json`` names it. A
    tokenizer that comes with code is read from its ``tokenizer.json``, if it has one; the code stays off.

    Args:
        path: a model folder or hub id.
        name: the model's name, for messages.
        revision: commit on the hub.
        trust_remote_code: run the tokenizer's own code, if it has some.

    Raises:
        EngineError: there is none, or it needs code that may not run.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    where: dict[str, Any] = {"revision": revision}
    try:
        found = AutoTokenizer.from_pretrained(
            str(path), trust_remote_code=trust_remote_code, mistral_format=False, **where
        )
    except Exception as error:
        found = None if trust_remote_code else _from_file(path, where)
        if found is None:
            raise EngineError(
                f"{name}: no tokenizer can be loaded from {path}: {first_line(error)}"
            ) from error
    if type(found).__name__ == FOREIGN:
        try:
            found = PreTrainedTokenizerFast.from_pretrained(str(path), **where)
        except Exception as error:
            raise EngineError(
                f"{name}: {path} has Mistral's own tokenizer only, and no Hugging Face tokenizer can be "
                f"loaded from it: {first_line(error)}; take a repository with tokenizer.json"
            ) from error
    return found


def class_to_name(
    found: Any, path: Path | str, *, revision: str | None, trust_remote_code: bool
) -> str | None:
    """The class that a program must be told which asks ``AutoTokenizer`` alone, as Axolotl does.

    Args:
        found: what :func:`load_tokenizer` gave for the same place.
        path: a model folder or hub id.
        revision: commit on the hub.
        trust_remote_code: as for :func:`load_tokenizer`.

    Returns:
        A name in ``transformers``; None where ``AutoTokenizer`` gives the same class by itself.
    """
    from transformers import AutoTokenizer

    try:
        alone = AutoTokenizer.from_pretrained(
            str(path), revision=revision, trust_remote_code=trust_remote_code
        )
    except Exception:  # Mistral's cannot read its files, or code may not run: then too the class is named
        return type(found).__name__
    return None if type(alone) is type(found) else type(found).__name__


def _from_file(path: Path | str, where: dict[str, Any]) -> Any:
    """A tokenizer from ``tokenizer.json``, which needs no code; None without that file."""
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import cached_file

    try:
        if cached_file(str(path), "tokenizer.json", **where) is None:
            return None
        return PreTrainedTokenizerFast.from_pretrained(str(path), **where)
    except Exception:  # the first error says more
        return None


def open_counter(model: str, path: str, revision: str | None = None) -> Count:
    """What counts the tokens of texts, without any that a tokenizer adds.

    Args:
        model: the model's name, for messages.
        path: its folder or hub id.
        revision: commit on the hub.

    Raises:
        RewildError: no transformers here, or no tokenizer to load.
    """
    encode = _encoder(model, path, revision)

    def count(texts: Sequence[str]) -> list[int]:
        sizes: list[int] = []
        for start in range(0, len(texts), BATCH):
            sizes += encode(list(texts[start : start + BATCH]))
        return sizes

    return count


def _encoder(model: str, path: str, revision: str | None) -> Callable[[list[str]], list[int]]:
    """What gives the number of tokens of each of some texts."""
    file = Path(path) / "tokenizer.json"
    try:
        if file.is_file():  # without transformers, which takes seconds to import
            from tokenizers import Tokenizer

            fast = Tokenizer.from_file(str(file))
            fast.no_truncation()
            fast.no_padding()
            return lambda texts: [len(e.ids) for e in fast.encode_batch(texts, add_special_tokens=False)]
        slow = load_tokenizer(path, model, revision=revision)
    except ImportError as error:
        raise RewildError(
            f"tokens are counted with the tokenizer of '{model}', which needs transformers: use "
            ".envs/engine-cpu/bin/python -m rewild ..., or remove `tokenizer`"
        ) from error
    except EngineError:
        raise
    except Exception as error:
        raise RewildError(
            f"no tokenizer of '{model}' can be loaded from {path}: {first_line(error)}"
        ) from error
    return lambda texts: [
        len(ids) for ids in slow(texts, add_special_tokens=False, verbose=False)["input_ids"]
    ]

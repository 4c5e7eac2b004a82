"""Token counts, with the tokenizer of a model that a study names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rewild.config.models import Model, find_model
from rewild.config.study import Study
from rewild.core.errors import RewildError, first_line
from rewild.engines.base import EngineError
from rewild.engines.tokenizer import load_tokenizer
from rewild.responses.spec import local_folder
from rewild.training.mixes.card import Count

BATCH = 2048


def open_tokenizer(study: Study, model: str, models: Mapping[str, Model]) -> Count:
    """The counter of a model's tokens.

    Args:
        study: a model that it makes itself, or takes from a folder, is found there.
        model: its slug.
        models: the table of models.

    Raises:
        RewildError: no transformers here, an unknown model, or no tokenizer to load.
    """
    path, revision = where(study, model, models)
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


def where(study: Study, model: str, models: Mapping[str, Model]) -> tuple[str, str | None]:
    """A model's folder or hub id, and its revision."""
    folder = local_folder(study, model)
    if folder:
        return folder, None
    hub, revision = find_model(models, model).checkpoint()
    if hub is None:
        raise RewildError(f"model {model}: it is not on the hub, so its tokenizer cannot count tokens")
    return hub, revision

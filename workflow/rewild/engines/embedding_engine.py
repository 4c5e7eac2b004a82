"""Models that give a text a vector, with sentence-transformers.

sentence-transformers cuts a text that is longer than its model takes, without a word (its tokenizers are
called with ``truncation=True``), and makes a model of its own from any folder that holds a transformer. Here
tokens are counted first, and a folder must say of itself that it is such a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from rewild.core.errors import DataError, first_line
from rewild.core.reading import SMALL, read_json
from rewild.core.weights import AGAIN, PACKAGE, READ
from rewild.engines.base import About, Embedded, Engine, EngineError, hardware, versions

MODULES = "modules.json"
MOST = 1024
"""Texts of a batch at most, however short."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class EmbeddingEngine(Engine):
    """A sentence-transformers model, loaded from safetensors."""

    batch: int

    def __init__(
        self,
        path: Path | str,
        *,
        revision: str | None = None,
        precision: str = "fp32",
        device: str = "auto",
        batch: int = 32,
        threads: int | None = None,
        trust_remote_code: bool = False,
        context: int | None = None,
        longer: str = "fail",
    ):
        """
        Args:
            path: a folder, a hub id, or ``package:NAME==VERSION`` (a Python package that carries a model).
            revision: commit on the hub.
            precision: ``fp32`` or ``bf16``, of the weights; vectors are float32.
            device: ``cpu``, ``cuda`` or ``auto``.
            batch: texts of the model's greatest length at once; of shorter ones as many more.
            threads: CPU threads.
            trust_remote_code: run the modelling code that the repository ships.
            context: tokens; None, or more than the model takes, is what the model takes.
            longer: of texts that are longer: ``fail`` (no vector), ``truncate`` (of the first tokens).

        Raises:
            EngineError: it is no model of sentence-transformers, or cannot be loaded.
        """
        folder = _folder(path, revision)
        _check(folder, path, trust_remote_code)
        if threads:
            torch.set_num_threads(threads)
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        try:
            self.model = SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": DTYPES[precision]},
            ).eval()
        except Exception as error:
            raise EngineError(f"the embedding model {path} cannot be loaded: {first_line(error)}") from error
        takes = self.model.max_seq_length
        if not takes or takes > 1 << 24:  # a tokenizer that says nothing says a very large number
            raise EngineError(f"the embedding model {path} does not say how many tokens it takes")
        self.limit = min(int(takes), context or int(takes))
        self.batch, self.longer = batch, longer
        self._prompt = self.model.prompts.get(self.model.default_prompt_name or "", "")
        self._arguments: dict[str, Any] = {"precision": precision, "device": device, "batch": batch}

    def embed(self, texts: Sequence[str]) -> list[Embedded]:
        """A vector for each text; those of like length are read together."""
        tokenizer = self.model.tokenizer
        given = [self._prompt + text for text in texts]
        bare = len(tokenizer(self._prompt, verbose=False)["input_ids"])
        counts = [len(i) for i in tokenizer(given, verbose=False)["input_ids"]] if given else []
        done = [self._outcome(count, bare) for count in counts]
        order = sorted((n for n, one in enumerate(done) if one.failure is None), key=lambda n: -counts[n])
        self.model.max_seq_length = self.limit
        waiting: list[tuple[list[int], Any]] = []  # on the device: nothing waits for it before all are asked
        start = 0
        while start < len(order):
            longest = min(counts[order[start]], self.limit)
            part = order[start : start + min(MOST, max(self.batch, self.batch * self.limit // longest))]
            asked = [texts[n] for n in part]
            vectors = self.model.encode(
                asked, batch_size=len(asked), convert_to_tensor=True, show_progress_bar=False
            )
            waiting.append((part, vectors.float()))
            start += len(part)
        for part, vectors in waiting:
            finite = torch.isfinite(vectors).all(1).tolist()
            for n, vector, good in zip(part, vectors.cpu().numpy(), finite, strict=True):
                failure = None if good else "not_a_number: an output of the model"
                done[n] = Embedded(counts[n], vector if good else None, counts[n] > self.limit, failure)
        return done

    def _outcome(self, count: int, bare: int) -> Embedded:
        """What is known of a text by its tokens alone."""
        if count <= bare:
            return Embedded(count, failure="no_token: the model's tokenizer finds nothing in it")
        if count > self.limit and self.longer == "fail":
            return Embedded(count, failure=f"too_long: {count} tokens, and {self.limit} are the limit")
        return Embedded(count)

    def about(self) -> About:
        """Name, arguments, versions and hardware."""
        found = versions("torch", "transformers", "sentence-transformers")
        return About("sentence-transformers", self._arguments | {"limit": self.limit}, found, hardware())

    def close(self) -> None:
        """Free the model."""
        del self.model


def _folder(path: Path | str, revision: str | None) -> Path:
    """Where the model's files are."""
    if str(path).startswith(PACKAGE):
        name, _, wanted = str(path).removeprefix(PACKAGE).partition("==")
        try:
            package = distribution(name)
        except PackageNotFoundError as error:
            raise EngineError(f"the embedding model {path}: no package '{name}' is installed here") from error
        if wanted and package.version != wanted:
            raise EngineError(f"the embedding model {path}: {name} {package.version} is installed here")
        for file in package.files or ():
            if file.name == MODULES:
                return Path(str(package.locate_file(file))).parent
        raise EngineError(f"the embedding model {path}: the package carries no {MODULES}")
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                str(path), revision=revision, allow_patterns=list(READ), ignore_patterns=list(AGAIN)
            )
        )
    except Exception as error:
        raise EngineError(f"the embedding model {path} cannot be fetched: {first_line(error)}") from error


def _check(folder: Path, path: Path | str, trusted: bool) -> None:
    """Refuse what is no sentence-transformers model, runs code of its own, or holds pickled weights."""
    if not (folder / MODULES).is_file():
        raise EngineError(
            f"the embedding model {path} is no model of sentence-transformers ({MODULES} is missing). "
            "The library would take the mean of its tokens all the same; name a model that was trained for it"
        )
    try:
        modules = read_json(folder / MODULES, limit=SMALL)
        kinds = [str(module["type"]) for module in modules]
        parts = [folder / str(module["path"]) for module in modules]
    except (DataError, TypeError, KeyError) as error:
        raise EngineError(f"{folder / MODULES}: not a list of modules: {first_line(error)}") from error
    if not trusted and (code := [k for k in kinds if not k.startswith("sentence_transformers.")]):
        raise EngineError(
            f"the embedding model {path} runs code of its own ({code[0]}), which is not trusted"
        )
    for part in parts:
        held = {file.suffix for file in part.iterdir()} if part.is_dir() else set()
        if held & {".bin", ".pt"} and ".safetensors" not in held:
            raise EngineError(
                f"the embedding model {path}: {part.name or '.'} holds pickled weights and no safetensors; "
                "pickled weights are code and are not loaded"
            )

"""What a model's ``config.json`` states, read as data: no class is looked up, so no code of a model runs.

``AutoConfig`` stops at models that ship a configuration class of their own (GLM-4, InternLM2.5, NVLM-D),
although vLLM may know them. What is needed before an engine starts are a few numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewild.core.errors import first_line
from rewild.engines.base import EngineError

LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",  # ChatGLM
    "max_sequence_length",
    "max_seq_length",
)
"""Keys of the longest context, those that vLLM reads."""
DECODERS = ("text_config", "llm_config", "language_config", "decoder")
"""Where models with more than a decoder keep the decoder's numbers."""


@dataclass(frozen=True)
class ConfigFile:
    """The values of a ``config.json``."""

    values: Mapping[str, Any]

    @property
    def decoder(self) -> Mapping[str, Any]:
        """The decoder's own values."""
        nested = (self.values.get(key) for key in DECODERS)
        return next((n for n in nested if isinstance(n, Mapping) and n), self.values)

    @property
    def context(self) -> int | None:
        """Longest context in tokens; None where nothing says it."""
        for values in (self.decoder, self.values):
            found = [v for v in map(values.get, LENGTHS) if isinstance(v, int) and v > 0]
            if found:
                return min(found)
        return None

    @property
    def quantized(self) -> bool:
        """Whether the weights are quantized already."""
        return any(v.get("quantization_config") for v in (self.values, self.decoder))

    @property
    def vision(self) -> bool:
        """Whether it takes images."""
        return isinstance(self.values.get("vision_config"), Mapping)

    @property
    def own_code(self) -> bool:
        """Whether its configuration class is code of its repository."""
        own = self.values.get("auto_map")
        return isinstance(own, Mapping) and "AutoConfig" in own


def read_config(path: Path | str, name: str, revision: str | None = None) -> ConfigFile:
    """Read the configuration of a model folder or hub id, from the cache when offline.

    Args:
        path: a model folder or hub id.
        name: the model's name, for messages.
        revision: commit on the hub.

    Raises:
        EngineError: there is none.
    """
    from transformers import PreTrainedConfig

    try:
        values, _ = PreTrainedConfig.get_config_dict(str(path), revision=revision)
    except Exception as error:
        raise EngineError(
            f"{name}: no configuration can be loaded from {path}: {first_line(error)}"
        ) from error
    if not values:
        raise EngineError(f"{name}: no configuration can be loaded from {path}: it has no config.json")
    return ConfigFile(values)

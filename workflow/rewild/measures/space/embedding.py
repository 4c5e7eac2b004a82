"""Embeddings: a model of sentence-transformers, behind the engines' interface, gives a text a vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rewild.config.engines import find_engine
from rewild.engines import make_engine
from rewild.engines.base import Engine
from rewild.measures.base import VECTOR, Found, Measurer, Text
from rewild.measures.weights import Weights


def open_model(settings: Any, weights: Weights | None, threads: int | None) -> Engine:
    """The model of a row of kind ``embedding``.

    Raises:
        EngineError: it is no such model, or cannot be loaded.
    """
    assert weights
    how = settings.model_dump(include={"device", "batch"}) | {"threads": threads}
    return make_engine(
        settings.engine,
        path=weights.path,
        revision=weights.revision,
        trust_remote_code=weights.trust_remote_code,
        **settings.model_dump(include={"precision", "context", "longer"}),
        **{name: how[name] for name in find_engine(settings.engine).takes},
    )


class Embedding(Measurer):
    """Each text's vector and tokens."""

    chunk = 8192

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._model = open_model(self.settings, self.weights, self.threads)

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """See :class:`Measurer`."""
        found: list[Found] = []
        for one in self._model.embed([t.text for t in texts]):
            if one.failure:
                found.append(one.failure)
                continue
            cut = {"truncated": one.truncated} if "truncated" in self.settings.columns() else {}
            found.append({"tokens": one.tokens, **cut, VECTOR: one.vector.tobytes()})
        return found

    def close(self) -> None:
        """See :class:`Measurer`."""
        self._model.close()

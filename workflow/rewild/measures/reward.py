"""Rewards: a sequence-classification model, behind the engines' interface, gives a conversation a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rewild.core.conversations import Message
from rewild.core.errors import nearest
from rewild.engines import make_engine
from rewild.engines.base import EngineError
from rewild.engines.chat import Chat
from rewild.measures.base import Found, Measurer, Text


class Classifier:
    """A model that gives a chat a reward: one of its outputs, the only one unless one is named."""

    def __init__(
        self,
        path: str,
        *,
        revision: str | None,
        output: str | None = None,
        engine: str = "classifier",
        **how: Any,
    ) -> None:
        """
        Args:
            path: a model folder or hub id; weights load as safetensors only.
            revision: commit on the hub.
            output: the label that is the reward.
            engine: what runs it.
            how: further arguments of the engine.

        Raises:
            EngineError: it cannot be loaded, has no chat template, or not this output.
        """
        name = f"the reward model {path}"
        try:
            chat = Chat.load(path, name, revision=revision)
        except ImportError as error:
            raise EngineError(
                "a reward model needs transformers: use .envs/engine-cpu/bin/python -m rewild ..."
            ) from error
        self._engine = make_engine(engine, path=path, chat=chat, revision=revision, **how)
        labels = self._engine.about().arguments["labels"]
        if output is None and len(labels) != 1:
            raise EngineError(f"{name} has {len(labels)} outputs, not one ({', '.join(labels)})")
        if output is not None and output not in labels:
            listed = ", ".join(labels)
            raise EngineError(f"{name} has no output '{output}' ({listed}){nearest(output, labels)}")
        self._output = output or labels[0]

    def classify(self, chats: Sequence[Sequence[Message]]) -> list[tuple[float | None, str | None]]:
        """Each chat's reward, or the reason why it has none."""
        return [(c.outputs.get(self._output), c.failure) for c in self._engine.classify(chats)]

    def close(self) -> None:
        """Let the weights go."""
        self._engine.close()


class Reward(Measurer):
    """The reward of a conversation that ends in the response."""

    chunk = 2048

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        assert self.weights
        self._model = Classifier(
            self.weights.path,
            revision=self.weights.revision,
            trust_remote_code=self.weights.trust_remote_code,
            **self.settings.model_dump(include={"output", "engine", "precision", "context"}),
            **self.how(),
        )

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """See :class:`Measurer`."""
        chats = [(*t.before, {"role": "assistant", "content": t.text}) for t in texts]
        return [{"reward": r} if why is None else why for r, why in self._model.classify(chats)]

    def close(self) -> None:
        """See :class:`Measurer`."""
        self._model.close()

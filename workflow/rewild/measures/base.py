"""What every kind of measure is: it is given texts, and says of each its values, or why it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rewild.config.engines import find_engine
from rewild.config.measures.base import Row
from rewild.core.conversations import Message
from rewild.measures.enquiry import Enquiry
from rewild.measures.weights import Weights

Found = Mapping[str, object] | str
"""The values of a text, by column (None where one is not defined); or a failure, as ``reason: detail``.

A kind that makes vectors adds the text's, as bytes of float32, as :data:`VECTOR`.
"""
VECTOR = "vector"


@dataclass(frozen=True)
class Text:
    """What is measured.

    Attributes:
        conversation: its id.
        turn: the user turn, or the one that the response answers, counted from 0.
        sample: which of several responses to it.
        text: of the response, or of the user's turn.
        before: the messages before it; empty for kinds that do not read them.
    """

    conversation: str
    turn: int
    sample: int
    text: str
    before: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Place:
    """For a measure that asks a model: whom, and where what was asked and paid for is kept.

    Attributes:
        enquiry: who is asked.
        work: the folder of the study's unfinished work.
        job: this job's name, ``MEASURE/SUBJECT/PART``.
    """

    enquiry: Enquiry
    work: Path
    job: str


class Measurer:
    """A measure at work, from its making to :meth:`close`.

    Attributes:
        chunk: texts that are measured and kept together; what is kept is not measured again.
    """

    chunk = 10_000

    def __init__(
        self,
        settings: Any,
        weights: Weights | None = None,
        threads: int | None = None,
        place: Place | None = None,
    ) -> None:
        """
        Args:
            settings: of the row; a section of :mod:`rewild.config.measures`.
            weights: where the model that it names is, if it names one.
            threads: CPU threads.
            place: of one that asks a model.

        Raises:
            EngineError: its model cannot be loaded.
        """
        self.settings, self.weights, self.threads, self.place = settings, weights, threads, place

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """Measure every text, in order.

        Raises:
            EngineError: the measure itself cannot go on.
        """
        return [self.one(text.text) for text in texts]

    def one(self, text: str) -> Found:
        """Measure one text, for kinds that need nothing else."""
        raise NotImplementedError

    def how(self) -> dict[str, Any]:
        """Of the settings that change no value, those that the engine of the row takes."""
        known = self.settings.model_dump(include={"device", "batch", "budget", "vllm"}) | {
            "threads": self.threads
        }
        return {name: known[name] for name in find_engine(self.settings.engine).takes if name in known}

    def close(self) -> None:
        """Free what it holds."""


def class_of(settings: Row) -> Any:
    """What the kind of a row names (``row.path`` of its section). Heavy imports happen here."""
    module, _, name = settings.row.path.partition(":")
    return getattr(import_module(module), name)


def make_measurer(
    settings: Row, weights: Weights | None, threads: int | None = None, place: Place | None = None
) -> Measurer:
    """A row's measure, at work."""
    made = class_of(settings)(settings, weights, threads, place)
    assert isinstance(made, Measurer)
    return made

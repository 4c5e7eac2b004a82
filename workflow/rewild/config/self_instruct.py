"""Settings of prompts that a model writes after examples: Self-Instruct, as a comparison with Magpie."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import File, Strict, validate
from rewild.config.models import Share, Slug
from rewild.config.synthesis import Synthesis
from rewild.core.errors import ConfigError
from rewild.core.reading_yaml import read_yaml

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class Tasks(Strict):
    """A file of seed tasks."""

    ask: Text
    tasks: dict[Slug, Text]


@cache
def read_tasks(path: str) -> Tasks:
    """A file of seed tasks: ``ask``, what a model is asked, and ``tasks``, by their names.

    Raises:
        ConfigError: it is not there, or not what it should be.
    """
    return validate(Tasks, read_yaml(Path(path)), path)


class SelfInstruct(Synthesis):
    """Prompts that a model writes when it is shown some: each new against all before it (Self-Instruct)."""

    kind: Literal["self-instruct"]  # type: ignore[assignment]
    turns: Literal[1] = Field(1, description="User turns of each")
    role: None = Field(None, description="Of later turns, which there are not")
    near_copy: Share | None = Field(
        None, description="As for `synthesis`; `novelty` finds what is nearly a copy, so none by default"
    )
    tasks: File = Field(
        "resources/prompts/self-instruct.yaml",
        validate_default=True,
        description="A file with seed tasks, and what is asked (`ask`, `tasks`)",
    )
    shown: int = Field(8, ge=1, le=50, description="Seed tasks that a model is shown, drawn for each sample")
    novelty: Share = Field(
        0.7, description="ROUGE-L with a seed task or an earlier prompt above which a prompt is not new"
    )
    least_words: int = Field(4, ge=1, description="Fewer are no task")
    most_words: int = Field(150, ge=1, description="More are no task")

    @model_validator(mode="after")
    def _enough(self) -> Self:
        try:
            found = len(self.seeds.tasks)
        except ConfigError as error:
            raise ValueError(f"tasks: {error}") from error
        if found < self.shown:
            raise ValueError(f"shown: {self.shown} seed tasks are more than the {found} of {self.tasks}")
        if self.least_words > self.most_words:
            raise ValueError(f"least_words: {self.least_words} are more than most_words, {self.most_words}")
        return self

    @property
    def seeds(self) -> Tasks:
        """The seed tasks."""
        return read_tasks(self.tasks)

    @property
    def letters(self) -> float:
        """The ask, and as many tasks as are shown."""
        tasks = self.seeds.tasks.values()
        return len(self.seeds.ask) + self.shown * sum(map(len, tasks)) / len(tasks)

    @property
    def pool(self) -> tuple[list[str], float]:
        """The seed tasks, and how near a prompt may come to them, or to an earlier one."""
        return list(self.seeds.tasks.values()), self.novelty

    @property
    def asked_with(self) -> dict[str, Any]:
        """What it is asked with, and what is a task."""
        words = [self.least_words, self.most_words]
        return {"asked": self.seeds.model_dump(), "shown": self.shown, "words": words}

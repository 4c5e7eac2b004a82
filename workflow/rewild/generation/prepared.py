"""A job made ready to run: its tokenizer loaded, its limits settled, its engine one call away."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rewild.config.engines import find_engine
from rewild.core.errors import ConfigError, DataError
from rewild.core.reading import read_text
from rewild.engines import make_engine
from rewild.engines.base import Engine
from rewild.engines.chat import Chat
from rewild.engines.config_file import read_config
from rewild.generation.spec import Job, identity, limits, recipe_of


@dataclass(frozen=True)
class Kitchen:
    """A model made ready as far as that goes without loading its weights.

    Attributes:
        job: model and settings.
        chat: its template; None for an endpoint without a tokenizer here.
        sizes: context, longest prompt, longest answer, in tokens.
        identity: every setting that identifies a response.
        make_engine: loads the model; called only if something is left to generate.
    """

    job: Job
    chat: Chat | None
    sizes: tuple[int, int, int]
    identity: dict[str, Any]
    make_engine: Callable[[], Engine]

    @property
    def recipe(self) -> str:
        """Names the identity."""
        return recipe_of(self.identity)


def prepare(job: Job, chat: Chat | None, native_context: int | None, maker: Callable[..., Engine]) -> Kitchen:
    """Settle the limits and the identity of a job.

    Args:
        job: model and settings.
        chat: its template, if it has one here.
        native_context: what the model's files state.
        maker: makes the engine, given the context in tokens.
    """
    sizes = sizes_of(job, native_context)
    described = identity(job, chat.template_hash if chat else None, sizes)
    return Kitchen(job, chat, sizes, described, partial(maker, context=sizes[0]))


def sizes_of(job: Job, native_context: int | None) -> tuple[int, int, int]:
    """:func:`limits`, answers as long as the model's endpoint must have them: reasoning counts."""
    context, longest_input, longest_output = limits(job, native_context)
    takes = job.source.takes if job.remote else None
    return context, longest_input, takes.limit(longest_output) if takes else longest_output


def open_kitchen(job: Job, threads: int | None = None) -> Kitchen:
    """Load what a job needs before its engine: the tokenizer, the model's stated context.

    Args:
        job: model and settings.
        threads: CPU threads for the transformers engine.

    Raises:
        ConfigError: settings that do not fit together. EngineError: no tokenizer, configuration or chat
            template.
    """
    source, compute, engine = job.source, job.settings.compute, job.settings.engine
    known = compute.model_dump() | {
        "threads": threads,
        "gpus": max(job.gpus, 1),
        "memory_share": job.memory_share,
    }
    how = {name: known[name] for name in find_engine(engine).takes}
    if job.remote:
        if compute.endpoint is None:
            raise ConfigError(
                f"study {job.study}: the engine '{engine}' needs responses.compute.endpoint (a URL)"
            )
        maker = partial(
            make_engine,
            engine,
            model=source.path,
            endpoint=compute.endpoint,
            key=os.environ.get(compute.key),
            takes=source.takes,
            **how,
            neutral=not source.at_its_maker,
        )
        return prepare(job, None, None, maker)
    if not source.path:
        raise ConfigError(
            f"model {job.model}: where its weights lie is not established (models.yaml has no `hub` for it); "
            f"give the study responses.overrides.{job.model}.path, a folder, or leave the model out"
        )
    template = _template(job)
    where: dict[str, Any] = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    chat = Chat.load(source.path, job.model, template=template, **where)
    native = read_config(source.path, job.model, source.revision).context
    maker = partial(
        make_engine, engine, path=source.path, chat=chat, precision=source.precision, **where, **how
    )
    return prepare(job, chat, native, maker)


def _template(job: Job) -> str | None:
    """The study's own chat template for a model, if it gives one."""
    path = job.source.template
    if path is None:
        return None
    try:
        return read_text(path)
    except DataError as error:
        raise ConfigError(
            f"study {job.study}: responses.overrides.{job.model}.chat_template cannot be read: {error}"
        ) from error

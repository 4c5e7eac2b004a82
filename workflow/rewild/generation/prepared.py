"""A model made ready: its tokenizer loaded, its limits and identity settled, its engine one call away."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Self

from rewild.config.engines import find_engine
from rewild.core.errors import ConfigError, DataError
from rewild.core.reading import read_text
from rewild.engines import make_engine
from rewild.engines.base import Engine
from rewild.engines.chat import Chat
from rewild.engines.config_file import read_config
from rewild.generation.spec import Spec, digest_of, identity, limits, weights_identity


@dataclass
class Loaded:
    """An engine that is loaded when it is first needed, and once."""

    make: Callable[[], Engine]
    engine: Engine | None = None

    def open(self) -> Engine:
        """The engine."""
        if self.engine is None:
            self.engine = self.make()
        return self.engine

    def close(self) -> None:
        """Free it, if it was loaded."""
        if self.engine is not None:
            self.engine.close()
        self.engine = None


@dataclass(frozen=True)
class Prepared:
    """A model made ready as far as that goes without loading its weights. Whoever opened it closes it.

    Attributes:
        spec: model and settings.
        chat: its template; None for an endpoint without a tokenizer here.
        sizes: context, longest prompt, longest answer, in tokens.
        identity: every setting that identifies what is generated.
        loaded: its engine, loaded only if something is left to generate.
    """

    spec: Spec
    chat: Chat | None
    sizes: tuple[int, int, int]
    identity: dict[str, Any]
    loaded: Loaded

    @cached_property
    def digest(self) -> str:
        """Names the identity: the column ``recipe`` of what is generated."""
        return digest_of(self.identity)

    def asked_otherwise(self, spec: Spec) -> Prepared:
        """The same model and engine with other settings: of sampling, limits, history, attempts."""
        sizes = sizes_of(spec, spec.source.native_context or self.sizes[0])
        described = identity(spec, self.identity["weights"], self.identity["chat_template"], sizes)
        return replace(self, spec=spec, sizes=sizes, identity=described | _stops(self.chat))

    def close(self) -> None:
        """Free the engine."""
        self.loaded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()


def prepare(
    spec: Spec, chat: Chat | None, native_context: int | None, maker: Callable[..., Engine]
) -> Prepared:
    """Settle the limits and the identity of a generation.

    Args:
        spec: model and settings.
        chat: its template, if it has one here.
        native_context: what the model's files state.
        maker: makes the engine, given the context in tokens.
    """
    sizes = sizes_of(spec, native_context)
    described = identity(spec, weights_identity(spec), chat.template_hash if chat else None, sizes)
    described |= _stops(chat)
    return Prepared(spec, chat, sizes, described, Loaded(partial(maker, context=sizes[0])))


def _stops(chat: Chat | None) -> dict[str, Any]:
    """The texts that end an answer, where a template has some: of what identifies it."""
    return {"stops": list(chat.stops)} if chat and chat.stops else {}


def sizes_of(spec: Spec, native_context: int | None) -> tuple[int, int, int]:
    """:func:`limits`, answers as long as the model's endpoint must have them: reasoning counts."""
    context, longest_input, longest_output = limits(spec, native_context)
    takes = spec.source.takes if spec.remote else None
    return context, longest_input, takes.limit(longest_output) if takes else longest_output


def open_model(spec: Spec, threads: int | None = None) -> Prepared:
    """Load what comes before an engine: the tokenizer, the model's stated context.

    Args:
        spec: model and settings.
        threads: CPU threads for the transformers engine.

    Raises:
        ConfigError: settings that do not fit together. EngineError: no tokenizer, configuration or chat
            template.
    """
    source, compute, engine = spec.source, spec.compute, spec.engine
    known = compute.model_dump() | {
        "threads": threads,
        "gpus": max(spec.gpus, 1),
        "memory_share": spec.memory_share,
        "plan": spec.plan,
    }
    how = {name: known[name] for name in find_engine(engine).takes if name in known}
    if spec.remote:
        if compute.endpoint is None:
            raise ConfigError(
                f"study {spec.study}: the engine '{engine}' needs responses.compute.endpoint (a URL)"
            )
        maker = partial(
            make_engine,
            engine,
            model=source.path,
            endpoint=compute.endpoint,
            key=os.environ.get(compute.key),
            takes=source.takes,
            neutral=not source.at_its_maker,
            **({"reasoning": source.reasoning} if source.reasoning else {}),
            **how,
        )
        return prepare(spec, None, None, maker)
    if not source.path:
        raise ConfigError(
            f"model {spec.model}: where its weights lie is not established (models.yaml has no `hub` for "
            f"it); give the study responses.overrides.{spec.model}.path, a folder, or leave the model out"
        )
    where: dict[str, Any] = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    chat = Chat.load(source.path, spec.model, template=_template(spec), reasoning=source.reasoning, **where)
    _ = chat.thinking  # what cannot be told apart is said before weights are loaded
    native = read_config(source.path, spec.model, source.revision).context
    maker = partial(
        make_engine, engine, path=source.path, chat=chat, precision=source.precision, **where, **how
    )
    return prepare(spec, chat, native, maker)


def _template(spec: Spec) -> str | None:
    """The study's own chat template for a model, if it gives one."""
    path = spec.source.template
    if path is None:
        return None
    try:
        return read_text(path)
    except DataError as error:
        raise ConfigError(
            f"study {spec.study}: responses.overrides.{spec.model}.chat_template cannot be read: {error}"
        ) from error

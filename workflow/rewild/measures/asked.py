"""A measure by a language model that is asked about every text: in one stream, durably, within the budget."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from rewild.config.judging import OPENAI
from rewild.config.reasoning import tokens_of
from rewild.config.responses import Compute
from rewild.core.errors import ConfigError
from rewild.engines.base import Engine, Message
from rewild.generation.asking.ask import Asking, Row, ask, verdict_in
from rewild.generation.asking.base import JudgeRequest, Reader, template_of
from rewild.generation.asking.store import Replies, request_hash
from rewild.generation.prepared import Prepared, open_model
from rewild.generation.spec import row_seed
from rewild.measures.base import Found, Measurer, Text
from rewild.measures.enquiry import WHAT, Enquiry


class Asked(Measurer):
    """A measure by a language model that is asked: each kind says what is asked, and how replies are read."""

    chunk = 1_000_000_000
    """All texts of a file go into one stream; what is finished is kept by the replies' own store."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        assert self.place is not None
        self._enquiry = enquiry = self.place.enquiry
        spec, remote = enquiry.spec, enquiry.spec.remote
        with ExitStack() as opened:
            if enquiry.program:
                from rewild.engines.rubric.server import serving

                url = opened.enter_context(serving())
                spec = replace(spec, compute=spec.compute.model_copy(update={"endpoint": url}))
            elif remote and spec.compute.endpoint is None:
                spec = replace(spec, compute=_openai(enquiry))
            self._model: Prepared = opened.enter_context(open_model(spec, self.threads))
            self._open = opened.pop_all()
        self._replies = Replies(self.place.work / WHAT / self.place.job)
        weights = self.weights.identity if self.weights else None
        how = [] if remote else [spec.engine, spec.source.precision, *self._model.sizes]
        self._who = json.dumps([weights, enquiry.identity, how], sort_keys=True)

    def reader(self) -> Reader:
        """What reads its replies."""
        raise NotImplementedError

    def messages(self, text: Text) -> tuple[Message, ...]:
        """What is asked about a text."""
        raise NotImplementedError

    def form(self) -> str | None:
        """A JSON schema that vLLM is to hold a reply to; None: replies are free."""
        return None

    def found(self, reply: str) -> Found:
        """What a reply says."""
        raise NotImplementedError

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """See :class:`Measurer`."""
        assert self.place is not None
        settings, reader = self.settings, self.reader()
        requests = [self._request(text) for text in texts]
        keys = [request_hash(self._who, r, settings.attempts, self._model.spec.seed) for r in requests]
        by_key = dict(zip(reversed(keys), reversed(requests), strict=True))  # of the same texts, the first
        asking = Asking(
            who=settings.model,
            what=f"{WHAT} of {self.place.job}",
            reader=reader,
            ledger=self._enquiry.ledger(self.place.work, self.place.job),
            attempts=settings.attempts,
            chunk=self._enquiry.chunk,
            window=self._enquiry.window,
            seed=self._seed,
            chat=self._model.chat,
            longest=self._model.sizes[1],
            reasoning=tokens_of(self._model.spec.source.reasoning),
        )
        rows = ask(asking, by_key, self._replies, self._engine)
        return [self._read(reader, rows[key], by_key[key]) for key in keys]

    def _request(self, text: Text) -> JudgeRequest:
        messages = self.messages(text)
        return JudgeRequest(
            f"{text.conversation}/{text.turn}/{text.sample}",
            text.turn,
            self.settings.kind,
            messages,
            template_of(self.settings.kind),
            self._model.sizes[2],
            self.settings.temperature,
            state={"messages": len(messages)},
            form=self.form(),
        )

    def _seed(self, request: JudgeRequest, attempt: int) -> int:
        spec = self._model.spec
        return row_seed(spec.seed, spec.model, request.question, request.turn, attempt)

    def _read(self, reader: Reader, row: Row, request: JudgeRequest) -> Found:
        verdict, failure = verdict_in(reader, row, request)
        if verdict is None:
            return (failure or "unclear: no reason is known").removeprefix("unclear: ")
        return self.found(row["reply"])

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        yield self._model.loaded.open()

    def close(self) -> None:
        """See :class:`Measurer`."""
        self._open.close()


def _openai(enquiry: Enquiry) -> Compute:
    """OpenAI's own endpoint, which wants a key.

    Raises:
        ConfigError: there is none in the environment.
    """
    compute = enquiry.spec.compute
    if not os.environ.get(compute.key):
        raise ConfigError(
            f"study {enquiry.spec.study}: measures.{enquiry.name}: the model '{enquiry.settings.model}' is "
            f"asked at {OPENAI}, which wants a key: set the environment variable {compute.key}, or give "
            "compute.endpoint"
        )
    return compute.model_copy(update={"endpoint": OPENAI})

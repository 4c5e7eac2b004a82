"""A model writes prompts: samples to requests, completions to rows, in one stream, durably.

A sample is a strand of :func:`rewild.generation.feed.feed`: it asks for a user's turn, checks it, asks for an
answer to it, and so on, up to the turns that are wanted. Nothing is asked twice: what failed is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.responses import SamplingSettings
from rewild.config.stages import version
from rewild.config.synthesis import Synthesis
from rewild.core.errors import ConfigError
from rewild.core.language import garbled, language, language_name, repetition
from rewild.core.locks import locked
from rewild.core.table import provenance, write_table
from rewild.engines.base import Completion, EngineError, Message, Request, Sampling
from rewild.engines.chat import Chat
from rewild.engines.user_turns import UserTurns
from rewild.generation.feed import Strand
from rewild.generation.fit import fit
from rewild.generation.prepared import Prepared
from rewild.generation.respond import cost_of, generate
from rewild.generation.rows import check
from rewild.generation.spec import row_seed
from rewild.generation.store import Store, disk_errors
from rewild.prompts.synthesis.checks import Wanted, what_is_wrong
from rewild.prompts.synthesis.schema import SAMPLES
from rewild.prompts.synthesis.spec import described


@dataclass
class Draft:
    """One sample under way: what was written so far, and what came of it."""

    number: int
    setting: SamplingSettings
    seed: int
    messages: list[Message] = field(default_factory=list)
    text: str | None = None
    failure: str | None = None
    stopped: str | None = None
    first: Completion | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    def count(self, done: Completion) -> None:
        """Add what a request read and wrote."""
        self.input_tokens += done.input_tokens or 0
        self.output_tokens += done.output_tokens or 0


@dataclass(frozen=True)
class Scribe:
    """One model that writes the prompts of one source.

    Attributes:
        model: made ready; its recipe is that of the samples.
        source: the source's settings.
    """

    model: Prepared
    source: Synthesis

    @classmethod
    def of(cls, model: Prepared, source: Synthesis) -> Scribe:
        """A model made ready for a source.

        Raises:
            EngineError: no prompts can be had of its template, or not these; says why and what to change.
        """
        known = dict(model.identity)
        for key in ("sampling", "system", "history", "over_long", "attempts"):
            del known[key]  # of the answers, if there are any
        known |= {"stage_version": version("synthesis"), "synthesis": described(source)}
        made = cls(replace(model, identity=known), source)
        made._possible()
        return made

    @property
    def chat(self) -> Chat:
        """The model's template."""
        if self.model.chat is None:
            raise ConfigError(f"model {self.model.spec.model}: it has no tokenizer here")
        return self.model.chat

    @cached_property
    def turns(self) -> UserTurns:
        """Where its user's turns begin and end."""
        return UserTurns(self.chat)

    def _possible(self) -> None:
        """Whether the template can do what the source wants."""
        frame, source = self.turns.frame, self.source
        where = f"prompts.sources.{source.name}: the chat template of {self.model.spec.model}"
        if source.turns > 1 and frame.between is None:
            raise EngineError(f"{where} has no second turn ({frame.one_turn}); take turns: 1")
        told = {"system": source.told("system"), "role": source.told("role") if source.turns > 1 else None}
        for key, prompt in told.items():
            if prompt and frame.system != "takes":
                why = f" ({frame.refusal})" if frame.refusal else ""
                raise EngineError(
                    f"{where} {frame.system} a system message{why}; set {key}: null, or give the source a "
                    "chat_template that takes one"
                )

    def drafts(self, numbers: Iterable[int]) -> Iterator[tuple[Draft, list[Strand]]]:
        """Each sample with what is asked for it."""
        for number in numbers:
            draft = Draft(number, self.source.setting(number), self._seed(number, 0))
            yield draft, [self._strand(draft)]

    def _seed(self, number: int, turn: int, step: int = 1) -> int:
        spec = self.model.spec
        return row_seed(spec.seed, spec.model, f"{self.source.name}/{number}", turn, step)

    def _strand(self, draft: Draft) -> Strand:
        sampling = Sampling(**draft.setting.model_dump())
        for turn in range(self.source.turns):
            request, failure = self._asked(draft, turn)
            if request is None:
                self._end(draft, turn, str(failure))
                return
            done = yield request, sampling
            draft.count(done)
            text, failure = self.read(done, request)
            if turn == 0:
                draft.first, draft.text = done, text
            if failure is not None:
                self._end(draft, turn, failure)
                return
            draft.messages.append({"role": "user", "content": text})
            if turn + 1 == self.source.turns:
                return
            failure = yield from self._answer(draft, turn)
            if failure is not None:
                draft.stopped = f"answer_{failure}"
                return

    @staticmethod
    def _end(draft: Draft, turn: int, failure: str) -> None:
        if turn == 0:
            draft.failure = failure
            return
        draft.stopped = failure
        draft.messages.pop()  # an answer that leads nowhere

    @cached_property
    def _opening(self) -> tuple[int, ...]:
        return self.turns.tokens(self._told(0))

    def _told(self, turn: int) -> list[Message]:
        told = [self.source.told("system"), self.source.told("role") if turn else None]
        text = "\n\n".join(prompt.text for prompt in told if prompt)
        return [{"role": "system", "content": text}] if text else []

    def _asked(self, draft: Draft, turn: int) -> tuple[Request | None, str | None]:
        """The request for a user's turn; or why there is none."""
        before = [*self._told(turn), *draft.messages]
        try:
            tokens = self.turns.tokens(before) if turn else self._opening
        except ValueError as error:
            return None, f"template: {error}"
        most, longest = self.model.sizes[1], self.model.sizes[2]
        if len(tokens) > most:
            return None, f"too_long: {len(tokens)} tokens stand before the turn, the limit is {most}"
        seed, name = self._seed(draft.number, turn), f"{self.source.name}/{draft.number}/{turn}"
        ends, stops = self.turns.ends, self.turns.stops
        return Request(name, tuple(before), tokens, longest, seed, ends=ends, stops=stops), None

    def _answer(self, draft: Draft, turn: int) -> Any:
        """Answer the last prompt; returns why there is no answer."""
        spec = self.model.spec
        system: list[Message] = [{"role": "system", "content": spec.system}] if spec.system else []
        (fitted,) = fit([[*system, *draft.messages]], self.chat, self.model.sizes[1], "skip")
        if fitted.failure is not None:
            return fitted.failure
        name = f"{self.source.name}/{draft.number}/{turn}/answer"
        seed = self._seed(draft.number, turn, 2)
        request = Request(name, fitted.messages, fitted.tokens, self.model.sizes[2], seed)
        done = yield request, Sampling(**spec.sampling.model_dump())
        draft.count(done)
        failure = check(done, request, self.chat)
        if failure is None and done.finish_reason == "length":
            failure = f"cut_off: no end in {done.output_tokens} tokens"
        if failure is None:
            draft.messages.append({"role": "assistant", "content": done.text or ""})
        return failure

    def read(self, done: Completion, request: Request) -> tuple[str, str | None]:
        """The text of a user's turn, and why it is none, as ``reason: detail``."""
        text, spelt = self.turns.cut(done.text or "")
        text = text.strip()
        if failure := check(done, request, self.chat):
            return text, failure
        if not text:
            return text, f"empty: no text in {done.output_tokens or 0} tokens"
        last = done.tokens[-1] if done.tokens else None
        regular = {self.turns.end, *self.chat.end_tokens}
        if not spelt and done.finish_reason == "length":
            return text, f"cut_off: no end in {done.output_tokens} tokens"
        if not spelt and last is not None and last in request.ends and last not in regular:
            marker = self.chat.tokenizer.convert_ids_to_tokens(last)
            return text, f"role_confusion: it is ended by {marker!r}"
        if markers := self.turns.spelt_markers(text):
            return text, f"template_tokens: it spells {markers[0]!r}"
        wanted = Wanted(self.source.spoken, self.source.repetition, self.source.garbage)
        return text, what_is_wrong(text, wanted)

    def row(self, draft: Draft) -> dict[str, Any]:
        """A row of :data:`SAMPLES`."""
        text, system = draft.text, self.source.told("system")
        return {
            "number": draft.number,
            "model": self.model.spec.model,
            "system": system.text if system else None,
            **draft.setting.model_dump(),
            "seed": draft.seed,
            "engine": self.model.spec.engine,
            "recipe": self.model.digest,
            "text": text,
            "conversation": [dict(m) for m in draft.messages] or None,
            "failure": draft.failure,
            "stopped": draft.stopped,
            "language": language_name(language(text)) if text else None,
            "finish_reason": draft.first.finish_reason if draft.first else None,
            "input_tokens": draft.input_tokens,
            "output_tokens": draft.output_tokens,
            "repetition": repetition(text) if text else None,
            "garbled": garbled(text) if text else None,
        }


def write_samples(scribe: Scribe, numbers: Sequence[int], work: Path) -> pl.DataFrame:
    """Write some samples in one stream; finished chunks in ``work`` are taken, the rest is generated.

    Args:
        scribe: the model.
        numbers: of the samples.
        work: the folder of chunks; its recipe's own folder is made in it.

    Returns:
        Rows of :data:`SAMPLES`, by number, failures too.

    Raises:
        EngineError: the engine cannot go on. RewildError: the disk is full, or another process is at work.
    """
    folder = work / scribe.model.digest
    with disk_errors(folder / "lock"), locked(folder, "at work on these prompts"):
        chunks = Store(folder, SAMPLES, ("number",), check=cost_of)
        found = chunks.load()
        todo = [number for number in numbers if (number,) not in chunks.done]
        if todo:
            generate(scribe.model, scribe.drafts, todo, lambda d: [scribe.row(d)], chunks, len(numbers))
            found = chunks.load()
    rows: pl.DataFrame = pl.concat([frame for frame, _ in found] or [pl.DataFrame(schema=SAMPLES.dtypes)])
    return rows.filter(pl.col("number").is_in(list(numbers))).unique("number").sort("number")


def write_shard(scribe: Scribe, shard: int, work: Path, out: Path) -> pl.DataFrame:
    """Write the samples of one shard to its file."""
    rows = write_samples(scribe, scribe.source.numbers(shard), work)
    with disk_errors(out):
        write_table(out, rows, SAMPLES, provenance([], recipe=scribe.model.digest, shard=shard))
    return rows

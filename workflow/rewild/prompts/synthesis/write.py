"""A model writes prompts: samples to requests, completions to rows, in one stream, durably.

A sample is a strand of :func:`rewild.generation.feed.feed`: it asks for a user's turn, checks it, asks for an
answer to it, and so on, up to the turns that are wanted. Nothing is asked twice: what failed is counted.
Where another model answers, each turn and each answer is a step of its own, which goes on from the file of
the one before: so a job loads one model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.responses import SamplingSettings
from rewild.config.stages import version
from rewild.config.synthesis import Synthesis
from rewild.core.errors import ConfigError, DataError
from rewild.core.files import sha256, write_json
from rewild.core.language import garbled, language, language_name, repetition
from rewild.core.locks import locked
from rewild.core.table import provenance, write_table
from rewild.engines.base import Completion, EngineError, Message, Request, Sampling
from rewild.engines.chat import Chat
from rewild.engines.user_turns import UserTurns
from rewild.generation.feed import Strand
from rewild.generation.fit import fit
from rewild.generation.prepared import Prepared
from rewild.generation.respond import Cost, cost_of, generate, measure
from rewild.generation.rows import check, ended
from rewild.generation.spec import row_seed
from rewild.generation.store import Store, disk_errors
from rewild.prompts.synthesis.checks import Wanted, what_is_wrong
from rewild.prompts.synthesis.schema import SAMPLES, Measured, read_step
from rewild.prompts.synthesis.spec import NOT_OURS, described


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
    before: Mapping[str, Any] | None = None  # its row of the step before

    def count(self, done: Completion) -> None:
        """Add what a request read and wrote."""
        self.input_tokens += done.input_tokens or 0
        self.output_tokens += done.output_tokens or 0


@dataclass(frozen=True)
class Scribe:
    """One model that writes the prompts of one source, or answers them, or both.

    Attributes:
        model: made ready; its recipe is that of the samples.
        source: the source's settings.
        step: of :attr:`rewild.config.synthesis.Synthesis.steps`.
        earlier: the rows of the step before, by their numbers; None in the first.
        content: a hash of these rows; empty in the first.
    """

    model: Prepared
    source: Synthesis
    step: int = 0
    earlier: Mapping[int, Mapping[str, Any]] | None = None
    content: str = ""

    @classmethod
    def of(cls, model: Prepared, source: Synthesis, step: int = 0, before: Path | None = None) -> Scribe:
        """A model made ready for a source.

        Args:
            model: the step's.
            source: the source.
            step: which.
            before: the file of the step before, with its ``.json`` beside it.

        Raises:
            EngineError: no prompts can be had of its template, or not these; says why and what to change.
            DataError: the step before is not there, or damaged.
        """
        known = dict(model.identity)
        for key in NOT_OURS:
            del known[key]
        known |= {"stage_version": version("synthesis"), "synthesis": described(source, step)}
        earlier, content = None, ""
        if before is not None:
            rows, about = read_step(before)
            known["before"] = about.identity
            earlier = {row["number"]: row for row in rows.iter_rows(named=True)}
            content = sha256(before)[:16]
        made = cls(replace(model, identity=known), source, step, earlier, content)
        if any(act % 2 == 0 for act in source.steps[step]):
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

    def traits(self) -> list[str]:
        """What is particular about the template, in words."""
        return [f"the chat template {trait}" for trait in self.turns.frame.traits]

    def template(self) -> dict[str, Any]:
        """What was derived from it, for the record."""
        frame, end, tokenizer = self.turns.frame, self.turns.end, self.chat.tokenizer
        return {
            "before": frame.before,
            "after": frame.after,
            "between": frame.between,
            "end": end if isinstance(end, str) else tokenizer.convert_ids_to_tokens(end),
            "ends": tokenizer.convert_ids_to_tokens(list(self.turns.ends)),
            "traits": frame.traits,
        }

    def drafts(self, numbers: Iterable[int]) -> Iterator[tuple[Draft, list[Strand]]]:
        """Each sample with what is asked for it; nothing, if an earlier step ended it."""
        for number in numbers:
            setting = self.source.setting(number)
            if self.earlier is None:
                draft = Draft(number, setting, self._seed(number, 0))
            else:
                row = self.earlier[number]
                draft = Draft(
                    number,
                    setting,
                    row["seed"],
                    [dict(m) for m in row["conversation"] or []],
                    failure=row["failure"],
                    stopped=row["stopped"],
                    before=row,
                )
            ended = draft.failure or draft.stopped
            yield draft, [] if ended else [self._strand(draft)]

    def _seed(self, number: int, turn: int, step: int = 1) -> int:
        spec = self.model.spec
        return row_seed(spec.seed, spec.model, f"{self.source.name}/{number}", turn, step)

    def _strand(self, draft: Draft) -> Strand:
        for act in self.source.steps[self.step]:
            turn, answers = divmod(act, 2)
            if answers:
                failure = yield from self._answer(draft, turn)
                if failure is not None:
                    draft.stopped = f"answer_{failure}"
                    return
            else:
                failure = yield from self._ask(draft, turn)
                if failure is not None:
                    self._end(draft, turn, failure)
                    return

    def _ask(self, draft: Draft, turn: int) -> Any:
        """Let the model write a user's turn; returns why there is none."""
        request, failure = self._asked(draft, turn)
        if request is None:
            return failure
        done = yield request, Sampling(**draft.setting.model_dump())
        draft.count(done)
        text, failure = self.read(done, request)
        if turn == 0:
            draft.first, draft.text = done, text
        if failure is None:
            draft.messages.append({"role": "user", "content": text})
        return failure

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
        return Request(name, tuple(before), tokens, longest, seed, ends=ends, stops=stops, plain=True), None

    def _answer(self, draft: Draft, turn: int) -> Any:
        """Answer the last prompt; returns why there is no answer."""
        spec = self.model.spec
        system: list[Message] = [{"role": "system", "content": spec.system}] if spec.system else []
        (fitted,) = fit([[*system, *draft.messages]], self.model.chat, self.model.sizes[1], "skip")
        if fitted.failure is not None:
            return fitted.failure
        name = f"{self.source.name}/{draft.number}/{turn}/answer"
        seed = self._seed(draft.number, turn, 2)
        stops = self.model.chat.stops if self.model.chat else ()
        request = Request(name, fitted.messages, fitted.tokens, self.model.sizes[2], seed, stops=stops)
        done = ended((yield request, Sampling(**spec.sampling.model_dump())), stops)
        draft.count(done)
        failure = check(done, request, self.model.chat)
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
        """A row of :data:`SAMPLES`, but for its tokens: they are this step's."""
        conversation = [dict(m) for m in draft.messages] or None
        if draft.before is not None:
            return {
                **draft.before,
                "recipe": self.model.digest,
                "conversation": conversation,
                "stopped": draft.stopped,
                "input_tokens": draft.input_tokens,
                "output_tokens": draft.output_tokens,
            }
        text, system = draft.text, self.source.told("system")
        return {
            "number": draft.number,
            "model": self.model.spec.model,
            "answers": (self.source.answers.model or self.source.model) if self.source.turns > 1 else None,
            "system": system.text if system else None,
            **draft.setting.model_dump(),
            "seed": draft.seed,
            "engine": self.model.spec.engine,
            "recipe": self.model.digest,
            "text": text,
            "conversation": conversation,
            "failure": draft.failure,
            "stopped": draft.stopped,
            "language": language_name(language(text)) if text else None,
            "finish_reason": draft.first.finish_reason if draft.first else None,
            "input_tokens": draft.input_tokens,
            "output_tokens": draft.output_tokens,
            "repetition": repetition(text) if text else None,
            "garbled": garbled(text) if text else None,
        }


def write_samples(scribe: Scribe, numbers: Sequence[int], work: Path) -> tuple[pl.DataFrame, Cost]:
    """Write some samples in one stream; finished chunks in ``work`` are taken, the rest is generated.

    Args:
        scribe: the model.
        numbers: of the samples.
        work: the folder of chunks, of this recipe and of what the step before gave.

    Returns:
        Rows of :data:`SAMPLES`, by number, failures too; and what they cost.

    Raises:
        EngineError: the engine cannot go on. RewildError: the disk is full, or another process is at work.
    """
    with disk_errors(work / "lock"), locked(work, "at work on these prompts"):
        chunks = Store(work, SAMPLES, ("number",), check=cost_of)
        found = chunks.load()
        todo = [number for number in numbers if (number,) not in chunks.done]
        if todo:
            generate(scribe.model, scribe.drafts, todo, lambda d: [scribe.row(d)], chunks, len(numbers))
            found = chunks.load()
    rows: pl.DataFrame = pl.concat([frame for frame, _ in found] or [pl.DataFrame(schema=SAMPLES.dtypes)])
    wanted = pl.col("number").is_in(list(numbers))
    mine = [about for frame, about in found if frame.select(wanted.any()).item()]
    cost = reduce(Cost.__add__, (cost_of(about, work) for about in mine), Cost())
    return rows.filter(wanted).unique("number").sort("number"), cost


def write_shard(scribe: Scribe, shard: int, work: Path, out: Path) -> pl.DataFrame:
    """Write what a step makes of one shard's samples, and its measurement, the ``.json`` beside it.

    Raises:
        DataError: the step before gave other samples than the shard's.
    """
    numbers, digest, source = scribe.source.numbers(shard), scribe.model.digest, scribe.source
    if scribe.earlier is not None and sorted(scribe.earlier) != list(numbers):
        raise DataError(
            f"{out}: step {scribe.step - 1} has {len(scribe.earlier):,} samples that are not the numbers "
            f"{numbers.start:,} to {numbers.stop - 1:,}; write it again"
        )
    folder = work / "-".join(filter(None, (digest, scribe.content)))
    rows, cost = write_samples(scribe, numbers, folder)
    if scribe.earlier is not None:
        rows = rows.with_columns(
            pl.col(key) + pl.Series([scribe.earlier[n][key] for n in rows["number"]], dtype=pl.Int64)
            for key in ("input_tokens", "output_tokens")
        )
    with disk_errors(out):
        write_table(out, rows, SAMPLES, provenance([], recipe=digest, shard=shard))
        pattern = [setting.model_dump() for setting in source.pattern]
        about = measure(scribe.model, f"{shard:04d}", cost, folder, {"pattern": pattern})
        known: dict[str, Any] = {
            "source": source.name,
            "step": scribe.step,
            "recipe": digest,
            "identity": scribe.model.identity,
        }
        write_json(out.with_suffix(".json"), Measured(**about.model_dump(), **known).model_dump())
    return rows

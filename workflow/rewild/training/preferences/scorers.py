"""Scorers: what gives an answer a grade. One interface, three kinds, made by name (:func:`make_scorer`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rewild.config.judging import Asked
from rewild.config.preferences import Judge, RewardModel, Rubric, Scorer
from rewild.engines import make_engine
from rewild.engines.base import Completion, EngineError, Message, Request, Sampling
from rewild.engines.chat import Chat

LOWEST, HIGHEST = 1.0, 10.0
TEMPLATE = """\
Rate how well an assistant answers a user's question. Look at whether the answer is correct, helpful,
relevant, deep enough and clear. Do not prefer an answer because it is long. Explain in one or two sentences,
then give a rating from 1 (useless) to 10 (excellent) in exactly this form: "Rating: [[5]]".

[Question]
{question}

[The Start of Assistant's Answer]
{answer}
[The End of Assistant's Answer]"""
CHUNK = 64  # grades that are kept together; what was asked for before is not asked again


@dataclass(frozen=True)
class Item:
    """One answer to grade.

    Attributes:
        name: ``CONVERSATION/SAMPLE``, for messages.
        prompt: the chat up to and including the user turn.
        answer: the text.
        seed: of this grade, for scorers that draw.
    """

    name: str
    prompt: tuple[Message, ...]
    answer: str
    seed: int = 0


@dataclass(frozen=True)
class Grade:
    """A score, more is better; or the reason why there is none."""

    score: float | None
    failure: str | None = None


class Grader(Protocol):
    """What every scorer can do. It keeps a model loaded from its making to :meth:`close`."""

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """Grade every answer, in order. One that cannot be graded has a reason.

        Raises:
            EngineError: the scorer itself cannot go on.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def make_scorer(settings: Scorer, work: Path | None = None, asked: Asked | None = None) -> Grader:
    """The scorer that settings name. Heavy imports happen here.

    Args:
        settings: of the scorer.
        work: a folder in which a judge's replies are kept, so that a rerun asks for the rest only.
        asked: who is asked where the scorer is a judge; None: the name that the settings give.
    """
    match settings:
        case Rubric():
            return RubricScorer()
        case Judge():
            return JudgeScorer(settings, work=work, asked=asked)
        case RewardModel():
            return RewardScorer(settings)


class RubricScorer:
    """The program that :mod:`rewild.engines.rubric.grades` states: 0 to 1. It understands nothing."""

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """See :class:`Grader`."""
        from rewild.engines.rubric.grades import grade

        return [Grade(grade(item.prompt[-1]["content"], item.answer).total) for item in items]

    def close(self) -> None:
        """Nothing is held."""


class JudgeScorer:
    """A language model that is asked for a rating of 1 to 10, at temperature 0.

    It is asked and read as the judges of benchmarks are: an unclear reply is asked for again, with another
    seed, and an outage stops the job, with every finished chunk kept.
    """

    def __init__(
        self,
        settings: Judge,
        *,
        pause: float = 1.0,
        work: Path | None = None,
        asked: Asked | None = None,
    ) -> None:
        """
        Args:
            settings: endpoint and model; the key is read from the environment.
            pause: first pause before a request is tried again, in seconds.
            work: the folder of finished chunks; None keeps none.
            asked: who is asked; None: the name that the settings give.
        """
        from rewild.engines.openai_engine import OpenAIEngine  # a reward model's environment has no httpx

        self._settings, self._work = settings, work
        asked = asked or Asked(settings.model)
        self._longest = asked.takes.limit(settings.max_tokens) if asked.takes else settings.max_tokens
        self._identity = asked.identity
        self._engine = OpenAIEngine(
            asked.name,
            settings.endpoint,
            key=os.environ.get(settings.key),
            concurrency=settings.concurrency,
            timeout=settings.timeout,
            pause=pause,
            takes=asked.takes,
            neutral=asked.open_weights,
        )

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """See :class:`Grader`."""
        if self._work is None:
            return [grade for grade, _ in self._ask(items)]
        from rewild.core.locks import locked
        from rewild.generation.asking.base import JudgeRequest
        from rewild.generation.asking.store import Replies, request_hash

        keys = [
            request_hash(
                self._identity,
                JudgeRequest(item.name, 0, "grade", (judge_message(item),), "grade", self._longest),
                self._settings.attempts,
                item.seed,
            )
            for item in items
        ]
        with locked(self._work, "at work on these grades"):
            store = Replies(self._work)
            store.load(mend=True)
            todo = [(k, i) for k, i in dict(zip(keys, items, strict=True)).items() if k not in store.rows]
            for start in range(0, len(todo), CHUNK):
                part = todo[start : start + CHUNK]
                asked = self._ask([item for _, item in part])
                store.write(
                    [
                        BLANK
                        | {
                            "request": key,
                            "reply": done.text,
                            "failure": grade.failure,
                            "judge_said": done.model,
                        }
                        for (key, _), (grade, done) in zip(part, asked, strict=True)
                    ]
                )
            rows = [store.rows[key] for key in keys]
        return [
            read_rating(row["reply"]) if row["reply"] is not None else Grade(None, row["failure"])
            for row in rows
        ]

    def _ask(self, items: Sequence[Item]) -> list[tuple[Grade, Completion]]:
        """Ask until every rating is clear, or as often as allowed."""
        found: dict[int, tuple[Grade, Completion]] = {}
        pending = list(range(len(items)))
        for attempt in range(self._settings.attempts):
            requests = [
                Request(
                    items[n].name,
                    (judge_message(items[n]),),
                    (),
                    self._longest,
                    (items[n].seed + attempt) % 2**63,
                )
                for n in pending
            ]
            done = self._engine.generate(requests, Sampling(temperature=0.0)) if requests else []
            for n, completion in zip(pending, done, strict=True):
                found[n] = (_grade_of(completion), completion)
            pending = [n for n in pending if found[n][0].score is None]
        return [found[n] for n in range(len(items))]

    def close(self) -> None:
        """The endpoint holds nothing for us."""
        self._engine.close()


BLANK: dict[str, Any] = {
    "earlier": [],
    "logprobs": None,
    "attempts": 1,
    "input_tokens": 0,
    "output_tokens": 0,
    "estimated": True,
}


def _grade_of(done: Completion) -> Grade:
    if done.failure is not None:
        return Grade(None, done.failure)
    if done.text is None or not done.text.strip():
        return Grade(None, "empty: the judge's reply has no text")
    return read_rating(done.text)


def judge_message(item: Item) -> Message:
    """What the judge reads. Texts are put in, never searched for placeholders."""
    question = "\n\n".join(m["content"] for m in item.prompt)
    before, _, rest = TEMPLATE.partition("{question}")
    between, _, after = rest.partition("{answer}")
    return {"role": "user", "content": f"{before}{question}{between}{item.answer}{after}"}


def read_rating(text: str) -> Grade:
    """The last ``[[rating]]`` of a judgment, outside of its reasoning and of what it quotes."""
    from rewild.generation.asking.verdicts import last_bracket, number_within

    said = last_bracket(text, single=False)
    if said.label is None:
        why = "the judgment has no [[rating]]" if "[[" not in text else said.why
        return Grade(None, f"no_rating: {why}")
    label = said.label.strip()
    rating = number_within(label, LOWEST, HIGHEST)
    if rating is None:
        return Grade(None, f"bad_rating: {label[:40]} is not from 1 to 10")
    return Grade(rating)


class RewardScorer:
    """A sequence-classification model with one output: the reward of a whole conversation."""

    def __init__(self, settings: RewardModel) -> None:
        """Load tokenizer and weights (safetensors only).

        Raises:
            EngineError: it cannot be loaded, has no chat template, or has not exactly one output.
        """
        name = f"the reward model {settings.path}"
        try:
            chat = Chat.load(settings.path, name, revision=settings.revision)
        except ImportError as error:
            raise EngineError(
                "a reward model needs transformers: use .envs/engine-cpu/bin/python -m rewild ..."
            ) from error
        self._engine = make_engine(
            "classifier",
            path=settings.path,
            chat=chat,
            **settings.model_dump(include={"revision", "precision", "device", "batch", "context"}),
        )
        labels = self._engine.about().arguments["labels"]
        if len(labels) != 1:
            raise EngineError(f"{name} has {len(labels)} outputs, not one")

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """See :class:`Grader`."""
        chats = [(*item.prompt, {"role": "assistant", "content": item.answer}) for item in items]
        return [Grade(next(iter(c.outputs.values()), None), c.failure) for c in self._engine.classify(chats)]

    def close(self) -> None:
        """Let the weights go."""
        self._engine.close()

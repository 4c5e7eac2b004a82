"""Scorers: what gives an answer a grade. One interface, three kinds, made by name (:func:`make_scorer`)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rewild.config.judging import Asked, Judging
from rewild.config.preferences import Judge, RewardModel, Rubric, Scorer
from rewild.config.reasoning import tokens_of
from rewild.engines import make_engine
from rewild.engines.base import Engine, Message
from rewild.generation.asking.ask import Asking, Row, ask, verdict_in
from rewild.generation.asking.base import JudgeRequest, Reader, Reply, Verdict
from rewild.generation.asking.budget import Ledger
from rewild.generation.asking.store import Replies, request_hash
from rewild.generation.asking.verdicts import last_bracket, number_within
from rewild.measures.reward import Classifier

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
BATCH = 512  # answers given to a reward model at once, of which those of like length go together
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


class Grader:
    """What every scorer can do. It keeps a model loaded from its making to :meth:`close`."""

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """Grade every answer, in order. One that cannot be graded has a reason.

        Raises:
            EngineError: the scorer itself cannot go on.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Free what it holds; nothing, unless a scorer says so."""


def make_scorer(settings: Scorer, panel: Panel | None = None) -> Grader:
    """The scorer that settings name. Heavy imports happen here.

    Args:
        settings: of the scorer.
        panel: who is asked, where the scorer is a judge.
    """
    match settings:
        case Rubric():
            return RubricScorer()
        case Judge():
            assert panel is not None
            return JudgeScorer(settings, panel)
        case RewardModel():
            return RewardScorer(settings)


class RubricScorer(Grader):
    """The program that :mod:`rewild.engines.rubric.grades` states: 0 to 1. It understands nothing."""

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """See :class:`Grader`."""
        from rewild.engines.rubric.grades import grade

        return [Grade(grade(item.prompt[-1]["content"], item.answer).total) for item in items]


class Rating(Reader):
    """Reads a rating of 1 to 10 in double brackets."""

    def parse(self, reply: Reply, request: JudgeRequest) -> Verdict | None:
        """See :class:`rewild.generation.asking.base.Reader`."""
        score = read_rating(reply.text).score
        return None if score is None else Verdict(f"{score:g}", score)

    def unclear(self, reply: Reply, request: JudgeRequest) -> str:
        """See :class:`rewild.generation.asking.base.Reader`."""
        return read_rating(reply.text).failure or ""


@dataclass(frozen=True)
class Panel:
    """Who grades, and where what is asked and paid for is kept.

    Attributes:
        study: for messages.
        asked: who is asked: what the endpoint serves.
        judging: the study's budget and prices, which hold for all who are asked.
        folder: of the study's unfinished work.
        job: this job's name, ``SET/SHARD``.
        pause: first pause before a request is tried again, in seconds.
    """

    study: str
    asked: Asked
    judging: Judging
    folder: Path
    job: str
    pause: float = 1.0

    @property
    def work(self) -> Path:
        """Finished grades."""
        return self.folder / "grades" / self.job

    def ledger(self, judge: str) -> Ledger:
        """What may be spent: the study's budget, which its judged benchmarks share."""
        spent, price = self.folder / "judging", self.judging.price_of(judge)
        return Ledger(spent, spent / "grades" / self.job, self.judging.budget, price, self.study, judge)


class JudgeScorer(Grader):
    """A language model that is asked for a rating of 1 to 10, at temperature 0, as benchmarks' judges are.

    An unclear reply is asked for again, with another seed; an outage, or a budget that is used up, stops the
    job, with every finished chunk kept.
    """

    def __init__(self, settings: Judge, panel: Panel) -> None:
        """
        Args:
            settings: endpoint and model; the key is read from the environment.
            panel: who is asked, and where what was paid for is kept.
        """
        self._settings, self._panel = settings, panel
        takes = panel.asked.takes
        self._longest = takes.limit(settings.max_tokens) if takes else settings.max_tokens

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """See :class:`Grader`."""
        settings, panel = self._settings, self._panel
        requests = [self._request(item) for item in items]
        keys = [
            request_hash(panel.asked.identity, request, settings.attempts, item.seed)
            for request, item in zip(requests, items, strict=True)
        ]
        asking = Asking(
            who=settings.model,
            what="grades",
            reader=(reader := Rating()),
            ledger=panel.ledger(settings.model),
            attempts=settings.attempts,
            chunk=CHUNK,
            seed=lambda request, attempt: (int(request.state["seed"]) + attempt - 1) % 2**63,
            reasoning=tokens_of(panel.asked.reasoning),
        )
        by_key = dict(zip(keys, requests, strict=True))
        rows = ask(asking, by_key, Replies(panel.work), self._engine)
        return [_grade(reader, rows[key], by_key[key]) for key in keys]

    def _request(self, item: Item) -> JudgeRequest:
        asked = (judge_message(item),)
        return JudgeRequest(item.name, 0, "grade", asked, "grade", self._longest, state={"seed": item.seed})

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        settings, asked = self._settings, self._panel.asked
        engine = make_engine(
            "openai",
            model=asked.name,
            endpoint=settings.endpoint,
            key=os.environ.get(settings.key),
            concurrency=settings.concurrency,
            timeout=settings.timeout,
            pause=self._panel.pause,
            takes=asked.takes,
            neutral=asked.open_weights,
            **({"reasoning": asked.reasoning} if asked.reasoning else {}),
        )
        yield engine
        engine.close()


def _grade(reader: Reader, row: Row, request: JudgeRequest) -> Grade:
    """The grade of a row of replies; where a reply has none, why, without the reply."""
    verdict, failure = verdict_in(reader, row, request)
    if verdict is None and failure is not None and failure.startswith("unclear"):
        return read_rating(row["reply"])
    return Grade(verdict.value if verdict else None, failure)


def judge_message(item: Item) -> Message:
    """What the judge reads. Texts are put in, never searched for placeholders."""
    question = "\n\n".join(m["content"] for m in item.prompt)
    before, _, rest = TEMPLATE.partition("{question}")
    between, _, after = rest.partition("{answer}")
    return {"role": "user", "content": f"{before}{question}{between}{item.answer}{after}"}


def read_rating(text: str) -> Grade:
    """The last ``[[rating]]`` of a judgment, outside of its reasoning and of what it quotes."""
    said = last_bracket(text, single=False)
    if said.label is None:
        why = "the judgment has no [[rating]]" if "[[" not in text else said.why
        return Grade(None, f"no_rating: {why}")
    label = said.label.strip()
    rating = number_within(label, LOWEST, HIGHEST)
    if rating is None:
        return Grade(None, f"bad_rating: {label[:40]} is not from 1 to 10")
    return Grade(rating)


class RewardScorer(Grader):
    """A sequence-classification model with one output: the reward of a whole conversation."""

    def __init__(self, settings: RewardModel) -> None:
        """Load tokenizer and weights (safetensors only).

        Raises:
            EngineError: it cannot be loaded, has no chat template, or has not exactly one output.
        """
        how = settings.model_dump(include={"precision", "device", "batch", "context"})
        self._model = Classifier(settings.path, revision=settings.revision, **how)

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """See :class:`Grader`."""
        chats = [(*item.prompt, {"role": "assistant", "content": item.answer}) for item in items]
        parts = (chats[start : start + BATCH] for start in range(0, len(chats), BATCH))
        return [Grade(*said) for part in parts for said in self._model.classify(part)]

    def close(self) -> None:
        """Let the weights go."""
        self._model.close()

"""AlpacaEval 2 (Dubois et al. 2024, arXiv:2404.04475): each answer against GPT-4-Turbo's, at equal lengths.

From the ``alpaca_eval`` library (envs/alpaca-eval.txt), when scores are made: its annotator, which makes the
prompts, reads the judge's replies and gives preferences; and its length-controlled win rate. From its
released files: the 805 instructions, the baseline's outputs, the judge's prompt.

Ours: generating; asking the judge, with retries, costs and failures, for which the prompt is filled here as
the library fills it; and the win rate and the offline length control, which `rewild win-rates` has too. The
two sides meet in the scores: a prompt of the library that was not asked, or a preference that it reads
otherwise, is an error.
"""

from __future__ import annotations

import json
import logging
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from rewild.core.errors import DataError
from rewild.engines.base import Message
from rewild.evaluation.judged.base import (
    Answers,
    Files,
    JudgedBenchmark,
    Material,
    Question,
    Scored,
    read_file,
    read_rows,
)
from rewild.evaluation.judged.results import is_empty, item_rows, judged_items, score_rows
from rewild.evaluation.win_rates import library
from rewild.evaluation.win_rates.annotations import Floats, annotations_of
from rewild.evaluation.win_rates.length_control import LengthControl
from rewild.generation.asking.base import JudgeRequest, Reply, Verdict, template_of
from rewild.generation.asking.verdicts import conclusion

log = logging.getLogger("rewild")

OFFICIAL = "bfe8c45991f635de0b1f94abeeb1335ef665d58eddd87ddf6fa71b7b0c2ce7a5"
"""SHA-256 of the 805 instructions, joined by NUL: difficulties are known for these alone, by position."""
FEWEST = 100  # preferences; a length-controlled fit to fewer says nothing
NO_HUB = (
    "length control: df_gamed.csv of tatsu-lab/alpaca_eval is neither on the hub, as far as can be reached, "
    "nor in its cache"
)
NO_LOGPROBS = (
    "the judge gives no log-probabilities, which the runner alpaca-eval reads; use a benchmark with the "
    "runner alpaca-eval-plain"
)
NEEDED = ("instruction", "output_1", "output_2")
_MESSAGE = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)
_BLANK = re.compile(r"\{(" + "|".join(NEEDED) + r")\}")
_LETTER = re.compile(r"\W*([mM])\W*")


class AlpacaEval(JudgedBenchmark):
    """The leaderboard's form: preferences from the log-probabilities of the judge's one token."""

    weighted: ClassVar[bool] = True
    unable: ClassVar[str | None] = NO_LOGPROBS

    def questions(self, files: Files) -> list[Question]:
        """The instructions, named by their position in the file, from 0."""
        rows = _outputs(files["questions"])
        joined = "\0".join(row["instruction"] for row in rows)
        official = sha256(joined.encode()).hexdigest() == OFFICIAL
        return [
            Question(
                str(i), row["dataset"], (row["instruction"],), temperature=0.5, extra={"official": official}
            )
            for i, row in enumerate(rows)
        ]

    def baseline(self, files: Files) -> dict[str, Answers]:
        """The baseline's outputs, in the order of its file, which must be the questions' own."""
        asked, rows = _outputs(files["questions"]), _outputs(files["baseline"])
        if [row["instruction"] for row in rows] != [row["instruction"] for row in asked]:
            raise DataError(f"{files['baseline']}: its instructions are not those of {files['questions']}")
        return {str(i): (row["output"] if row["output"].strip() else None,) for i, row in enumerate(rows)}

    def requests(self, question: Question, answers: Answers, material: Material) -> list[JudgeRequest]:
        """One request, in the order that the library draws; none for equal texts, which are a draw."""
        pair = _pair(question, answers, material)
        if pair is None or pair["output_1"] == pair["output_2"]:
            return []
        template = read_template(material.files["prompts"])
        name = library.ANNOTATOR if self.weighted else "plain_alpaca_eval"
        return [
            JudgeRequest(
                question=question.id,
                turn=0,
                part="judgment",
                messages=template.chat(as_shown(pair)),
                template=template_of(name, template.text),
                max_tokens=1 if self.weighted else 8,
                temperature=1.0 if self.weighted else 0.0,
                top_logprobs=5 if self.weighted else 0,
                state={"switched": is_switched(question.turns[0])},
            )
        ]

    def parse(self, reply: Reply, request: JudgeRequest) -> Verdict | None:
        """The letter, and the preference from 1 (the baseline's output) to 2 (the model's).

        Raises:
            DataError: the judge writes a letter without the log-probabilities that were asked for.
        """
        shown = self.read(reply)
        if shown is None:
            return None
        value = 3 - shown if request.state["switched"] else shown
        return Verdict("m" if shown < 1.5 else "M", value)

    def unclear(self, reply: Reply, request: JudgeRequest) -> str:
        """Why there is no preference."""
        return "its likely tokens have neither m nor M" if self.weighted else "it is not m or M"

    def read(self, reply: Reply) -> float | None:
        """How far the second output is preferred to the first, as they were shown, from 1 to 2."""
        if not reply.logprobs:
            if _LETTER.fullmatch(reply.text):
                raise DataError(NO_LOGPROBS)
            return None
        given = [reply.logprobs[0].get(token, -math.inf) for token in "mM"]
        if any(math.isnan(value) or value > 0 for value in given):
            return None  # no logarithm of a probability
        first, second = map(math.exp, given)
        return 2 - first / (first + second) if first + second else None

    def scores(self, answers: pl.DataFrame, judgments: pl.DataFrame, material: Material, seed: int) -> Scored:
        """``win_rate``, ``discrete_win_rate``, ``length_controlled_winrate``, ``lc_offline``, ``avg_length``.

        All but the last in percent. ``length_controlled_winrate`` is the library's and needs the hub, or its
        cache; without them it has no value and its items say why. ``lc_offline`` is what stands for it
        elsewhere (docs/judged-benchmarks.md). Both are of the 805 instructions only.
        """
        rows = self._annotations(answers, judgments, material)
        known: dict[str, float | str] = {
            i: "baseline: it has no answer to compare with"
            for i in answers["question_id"]
            if material.baseline.get(i, (None,))[0] is None
        }
        known |= {i: row["preference"] for i, row in rows.items() if row["output_1"] == row["output_2"]}
        items = judged_items(answers, judgments, lowest=1.0, known=known)
        for item in items:
            row = rows.get(item["item"])
            if row is not None and not _same(row["preference"], item["score"]):
                raise DataError(
                    f"question {item['item']}: the library reads the judge's reply as {row['preference']}, "
                    f"but its preference is recorded as {item['score']}"
                )
        kept = {i: row for i, row in rows.items() if row["preference"] is not None}
        measures = _measures(kept, material)
        scores, made = [], []
        for metric, values in measures.items():
            if isinstance(values, str):
                own = [item | {"score": None, "failure": item["failure"] or values} for item in items]
            else:
                own = [item | {"score": values.get(item["item"])} for item in items]
            scores += score_rows(metric, own)
            made += item_rows(metric, own)
        return Scored(scores, made)

    def _annotations(
        self, answers: pl.DataFrame, judgments: pl.DataFrame, material: Material
    ) -> dict[str, dict[str, Any]]:
        """The library's annotations by question; against silence, unseen by it, the baseline wins."""
        template = read_template(material.files["prompts"])
        replies = {row["question_id"]: row for row in judgments.iter_rows(named=True)}
        pairs: dict[str, dict[str, str]] = {}
        silent: dict[str, dict[str, Any]] = {}
        for answer in answers.iter_rows(named=True):
            question = material.questions[answer["question_id"]]
            text = "" if is_empty(answer["failure"]) else answer["answer"]
            pair = _pair(question, (text,), material)
            if pair is not None and text:
                pairs[question.id] = pair
            elif pair is not None:
                silent[question.id] = pair | library.SIDES | {"preference": 1.0}
        asked = {template.prompt(as_shown(pair)): identity for identity, pair in pairs.items()}

        def complete(prompt: str) -> dict[str, Any] | None:
            if prompt not in asked:
                raise DataError("the alpaca_eval library makes other prompts than the judge was asked")
            row = replies[asked[prompt]]
            return None if row["value"] is None else _completion(conclusion(row["reply"]), row["logprobs"])

        made = library.annotate(list(pairs.values()), complete, weighted=self.weighted) if pairs else []
        annotated = dict(zip(pairs, made, strict=True)) | silent
        return {i: annotated[i] for i in answers["question_id"] if i in annotated}


class PlainAlpacaEval(AlpacaEval):
    """For judges that give no log-probabilities: the same prompt, and the one letter that they write."""

    weighted = False
    unable = None

    def read(self, reply: Reply) -> float | None:
        """1 or 2, the output whose letter stands alone in the reply."""
        found = _LETTER.fullmatch(conclusion(reply.text))
        return None if found is None else 1.0 if found[1] == "m" else 2.0


@dataclass(frozen=True)
class Template:
    """The released prompt: in the library's chat markup, with blanks for an instruction and two outputs."""

    text: str

    def prompt(self, values: Mapping[str, str]) -> str:
        """Filled as the library fills it: blank after blank, the first place of each."""
        text = self.text
        for name in NEEDED:
            text = text.replace(f"{{{name}}}", values[name], 1)
        return text.strip()

    def chat(self, values: Mapping[str, str]) -> tuple[Message, ...]:
        """The messages. A text that holds blanks or markup of its own stays within its message."""
        return tuple(
            {"role": role, "content": _BLANK.sub(lambda blank: values[blank[1]], text).strip()}
            for role, text in _MESSAGE.findall(self.text)
        )


@cache
def read_template(path: Path) -> Template:
    """Read the annotator's prompt.

    Raises:
        DataError: no such file, no messages in it, or other blanks.
    """
    text = read_file(path)
    if not _MESSAGE.search(text) or sorted(_BLANK.findall(text)) != sorted(NEEDED):
        raise DataError(f"{path}: not a prompt with messages and each of {', '.join(NEEDED)} once")
    return Template(text)


def is_switched(instruction: str) -> bool:
    """Whether the library shows the model's output first: drawn by the instruction, with its seed 0."""
    return random.Random(f"is_switched_outputs{instruction}0").choices([False, True])[0]


def as_shown(pair: Mapping[str, str]) -> dict[str, str]:
    """The pair with its outputs in the order that the judge sees."""
    first, second = ("output_2", "output_1") if is_switched(pair["instruction"]) else ("output_1", "output_2")
    return {"instruction": pair["instruction"], "output_1": pair[first], "output_2": pair[second]}


def _pair(question: Question, answers: Answers, material: Material) -> dict[str, str] | None:
    """Instruction and outputs, or None if one of them is missing."""
    (answer,), (baseline,) = answers, material.baseline.get(question.id, (None,))
    if answer is None or baseline is None:
        return None
    return {
        "instruction": question.turns[0],
        "dataset": question.category,
        "output_1": baseline,
        "output_2": answer,
    }


Measure = dict[str, float] | str
"""Question → what it adds to a metric; or why the metric cannot be computed."""


def _measures(rows: Mapping[str, Mapping[str, Any]], material: Material) -> dict[str, Measure]:
    """Every metric of the annotations that have a preference."""
    preference = {i: float(row["preference"]) - 1 for i, row in rows.items()}
    found: dict[str, Measure] = {
        "win_rate": {i: 100 * p for i, p in preference.items()},
        "discrete_win_rate": {i: 100 * ((p > 0.5) + (p == 0.5) / 2) for i, p in preference.items()},
        "avg_length": {i: float(len(row["output_2"])) for i, row in rows.items()},
    }
    if not all(question.extra["official"] for question in material.questions.values()):
        return found | {"length_controlled_winrate": "length control: not AlpacaEval's 805 instructions"}
    if len(rows) < FEWEST:
        return found | {"length_controlled_winrate": f"length control: fewer than {FEWEST} preferences"}
    given = list(rows.values())
    by_library = library.length_controlled(given, [int(i) for i in rows])
    found["length_controlled_winrate"] = NO_HUB if by_library is None else _percent(rows, by_library)
    if by_library is None:
        log.warning("no length_controlled_winrate: %s", NO_HUB)
    if path := material.files.get("length_control"):
        offline = LengthControl.read(path).preferences(annotations_of(given, path))
        if offline is not None:
            found["lc_offline"] = _percent(rows, offline)
    return found


def _percent(rows: Mapping[str, Any], preferences: Floats) -> dict[str, float]:
    return dict(zip(rows, (100 * preferences).tolist(), strict=True))


def _completion(reply: str, logprobs: str | None) -> dict[str, Any]:
    """A reply as OpenAI's interface gives it."""
    tokens = json.loads(logprobs) if logprobs else []
    content = [
        {"top_logprobs": [{"token": token, "logprob": value} for token, value in likely.items()]}
        for likely in tokens
    ]
    return {"text": reply, "logprobs": {"content": content}}


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, abs_tol=1e-9)


def _outputs(path: Path) -> list[dict[str, Any]]:
    """A file of outputs in the library's form.

    Raises:
        DataError: as :func:`read_rows`; a blank instruction, or one that stands twice.
    """
    rows = read_rows(path, {"instruction": str, "output": str, "dataset": str})
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if not row["instruction"].strip():
            raise DataError(f"{path}, row {number}: the instruction is blank")
        first = seen.setdefault(row["instruction"], number)
        if first != number:
            raise DataError(f"{path}, row {number}: the same instruction as row {first}")
    return rows

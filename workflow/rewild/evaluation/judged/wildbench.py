"""WildBench's WB-Score (Lin et al. 2024, arXiv:2406.04770): from 1 to 10, guided by a checklist per task.

The judge's prompt is read from the released template; the tasks are on the Hugging Face hub
(allenai/WildBench, v2) and are given as a local file. Reading the judge's JSON, failures and scores are ours,
after the released code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.errors import DataError
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
from rewild.evaluation.judged.results import item_rows, judged_items, score_rows
from rewild.evaluation.scores.tidy import ALL
from rewild.generation.asking.base import JudgeRequest, Reply, Verdict, template_of
from rewild.generation.asking.verdicts import conclusion, number_within

WORDS = 1000  # of history, query and answer, each; what is beyond is cut off
BORDER = 5  # the score of a response that is just acceptable
CUT = "... (truncated)"
GROUPS = {
    "Information seeking": "Information/Advice seeking",
    "Advice seeking": "Information/Advice seeking",
    "Creative Writing": "Creative Tasks",
    "Editing": "Creative Tasks",
    "Brainstorming": "Creative Tasks",
    "Role playing": "Creative Tasks",
    "Others": "Creative Tasks",
    "Coding & Debugging": "Coding & Debugging",
    "Reasoning": "Planning & Reasoning",
    "Planning": "Planning & Reasoning",
    "Math": "Math & Data Analysis",
    "Data Analysis": "Math & Data Analysis",
}
"""A task's tag → the group it counts in."""
WEIGHTS = {
    "Creative Tasks": 0.5,
    "Planning & Reasoning": 1.25,
    "Math & Data Analysis": 1.0,
    "Information/Advice seeking": 0.75,
    "Coding & Debugging": 1.25,
}
_BLANK = re.compile(r"\{\$(\w+)\}")
# At the end of a reply, behind which only JSON's own signs may come.
_FIELD = re.compile(r'\bscore"?\s*:\s*"?([0-9.]{1,8})"?[\s,}.\]]*\Z')
_FENCE = re.compile(r"\A`{3,}\w*[ \t]*\n")
_LONGEST = 20_000  # characters at the end of a reply that are read; no verdict is that long
_TRIES = 200  # objects that are looked for


class WildBench(JudgedBenchmark):
    """The 1,024 tasks of version 2, each with its own checklist."""

    def questions(self, files: Files) -> list[Question]:
        """The tasks; ``category`` is the group of the primary tag, ``extra`` has all groups and the list."""
        path = files["questions"]
        needed = {"conversation_input": list, "checklist": list, "primary_tag": str, "secondary_tags": list}
        questions: list[Question] = []
        for number, row in enumerate(read_rows(path, {"session_id": str, **needed}), 1):
            where = f"{path}, row {number}"
            chat, checklist = row["conversation_input"], row["checklist"]
            for message in chat:
                texts = isinstance(message, dict) and isinstance(message.get("content"), str)
                if not texts or message.get("role") not in ("user", "assistant"):
                    raise DataError(
                        f"{where}, field 'conversation_input': a message with role and content was expected"
                    )
            if not chat or chat[-1]["role"] != "user":
                raise DataError(f"{where}, field 'conversation_input': it must end with a user's message")
            if not all(isinstance(entry, str) for entry in checklist):
                raise DataError(f"{where}, field 'checklist': a list of texts was expected")
            groups = [_group(tag, where) for tag in (row["primary_tag"], *row["secondary_tags"])]
            if any(question.id == row["session_id"] for question in questions):
                raise DataError(f"{where}: session {row['session_id']} stands twice")
            questions.append(
                Question(
                    id=row["session_id"],
                    category=groups[0],
                    turns=(chat[-1]["content"],),
                    context=tuple({"role": m["role"], "content": m["content"]} for m in chat[:-1]),
                    extra={"checklist": tuple(checklist), "groups": tuple(dict.fromkeys(groups))},
                )
            )
        return questions

    def requests(self, question: Question, answers: Answers, material: Material) -> list[JudgeRequest]:
        """One request at temperature 0; history, query and answer cut to 1,000 words each, as released."""
        (answer,) = answers
        if answer is None:
            return []
        template = _template(material.files["prompts"])
        history = "".join(f"{m['role'].upper()}: {m['content']}\n\n" for m in question.context)
        values = {
            "history": shorten(history),
            "user_query": shorten(question.turns[-1]),
            "model_output": shorten(answer),
            "checklist": "".join(f"- {entry}\n" for entry in question.extra["checklist"]),
        }
        # All blanks at once: a text that holds one of them stays as it is.
        text = _BLANK.sub(lambda blank: values[blank[1]], template)
        return [
            JudgeRequest(
                question=question.id,
                turn=0,
                part="judgment",
                messages=({"role": "user", "content": text},),
                template=template_of("wildbench-score", template),
                max_tokens=1024,
            )
        ]

    def parse(self, reply: Reply, request: JudgeRequest) -> Verdict | None:
        """The field ``score`` of the reply's JSON; of broken JSON, what stands behind ``"score":``."""
        return read_score(reply.text)

    def unclear(self, reply: Reply, request: JudgeRequest) -> str:
        """Why there is no score."""
        return "no JSON with a score from 1 to 10" if conclusion(reply.text) else "its reasoning has no end"

    def scores(self, answers: pl.DataFrame, judgments: pl.DataFrame, material: Material, seed: int) -> Scored:
        """``wb_score``, of all tasks and by group, and its mean over groups, weighted, ``wb_score_macro``.

        It is (mean − 5) · 2, from −8 to 10; ``score`` is the mean itself. As released, a task counts in every
        group that its tags name; one whose answer was cut or empty counts in none, but in the score of all.
        Where a group has no score, the mean over groups has no value.
        """
        raw = judged_items(answers, judgments, lowest=1.0)
        items = [item | {"score": None if item["score"] is None else rescale(item["score"])} for item in raw]
        said = dict(answers.select("question_id", "answer").iter_rows())
        grouped = [
            item | {"part": group}
            for item in items
            if _is_whole(said[item["item"]]) or item["failure"]
            for group in material.questions[item["item"]].extra["groups"]
        ]
        parts = score_rows("wb_score_macro", grouped, whole=False)
        rows = [score_rows("wb_score", items)[0], score_rows("score", raw)[0], *parts]
        macro, counted = _macro(parts), {item["item"] for item in grouped if item["score"] is not None}
        counts = {"n": 0 if macro is None else len(counted), "attempted": len(items)}
        rows.append({"metric": "wb_score_macro", "part": ALL, "value": macro, "stderr": None, **counts})
        return Scored(rows, item_rows("wb_score", items))


def rescale(score: float) -> float:
    """A score from 1 to 10 so that 0 is just acceptable: from −8 to 10."""
    return (score - BORDER) * 2


def shorten(text: str, words: int = WORDS) -> str:
    """The first ``words`` words, as divided by single spaces, and a mark if there were more."""
    parts = text.split(" ")
    return text if len(parts) <= words else " ".join(parts[:words]) + CUT


def read_score(reply: str) -> Verdict | None:
    """The score in a judge's JSON, outside of its reasoning; None without one from 1 to 10.

    The last object counts; one with strengths or weaknesses, as asked for, before one that is a score alone,
    which may be quoted. In broken JSON it is what stands behind the last ``"score":``, if the reply ends
    there, as asked: elsewhere it may be part of what the judge quotes. A reply that is one object has no
    reasoning around it, whatever tags its strings speak of.
    """
    whole = _unfenced(reply)
    if not (whole.startswith("{") and [end for _, end in _objects(whole)] == [len(whole)]):
        whole = _unfenced(conclusion(reply)[-_LONGEST:])
    objects = list(_objects(whole))
    scored = [found for found, _ in objects if "score" in found]
    as_asked = [found for found in scored if "strengths" in found or "weaknesses" in found]
    label: Any = None
    if as_asked:
        label = as_asked[-1]["score"]
    elif objects and objects[-1][1] == len(whole):
        label = objects[-1][0].get("score")
    elif at_end := _FIELD.search(whole):
        label = at_end[1]
    elif scored:
        label = scored[-1]["score"]
    label = str(label).strip() if isinstance(label, str | int | float) else None
    value = number_within(label, 1, 10)
    return None if value is None else Verdict(str(label), value)


def _unfenced(reply: str) -> str:
    """A reply without the code fence around all of it, or at its end."""
    return _FENCE.sub("", reply.strip()[-_LONGEST:], count=1).rstrip("`").strip()


def _objects(text: str) -> Iterator[tuple[dict[str, Any], int]]:
    """The JSON objects in a text, outermost first, whatever stands around them; and where each ends."""
    decoder, at = json.JSONDecoder(strict=False), text.find("{")  # line ends within texts are no harm
    for _ in range(_TRIES):
        if at < 0:
            return
        end = at + 1
        with suppress(ValueError, RecursionError):
            found, end = decoder.raw_decode(text, at)
            yield found, end
        at = text.find("{", end)


def _macro(parts: Sequence[Mapping[str, Any]]) -> float | None:
    """The weighted mean over groups; None unless every group has a score."""
    value = {row["part"]: row["value"] for row in parts}
    if any(value.get(group) is None for group in WEIGHTS):
        return None
    total: float = sum(WEIGHTS[group] * value[group] for group in WEIGHTS)
    return total / sum(WEIGHTS.values())


def _is_whole(answer: str | None) -> bool:
    """Whether there is an answer, and the judge saw all of it."""
    return answer is not None and shorten(answer) == answer


def _group(tag: Any, where: str) -> str:
    if tag not in GROUPS:
        raise DataError(f"{where}: the tag {tag!r} is none of {', '.join(GROUPS)}")
    return GROUPS[tag]


@cache
def _template(path: Path) -> str:
    text = read_file(path)
    needed = {"history", "user_query", "model_output", "checklist"}
    if (found := set(_BLANK.findall(text))) != needed:
        raise DataError(
            f"{path}: a template with the blanks {', '.join(sorted(needed))} was expected, not {found}"
        )
    return text

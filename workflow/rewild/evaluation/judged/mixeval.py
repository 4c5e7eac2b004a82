"""MixEval (Ni et al. 2024, arXiv:2406.06565): known answers, which a judge recognises in what a model wrote.

Of two thousand free-form questions the judge scores the answer against the known ones, from 0 to 1; of two
thousand multiple-choice questions it says which option the answer chose. Questions, the wording they are
asked in and the judge's prompts are read from the released files of Evalchemy, which the paper used. Reading
replies, failures and scores are ours; where they differ from the released code, the docstrings say so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from rewild.core.errors import DataError
from rewild.core.reading import parse_json
from rewild.evaluation.judged.base import (
    Answers,
    Files,
    JudgedBenchmark,
    Material,
    Question,
    Scored,
    read_file,
)
from rewild.evaluation.judged.results import item_rows, judged_items, score_rows
from rewild.evaluation.judged.source_prompts import read_chat_prompt, read_text
from rewild.generation.asking.base import JudgeRequest, Reply, Verdict, template_of
from rewild.generation.asking.verdicts import last_bracket, number_within

FREE_FORM, MULTIPLE_CHOICE = "free-form", "multiple-choice"
STEP_BY_STEP = {
    "BBH": "FREE_FORM_PROMPT_BBH",
    "GSM8k": "FREE_FORM_PROMPT_GSM8k",
    "MATH": "FREE_FORM_PROMPT_MATH",
}
_LETTER = re.compile(r"[A-Z]")
PROMPTS = {
    FREE_FORM: ("gpt_judge_for_closeended_freeform", ("prompt", "gold_ans", "response")),
    MULTIPLE_CHOICE: ("gpt_judge_for_closeended_multiplechoice", ("prompt", "options", "response")),
}
"""Kind → the released judge prompt and its blanks."""


class MixEval(JudgedBenchmark):
    """The 4,000 questions of 2024-06-01, or the 1,000 of MixEval-Hard."""

    identifying: ClassVar[tuple[str, ...]] = ("questions", "multiple_choice", "wording")

    def questions(self, files: Files) -> list[Question]:
        """Both kinds in turn, so that the first few are of both; ``id`` is ``KIND/KEY`` of the file."""
        free = _read(files["questions"], FREE_FORM, files["wording"])
        choice = _read(files["multiple_choice"], MULTIPLE_CHOICE, files["wording"])
        in_turn = zip_longest(free, choice)
        return [question for pair in in_turn for question in pair if question is not None]

    def requests(self, question: Question, answers: Answers, material: Material) -> list[JudgeRequest]:
        """One request, without the question's context, as released. The judge samples at temperature 1."""
        (answer,) = answers
        if answer is None:
            return []
        kind = question.extra["kind"]
        values = {"prompt": question.extra["prompt"], "response": answer}
        if kind == FREE_FORM:
            known = (f"<answer {i}> {text}" for i, text in enumerate(question.references, 1))
            values["gold_ans"] = "; ".join(known)
        else:
            values["options"] = lettered(question.extra["options"])
        prompt = read_chat_prompt(material.files["prompts"], *PROMPTS[kind])
        return [
            JudgeRequest(
                question=question.id,
                turn=0,
                part="judgment",
                messages=prompt.fill(values),
                template=template_of(f"mixeval-{kind}", *prompt.texts),
                max_tokens=999,
                temperature=1.0,
                state={k: question.extra[k] for k in ("kind", "options", "target")},
            )
        ]

    def parse(self, reply: Reply, request: JudgeRequest) -> Verdict | None:
        """The score, or the option's letter and whether it is the right one.

        It stands in the last double brackets outside of reasoning and quotations. The released code takes the
        first ones of any text.
        """
        state, said = request.state, last_bracket(reply.text)
        if state["kind"] == FREE_FORM:
            score = number_within(said.label, 0, 1)
            return None if score is None else Verdict(str(said.label), score)
        letter = said.label or ""
        if not _LETTER.fullmatch(letter) or ord(letter) - ord("A") >= len(state["options"]):
            return None
        return Verdict(letter, float(ord(letter) - ord("A") == state["target"]))

    def unclear(self, reply: Reply, request: JudgeRequest) -> str:
        """Why there is no score, or no option."""
        said = last_bracket(reply.text)
        form = "a score from 0 to 1" if request.state["kind"] == FREE_FORM else "the letter of an option"
        return said.why or f"{said.label!r} is not {form}"

    def scores(self, answers: pl.DataFrame, judgments: pl.DataFrame, material: Material, seed: int) -> Scored:
        """``overall`` of everything and by source benchmark; ``free_form`` and ``multiple_choice``.

        The released code rounds each kind's score to three digits and weighs the kinds by their questions;
        this is the mean over all questions, the same but for rounding. It also gives a question that could
        not be judged a random score; here that is a failure, and ``n`` says so.
        """
        items = judged_items(answers, judgments, lowest=0.0)
        rows = score_rows("overall", items)
        for kind in (FREE_FORM, MULTIPLE_CHOICE):
            own = [item for item in items if material.questions[item["item"]].extra["kind"] == kind]
            if own:
                rows.append(score_rows(kind.replace("-", "_"), own)[0])
        return Scored(rows, item_rows("overall", items))


def lettered(options: Sequence[str]) -> str:
    """``A. ...`` to the last option, one a line."""
    return "\n".join(f"{chr(ord('A') + i)}. {option}" for i, option in enumerate(options))


def _read(path: Path, kind: str, wording: Path) -> list[Question]:
    """The questions of one file: an object of objects, under the questions' keys."""
    questions = []
    for key, row in _entries(path).items():
        where = f"{path}, question {key}"
        source, prompt = _text(row, "benchmark_name", where), _text(row, "prompt", where)
        target = row["target"] if isinstance(row.get("target"), list) else []
        options: list[str] = []
        if kind == FREE_FORM:
            if not target or not all(isinstance(text, str) for text in target):
                raise DataError(f"{where}, field 'target': a list of one text or more was expected")
            lines = [prompt, read_text(wording, STEP_BY_STEP.get(source, "FREE_FORM_PROMPT"))]
        else:
            options = row["options"] if isinstance(row.get("options"), list) else []
            if not 2 <= len(options) <= 26 or not all(isinstance(text, str) for text in options):
                raise DataError(f"{where}, field 'options': a list of 2 to 26 texts was expected")
            if len(target) != 1 or type(target[0]) is not int or not 0 <= target[0] < len(options):
                raise DataError(f"{where}, field 'target': a list of one option's number was expected")
            lines = [prompt, lettered(options), read_text(wording, "MULTI_CHOICE_PROMPT")]
        context = row.get("context")
        if context is not None and not isinstance(context, str):
            raise DataError(f"{where}, field 'context': a text or null was expected")
        if context and context.strip(" ") and context.lower() not in ("none", "null"):
            lines.insert(0, context)
        turn = "\n".join(lines)
        questions.append(
            Question(
                id=f"{kind}/{key}",
                category=source,
                turns=(f"Question: {turn}" if kind == FREE_FORM else turn,),
                references=tuple(target) if kind == FREE_FORM else (options[target[0]],),
                extra={
                    "kind": kind,
                    "prompt": prompt,
                    "options": tuple(options),
                    "target": None if kind == FREE_FORM else target[0],
                },
            )
        )
    return questions


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """The file's entries by key.

    Raises:
        DataError: no such file, not JSON, not an object of objects, no entries, or a key that stands twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
            raise DataError(f"{path}: the key '{twice}' stands twice")
        return found

    entries = parse_json(read_file(path), path, pairs=once)
    if not isinstance(entries, dict) or not entries:
        raise DataError(f"{path}: an object of questions was expected")
    for key, entry in entries.items():
        if not isinstance(entry, dict):
            raise DataError(f"{path}, question {key}: an object was expected, not {type(entry).__name__}")
    return entries


def _text(row: dict[str, Any], field: str, where: str) -> str:
    if field not in row:
        raise DataError(f"{where}: the field '{field}' is missing (it has: {', '.join(row) or 'nothing'})")
    if not isinstance(row[field], str):
        raise DataError(f"{where}, field '{field}': a text was expected, not {row[field]!r}")
    return str(row[field])

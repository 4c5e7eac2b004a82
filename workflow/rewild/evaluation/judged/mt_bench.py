"""MT-Bench (Zheng et al., 2023): two turns, each rated from 1 to 10 by itself.

Taken from FastChat's released files: questions, reference answers, judge prompts. Ours, after its published
procedure: the temperature of each category, which categories are judged with a reference, how a rating is
read, that scores are means over turns. The code is not FastChat's.
"""

from __future__ import annotations

import json
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
    chat_of,
    read_rows,
)
from rewild.evaluation.judged.results import failure_of, item_rows, score_rows
from rewild.generation.asking.base import JudgeRequest, Reply, Verdict, template_of
from rewild.generation.asking.verdicts import last_bracket, number_within

LOWEST, HIGHEST = 1.0, 10.0
TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
OTHER_TEMPERATURE = 0.7
WITH_REFERENCE = frozenset({"math", "reasoning", "coding"})
# Name of the judge prompt: by whether there is a reference, and by turn.
PROMPTS = {
    (False, 0): "single-v1",
    (False, 1): "single-v1-multi-turn",
    (True, 0): "single-math-v1",
    (True, 1): "single-math-v1-multi-turn",
}
JUDGE_TOKENS = 2048


class MTBench(JudgedBenchmark):
    """MT-Bench, single-answer grading."""

    def questions(self, files: Files) -> list[Question]:
        """``question.jsonl``, with the answers of ``reference_answer/*.jsonl`` where their categories ask."""
        rows = read_rows(files["questions"], {"question_id": (int, str), "category": str, "turns": list})
        references = _references(files["references"]) if "references" in files else {}
        found = []
        for number, row in enumerate(rows, 1):
            where, identity = f"{files['questions']}, row {number}", str(row["question_id"])
            turns = _texts(row["turns"], where, "turns")
            if len(turns) not in (1, 2):
                raise DataError(f"{where}: {len(turns)} turns, but one or two are judged")
            known: tuple[str, ...] = ()
            if row["category"] in WITH_REFERENCE:
                known = references.get(identity, ())
                if len(known) < len(turns):
                    raise DataError(
                        f"{where}: question {identity} is judged with a reference ({row['category']}), but "
                        f"{files.get('references', 'no file')} has none for every turn"
                    )
            temperature = TEMPERATURES.get(row["category"], OTHER_TEMPERATURE)
            found.append(Question(identity, row["category"], turns, (), known, temperature))
        return found

    def requests(self, question: Question, answers: Answers, material: Material) -> list[JudgeRequest]:
        """One request per turn; the second shows the first turn too."""
        prompts = judge_prompts(material.files["prompts"])
        made = []
        for turn in range(len(question.turns)):
            told = [answer for answer in answers[: turn + 1] if answer is not None]
            if len(told) <= turn:
                break
            name = PROMPTS[bool(question.references), turn]
            system, template = prompts[name]
            values = {"question": question.turns[0], "answer": told[0]}
            for i in range(turn + 1):
                values |= {f"question_{i + 1}": question.turns[i], f"answer_{i + 1}": told[i]}
                if question.references:
                    values[f"ref_answer_{i + 1}"] = question.references[i]
            messages, named = chat_of(system, template, values), template_of(name, system, template)
            made.append(JudgeRequest(question.id, turn, "judgment", messages, named, JUDGE_TOKENS))
        return made

    def parse(self, reply: Reply, request: JudgeRequest) -> Verdict | None:
        """The last ``[[rating]]`` outside of reasoning and quotations; unclear outside 1 to 10."""
        said = last_bracket(reply.text)
        value = number_within(said.label, LOWEST, HIGHEST)
        return None if value is None else Verdict(str(said.label), value)

    def unclear(self, reply: Reply, request: JudgeRequest) -> str:
        """Why there is no rating."""
        said = last_bracket(reply.text)
        return said.why or f"{said.label!r} is not a rating from {LOWEST:g} to {HIGHEST:g}"

    def scores(self, answers: pl.DataFrame, judgments: pl.DataFrame, material: Material, seed: int) -> Scored:
        """``average`` over all turns, by turn, and ``category`` by category (both turns)."""
        ratings = {(row["question_id"], row["turn"]): row for row in judgments.iter_rows(named=True)}
        items: list[dict[str, Any]] = []
        categories: dict[str, list[dict[str, Any]]] = {}
        for answer in answers.iter_rows(named=True):
            row = ratings.get((answer["question_id"], answer["turn"]))
            score, failure = None, failure_of(answer, row)
            if failure is None:
                score = row["value"] if row else LOWEST
            one = {"item": answer["question_id"], "score": score, "failure": failure}
            items.append({"part": f"turn-{answer['turn'] + 1}", **one})
            categories.setdefault(answer["category"], []).append(one)
        scores = score_rows("average", items)
        for category, rows in sorted(categories.items()):
            scores += score_rows("category", [{"part": category, **row} for row in rows], whole=False)
        return Scored(scores, item_rows("average", items))


@cache
def judge_prompts(path: Path) -> dict[str, tuple[str, str]]:
    """``judge_prompts.jsonl``: name → system prompt and template; those for single answers must be there."""
    rows = read_rows(path, {"name": str, "system_prompt": str, "prompt_template": str})
    found = {row["name"]: (row["system_prompt"], row["prompt_template"]) for row in rows}
    for name in PROMPTS.values():
        if name not in found:
            raise DataError(f"{path}: the judge prompt '{name}' is missing (it has: {', '.join(found)})")
    return found


def _references(path: Path) -> dict[str, tuple[str, ...]]:
    found = {}
    for number, row in enumerate(read_rows(path, {"question_id": (int, str), "choices": list}), 1):
        where = f"{path}, row {number}"
        try:
            turns = row["choices"][0]["turns"]
        except (IndexError, KeyError, TypeError) as error:
            raise DataError(f"{where}: choices[0].turns is missing: {json.dumps(row)[:100]}") from error
        found[str(row["question_id"])] = _texts(turns, where, "choices[0].turns")
    return found


def _texts(value: Any, where: str, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v.strip() for v in value):
        raise DataError(f"{where}, field '{field}': a list of texts was expected, none of them blank")
    return tuple(value)
